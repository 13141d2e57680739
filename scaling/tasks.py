"""Tasks: data + kind + metric. Whether a task is an intermediate or a target is the study's business.

Adding a task is one TaskSpec: here, or under `define: tasks:` in a study file.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from scaling.languages import get_language
from scaling.models import COMMIT
from scaling.spec import Spec

Kind = Literal["classification", "multiple_choice", "tagging", "span_qa", "retrieval", "masked_lm"]
Split = Literal["train", "dev", "test"]

# Raised when a kind's features, head, loss, decoding or score change meaning: it is part of every step's identity.
KIND_VERSIONS: dict[Kind, int] = {
    "classification": 1,
    "multiple_choice": 1,
    "tagging": 1,
    "span_qa": 1,
    "retrieval": 1,
    "masked_lm": 1,
}


class DataRef(Spec):
    """Where the raw data of a task lies and how it is read."""

    reader: str
    """A name in scaling.data.readers.READERS."""
    source: str = Field(pattern=r"^(hub|dir|package):.+")
    """`hub:ORG/NAME`, `dir:FOLDER` (below the folder given to `scaling stage --from`) or `package:MODULE`."""
    revision: str | None = Field(default=None, pattern=COMMIT)
    """40-hex commit of a hub source; resolved once into the lock file where it is not given."""
    files: dict[Split, tuple[str, ...]] = Field(default_factory=dict)
    """File patterns by split; `{lang}` is the upstream language code. Parallel files are listed in order."""
    codes: dict[str, str] = Field(default_factory=dict)
    """Our language code → the code in upstream file names, where they differ."""
    options: dict[str, str | int | float | bool | list[str] | dict[str, str]] = Field(default_factory=dict)
    """For the reader: column names, label maps."""


class TaskSpec(Spec):
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")
    kind: Kind
    data: tuple[DataRef, ...] = ()
    labels: tuple[str, ...] = ()
    """Class or tag names, in the order of the head's outputs."""
    languages: tuple[str, ...] = ()
    """Languages with a test split; English is always scored as well where it has one."""
    train_on: tuple[str, ...] | None = None
    """Tasks whose English data trains this one, in sequence; None: its own; (): nothing is trained."""
    metric: str
    chance: float = Field(default=0.0, ge=0, lt=1)
    """Score of guessing, 0..1."""
    licence: str = ""
    citation: str = ""
    sizes: dict[str, int] = Field(default_factory=dict)
    """Published example counts by `split` or `split.lang`, checked when staged without a limit."""
    note: str = ""

    @model_validator(mode="after")
    def _check(self) -> TaskSpec:
        for code in self.languages:
            get_language(code)
        if len(set(self.languages)) != len(self.languages):
            raise ValueError(f"task {self.name!r} lists a language twice")
        if self.kind in ("classification", "tagging") and not self.labels:
            raise ValueError(f"task {self.name!r} of kind {self.kind} needs labels")
        return self

    @property
    def trains_on(self) -> tuple[str, ...]:
        return (self.name,) if self.train_on is None else self.train_on


# The messages of Django and the names of pycountry: small, real, multilingual text that pip installs.
_MESSAGE_LANGUAGES = (
    "ar", "az", "be", "bg", "bn", "cy", "de", "el", "es", "eu", "fi", "fr", "hi", "id", "ja", "ka", "kk", "ko",
    "ky", "mr", "ru", "sw", "ta", "te", "tr", "ug", "uk", "ur", "vi", "zh",
)  # fmt: skip
_NAME_LANGUAGES = (
    "ar", "be", "bn", "cy", "de", "el", "es", "eu", "fi", "fr", "hi", "hu", "id", "ja", "ka", "ko", "lt", "ru",
    "ta", "tr", "ug", "uk", "vi", "zh",
)  # fmt: skip
_COUNTRY_LANGUAGES = (
    "ar", "be", "bg", "bn", "cy", "de", "el", "es", "eu", "fi", "fr", "hi", "id", "ja", "ka", "kk", "ko", "ky",
    "mr", "ru", "ta", "te", "tr", "ug", "uk", "ur", "vi", "wo", "yo", "zh",
)  # fmt: skip


def _django(**options: str) -> DataRef:
    return DataRef(reader="django_messages", source="package:django", options=dict(options), codes={"zh": "zh_Hans"})


def _pycountry(**options: str) -> DataRef:
    return DataRef(reader="pycountry_names", source="package:pycountry", options=dict(options), codes={"zh": "zh_CN"})


_DEMO = (
    TaskSpec(
        name="applications", kind="classification", data=(_django(),), languages=("en", *_MESSAGE_LANGUAGES),
        labels=("admin", "admindocs", "auth", "conf", "gis"), metric="accuracy", chance=0.45,
        licence="BSD-3-Clause", citation="Django Software Foundation, message catalogues of Django 5.2",
        note="Which application of Django a message belongs to. Chance is the share of the largest class.",
    ),
    TaskSpec(
        name="messages", kind="retrieval", data=(_django(pairs="yes"),), languages=_MESSAGE_LANGUAGES, train_on=(),
        metric="accuracy", licence="BSD-3-Clause",
        citation="Django Software Foundation, message catalogues of Django 5.2",
        note="The English original of a translated message among all of them: Tatoeba's task. Nothing is trained.",
    ),
    TaskSpec(
        name="name_types", kind="classification", data=(_pycountry(),), languages=_NAME_LANGUAGES,
        labels=("country", "currency", "language", "script", "subdivision"), metric="accuracy", chance=0.3,
        licence="LGPL-2.1", citation="Debian iso-codes, in pycountry 26.2",
        note="What a name names: a country, a currency, a language, a script or a part of a country.",
    ),
    TaskSpec(
        name="countries", kind="retrieval", data=(_pycountry(pairs="yes"),), languages=_COUNTRY_LANGUAGES,
        train_on=(), metric="accuracy", licence="LGPL-2.1", citation="Debian iso-codes, in pycountry 26.2",
        note="The English name of a country among all of them. Nothing is trained.",
    ),
    TaskSpec(
        name="word_order", kind="classification", data=(_django(shuffled="yes"),), labels=("real", "shuffled"),
        metric="accuracy", chance=0.5, licence="BSD-3-Clause",
        citation="After the real-or-shuffled control of Chang & Lu 2021 (arXiv 2108.11696)",
        note="English messages as they are or with their words shuffled: an intermediate task of form, not meaning.",
    ),
)  # fmt: skip

# XTREME-R: languages per task from Ruder et al. 2021 (arXiv 2104.07412) and the organisers' evaluate.py.
_XNLI = "ar bg de el en es fr hi ru sw th tr ur vi zh".split()
_XCOPA = "et ht id it qu sw ta th tr vi zh".split()
_UDPOS = (
    "af ar bg de el en es et eu fa fi fr he hi hu id it ja kk ko lt mr nl pl pt ro ru ta te th tl tr uk ur vi wo yo zh"
).split()
_PANX = (
    "af ar az bg bn de el en es et eu fa fi fr gu he hi hu id it ja jv ka kk ko lt ml mr ms my nl pa pl pt qu ro ru "
    "sw ta te th tl tr uk ur vi yo zh"
).split()
_XQUAD = "ar de el en es hi ro ru th tr vi zh".split()
_MLQA = "ar de en es hi vi zh".split()
_TYDIQA = "ar bn en fi id ko ru sw te".split()
_TATOEBA = (
    "af ar az bg bn de el es et eu fa fi fr he hi hu id it ja jv ka kk ko lt ml mr nl pl pt ro ru sw ta te th tl tr "
    "uk ur vi zh"
).split()
_MEWSLIX = "ar de en es fa ja pl ro ta tr uk".split()
_LAREQA = "ar de el en es hi ru th tr vi zh".split()
_UPOS = (
    "ADJ", "ADP", "ADV", "AUX", "CCONJ", "DET", "INTJ", "NOUN", "NUM", "PART", "PRON", "PROPN", "PUNCT", "SCONJ",
    "SYM", "VERB", "X",
)  # fmt: skip


def _hub(name: str, revision: str | None = None) -> tuple[DataRef, ...]:
    return (DataRef(reader="hub_parquet", source=f"hub:{name}", revision=revision),)


_NLI_LABELS = ("entailment", "neutral", "contradiction")
_XTREME_R = (
    TaskSpec(
        name="mnli", kind="classification", labels=_NLI_LABELS, metric="accuracy", chance=1 / 3,
        data=_hub("nyu-mll/multi_nli"), sizes={"train": 392_702, "dev": 9_815}, citation="Williams et al. 2018",
    ),
    TaskSpec(
        name="qqp", kind="classification", labels=("different", "duplicate"), metric="accuracy", chance=0.5,
        data=_hub("nyu-mll/glue"), sizes={"train": 363_846, "dev": 40_430}, citation="Iyer et al. 2017",
    ),
    TaskSpec(
        name="squad1", kind="span_qa", metric="f1", data=_hub("rajpurkar/squad"),
        sizes={"train": 87_599, "dev": 10_570}, citation="Rajpurkar et al. 2016",
    ),
    TaskSpec(
        name="squad2", kind="span_qa", metric="f1", data=_hub("rajpurkar/squad_v2"),
        sizes={"train": 130_319, "dev": 11_873}, citation="Rajpurkar et al. 2018",
    ),
    TaskSpec(
        name="hellaswag", kind="multiple_choice", metric="accuracy", chance=0.25, data=_hub("Rowan/hellaswag"),
        sizes={"train": 39_905, "dev": 10_042}, citation="Zellers et al. 2019",
    ),
    TaskSpec(
        name="cosmosqa", kind="multiple_choice", metric="accuracy", chance=0.25, data=_hub("allenai/cosmos_qa"),
        sizes={"train": 25_262, "dev": 2_985}, citation="Huang et al. 2019",
    ),
    TaskSpec(
        name="commonsenseqa", kind="multiple_choice", metric="accuracy", chance=0.2,
        data=_hub("tau/commonsense_qa"), sizes={"train": 9_741, "dev": 1_221}, citation="Talmor et al. 2019",
    ),
    TaskSpec(
        name="siqa", kind="multiple_choice", metric="accuracy", chance=1 / 3, data=_hub("allenai/social_i_qa"),
        sizes={"train": 33_410}, citation="Sap et al. 2019",
    ),
    TaskSpec(
        name="copa", kind="multiple_choice", metric="accuracy", chance=0.5, data=_hub("aps/super_glue"),
        sizes={"train": 400}, citation="Roemmele et al. 2011",
    ),
    TaskSpec(
        name="xnli", kind="classification", labels=_NLI_LABELS, metric="accuracy", chance=1 / 3, train_on=("mnli",),
        languages=tuple(_XNLI), data=_hub("mteb/xnli", "09698e0180d87dc247ca447d3a1248b931ac0cdb"),
        sizes={"test": 5_010}, citation="Conneau et al. 2018",
    ),
    TaskSpec(
        name="xcopa", kind="multiple_choice", metric="accuracy", chance=0.5, train_on=("siqa", "copa"),
        languages=tuple(_XCOPA), data=_hub("cambridgeltl/xcopa"), sizes={"test": 500}, citation="Ponti et al. 2020",
        note="`none` still trains on Social IQa, then COPA: the protocol of XTREME-R.",
    ),
    TaskSpec(
        name="udpos", kind="tagging", labels=_UPOS, metric="f1", languages=tuple(_UDPOS),
        data=_hub("izhx/xtreme-r-udpos"), sizes={"train": 21_253}, citation="Nivre et al. 2018",
    ),
    TaskSpec(
        name="panx", kind="tagging", labels=("O", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC"), metric="f1",
        languages=tuple(_PANX), data=_hub("unimelb-nlp/wikiann"), sizes={"train": 20_000},
        citation="Pan et al. 2017; Rahimi et al. 2019",
    ),
    TaskSpec(
        name="xquad", kind="span_qa", metric="f1", train_on=("squad1",), languages=tuple(_XQUAD),
        data=_hub("google/xquad", "51adfef1c1287aab1d2d91b5bead9bcfb9c68583"), sizes={"test": 1_190},
        citation="Artetxe et al. 2020",
    ),
    TaskSpec(
        name="mlqa", kind="span_qa", metric="f1", train_on=("squad1",), languages=tuple(_MLQA),
        data=_hub("facebook/mlqa"), citation="Lewis et al. 2020",
    ),
    TaskSpec(
        name="tydiqa", kind="span_qa", metric="f1", languages=tuple(_TYDIQA), data=_hub("juletxara/tydiqa_xtreme"),
        sizes={"train": 3_696}, citation="Clark et al. 2020",
    ),
    TaskSpec(
        name="tatoeba", kind="retrieval", metric="accuracy", train_on=(), languages=tuple(_TATOEBA),
        data=_hub("mteb/tatoeba-bitext-mining", "69e8f12da6e31d59addadda9a9c8a2e601a0e282"),
        citation="Artetxe & Schwenk 2019",
        note="Scored from the arm's own checkpoint. XTREME-R's published numbers start from a SQuAD model instead.",
    ),
    TaskSpec(
        name="mewslix", kind="retrieval", metric="map_at_20", languages=tuple(_MEWSLIX), data=_hub("izhx/mewsli-x"),
        sizes={"train": 167_719}, citation="Ruder et al. 2021",
        note="The released data differ from the paper's: the organisers say the numbers cannot be compared.",
    ),
    TaskSpec(
        name="lareqa", kind="retrieval", metric="map_at_20", train_on=("squad1_pairs",), languages=tuple(_LAREQA),
        data=_hub("google-research-datasets/xquad_r"), sizes={"test": 1_190}, citation="Roy et al. 2020",
    ),
    TaskSpec(
        name="squad1_pairs", kind="retrieval", metric="map_at_20", data=_hub("rajpurkar/squad"),
        sizes={"train": 87_599}, citation="Rajpurkar et al. 2016",
        note="SQuAD 1.1 as question-sentence pairs for a dual encoder.",
    ),
)  # fmt: skip

TASKS: dict[str, TaskSpec] = {task.name: task for task in (*_DEMO, *_XTREME_R)}
