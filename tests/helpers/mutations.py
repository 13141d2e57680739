"""Small right inputs of every form, and ways to spoil them: what comes of each must be rows, or one
line that names the file.
"""

from __future__ import annotations

import gzip
import io
import json
import random
import re
import tarfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from scaling.catalogue.models import ModelSpec
from scaling.data.readers import READERS
from scaling.data.schema import SCHEMAS, ReadRequest, fault_of
from scaling.encoders.weights import stage_model, tokenizer_file
from scaling.spec import UserError, load
from scaling.store.store import Store
from scaling.study.study import Study

WEIRD = [
    *("true", "null", "NaN", "-1", "1e999", "99999999999999999999", '""', "[]", "{}", "0.5", "'0'"),
    *('"\\ud800"', "\x00", "\ufeff", "\u2028", "\t", "é", "<pad>", ": :", "- -", "&a", "*a", "!!x"),
]


Inputs = Iterator[tuple[str, Path, Callable[[], bool]]]
"""What it is, the folder of its files, and the call that reads it."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A right input: a reader, the kind of its rows, its options, and its files."""

    reader: str
    kind: str
    files: Mapping[str, str | bytes]
    options: Mapping[str, Any]
    labels: tuple[str, ...] = ()


def json_file(*records: Any) -> str:
    """One JSON value a line."""
    return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)


def parquet(**columns: list[Any]) -> bytes:
    """A Parquet file with the hub's metadata about its classes."""
    feature = {"label": {"names": ["a", "b"], "_type": "ClassLabel"}}
    table = pa.table(columns).replace_schema_metadata(
        {"huggingface": json.dumps({"info": {"features": feature}})}
    )
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    return buffer.getvalue()


def packed(name: str, content: str) -> bytes:
    """A .tar.gz with one file."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        data = content.encode()
        info = tarfile.TarInfo(name)
        info.size = len(data)
        archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


_QA = {
    "context": "Bob saw Ada. She left.",
    "sentence_breaks": [[0, 12], [13, 22]],
    "qas": [{"id": "q1", "question": "Who?", "answers": [{"text": "Ada", "answer_start": 8}]}],
}
_SQUAD = json.dumps({"data": [{"paragraphs": [_QA]}]})
_MENTION = {
    "context": {"text": "Ada lives.", "sentence_spans": [{"start": 0, "end": 10}]},
    "mention": {
        "example_id": "m",
        "entity_id": "Q1",
        "mention_span": {"text": "Ada", "start": 0, "end": 3},
    },
}
_ENTITY = {
    "entity_id": "Q1",
    "description": "A poet.",
    "sentence_spans": [{"start": 0, "end": 7}],
    "description_language": "en",
}
_UD = "# sent_id = 1\n1\tAda\t_\tNOUN\t_\t_\t0\troot\t_\t_\n2\tleft\t_\tVERB\t_\t_\t1\tx\t_\t_\n\n"
_COPA = (
    '<c>\n<item id="1" asks-for="cause" most-plausible-alternative="1"><p>A</p><a1>B</a1>'
    "<a2>C</a2></item>\n</c>\n"
)
_SUBJQA = (
    "question,review,human_ans_spans,human_ans_indices\n"
    'Who?,"Bob saw Ada. ANSWERNOTFOUND",Ada,"(8, 11)"\n'
)
_PAIR = {"text_a": "p", "text_b": "h", "label": "l"}
_CHOICE = {"choices": ["x", "y"], "label": "l", "context": "p", "question": "q"}
_SPAN = {"context": "c", "question": "q", "answers": "t", "starts": "s"}
SAMPLES = (
    Sample(
        reader="jsonl",
        kind="classification",
        files={
            "in.jsonl": json_file({"p": "A", "h": "B", "l": "a"}, {"p": "C", "h": "D", "l": "b"})
        },
        options=_PAIR,
        labels=("a", "b"),
    ),
    Sample(
        reader="jsonl",
        kind="multiple_choice",
        files={"in.jsonl": json_file({"p": "A", "q": "?", "x": "B", "y": "C", "l": 1})},
        options=_CHOICE,
    ),
    Sample(
        reader="jsonl",
        kind="tagging",
        files={"in.jsonl": json_file({"w": ["Ada", "left"], "t": ["a", "b"]})},
        options={"words": "w", "tags": "t"},
        labels=("a", "b"),
    ),
    Sample(
        reader="jsonl",
        kind="span_qa",
        files={"in.jsonl": json_file({"c": "Bob saw Ada", "q": "?", "t": ["Ada"], "s": [8]})},
        options=_SPAN,
    ),
    Sample(
        reader="jsonl",
        kind="retrieval",
        files={"in.jsonl": json_file({"q": "A", "c": "B"}, {"q": "C", "c": "D"})},
        options={"query": "q", "candidate": "c"},
    ),
    Sample(
        reader="jsonl",
        kind="masked_lm",
        files={"in.jsonl": json_file({"t": "A text"})},
        options={"text": "t"},
    ),
    Sample(
        reader="delimited",
        kind="classification",
        files={"in.tsv": "p\th\tl\nA\tB\ta\nC\tD\tb\n"},
        options=_PAIR,
        labels=("a", "b"),
    ),
    Sample(
        reader="delimited",
        kind="multiple_choice",
        files={"in.csv": 'p,q,x,y,l\n"A, b",?,B,C,0\n'},
        options=_CHOICE,
    ),
    Sample(
        reader="delimited",
        kind="classification",
        files={"in.tsv.gz": gzip.compress(b"p\th\tl\nA\tB\ta\n", mtime=0)},
        options=_PAIR,
        labels=("a", "b"),
    ),
    Sample(
        reader="hub_parquet",
        kind="classification",
        files={"in.parquet": parquet(p=["A", "C"], h=["B", "D"], label=[0, 1])},
        options={**_PAIR, "label": "label", "label_names": ["a", "b"]},
        labels=("a", "b"),
    ),
    Sample(
        reader="conll",
        kind="tagging",
        files={"in.txt": "Ada a\nleft b\n\nBob a\n"},
        options={},
        labels=("a", "b"),
    ),
    Sample(
        reader="conllu",
        kind="tagging",
        files={"in.conllu": _UD},
        options={"words": "xtreme"},
        labels=("NOUN", "VERB"),
    ),
    Sample(reader="copa_xml", kind="multiple_choice", files={"in.xml": _COPA}, options={}),
    Sample(reader="squad_json", kind="span_qa", files={"in.json": _SQUAD}, options={}),
    Sample(reader="squad_pairs", kind="retrieval", files={"in.json": _SQUAD}, options={}),
    Sample(reader="xquad_r", kind="retrieval", files={"en.json": _SQUAD}, options={}),
    Sample(
        reader="mewsli_x",
        kind="retrieval",
        files={"in.jsonl": json_file(_MENTION, _ENTITY)},
        options={},
    ),
    Sample(
        reader="mewsli_x",
        kind="retrieval",
        files={"in.jsonl.tar.gz": packed("in.jsonl", json_file(_MENTION, _ENTITY))},
        options={},
    ),
    Sample(
        reader="bucc",
        kind="retrieval",
        files={"1.de": "d1\tEins\n", "2.en": "e1\tOne\n", "3.gold": "d1\te1\n"},
        options={},
    ),
    Sample(
        reader="ccg_auto",
        kind="tagging",
        files={"in.auto": "ID=1\n(<L a NN NN Ada a> <L b VB VB left b>)\n"},
        options={},
        labels=("a", "b"),
    ),
    Sample(reader="subjqa", kind="span_qa", files={"in.csv": _SUBJQA}, options={}),
    Sample(
        reader="parallel_text",
        kind="retrieval",
        files={"1.de": "Eins\nZwei\n", "2.en": "One\nTwo\n"},
        options={},
    ),
    Sample(reader="plain_text", kind="masked_lm", files={"in.txt": "A text\n"}, options={}),
    Sample(
        reader="word_order",
        kind="classification",
        files={"in.txt": "one two three four\n"},
        options={},
        labels=("real", "shuffled"),
    ),
)


def spoil(content: bytes, rng: random.Random) -> bytes:
    """The content with one to three things wrong with it, bytes or text."""
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(content) + 1)
        to = min(len(content), at + rng.choice((1, 1, 2, 5, 20)))
        weird = rng.choice(WEIRD).encode("utf-8", "surrogatepass")
        content = rng.choice(
            (
                lambda c=content, a=at, b=to: c[:a] + c[b:],
                lambda c=content, a=at: c[:a] + bytes([rng.randrange(256)]) + c[a + 1 :],
                lambda c=content, a=at, w=weird: c[:a] + w + c[a:],
                lambda c=content, a=at, b=to, w=weird: c[:a] + w + c[b:],
                lambda c=content, a=at, b=to: c[:b] + c[a:],
                lambda c=content, a=at: c[:a],
                lambda c=content: b"".join(rng.sample(c.splitlines(True), c.count(b"\n"))),
                lambda c=content, a=at: c[:a] + b"[" * 3000 + c[a:],
            )
        )()
    return content


def spoil_json(content: str, rng: random.Random) -> str:
    """One JSON value a line, with a value or a key of one of them changed to another."""
    lines = content.splitlines()
    number = rng.randrange(len(lines))
    value = json.loads(lines[number])
    places: list[tuple[Any, Any]] = []

    def walk(item: Any) -> None:
        pairs = item.items() if isinstance(item, dict) else enumerate(item)
        for key, below in list(pairs):
            places.append((item, key))
            if isinstance(below, dict | list):
                walk(below)

    walk(value)
    holder, key = rng.choice(places)
    if isinstance(holder, dict) and rng.random() < 0.3:
        holder[rng.choice(["", "x", "id", "\ud800"])] = holder.pop(key)
    else:
        choices: list[Any] = [
            None,
            True,
            -1,
            0.5,
            10**30,
            "",
            " ",
            "\ud800",
            [],
            [[]],
            {},
            {"a": 1},
        ]
        holder[key] = rng.choice(choices)
    lines[number] = json.dumps(value)
    return "\n".join(lines) + "\n"


def spoilt_data(sample: Sample, folder: Path, rng: random.Random) -> Callable[[], bool]:
    """Write a sample with one file spoilt; a call reads it, and is true if rows come of it."""
    chosen = rng.choice(list(sample.files))
    content = sample.files[chosen]
    if isinstance(content, str) and ".json" in chosen and rng.random() < 0.6:
        spoilt = spoil_json(content, rng).encode()
    else:
        spoilt = spoil(content.encode() if isinstance(content, str) else content, rng)
    return written(sample, folder, {chosen: spoilt})


def written(
    sample: Sample, folder: Path, instead: Mapping[str, bytes] | None = None
) -> Callable[[], bool]:
    """Write a sample, some files with other content; a call reads it, true if rows come of it."""
    paths = []
    for name, content in sample.files.items():
        raw = content.encode() if isinstance(content, str) else content
        paths.append(folder / name)
        paths[-1].write_bytes((instead or {}).get(name, raw))

    def read() -> bool:
        request = ReadRequest(
            language="en",
            split="test",
            files=paths,
            upstream_code="en",
            options=sample.options,
            labels=sample.labels,
        )
        rows = list(READERS[sample.reader](request))
        faults = [fault for row in rows if (fault := fault_of(row, SCHEMAS[sample.kind]))]
        assert not faults, faults
        return True

    return read


def spoilt_study(text: str, folder: Path, rng: random.Random) -> Callable[[], bool]:
    """Write a spoilt study file; a call reads it."""
    path = folder / "own.yaml"
    path.write_bytes(spoil(text.encode(), rng))

    def read() -> bool:
        load(Study, path)
        return True

    return read


@dataclass
class Verdict:
    """What came of many spoilt inputs."""

    right: int = 0
    refused: int = 0
    without_place: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)

    @property
    def total(self) -> int:
        """Inputs that were tried."""
        return self.right + self.refused + len(self.broken)


_PLACE = re.compile(r"/[^:,]*:(\d+| (behind )?(row|paragraph) \d+)")
WITHOUT_LINE = {
    "is empty": "a split without rows has no line",
    "broken archive": "compressed bytes have no lines",
    "broken gzip file": "compressed bytes have no lines",
    "an archive of": "of files",
    "not a Parquet file": "binary",
    "not in SQuAD's format": "the whole file is another thing",
    "not parallel": "both files are named with their lengths",
    "too deep": "the place of a bracket among thousands",
    "occurs again": "an id is named instead",
    "there twice in one object": "JSON over many lines: the key is named instead",
    "is no number of JSON": "JSON over many lines: the word is named instead",
    "tokenizer": "a program reads it, and tells no line",
    "config.json": "the key is named instead",
    "tensor": "binary",
    "weights are not those": "binary",
    "safetensors": "binary",
    "bytes": "binary",
    "characters": "a study file that is too large",
}
"""The closed list of refusals that name a file and no line, and why."""


def judge(inputs: Inputs) -> Verdict:
    """Read each input; anything but rows and a UserError that names a file is a fault of ours.

    inputs: what it is, the folder of its files, and the call that reads it.
    """
    verdict = Verdict()
    for what, folder, read in inputs:
        try:
            verdict.right += read()
        except UserError as error:
            verdict.refused += 1
            place = str(error).partition(str(folder))[2]
            if not place or not (_PLACE.match(place) or any(one in place for one in WITHOUT_LINE)):
                verdict.without_place.append(f"{what}: {error}")
        except Exception as error:  # noqa: BLE001 (that is what is counted)
            verdict.broken.append(f"{what}: {type(error).__name__}: {error}")
    return verdict


def spoilt_inputs(folder: Path, study: str, count: int, seed: int = 0) -> Inputs:
    """So many spoilt inputs: a third are study files, the others data files of every reader."""
    rng = random.Random(seed)
    counted: Counter[str] = Counter()
    for number in range(count):
        if number % 3 == 0:
            yield f"study {number}", folder, spoilt_study(study, folder, rng)
            continue
        sample = SAMPLES[counted["data"] % len(SAMPLES)]
        counted["data"] += 1
        yield f"{sample.reader} {number}", folder, spoilt_data(sample, folder, rng)


def spoilt_models(root: Path, spec: ModelSpec, count: int) -> Inputs:
    """So many spoilt folders of a model, most often its config.json; a call stages it."""
    source = Path(spec.source.removeprefix("dir:"))
    contents = {file.name: file.read_bytes() for file in source.iterdir()}
    rng = random.Random(7)
    for number in range(count):
        chosen = rng.choice([*contents, *[name for name in contents if name == "config.json"] * 3])
        for name, content in contents.items():
            spoilt = name == chosen
            if spoilt and name.endswith(".safetensors"):
                # Most of it are numbers, which may be any: the header is what can be wrong.
                head = 8 + int.from_bytes(content[:8], "little")
                content = spoil(content[:head], rng) + content[head:]
            elif spoilt:
                content = spoil(content, rng)
            (source / name).write_bytes(content)

        def read(number: int = number) -> bool:
            store = Store.open(root / f"store-{number}")
            tokenizer = tokenizer_file(spec, None)
            stage_model(spec, store, None, None, name="mine", tokenizer=tokenizer)
            return True

        yield f"model {number}, {chosen}", source, read
