"""Bad input: BadData with the file, the line and what would be valid; accepted defects are
counted.
"""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from scaling.catalogue.sets import NLI, UPOS
from scaling.catalogue.task import DataRef
from scaling.data.hub import local_copy
from scaling.data.readers import find_files
from scaling.data.rows import stage_task
from scaling.data.schema import BadData
from scaling.spec import UserError
from scaling.store.store import Store
from scaling.study.study import load_study
from tests.helpers.reading import read

PAIR = {"text_a": "premise", "text_b": "hypothesis", "label": "label"}
HEAD = "premise\thypothesis\tlabel\n"
CHOICE = {"choices": ["a", "b"], "label": "label", "context": "premise"}
SPAN = {"context": "context", "question": "question", "answers": "texts", "starts": "starts"}
COLUMN = "\t_\tNOUN\t_\t_\t0\troot\t_\t_\n"


def qa(text: str, start: int, **more: Any) -> str:
    asked = {
        "id": "q1",
        "question": "Who?",
        "answers": [{"text": text, "answer_start": start}],
        **more,
    }
    return json.dumps(
        {"data": [{"paragraphs": [{"context": "Bob saw Bob and Ada.", "qas": [asked]}]}]}
    )


# reader, options, labels, content of the file, what the error must say
CASES: list[tuple[str, dict[str, Any], Any, str, str]] = [
    (
        "delimited",
        PAIR,
        NLI,
        HEAD + "A\tB\tneutrall\n",
        r"in.txt:2: unknown label 'neutrall'. Did you mean 'neutral'\?",
    ),
    (
        "delimited",
        PAIR,
        NLI,
        HEAD + "A\tB\tneutral\nA\tneutral\n",
        r"in.txt:3: 2 fields where 3 are due \(premise, hypo",
    ),
    (
        "delimited",
        PAIR,
        NLI,
        HEAD + "A\tB\t-\n",
        r"in.txt:2: no gold label \('-'\). To count .*'unlabelled' to `accept`",
    ),
    ("delimited", PAIR, NLI, HEAD + "A\t \tneutral\n", r"in.txt:2: 'hypothesis' is empty"),
    (
        "delimited",
        {**PAIR, "text_a": "sentence"},
        NLI,
        HEAD + "A\tB\tneutral\n",
        r"no column 'sentence'; there: \['hyp",
    ),
    ("delimited", PAIR, NLI, HEAD, r"in.txt: the test split of en is empty"),
    (
        "delimited",
        {**PAIR, "label_map": {"e": "entailment"}},
        NLI,
        HEAD + "A\tB\tx\n",
        r":2: unknown label 'x'. Valid: e.",
    ),
    (
        "delimited",
        {**PAIR, "label_names": ["a"]},
        NLI,
        HEAD + "A\tB\t1\n",
        r"label '1' is not one of 0 to 0 \(a\)",
    ),
    (
        "delimited",
        {**PAIR, "delimiter": "comma"},
        NLI,
        'premise,hypothesis,label\n"A,B\n',
        r"in.txt:2: broken CSV",
    ),
    (
        "jsonl",
        PAIR,
        NLI,
        '{"premise": "A"}\n',
        r"in.txt:1: no column 'label'; there: \['premise'\]",
    ),
    ("jsonl", PAIR, NLI, '\n{"premise": \n', r"in.txt:2: broken JSON: Expecting value at column"),
    ("jsonl", PAIR, NLI, "3\n", r"in.txt:1: expected a JSON object, found int"),
    ("jsonl", PAIR, NLI, "[3]\n", r"in.txt: item 1: expected a JSON object, found int"),
    ("jsonl", {**PAIR, "records": "d"}, NLI, '{"e": 1}', r"in.txt: no column 'd'; there: \['e'\]"),
    ("jsonl", {**PAIR, "records": "d"}, NLI, '{"d": 1}', r"in.txt: 'd' should be a list, found 1"),
    (
        "jsonl",
        PAIR,
        NLI,
        '{"premise": 3, "hypothesis": "B", "label": "neutral"}\n',
        r"'premise' should be text, found 3",
    ),
    (
        "jsonl",
        CHOICE,
        (),
        '{"premise": "A", "a": "x", "b": "y", "label": 2}\n',
        r":1: the right answer 2 is not one of 0 to 1",
    ),
    (
        "jsonl",
        CHOICE,
        (),
        '{"premise": "A", "a": "x", "b": "", "label": 1}\n',
        r":1: one of the choices \['x', ''\] is empty",
    ),
    (
        "jsonl",
        {**CHOICE, "question": "ask", "question_map": {"cause": "Why?"}},
        (),
        '{"premise": "A", "ask": "causes", "a": "x", "b": "y", "label": 1}\n',
        r"unknown question 'causes'. Did you mean 'cause'",
    ),
    (
        "jsonl",
        SPAN,
        (),
        '{"context": "A", "question": "?", "texts": ["A"], "starts": []}\n',
        r":1: 1 answers with 0 offsets",
    ),
    (
        "squad_json",
        {},
        (),
        qa("Ada", 3),
        r"paragraph 1, question 'q1': the answer 'Ada' is at 16, not at its offset 3",
    ),
    (
        "squad_json",
        {},
        (),
        qa("Eve", 3),
        r"question 'q1': the answer 'Eve' does not occur in its context",
    ),
    (
        "squad_json",
        {},
        (),
        qa("Ada", 16, answers=[]),
        r"question 'q1' has no answer; set `unanswerable: true`",
    ),
    (
        "squad_json",
        {},
        (),
        qa("Ada", 16, question=None)[:-1],
        r"in.txt:1: broken JSON: Expecting ',' delimiter",
    ),
    (
        "squad_json",
        {},
        (),
        '{"data": [{"paragraphs": [{"qas": []}]}]}',
        r"paragraph 1: no field 'context'; there: \['qas'\]",
    ),
    ("squad_json", {}, (), "[1]", r"not in SQuAD's format"),
    (
        "conllu",
        {},
        UPOS,
        "1\tx" + COLUMN + "3\ty" + COLUMN,
        r"in.txt:1: sentence '0': word ids \[1, 3\] are not 1, 2, 3",
    ),
    ("conllu", {}, UPOS, "1\tx\tNOUN\n", r"in.txt:1: 3 fields where CoNLL-U has 10"),
    ("conllu", {}, UPOS, "x\tx" + COLUMN, r"in.txt:1: 'x' is no token id"),
    (
        "conllu",
        {},
        UPOS,
        "1\tx" + COLUMN.replace("NOUN", "NOUNS"),
        r"unknown label 'NOUNS'. Did you mean 'NOUN'",
    ),
    (
        "conllu",
        {},
        UPOS,
        "1\tx" + COLUMN.replace("NOUN", "_"),
        r"the word 'x' has no tag.*'untagged_word'",
    ),
    ("conllu", {}, UPOS, "1\t_" + COLUMN + "2\t_" + COLUMN, r"2 of 2 words hidden.*'masked_text'"),
    ("conll", {}, ("O",), "x O\ny\n", r"in.txt:2: no tag in 'y'"),
    ("conll", {}, ("O",), "x B-PER\n", r"in.txt:1: unknown label 'B-PER'. Valid: O."),
    (
        "conll",
        {"prefix": "{lang}:"},
        ("O",),
        "fr:x\tO\n",
        r"in.txt:1: 'fr:x' does not start with 'en:'",
    ),
    (
        "conll",
        {"prefix": "{lang}:"},
        ("O",),
        "en:\tO\n",
        r"in.txt:1: word 1 is empty.*'empty_word'",
    ),
    (
        "copa_xml",
        {},
        (),
        '<c><item id="1" asks-for="cause"><p>A</p></item></c>',
        r"in.txt:1: the item has no a1, a2, most-pl",
    ),
    ("copa_xml", {}, (), "<c>\n<item></c>", r"in.txt:2: broken XML: mismatched tag"),
    ("ccg_auto", {}, ("N",), "(<L N NN NN x N>)\n", r"in.txt:1: no derivation after an ID line"),
    (
        "ccg_auto",
        {},
        ("N",),
        "ID=1\n(<L NP NN NN x N>)\n",
        r"in.txt:2: unknown label 'NP'. Did you mean 'N'",
    ),
    (
        "mewsli_x",
        {},
        (),
        '{"entity_id": "Q1"}\n',
        r"in.txt:1: not a line of Mewsli-X: KeyError\('description'\)",
    ),
    ("hub_parquet", PAIR, NLI, "text", r"in.txt: not a Parquet file"),
]


@pytest.mark.parametrize(
    ("reader", "options", "labels", "content", "message"), CASES, ids=[case[4] for case in CASES]
)
def test_bad_data_is_named(
    reader: str, options: dict[str, Any], labels: Any, content: str, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "in.txt"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(BadData, match=message):
        read(reader, [path], options, labels=labels)


@pytest.mark.parametrize(
    ("reader", "options", "labels", "content", "rows", "defect"),
    [
        ("delimited", PAIR, NLI, HEAD + "A\tB\t-\nA\tB\tneutral\n", 1, "unlabelled"),
        ("squad_json", {}, (), qa("Bob", 6), 1, "answer_elsewhere"),
        ("squad_json", {}, (), qa("Eve", 6), 1, "answer_missing"),
        ("conllu", {}, UPOS, "1\tx" + COLUMN + "\n1\t_" + COLUMN, 1, "masked_text"),
        ("conll", {}, ("O",), "x O\ny\n", 1, "untagged_word"),
        ("conll", {"prefix": "en:"}, ("O",), "en:\tO\n", 1, "empty_word"),
        (
            "delimited",
            {**PAIR, "id": "label"},
            NLI,
            HEAD + "A\tB\tneutral\nC\tD\tneutral\n",
            2,
            "repeated_id",
        ),
    ],
)
def test_accepted_defects_are_counted(
    reader: str,
    options: dict[str, Any],
    labels: Any,
    content: str,
    rows: int,
    defect: str,
    tmp_path: Path,
) -> None:
    path = tmp_path / "in.txt"
    path.write_text(content, encoding="utf-8")
    defects: list[str] = []
    found = read(reader, [path], {**options, "accept": [defect]}, labels=labels, defects=defects)
    assert len(found) == rows
    assert len({row["id"] for row in found}) == rows
    assert len(defects) == 1
    assert defects[0].startswith(f"{defect}: {path}")


def test_an_answer_elsewhere_is_moved_to_the_nearest_occurrence(tmp_path: Path) -> None:
    path = tmp_path / "in.txt"
    path.write_text(qa("Bob", 6), encoding="utf-8")
    assert read("squad_json", [path], {"accept": ["answer_elsewhere"]})[0]["answers"] == [
        {"text": "Bob", "start": 8}
    ]
    path.write_text(qa("Eve", 6), encoding="utf-8")
    assert read("squad_json", [path], {"accept": ["answer_missing"]})[0]["answers"] == [
        {"text": "Eve", "start": -1}
    ]


def test_parallel_files_of_different_length(tmp_path: Path) -> None:
    own, english = tmp_path / "a.sw", tmp_path / "a.en"
    own.write_text("moja\nmbili\n", encoding="utf-8")
    english.write_text("one\n", encoding="utf-8")
    with pytest.raises(BadData, match=r"a.sw has 2 lines and .*a.en has 1: not parallel"):
        read("parallel_text", [own, english])
    with pytest.raises(BadData, match=r"2 file\(s\) expected, found 1: \['a.sw'\]"):
        read("parallel_text", [own])


def test_bucc_gold_must_name_sentences_that_are_there(tmp_path: Path) -> None:
    for name, text in (("de", "de-1\tEins\n"), ("en", "en-1\tOne\n"), ("gold", "de-1\ten-9\n")):
        (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(
        BadData, match=r"gold:1: the pair 'de-1', 'en-9' names a sentence that is not in the files"
    ):
        read("bucc", [tmp_path / name for name in ("de", "en", "gold")])
    (tmp_path / "en").write_text("en-1\tOne\nen-1\tTwo\n", encoding="utf-8")
    with pytest.raises(BadData, match=r"en:2: the id 'en-1' occurs twice"):
        read("bucc", [tmp_path / name for name in ("de", "en", "gold")])


def test_broken_bytes(tmp_path: Path) -> None:
    latin, cut, fake = tmp_path / "latin.txt", tmp_path / "cut.txt.gz", tmp_path / "fake.txt.gz"
    latin.write_bytes("caf\xe9 O\n".encode("latin-1"))
    cut.write_bytes(gzip.compress(b"x O\n" * 1000)[:-9])
    fake.write_bytes(b"x O\n")
    for path, message in ((latin, "not UTF-8"), (cut, "broken gzip"), (fake, "broken gzip")):
        with pytest.raises(BadData, match=message):
            read("conll", [path], labels=("O",))


def test_options_are_checked(tmp_path: Path) -> None:
    path = tmp_path / "in.txt"
    path.write_text("x O\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"Unknown reader option 'prefx'. Did you mean 'prefix'"):
        read("conll", [path], {"prefx": "en:"}, labels=("O",))
    with pytest.raises(ValueError, match="name no kind"):
        read("jsonl", [path], {"id": "id"})


def test_missing_files_are_named_with_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "xquad.en.json").write_text("{}", encoding="utf-8")
    ref = DataRef(reader="squad_json", source="dir:xquad", files={"test": ("xquad.{lang}.json*",)})
    assert find_files(ref, "test", "en", tmp_path) == [tmp_path / "xquad.en.json"]
    with pytest.raises(
        BadData, match=r"xquad.sw.json\*: no such file for test of 'sw'. .*xquad.en.json"
    ):
        find_files(ref, "test", "sw", tmp_path)
    with pytest.raises(BadData, match="dir:xquad has no train split; it has test"):
        find_files(ref, "train", "en", tmp_path)
    with pytest.raises(BadData, match="There is no folder"):
        find_files(ref, "test", "en", tmp_path / "nowhere")


@pytest.mark.parametrize("pattern", ["../secret", "a/../../secret", "SECRET", "link", "sub/file"])
def test_patterns_stay_inside_their_source(tmp_path: Path, pattern: str) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "out").mkdir()
    for file in (tmp_path / "secret", tmp_path / "out" / "file"):
        file.write_text("secret")
    (root / "link").symlink_to(tmp_path / "secret")
    (root / "sub").symlink_to(tmp_path / "out")
    pattern = str(tmp_path / "secret") if pattern == "SECRET" else pattern
    ref = DataRef(reader="jsonl", source="dir:x", files={"test": (pattern,)})
    with pytest.raises(BadData, match="leads out of") as refused:
        find_files(ref, "test", "en", root)
    assert "secret" not in str(refused.value).replace(str(tmp_path / "secret"), "").replace(
        repr(pattern), ""
    )


def test_links_of_a_snapshot_lead_into_its_repository(tmp_path: Path) -> None:
    repository = tmp_path / "datasets--org--mine"
    root = repository / "snapshots" / "0123"
    for folder in (root, repository / "blobs"):
        folder.mkdir(parents=True)
    (repository / "blobs" / "aa").write_text("rows")
    (root / "test.jsonl").symlink_to("../../blobs/aa")
    ref = DataRef(reader="jsonl", source="hub:org/mine", files={"test": ("test.jsonl",)})
    assert find_files(ref, "test", "en", root) == [root / "test.jsonl"]


@pytest.mark.parametrize("name", ["../..", "/etc", "a/../../b"])
def test_the_folder_of_a_source_is_below_the_given_one(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadData, match="is no folder below the one given to --from"):
        local_copy(name, tmp_path)


@pytest.mark.parametrize("name", ["inner.module", "outer", "os", "django.conf"])
def test_only_packages_that_are_read_are_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Looking for a module inside a package runs the package, of the working directory too."""
    for package in ("inner", "outer"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text(
            f"import pathlib; pathlib.Path({str(tmp_path / 'ran')!r}).touch()"
        )
        (tmp_path / package / "module.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    study = load_study("demo")
    task = study.task("applications")
    (ref,) = task.data
    own = task.model_copy(update={"data": (ref.model_copy(update={"source": f"package:{name}"}),)})
    with pytest.raises(UserError, match=f"Unknown package '{name}'"):
        stage_task(study, own, Store.open(tmp_path / "store"), None)
    assert not (tmp_path / "ran").exists()
