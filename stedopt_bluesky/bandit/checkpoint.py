"""State of an `AdaptiveOptimizer` as a JSON file: its history, and what is under way.

The strategy itself is not written: it is a pure function of the history, and ingests it
again. Nothing is pickled.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

FORMAT = "stedopt_bluesky.bandit.adaptive 1"


@dataclasses.dataclass(frozen=True)
class Image:
    """One image that counted.

    Parameters
    ----------
    id : hashable
        The suggestion it belongs to, or whatever name an external point had.
    index : int
        Row of the grid.
    values : tuple of float or None
        One per objective, in their order and units; None where it is invalid.
    """

    id: Hashable
    index: int
    values: tuple[float | None, ...]


@dataclasses.dataclass
class State:
    """History and pending suggestions.

    Parameters
    ----------
    issued : int
        Number of suggestions made so far, which is the next one's identifier.
    pending : dict of suggestion to row of the grid
        Suggestions without an outcome yet.
    history : list of Image
        In the order in which they were ingested.
    """

    issued: int = 0
    pending: dict[int, int] = dataclasses.field(default_factory=dict)
    history: list[Image] = dataclasses.field(default_factory=list)


def write_checkpoint(path: Path, state: State, signature: Mapping[str, Any]) -> None:
    """Write a state, whole or not at all: a file that was there before stays until then.

    Parameters
    ----------
    path : Path
        A file beside it, of the same name with ``.part``, is used on the way.
    state : State
        An identifier that is neither text nor a number is written as its text.
    signature : mapping
        Plain data that whoever goes on must share.
    """
    content = {
        "format": FORMAT,
        "signature": dict(signature),
        "issued": state.issued,
        "pending": list(state.pending.items()),
        "history": [[_plain(image.id), image.index, image.values] for image in state.history],
    }
    beside = path.with_name(path.name + ".part")
    with beside.open("w", encoding="utf-8") as file:
        json.dump(content, file, allow_nan=False)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def read_checkpoint(path: Path, signature: Mapping[str, Any]) -> State:
    """Read a state back.

    Raises
    ------
    FileNotFoundError
        When there is no such file.
    ValueError
        When it is no checkpoint, or one of another signature.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["format"] != FORMAT:
            raise ValueError(f"its format is {content['format']!r}, here it is {FORMAT!r}")
        for key, expected in signature.items():
            if content["signature"][key] != expected:
                raise ValueError(
                    f"its {key} is {content['signature'][key]!r}, here it is {expected!r}"
                )
        return State(
            issued=int(content["issued"]),
            pending={int(suggestion): int(row) for suggestion, row in content["pending"]},
            history=[Image(i, int(row), tuple(values)) for i, row, values in content["history"]],
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} cannot be gone on from: {error}") from error


def _plain(identifier: Hashable) -> str | int | float | None:
    if identifier is None or isinstance(identifier, str | int | float):
        return identifier
    return str(identifier)
