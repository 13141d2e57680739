"""Mentions and the entities that they name."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import pytest

from scaling.data.schema import BadData
from tests.helpers.reading import read

CONTEXT = {
    "text": "A {note}. Ada wrote\nit {here}. End.",
    "language": "en",
    "sentence_spans": [{"start": 0, "end": 9}, {"start": 10, "end": 30}, {"start": 31, "end": 35}],
}
MENTION = {
    "example_id": "m1",
    "entity_id": "Q7259",
    "mention_span": {"start": 10, "end": 13, "text": "Ada"},
}
ENTITY = {
    "entity_id": "Q7259",
    "title": "Ada",
    "description": "Ada  Lovelace.\nA mathematician.",
    "description_language": "fr",
    "sentence_spans": [{"start": 0, "end": 14}, {"start": 15, "end": 31}],
}


def test_mewsli_x_pairs_mentions_and_entities(tmp_path: Path) -> None:
    pairs, mentions, entities = (
        tmp_path / "train.jsonl",
        tmp_path / "test.jsonl",
        tmp_path / "candidates.jsonl",
    )
    pair = {"contextual_mention": {"context": CONTEXT, "mention": MENTION}, "entity": ENTITY}
    pairs.write_text(json.dumps(pair) + "\n", encoding="utf-8")
    mentions.write_text(
        json.dumps({"context": CONTEXT, "mentions": [MENTION]}) + "\n", encoding="utf-8"
    )
    entities.write_text(json.dumps(ENTITY) + "\n", encoding="utf-8")
    archive = tmp_path / "candidates.jsonl.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(entities, "candidates.jsonl")
    query, candidate = read("mewsli_x", [pairs])
    assert query["text"] == "Ada: { Ada } wrote it (here)."
    assert query["relevant"] == ["Q7259"]
    assert candidate == {
        "id": "Q7259",
        "side": "candidate",
        "language": "fr",
        "text": "Ada Lovelace. A mathematician.",
        "context": "",
        "relevant": [],
    }
    assert read("mewsli_x", [mentions, archive]) == [query, candidate]
    assert len(read("mewsli_x", [mentions, archive], {"candidates": "english"}, language="de")) == 1


def test_the_hubs_form_has_its_texts_put_together(tmp_path: Path) -> None:
    """Lines as process.py of izhx/mewsli-x writes them."""
    pairs, mentions, entities = (
        tmp_path / f"{name}.jsonl" for name in ("train", "test", "candidates")
    )
    text, about = "Ada: { Ada } wrote it (here).", "Ada Lovelace. A mathematician."
    pair = {"mention": text, "entity": about}
    pairs.write_text(f"{json.dumps(pair)}\n{json.dumps(pair)}\n", encoding="utf-8")
    mentions.write_text(json.dumps({"mention": text, "entity_id": "Q7259"}), encoding="utf-8")
    entities.write_text(
        json.dumps({"entity_id": "Q7259", "description": about, "description_language": "fr"}),
        encoding="utf-8",
    )
    one, candidate, other = read("mewsli_x", [pairs])
    # One entity of two pairs is one candidate, right for both.
    assert (one["id"], other["id"], one["relevant"]) == ("0", "1", other["relevant"])
    assert one["relevant"] == [candidate["id"]]
    assert (one["text"], candidate["text"], candidate["language"]) == (text, about, "")
    query, entity = read("mewsli_x", [mentions, entities], language="de")
    assert (query["text"], query["language"], query["relevant"]) == (text, "de", ["Q7259"])
    assert (entity["id"], entity["text"], entity["language"]) == ("Q7259", about, "fr")
    assert (
        len(read("mewsli_x", [mentions, entities], {"candidates": "english"}, language="de")) == 1
    )
    mentions.write_text(json.dumps({"mention": text, "qid": "Q7259"}), encoding="utf-8")
    with pytest.raises(BadData, match=r"test.jsonl:1: not a line of Mewsli-X.*'mention', 'qid'"):
        read("mewsli_x", [mentions, entities])
