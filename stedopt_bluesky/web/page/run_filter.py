"""What is written into the fields above the list of runs, understood."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from stedopt_bluesky.records.folder import CatalogError
from stedopt_bluesky.records.query import (
    DAMAGED,
    ENDED,
    INTERRUPTED,
    RUNNING,
    Condition,
    RunQuery,
)

# Fields with the text of a start document; exactly it, as `stedopt runs` has it.
TEXT_FIELDS = ("sample", "structure", "preset", "operator")
FIELDS = (*TEXT_FIELDS, "status", "where")
_MOST_DIGITS = 9
STATUSES = (*ENDED, RUNNING, INTERRUPTED, DAMAGED)


def query_of(texts: Mapping[str, str]) -> tuple[RunQuery, dict[str, str]]:
    """Understand the fields.

    Parameters
    ----------
    texts : mapping of a field's name to what is written there
        Names of `FIELDS`; others are left alone. Nothing, or spaces: any run.

    Returns
    -------
    query : RunQuery
        What the fields ask for that can be understood.
    errors : dict of a field's name to str
        What is wrong with the others, each in one line.
    """
    query, errors = RunQuery(), {}
    written = {name: _plain(texts.get(name, "")) for name in FIELDS}
    for name, text in written.items():
        if not text:
            continue
        try:
            query = replace(query, **_KEYS[name](name, text))
        except CatalogError as error:
            errors[name] = str(error)
    return query, errors


def page_of(text: str) -> int:
    """Number of a page of the list, from 1; of what is none, the first."""
    # So many digits are enough for any catalogue, and quickly read.
    is_number = text.isdecimal() and len(text) <= _MOST_DIGITS
    return max(1, int(text)) if is_number else 1


def _exactly(name: str, text: str) -> dict[str, Any]:
    return {name: text}


def _status(_: str, text: str) -> dict[str, Any]:
    return {"exit_status": text}


def _where(_: str, text: str) -> dict[str, Any]:
    """Several conditions stand between commas."""
    return {"where": tuple(Condition.parse(part) for part in text.split(","))}


_KEYS: Mapping[str, Callable[[str, str], dict[str, Any]]] = {
    **dict.fromkeys(TEXT_FIELDS, _exactly),
    "status": _status,
    "where": _where,
}


def _plain(text: str) -> str:
    """Text as a database takes it."""
    return text.encode(errors="replace").decode().strip()
