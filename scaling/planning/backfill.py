"""Room on nodes: what is free, where a gang fits, and when and where one that does not fit will."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Running:
    """A session at work."""

    steps: tuple[str, ...]
    gang: int
    """Devices."""
    place: Mapping[int, int]
    """Node → devices of it that the session holds."""
    taken_at: float
    ends_at: float
    """By the estimates."""
    dollars: float
    """Reserved."""


@dataclass(frozen=True, kw_only=True)
class Reservation:
    """When and where the first in line that does not fit now will fit: EASY backfill (Lifka
    1995).
    """

    node: int
    at: float
    spare: int
    """Devices of the node that it leaves free then."""


def free_devices(nodes: Sequence[int], running: Collection[Running]) -> list[int]:
    """Devices of each node that no session holds; below 0 where a node was lost under one."""
    room = list(nodes)
    for session in running:
        for node, count in session.place.items():
            room[node] -= count
    return room


def nodes_for(
    gang: int, nodes: Sequence[int], room: Sequence[int], reservation: Reservation | None
) -> list[int]:
    """Nodes that could take a gang now, the fullest first; all that have room if it needs
    several.
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
    place: dict[int, int] = {}
    for node in homes:
        place[node] = min(gang - sum(place.values()), room[node])
        if sum(place.values()) == gang:
            break
    return place


def reserve(
    gang: int, nodes: Sequence[int], room: Sequence[int], running: Collection[Running]
) -> Reservation | None:
    """The node that has room for a gang first, by the estimated ends of what runs on it; None if
    none ever has.
    """
    ends: dict[int, list[tuple[float, int]]] = {}
    for session in running:
        for node, count in session.place.items():
            ends.setdefault(node, []).append((session.ends_at, count))
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
