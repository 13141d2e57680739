"""Tiny models of every architecture, with the head of their hub repositories, saved as the hub
does, each with a tokenizer of its family's kind.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
import transformers
from huggingface_hub import save_torch_state_dict
from safetensors.torch import load_file
from tokenizers import (
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

from scaling.encoders.encoder import model_class
from tests.helpers.tiny import TEXT

PIECES = 380
_HIDDEN, _FFN, _HEADS, _KV_HEADS, _HEAD = 32, 48, 4, 2, 8
_COMMON = {"vocab_size": PIECES, "hidden_size": _HIDDEN, "intermediate_size": _FFN}
_LLAMA = {
    **_COMMON,
    "num_attention_heads": _HEADS,
    "num_key_value_heads": _KV_HEADS,
    "head_dim": _HEAD,
}
_T5 = {
    "vocab_size": PIECES,
    "d_model": _HIDDEN,
    "d_ff": _FFN,
    "num_heads": 3,
    "d_kv": _HEAD,
    "feed_forward_proj": "gated-gelu",
    "pad_token_id": 0,
    "eos_token_id": 1,
    "decoder_start_token_id": 0,
}
# Ends and padding stand behind all pieces, as in Qwen3 and EuroBERT.
_LAST = PIECES - 1

_BERT = {**_COMMON, "num_attention_heads": _HEADS, "pad_token_id": 1}
# Two places less for texts than rows: they begin behind the id of padding.
_XLMR = {**_BERT, "max_position_embeddings": 514, "type_vocab_size": 1, "layer_norm_eps": 1e-5}

HEADS: dict[str, tuple[str, dict[str, Any]]] = {
    "xlm-roberta": ("XLMRobertaForMaskedLM", _XLMR),
    "xlm-roberta-xl": ("XLMRobertaXLForMaskedLM", _XLMR),
    "bert": (
        "BertForMaskedLM",
        {**_BERT, "max_position_embeddings": 512, "layer_norm_eps": 1e-6},
    ),
    "mt5": ("MT5ForConditionalGeneration", {**_T5, "layer_norm_epsilon": 1e-4}),
    "umt5": ("UMT5ForConditionalGeneration", {**_T5, "layer_norm_epsilon": 1e-4}),
    "eurobert": (
        "EuroBertForMaskedLM",
        {
            **_LLAMA,
            "rms_norm_eps": 1e-4,
            "rope_theta": 250_000.0,
            "bos_token_id": _LAST - 1,
            "eos_token_id": _LAST,
            "pad_token_id": _LAST,
            "mask_token_id": _LAST - 2,
        },
    ),
    "modernbert": (
        "ModernBertForMaskedLM",
        {
            **_COMMON,
            "num_attention_heads": _HEADS,
            "local_attention": 16,
            "global_attn_every_n_layers": 3,
            "global_rope_theta": 160_000,
            "local_rope_theta": 160_000,
            "norm_eps": 1e-4,
            "bos_token_id": 2,
            "eos_token_id": 1,
            "pad_token_id": 0,
            "cls_token_id": 1,
            "sep_token_id": 1,
            "hidden_activation": "gelu",
        },
    ),
    "qwen3": (
        "Qwen3ForCausalLM",
        {
            **_LLAMA,
            "rms_norm_eps": 1e-4,
            "rope_theta": 1_000_000,
            "eos_token_id": _LAST,
            "bos_token_id": None,
            "pad_token_id": None,
            "tie_word_embeddings": True,
        },
    ),
    "gemma3": (
        "Gemma3ForCausalLM",
        {
            **_LLAMA,
            "num_key_value_heads": 1,
            "rms_norm_eps": 1e-4,
            "rope_theta": 1_000_000,
            "rope_local_base_freq": 10_000.0,
            "sliding_window": 16,
            "query_pre_attn_scalar": 16,
            "bos_token_id": 2,
            "eos_token_id": [1, 5],
            "pad_token_id": 0,
        },
    ),
}
"""Architecture → class at the hub, and a configuration in the words of the hub's files."""
HEADS["qwen3-bidirectional"] = HEADS["qwen3"]
_WITH_BEGIN = ("xlm-roberta", "xlm-roberta-xl", "bert")


def make_family(
    folder: Path, architecture: str, layers: int, seed: int = 0, **changed: Any
) -> dict[str, Any]:
    """A random model as a hub repository's folder; the ModelSpec fields that describe it.

    Args:
        folder: Where it goes.
        architecture: Its name.
        layers: How many it has.
        seed: Of its weights.
        changed: Keys of its configuration that are not the tiny models'.
    """
    name, fields = HEADS[architecture]
    fields = {**fields, **changed}
    head = getattr(transformers, name)
    number = "num_layers" if "d_model" in fields else "num_hidden_layers"
    folder.mkdir(parents=True)
    torch.manual_seed(seed)
    model = head(head.config_class(**fields, **{number: layers}))
    with torch.no_grad():
        for parameter in model.parameters():
            # Norms of one and biases of zero would hide a norm that is left out.
            if parameter.dim() < 2:
                parameter.add_(torch.randn_like(parameter) * 0.2)
            else:
                parameter.copy_(torch.randn_like(parameter) * 0.1)
    model.save_pretrained(folder)
    make_family_tokenizer(folder / "tokenizer.json", architecture)
    t5 = "d_model" in fields
    spec: dict[str, Any] = {
        "architecture": architecture,
        "family": f"tiny-{architecture}",
        "source": f"dir:{folder}",
        "num_layers": layers,
        "hidden": _HIDDEN,
        "ffn": _FFN,
        "num_heads": 3 if t5 else _HEADS,
        "vocab_rows": PIECES,
    }
    if "head_dim" in fields or t5:
        spec["head_size"] = _HEAD
    if "num_key_value_heads" in fields:
        spec["kv_heads"] = fields["num_key_value_heads"]
    if architecture == "bert":
        spec["positions"] = 512
    return spec


def as_at_the_hub(folder: Path, architecture: str) -> None:
    """Change a folder of `make_family` to the files that the family's repositories have.

    mT5: `pytorch_model.bin` that names the shared embeddings twice, and a `spiece.model` for a
    tokenizer; mmBERT: `pytorch_model.bin`; Qwen3: shards with an index. Others have one file of
    safetensors, as it is.
    """
    (whole,) = folder.glob("*.safetensors")
    state = load_file(whole)
    if architecture in ("mt5", "modernbert"):
        if architecture == "mt5":
            state["encoder.embed_tokens.weight"] = state["shared.weight"].clone()
            (folder / "tokenizer.json").unlink()
            make_spiece(folder / "spiece", [TEXT] * 20, PIECES)
        torch.save(state, folder / "pytorch_model.bin")
        whole.unlink()
    elif architecture.startswith("qwen3"):
        whole.unlink()
        save_torch_state_dict(
            state, folder, max_shard_size=sum(map(_bytes_of, state.values())) // 3
        )


def _bytes_of(tensor: torch.Tensor) -> int:
    return tensor.numel() * tensor.element_size()


def make_spiece(prefix: Path, texts: Iterable[str], pieces: int, **more: Any) -> Path:
    """A SentencePiece model of mT5's kind, made by the package: PREFIX.model.

    Args:
        prefix: Where it goes, without the ending.
        texts: What it is trained on.
        pieces: How many it gets at most.
        more: Further arguments of the package's trainer.
    """
    import sentencepiece

    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts),
        model_prefix=str(prefix),
        model_type="unigram",
        vocab_size=pieces,
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
        minloglevel=2,
        num_threads=1,
        **{"byte_fallback": True, "hard_vocab_limit": False, **more},
    )
    prefix.with_suffix(".vocab").unlink()
    return prefix.with_suffix(".model")


def make_family_tokenizer(
    path: Path, architecture: str, texts: Iterable[str] = (), pieces: int = PIECES
) -> None:
    """A tokenizer of the kind that an architecture's models have.

    Args:
        path: Where it goes.
        architecture: Unigram for XLM-R, mT5 and E5, BPE of bytes for Qwen3 and EuroBERT, BPE with
            bytes to fall back on for the others; `mbert` for WordPiece in the form of multilingual
            BERT.
        texts: What it is trained on; the tiny study's by default.
        pieces: How many it gets at most.
    """
    texts = list(texts) or [TEXT] * 20
    if architecture in ("mt5", "umt5", *_WITH_BEGIN):
        made = _unigram(texts, pieces, architecture)
    elif architecture in ("eurobert", "qwen3", "qwen3-bidirectional"):
        made = _bytes(texts, pieces, architecture)
    elif architecture == "mbert":
        made = _wordpiece(texts, pieces)
    else:
        made = _fallback(texts, pieces, architecture)
    made.save(str(path))


def _unigram(texts: list[str], pieces: int, architecture: str) -> Tokenizer:
    made = Tokenizer(models.Unigram())
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    names = ["<pad>", "</s>", "<unk>"]
    if architecture in _WITH_BEGIN:
        names = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    made.train_from_iterator(
        texts,
        trainers.UnigramTrainer(
            vocab_size=pieces, special_tokens=names, unk_token="<unk>", show_progress=False
        ),
    )
    end = ("</s>", made.token_to_id("</s>"))
    if architecture in _WITH_BEGIN:
        _around(made, "<s> $A </s>", "<s> $A </s> </s> $B </s>", [("<s>", 0), end])
    else:
        _around(made, "$A </s>", "$A </s> $B </s>", [end])
    return made


# How Llama 3, and with single digits Qwen, part texts before pieces are made. Signs that combine
# with letters, as vowels of Hindi and Thai, are no letters there.
_WORDS_OF_BYTES = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}{digits}"
    r"| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def _bytes(texts: list[str], pieces: int, architecture: str) -> Tokenizer:
    """Special tokens follow the pieces and take the last ids."""
    made = Tokenizer(models.BPE())
    if architecture != "eurobert":
        made.normalizer = normalizers.NFC()
    digits = "{1,3}" if architecture == "eurobert" else ""
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_WORDS_OF_BYTES.format(digits=digits)), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    made.decoder = decoders.ByteLevel()
    names = ["<|mask|>", "<|begin_of_text|>", "<|end_of_text|>"]
    if architecture != "eurobert":
        names = ["<|im_start|>", "<|im_end|>", "<|endoftext|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    made.train_from_iterator(
        texts,
        trainers.BpeTrainer(vocab_size=pieces - 3, initial_alphabet=alphabet, show_progress=False),
    )
    made.add_special_tokens(names)
    if architecture == "eurobert":
        own = [(name, made.token_to_id(name)) for name in names[1:]]
        begin, end = names[1:]
        _around(made, f"{begin} $A {end}", f"{begin} $A {end} {begin} $B {end}", own)
    else:
        made.post_processor = processors.ByteLevel(trim_offsets=False)
    return made


def _wordpiece(texts: list[str], pieces: int) -> Tokenizer:
    """Of multilingual BERT, cased: accents stay, every Chinese character is a word."""
    made = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer(lowercase=False, strip_accents=False)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.decoder = decoders.WordPiece()
    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    made.train_from_iterator(
        texts,
        trainers.WordPieceTrainer(vocab_size=pieces, special_tokens=names, show_progress=False),
    )
    own = [(name, names.index(name)) for name in ("[CLS]", "[SEP]")]
    _around(made, "[CLS] $A [SEP]", "[CLS] $A [SEP] $B [SEP]", own)
    return made


def _fallback(texts: list[str], pieces: int, architecture: str) -> Tokenizer:
    made = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    # No piece of Gemma's crosses a word; it splits nowhere once it is trained.
    made.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never")
    names = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>"]
    values = [f"<0x{value:02X}>" for value in range(256)]
    made.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=pieces, special_tokens=[*names, *values], show_progress=False
        ),
    )
    made.normalizer = normalizers.Replace(" ", "▁")
    made.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    begin, end = ("<bos>", 2), ("<eos>", 1)
    if architecture == "modernbert":
        _around(made, "<bos> $A <eos>", "<bos> $A <eos> $B <eos>", [begin, end])
    else:
        _around(made, "<bos> $A", "<bos> $A <bos> $B", [begin])
    return made


def _around(made: Tokenizer, single: str, pair: str, special: list[tuple[str, int]]) -> None:
    made.post_processor = processors.TemplateProcessing(
        single=single, pair=pair, special_tokens=special
    )


def reference_encoder(folder: Path, architecture: str) -> Any:
    """The encoder as `from_pretrained` of transformers reads the folder, in fp32."""
    if architecture in ("mt5", "umt5"):
        name = architecture.upper()
        config = getattr(transformers, f"{name}Config").from_pretrained(folder)
        # The same function as gelu_new, in one kernel.
        config.dense_act_fn = "gelu_pytorch_tanh"
        whole = getattr(transformers, f"{name}EncoderModel").from_pretrained(folder, config=config)
        return whole.encoder.eval()
    return model_class(architecture).from_pretrained(folder).eval()
