"""Every real file with a reader: as many rows as MANIFEST.tsv counts."""

from __future__ import annotations

from fnmatch import fnmatch

import pytest

from scaling.catalogue.sets import UPOS
from tests.helpers.reading import SHARED, needs_shared, num_examples, read
from tests.helpers.shared_files import NOT_READ, RULES, files_of, manifest


@needs_shared
def test_every_file_of_the_manifest_is_read_or_has_a_reason() -> None:
    counts, wrong = 0, []
    for entry in manifest():
        path = entry["path"]
        if path in NOT_READ:
            continue
        rule = next((rule for rule in RULES if fnmatch(path, rule[0])), None)
        assert rule is not None, f"{path} has neither a reader here nor a reason in NOT_READ"
        rows = read(rule[1], files_of(path), rule[2], labels=rule[3], language=entry["language"])
        counts += 1
        if num_examples(rows) != int(entry["n_examples"]):
            wrong.append((path, num_examples(rows), entry["n_examples"]))
    assert not wrong
    assert counts == len(manifest()) - len(NOT_READ) > 590


@needs_shared
@pytest.mark.parametrize(
    "path",
    ["ud/UD_Spanish-PUD/es_pud-ud-test.conllu.gz", "ud/UD_English-EWT/en_ewt-ud-dev.conllu.gz"],
)
def test_fused_words_leave_the_sentences_as_they_are(path: str) -> None:
    own, fused = (
        read("conllu", [SHARED / path], {"words": words}, labels=UPOS)
        for words in ("syntactic", "xtreme")
    )
    assert [row["id"] for row in own] == [row["id"] for row in fused]
    assert sum(len(row["words"]) for row in fused) < sum(len(row["words"]) for row in own)


@needs_shared
def test_lareqa_has_the_candidates_that_its_readme_counts() -> None:
    every = sorted((SHARED / "lareqa/xquad-r").glob("*.json.gz"))
    rows = read("xquad_r", [SHARED / "lareqa/xquad-r/th.json.gz", *every], language="th")
    queries = [row for row in rows if row["side"] == "query"]
    candidates = {row["id"]: row["language"] for row in rows if row["side"] == "candidate"}
    assert (len(queries), len(candidates)) == (1190, 13014)
    assert list(candidates.values()).count("th") == 852
    for row in queries:
        assert sorted({candidates[name] for name in row["relevant"]}) == sorted(
            {*candidates.values()}
        )


@needs_shared
def test_squad_without_the_paragraphs_of_xquad() -> None:
    files = [SHARED / "squad/squad1.1_dev_orig.json.gz", SHARED / "xquad/xquad.en.json.gz"]
    assert len(read("squad_json", files, {"held_out": True})) == 931
