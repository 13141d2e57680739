"""Devices on nodes: what is free, where a gang fits, and when and where one will that does not.

Backfill with one reservation: EASY (Lifka 1995).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class RunningSession:
    """A session at work, as the queue sees it: where it runs and when it should end."""

    steps: tuple[str, ...]
    gang: float
    """Devices; a half or a quarter of one that is shared."""
    held: Mapping[int, float]
    """Node → devices of it that the session holds."""
    cell: int | None = None
    """Which of the node's shared devices; None if it shares none. Numbers of the queue's own: Ray,
    too, fills a device that is shared before it begins another.
    """
    taken_at: float
    ends_at: float
    """By the estimates."""
    dollars: float
    """Reserved."""


@dataclass(frozen=True, kw_only=True)
class Reservation:
    """When and where the first gang in line will fit that does not fit now."""

    node: int
    at: float
    spare: int
    """Devices of the node that it leaves free then."""


def free_devices(nodes: Sequence[int], running: Collection[RunningSession]) -> list[int]:
    """Devices of each node that no session holds; below 0 where a node was lost under one.

    What is left of a device that sessions share is not among them (`open_cells`).
    """
    room = list(nodes)
    for node, count, _ in _holdings(running):
        room[node] -= count
    return room


def _holdings(running: Collection[RunningSession]) -> list[tuple[int, int, float]]:
    """(node, whole devices, when they come free) of sessions, and of devices that some share."""
    whole = [
        (node, int(count), session.ends_at)
        for session in running
        if session.cell is None
        for node, count in session.held.items()
    ]
    shared: dict[tuple[int, int], float] = {}
    for session in running:
        if session.cell is not None:
            at = next(iter(session.held)), session.cell
            shared[at] = max(session.ends_at, shared.get(at, session.ends_at))
    return whole + [(node, 1, ends_at) for (node, _), ends_at in shared.items()]


def open_cells(gang: float, running: Collection[RunningSession]) -> dict[int, int]:
    """Node → a shared device of it with room for so large a part; the fullest one."""
    used: dict[tuple[int, int], float] = {}
    for session in running:
        if session.cell is not None:
            at = next(iter(session.held)), session.cell
            used[at] = used.get(at, 0.0) + session.gang
    fullest = sorted(used.items(), key=lambda item: item[1])
    return {node: cell for (node, cell), share in fullest if share + gang <= 1}


def new_cell(node: int, running: Collection[RunningSession]) -> int:
    """A number for a device of a node that begins to be shared."""
    taken = {session.cell for session in running if node in session.held}
    return next(number for number in range(len(taken) + 1) if number not in taken)


def nodes_for(
    gang: int, nodes: Sequence[int], room: Sequence[int], reservation: Reservation | None
) -> list[int]:
    """Nodes that could take a gang now, the fullest first.

    All nodes with free devices if the gang needs several; [] if it fits nowhere.

    Args:
        gang: Devices.
        nodes: Devices of each node.
        room: Free devices of each node.
        reservation: One for an earlier gang; it keeps a gang of several nodes from starting.
    """
    if gang <= max(nodes, default=0):
        return sorted(
            (node for node, left in enumerate(room) if left >= gang), key=lambda node: room[node]
        )
    if reservation is not None:
        return []
    order = sorted(
        (node for node, left in enumerate(room) if left > 0), key=lambda node: -room[node]
    )
    return order if sum(room[node] for node in order) >= gang else []


def spread(gang: int, room: Sequence[int], homes: Sequence[int]) -> dict[int, int]:
    """Node → devices of a gang that is larger than any node, on as few nodes as possible."""
    held: dict[int, int] = {}
    for node in homes:
        held[node] = min(gang - sum(held.values()), room[node])
        if sum(held.values()) == gang:
            break
    return held


def reserve(
    gang: int, nodes: Sequence[int], room: Sequence[int], running: Collection[RunningSession]
) -> Reservation | None:
    """The node that will have room for a gang first; None if none ever will.

    Args:
        gang: Devices.
        nodes: Devices of each node.
        room: Free devices of each node.
        running: Sessions at work, with their estimated ends.
    """
    ends: dict[int, list[tuple[float, int]]] = {}
    for node, count, ends_at in _holdings(running):
        ends.setdefault(node, []).append((ends_at, count))
    best: Reservation | None = None
    for node, size in enumerate(nodes):
        if size < gang:
            continue
        left = room[node]
        for end, count in sorted(ends.get(node, [])):
            left += count
            if left >= gang:
                if best is None or end < best.at:
                    best = Reservation(node=node, at=end, spare=left - gang)
                break
    return best
