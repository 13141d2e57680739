"""Tasks of Django's messages and pycountry's names: real, multilingual, in pip packages.

Whether a task is an intermediate or a target is the study's business. Adding a task is one
TaskSpec: in the catalogue, or under `define: tasks:` in a study file.
"""

from __future__ import annotations

from scaling.catalogue.sets import codes
from scaling.catalogue.task import DataRef, TaskSpec

# The messages of Django and the names of pycountry: small, real, multilingual text that pip
# installs.
_MESSAGE_LANGUAGES = codes("""
    ar az be bg bn cy de el es eu fi fr hi id ja ka kk ko ky mr ru sw ta te tr ug uk ur vi zh
""")


_NAME_LANGUAGES = codes("""
    ar be bn cy de el es eu fi fr hi hu id ja ka ko lt ru ta tr ug uk vi zh
""")


_COUNTRY_LANGUAGES = codes("""
    ar be bg bn cy de el es eu fi fr hi id ja ka kk ko ky mr ru ta te tr ug uk ur vi wo yo zh
""")


def _django(**options: str) -> DataRef:
    return DataRef(
        reader="django_messages",
        source="package:django",
        options=dict(options),
        codes={"zh": "zh_Hans"},
    )


def _pycountry(**options: str) -> DataRef:
    return DataRef(
        reader="pycountry_names",
        source="package:pycountry",
        options=dict(options),
        codes={"zh": "zh_CN"},
    )


DEMO = (
    TaskSpec(
        name="applications",
        kind="classification",
        data=(_django(),),
        languages=("en", *_MESSAGE_LANGUAGES),
        labels=("admin", "admindocs", "auth", "conf", "gis"),
        metric="accuracy",
        licence="BSD-3-Clause",
        licence_source="package:django",
        citation="django",
        note=(
            "Which application of Django a message belongs to. Chance is the share of the largest"
            " class."
        ),
    ),
    TaskSpec(
        name="messages",
        kind="retrieval",
        data=(_django(pairs="yes"),),
        languages=_MESSAGE_LANGUAGES,
        train_on=(),
        metric="accuracy",
        licence="BSD-3-Clause",
        licence_source="package:django",
        citation="django",
        note=(
            "The English original of a translated message among all of them: Tatoeba's task."
            " Nothing is trained."
        ),
    ),
    TaskSpec(
        name="name_types",
        kind="classification",
        data=(_pycountry(),),
        languages=_NAME_LANGUAGES,
        train_languages=("en", *_NAME_LANGUAGES),
        labels=("country", "currency", "language", "script", "subdivision"),
        metric="accuracy",
        licence="LGPL-2.1",
        licence_source="package:pycountry",
        citation="pycountry",
        note=(
            "What a name names: a country, a currency, a language, a script or a part of a country."
        ),
    ),
    TaskSpec(
        name="countries",
        kind="retrieval",
        data=(_pycountry(pairs="yes"),),
        languages=_COUNTRY_LANGUAGES,
        train_on=(),
        metric="accuracy",
        licence="LGPL-2.1",
        licence_source="package:pycountry",
        citation="pycountry",
        note="The English name of a country among all of them. Nothing is trained.",
    ),
    TaskSpec(
        name="message_halves",
        kind="retrieval",
        data=(_django(pairs="halves"),),
        metric="accuracy",
        licence="BSD-3-Clause",
        licence_source="package:django",
        citation="django; lee2019latent",
        note=(
            "The second half of an English message, asked for by its first, among all of them: an"
            " inverse cloze."
        ),
    ),
    TaskSpec(
        name="official_names",
        kind="retrieval",
        data=(_pycountry(pairs="official"),),
        metric="accuracy",
        licence="LGPL-2.1",
        licence_source="package:pycountry",
        citation="pycountry",
        note="The English name of a country, asked for by its official name.",
    ),
    TaskSpec(
        name="word_order",
        kind="classification",
        data=(_django(shuffled="yes"),),
        labels=("real", "shuffled"),
        metric="accuracy",
        licence="BSD-3-Clause",
        licence_source="package:django",
        citation="django; chang2021rethinking",
        note=(
            "English messages as they are or with their words shuffled: an intermediate task of"
            " form, not meaning."
        ),
    ),
)
