"""Addresses inside the page: each names a series, or the records behind a number."""

from __future__ import annotations

from urllib.parse import quote


def records(view: str, **chosen: str) -> str:
    """The records that entered a number, and those that did not.

    Args:
        view: How records were chosen: `pool` and `mean` (a group of languages, `name`), `pair`
            (`arm` and `target`), `language`, `score` (`arm` and `target`), `any`.
        chosen: Beside `name`, any of `model`, `arm`, `target` and `language`.
    """
    return _address("records", {"view": view, **chosen})


def series(**chosen: str) -> str:
    """The explorer on `language`, `target` and `arm`, as far as they are given."""
    return _address("explore", chosen)


def _address(place: str, chosen: dict[str, str]) -> str:
    words = "&".join(f"{key}={quote(value, safe='')}" for key, value in chosen.items() if value)
    return f"#{place}?{words}" if words else f"#{place}"
