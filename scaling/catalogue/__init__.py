"""The tasks of both papers and beyond, by where their data come from.

    intermediate.py  the nine intermediate tasks of Phang et al. 2020, Social IQa and COPA
    xtreme.py        the targets of XTREME and XTREME-R
    files.py         data sets read from a folder: African and American languages, and real files of
    the targets above

A hub source without a revision is resolved when a study is first staged, and its commit kept in the
lock file.
"""

from __future__ import annotations

from scaling.catalogue.folders import FILES
from scaling.catalogue.intermediate import INTERMEDIATE
from scaling.catalogue.task import TaskSpec
from scaling.catalogue.xtreme import XTREME_TASKS

CATALOGUE: tuple[TaskSpec, ...] = (*INTERMEDIATE, *XTREME_TASKS, *FILES)
