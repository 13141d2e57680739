"""Fifteen per cent, masked the same way for the same text, seed and epoch; logits where something
is masked.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from scaling.catalogue.task import Key
from scaling.data.batching import collate
from scaling.data.features import as_features
from scaling.kinds import KINDS
from scaling.kinds.heads import TiedHead
from scaling.kinds.kind import IGNORED, Part, scores
from tests.helpers.making import SENTENCES, recipe, table, task, tokenizer

KIND = KINDS["masked_lm"]
MLM = task("masked_lm", "tag_f1")
ROWS = table(
    "masked_lm", [{"id": code, "text": " ".join([text] * 3)} for code, text in SENTENCES.items()]
)


def features(max_length: int = 40) -> Any:
    return KIND.encode(ROWS, MLM, tokenizer(), recipe(MLM, max_length=max_length))


def test_long_texts_become_several_sequences_and_nothing_is_lost() -> None:
    made = features().to_pylist()
    for at, text in enumerate(ROWS["text"].to_pylist()):
        lengths = [(one["input_ids"], one["target"]["length"]) for one in made if one["row"] == at]
        joined = [token for ids, length in lengths for token in ids[1 : length - 1]]
        assert joined == tokenizer().encode(text, add_special_tokens=False).ids
        assert all(length <= 40 for _, length in lengths)


def test_masking_depends_on_text_and_draw_alone() -> None:
    ready = as_features(features(), None)
    kept = [collate(ready, KIND, [0, 3], draw=7), collate(ready, KIND, [3, 1, 0], draw=7)]
    length = int(kept[0].mask[1].sum())
    assert torch.equal(kept[0].input_ids[1, :length], kept[1].input_ids[0, :length])
    masked = [
        [
            (at % one.mask.shape[1], was)
            for at, was in one.targets.tolist()
            if at // one.mask.shape[1] == row
        ]
        for one, row in zip(kept, (1, 0), strict=True)
    ]
    assert masked[0] == masked[1] and masked[0]
    assert not torch.equal(
        collate(ready, KIND, [0], draw=8).targets, collate(ready, KIND, [0], draw=7).targets
    )
    # The weight of a batch does not hang on the draw: it is what all micro-batches are divided by.
    for draw in range(5):
        batch = collate(ready, KIND, [0, 1, 2], draw=draw)
        assert len(batch.targets) == batch.weight == KIND.loss_weight(ready.targets[:3])


def test_eight_in_ten_are_masked_one_is_another_token_one_stays() -> None:
    made = features().to_pylist()
    mask = tokenizer().token_to_id("<mask>")
    fates = {"mask": 0, "other": 0, "same": 0}
    masked = tokens = 0
    for one in made:
        ids = np.array(one["input_ids"])
        for draw in range(40):
            changed, labels = KIND.corrupt(ids, one["target"], draw)  # type: ignore[misc]
            chosen = labels != IGNORED
            assert (
                (changed[~chosen] == ids[: len(changed)][~chosen]).all()
                and not chosen[0]
                and not chosen[-1]
            )
            assert (labels[chosen] == ids[: len(changed)][chosen]).all()
            masked, tokens = masked + int(chosen.sum()), tokens + len(chosen) - 2
            for now, before in zip(changed[chosen], labels[chosen], strict=True):
                fates["mask" if now == mask else "same" if now == before else "other"] += 1
    assert 0.13 < masked / tokens < 0.17
    assert abs(fates["mask"] / masked - 0.8) < 0.03
    assert abs(fates["same"] / masked - 0.1) < 0.03


def test_a_trimmed_vocabulary_keeps_what_masking_needs() -> None:
    made = features()
    kept = np.union1d([0, 1, 2, 3], made["input_ids"].combine_chunks().values.to_numpy())
    lookup = np.full(300, -1)
    lookup[kept] = np.arange(len(kept))
    trimmed, whole = as_features(made, lookup), as_features(made, None)
    for at in range(made.num_rows):
        small, large = collate(trimmed, KIND, [at], draw=3), collate(whole, KIND, [at], draw=3)
        assert torch.equal(torch.from_numpy(kept)[small.input_ids], large.input_ids)
        assert torch.equal(small.targets[:, 0], large.targets[:, 0])


def test_logits_at_masked_positions_only_by_the_embeddings_themselves() -> None:
    batch = collate(as_features(features(), None), KIND, [0, 1, 2])
    embeddings = torch.nn.Embedding(260, 8)
    head = TiedHead(8)
    head.tie(embeddings)
    asked: list[int] = []
    head.register_forward_hook(lambda module, given, logits: asked.append(logits.numel()))
    hidden = torch.randn(*batch.input_ids.shape, 8)
    KIND.loss(head, hidden, batch.mask, batch.targets, batch.units).backward()
    assert asked == [int(batch.weight) * 260]
    assert embeddings.weight.grad is not None
    assert not any(name.startswith("_embeddings") for name, _ in head.named_parameters())


def test_found_tokens_are_counted_by_text() -> None:
    made = features()
    found = [np.ones(KIND.loss_weight([target]).__int__()) for target in made["target"].to_pylist()]
    found[0][0] = 0
    outcomes = KIND.outcomes(
        Part(key=Key("dev", "en"), rows=ROWS, features=made, predictions=found), MLM
    )
    total = KIND.loss_weight(made["target"].to_pylist())
    assert scores(outcomes, 0.0)[0].value == (total - 1) / total
