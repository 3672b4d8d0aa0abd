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
from collections.abc import Sequence
from pathlib import Path

from stedopt_bluesky.acquisition import Spine
from stedopt_bluesky.config.errors import ConfigError

COLUMNS = ("x_um", "y_um", "axis_x", "axis_y")
MAX_SPINES = 10_000


def read_spines(path: str | Path, size_um: float) -> list[Spine]:
    """Read a list of spines.

    Parameters
    ----------
    path : str or Path
        CSV file in UTF-8.
    size_um : float
        Side of the region around each head, µm.

    Returns
    -------
    list of Spine
        In the file's order; axes of any length are made unit vectors. How far an axis is free
        is not known from a file: `free_um` is 0.

    Raises
    ------
    ConfigError
        One line that names the file, the row and what is wrong.
    """
    where = f"uncaging.spines = {str(path)!r}"
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            lines = [
                (number, line)
                for number, line in enumerate(file, start=1)
                if line.strip() and not line.lstrip().startswith("#")
            ]
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8"
        raise ConfigError(f"{where}: {reason}: expected a CSV file") from None
    if len(lines) > MAX_SPINES + 1:
        raise ConfigError(f"{where}: {len(lines) - 1:,} rows: at most {MAX_SPINES:,}")
    rows = csv.reader([line for _, line in lines])
    header = [name.strip() for name in next(rows, [])]
    for column in COLUMNS:
        if header.count(column) != 1:
            raise ConfigError(f"{where}: column {column} is needed once: {', '.join(COLUMNS)}")
    at = [header.index(column) for column in COLUMNS]
    spines = []
    for (number, _), row in zip(lines[1:], rows, strict=True):
        try:
            spines.append(_spine([float(row[i]) for i in at], size_um))
        except (ValueError, IndexError) as error:
            reason = "too few columns" if isinstance(error, IndexError) else error
            raise ConfigError(f"{where}: line {number}: {reason}") from None
    if not spines:
        raise ConfigError(f"{where}: no spine is in it")
    return spines


def _spine(values: Sequence[float], size_um: float) -> Spine:
    x, y, axis_x, axis_y = values
    length = math.hypot(axis_x, axis_y)
    if not (math.isfinite(length) and length > 0):
        raise ValueError(f"axis ({axis_x:g}, {axis_y:g}): finite and not zero")
    return Spine(x, y, size_um, axis_x / length, axis_y / length)
