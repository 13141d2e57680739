"""Files of users in the forms they have them, and the lines of a study file that read each."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HEAD = "name: own\nmodels: [e5-depth-4]\narms: [none]\ntargets: [mine]\nseeds: [0]\n"


@dataclass(frozen=True, kw_only=True)
class Form:
    """One form of data: files, the definition that reads them, and what comes out."""

    name: str
    text: str
    """The `define:` part of the study file."""
    files: dict[str, str]
    """Path below the data folder → content; `.gz` is packed."""
    rows: dict[str, list[dict[str, Any]]]
    """`SPLIT.LANGUAGE` → the first rows, as far as they are compared."""
    counts: dict[str, dict[str, int]] = field(default_factory=dict)
    """`SPLIT.LANGUAGE` → what is counted."""

    @property
    def lines(self) -> int:
        """Of the definition, `define:` and `tasks:` included."""
        return len(self.text.strip().splitlines())

    def study(self) -> str:
        """The whole study file."""
        return HEAD + self.text.strip() + "\n"

    def write(self, folder: Path) -> None:
        """Put the files there."""
        for name, content in self.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            raw = content.encode()
            path.write_bytes(gzip.compress(raw) if path.suffix == ".gz" else raw)


_VERSES = '<cesDoc><body><seg id="b.1.1">{}</seg><seg id="b.1.2">{}</seg></body></cesDoc>'
_QUESTION = {"question": "Who?", "A": "Ada", "B": "Bob"}
_FIVE = "# sentence 1\n1\tWà\twà\tVERB\tO\n2\tÈkó\tÈkó\tPROPN\tB-LOC\n\n"

FORMS = (
    Form(
        name="a JSON array with numbers as ids and as labels",
        text="""
define:
  tasks:
    - name: mine
      kind: classification
      metric: accuracy
      labels: [bad, good]
      train_on: []
      languages: [ha]
      data:
        - {reader: jsonl, source: "dir:reviews", files: {test: ["{lang}.json"]},
           options: {id: nr, text_a: text, label: stars, label_names: [bad, good]}}
""",
        files={
            "reviews/ha.json": '[{"nr": 7, "text": "da kyau", "stars": 1},\n {"nr": 8,\n'
            '"text": "babu", "stars": 0}]'
        },
        rows={"test.ha": [{"id": "7", "label": "good"}, {"id": "8", "label": "bad"}]},
    ),
    Form(
        name="a JSON array inside an export, packed",
        text="""
define:
  tasks:
    - name: mine
      kind: classification
      metric: accuracy
      labels: [spam, ham]
      train_on: []
      languages: [ig]
      data:
        - {reader: jsonl, source: "dir:export", files: {test: ["export_{lang}.json"]},
           options: {records: result.items, text_a: body.text, label: tag}}
""",
        files={
            "export/export_ig.json.gz": json.dumps(
                {"result": {"total": 1, "items": [{"body": {"text": "ndewo"}, "tag": "ham"}]}}
            )
        },
        rows={"test.ig": [{"text_a": "ndewo", "label": "ham"}]},
    ),
    Form(
        name="a CSV with a column for each language, looked up from English",
        text="""
define:
  tasks:
    - name: mine
      kind: retrieval
      metric: accuracy
      train_on: []
      languages: [sw, yo]
      data:
        - reader: delimited
          source: dir:glossary
          files: {test: [terms.csv]}
          options: {query: english, candidate: "term_{lang}", languages: [en, own]}
""",
        files={"glossary/terms.csv": 'english,term_sw,term_yo\nwater,maji,omi\n"a, b",x,y\n'},
        rows={
            "test.sw": [{"text": "water", "language": "en"}, {"text": "maji", "language": "sw"}],
            "test.yo": [{"text": "water", "language": "en"}, {"text": "omi", "language": "yo"}],
        },
    ),
    Form(
        name="a CSV of semicolons with one label and a text in each language",
        text="""
define:
  tasks:
    - name: mine
      kind: classification
      metric: accuracy
      labels: [health, money]
      languages: [rw]
      data:
        - reader: delimited
          source: dir:topics
          files: {train: [all.csv], dev: [dev.csv], test: [all.csv]}
          options: {delimiter: semicolon, text_a: "text.{lang}", label: topic}
""".replace("text.{lang}", "text_{lang}"),
        files={
            "topics/all.csv": 'text_en;text_rw;topic\npay;kwishyura;money\n"a;b";ubuzima;health\n',
            "topics/dev.csv": "text_en;text_rw;topic\nbank;banki;money\n",
        },
        rows={
            "test.rw": [{"text_a": "kwishyura", "label": "money"}],
            "train.en": [{"text_a": "pay"}, {"text_a": "a;b"}],
        },
    ),
    Form(
        name="CoNLL of five columns with comments, packed",
        text="""
define:
  tasks:
    - name: mine
      kind: tagging
      metric: span_f1
      labels: [O, B-LOC, I-LOC]
      train_on: []
      languages: [yo]
      data:
        - {reader: conll, source: "dir:ner", files: {test: ["{lang}/test.conll"]},
           codes: {yo: yor}, options: {word_column: 1, tag_column: 4, comments: "#"}}
""",
        files={"ner/yor/test.conll.gz": _FIVE + _FIVE.replace("Wà", "Ó")},
        rows={"test.yo": [{"words": ["Wà", "Èkó"], "tags": ["O", "B-LOC"]}]},
    ),
    Form(
        name="multiple choice of which some rows have no context",
        text="""
define:
  tasks:
    - name: mine
      kind: multiple_choice
      metric: accuracy
      train_on: []
      languages: [am]
      data:
        - {reader: jsonl, source: "dir:exam", files: {test: ["{lang}.jsonl"]},
           options: {context: passage, question: question, choices: [A, B], label: key,
                     label_map: {A: "0", B: "1"}, optional: [context]}}
""",
        files={
            "exam/am.jsonl": "\n".join(
                json.dumps(row)
                for row in (
                    {**_QUESTION, "key": "B", "passage": "Bob came."},
                    {**_QUESTION, "key": "A", "passage": None},
                    {**_QUESTION, "key": "A"},
                )
            )
        },
        rows={
            "test.am": [
                {"context": "Bob came.", "label": 1},
                {"context": "", "label": 0},
                {"context": "", "label": 0},
            ]
        },
        counts={"test.am": {"rows without a context": 2}},
    ),
    Form(
        name="SQuAD's JSON with numbers as ids and an empty paragraph",
        text="""
define:
  tasks:
    - name: mine
      kind: span_qa
      metric: squad1
      train_on: []
      languages: [so]
      data:
        - {reader: squad_json, source: "dir:qa", files: {test: ["{lang}.json"]},
           options: {optional: [context]}}
""",
        files={
            "qa/so.json": json.dumps(
                {
                    "data": [
                        {
                            "paragraphs": [
                                {"context": text, "qas": [{"id": n, "question": "?"} | answer]}
                                for n, text, answer in (
                                    (1, "Xamar waa magaalo", {"answers": [{"text": "Xamar"}]}),
                                    (2, "", {"answers": []}),
                                )
                            ]
                        }
                    ]
                }
            ).replace('"text": "Xamar"', '"text": "Xamar", "answer_start": 0')
        },
        rows={"test.so": [{"id": "1", "answers": [{"text": "Xamar", "start": 0}]}]},
        counts={"test.so": {"questions without a context, left out": 1}},
    ),
    Form(
        name="verse-aligned XML, a Bible for each language",
        text="""
define:
  tasks:
    - name: mine
      kind: retrieval
      metric: accuracy
      train_on: []
      languages: [wo, xh]
      data:
        - {reader: parallel_text, source: "dir:bible", codes: {wo: Wolof, xh: Xhosa},
           files: {test: ["{lang}.xml", "English.xml"]}, options: {form: xml}}
""",
        files={
            "bible/Wolof.xml": _VERSES.format("benn", "ñaar"),
            "bible/Xhosa.xml.gz": _VERSES.format("nye", "mbini"),
            "bible/English.xml": _VERSES.replace("b.1.2", "b.1.3").format("one", "two"),
        },
        rows={"test.xh": [{"text": "one", "language": "en"}, {"text": "nye", "language": "xh"}]},
        counts={
            f"test.{code}": {"texts that only one side has, left out": 2} for code in ("wo", "xh")
        },
    ),
    Form(
        name="lines with ids, aligned with Spanish",
        text="""
define:
  tasks:
    - name: mine
      kind: retrieval
      metric: accuracy
      train_on: []
      languages: [gn]
      data:
        - {reader: parallel_text, source: "dir:verses", codes: {gn: gug},
           files: {test: ["{lang}.tsv", "spa.tsv"]},
           options: {form: ids, comments: "#", other: es}}
""",
        files={
            "verses/gug.tsv.gz": "# Guarani\n10\tpeteĩ\n11\tmokõi\n",
            "verses/spa.tsv.gz": "11\tdos\n10\tuno\n",
        },
        rows={"test.gn": [{"text": "uno", "language": "es"}, {"text": "peteĩ", "language": "gn"}]},
    ),
    Form(
        name="one packed TSV of all languages, and one that the table does not know",
        text="""
define:
  languages: [{code: khr, name: Kharia, family: Austroasiatic}]
  tasks:
    - name: mine
      kind: classification
      metric: accuracy
      labels: [entailment, contradiction]
      train_on: []
      languages: [khr, bho]
      data:
        - {reader: delimited, source: "dir:nli", files: {test: [test.tsv]},
           options: {text_a: s1, text_b: s2, label: gold, where: {lang: "{lang}"}}}
""",
        files={
            "nli/test.tsv.gz": "lang\ts1\ts2\tgold\nkhr\ta\tb\tentailment\n"
            "bho\tc\td\tcontradiction\n"
        },
        rows={"test.khr": [{"text_a": "a"}], "test.bho": [{"text_a": "c"}]},
    ),
)
