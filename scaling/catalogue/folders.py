"""Tasks read from a folder: data sets for low-resource languages, real files of other tasks.

Folders are named as in the project's shared data, MANIFEST.tsv there gives repository and commit of
every file. Tasks that end in `_files` are the upstream files of a hub task; `_small` marks a
stand-in that is trained where the real training data cannot be had: honest for trying things, never
for a published number.
"""

from __future__ import annotations

from scaling.catalogue.sets import NLI, UPOS, XTREME_R, codes, pairs
from scaling.catalogue.sources import COPA, COSMOS, NLI_NAMED, folder
from scaling.catalogue.task import TaskSpec
from scaling.catalogue.xtreme import TATOEBA_CODES, TYDIQA_TEST

_MASAKHA = pairs("""
    bbj=bbj bm=bam ee=ewe fon=fon ha=hau ig=ibo lg=lug luo=luo mos=mos ny=nya pcm=pcm rw=kin
    sn=sna sw=swa tn=tsn tw=twi wo=wol xh=xho yo=yor zu=zul
""")
_AMERICAS = pairs("""
    ay=aym bzd=bzd cni=cni gn=gn hch=hch nah=nah oto=oto qu=quy shp=shp tar=tar
""")
_TREEBANKS = pairs("""
    af=Afrikaans-AfriBooms/af_afribooms am=Amharic-ATT/am_att ar=Arabic-PUD/ar_pud
    hy=Armenian-ArmTDP/hy_armtdp bm=Bambara-CRB/bm_crb eu=Basque-BDT/eu_bdt
    bn=Bengali-BRU/bn_bru bho=Bhojpuri-BHTB/bho_bhtb br=Breton-KEB/br_keb bxr=Buryat-BDT/bxr_bdt
    zh=Chinese-PUD/zh_pud en=English-EWT/en_ewt fo=Faroese-OFT/fo_oft fi=Finnish-PUD/fi_pud
    ka=Georgian-GLC/ka_glc de=German-PUD/de_pud hi=Hindi-PUD/hi_pud id=Indonesian-PUD/id_pud
    kk=Kazakh-KTB/kk_ktb quc=Kiche-IU/quc_iu ko=Korean-PUD/ko_pud kmr=Kurmanji-MG/kmr_mg
    ky=Kyrgyz-KTMU/ky_ktmu mt=Maltese-MUDT/mt_mudt mr=Marathi-UFAL/mr_ufal pcm=Naija-NSC/pcm_nsc
    ru=Russian-PUD/ru_pud si=Sinhala-STB/si_stb es=Spanish-PUD/es_pud tl=Tagalog-TRG/tl_trg
    ta=Tamil-TTB/ta_ttb te=Telugu-MTG/te_mtg th=Thai-PUD/th_pud tr=Turkish-PUD/tr_pud
    hsb=Upper_Sorbian-UFAL/hsb_ufal ur=Urdu-UDTB/ur_udtb ug=Uyghur-UDT/ug_udt
    vi=Vietnamese-VTB/vi_vtb cy=Welsh-CCG/cy_ccg wo=Wolof-WTB/wo_wtb yo=Yoruba-YTB/yo_ytb
""")
_LASER = TATOEBA_CODES | pairs("""
    am=amh be=bel br=bre bs=bos ca=cat ceb=ceb cs=ces cy=cym da=dan eo=epo fo=fao fy=fry ga=gle
    gd=gla gl=glg hr=hrv hsb=hsb hy=hye is=isl km=khm kmr=kur lv=lvs mk=mkd mn=mon ms=zsm nn=nno
    no=nob sk=slk sl=slv sq=sqi sr=srp sv=swe tk=tuk tt=tat ug=uig uz=uzb xh=xho yi=yid yue=yue
""")
_NEWS = pairs("""
    am=en-amh ha=en-hau ig=en-ibo rw=en-kin lg=en-lug ny=en-nya pcm=en-pcm sn=en-sna sw=en-swa
    tn=en-tsn tw=en-twi xh=en-xho yo=en-yor zu=en-zul
""")
_SPANISH_PAIRS = pairs("""
    ay=aymara gn=guarani hch=wixarika nah=nahuatl qu=quechua shp=shipibo_konibo
""")
_TYDIQA = pairs("""
    ar=arabic bn=bengali en=english fi=finnish id=indonesian ko=korean ru=russian sw=swahili
    te=telugu
""")
_NER = codes("O B-PER I-PER B-ORG I-ORG B-LOC I-LOC")
# WNUT's companies and groups are organisations; its works and products have no counterpart.
_WNUT_TO_NER = {"O": "O"} | {
    f"{part}-{name}": f"{part}-{ours}" if ours else "O"
    for part in "BI"
    for name, ours in {
        "person": "PER",
        "location": "LOC",
        "corporation": "ORG",
        "group": "ORG",
        "product": "",
        "creative-work": "",
    }.items()
}
_MASAKHA_TO_NER = {tag: tag for tag in _NER} | {"B-DATE": "O", "I-DATE": "O"}

_LISTED = (
    TaskSpec(
        name="nli_small",
        kind="classification",
        labels=NLI,
        metric="accuracy",
        licence="by part",
        data=(
            folder(
                "nli_en",
                "delimited",
                {"train": ("mnli/dev.csv*",), "dev": ("snli/dev.csv*",)},
                **NLI_NAMED,
            ),
        ),
        sizes={"train": 19_647, "dev": 9_831},
        citation="Williams et al. 2018; Bowman et al. 2015",
        note="Trains on MNLI's two dev sets and selects on SNLI's: real English NLI in small.",
    ),
    TaskSpec(
        name="anli_dev",
        kind="classification",
        labels=NLI,
        metric="accuracy",
        train_on=("nli_small",),
        data=(
            folder(
                "anli",
                "delimited",
                {"test": ("R?_dev.csv*",)},
                text_a="context",
                text_b="hypothesis",
                label="label",
                id="uid",
                label_map={"e": "entailment", "n": "neutral", "c": "contradiction"},
            ),
        ),
        languages=("en",),
        sizes={"test": 3_198},
        licence="CC-BY-NC 4.0",
        citation="Nie et al. 2020",
        note="The dev sets of the three rounds, two of 3,200 pairs missing in the copy.",
    ),
    TaskSpec(
        name="americasnli",
        kind="classification",
        labels=NLI,
        metric="accuracy",
        train_on=("mnli",),
        languages=tuple(_AMERICAS),
        licence="not stated upstream",
        citation="Ebrahimi et al. 2022",
        data=(
            folder(
                "americasnli",
                "delimited",
                {"dev": ("dev/{lang}.tsv",), "test": ("test/{lang}.tsv",)},
                codes=_AMERICAS,
                accept=["empty_text"],
                **NLI_NAMED,
            ),
        ),
        sizes={**{f"test.{code}": 750 for code in _AMERICAS}, "test.nah": 738, "test.oto": 748},
        note=(
            "XNLI in ten languages of the Americas, none of them seen by XLM-R. Nahuatl has three"
            " empty premises."
        ),
    ),
    TaskSpec(
        name="indonli",
        kind="classification",
        labels=NLI,
        metric="accuracy",
        train_on=("mnli",),
        languages=("id",),
        licence="CC-BY-SA 4.0",
        citation="Mahendra et al. 2021",
        sizes={"test.id": 5_185},
        data=(
            folder(
                "xnli_other",
                "jsonl",
                {"test": ("indonli_test_expert.jsonl*", "indonli_test_lay.jsonl*")},
                id="pair_id",
                label_map={"e": "entailment", "n": "neutral", "c": "contradiction"},
                accept=["repeated_id"],
                **NLI_NAMED,
            ),
        ),
        note=(
            "Both test sets, written by laypeople and by experts; the Indonesian training set is"
            " not used."
        ),
    ),
    TaskSpec(
        name="xnli_german",
        kind="classification",
        labels=NLI,
        metric="accuracy",
        languages=("de",),
        train_on=("nli_small",),
        licence="CC-BY-NC 4.0",
        citation="Conneau et al. 2018",
        sizes={"test": 5_010},
        data=(
            folder(
                "xnli_other",
                "delimited",
                {"test": ("xglue_xnli.{lang}.test.txt*",)},
                **NLI_NAMED,
                columns=["premise", "hypothesis", "label"],
            ),
        ),
        note="XNLI's German test set in XGLUE's form.",
    ),
    TaskSpec(
        name="kornli",
        kind="classification",
        labels=NLI,
        metric="accuracy",
        languages=("ko",),
        train_on=("nli_small",),
        licence="CC-BY-SA 4.0",
        citation="Ham et al. 2020",
        sizes={"test": 5_010},
        data=(
            folder(
                "xnli_other",
                "delimited",
                {"dev": ("xnli.dev.{lang}.tsv*",), "test": ("xnli.test.{lang}.tsv*",)},
                text_a="sentence1",
                text_b="sentence2",
                label="gold_label",
            ),
        ),
        note="XNLI in Korean: a language that XNLI lacks.",
    ),
    TaskSpec(
        name="pawsx_files",
        kind="classification",
        labels=("different", "paraphrase"),
        metric="accuracy",
        train_on=("msrp",),
        languages=("de",),
        licence="free for any use",
        citation="Yang et al. 2019",
        data=(
            folder(
                "pawsx",
                "delimited",
                {"dev": ("{lang}_dev_2k.tsv*",), "test": ("{lang}_test_2k.tsv*",)},
                id="id",
                text_a="sentence1",
                text_b="sentence2",
                label="label",
                label_map={"0": "different", "1": "paraphrase"},
            ),
        ),
        sizes={"test": 2_000},
    ),
    TaskSpec(
        name="msrp",
        kind="classification",
        labels=("different", "paraphrase"),
        metric="accuracy",
        languages=("en",),
        licence="Microsoft Research shared source",
        citation="Dolan & Brockett 2005",
        data=(
            folder(
                "msrp_qqp_standin",
                "delimited",
                {
                    "train": ("msr-para-train.tsv*",),
                    "dev": ("msr-para-val.tsv*",),
                    "test": ("msr-para-test.tsv*",),
                },
                text_a="#1 String",
                text_b="#2 String",
                label="Quality",
                label_map={"0": "different", "1": "paraphrase"},
            ),
        ),
        sizes={"train": 3_576, "dev": 500, "test": 1_725},
    ),
    TaskSpec(
        name="xcopa_files",
        kind="multiple_choice",
        metric="accuracy",
        train_on=("copa_files",),
        languages=XTREME_R["xcopa"],
        licence="CC-BY 4.0",
        citation="Ponti et al. 2020",
        sizes={"test": 500},
        data=(folder("xcopa", "jsonl", {"test": ("data/{lang}/test.{lang}.jsonl",)}, **COPA),),
        note="Trains on COPA alone: `none` holds no intermediate task, unlike XTREME-R's protocol.",
    ),
    TaskSpec(
        name="copa_files",
        kind="multiple_choice",
        metric="accuracy",
        data=(folder("copa", "copa_xml", {"train": ("copa-dev.xml",), "dev": ("copa-test.xml",)}),),
        sizes={"train": 500, "dev": 500},
        licence="BSD-2-Clause",
        citation="Roemmele et al. 2011",
        note="COPA's development set trains, as usual; its test set, in English, selects.",
    ),
    TaskSpec(
        name="commonsenseqa_files",
        kind="multiple_choice",
        metric="accuracy",
        licence="MIT",
        data=(
            folder(
                "commonsenseqa",
                "jsonl",
                {"train": ("train_rand_split.jsonl*",), "dev": ("dev_rand_split.jsonl*",)},
                question="question.stem",
                choices="question.choices.text",
                choice_keys="question.choices.label",
                label="answerKey",
                id="id",
            ),
        ),
        sizes={"train": 9_741, "dev": 1_221},
        citation="Talmor et al. 2019",
    ),
    TaskSpec(
        name="cosmosqa_small",
        kind="multiple_choice",
        metric="accuracy",
        licence="CC-BY 4.0",
        data=(
            folder(
                "cosmosqa",
                "delimited",
                {"train": ("valid.csv*",), "dev": ("valid.csv*",)},
                hold_out=0.1,
                **COSMOS,
            ),
        ),
        citation="Huang et al. 2019",
        note="Trains on 90 % of the validation set, of 2,985 questions; dev is the rest.",
    ),
    TaskSpec(
        name="hellaswag_small",
        kind="multiple_choice",
        metric="accuracy",
        licence="MIT",
        data=(
            folder(
                "hellaswag",
                "jsonl",
                {split: ("hellaswag_val.from_klosax.jsonl*",) for split in ("train", "dev")},
                hold_out=0.1,
                context="ctx",
                id="ind",
                choices="endings",
                label="label",
            ),
        ),
        citation="Zellers et al. 2019",
        note=(
            "Trains on 90 % of the validation set, of 10,042; dev is the rest. The context begins"
            " with the activity, which the hub keeps apart."
        ),
    ),
    TaskSpec(
        name="squad1_small",
        kind="span_qa",
        metric="squad1",
        licence="CC-BY-SA 4.0",
        data=(
            folder(
                ".",
                "squad_json",
                {
                    "train": ("squad/squad1.1_dev_orig.json*", "xquad/xquad.en.json*"),
                    "dev": ("squad/squad1.1_adv_orig.json", "xquad/xquad.en.json*"),
                },
                held_out=True,
            ),
        ),
        sizes={"train": 931},
        citation="Rajpurkar et al. 2016; Gan & Ng 2019",
        note=(
            "931 questions of SQuAD's dev set whose paragraphs are not in XQuAD; 131 that are were"
            " taken out."
        ),
    ),
    TaskSpec(
        name="subjqa",
        kind="span_qa",
        metric="squad2",
        languages=("en",),
        licence="research; review texts by others",
        data=(
            folder(
                "subjqa",
                "subjqa",
                {
                    "train": ("restaurants_train.csv*",),
                    "dev": ("restaurants_dev.csv*",),
                    "test": ("restaurants_test.csv*",),
                },
                unanswerable=True,
            ),
        ),
        sizes={"train": 2_561, "dev": 285, "test": 533},
        defects={"answer_missing": {"train": 65, "dev": 10, "test": 9}},
        citation="Bjerva et al. 2020",
        note=(
            "Questions on restaurant reviews, unanswerable ones among them. 84 answers differ from"
            " their review."
        ),
    ),
    TaskSpec(
        name="xquad_files",
        kind="span_qa",
        metric="squad1",
        train_on=("squad1_small",),
        languages=XTREME_R["xquad"],
        data=(folder("xquad", "squad_json", {"test": ("xquad.{lang}.json*",)}),),
        sizes={"test": 1_190},
        licence="CC-BY-SA 4.0",
        citation="Artetxe et al. 2020",
    ),
    TaskSpec(
        name="tydiqa_files",
        kind="span_qa",
        metric="squad1",
        languages=tuple(TYDIQA_TEST),
        data=(
            folder(
                "tydiqa",
                "squad_json",
                {
                    "train": ("tydiqa-goldp-v1.1-train.json*",),
                    "dev": ("tydiqa-goldp-v1.1-dev.json*",),
                    "test": ("tydiqa-goldp-v1.1-dev.json*",),
                },
                id_prefix="{lang}-",
                codes=_TYDIQA,
            ),
        ),
        sizes={
            "train": 3_696,
            "dev": TYDIQA_TEST["en"],
            **{f"test.{code}": count for code, count in TYDIQA_TEST.items()},
        },
        licence="Apache-2.0",
        citation="Clark et al. 2020",
        note=(
            "tydiqa from the organisers' own two files, whose offsets are right:"
            " storage.googleapis.com/tydiqa/v1.1/ has them under these names. One file holds all"
            " languages, told apart by the start of the ids. Not opened here."
        ),
    ),
    TaskSpec(
        name="udpos_files",
        kind="tagging",
        labels=UPOS,
        metric="span_f1",
        languages=tuple(sorted(_TREEBANKS)),
        data=(
            folder(
                "ud",
                "conllu",
                {
                    split: (f"UD_{{lang}}-ud-{split}*.conllu*",)
                    for split in ("train", "dev", "test")
                },
                codes=_TREEBANKS,
                words="xtreme",
            ),
        ),
        sizes={"train": 12_544, "dev": 2_001, "test.en": 2_077},
        licence="by treebank; some NC",
        citation="Nivre et al. 2018",
        note=(
            "One treebank a language, 41 languages; English is EWT. Words and tags as XTREME"
            " prepares them."
        ),
    ),
    TaskSpec(
        name="masakhapos",
        kind="tagging",
        labels=UPOS,
        metric="span_f1",
        languages=tuple(_MASAKHA),
        train_on=("udpos_files",),
        licence="CC-BY-NC 4.0",
        citation="Dione et al. 2023",
        data=(
            folder(
                "masakhapos",
                "conll",
                {"dev": ("{lang}/dev.txt*",), "test": ("{lang}/test.txt*",)},
                codes=_MASAKHA,
            ),
        ),
        note="Twenty African languages; trains on English EWT.",
    ),
    TaskSpec(
        name="wnut17",
        kind="tagging",
        labels=_NER,
        metric="span_f1",
        languages=("en",),
        licence="CC-BY 4.0",
        data=(
            folder(
                "wnut17",
                "conll",
                {
                    "train": ("wnut17train.conll*",),
                    "dev": ("emerging.dev.conll",),
                    "test": ("emerging.test.annotated",),
                },
                label_map=_WNUT_TO_NER,
            ),
        ),
        sizes={"train": 3_394, "dev": 1_009, "test": 1_287},
        citation="Derczynski et al. 2017",
        note=(
            "As persons, organisations and locations, so that MasakhaNER can be scored; not WNUT's"
            " own score. emerging.test.conll keeps annotators' disagreements and cannot be read;"
            " emerging.test.annotated is its gold."
        ),
    ),
    TaskSpec(
        name="masakhaner2",
        kind="tagging",
        labels=_NER,
        metric="span_f1",
        languages=tuple(_MASAKHA),
        train_on=("wnut17",),
        licence="CC-BY-NC 4.0",
        citation="Adelani et al. 2022",
        data=(
            folder(
                "masakhaner2",
                "conll",
                {"dev": ("{lang}/dev.txt*",), "test": ("{lang}/test.txt*",)},
                codes=_MASAKHA,
                label_map=_MASAKHA_TO_NER,
            ),
        ),
        note=(
            "Twenty African languages. Dates, which no English training set here has, are O. With"
            " panx for English train_on may be [panx]: the labels are the same."
        ),
    ),
    TaskSpec(
        name="tatoeba_files",
        kind="retrieval",
        metric="accuracy",
        identical="apart",
        train_on=(),
        languages=tuple(sorted(_LASER)),
        data=(
            folder(
                "tatoeba",
                "parallel_text",
                {"test": ("tatoeba.{lang}-eng.{lang}", "tatoeba.{lang}-eng.eng")},
                codes=_LASER,
            ),
        ),
        sizes={"test.af": 1_000, "test.am": 168, "test.jv": 205, "test.xh": 142},
        licence="CC-BY 2.0 FR",
        citation="Artetxe & Schwenk 2019",
        note="LASER's release: 80 of its 112 languages. See tatoeba.",
    ),
    TaskSpec(
        name="news_pairs",
        kind="retrieval",
        metric="accuracy",
        train_on=(),
        languages=tuple(_NEWS),
        data=(
            folder(
                "lafand_mt",
                "parallel_text",
                {
                    split: ("{lang}/" + split + ".[!e]*", "{lang}/" + split + ".en")
                    for split in ("dev", "test")
                },
                codes=_NEWS,
                accept=["empty_text"],
            ),
        ),
        licence="CC-BY-NC 4.0",
        citation="Adelani et al. 2022 (arXiv 2205.02022)",
        note=(
            "LAFAND-MT's news sentences in 14 African languages against English: Tatoeba's task on"
            " longer sentences."
        ),
    ),
    TaskSpec(
        name="americas_pairs",
        kind="retrieval",
        metric="accuracy",
        train_on=(),
        languages=tuple(_SPANISH_PAIRS),
        data=(
            folder(
                "americasnlp2021",
                "parallel_text",
                {"test": ("{lang}-spanish/dev.[!e]*", "{lang}-spanish/dev.es")},
                codes=_SPANISH_PAIRS,
                other="es",
                accept=["empty_text"],
            ),
        ),
        licence="mixed: by language",
        citation="Mager et al. 2021",
        note=(
            "The shared task's dev sets: sentences in six languages of the Americas against"
            " Spanish, not English. Its Spanish side is one text that all languages translate, with"
            " a few empty lines."
        ),
    ),
    TaskSpec(
        name="lareqa_files",
        kind="retrieval",
        metric="map_at_20",
        identical="apart",
        train_on=("squad1_pairs_small",),
        data=(folder("lareqa", "xquad_r", {"test": ("xquad-r/{lang}.json*", "xquad-r/*.json*")}),),
        languages=XTREME_R["lareqa"],
        sizes={"test": 1_190},
        licence="CC-BY-SA 4.0",
        citation="Roy et al. 2020",
    ),
    TaskSpec(
        name="squad1_pairs_small",
        kind="retrieval",
        metric="map_at_20",
        licence="CC-BY-SA 4.0",
        data=(
            folder(
                ".",
                "squad_pairs",
                {
                    "train": ("squad/squad1.1_dev_orig.json*", "xquad/xquad.en.json*"),
                    "dev": ("squad/squad1.1_adv_orig.json", "xquad/xquad.en.json*"),
                },
                held_out=True,
            ),
        ),
        sizes={"train": 931},
        citation="Rajpurkar et al. 2016; Gan & Ng 2019",
    ),
)

# The same test sets after a stand-in that can be trained without the hub.
_SMALL = tuple(
    task.model_copy(update={"name": f"{task.name}_small", "train_on": ("nli_small",)})
    for task in _LISTED
    if task.name in ("americasnli", "indonli")
)
FILES = (*_LISTED, *_SMALL)
