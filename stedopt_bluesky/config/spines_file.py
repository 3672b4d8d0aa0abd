"""A list of spines in a CSV file: where their heads are, and where they point.

A file has the columns ``x_um``, ``y_um``, ``axis_x`` and ``axis_y``, one spine a row::

    # from the overview of 2026-11-20
    x_um,y_um,axis_x,axis_y
    -3.2,5.1,0.0,-1.0

Other columns are ignored, and so are blank lines and lines that begin with ``#``.
"""

from __future__ import annotations

import math
from pathlib import Path

from stedopt_bluesky.config.csv_rows import read_numbers

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
        One line that names the line, the column and what is wrong.
    """
    rows = read_numbers(path, COLUMNS, others_ignored=True, most=MAX_SPINES)
    for line, row in rows:
        if not math.hypot(row["axis_x"], row["axis_y"]) > 0:
            raise ValueError(f"line {line}, axis_x = 0: not 0 together with axis_y")
    return [row for _, row in rows]
