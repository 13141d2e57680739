"""`make bench-security`: every attack that was tried on this project, as tests. Some ten minutes.

PYTHONPATH=. python -m benchmarks.security --quick   # without those that start Ray's heads or runs

An attack is met when all of its tests ran and passed; one that was left out is said, not counted.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from benchmarks.results_table import write_results

ROOT = Path(__file__).resolve().parents[1]
LIMIT_SECONDS = 3000


@dataclass(frozen=True)
class Attack:
    """What was tried, and the tests that hold the mend."""

    what: str
    tests: tuple[str, ...]
    """FILE::TEST below tests/, all of its parameters."""
    held: bool = False
    """Whether it had failed before anything was mended."""


ATTACKS = (
    Attack(
        "a model's name with .. empties a folder outside the store",
        (
            "study/test_study.py::test_a_name_that_could_lead_out_of_the_store_is_refused_at_its_line",
            "store/test_store.py::test_a_name_that_could_lead_out_is_refused_and_nothing_is_touched",
        ),
    ),
    Attack(
        "a resume point in the store is a pickle that runs",
        (
            "end_to_end/test_runner.py::test_a_harmed_resume_point_is_not_used",
            "encoders/test_plain_state.py::test_what_was_not_written_here_is_refused",
        ),
    ),
    Attack(
        "names in manifests and records replace files elsewhere",
        ("store/test_store.py::test_steps_attempts_owners_and_files_are_names_too",),
    ),
    Attack(
        "a digest that is a path",
        ("store/test_store.py::test_a_digest_that_could_be_a_path_is_refused",),
    ),
    Attack(
        "an attempt with .. deletes another place's weights",
        (
            "store/test_records.py::test_what_no_step_writes_is_no_record",
            "store/test_store.py::test_steps_attempts_owners_and_files_are_names_too",
        ),
    ),
    Attack(
        "links in a folder store",
        ("store/test_store.py::test_links_in_a_folder_store_are_refused",),
    ),
    Attack("YAML that grows", ("test_spec.py::test_yaml_that_cannot_be_read",)),
    Attack(
        "patterns of data files that lead out of their source",
        (
            "data/readers/test_readers.py::test_patterns_stay_inside_their_source",
            "data/readers/test_readers.py::test_the_folder_of_a_source_is_below_the_given_one",
        ),
    ),
    Attack(
        "a source package:a.b imports a",
        ("data/readers/test_readers.py::test_only_packages_that_are_read_are_looked_for",),
    ),
    Attack(
        "weights as pickles that run",
        (
            "encoders/test_loading.py::test_a_pickle_that_runs_code_is_refused",
            "encoders/test_loading.py::test_a_bin_file_of_something_else_is_named",
            "encoders/test_loading.py::test_a_bin_file_that_is_broken_gets_words_of_our_own",
        ),
        held=True,
    ),
    Attack(
        "code of a hub's repository",
        ("test_security.py::test_no_code_of_a_checkpoint_or_of_a_data_set",),
        held=True,
    ),
    Attack(
        "packed files of air, members with .., links as members",
        (
            "data/readers/test_raw.py::test_a_small_file_that_unpacks_to_a_large_one_is_refused",
            "data/readers/test_raw.py::test_an_archive_of_much_air_is_refused",
            "data/readers/test_raw.py::test_an_endless_line_is_named_by_its_number",
            "data/readers/test_raw.py::test_a_member_is_read_where_it_lies_whatever_its_name",
            "data/readers/test_raw.py::test_what_is_no_archive_is_named",
        ),
    ),
    Attack(
        "a label that ends the data inside the report's page",
        (
            "analysis/test_tables.py::test_nothing_in_the_page_ends_its_data",
            "analysis/test_report.py::test_the_page_asks_for_nothing_and_hides_nothing",
        ),
    ),
    Attack(
        "names that a spreadsheet takes for formulas",
        (
            "analysis/test_tables.py::test_no_cell_is_a_formula",
            "analysis/test_tables.py::test_numbers_and_ordinary_text_stay",
        ),
    ),
    Attack("LaTeX in a label", ("analysis/test_tables.py::test_latex_is_text",), held=True),
    Attack(
        "control sequences from a store on a terminal",
        (
            "cli/test_status.py::test_what_a_worker_says_cannot_steer_the_terminal",
            "cli/test_app.py::test_what_is_printed_is_text_and_steers_nothing",
        ),
    ),
    Attack(
        "markup in a failed step's reason ends the run in a traceback",
        (
            "cli/test_app.py::test_what_is_printed_is_text_and_steers_nothing",
            "cli/test_app.py::test_what_goes_on_is_text_too",
            "cli/test_app.py::test_an_error_is_text",
        ),
    ),
    Attack(
        "a secret in the store's URI is printed",
        ("store/test_store.py::test_a_uri_with_a_secret_is_refused_and_not_repeated",),
    ),
    Attack(
        "Ray's token can be read by everybody",
        (
            "cluster/test_access.py::test_a_token_is_made_for_this_user_alone_and_once",
            "cluster/test_access.py::test_a_token_that_others_could_read_is_closed_and_said",
            "cluster/test_ray_private.py::test_nobody_else_reaches_a_local_cluster",
        ),
    ),
    Attack(
        "everybody may write into Ray's session folder",
        ("cluster/test_ray_private.py::test_nobody_else_reaches_a_local_cluster",),
    ),
    Attack(
        "ports that answer without a token",
        ("end_to_end/test_submit.py::test_strangers_are_refused",),
        held=True,
    ),
    Attack(
        "addresses that a local run listens at",
        ("cluster/test_ray_private.py::test_nobody_else_reaches_a_local_cluster",),
        held=True,
    ),
    Attack(
        "tokens switched off by the environment; an open head is joined",
        (
            "cluster/test_ray_private.py::test_nobody_else_reaches_a_local_cluster",
            "cluster/test_access.py::test_a_head_that_obeys_strangers_is_refused_unless_wanted",
        ),
    ),
    Attack(
        "a stranger's server asks for the token",
        (
            "cluster/test_access.py::"
            "test_the_token_goes_to_this_machine_or_to_a_host_that_was_named_twice",
            "cluster/test_access.py::test_plain_http_goes_to_no_proxy",
            "cluster/test_access.py::"
            "test_an_address_that_two_libraries_could_read_differently_is_refused",
            "cluster/test_access.py::test_an_open_dashboard_is_wanted_or_refused_and_gets_no_token",
        ),
    ),
    Attack(
        "secrets in jobs, records and logs",
        (
            "test_security.py::test_the_environment_is_written_nowhere",
            "end_to_end/test_submit.py::"
            "test_killed_and_submitted_again_gives_the_numbers_of_an_undisturbed_run",
        ),
        held=True,
    ),
    Attack(
        "a cache folder of somebody else",
        ("store/test_cache.py::test_a_shared_folder_that_others_can_write_to_is_refused",),
        held=True,
    ),
    Attack("a shell", ("test_security.py::test_no_shell_ever",), held=True),
    Attack(
        "odd answers end the sentinel; a proxy gets its secrets",
        (
            "jobs/test_sentinel.py::test_an_odd_answer_ends_nothing",
            "jobs/test_sentinel.py::test_a_server_that_breaks_off_ends_nothing",
            "jobs/test_sentinel.py::test_a_time_without_a_zone_is_utc",
            "jobs/test_sentinel.py::test_no_proxy_is_asked",
            "jobs/test_sentinel.py::test_no_test_asks_a_real_metadata_server",
        ),
    ),
    Attack(
        "stop requests, sessions and locks that nobody wrote",
        (
            "store/test_stop.py::test_what_is_no_request_asks_nothing",
            "store/test_sessions.py::test_a_session_that_nobody_wrote_is_named",
            "store/test_sessions.py::test_what_is_no_session_at_all",
        ),
    ),
    Attack(
        "records that are no records",
        (
            "store/test_records.py::test_what_no_step_writes_is_no_record",
            "store/test_records.py::test_what_is_no_record_at_all",
            "store/test_records.py::test_the_record_of_another_step_is_seen",
        ),
    ),
    Attack(
        "XML entities that grow",
        ("data/readers/test_copa_xml.py::test_entities_are_refused_before_they_grow",),
    ),
    Attack(
        "aliases in a claims file",
        ("analysis/test_claims.py::test_claims_of_aliases_are_refused_before_they_grow",),
    ),
    Attack(
        "safetensors headers and an index with ..",
        (
            "encoders/test_loading.py::test_an_index_names_files_of_its_folder_alone",
            "encoders/test_loading.py::test_a_header_of_brackets_is_no_safetensors_file",
            "encoders/test_loading.py::test_tampered_and_cut_files_do_not_load",
        ),
    ),
    Attack(
        "an image by tag, pods with rights",
        (
            "jobs/test_node_types.py::test_pods_have_no_rights_and_an_image_that_stays",
            "jobs/test_node_types.py::test_no_secrets",
        ),
    ),
)


def outcomes(tests: Sequence[str], *, quick: bool) -> dict[str, set[str]]:
    """Test → what became of its parameters: `passed`, `failed`, `skipped`; none if it never ran."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
        command += [f"--junit-xml={report}", *(f"tests/{test}" for test in tests)]
        command += ["-m", "not slow and not ray"] if quick else []
        subprocess.run(command, cwd=ROOT, timeout=LIMIT_SECONDS, check=False)
        cases = ElementTree.parse(report).iter("testcase")
        found: dict[str, set[str]] = {}
        for case in cases:
            module = case.get("classname", "").removeprefix("tests.").replace(".", "/")
            name = f"{module}.py::{case.get('name', '').partition('[')[0]}"
            tags = {child.tag for child in case}
            became = "failed" if tags & {"failure", "error"} else "passed"
            found.setdefault(name, set()).add("skipped" if "skipped" in tags else became)
    return found


def row(number: int, attack: Attack, found: Mapping[str, set[str]]) -> dict[str, Any]:
    """The figure of one attack."""
    passed = [test for test in attack.tests if found.get(test) == {"passed"}]
    other = [
        f"{test.partition('::')[2]} {' '.join(sorted(found.get(test, {'not run'})))}"
        for test in attack.tests
        if test not in passed
    ]
    return {
        "figure": f"{number}. {attack.what}",
        "target": "held, as before" if attack.held else "mended, held by tests",
        "value": "; ".join([f"{len(passed)} of {len(attack.tests)} tests pass", *other]),
        "met": not other,
    }


def main() -> None:
    """Run all tests once, print and write the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="Without Ray's heads and slow runs.")
    given = parser.parse_args()
    tests = list(dict.fromkeys(test for attack in ATTACKS for test in attack.tests))
    found = outcomes(tests, quick=given.quick)
    rows = [row(number, attack, found) for number, attack in enumerate(ATTACKS, start=1)]
    sums = []
    for held, name, total in (
        (False, "attacks that needed a mend: all of their tests pass", 26),
        (True, "attacks that had failed before: all of their tests pass", 8),
    ):
        met = sum(
            one["met"] for one, attack in zip(rows, ATTACKS, strict=True) if attack.held is held
        )
        sums.append(
            {"figure": name, "target": f"{total} of {total}", "value": met, "met": met == total}
        )
    write_results("security", [*sums, *rows])


if __name__ == "__main__":
    main()
