"""Scores against independent scorers, and rows read against the manifest. `python -m
benchmarks.parity` prints a table.

Oracles: seqeval, scikit-learn, pytrec_eval, torchmetrics (all for tests only), and
tests/helpers/answer_rules.py, the SQuAD and MLQA rules written a second time. Inputs: adversarial
random ones, and, where ../shared/data is there, real tag sequences and questions with predictions
that are spans and tags taken from the same files. A figure is the largest difference between our
number and the oracle's over all cases; a case is one question, one ranking or one small corpus.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator
from fnmatch import fnmatch
from random import Random
from typing import Any

import seqeval.metrics as seqeval
from sklearn.metrics import accuracy_score, average_precision_score, precision_recall_fscore_support

from benchmarks.results_table import write_results
from benchmarks.round_trips import predicted, round_trips
from scaling.catalogue import TASKS
from scaling.kinds.metrics import METRICS, aggregate
from scaling.kinds.metrics.mining import best_threshold
from tests.helpers import adversarial, answer_rules
from tests.helpers.reading import SHARED, num_examples, read, read_task
from tests.helpers.shared_files import NOT_READ, RULES, files_of, manifest

CASES = 10_000
METRIC_NAMES = ("span F1", "accuracy", "SQuAD 1.1", "SQuAD 2.0", "MLQA", "mAP", "BUCC")
TOLERANCE = 1e-9
Pair = tuple[list[float], list[float]]
"""Our numbers and the oracle's for one case."""


def tags(sentences: Iterator[tuple[list[list[str]], list[list[str]]]]) -> Iterator[Pair]:
    for guessed, gold in sentences:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            theirs = [score(gold, guessed) for score in _SEQEVAL]
        yield [*aggregate(METRICS["span_f1"](guessed, gold, "")).values()], theirs


_SEQEVAL = (seqeval.f1_score, seqeval.precision_score, seqeval.recall_score)


def answers(
    metric: str, oracle: Callable[..., tuple[float, float]], questions: Iterator[Any], *rules: str
) -> Iterator[Pair]:
    for prediction, golds in questions:
        outcome = METRICS[metric]([prediction], [golds], *(rules or ("",)))[0]
        yield (
            [float(outcome[name] or 0) for name in ("f1", "exact_match")],
            [*oracle(prediction, golds, *rules)],
        )


def torchmetrics_squad2(prediction: str, golds: list[str]) -> tuple[float, float]:
    """SQuAD 2.0 on the tokens and exact matches of torchmetrics, whose own F1 is in single
    precision.
    """
    import torchmetrics.functional.text  # noqa: F401

    theirs = sys.modules["torchmetrics.functional.text.squad"]
    kept = [gold for gold in golds if theirs._normalize_text(gold)] or [""]
    tokens, gold_tokens = (
        theirs._get_tokens(prediction),
        [theirs._get_tokens(gold) for gold in kept],
    )
    f1 = max(
        answer_rules.token_f1(tokens, gold) if tokens and gold else float(tokens == gold)
        for gold in gold_tokens
    )
    return f1, max(float(theirs._compute_exact_match_score(prediction, gold)) for gold in kept)


def rankings(random: Random) -> Iterator[Pair]:
    import pytrec_eval

    ids = [f"d{number:03}" for number in range(60)]
    for _ in range(CASES):
        relevant, ranking = random.sample(ids, random.randint(1, 30)), random.sample(ids, 60)
        judged = pytrec_eval.RelevanceEvaluator({"q": dict.fromkeys(relevant, 1)}, {"map_cut.20"})
        theirs = judged.evaluate(
            {"q": {name: float(60 - rank) for rank, name in enumerate(ranking)}}
        )
        yield (
            [METRICS["map_at_20"]([ranking], [relevant], "")[0]["map_at_20"] or 0.0],
            [theirs["q"]["map_cut_20"]],
        )


def uncut_rankings(random: Random) -> Iterator[Pair]:
    for _ in range(CASES):
        ids = [str(number) for number in range(random.randint(1, 20))]
        relevant, ranking = (
            set(random.sample(ids, random.randint(1, len(ids)))),
            random.sample(ids, len(ids)),
        )
        theirs = average_precision_score(
            [name in relevant for name in ranking], range(len(ids), 0, -1)
        )
        yield [METRICS["map_at_20"]([ranking], [relevant], "")[0]["map_at_20"] or 0.0], [theirs]


def random_labels(random: Random) -> Iterator[Any]:
    for _ in range(CASES):
        gold = [random.choice("abc") for _ in range(random.randint(1, 12))]
        yield [random.choice("abc") for _ in gold], gold


def accuracies(groups: Iterator[Any]) -> Iterator[Pair]:
    for guessed, gold in groups:
        yield (
            [aggregate(METRICS["accuracy"](guessed, gold, ""))["accuracy"]],
            [accuracy_score(gold, guessed)],
        )


def mined(random: Random) -> Iterator[Pair]:
    """The threshold by exhaustive search, then F1 of the pairs above it by scikit-learn."""
    for _ in range(CASES):
        margins = sorted(
            (random.randint(0, 9) / 4 for _ in range(random.randint(1, 12))), reverse=True
        )
        right = [random.random() < 0.5 for _ in margins]
        missed = random.randint(0 if any(right) else 1, 3)
        threshold, best = best_threshold(margins, right, sum(right) + missed)
        kept = [["x"] if margin >= threshold else [] for margin in margins] + [[]] * missed
        gold = [["x"] if is_right else ["y"] for is_right in right] + [["x"]] * missed
        gold = [one if one == ["x"] else [] for one in gold]
        scores = aggregate(METRICS["mining_f1"](kept, gold, ""))
        flat = ([bool(one) for one in gold], [bool(one) for one in kept])
        precision, recall, f1, _ = precision_recall_fscore_support(
            *flat, average="binary", zero_division=0
        )
        cuts = [sum(margin >= cut for margin in margins) for cut in margins]
        top = max(2 * sum(right[:count]) / (count + sum(right) + missed) for count in cuts)
        yield [best, *scores.values()], [top, f1, precision, recall]


def random_tags(random: Random) -> Iterator[Any]:
    return (adversarial.tagged(random) for _ in range(CASES))


def random_questions(random: Random, fewest: int) -> Iterator[Any]:
    return (adversarial.question(random, fewest_answers=fewest) for _ in range(CASES))


def real_tags(name: str, random: Random) -> Iterator[Any]:
    """Real sentences, four at a time, each tag kept with the corpus's own chance; the rest drawn
    from the file.
    """
    task = TASKS[name]
    for language in task.languages:
        gold = [row["tags"] for row in read_task(task, task.data[0], language, "test", [])]
        pool = [tag for one in gold for tag in one]
        keep = random.uniform(0.3, 1.0)
        predicted = [
            [tag if random.random() < keep else random.choice(pool) for tag in one] for one in gold
        ]
        yield from ((predicted[at : at + 4], gold[at : at + 4]) for at in range(0, len(gold), 4))


def real_questions(language: str, random: Random) -> Iterator[Any]:
    """Real questions of XQuAD; the prediction is a span near the answer, cut out of the real
    paragraph.
    """
    task = TASKS["xquad_files"]
    for row in read_task(task, task.data[0], language, "test", []):
        answer = row["answers"][0]
        begin = max(0, answer["start"] + random.choice((0, 0, 0, -6, 3, -1)))
        end = answer["start"] + len(answer["text"]) + random.choice((0, 0, 0, 5, -2))
        yield row["context"][begin:end], [item["text"] for item in row["answers"]]


def comparisons() -> Iterator[tuple[str, Iterator[Pair]]]:
    """Figure → its cases, each figure with random numbers of its own."""
    squad1, squad2 = answer_rules.squad1, answer_rules.squad2
    yield "span F1, adversarial tags, against seqeval 1.2.2", tags(random_tags(Random(1)))
    yield "accuracy, against scikit-learn", accuracies(random_labels(Random(2)))
    yield (
        "SQuAD 1.1, adversarial, against rules written twice",
        answers("squad1", squad1, random_questions(Random(3), 1)),
    )
    yield (
        "SQuAD 2.0, adversarial, against rules written twice",
        answers("squad2", squad2, random_questions(Random(4), 0)),
    )
    yield (
        "SQuAD 2.0, adversarial, against torchmetrics' rules",
        answers("squad2", torchmetrics_squad2, random_questions(Random(5), 0)),
    )
    for code in TASKS["mlqa"].languages:
        questions = random_questions(Random(6), 1)
        yield (
            f"MLQA {code}, adversarial, against rules written twice",
            answers("mlqa", squad1, questions, code),
        )
    yield "mAP@20, against trec_eval", rankings(Random(7))
    yield "mAP, nothing cut, against scikit-learn", uncut_rankings(Random(8))
    yield "BUCC threshold and F1, against search and scikit-learn", mined(Random(9))
    if SHARED.is_dir():
        yield (
            "span F1, real UD-POS of 41 languages, against seqeval",
            tags(real_tags("udpos_files", Random(10))),
        )
        yield (
            "span F1, real MasakhaNER of 20 languages, against seqeval",
            tags(real_tags("masakhaner2", Random(11))),
        )
        xquad = (
            pair
            for code in TASKS["xquad_files"].languages
            for pair in real_questions(code, Random(12))
        )
        yield (
            "SQuAD 1.1, real XQuAD of 12 languages, against rules written twice",
            answers("squad1", squad1, xquad),
        )
        both = sorted({*TASKS["mlqa"].languages} & {*TASKS["xquad_files"].languages})
        pairs = (
            pair
            for code in both
            for pair in answers("mlqa", squad1, real_questions(code, Random(13)), code)
        )
        yield "MLQA, real XQuAD of 7 languages, against rules written twice", pairs
    # Predictions that our own models made, where `make study-real` has run.
    if any(True for _ in predicted("tagging")):
        own = (
            ([one], [right])
            for _, *both in predicted("tagging")
            for one, right in zip(*both, strict=True)
        )
        yield "span F1, real predictions of our models, against seqeval", tags(own)
        asked = (pair for _, *both in predicted("span_qa") for pair in zip(*both, strict=True))
        yield (
            "SQuAD 1.1, real predictions of our models, rules written twice",
            answers("squad1", squad1, asked),
        )
        # XQuAD's predictions, scored by MLQA's rules for their language and, where it has none, for
        # English.
        ruled = (
            pair
            for language, *both in predicted("span_qa")
            for pair in answers(
                "mlqa",
                squad1,
                zip(*both, strict=True),
                language if language in TASKS["mlqa"].languages else "en",
            )
        )
        yield "MLQA, real predictions of our models, rules written twice", ruled
        chosen = (
            (guessed[at : at + 4], gold[at : at + 4])
            for kind in ("classification", "multiple_choice", "retrieval")
            for _, guessed, gold in predicted(kind)
            for at in range(0, len(gold), 4)
        )
        yield "accuracy, real predictions of our models, against scikit-learn", accuracies(chosen)


def manifest_rows() -> tuple[int, int, int]:
    """(files read, files whose rows differ from the manifest, examples read)."""
    num_files, wrong, examples = 0, 0, 0
    for entry in manifest():
        if entry["path"] in NOT_READ:
            continue
        reader, options, names = next(rule[1:] for rule in RULES if fnmatch(entry["path"], rule[0]))
        found = num_examples(
            read(reader, files_of(entry["path"]), options, labels=names, language=entry["language"])
        )
        num_files, examples = num_files + 1, examples + found
        wrong += found != int(entry["n_examples"])
    return num_files, wrong, examples


def main() -> None:
    rows: list[dict[str, Any]] = []
    counts: dict[str, dict[str, int]] = {}
    for figure, cases in comparisons():
        count, worst = 0, 0.0
        for ours, theirs in cases:
            assert len(ours) == len(theirs), (ours, theirs)
            count += 1
            worst = max([worst, *(abs(a - b) for a, b in zip(ours, theirs, strict=True))])
        met = worst <= TOLERANCE and count >= (CASES if "real" not in figure else 1)
        value = f"{worst:.1e} over {count:,} cases"
        rows.append(
            {"figure": figure, "target": f"equal to {TOLERANCE:g}", "value": value, "met": met}
        )
        print(f"{'met ' if met else 'MISS'} {figure:<66} {value}", flush=True)
        metric = next(name for name in METRIC_NAMES if figure.startswith(name))
        sort = (
            "of our models"
            if "of our models" in figure
            else "real files"
            if "real" in figure
            else "random"
        )
        counts.setdefault(metric, {}).setdefault(sort, 0)
        counts[metric][sort] += count
    for metric, by_sort in counts.items():
        value = ", ".join(
            f"{by_sort.get(sort, 0):,} {sort}" for sort in ("of our models", "real files", "random")
        )
        met = sum(by_sort.values()) >= CASES
        rows.append(
            {"figure": f"{metric}: cases", "target": f"≥ {CASES:,}", "value": value, "met": met}
        )
        print(f"{'met ' if met else 'MISS'} {metric + ': cases':<66} {value}", flush=True)
    if SHARED.is_dir():
        num_files, wrong, examples = manifest_rows()
        value = (
            f"{num_files - wrong} of {num_files} files, {examples:,} examples; {len(NOT_READ)}"
            " files without a reader"
        )
        figure = "rows read = rows in the manifest"
        rows.append({"figure": figure, "target": "all files", "value": value, "met": not wrong})
        print(f"{'met ' if not wrong else 'MISS'} {figure:<66} {value}")
        for path, reason in NOT_READ.items():
            print(f"     not read: {path}: {reason}")
        rows += round_trips()
    write_results("parity", rows)


if __name__ == "__main__":
    main()
