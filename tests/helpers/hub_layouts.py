"""The hub's data sets as they are upstream: file names, columns, types, classes, splits, defects.

The rows are sentences made here. Every layout says where it can be read; `memory` where nobody has
opened it. Defects are there as often as the catalogue expects.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from scaling.catalogue import TASKS
from scaling.catalogue.sets import NLI, PANX, UPOS, XTREME, XTREME_R
from scaling.catalogue.sources import CONVERTED, STATED
from scaling.catalogue.task import Key, Split
from scaling.catalogue.xtreme import TATOEBA_CODES
from tests.helpers.hub_server import Hub

ROWS: dict[Split, int] = {"train": 16, "dev": 6, "test": 6}
"""Examples of a split where nothing else is asked for."""
INFOS = "dataset_infos.json at huggingface/datasets@8803c182e6^"

Row = dict[str, Any]
Make = Callable[[int, str], Row]
"""(number of the row, language) → the row."""


def features(**columns: Any) -> Any:
    """Columns in the words of `datasets`: a dtype, a list of one, or the names of classes."""
    import datasets

    def one(column: Any) -> Any:
        if isinstance(column, str):
            return datasets.Value(column)
        if isinstance(column, tuple):
            return datasets.ClassLabel(names=list(column))
        if isinstance(column, list):
            return datasets.List(one(column[0]))
        return {name: one(value) for name, value in column.items()}

    return datasets.Features({name: one(column) for name, column in columns.items()})


TEXT, NUMBER = "string", "int32"
SQUAD = {"context": TEXT, "question": TEXT, "answers": {"text": [TEXT], "answer_start": [NUMBER]}}


def text(at: int, code: str, what: str = "boats") -> str:
    """A sentence that no other language has."""
    return f"Ada of {code} counted {at + 3} {what} in the harbour of {code} on day {at}."


def nli(at: int, code: str) -> Row:
    return {"premise": text(at, code), "hypothesis": text(at, code, "sails"), "label": at % 3}


def copa(at: int, code: str) -> Row:
    return {
        "premise": text(at, code),
        "choice1": text(at, code, "ropes"),
        "choice2": text(at, code, "masts"),
        "question": ("cause", "effect")[at % 2],
        "label": at // 2 % 2,
        "idx": at,
    }


def squad(at: int, code: str) -> Row:
    context = text(at, code)
    return {
        "id": f"{code}-{at:06}",
        "context": context,
        "question": f"How many boats did Ada of {code} count on day {at}?",
        "answers": {"text": [f"{at + 3} boats"], "answer_start": [context.index(f"{at + 3} ")]},
    }


def shifted(number: int) -> Make:
    """SQuAD's rows of which the first so many have lost white space before their offsets."""

    def make(at: int, code: str) -> Row:
        row = squad(at, code)
        moved = [start + (at < number) for start in row["answers"]["answer_start"]]
        return {**row, "answers": {**row["answers"], "answer_start": moved}}

    return make


def tagged(column: str, number: int) -> Make:
    def make(at: int, code: str) -> Row:
        words = [*text(at, code).rstrip(".").split(), "."]
        return {"tokens": words, column: [(at + spot) % number for spot in range(len(words))]}

    return make


def entities(at: int, code: str) -> Row:
    # Names that occur once, as most of PAN-X's do: files of repeated words would be far too small.
    digest = hashlib.sha256(f"{code} {at}".encode()).digest()
    first, last, place = (_name(digest[start : start + 4]) for start in (0, 4, 8))
    words = [first, last, "counted", str(at + 3), "boats", "in", place, "."]
    tags = [1, 2, 0, 0, 0, 0, 5, 0]
    spans = [f"PER: {first} {last}", f"LOC: {place}"]
    return {"tokens": words, "ner_tags": tags, "langs": [code] * len(words), "spans": spans}


def _name(digest: bytes) -> str:
    return "".join("bdfgklmnprstvz"[one % 14] + "aeiou"[one % 5] for one in digest).title()


@dataclass(frozen=True, kw_only=True)
class File:
    """A file of a repository: whose split it is, and how a row of it is made."""

    path: str
    task: str
    key: Key
    columns: Any
    make: Make
    code: str = ""
    """Upstream, where it is another than the language's."""
    least: int = 0
    """Rows that it has at least: its defects are a small part."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """A repository of the hub."""

    hub: str
    seen: str
    """Where this layout can be read; `memory` where it was not opened."""
    files: tuple[File, ...]
    ref: str = CONVERTED


def _split(key: Split) -> str:
    return {"train": "train", "dev": "validation", "test": "test"}[key]


def english(
    task: str, config: str, columns: Any, make: Make, dev: str = "validation", **options: Any
) -> tuple[File, ...]:
    """Train and dev of an English task in the hub's own conversion."""
    return tuple(
        File(
            path=f"{config}/{name}/0000.parquet",
            task=task,
            key=Key(split, "en"),
            columns=columns,
            make=make,
            **options,
        )
        for split, name in (("train", "train"), ("dev", dev))
    )


def each(
    task: str, pattern: str, columns: Any, make: Make | dict[str, Make], **options: Any
) -> tuple[File, ...]:
    """Every split of a multilingual task that its catalogue entry reads."""
    spec, found = TASKS[task], []
    (ref,) = spec.data
    for split in ref.files:
        for language in ("en",) if split != "test" else spec.languages:
            code = ref.codes.get(language, language)
            found.append(
                File(
                    path=pattern.format(lang=code, split=_split(split)),
                    task=task,
                    key=Key(split, language),
                    columns=columns,
                    make=make if callable(make) else make.get(language, make[""]),
                    code=code,
                    **options,
                )
            )
    return tuple(found)


def layouts() -> tuple[Layout, ...]:
    """Every repository that a task of XTREME, XTREME-R and Phang et al. 2020 is read from."""
    classes = {"premise": TEXT, "hypothesis": TEXT, "label": NLI}
    parses = ("premise_binary_parse", "premise_parse", "hypothesis_binary_parse")
    mnli = features(
        promptID=NUMBER,
        pairID=TEXT,
        **{name: TEXT for name in (*parses, "hypothesis_parse", "genre")},
        **classes,
    )
    asked = features(id=TEXT, title=TEXT, **SQUAD)
    choices = {"premise": TEXT, "choice1": TEXT, "choice2": TEXT, "question": TEXT}
    found = [
        Layout(
            hub="nyu-mll/multi_nli",
            seen=INFOS,
            files=english(
                "mnli",
                "default",
                mnli,
                lambda at, code: {
                    **nli(at, code),
                    "promptID": at,
                    "pairID": f"{at}e",
                    "genre": "travel",
                    **{name: text(at, code) for name in (*parses, "hypothesis_parse")},
                },
                dev="validation_matched",
            ),
        ),
        Layout(
            hub="stanfordnlp/snli",
            seen=INFOS,
            files=english(
                "snli",
                "plain_text",
                features(**classes),
                # One pair without a gold label.
                lambda at, code: {**nli(at, code + "-s"), "label": -1 if at == 1 else at % 3},
                least=60,
            ),
        ),
        Layout(
            hub="facebook/anli",
            seen=INFOS,
            files=tuple(
                File(
                    path=f"plain_text/{split}_r{turn}/0000.parquet",
                    task="anli",
                    key=Key(split, "en"),
                    columns=features(uid=TEXT, reason=TEXT, **classes),
                    make=lambda at, code, turn=turn: {
                        "uid": f"{turn}-{at}",
                        "reason": "",
                        **nli(at, f"{code}-{turn}"),
                    },
                )
                for split in ("train", "dev")
                for turn in (1, 2, 3)
            ),
        ),
        Layout(
            hub="nyu-mll/glue",
            seen=INFOS,
            files=english(
                "qqp",
                "qqp",
                features(
                    question1=TEXT,
                    question2=TEXT,
                    label=("not_duplicate", "duplicate"),
                    idx=NUMBER,
                ),
                lambda at, code: {
                    "question1": text(at, code),
                    "question2": text(at, code, "sails"),
                    "label": at % 2,
                    "idx": at,
                },
            ),
        ),
        Layout(
            hub="rajpurkar/squad",
            seen=INFOS,
            files=english(
                "squad1", "plain_text", asked, lambda at, code: {**squad(at, code), "title": "Ada"}
            ),
        ),
        Layout(
            hub="rajpurkar/squad_v2",
            seen=INFOS,
            files=english(
                "squad2",
                "squad_v2",
                asked,
                lambda at, code: {
                    **squad(at, code),
                    "title": "Ada",
                    **({"answers": {"text": [], "answer_start": []}} if at % 3 == 2 else {}),
                },
            ),
        ),
        Layout(
            hub="Rowan/hellaswag",
            seen=INFOS,
            files=english(
                "hellaswag",
                "default",
                features(
                    ind=NUMBER,
                    activity_label=TEXT,
                    ctx_a=TEXT,
                    ctx_b=TEXT,
                    ctx=TEXT,
                    endings=[TEXT],
                    source_id=TEXT,
                    split=TEXT,
                    split_type=TEXT,
                    label=TEXT,
                ),
                lambda at, code: {
                    "ind": at,
                    **{name: text(at, code) for name in ("ctx", "ctx_a", "ctx_b")},
                    **{name: "x" for name in ("activity_label", "source_id", "split")},
                    "split_type": "indomain",
                    "endings": [text(at, code, what) for what in ("oars", "nets", "keys", "caps")],
                    "label": str(at % 4),
                },
            ),
        ),
        Layout(
            hub="allenai/cosmos_qa",
            seen="memory (no public page of its conversion)",
            files=english(
                "cosmosqa",
                "default",
                features(
                    id=TEXT,
                    context=TEXT,
                    question=TEXT,
                    **{f"answer{number}": TEXT for number in range(4)},
                    label=NUMBER,
                ),
                lambda at, code: {
                    "id": f"c{at}",
                    "context": text(at, code),
                    "question": "Why?",
                    **{f"answer{number}": text(at, code, f"x{number}") for number in range(4)},
                    "label": at % 4,
                },
            ),
        ),
        Layout(
            hub="tau/commonsense_qa",
            seen=INFOS,
            files=english(
                "commonsenseqa",
                "default",
                features(
                    id=TEXT,
                    question=TEXT,
                    question_concept=TEXT,
                    choices={"label": [TEXT], "text": [TEXT]},
                    answerKey=TEXT,
                ),
                lambda at, code: {
                    "id": f"q{at}",
                    "question": text(at, code),
                    "question_concept": "boat",
                    "choices": {
                        "label": list("ABCDE"),
                        "text": ["ship", "tree", "road", "book", "cup"],
                    },
                    "answerKey": "ABCDE"[at % 5],
                },
            ),
        ),
        Layout(
            hub="allenai/social_i_qa",
            seen="refs/convert/parquet at 537a2ec",
            files=english(
                "siqa",
                "default",
                features(
                    context=TEXT,
                    question=TEXT,
                    answerA=TEXT,
                    answerB=TEXT,
                    answerC=TEXT,
                    label=TEXT,
                ),
                lambda at, code: {
                    "context": text(at, code),
                    "question": "What then?",
                    **{f"answer{name}": text(at, code, name) for name in "ABC"},
                    "label": "123"[at % 3],
                },
            ),
        ),
        Layout(
            hub="aps/super_glue",
            seen=INFOS,
            files=english(
                "copa",
                "copa",
                features(**choices, idx=NUMBER, label=("choice1", "choice2")),
                copa,
            ),
        ),
        Layout(
            hub="mteb/xnli",
            ref="main",
            seen="tree at 40999f7e; mteb/tasks xnli.py",
            files=each(
                "xnli",
                "{split}/{lang}.parquet",
                features(premise=TEXT, hypothesis=TEXT, label="int64"),
                nli,
            ),
        ),
        Layout(
            hub="google-research-datasets/paws-x",
            seen=INFOS,
            files=each(
                "pawsx",
                "{lang}/{split}/0000.parquet",
                features(id=NUMBER, sentence1=TEXT, sentence2=TEXT, label=("0", "1")),
                lambda at, code: {
                    "id": at + 1,
                    "sentence1": text(at, code),
                    "sentence2": text(at, code, "sails"),
                    "label": at % 2,
                },
            ),
        ),
        Layout(
            hub="cambridgeltl/xcopa",
            seen=INFOS,
            files=each(
                "xcopa",
                "{lang}/{split}/0000.parquet",
                features(**choices, label=NUMBER, idx=NUMBER, changed="bool"),
                lambda at, code: {**copa(at, code), "changed": False},
            ),
        ),
        Layout(
            hub="izhx/xtreme-r-udpos",
            seen="refs/convert/parquet at 93598058; its columns: memory",
            files=each(
                "udpos",
                "{lang}/{split}/0000.parquet",
                features(tokens=[TEXT], pos_tags=[tuple(UPOS)]),
                tagged("pos_tags", len(UPOS)),
            ),
        ),
        Layout(
            hub="google/xtreme",
            seen="pull request 9; dataset_infos.json",
            files=each(
                "udpos_v25",
                "udpos.{lang}/{split}/0000.parquet",
                features(tokens=[TEXT], pos_tags=[tuple(UPOS)]),
                tagged("pos_tags", len(UPOS)),
            ),
        ),
        Layout(
            hub="unimelb-nlp/wikiann",
            seen=INFOS,
            files=each(
                "panx",
                "{lang}/{split}/0000.parquet",
                features(tokens=[TEXT], ner_tags=[tuple(PANX)], langs=[TEXT], spans=[TEXT]),
                entities,
            ),
        ),
        Layout(
            hub="google/xquad",
            ref="main",
            seen="resolve/main/xquad.{lang}/validation-00000-of-00001.parquet in public code",
            files=each(
                "xquad",
                "xquad.{lang}/validation-00000-of-00001.parquet",
                features(id=TEXT, **SQUAD),
                {
                    "": squad,
                    **{
                        name.partition(".")[2]: shifted(count)
                        for name, count in TASKS["xquad"].defects["answer_elsewhere"].items()
                        if "." in name
                    },
                },
                least=120,
            ),
        ),
        Layout(
            hub="facebook/mlqa",
            seen="pull request 5; dataset_infos.json",
            files=each(
                "mlqa", "mlqa.{lang}.{lang}/{split}/0000.parquet", features(id=TEXT, **SQUAD), squad
            ),
        ),
        Layout(
            hub="juletxara/tydiqa_xtreme",
            seen="refs/convert/parquet at 10604ece",
            files=tuple(
                File(
                    path=f"{code}/{name}/0000.parquet",
                    task="tydiqa",
                    key=Key(split, code),
                    columns=features(id=TEXT, **SQUAD),
                    make=shifted(1),
                    least=60,
                )
                for code in XTREME["tydiqa"]
                for split, name in (("train", "train"), ("test", "test"))
                if code == "en" or split == "test"
            ),
        ),
        Layout(
            hub="mteb/tatoeba-bitext-mining",
            ref="main",
            seen="mteb at 69e8f12d; file ending: memory",
            files=each(
                "tatoeba",
                "test/{lang}-eng.jsonl.gz",
                None,
                lambda at, code: {
                    "sentence1": text(at, code),
                    "sentence2": text(at, f"english for {code}"),
                    "lang": f"{code}-eng",
                },
            ),
        ),
        Layout(hub="izhx/mewsli-x", ref="main", seen="tree at 7e3723fa; process.py", files=MEWSLI),
    ]
    return tuple(found)


def _pair(at: int, code: str) -> Row:
    # Two mentions of every entity.
    return {"mention": f"Ada: {{ Ada }} {text(at, code)}", "entity": text(at // 2, "all", "ships")}


def _mention(at: int, code: str) -> Row:
    return {"mention": f"Ada: {{ Ada }} {text(at, code)}", "entity_id": f"Q{at}"}


def _entity(at: int, code: str) -> Row:
    return {"entity_id": f"Q{at}", "description": text(at, "any", "ships")}


MEWSLI = (
    *(
        File(
            path=f"wikipedia_pairs/{split}.jsonl.tar.gz",
            task="mewslix",
            key=Key(split, "en"),
            columns=None,
            make=_pair,
        )
        for split in ("train", "dev")
    ),
    *(
        File(
            path=f"wikinews_mentions/{code}/test.jsonl",
            task="mewslix",
            key=Key("test", code),
            columns=None,
            make=_mention,
        )
        for code in XTREME_R["mewslix"]
    ),
    File(
        path="candidate_entities.jsonl.tar.gz",
        task="candidates",
        key=Key("test", "en"),
        columns=None,
        make=_entity,
        least=20,
    ),
)
CANDIDATES = 1_003_893
"""Entities of Mewsli-X's pool."""
TATOEBA = {code: ours for ours, code in TATOEBA_CODES.items()}


def num_rows(file: File, published: Collection[str]) -> int:
    """Rows of a file: few, or as many as are published of these tasks."""
    if file.task not in published:
        return max(ROWS[file.key.split], file.least)
    if file.task == "candidates":
        return CANDIDATES
    sizes = TASKS[file.task].sizes
    return sizes.get(str(file.key), sizes.get(file.key.split, max(ROWS["test"], file.least)))


def content(file: File, count: int) -> bytes:
    """The bytes of a file with so many rows."""
    code = file.code or file.key.language
    rows = (file.make(at, code) for at in range(count))
    if file.columns is None:
        return packed(file.path, "".join(json.dumps(row) + "\n" for row in rows))
    return parquet(rows, file.columns)


def packed(path: str, lines: str) -> bytes:
    """Text as a file whose name ends so: plain, .gz or an archive of one file."""
    raw = lines.encode()
    if path.endswith(".tar.gz"):
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w:gz") as archive:
            info = tarfile.TarInfo(Path(path).name.removesuffix(".tar.gz"))
            info.size = len(raw)
            archive.addfile(info, io.BytesIO(raw))
        return out.getvalue()
    return gzip.compress(raw, mtime=0) if path.endswith(".gz") else raw


def parquet(rows: Iterable[Row], columns: Any) -> bytes:
    """Rows as the hub's libraries write them: their types and classes in the file's metadata."""
    out, left = io.BytesIO(), iter(rows)
    with pq.ParquetWriter(out, columns.arrow_schema) as writer:
        while some := list(islice(left, 20_000)):
            table = pa.Table.from_pylist(some, schema=columns.arrow_schema)
            writer.write_table(table, row_group_size=1_000)
    return out.getvalue()


def fill(hub: Hub, published: Collection[str] = (), only: Collection[str] = ()) -> None:
    """Put every layout onto the hub, at the commit that the catalogue states.

    Args:
        hub: an empty one.
        published: tasks whose files have as many rows as are published.
        only: names of repositories; () for all.
    """
    for layout in layouts():
        if only and layout.hub not in only:
            continue
        files: dict[str, bytes | Path] = {"README.md": f"# {layout.hub}\n".encode()}
        for file in layout.files:
            made = content(file, num_rows(file, published))
            files[file.path] = _with_defects(file, made, num_rows(file, published))
        stated = STATED.get(layout.hub, "")
        if layout.ref != "main":
            hub.commit(layout.hub, {"README.md": files["README.md"]})
        hub.commit(layout.hub, files, ref=layout.ref, commit=stated)


def _with_defects(file: File, made: bytes, count: int) -> bytes:
    """QQP's two empty questions: the only ones of all its splits."""
    if (file.task, file.key.split) != ("qqp", "train"):
        return made
    rows = [file.make(at, "en") for at in range(count)]
    for at in (count // 2, count - 1):
        rows[at]["question2"] = ""
    return parquet(rows, file.columns)


def local_files(folder: Path) -> None:
    """What the flagship studies read from a folder: LAReQA and BUCC, in their organisers' form."""
    for code in XTREME_R["lareqa"]:
        whole = []
        for at in range(4):
            first, second = text(at, code), text(at, code, "crows")
            context = f"{first} {second}"
            answer = {"text": f"{at + 3} crows", "answer_start": context.index(f"{at + 3} crows")}
            breaks = [[0, len(first)], [len(first) + 1, len(context)]]
            asked = {"id": f"r{at}", "question": f"How many crows in {code}?", "answers": [answer]}
            whole.append({"context": context, "sentence_breaks": breaks, "qas": [asked]})
        path = folder / "lareqa" / "xquad-r" / f"{code}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"data": [{"paragraphs": whole}]}), encoding="utf-8")
    (folder / "bucc2018").mkdir(parents=True, exist_ok=True)
    for code in XTREME["bucc2018"]:
        for part in ("test", "dev"):
            for name, lines in _bucc(code, part):
                path = folder / "bucc2018" / f"{code}-en.{part}.{name}"
                path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def _bucc(code: str, part: str) -> Iterator[tuple[str, list[str]]]:
    yield code, [f"{code}-{at:03}\t{text(at, f'{code} {part}')}" for at in range(12)]
    yield "en", [f"en-{at:03}\t{text(at, f'en {code} {part}')}" for at in range(12)]
    yield "gold", [f"{code}-{at:03}\ten-{at:03}" for at in range(6)]
