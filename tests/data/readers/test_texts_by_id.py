"""Texts with ids: lines, numbered lines, elements of XML, aligned or alone."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from scaling.data.readers import READERS
from scaling.data.schema import BadData, ReadRequest
from tests.helpers.reading import read


def test_verses_of_two_files_meet_by_their_id(tmp_path: Path) -> None:
    own, english = tmp_path / "wol.xml", tmp_path / "eng.xml"
    own.write_text(
        '<cesDoc><body><seg id="b.GEN.1.1">Ca\n  <w>ndoorte</w> </seg><seg id="b.GEN.1.3"/>'
        '<seg id="b.GEN.9.9">alone</seg></body></cesDoc>',
        encoding="utf-8",
    )
    english.write_text(
        '<cesDoc><seg id="b.GEN.1.3">third</seg>'
        '<seg id="b.GEN.1.1">In the beginning</seg></cesDoc>',
        encoding="utf-8",
    )
    counts: Counter[str] = Counter()
    request = ReadRequest(
        language="wo",
        split="test",
        files=[own, english],
        upstream_code="wol",
        options={"form": "xml"},
        labels=(),
        counts=counts,
    )
    query, candidate = READERS["parallel_text"](request)
    assert (query["text"], candidate["text"]) == ("In the beginning", "Ca ndoorte")
    assert (query["language"], candidate["language"]) == ("en", "wo")
    # 1.3 has no text on one side, 9.9 no other side.
    assert counts == {"texts that only one side has, left out": 2}


def test_ids_of_verses_may_stand_around_them(tmp_path: Path) -> None:
    path = tmp_path / "zefania.xml"
    path.write_text(
        '<XMLBIBLE><BIBLEBOOK bnumber="1"><CHAPTER cnumber="1"><VERS vnumber="1">a</VERS>'
        '<VERS vnumber="2">b</VERS></CHAPTER><CHAPTER cnumber="2"><VERS vnumber="1">c</VERS>'
        "</CHAPTER></BIBLEBOOK></XMLBIBLE>",
        encoding="utf-8",
    )
    options = {"form": "xml", "element": "VERS", "ids": ["bnumber", "cnumber", "vnumber"]}
    rows = read("parallel_text", [path, path], options, language="yo")
    assert [row["id"] for row in rows if row["side"] == "query"] == ["q1.1.1", "q1.1.2", "q1.2.1"]
    texts = read("plain_text", [path], options)
    assert [row["text"] for row in texts] == ["a", "b", "c"]


def test_numbered_lines_meet_with_another_language_than_english(tmp_path: Path) -> None:
    own, spanish = tmp_path / "quy.txt", tmp_path / "spa.txt"
    own.write_text("# a Bible\n40001001\thuk\n40001002\tiskay\n", encoding="utf-8")
    spanish.write_text("40001002\tdos\n40001003\ttres\n", encoding="utf-8")
    options = {"form": "ids", "comments": "#", "other": "es", "query": "own"}
    query, candidate = read("parallel_text", [own, spanish], options, language="qu")
    assert (query["language"], query["text"]) == ("qu", "iskay")
    assert (candidate["language"], candidate["text"]) == ("es", "dos")


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        ("1\ta\n1\tb\n", {"form": "ids"}, r"own:2: the id '1' is there twice, first at .*own:1"),
        ("no tab\n", {"form": "ids"}, "own:1: an id, a tab and a text are due, found 'no tab'"),
        ("<a><seg>x</seg></a>", {"form": "xml"}, "own:1: <seg> has no id"),
        ("<a><v id='1'>x</v></a>", {"form": "xml"}, "own: no element 'seg'; name the one"),
        ("<a><seg id='1'>", {"form": "xml"}, "own:1: broken XML: no element found"),
        ("<a><seg id='7'>x</seg></a>", {"form": "xml"}, r"none of its 1 ids is in .*'7' here"),
        ("a\n", {"element": "v"}, "the option 'element' belongs to `form: xml`"),
    ],
)
def test_what_does_not_fit_is_named(
    tmp_path: Path, content: str, options: dict[str, str], message: str
) -> None:
    own, other = tmp_path / "own", tmp_path / "other"
    own.write_text(content, encoding="utf-8")
    other.write_text(
        "<a><seg id='9'>y</seg></a>" if options.get("form") == "xml" else "9\ty\n",
        encoding="utf-8",
    )
    with pytest.raises(BadData, match=message):
        read("parallel_text", [own, other], options)
