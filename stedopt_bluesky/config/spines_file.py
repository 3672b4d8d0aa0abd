"""A list of spines in a CSV file: where their heads are, and where they point.

A file has the columns ``x_um``, ``y_um``, ``axis_x`` and ``axis_y``, one spine a row::

    # from the overview of 2026-11-20
    x_um,y_um,axis_x,axis_y
    -3.2,5.1,0.0,-1.0

Other columns are ignored, and so are blank lines and lines that begin with ``#``.
"""

from __future__ import annotations

import csv
import math
from pathlib import Path

COLUMNS = ("x_um", "y_um", "axis_x", "axis_y")
MAX_SPINES = 10_000


def read_spines(path: str | Path) -> list[dict[str, float]]:
    """Read a list of spines.

    Parameters
    ----------
    path : str or Path
        CSV file in UTF-8.

    Returns
    -------
    list of dict
        In the file's order, as a configuration has them.

    Raises
    ------
    ValueError
        One line that names the row and what is wrong.
    """
    try:
        # "utf-8-sig": Excel and Windows' Notepad put a byte-order mark in front.
        with Path(path).open(encoding="utf-8-sig", newline="") as file:
            lines = [
                (number, line)
                for number, line in enumerate(file, start=1)
                if line.strip() and not line.lstrip().startswith("#")
            ]
        rows = [(number, next(csv.reader([line], strict=True))) for number, line in lines]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ValueError(f"{reason}: expected a CSV file, one spine a line") from None
    if not 2 <= len(rows) <= MAX_SPINES + 1:
        raise ValueError(f"{max(0, len(rows) - 1):,} spines; 1 to {MAX_SPINES:,} are allowed")
    header = [name.strip() for name in rows[0][1]]
    for column in COLUMNS:
        if header.count(column) != 1:
            raise ValueError(f"column {column} is needed once: {', '.join(COLUMNS)}")
    return [_spine(header, number, row) for number, row in rows[1:]]


def _spine(header: list[str], number: int, row: list[str]) -> dict[str, float]:
    if len(row) < len(header):
        raise ValueError(f"line {number}: too few columns")
    spine = {}
    for column in COLUMNS:
        cell = row[header.index(column)]
        try:
            spine[column] = float(cell)
        except ValueError:
            spine[column] = math.nan
        if not math.isfinite(spine[column]):
            raise ValueError(f"line {number}: {column} = {cell.strip()!r}: a finite number")
    if not math.hypot(spine["axis_x"], spine["axis_y"]) > 0:
        raise ValueError(f"line {number}: axis (0, 0): not zero")
    return spine
