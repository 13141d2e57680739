"""The form of texts comes from the tokenizer; what is not in it from the architecture."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("tokenizers")

from tokenizers import Tokenizer, processors

from scaling.catalogue.architecture_entries import ARCHITECTURES
from scaling.data.schema import BadData
from scaling.data.tokens import text_form
from scaling.kinds.text import XLMR_FORM
from tests.helpers.tiny_families import PIECES, make_family_tokenizer

LAST = PIECES - 1


@pytest.mark.parametrize(
    ("architecture", "around"),
    [
        ("mt5", ((), (1,), (1,))),
        ("bert", ((0,), (2, 2), (2,))),
        ("modernbert", ((2,), (1,), (1,))),
        ("eurobert", ((LAST - 1,), (LAST, LAST - 1), (LAST,))),
        ("gemma3", ((2,), None, (1,))),
        ("qwen3", ((), None, (LAST,))),
    ],
)
def test_what_stands_around_texts(
    architecture: str, around: tuple[tuple[int, ...] | None, ...], tmp_path: Path
) -> None:
    path = tmp_path / "tokenizer.json"
    make_family_tokenizer(path, architecture)
    entry = ARCHITECTURES[architecture]
    form = text_form(path, entry)
    between = around[1]
    if between is None:
        # A line break, by its own pieces.
        tokenizer = Tokenizer.from_file(str(path))
        between = tuple(tokenizer.encode("\n", add_special_tokens=False).ids)
    assert (form.before, form.between, form.after) == (around[0], between, around[2])
    assert (form.anchor, form.label_on, form.word_mark) == (
        entry.anchor,
        entry.label_on,
        entry.word_mark,
    )


def test_xlmr_keeps_its_own_form_whatever_a_template_says(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    make_family_tokenizer(path, "mt5")
    assert text_form(path, ARCHITECTURES["xlm-roberta"]) is XLMR_FORM
    assert text_form(path, ARCHITECTURES["xlm-roberta-xl"]) is XLMR_FORM


def test_a_tokenizer_without_a_form_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    make_family_tokenizer(path, "mt5")
    plain = Tokenizer.from_file(str(path))
    plain.post_processor = processors.Sequence([])
    bare = tmp_path / "bare.json"
    plain.save(str(bare))
    with pytest.raises(BadData, match="puts no token around texts, and mt5 has no form"):
        text_form(bare, ARCHITECTURES["mt5"])
    with pytest.raises(BadData, match="no token '<bos>'"):
        text_form(bare, ARCHITECTURES["gemma3"])
    plain.post_processor = processors.TemplateProcessing(
        single="$A </s>", pair="</s> $A $B", special_tokens=[("</s>", 1)]
    )
    odd = tmp_path / "odd.json"
    plain.save(str(odd))
    with pytest.raises(BadData, match="other tokens around a pair"):
        text_form(odd, ARCHITECTURES["mt5"])
