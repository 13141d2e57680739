"""What must hold together in the rows of a task, checked once, when they are staged.

Readers see one file, and kinds trust the rows. What is here would give a number without a word: a
right candidate that is not in the pool, one answer under two ids, a language that was read from
another's file, a column of word numbers in the place of the words.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from scaling.catalogue.task import Key, TaskSpec
from scaling.data.readers.raw import MOST_DEFECTS, count_defect
from scaling.data.schema import BadData, Row

_OF_WORDS = ("empty_word", "untagged_word")
_LEFT_OUT = ("masked_text", "unlabelled")


def check_defects(
    task: TaskSpec, key: Key, rows: Sequence[Row], defects: Iterable[str], accepted: Collection[str]
) -> None:
    """BadData where more is wrong with a split than was accepted.

    Of a defect that the task's `defects` count, exactly so many; of any other at most MOST_DEFECTS
    of the split, and never all of a class.

    Args:
        task: whose split it is.
        key: which split.
        rows: of the split.
        defects: lines that begin with a defect's name, one for each that was found.
        accepted: names of defects that are counted instead of refused.
    """
    found = Counter(line.partition(":")[0] for line in defects)
    place = f"task {task.name}, {key}"
    for name in sorted({*found, *task.defects} - {"size"}):
        expected = task.defects.get(name, {})
        due = expected.get(str(key), expected.get(key.split))
        if due is not None and found[name] != due:
            raise BadData(
                f"{place}: {found[name]:,} × {name} where {due:,} are expected: another version of"
                " the data. Correct `defects` of the task"
            )
        if due is not None:
            continue
        whole = (
            sum(len(row["words"]) for row in rows)
            if name in _OF_WORDS
            else len(rows) + sum(found[one] for one in _LEFT_OUT)
        )
        if found[name] > MOST_DEFECTS * whole:
            raise BadData(
                f"{place}: {found[name]:,} × {name} of {whole:,} are more than {MOST_DEFECTS:.0%}:"
                " that would move the score. Mend the data or how they are read; if they are meant"
                f" to be so, write the count into the task: `defects: {{{name}: {{{key}:"
                f" {found[name]}}}}}`"
            )
    if task.kind == "classification" and found["unlabelled"]:
        there = {row["label"] for row in rows}
        gone = [label for label in task.labels if label not in there]
        if gone and "unlabelled" not in task.defects:
            raise BadData(
                f"{place}: {found['unlabelled']:,} rows without a label, and none of the class"
                f" {gone[0]!r}: is that how the file writes it? Name it in `label_map`"
            )


def check_words(task: TaskSpec, key: Key, rows: Sequence[Row]) -> None:
    """BadData where the words of most sentences are their own numbers: a column too far left."""
    if task.kind != "tagging":
        return
    counting = sum(_counts(row["words"]) for row in rows)
    if counting > len(rows) / 2:
        raise BadData(
            f"task {task.name}, {key}: the words of {counting:,} of {len(rows):,} sentences"
            f" count 1, 2, 3: {' '.join(rows[0]['words'][:6])!r}. Say which column holds the"
            " words (conll: `word_column`, `tag_column`)"
        )


def _counts(words: Sequence[str]) -> bool:
    starts = (0, 1) if len(words) > 1 else (1,)
    return any(words == [str(start + at) for at in range(len(words))] for start in starts)


def content_digest(task: TaskSpec, rows: Iterable[Row]) -> str:
    """What the examples of a split are, whatever their order, ids and language.

    Of retrieval the queries with what is right for them: candidates may be shared.
    """
    texts = {row["id"]: row["text"] for row in rows} if task.kind == "retrieval" else {}
    total = 0
    for row in rows:
        if task.kind == "retrieval":
            if not row["side"].endswith("query"):
                continue
            right = sorted(texts.get(name, name) for name in row["relevant"])
            content: Any = [row["side"], row["text"], right]
        else:
            content = [row[name] for name in sorted(row) if name != "id"]
        digest = hashlib.sha256(json.dumps(content).encode()).digest()
        total += int.from_bytes(digest[:16])
    return f"{total % 2**128:032x}"


def check_distinct(task: TaskSpec, digests: Mapping[Key, str]) -> None:
    """BadData where two languages have the same test set, or the same training set.

    `digests`: of each whole split.
    """
    seen: dict[tuple[str, str], Key] = {}
    for key, digest in digests.items():
        split = key.split
        other = seen.setdefault((split, digest), key)
        if other != key:
            raise BadData(
                f"task {task.name}: {other} and {key} have the same rows, so one language would be"
                " scored as another. Where one file holds all languages, pick the language's rows"
                " (`where: {language: '{lang}'}`, squad_json: `id_prefix`); else look at"
                " `files` and `codes`"
            )


def settle_retrieval(
    task: TaskSpec,
    splits: dict[Key, list[Row]],
    accepted: Collection[str],
    defects: Mapping[Key, list[str]],
    counts: Mapping[Key, Counter[str]],
) -> dict[Key, list[Row]]:
    """The splits of a retrieval task, every right candidate in its pool and an answer under one id.

    Candidates of one text and context become one, unless the task keeps them `apart`; so do the
    right candidates of queries of one text. A language without candidates looks in those of all
    others.

    Args:
        task: says by `identical` whether equal candidates are one.
        splits: rows of each.
        accepted: names of defects; candidate_missing is the one that is found here.
        defects: of each split, grow.
        counts: of each split, grow by what is merged or kept apart.
    """
    merge = task.identical == "right"
    settled = dict(splits)
    pools: dict[str, dict[str, list[str]]] = defaultdict(dict)
    same: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for key, rows in splits.items():
        alias = _aliases(rows)
        if doubled := sum(name != kept for name, kept in alias.items()):
            what = "merged" if merge else "kept apart"
            counts[key][f"candidates with the text of another, {what}"] += doubled
        if not merge:
            alias = {name: name for name in alias}
        rows = [row for row in rows if alias.get(row["id"], row["id"]) == row["id"]]
        right = {name: [kept] for name, kept in alias.items()}
        split = key.split
        content = {row["id"]: (split, row["text"], row["context"]) for row in rows}
        for name, kept in alias.items():
            # One answer in the pools of two languages is right in both of them.
            equal = same[content[kept] if merge else (split, kept, "")]
            equal += [kept] if kept not in equal else []
            pools[split][name] = equal
        settled[key] = (
            _queries(task, key, rows, right, accepted, defects[key], counts[key]) if right else rows
        )
    for key, rows in splits.items():
        if not any(row["side"].endswith("candidate") for row in rows):
            pool = pools[key.split]
            settled[key] = _queries(task, key, rows, pool, accepted, defects[key], counts[key])
    return settled


def _aliases(rows: Iterable[Row]) -> dict[str, str]:
    """Candidate → the first one of its side, text and context."""
    first: dict[tuple[str, str, str], str] = {}
    return {
        row["id"]: first.setdefault((row["side"], row["text"], row["context"]), row["id"])
        for row in rows
        if row["side"].endswith("candidate")
    }


def _queries(
    task: TaskSpec,
    key: Key,
    rows: Sequence[Row],
    right: Mapping[str, Sequence[str]],
    accepted: Collection[str],
    defects: list[str],
    counts: Counter[str],
) -> list[Row]:
    """The rows, of which every query names candidates that are there."""
    place = f"task {task.name}, {key}"
    merge, mined = task.identical == "right", task.metric == "mining_f1"
    wanted: dict[tuple[str, str], dict[str, None]] = {}
    lost: set[str] = set()
    for row in rows:
        if not row["side"].endswith("query"):
            continue
        names = {kept: None for name in row["relevant"] for kept in right.get(name, ())}
        missing = [name for name in row["relevant"] if name not in right]
        if missing or not (names or mined):
            what = f"looks up {missing[0]!r}" if missing else "looks up nothing"
            message = f"the query {row['id']!r} {what}, which is no candidate of its pool"
            count_defect("candidate_missing", place, message, accepted, defects)
        if not names and not mined:
            lost.add(row["id"])
        asked = (row["side"], row["text"] if merge and not mined else row["id"])
        if asked in wanted and not names.keys() <= wanted[asked].keys():
            counts["queries with the text of another and another answer, both right"] += 1
        wanted.setdefault(asked, {}).update(names)
    return [
        {**row, "relevant": [*wanted[row["side"], row["text" if merge and not mined else "id"]]]}
        if row["side"].endswith("query")
        else row
        for row in rows
        if row["id"] not in lost
    ]


def check_usable(
    task: TaskSpec, key: Key, rows: pa.Table, features: pa.Table, counts: Mapping[str, int]
) -> None:
    """BadData where most of a training split cannot train, or most of a split cannot be answered.

    Args:
        task: whose split.
        key: which split.
        rows: the split.
        features: of the rows.
        counts: what the kind says is cut or cannot be predicted.
    """
    place, what = f"task {task.name}, {key}", _EXAMPLES[task.kind]
    sides = rows["side"].to_pylist() if task.kind == "retrieval" else ["query"] * rows.num_rows
    total = sides.count("query")
    units = features["unit"].to_numpy()
    if key.split == "train":
        usable = {row for row in features["row"].to_numpy()[units >= 0] if sides[row] == "query"}
        if len(usable) < LEAST_USABLE * total:
            raise BadData(f"{place}: {len(usable):,} of {total:,} {what} can train{_why(counts)}")
    lost = sum(number for reason, number in counts.items() if reason.startswith("answers "))
    if total - lost < LEAST_USABLE * total:
        raise BadData(
            f"{place}: {total - lost:,} of {total:,} {what} can be answered{_why(counts)}"
        )


LEAST_USABLE = 0.5
"""Share of a split that must be of use."""

_EXAMPLES = {
    "classification": "texts",
    "multiple_choice": "questions",
    "tagging": "sentences",
    "span_qa": "questions",
    "retrieval": "queries",
    "masked_lm": "texts",
}


def _why(counts: Mapping[str, int]) -> str:
    return "".join(f"; {number:,} {reason}" for reason, number in counts.items())
