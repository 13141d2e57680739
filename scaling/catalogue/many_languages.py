"""Targets in hundreds of languages, most of which XLM-R saw little of or nothing.

SIB-200, FLORES-200 and Belebele are the same sentences in every language, and so is NTREX-128: what
differs between two languages is then the language, not the text. Languages and their upstream codes
are in upstream_codes.tsv, one code a language; texts of a language in another script, or under a
code that ISO has since merged into another (ajp), are the `_scripts` tasks.

Commits: mteb/sib200 and mteb/amazon_massive_intent at the ones that MTEB states, whose files were
seen on the hub's pages. Of the others, where MTEB states a commit of `main` (FLORES, NTREX,
MasakhaNEWS), its files there were not seen; they are read from the hub's own conversion, whose
layout is one for all and whose commit is locked at first staging.
"""

from __future__ import annotations

from typing import Any

from scaling.catalogue.languages import TABLE, read_table
from scaling.catalogue.sets import NLI, codes, pairs
from scaling.catalogue.sources import NLI_NUMBERED, STATED, converted, folder
from scaling.catalogue.task import DataRef, Split, TaskSpec

_UPSTREAM = read_table(TABLE.with_name("upstream_codes.tsv"))


def upstream(benchmark: str, *without: str) -> dict[str, str]:
    """Our code → the code in a benchmark's files, of all its languages.

    Args:
        benchmark: a column of upstream_codes.tsv.
        without: our codes of languages that are left out.
    """
    found = {code: row[benchmark] for code, row in _UPSTREAM.items() if row[benchmark]}
    return {code: theirs for code, theirs in found.items() if code not in without}


_FLORES = upstream("flores200", "en")
_OTHER_SCRIPTS = pairs("""
    ace=ace_Arab apc=ajp_Arab ar=arb_Latn bjn=bjn_Arab knc=knc_Arab ks=kas_Deva min=min_Arab
    taq=taq_Tfng zh=zho_Hant
""")
_BELEBELE_SCRIPTS = pairs("""
    ar=arb_Latn bn=ben_Latn hi=hin_Latn ne=npi_Latn si=sin_Latn ur=urd_Latn zh=zho_Hant
""")
_NTREX = upstream("ntrex128", "en")
_MASSIVE = codes("""
    af am ar az bn cy da de el en es fa fi fr he hi hu hy id is it ja jv ka km kn ko lv ml mn ms my
    nl no pl pt ro ru sl sq sv sw ta te th tl tr ur vi zh
""")
_AFRIXNLI = pairs("""
    am=amh ee=ewe en=eng fr=fra ha=hau ig=ibo lg=lug ln=lin om=orm rw=kin sn=sna st=sot sw=swa
    tw=twi wo=wol xh=xho yo=yor zu=zul
""")
_NEWS = pairs("""
    am=amh en=eng fr=fra ha=hau ig=ibo lg=lug ln=lin om=orm pcm=pcm rn=run sn=sna so=som sw=swa
    ti=tir xh=xho yo=yor
""")
_NEWS_SIZES = {
    "am": 376,
    "en": 948,
    "fr": 422,
    "ha": 637,
    "ig": 390,
    "lg": 223,
    "ln": 175,
    "om": 325,
    "pcm": 305,
    "rn": 322,
    "sn": 369,
    "so": 294,
    "sw": 476,
    "ti": 272,
    "xh": 297,
    "yo": 411,
}
_NUSAX = pairs("""
    ace=ace ban=ban bbc=bbc bjn=bjn bug=bug en=eng id=ind jv=jav mad=mad min=min nij=nij su=sun
""")
_INJONGO = {code: theirs for code, theirs in _AFRIXNLI.items() if code not in ("fr",)}
_IN22 = pairs("""
    as=asm_Beng bn=ben_Beng brx=brx_Deva doi=doi_Deva gom=gom_Deva gu=guj_Gujr hi=hin_Deva
    kn=kan_Knda ks=kas_Arab mai=mai_Deva ml=mal_Mlym mr=mar_Deva mni=mni_Mtei ne=npi_Deva
    or=ory_Orya pa=pan_Guru sa=san_Deva sat=sat_Olck sd=snd_Deva ta=tam_Taml te=tel_Telu ur=urd_Arab
""")

_SIB_LABELS = (
    "entertainment",
    "geography",
    "health",
    "politics",
    "science/technology",
    "sports",
    "travel",
)
_NEWS_LABELS = codes("business entertainment health politics religion sports technology")
_TAXI_LABELS = codes("Description Faith Grace Recommendation Sin Violence")
_INTENTS = codes("""
    alarm_query alarm_remove alarm_set audio_volume_down audio_volume_mute audio_volume_other
    audio_volume_up calendar_query calendar_remove calendar_set cooking_query cooking_recipe
    datetime_convert datetime_query email_addcontact email_query email_querycontact email_sendemail
    general_greet general_joke general_quirky iot_cleaning iot_coffee iot_hue_lightchange
    iot_hue_lightdim iot_hue_lightoff iot_hue_lighton iot_hue_lightup iot_wemo_off iot_wemo_on
    lists_createoradd lists_query lists_remove music_dislikeness music_likeness music_query
    music_settings news_query play_audiobook play_game play_music play_podcasts play_radio
    qa_currency qa_definition qa_factoid qa_maths qa_stock recommendation_events
    recommendation_locations recommendation_movies social_post social_query takeaway_order
    takeaway_query transport_query transport_taxi transport_ticket transport_traffic weather_query
""")
_INJONGO_INTENTS = codes("""
    alarm balance bill_balance book_flight book_hotel calendar_update cancel_reservation car_rental
    confirm_reservation cook_time exchange_rate food_last freeze_account ingredients_list
    interest_rate international_visa make_call meal_suggestion min_payment pay_bill pin_change
    play_music plug_type recipe restaurant_reservation restaurant_reviews restaurant_suggestion
    share_location shopping_list_update spending_history text time timezone transactions transfer
    translate travel_notification travel_suggestion update_playlist weather
""")
# Of upstream_codes.tsv, what Taxi1500 lists under ISO codes; languages of XLM-R's are left to the
# larger test sets.
_TAXI = pairs("""
    ace=ace bem=bem bm=bam ceb=ceb cjk=cjk crh=crh dik=dik dyu=dyu dz=dzo ee=ewe fj=fij fon=fon
    fur=fur hne=hne ilo=ilo kab=kab kac=kac kam=kam kbp=kbp kea=kea kg=kon ki=kik kmb=kmb lg=lug
    ln=lin lua=lua luo=luo lus=lus mai=mai mi=mri mos=mos ny=nya nso=nso nus=nus pag=pag pap=pap
    rn=run rw=kin sat=sat sg=sag shn=shn sm=smo sn=sna ss=ssw st=sot taq=taq ti=tir tn=tsn to=ton
    tpi=tpi ts=tso tum=tum tw=twi ty=tah umb=umb ve=ven war=war wo=wol yo=yor zu=zul
""")


def _one_file(ending: str) -> dict[Split, tuple[str, ...]]:
    return {
        "train": (f"train/{{lang}}{ending}",),
        "dev": (f"validation/{{lang}}{ending}",),
        "test": (f"test/{{lang}}{ending}",),
    }


def _pairs_in_columns(hub: str, split: str, english: str, theirs: dict[str, str]) -> DataRef:
    """English sentences look up the language's, which are a column of its upstream code.

    Args:
        hub: ORG/NAME.
        split: upstream's name of the test split.
        english: the column of English.
        theirs: our code → upstream's.
    """
    return converted(
        hub,
        "default",
        {"test": split},
        query=english,
        candidate="{lang}",
        languages=["en", "own"],
        codes=theirs,
    )


_SIB_OPTIONS: dict[str, Any] = {"text_a": "text", "label": "category"}
_SIB = TaskSpec(
    name="sib200",
    kind="classification",
    labels=_SIB_LABELS,
    metric="accuracy",
    languages=tuple(upstream("sib200")),
    data=(
        DataRef(
            reader="hub_parquet",
            source="hub:mteb/sib200",
            revision=STATED["mteb/sib200"],
            files=_one_file(".parquet"),
            codes=upstream("sib200"),
            options=_SIB_OPTIONS,
        ),
    ),
    sizes={"train": 701, "dev": 99, "test": 204},
    licence="CC-BY-SA 4.0",
    citation="Adelani et al. 2024",
    note=(
        "Topics of FLORES-200's sentences: the same 204 in every language, so that languages differ"
        " and items do not. One language alone has a standard error of up to 3.5 points."
    ),
)
_BELEBELE_OPTIONS: dict[str, Any] = {
    "context": "flores_passage",
    "question": "question",
    "choices": [f"mc_answer{number}" for number in range(1, 5)],
    "label": "correct_answer_num",
    "label_map": {"1": "0", "2": "1", "3": "2", "4": "3"},
}
_BELEBELE = TaskSpec(
    name="belebele",
    kind="multiple_choice",
    metric="accuracy",
    train_on=("cosmosqa",),
    languages=tuple(upstream("belebele")),
    data=(
        converted(
            "facebook/belebele",
            "{lang}",
            {"test": "test"},
            codes=upstream("belebele"),
            **_BELEBELE_OPTIONS,
        ),
    ),
    sizes={"test": 900},
    licence="CC-BY-SA 4.0",
    citation="Bandarkar et al. 2024",
    note=(
        "No English training data of its own: trained on Cosmos QA, which as its intermediate task"
        " is the same data twice. Passages are FLORES-200's."
    ),
)
_FLORES_TASK = TaskSpec(
    name="flores200",
    kind="retrieval",
    metric="accuracy",
    train_on=(),
    languages=tuple(_FLORES),
    data=(_pairs_in_columns("mteb/FloresBitextMining", "devtest", "eng_Latn", _FLORES),),
    sizes={"test": 1_012},
    licence="CC-BY-SA 4.0",
    citation="NLLB Team 2022",
    note=(
        "An English sentence looks up its translation among the 1,012 of the language, as Tatoeba"
        " does. Nothing is trained: `none` is the pretrained model."
    ),
)

MANY_LANGUAGES = (
    _SIB,
    _SIB.model_copy(
        update={
            "name": "sib200_scripts",
            "languages": tuple(_OTHER_SCRIPTS),
            "train_on": ("sib200",),
            "data": (
                _SIB.data[0].model_copy(
                    update={"codes": _OTHER_SCRIPTS, "files": {"test": ("test/{lang}.parquet",)}}
                ),
            ),
            "sizes": {"test": 204},
            "note": "sib200 in the other script of a language; apc is South Levantine here.",
        }
    ),
    _FLORES_TASK,
    _FLORES_TASK.model_copy(
        update={
            "name": "flores200_scripts",
            "languages": tuple(_OTHER_SCRIPTS),
            "data": (
                _pairs_in_columns("mteb/FloresBitextMining", "devtest", "eng_Latn", _OTHER_SCRIPTS),
            ),
            "note": "flores200 in the other script of a language; apc is South Levantine here.",
        }
    ),
    TaskSpec(
        name="ntrex128",
        kind="retrieval",
        metric="accuracy",
        train_on=(),
        languages=tuple(_NTREX),
        data=(_pairs_in_columns("mteb/NTREXBitextMining", "test", "eng_Latn", _NTREX),),
        sizes={"test": 1_997},
        licence="CC-BY-SA 4.0",
        citation="Federmann et al. 2022",
        note=(
            "News of 2019, translated from English. As flores200, with twice the sentences in half"
            " the languages. Columns are MTEB's codes: its orm_Ethi and mon_Mong name the wrong"
            " script (the authors' files are Latin and Cyrillic), shi_Arab is what they have."
        ),
    ),
    _BELEBELE,
    _BELEBELE.model_copy(
        update={
            "name": "belebele_scripts",
            "languages": tuple(_BELEBELE_SCRIPTS),
            "data": (
                converted(
                    "facebook/belebele",
                    "{lang}",
                    {"test": "test"},
                    codes=_BELEBELE_SCRIPTS,
                    **_BELEBELE_OPTIONS,
                ),
            ),
            "note": "belebele in the other script of a language, five of them romanised.",
        }
    ),
    TaskSpec(
        name="massive_intent",
        kind="classification",
        labels=_INTENTS,
        metric="accuracy",
        languages=_MASSIVE,
        data=(
            DataRef(
                reader="jsonl",
                source="hub:mteb/amazon_massive_intent",
                revision=STATED["mteb/amazon_massive_intent"],
                files=_one_file(".json*"),
                codes={"no": "nb", "zh": "zh-CN"},
                options={"text_a": "text", "label": "label"},
            ),
        ),
        sizes={"train": 11_514, "dev": 2_033, "test": 2_974},
        licence="Apache-2.0",
        citation="FitzGerald et al. 2023",
        note=(
            "What a sentence wants of an assistant: 60 classes, of which dev and test have 59."
            " Chinese is zh-CN. The most items of a language with little text: jv, sw, cy, my, km."
        ),
    ),
    TaskSpec(
        name="afrixnli",
        kind="classification",
        labels=NLI,
        metric="accuracy",
        train_on=("mnli",),
        languages=tuple(_AFRIXNLI),
        data=(
            converted(
                "masakhane/afrixnli",
                "{lang}",
                {"test": "test"},
                codes=_AFRIXNLI,
                **NLI_NUMBERED,
            ),
        ),
        sizes={"test": 600},
        licence="CC-BY 4.0 (MTEB's metadata)",
        citation="Adelani et al. 2025",
        note=(
            "XNLI's test pairs, 600 of them, translated into African languages; en and fr are"
            " XNLI's own. MNLI as its intermediate task is the same data twice."
        ),
    ),
    TaskSpec(
        name="masakhanews",
        kind="classification",
        labels=_NEWS_LABELS,
        metric="accuracy",
        languages=tuple(_NEWS),
        data=(
            converted(
                "mteb/masakhanews",
                "{lang}",
                # The dev split was called `dev` and is called `validation`.
                {"train": "train", "dev": "[dv]*", "test": "test"},
                text_a="text",
                label="category",
                codes=_NEWS,
            ),
        ),
        sizes={"train": 3_309, **{f"test.{code}": size for code, size in _NEWS_SIZES.items()}},
        licence="CC-BY-NC 4.0 (MTEB's metadata)",
        citation="Adelani et al. 2023",
        note=(
            "Topics of whole news articles, cut by max_length. Not translated: each language has"
            " its own articles, and not every class."
        ),
    ),
    TaskSpec(
        name="injongo_intent",
        kind="classification",
        labels=_INJONGO_INTENTS,
        metric="accuracy",
        languages=tuple(_INJONGO),
        data=(
            converted(
                "mteb/InjongoIntent",
                "{lang}",
                {"train": "train", "dev": "[dv]*", "test": "test"},
                text_a="text",
                label="intent",
                codes=_INJONGO,
            ),
        ),
        sizes={
            "train": 1_779,
            "test.en": 622,
            "test.wo": 638,
            **{f"test.{code}": 640 for code in _INJONGO if code not in ("en", "wo")},
        },
        licence="CC-BY 4.0",
        citation="Yu et al. 2025",
        note="40 intents, written in each language. Columns were not seen.",
    ),
    TaskSpec(
        name="nusax",
        kind="classification",
        labels=("negative", "neutral", "positive"),
        metric="accuracy",
        languages=tuple(_NUSAX),
        data=(
            converted(
                "indonlp/NusaX-senti",
                "{lang}",
                {"train": "train", "dev": "validation", "test": "test"},
                text_a="text",
                label="label",
                label_names=["negative", "neutral", "positive"],
                codes=_NUSAX,
            ),
        ),
        sizes={"train": 500, "test": 400},
        licence="CC-BY-SA 4.0",
        citation="Winata et al. 2023",
        note=(
            "Sentiment of reviews in ten languages of Indonesia, parallel. MTEB states a commit of"
            " a mirror; read from the authors' repository, whose conversion was seen."
        ),
    ),
    TaskSpec(
        name="in22",
        kind="retrieval",
        metric="accuracy",
        train_on=(),
        languages=tuple(_IN22),
        data=(_pairs_in_columns("mteb/IN22GenBitextMining", "test", "eng_Latn", _IN22),),
        sizes={"test": 1_024},
        licence="CC-BY 4.0",
        citation="Gala et al. 2023",
        note=(
            "The 22 scheduled languages of India, translated from English. Manipuri is in its own"
            " script here, Sindhi in Devanagari."
        ),
    ),
    TaskSpec(
        name="taxi1500",
        kind="classification",
        labels=_TAXI_LABELS,
        metric="accuracy",
        languages=tuple(_TAXI),
        data=(
            folder(
                "taxi1500",
                "delimited",
                {
                    "train": ("eng_data/eng_train.tsv*",),
                    "dev": ("eng_data/eng_dev.tsv*",),
                    "test": ("{lang}_data/{lang}_test.tsv*",),
                },
                columns=["id", "label", "verse"],
                id="id",
                text_a="verse",
                label="label",
                codes={**_TAXI, "en": "eng"},
            ),
        ),
        sizes={"train": 860, "dev": 106},
        licence="by edition",
        citation="Ma et al. 2025",
        note=(
            "Topics of Bible verses, at most 111 a language. English labels are public; the verses"
            " of other languages are made with the authors' data_preprocess.py from the editions"
            " that may be passed on (Taxi1500-c, 823 languages). Which of these languages are among"
            " them was not seen: name the ones you have in the study's `languages`. The Bible's"
            " domain is narrow."
        ),
    ),
)
