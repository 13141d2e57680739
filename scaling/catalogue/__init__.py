"""What there is: languages, models, GPUs, tasks, their sources, and the studies that are shipped.

    languages.py     one row a language: script, family, text in CC-100, Joshi's class
    language_sources.py  makes and checks those rows, from packages
    resources.py     what each family read of a language (mc4.tsv, mmbert.tsv): who finds it low
    architectures.py what a class of networks is: names, formulas, habits
    architecture_entries.py  one entry a class
    models.py        one ModelSpec a size
    hardware.py      one row a GPU; prices; how a step is laid out on devices
    task.py          what a task is: data, kind, labels, metric
    definition.py    where readers, metrics and tasks are checked against each other
    readers.py       readers by name: the kinds they read, their options
    metrics.py       metrics by name: the kinds they score
    sources.py       columns of hub data sets that many tasks share
    demo.py          tasks of Django's messages and pycountry's names
    intermediate.py  the intermediate tasks of Phang et al. 2020, Social IQa and COPA
    xtreme.py        the targets of XTREME and XTREME-R
    many_languages.py  targets in hundreds of languages: SIB-200, FLORES, Belebele, ...
    references.py    what tasks and models cite: the entries of references.bib
    sets.py          which tasks belong to which benchmark
    folders.py       data sets that are read from a folder
    example.py       rows of a finished demo, for a report without a run
    studies/         named studies and their JSON schema

May import `spec`. A hub source without a revision is resolved when a study is first staged, and its
commit kept in the lock file.
"""

from __future__ import annotations

from scaling.catalogue.demo import DEMO
from scaling.catalogue.folders import FILES
from scaling.catalogue.intermediate import INTERMEDIATE
from scaling.catalogue.many_languages import MANY_LANGUAGES
from scaling.catalogue.task import TaskSpec
from scaling.catalogue.xtreme import XTREME_TASKS

CATALOGUE: tuple[TaskSpec, ...] = (*INTERMEDIATE, *XTREME_TASKS, *MANY_LANGUAGES, *FILES)
"""What needs a hub or a folder with raw data."""

TASKS: dict[str, TaskSpec] = {task.name: task for task in (*DEMO, *CATALOGUE)}
"""Every task by name, the demo\'s first."""
