"""CCGbank's AUTO files (LDC2005T13, licensed): words of a derivation and their categories.

A line `ID=wsj_0001.1 …` is followed by one with the derivation, whose leaves are `<L category tag
tag word …>`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from scaling.data.readers.raw import lines
from scaling.data.readers.records import tagged
from scaling.data.schema import BadData, ReadRequest, Row

_LEAF = re.compile(r"<L (\S+) \S+ \S+ (\S+) \S+>")
_BRACKETS = {"-LRB-": "(", "-RRB-": ")", "-LCB-": "{", "-RCB-": "}", "-LSB-": "[", "-RSB-": "]"}


def read_ccg_auto(request: ReadRequest) -> Iterator[Row]:
    """One row per derivation, in the order of the files (sections 02 to 21).

    Brackets are written as brackets.
    """
    # Categories outside the task's labels, where the task has one label for all of them.
    other = request.options.get("other")
    for path in request.files:
        row_id = ""
        for place, line in lines(path):
            if line.startswith("ID="):
                row_id = line.split()[0].removeprefix("ID=")
            elif line.strip():
                leaves = _LEAF.findall(line)
                if not row_id or len(leaves) != line.count("<L "):
                    raise BadData(
                        f"{place}: no derivation after an ID line, or a leaf that is not `<L cat t"
                        " t word c>`"
                    )
                tags = [
                    other if other and category not in request.labels else category
                    for category, _ in leaves
                ]
                yield tagged(
                    request, place, row_id, [_BRACKETS.get(word, word) for _, word in leaves], tags
                )
                row_id = ""
