"""The report: complete, offline, byte-identical, and useful when the study is not finished."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import polars as pl
import pytest
from matplotlib.figure import Figure

from analysis.claims import PHANG2020
from analysis.collapsed import Collapsed, CollapsedTrainings
from analysis.load import BadInput, load_tidy
from analysis.report import write_report
from scaling.catalogue.languages import Language, defined
from scaling.spec import BadFile
from scaling.study.question import Question
from tests.helpers.synthetic import study

NOTE = "A note with <b>markup</b> & an ampersand."
LOST = CollapsedTrainings(
    trainings=[
        Collapsed(
            step=f"xlm-r-base/mnli/seed{seed}/ii-<{seed}>",
            family="xlm-r",
            method="full",
            label="Base",
            dev_score=0.331,
            dev_chance=1 / 3,
            first_loss=1.25,
            last_loss=1.0625,
        )
        for seed in (0, 1)
    ],
    curves=lambda step: (
        pl.DataFrame(
            {"update": [10, 20, 30], "loss": [1.2, 9.0, 1.1], "gradient_norm": [2.0, 77.25, 1.0]}
        )
        if "seed0" in step
        else "trained before there were curves"
    ),
)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    frame = study(gain=lambda u, *_: 4 - 2 * u, collapse_rate=0.03)
    expected = frame.select("model", "arm", "target", "language", "seed")
    frame = frame.filter(
        (pl.col("model") != "xlm-r-xxl") | (pl.col("seed") != 2) | (pl.col("target") != "panx")
    )
    out = tmp_path_factory.mktemp("report")
    said: list[str] = []
    index = write_report(
        frame,
        question=Question(resamples=200),
        title="A <study>",
        out=out,
        expected=expected,
        notes=[NOTE],
        claims=PHANG2020,
        collapsed=LOST,
        progress=said.append,
    )
    assert index == out / "index.html"
    assert len(said) > 4
    return out


@pytest.fixture
def drawn_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are drawn, which is where odd data show, but not written as files: a third of the
    time.
    """

    def draw(drawn: Figure, folder: Path, name: str) -> str:
        drawn.draw_without_rendering()
        return f'<svg id="{name}-drawn"></svg>'

    monkeypatch.setattr("analysis.report.save", draw)


def digest(folder: Path) -> dict[str, str]:
    return {
        str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in folder.rglob("*")
        if p.is_file()
    }


def test_everything_is_there(report: Path) -> None:
    names = set(digest(report))
    for number in range(10):
        for suffix in ("svg", "pdf"):
            assert any(re.fullmatch(rf"figures/f{number}_\w+\.{suffix}", name) for name in names), (
                number,
                suffix,
            )
    for number in range(1, 7):
        assert sum(name.startswith(f"tables/t{number}_") for name in names) == 2
    assert {
        "index.html",
        "verdict.json",
        "analysis.lock",
        "tables/records.csv",
        "tables/claims.csv",
    } <= names


def test_the_verdict_is_for_machines_too(report: Path) -> None:
    verdict = json.loads((report / "verdict.json").read_text())
    assert verdict["verdict"] == "DIMINISHES"
    assert verdict["slope_points"]["high"] < 0
    assert len(verdict["by_scale"]) == 3
    assert {item["what"] for item in verdict["influence"]} >= {"target", "arm", "size", "seed"}
    assert {claim["status"] for claim in verdict["claims"]} >= {"supported", "not run"}


def test_the_page_asks_for_nothing_and_hides_nothing(report: Path) -> None:
    page = (report / "index.html").read_text()
    links = re.findall(r'(?:src|href)="([^"#][^"]*)"', page)
    outside = [
        link for link in links if not link.startswith("data:") and not (report / link).is_file()
    ]
    assert outside == []
    assert "@import" not in page
    assert "url(http" not in page
    assert "A &lt;study&gt;" in page
    assert "&lt;b&gt;markup&lt;/b&gt; &amp; an ampersand" in page
    assert "48 are missing" in page


def test_the_page_can_be_read_aloud(report: Path) -> None:
    page = (report / "index.html").read_text()
    assert page.count("<h1") == 1
    assert 'lang="en"' in page
    for art in re.findall(r'<div class="art"[^>]*>', page):
        assert 'role="img"' in art
        assert re.search(r'aria-label="[^"]{40,}', art)
    for head in re.findall(r"<th\b[^>]*>", page):
        assert "scope=" in head
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    for target in re.findall(r'href="#([^"?]+)', page):
        assert target in ids


def test_every_gain_leads_to_its_records(report: Path) -> None:
    records = pl.read_csv(report / "tables" / "records.csv")
    assert records["step"].null_count() == records["step_none"].null_count() == 0
    head, chunks = page_data(report / "index.html")
    steps = {step for chunk in chunks.values() for step in chunk["steps"]}
    assert steps == set(records["step"]) | set(records["step_none"])
    row = records.filter(pl.col("language") == "sw").row(0, named=True)
    chunk = chunks[head["targets"][row["target"]]["chunk"]]
    size, seed = head["models"].index(row["model"]), head["seeds"].index(row["seed"])
    before, after = chunk["series"][f"{row['arm']}|sw"][size][seed]
    assert after - before == pytest.approx(row["points"], abs=0.02)
    run = chunk["runs"][row["arm"]][size][seed]
    assert chunk["steps"][run[0]] == row["step"]


def test_the_verdict_can_be_made_again_from_its_records(report: Path) -> None:
    """Languages inside a target, then targets equally; the least-squares slope of size means."""
    records = pl.read_csv(report / "tables" / "records.csv").filter("pooled")
    size = dict(study().select("model", pl.col("total_params").log10()).unique().iter_rows())
    means = (
        records.group_by("model", "target", "arm", "language")
        .agg(pl.col("points").mean())
        .group_by("model", "target")
        .agg(pl.col("points").mean())
        .group_by("model")
        .agg(pl.col("points").mean())
    )
    x = np.array([size[name] for name in means["model"]])
    slope = np.polyfit(x, means["points"].to_numpy(), 1)[0]
    said = json.loads((report / "verdict.json").read_text())["slope_points"]["estimate"]
    assert slope == pytest.approx(said, abs=0.05)
    left = pl.read_csv(report / "tables" / "records.csv").filter(~pl.col("pooled"))
    assert left["left_out"].null_count() == 0
    assert {"English", "not low-resource"} <= set(left["left_out"])


def page_data(page: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The head of a page's data, and the chunks that are inside it."""
    found = re.findall(
        r'<script type="application/json" id="(data|chunk-\w+)">(.*?)</script>',
        page.read_text(),
        re.S,
    )
    data = {name: json.loads(text) for name, text in found}
    return data.pop("data"), {name.removeprefix("chunk-"): chunk for name, chunk in data.items()}


def test_trainings_that_collapsed_are_shown_with_their_curves(report: Path) -> None:
    page = (report / "index.html").read_text()
    section = page.partition('<details id="lost">')[2].partition("</details>")[0]
    assert "How the 2 trainings that collapsed went" in section
    first, second = section.partition("<tbody>")[2].split("</tr>")[:2]
    assert "xlm-r-base/mnli/seed0/ii-&lt;0&gt;" in first
    assert re.findall(r"<td>([^<]*)</td>", first) == ["33.1", "33.3", "1.250", "1.062", "77.25"]
    assert '<polyline points="0.0,39.5 120.0,0.0 240.0,40.0"/>' in first
    assert 'aria-label="loss from 1.2 to 1.1, between 1.1 and 9, updates 10 to 30"' in first
    assert "trained before there were curves" in second and "polyline" not in second


def test_figures_are_wellformed_and_undated(report: Path) -> None:
    for path in (report / "figures").glob("*.svg"):
        ElementTree.parse(path)
        assert "<dc:date>" not in path.read_text()
    for path in (report / "figures").glob("*.pdf"):
        assert b"CreationDate" not in path.read_bytes()


def test_the_same_rows_give_the_same_bytes(report: Path, tmp_path: Path) -> None:
    frame = study(targets={"panx": ("sw", "te", "mr", "de", "ru", "hi")}, gain=lambda u, *_: 2.0)
    options = {"question": Question(resamples=100), "title": "Twice", "claims": PHANG2020}
    write_report(frame, out=tmp_path / "a", **options)  # type: ignore[arg-type]
    # Another figure in between must leave no trace in what follows.
    write_report(frame.sample(fraction=1.0, shuffle=True, seed=3), out=tmp_path / "b", **options)
    assert digest(tmp_path / "a") == digest(tmp_path / "b")


def test_tables_compile(report: Path, tmp_path: Path) -> None:
    texts = [path.read_text() for path in sorted((report / "tables").glob("*.tex"))]
    assert all(text.count(r"\toprule") == text.count(r"\bottomrule") == 1 for text in texts)
    assert all("nan" not in text for text in texts)
    latex = shutil.which("pdflatex") or shutil.which("tectonic")
    if latex is None:
        pytest.skip("no pdflatex or tectonic on this machine")
    body = "\n\\clearpage\n".join(texts)
    (tmp_path / "all.tex").write_text(
        "\\documentclass{article}\\usepackage{booktabs,graphicx}\\usepackage[margin=1cm]{geometry}"
        + "\\begin{document}\n"
        + body
        + "\n\\end{document}\n"
    )
    subprocess.run([latex, "all.tex"], cwd=tmp_path, check=True, capture_output=True, timeout=120)


def test_a_study_without_a_second_size_gets_a_partial_report(tmp_path: Path) -> None:
    frame = study(models=("xlm-r-base",), targets={"panx": ("sw", "de")})
    index = write_report(frame, question=Question(), title="Early", out=tmp_path)
    assert "No verdict yet" in index.read_text()
    assert json.loads((tmp_path / "verdict.json").read_text())["verdict"] is None


def test_baselines_alone_get_a_partial_report(tmp_path: Path) -> None:
    frame = study(targets={"panx": ("sw", "de")}).filter(pl.col("arm") == "none")
    assert (
        "No gain can be paired"
        in write_report(frame, question=Question(), title="Early", out=tmp_path).read_text()
    )


@pytest.mark.usefixtures("drawn_once")
@pytest.mark.parametrize("seeds", [1, 2])
@pytest.mark.parametrize(
    "models", [("e5-depth-2", "e5-depth-12"), ("e5-depth-2", "e5-depth-4", "e5-depth-12")]
)
def test_small_studies_are_reported_whole(
    tmp_path: Path, models: tuple[str, ...], seeds: int
) -> None:
    frame = study(
        models=models, arms=("word_order",), targets={"countries": ("de", "fi")}, seeds=seeds
    )
    page = write_report(
        frame, question=Question(resamples=50), title="Small", out=tmp_path
    ).read_text()
    assert ("Descriptive only" in page) == (seeds == 1)
    assert "nan" not in re.sub(r"<script.*?</script>", "", page, flags=re.S).lower().replace(
        "finance", ""
    )


@pytest.mark.usefixtures("drawn_once")
def test_two_families_never_share_a_curve(tmp_path: Path) -> None:
    parts = [
        study(models=("e5-depth-2", "e5-depth-12"), targets={"panx": ("sw", "de")}),
        study(models=("xlm-r-base", "xlm-r-xl"), targets={"panx": ("sw", "de")}),
    ]
    index = write_report(
        pl.concat(parts), question=Question(resamples=50), title="Two", out=tmp_path
    )
    assert (tmp_path / "xlm-r-full" / "index.html").is_file()
    assert "e5-depth-ladder-full/index.html" in index.read_text()


@pytest.mark.usefixtures("drawn_once")
def test_two_methods_never_share_a_curve(tmp_path: Path) -> None:
    full = study(models=("xlm-r-base", "xlm-r-xl"), targets={"panx": ("sw", "de")})
    lora = full.with_columns(
        method=pl.lit("lora-r8"), step=pl.col("step") + "-lora", value=pl.col("value") * 0.9
    ).filter(pl.col("seed") == 0)
    stores = [tmp_path / "full.parquet", tmp_path / "lora.parquet"]
    for frame, file in zip((full, lora), stores, strict=True):
        frame.write_parquet(file)
    alone, both = tmp_path / "alone", tmp_path / "both"
    write_report(load_tidy(stores[:1]), question=Question(resamples=50), title="One", out=alone)
    page = write_report(load_tidy(stores), question=Question(resamples=50), title="Two", out=both)
    assert (
        "xlm-r-full/index.html" in page.read_text()
        and "xlm-r-lora-r8/index.html" in page.read_text()
    )
    assert (both / "xlm-r-full" / "verdict.json").read_text() == (
        alone / "verdict.json"
    ).read_text()


@pytest.mark.usefixtures("drawn_once")
@pytest.mark.filterwarnings("error")
def test_languages_of_unknown_text_are_reported_on_no_side(tmp_path: Path) -> None:
    """Cantonese is of unknown text by the table, Kharia by the study that defines it."""
    two = ("xlm-r-base", "xlm-r-xl")
    with defined([Language(code="khr", name="Kharia")]):
        frame = study(models=two, targets={"panx": ("sw", "yo", "de", "hi", "yue", "khr")})
        page = write_report(frame, question=Question(resamples=50), title="Odd", out=tmp_path)
    table = pl.read_csv(tmp_path / "tables" / "t2_languages.csv", infer_schema_length=None)
    tiers = dict(table.select("language", "tier").iter_rows())
    assert tiers == {
        "sw": "low",
        "yo": "unseen",
        "de": "high",
        "hi": "mid",
        "yue": "unknown",
        "khr": "unknown",
    }
    # Sorted by pretraining text, of which nothing is known of the last two.
    assert table["language"].to_list()[-2:] == ["khr", "yue"]
    assert "Kharia" in page.read_text() and "unknown (tier)" in page.read_text()
    with pytest.raises(BadInput, match="Unknown language 'khr'"):
        write_report(frame, question=Question(resamples=50), title="Odd", out=tmp_path)


def test_only_files_of_an_earlier_report_are_replaced(tmp_path: Path) -> None:
    early = study(models=("xlm-r-base",), targets={"panx": ("sw", "de")})
    options = {"question": Question(), "title": "Early", "out": tmp_path}
    write_report(early, **options)  # type: ignore[arg-type]
    first = set(digest(tmp_path))
    (tmp_path / "index.html").write_text("by an end in between")
    later = study(models=("xlm-r-base",), targets={"panx": ("sw",), "xnli": ("sw",)})
    write_report(later, **options)  # type: ignore[arg-type]
    assert set(digest(tmp_path)) == first
    assert "xnli" in (tmp_path / "index.html").read_text()
    lock = json.loads((tmp_path / "analysis.lock").read_text())
    assert {name: digest(tmp_path)[name] for name in lock["files"]} == lock["files"]
    mine = tmp_path / "tables" / "mine.csv"
    mine.write_text("x")
    before = digest(tmp_path)
    with pytest.raises(BadInput, match=r"tables/mine\.csv is not of a report"):
        write_report(early, **options)  # type: ignore[arg-type]
    assert digest(tmp_path) == before
    mine.unlink()
    # An older report's lock lists nothing: nothing of it is touched.
    (tmp_path / "analysis.lock").write_text("{}")
    with pytest.raises(BadInput, match="does not list the files"):
        write_report(early, **options)  # type: ignore[arg-type]


def test_a_folder_of_something_else_is_refused_and_left(tmp_path: Path) -> None:
    frame = study(models=("xlm-r-base",), targets={"panx": ("sw", "de")})
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(BadInput, match=r"thesis\.tex is not of a report"):
        write_report(frame, question=Question(), title="x", out=tmp_path)
    with pytest.raises(BadInput, match="no report can be written into"):
        write_report(frame, question=Question(), title="x", out=tmp_path / "thesis.tex")
    assert set(digest(tmp_path)) == {"thesis.tex"}


def test_a_study_that_still_runs_shows_scores_and_tests_nothing(
    tmp_path: Path, falling: pl.DataFrame
) -> None:
    page = write_report(
        falling, question=Question(), title="Early", out=tmp_path, unfinished=12
    ).read_text()
    assert "12 steps of the study are still to be done" in page
    table = re.search(r"Scores so far.*?</table>", page, re.S)
    assert table is not None and table.group().count("<tr>") > 4 * 2 * 3
    words = re.sub(r"<(script|style).*?</\1>", "", page, flags=re.S).lower()
    for word in ("interval", " p = ", "p &lt;", "robust", "diminishes", "detectable"):
        assert word not in words, word
    found = json.loads((tmp_path / "verdict.json").read_text())
    assert found["verdict"] is None and "slope_points" not in found
    scores = pl.read_csv(tmp_path / "tables" / "t14_scores.csv")
    row = scores.filter((pl.col("arm") == "mnli") & (pl.col("target") == "panx")).row(0, named=True)
    none = scores.filter((pl.col("arm") == "none") & (pl.col("target") == "panx")).row(
        0, named=True
    )
    assert row["gain"] == pytest.approx(row["zero_shot"] - none["zero_shot"], abs=1e-5)


def test_bad_claims_stop_before_anything_is_written(tmp_path: Path, falling: pl.DataFrame) -> None:
    with pytest.raises(BadFile):
        write_report(
            falling, question=Question(), title="x", out=tmp_path / "r", claims=tmp_path / "no.yaml"
        )
    assert not (tmp_path / "r").exists()


XXL = pl.col("model") == "xlm-r-xxl"
FIRST = (pl.col("seed") == 0) & (pl.col("target") == "panx") & pl.col("arm").is_in(["none", "mnli"])
UNFINISHED = {
    "only baselines at the largest size": (
        lambda f: f.filter(~XXL | (pl.col("arm") == "none")),
        "covers Base, Large",
    ),
    "one cell at the largest size": (
        lambda f: f.filter(~XXL | FIRST),
        "XXL has too few series so far",
    ),
    "one seed at the largest size": (
        lambda f: f.filter(~XXL | (pl.col("seed") == 0)),
        "a single seed",
    ),
    "English only": (lambda f: f.filter(pl.col("language") == "en"), "none can be pooled"),
    "everything collapsed": (
        lambda f: f.with_columns(pl.lit(True).alias("collapsed")),
        "none can be pooled",
    ),
    "no two sizes share a target": (
        lambda f: f.filter((pl.col("model") == "xlm-r-base") == (pl.col("target") == "panx")),
        "no slope",
    ),
    "one language": (lambda f: f.filter(pl.col("language") == "sw"), "Swahili"),
    "constant scores": (
        lambda f: f.with_columns(pl.lit(0.5).alias("value")),
        "described, not tested: the replicas of every size are identical",
    ),
}


@pytest.mark.usefixtures("drawn_once")
@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", UNFINISHED)
def test_unfinished_and_odd_studies_are_reported(
    name: str, tmp_path: Path, falling: pl.DataFrame
) -> None:
    change, says = UNFINISHED[name]
    if name == "no two sizes share a target":
        falling = falling.filter(pl.col("model").is_in(["xlm-r-base", "xlm-r-xl"]))
    grid = falling.select("model", "arm", "target", "language", "seed")
    page = write_report(
        change(falling), question=Question(resamples=50), title="Odd", out=tmp_path, expected=grid
    )
    assert says in page.read_text()


def test_an_incomplete_grid_is_refused(falling: pl.DataFrame, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="lack the columns \\['seed'\\]"):
        grid = falling.select("model", "arm", "target", "language")
        write_report(falling, question=Question(), title="x", out=tmp_path, expected=grid)


@pytest.mark.chromium
@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_renders(report: Path, tmp_path: Path, width: int) -> None:
    browser = (
        shutil.which("chromium")
        or shutil.which("chromium-browser")
        or shutil.which("google-chrome")
    )
    if browser is None:
        pytest.skip("no Chromium on this machine")
    ran = subprocess.run(
        [
            browser,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--enable-logging=stderr",
            f"--user-data-dir={tmp_path / 'profile'}",
            f"--window-size={width},3000",
            "--dump-dom",
            f"file://{report / 'index.html'}",
        ],
        capture_output=True,
        text=True,
        timeout=90,
        check=True,
    )
    # The explorer has drawn, so the script ran to its end; the console says nothing.
    assert "<polyline" in ran.stdout
    assert "CONSOLE" not in ran.stderr
