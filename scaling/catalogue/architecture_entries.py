"""The architectures: one entry each, which `docs/models.md` explains field by field.

Names, shapes and formulas are those of transformers 5.23, and every size of the catalogue is held
against its class on the meta device (tests/end_to_end/test_architectures.py).
"""

from __future__ import annotations

from dataclasses import replace

from scaling.catalogue.architectures import Architecture, Kept, Precision, Shape


def _bert_layer(shape: Shape) -> int:
    h, f = shape.hidden, shape.ffn
    return 4 * (h * h + h) + (h * f + f) + (f * h + h) + 4 * h


def _learned(shape: Shape, types: int) -> int:
    return ((shape.positions or 0) + types) * shape.hidden


def _gated(shape: Shape) -> int:
    """Attention and a gated feed-forward layer, all without bias."""
    h = shape.hidden
    return 2 * h * shape.query_width + 2 * h * shape.key_width + 3 * h * shape.ffn


# Korthikanti et al. 2022, eq. 2, with attention never materialised: 32h in bf16 where ffn is 4h.
_BERT_KEPT: dict[Precision, Kept] = {
    "bf16": Kept(hidden=16, ffn=4, heads=4, norms=16),
    "fp32": Kept(hidden=32, ffn=8, heads=4, norms=16),
}

XLM_ROBERTA = Architecture(
    name="xlm-roberta",
    config_class="XLMRobertaConfig",
    model_class="XLMRobertaModel",
    # XXL's stored config.json has named another class than it is: any of the family will do, the
    # tensors decide.
    model_types=("roberta", "xlm-roberta", "xlm-roberta-xl"),
    prefixes=(("roberta.", ""),),
    written=True,
    positions="learned",
    # Behind the id of padding.
    first_position=2,
    types=1,
    form=(("<s>",), ("</s>", "</s>"), ("</s>",)),
    own_form=True,
    own_head=True,
    layer=_bert_layer,
    around=lambda shape: _learned(shape, 1) + 2 * shape.hidden,
    kept=_BERT_KEPT,
)

XLM_ROBERTA_XL = replace(
    XLM_ROBERTA,
    name="xlm-roberta-xl",
    config_class="XLMRobertaXLConfig",
    model_class="XLMRobertaXLModel",
    final_norm="encoder.LayerNorm",
    beside=lambda shape: 2 * shape.hidden,
    around=lambda shape: _learned(shape, 1),
)

BERT = replace(
    XLM_ROBERTA,
    name="bert",
    config_class="BertConfig",
    model_class="BertModel",
    model_types=("bert",),
    prefixes=(("bert.", ""),),
    dropped=("pooler.", "cls."),
    written=False,
    fixed={"use_cache": False},
    older_keys=("position_embedding_type", "gradient_checkpointing"),
    first_position=0,
    types=2,
    own_form=False,
    own_head=False,
    around=lambda shape: _learned(shape, 2) + 2 * shape.hidden,
)

_T5_DIMS = {
    "num_heads": "num_heads",
    "num_layers": "num_layers",
    "hidden": "d_model",
    "ffn": "d_ff",
    "vocab_rows": "vocab_size",
    "width_of_head": "d_kv",
}

MT5 = Architecture(
    name="mt5",
    config_class="MT5Config",
    # `MT5EncoderModel` holds its embeddings twice, and is not tied before weights are loaded.
    model_class="mt5.modeling_mt5:MT5Stack",
    model_types=("mt5",),
    embedding="embed_tokens",
    layers="block",
    final_norm="final_layer_norm",
    prefixes=(("shared.", "embed_tokens."), ("encoder.", "")),
    dropped=("decoder.", "lm_head."),
    dims=_T5_DIMS,
    # The fused activation is the same function and keeps 8 bytes an element instead of 14.
    fixed={
        "is_decoder": False,
        "is_encoder_decoder": False,
        "use_cache": False,
        "tie_word_embeddings": True,
        "dense_act_fn": "gelu_pytorch_tanh",
    },
    older_keys=(
        "dense_act_fn",
        "is_gated_act",
        "tie_word_embeddings",
        "tokenizer_class",
        "output_past",
        "scalable_attention",
    ),
    dropout=("dropout_rate",),
    packs=False,
    pooling="mean",
    anchor="last",
    language_model="none",
    lora=("SelfAttention.q", "SelfAttention.v"),
    modules=(
        "SelfAttention.q",
        "SelfAttention.k",
        "SelfAttention.v",
        "SelfAttention.o",
        "DenseReluDense.wi_0",
        "DenseReluDense.wi_1",
        "DenseReluDense.wo",
    ),
    layer=lambda shape: _gated(shape) + 2 * shape.hidden,
    # The last norm, and the bias of 32 distances for every head, which the first layer holds.
    beside=lambda shape: shape.hidden + 32 * shape.num_heads,
    kept={
        "bf16": Kept(hidden=20, ffn=8, query=14, scores=4, norms=8),
        "fp32": Kept(hidden=24, ffn=16, query=16, scores=4, norms=8),
    },
    masks=Kept(hidden=2, ffn=1),
)

UMT5 = replace(
    MT5,
    name="umt5",
    config_class="UMT5Config",
    model_class="umt5.modeling_umt5:UMT5Stack",
    model_types=("umt5",),
    # Every layer has its own bias of distances.
    layer=lambda shape: _gated(shape) + 2 * shape.hidden + 32 * shape.num_heads,
    beside=lambda shape: shape.hidden,
    # And so its own table of distances, once for all texts of a pass.
    kept={
        "bf16": Kept(hidden=20, ffn=8, query=14, scores=4.5, norms=8),
        "fp32": Kept(hidden=24, ffn=16, query=16, scores=4.5, norms=8),
    },
)

_LLAMA_DIMS = {
    "num_heads": "num_attention_heads",
    "num_layers": "num_hidden_layers",
    "hidden": "hidden_size",
    "ffn": "intermediate_size",
    "vocab_rows": "vocab_size",
    "heads_of_keys": "num_key_value_heads",
    "width_of_head": "head_dim",
}
_ROPE_KEYS = ("rope_theta", "rope_scaling")
_LLAMA_MODULES = (
    "self_attn.q_proj",
    "self_attn.k_proj",
    "self_attn.v_proj",
    "self_attn.o_proj",
    "mlp.gate_proj",
    "mlp.up_proj",
    "mlp.down_proj",
)

EUROBERT = Architecture(
    name="eurobert",
    config_class="EuroBertConfig",
    model_class="EuroBertModel",
    model_types=("eurobert",),
    embedding="embed_tokens",
    layers="layers",
    final_norm="norm",
    prefixes=(("model.", ""),),
    dropped=("lm_head.",),
    dims=_LLAMA_DIMS,
    fixed={"use_cache": False},
    # Of the repository's own code, which is never run: names of tokens, and what other heads pool.
    older_keys=(
        *_ROPE_KEYS,
        "bos_token",
        "pad_token",
        "eos_token",
        "mask_token",
        "clf_pooling",
        "hidden_dropout",
    ),
    # It was trained without dropout: a recipe's is the head's alone.
    dropout=(),
    special_ids=("bos_token_id", "pad_token_id", "eos_token_id", "mask_token_id"),
    word_mark=" ",
    lora=("q_proj", "v_proj"),
    modules=_LLAMA_MODULES,
    layer=lambda shape: _gated(shape) + 2 * shape.hidden,
    beside=lambda shape: shape.hidden,
    kept={
        "bf16": Kept(hidden=14, ffn=8, query=10, key=3, heads=4, norms=8, mask=2),
        "fp32": Kept(hidden=22, ffn=16, query=17, key=6, heads=4, norms=8, mask=4),
    },
    masks=Kept(hidden=0, ffn=0),
)

MODERNBERT = Architecture(
    name="modernbert",
    config_class="ModernBertConfig",
    model_class="ModernBertModel",
    model_types=("modernbert",),
    embedding="embeddings.tok_embeddings",
    layers="layers",
    final_norm="final_norm",
    # Its masked-LM head is XLM-R's without two of the biases; `head.` is what ours for tasks is
    # called.
    prefixes=(
        ("model.", ""),
        ("head.norm.", "lm_head.layer_norm."),
        ("head.", "lm_head."),
        ("decoder.", "lm_head.decoder."),
    ),
    dropped=("classifier.",),
    own_head=True,
    older_keys=(
        *_ROPE_KEYS,
        "global_rope_theta",
        "local_rope_theta",
        "global_attn_every_n_layers",
        "position_embedding_type",
        "gradient_checkpointing",
        "reference_compile",
        "repad_logits_with_grad",
        "tokenizer_class",
    ),
    agreeing={"layer_norm_eps": "norm_eps"},
    dropout=(),
    special_ids=(
        "bos_token_id",
        "pad_token_id",
        "eos_token_id",
        "cls_token_id",
        "sep_token_id",
        "mask_token_id",
    ),
    # Half of `local_attention` to each side, and the token itself.
    window=65,
    local_share=2 / 3,
    ends_on=(3, 1),
    word_mark=" ",
    lora=("Wqkv",),
    modules=("attn.Wqkv", "attn.Wo", "mlp.Wi", "mlp.Wo"),
    layer=lambda shape: 4 * shape.hidden**2 + 3 * shape.hidden * shape.ffn + 2 * shape.hidden,
    # The norms of the embeddings and of the end, less that of attention in the first layer.
    beside=lambda shape: shape.hidden,
    kept={
        "bf16": Kept(hidden=20, ffn=8, heads=4, norms=16, mask=2),
        "fp32": Kept(hidden=40, ffn=16, heads=4, norms=16, mask=4),
    },
    masks=Kept(hidden=0, ffn=0),
)

QWEN3 = replace(
    EUROBERT,
    name="qwen3",
    config_class="Qwen3Config",
    model_class="Qwen3Model",
    model_types=("qwen3",),
    older_keys=_ROPE_KEYS,
    dropout=("attention_dropout",),
    special_ids=("bos_token_id", "pad_token_id", "eos_token_id"),
    sees="left",
    form=((), ("\n",), ("<|endoftext|>",)),
    pooling="last",
    anchor="last",
    label_on="last",
    language_model="none",
    layer=lambda shape: _gated(shape) + 2 * shape.hidden + 2 * shape.width_of_head,
    kept={
        "bf16": Kept(hidden=17, ffn=8, query=12, key=10, heads=12, norms=8, mask=2),
        "fp32": Kept(hidden=30, ffn=15, query=19, key=17, heads=12, norms=8, mask=4),
    },
)

QWEN3_BIDIRECTIONAL = replace(
    QWEN3, name="qwen3-bidirectional", sees="both", fits=False, label_on="first"
)

GEMMA3 = replace(
    QWEN3,
    name="gemma3",
    config_class="Gemma3TextConfig",
    model_class="Gemma3TextModel",
    model_types=("gemma3_text",),
    older_keys=(
        *_ROPE_KEYS,
        "rope_local_base_freq",
        "sliding_window_pattern",
        "_sliding_window_pattern",
        "cache_implementation",
    ),
    form=(("<bos>",), ("\n",), ("<eos>",)),
    own_form=True,
    window=512,
    local_share=5 / 6,
    ends_on=(6, 0),
    layer=lambda shape: _gated(shape) + 4 * shape.hidden + 2 * shape.width_of_head,
    kept={
        "bf16": Kept(hidden=38, ffn=8, query=14, key=12, heads=12, norms=16, mask=2),
        "fp32": Kept(hidden=46, ffn=15, query=19, key=17, heads=12, norms=16, mask=4),
    },
)

ARCHITECTURES: dict[str, Architecture] = {
    entry.name: entry
    for entry in (
        XLM_ROBERTA,
        XLM_ROBERTA_XL,
        BERT,
        MT5,
        UMT5,
        EUROBERT,
        MODERNBERT,
        QWEN3,
        QWEN3_BIDIRECTIONAL,
        GEMMA3,
    )
}
"""Every architecture by name."""
