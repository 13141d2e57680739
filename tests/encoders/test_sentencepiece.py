"""A `spiece.model` becomes a `tokenizer.json` with the ids of the `sentencepiece` package."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

pytest.importorskip("transformers")
pytest.importorskip("sentencepiece")

import sentencepiece as package

from scaling.catalogue.architecture_entries import ARCHITECTURES
from scaling.data.schema import BadData
from scaling.data.tokens import load_tokenizer, text_form
from scaling.encoders.sentencepiece import written_tokenizer
from tests.helpers.tiny import TEXT
from tests.helpers.tiny_families import make_spiece

LINES = (
    *(" ".join(TEXT.split()[at : at + 9]) for at in range(0, 40, 3)),
    "  two  spaces and a\ttab ",
    "ﬁne ＡＢＣ ① ½",
    "नमस्ते दुनिया",
    "مرحبا بالعالم",
    "สวัสดีชาวโลก",
    "你好，世界 𠮷",
    "ዓለም 👍🏽",
    "</s> <pad> <unk>",
    "",
    " ",
)


def differing(spiece: Path, made: Path, lines: list[str]) -> list[str]:
    """Lines whose ids differ."""
    source = package.SentencePieceProcessor(model_file=str(spiece))
    tokenizer = load_tokenizer(made)
    found = tokenizer.encode_batch(lines, add_special_tokens=False)
    return [line for line, one in zip(lines, found, strict=True) if one.ids != source.encode(line)]


@pytest.mark.parametrize("byte_fallback", [False, True])
def test_ids_are_those_of_the_package(byte_fallback: bool, tmp_path: Path) -> None:
    spiece = make_spiece(
        tmp_path / "spiece",
        [TEXT] * 20,
        360 if byte_fallback else 110,
        byte_fallback=byte_fallback,
    )
    made = written_tokenizer(spiece, tmp_path)
    assert differing(spiece, made, list(LINES)) == []
    form = text_form(made, ARCHITECTURES["mt5"])
    assert (form.before, form.between, form.after, form.unk) == ((), (1,), (1,), 2)
    # The same model gives the same file, whose hash is part of a step's identity.
    assert written_tokenizer(spiece, tmp_path) == made


def test_what_is_no_unigram_model_is_refused(tmp_path: Path) -> None:
    broken = tmp_path / "spiece.model"
    broken.write_bytes(b"not one")
    with pytest.raises(BadData, match="not a SentencePiece model"):
        written_tokenizer(broken, tmp_path)


LANGUAGES = (
    "amh ara ben cmn deu ell fra heb hin hun jpn kat kor mar rus swh tam tel tha tur urd vie"
)


@pytest.mark.slow
def test_ids_are_those_of_the_package_in_twenty_languages(tmp_path: Path) -> None:
    folder = Path(os.environ.get("DATA", "../shared/data")) / "tatoeba"
    if not folder.is_dir():
        pytest.skip(f"no real text in {folder}")
    texts = {
        code: (folder / f"tatoeba.{code}-eng.{code}").read_text(encoding="utf-8").splitlines()
        for code in LANGUAGES.split()
    }
    lines = [line for own in texts.values() for line in own[:150]]
    assert len(texts) >= 20 and len(lines) >= 2_000
    # Trained without a part of the text, so that some characters have no piece.
    spiece = make_spiece(
        tmp_path / "spiece",
        (line for code, own in texts.items() for line in own[150:] if code not in ("amh", "kat")),
        6_000,
        character_coverage=0.995,
    )
    made = written_tokenizer(spiece, tmp_path)
    assert differing(spiece, made, lines) == []
    assert json.loads(made.read_text(encoding="utf-8"))["model"]["byte_fallback"]
