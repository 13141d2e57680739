"""Universal Dependencies, with words that are written together."""

from __future__ import annotations

from pathlib import Path

from scaling.catalogue.sets import UPOS
from tests.helpers.reading import read

CONLLU = """# sent_id = first
1-2\tdel\t_\t_\t_\t_\t_\t_\t_\t_
1\tde\t_\tADP\t_\t_\t3\tcase\t_\t_
2\tel\t_\tDET\t_\t_\t3\tdet\t_\t_
3\tlib\u200cro 2\t_\tNOUN\t_\t_\t0\troot\t_\t_
3.1\tgone\t_\tVERB\t_\t_\t_\t_\t_\t_
4-5\tdarlo\t_\t_\t_\t_\t_\t_\t_\t_
4\tdar\t_\tVERB\t_\t_\t3\tacl\t_\t_
5\tlo\t_\tPRON\t_\t_\t4\tobj\t_\t_

1\tSí\t_\tINTJ\t_\t_\t0\troot\t_\t_
"""


def test_conllu_with_multiword_tokens_and_empty_nodes(tmp_path: Path) -> None:
    path = tmp_path / "es.conllu"
    path.write_text(CONLLU, encoding="utf-8")
    first, second = read("conllu", [path], labels=UPOS, language="es")
    assert first["words"] == ["de", "el", "lib\u200cro 2", "dar", "lo"]
    assert first["tags"] == ["ADP", "DET", "NOUN", "VERB", "PRON"]
    assert (first["id"], second["id"]) == ("first", "1")


def test_conllu_as_xtreme_prepares_it(tmp_path: Path) -> None:
    path = tmp_path / "es.conllu"
    path.write_text(CONLLU, encoding="utf-8")
    first = read("conllu", [path], {"words": "xtreme"}, labels=UPOS, language="es")[0]
    # Both parts of `del` hang on word 3: Spanish prefers ADP. `dar` is nearer the root than `lo`.
    assert list(zip(first["words"], first["tags"], strict=True)) == [
        ("del", "ADP"),
        ("libro2", "NOUN"),
        ("darlo", "VERB"),
    ]
