"""Derivations of CCGbank."""

from __future__ import annotations

from pathlib import Path

from tests.helpers.reading import read


def test_ccg_derivations(tmp_path: Path) -> None:
    path = tmp_path / "wsj_0001.auto"
    path.write_text(
        "ID=wsj_0001.1 PARSER=GOLD NUMPARSE=1\n"
        r"(<T S[dcl] 0 2> (<L NP NNP NNP -LRB- NP>) (<L (S[dcl]\NP)/NP VBZ VBZ sees "
        r"(S[dcl]\NP_1)/NP_2>) )" + "\n",
        encoding="utf-8",
    )
    row = read("ccg_auto", [path], {"other": "OTHER"}, labels=("NP", "OTHER"))[0]
    assert row == {"id": "wsj_0001.1", "words": ["(", "sees"], "tags": ["NP", "OTHER"]}
