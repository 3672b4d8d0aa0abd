"""Regions and rectangles chosen by hand, from a CSV file."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import Any

_CENTRE = ("x_um", "y_um")
_STAGE = ("stage_x_um", "stage_y_um")
_SIDES = ("width_um", "height_um")
# More is no list that somebody has chosen by hand.
_MOST_ROWS = 100_000


def read_regions(path: str | Path) -> dict[str, list[dict[str, Any]]]:
    """Read regions, or rectangles to be filled with regions.

    Parameters
    ----------
    path : str or Path
        CSV with a header: ``x_um`` and ``y_um``, the centre in the field; optionally
        ``stage_x_um`` and ``stage_y_um``, from where the stage stands. With ``width_um`` and
        ``height_um`` each row is a rectangle.

    Returns
    -------
    dict
        ``regions`` or ``rectangles``, as a configuration has them.

    Raises
    ------
    ValueError
        With the line and what is wrong in it.
    """
    try:
        # "utf-8-sig": Excel and Windows' Notepad put a byte-order mark in front.
        with Path(path).open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            header = [cell.strip() for cell in next(reader, [])]
            _check_header(header)
            rows = [_row(header, cells, reader.line_num) for cells in reader if any(cells)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ValueError(getattr(error, "strerror", None) or str(error)) from None
    if not 1 <= len(rows) <= _MOST_ROWS:
        raise ValueError(f"{len(rows)} rows; 1 to {_MOST_ROWS:,} are allowed")
    return {"rectangles" if set(_SIDES) <= set(header) else "regions": rows}


def _check_header(header: list[str]) -> None:
    allowed = (*_CENTRE, *_STAGE, *_SIDES)
    for name in header:
        if name not in allowed:
            raise ValueError(f"column {name!r}: allowed are {', '.join(allowed)}")
        if header.count(name) > 1:
            raise ValueError(f"column {name!r} is there twice")
    for group, needed in ((_CENTRE, True), (_STAGE, False), (_SIDES, False)):
        missing = set(group) - set(header)
        if missing and (needed or missing != set(group)):
            raise ValueError(f"column {min(missing)!r} is missing; {', '.join(group)} go together")


def _row(header: list[str], cells: list[str], line: int) -> dict[str, float]:
    if len(cells) != len(header):
        raise ValueError(f"line {line} has {len(cells)} cells; expected {len(header)}")
    row = {}
    for name, cell in zip(header, cells, strict=True):
        try:
            number = float(cell)
        except ValueError:
            number = math.nan
        if not math.isfinite(number):
            raise ValueError(f"line {line}: {name} = {cell.strip()!r}: a finite number")
        row[name] = number
    return row
