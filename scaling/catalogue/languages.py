"""Languages: codes, script, family, resources. One row each; add a language by adding a row.

Sources. CC-100 GiB and "seen by XLM-R": Conneau et al. 2020 (arXiv 1911.02116), Table 6; rows that
are split over two scripts there (my, zh) are summed; `-` means the language is not among XLM-R's
100, whatever later re-releases of CC-100 contain. Joshi class: Joshi et al. 2020 (arXiv
2004.09095), `?` where no copy of their list was at hand. GiB, not tokens: token counts of
unsegmented scripts are not comparable.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from scaling.spec import UserError

# code iso639-3 script family joshi cc100_gib name
_TABLE = """
af  afr Latn Indo-European   3 1.3   Afrikaans
am  amh Ethi Afro-Asiatic    2 0.8   Amharic
ar  arb Arab Afro-Asiatic    5 28.0  Arabic
ay  aym Latn Aymaran         1 -     Aymara
az  azj Latn Turkic          1 6.5   Azerbaijani
bbj bbj Latn Niger-Congo     ? -     Ghomala
be  bel Cyrl Indo-European   3 4.3   Belarusian
bg  bul Cyrl Indo-European   3 57.5  Bulgarian
bho bho Deva Indo-European   1 -     Bhojpuri
bm  bam Latn Mande           1 -     Bambara
bn  ben Beng Indo-European   3 8.4   Bengali
br  bre Latn Indo-European   1 0.1   Breton
bs  bos Latn Indo-European   3 0.1   Bosnian
bxr bxr Cyrl Mongolic        ? -     Buryat
bzd bzd Latn Chibchan        ? -     Bribri
ca  cat Latn Indo-European   4 10.1  Catalan
ceb ceb Latn Austronesian    3 -     Cebuano
cni cni Latn Arawakan        ? -     Ashaninka
cs  ces Latn Indo-European   4 16.3  Czech
cy  cym Latn Indo-European   1 0.8   Welsh
da  dan Latn Indo-European   3 45.6  Danish
de  deu Latn Indo-European   5 66.6  German
ee  ewe Latn Niger-Congo     1 -     Ewe
el  ell Grek Indo-European   3 46.9  Greek
en  eng Latn Indo-European   5 300.8 English
eo  epo Latn Constructed     1 0.9   Esperanto
es  spa Latn Indo-European   5 53.3  Spanish
et  est Latn Uralic          3 6.1   Estonian
eu  eus Latn Isolate         4 2.0   Basque
fa  pes Arab Indo-European   4 111.6 Persian
fi  fin Latn Uralic          4 54.3  Finnish
fo  fao Latn Indo-European   1 -     Faroese
fon fon Latn Niger-Congo     0 -     Fon
fr  fra Latn Indo-European   5 56.8  French
fy  fry Latn Indo-European   0 0.2   Western Frisian
ga  gle Latn Indo-European   2 0.5   Irish
gd  gla Latn Indo-European   1 0.1   Scottish Gaelic
gl  glg Latn Indo-European   3 2.9   Galician
gn  grn Latn Tupian          1 -     Guarani
gu  guj Gujr Indo-European   1 1.9   Gujarati
ha  hau Latn Afro-Asiatic    2 0.3   Hausa
hch hch Latn Uto-Aztecan     ? -     Wixarika
he  heb Hebr Afro-Asiatic    3 31.6  Hebrew
hi  hin Deva Indo-European   4 20.2  Hindi
hr  hrv Latn Indo-European   4 20.5  Croatian
hsb hsb Latn Indo-European   ? -     Upper Sorbian
ht  hat Latn Creole          2 -     Haitian Creole
hu  hun Latn Uralic          4 58.4  Hungarian
hy  hye Armn Indo-European   1 5.5   Armenian
id  ind Latn Austronesian    3 148.3 Indonesian
ig  ibo Latn Niger-Congo     1 -     Igbo
is  isl Latn Indo-European   2 3.2   Icelandic
it  ita Latn Indo-European   4 30.2  Italian
ja  jpn Jpan Japonic         5 69.3  Japanese
jv  jav Latn Austronesian    1 0.2   Javanese
ka  kat Geor Kartvelian      3 9.1   Georgian
kk  kaz Cyrl Turkic          3 6.4   Kazakh
km  khm Khmr Austroasiatic   1 1.5   Khmer
kmr kmr Latn Indo-European   1 0.4   Kurmanji Kurdish
kn  kan Knda Dravidian       1 3.3   Kannada
ko  kor Hang Koreanic        4 54.2  Korean
ky  kir Cyrl Turkic          1 1.2   Kyrgyz
lg  lug Latn Niger-Congo     1 -     Luganda
lt  lit Latn Indo-European   3 13.7  Lithuanian
luo luo Latn Nilotic         0 -     Luo
lv  lav Latn Indo-European   3 8.8   Latvian
mk  mkd Cyrl Indo-European   1 4.8   Macedonian
ml  mal Mlym Dravidian       1 7.6   Malayalam
mn  mon Cyrl Mongolic        1 3.0   Mongolian
mos mos Latn Niger-Congo     0 -     Mossi
mr  mar Deva Indo-European   2 2.8   Marathi
ms  zsm Latn Austronesian    3 8.5   Malay
mt  mlt Latn Afro-Asiatic    2 -     Maltese
my  mya Mymr Sino-Tibetan    1 2.0   Burmese
myv myv Cyrl Uralic          ? -     Erzya
nah nah Latn Uto-Aztecan     ? -     Nahuatl
ne  nep Deva Indo-European   1 3.8   Nepali
nl  nld Latn Indo-European   4 29.3  Dutch
nn  nno Latn Indo-European   1 -     Norwegian Nynorsk
no  nob Latn Indo-European   1 49.0  Norwegian Bokmal
ny  nya Latn Niger-Congo     1 -     Chichewa
oto oto Latn Oto-Manguean    ? -     Otomi
pa  pan Guru Indo-European   2 0.8   Punjabi
pcm pcm Latn Creole          ? -     Nigerian Pidgin
pl  pol Latn Indo-European   4 44.6  Polish
pt  por Latn Indo-European   4 49.1  Portuguese
qu  que Latn Quechuan        1 -     Quechua
quc quc Latn Mayan           ? -     K'iche'
ro  ron Latn Indo-European   3 61.4  Romanian
ru  rus Cyrl Indo-European   4 278.0 Russian
rw  kin Latn Niger-Congo     1 -     Kinyarwanda
shp shp Latn Panoan          ? -     Shipibo-Konibo
si  sin Sinh Indo-European   0 3.6   Sinhala
sk  slk Latn Indo-European   3 23.2  Slovak
sl  slv Latn Indo-European   3 10.3  Slovenian
sn  sna Latn Niger-Congo     1 -     Shona
sq  sqi Latn Indo-European   1 5.4   Albanian
sr  srp Cyrl Indo-European   4 9.1   Serbian
sv  swe Latn Indo-European   4 85.0  Swedish
sw  swh Latn Niger-Congo     2 1.6   Swahili
ta  tam Taml Dravidian       3 12.2  Tamil
tar tar Latn Uto-Aztecan     ? -     Raramuri
te  tel Telu Dravidian       1 4.7   Telugu
tg  tgk Cyrl Indo-European   1 -     Tajik
th  tha Thai Kra-Dai         3 71.7  Thai
tk  tuk Latn Turkic          1 -     Turkmen
tl  tgl Latn Austronesian    3 3.1   Tagalog
tn  tsn Latn Niger-Congo     2 -     Tswana
tr  tur Latn Turkic          4 20.9  Turkish
tt  tat Cyrl Turkic          1 -     Tatar
tw  twi Latn Niger-Congo     1 -     Twi
ug  uig Arab Turkic          1 0.4   Uyghur
uk  ukr Cyrl Indo-European   3 84.6  Ukrainian
ur  urd Arab Indo-European   3 5.7   Urdu
uz  uzn Latn Turkic          3 0.7   Uzbek
vi  vie Latn Austroasiatic   4 137.3 Vietnamese
wo  wol Latn Niger-Congo     2 -     Wolof
xh  xho Latn Niger-Congo     2 0.1   Xhosa
yi  yid Hebr Indo-European   1 0.3   Yiddish
yo  yor Latn Niger-Congo     2 -     Yoruba
yue yue Hant Sino-Tibetan    ? -     Cantonese
zh  cmn Hani Sino-Tibetan    5 63.5  Chinese
zu  zul Latn Niger-Congo     2 -     Zulu
"""

# A language counts as low-resource below this much CC-100 text; the grouped definition of the
# report.
LOW_CC100_GIB = 5.0
HIGH_CC100_GIB = 30.0


@dataclass(frozen=True, kw_only=True)
class Language:
    """One row of the table above."""

    code: str
    """XTREME's two-letter code where it has one, ISO 639-3 otherwise."""
    iso639_3: str
    script: str
    """ISO 15924."""
    family: str
    joshi: int | None
    """Resource class 0 (left behind) to 5 (winners); None where not known."""
    cc100_gib: float
    """Text seen in XLM-R's pretraining, GiB; 0.0 for languages that are not in it."""
    name: str

    @property
    def seen(self) -> bool:
        """Whether the language is one of XLM-R's 100 pretraining languages."""
        return self.cc100_gib > 0

    @property
    def tier(self) -> str:
        """`unseen`, `low`, `mid` or `high`, by CC-100 size alone."""
        if not self.seen:
            return "unseen"
        if self.cc100_gib < LOW_CC100_GIB:
            return "low"
        return "mid" if self.cc100_gib < HIGH_CC100_GIB else "high"


def _parse(table: str) -> dict[str, Language]:
    rows: dict[str, Language] = {}
    for line in table.strip().splitlines():
        code, iso, script, family, joshi, gib, name = line.split(maxsplit=6)
        if code in rows:
            raise UserError(f"language {code!r} has two rows")
        rows[code] = Language(
            code=code,
            iso639_3=iso,
            script=script,
            family=family,
            name=name,
            joshi=None if joshi == "?" else int(joshi),
            cc100_gib=0.0 if gib == "-" else float(gib),
        )
    return rows


LANGUAGES: dict[str, Language] = _parse(_TABLE)
_BY_ISO = {language.iso639_3: language for language in LANGUAGES.values()}


def get_language(code: str) -> Language:
    """The language with this code (two-letter or ISO 639-3); UserError with the nearest codes."""
    language = LANGUAGES.get(code) or _BY_ISO.get(code)
    if language is None:
        near = difflib.get_close_matches(code, [*LANGUAGES, *_BY_ISO], n=4, cutoff=0.3)
        hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
        raise UserError(
            f"Unknown language {code!r}.{hint} A new one is a row in"
            " scaling/catalogue/languages.py."
        )
    return language
