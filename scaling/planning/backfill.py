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
    gang: int
    """Devices."""
    held: Mapping[int, int]
    """Node → devices of it that the session holds."""
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
    """Devices of each node that no session holds; below 0 where a node was lost under one."""
    room = list(nodes)
    for session in running:
        for node, count in session.held.items():
            room[node] -= count
    return room


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
    for session in running:
        for node, count in session.held.items():
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
