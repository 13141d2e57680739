"""Tables that cut nothing: what does not fit goes on in the next line of its cell."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.table import Column, Table

# Wider than any cell: what a cell would like to have.
_UNBOUNDED = 10_000


class FoldedTable(Table):
    """A table whose cells fold. Columns of sentences become narrower before names are broken."""

    def __init__(
        self,
        columns: Iterable[str],
        *,
        title: str | None = None,
        right: Iterable[str] = (),
        show_header: bool = True,
    ) -> None:
        """Make an empty table.

        Args:
            columns: Headers, from left to right.
            title: Above the table.
            right: Which of the columns stand at the right: numbers.
            show_header: Whether the headers are shown.
        """
        at_right = frozenset(right)
        made = [
            Column(header=name, overflow="fold", justify="right" if name in at_right else "left")
            for name in columns
        ]
        super().__init__(*made, title=title, show_header=show_header)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """As rich does, with widths of ours."""
        wide = options.update(width=_UNBOUNDED)
        sizes = [
            [
                Measurement.get(console, wide, cell)
                for cell in (*([column.header] if self.show_header else []), *column.cells)
            ]
            for column in self.columns
        ]
        # A line left of every column and one at the end; a blank on both sides of every cell.
        room = options.max_width - 3 * len(self.columns) - 1
        widths = fitting(
            [max((size.minimum for size in column), default=1) for column in sizes],
            [max((size.maximum for size in column), default=1) for column in sizes],
            room,
        )
        for column, width in zip(self.columns, widths, strict=True):
            column.width = width
        yield from super().__rich_console__(console, options)


def fitting(least: Sequence[int], most: Sequence[int], room: int) -> list[int]:
    """Widths of columns in characters, together `room` at most where that leaves 1 to each.

    The widest column gives way first: down to its longest word, and below that only if nothing
    else is left.

    Args:
        least: Longest word of each column.
        most: Longest cell of each column.
        room: Characters for all cells of a line.
    """
    widths = [max(1, width) for width in most]
    for floor in ([max(1, width) for width in least], [1] * len(widths)):
        while sum(widths) > room:
            spare = [at for at, width in enumerate(widths) if width > floor[at]]
            if not spare:
                break
            widths[max(spare, key=lambda at: widths[at])] -= 1
    return widths
