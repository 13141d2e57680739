"""A SentencePiece model as a `tokenizer.json`: repositories of T5's time have the former alone.

The `sentencepiece` package is not needed: its file is a protocol buffer, whose form transformers
brings. Ids are equal to the package's (tests/encoders/test_sentencepiece.py), bytes of characters
that have no piece included; but for a text that spells the name of a byte, as `<0x41>`, which is
that byte here.
"""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers.utils import sentencepiece_model_pb2_new

from scaling.data.schema import BadData
from scaling.store.place import sha256


def _long_pairs() -> list[tuple[str, str]]:
    """Two characters of six bytes or more together, and the one that Unicode composes of them.

    Without Hangul, which nobody writes in its parts.
    """
    whole = [chr(code) for code in range(0x900, 0x10000) if not 0xAC00 <= code < 0xD7A4]
    apart = [(unicodedata.normalize("NFD", one), one) for one in whole]
    return [
        (pair, one)
        for pair, one in apart
        if len(pair) == 2 and len(pair.encode()) >= 6 and unicodedata.normalize("NFC", pair) == one
    ]


def written_tokenizer(spiece: Path, folder: Path) -> Path:
    """The `tokenizer.json` of a Unigram model, written into a folder under a name of its own.

    With T5's form: `</s>` behind every text. BadData where the file is no such model.
    """
    # Its classes are made when it is imported, which no type checker sees.
    protocol: Any = sentencepiece_model_pb2_new
    model = protocol.ModelProto()
    try:
        model.ParseFromString(spiece.read_bytes())
    except DecodeError as error:
        raise BadData(f"{spiece}: not a SentencePiece model") from error
    trainer, normal = model.trainer_spec, model.normalizer_spec
    if trainer.model_type != trainer.UNIGRAM:
        raise BadData(f"{spiece}: not a Unigram model, which T5's are")
    pieces = [(piece.piece, piece.score) for piece in model.pieces]
    made = Tokenizer(
        models.Unigram(pieces, unk_id=trainer.unk_id, byte_fallback=trainer.byte_fallback)
    )
    steps: list[normalizers.Normalizer] = []
    if normal.precompiled_charsmap:
        # What comes next looks up no more than five bytes at a time, and would leave longer pairs
        # apart that the package composes, as vowels of Tamil.
        if "nfkc" in normal.name:
            steps += [normalizers.Replace(pair, whole) for pair, whole in _long_pairs()]
        steps.append(normalizers.Precompiled(normal.precompiled_charsmap))
    if normal.remove_extra_whitespaces:
        steps += [normalizers.Strip(), normalizers.Replace(Regex(" {2,}"), " ")]
    made.normalizer = normalizers.Sequence(steps)
    made.pre_tokenizer = pre_tokenizers.Metaspace(
        prepend_scheme="always" if normal.add_dummy_prefix else "never"
    )
    # Names that are in no text: they are put around it, or stand for what it hides.
    special = [
        piece.piece for piece in model.pieces if piece.type in (piece.CONTROL, piece.UNKNOWN)
    ]
    made.add_special_tokens(special)
    end = trainer.eos_piece or "</s>"
    number = made.token_to_id(end)
    if number is None:
        raise BadData(f"{spiece}: no {end!r}, which ends T5's texts")
    made.post_processor = processors.TemplateProcessing(
        single=f"$A {end}", pair=f"$A {end} $B {end}", special_tokens=[(end, number)]
    )
    path = folder / f"spiece-{sha256(spiece)[:12]}.json"
    path.write_text(json.dumps(json.loads(made.to_str()), ensure_ascii=False), encoding="utf-8")
    return path
