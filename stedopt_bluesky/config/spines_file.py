"""A list of spines in a CSV file: where their heads are, and where they point.

A file has the columns ``x_um``, ``y_um``, ``axis_x`` and ``axis_y``, one spine a row; of several
fields also ``stage_x_um`` and ``stage_y_um``, from where the stage stands::

    # from the overview of 2026-11-20
    x_um,y_um,axis_x,axis_y
    -3.2,5.1,0.0,-1.0

Other columns are ignored, and so are blank lines and lines that begin with ``#``.
"""

from __future__ import annotations

from pathlib import Path

from stedopt_bluesky.config.csv_rows import read_numbers
from stedopt_bluesky.config.places import check_axis

COLUMNS = ("x_um", "y_um", "axis_x", "axis_y")
STAGE = ("stage_x_um", "stage_y_um")
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
    rows = read_numbers(path, COLUMNS, STAGE, others_ignored=True, most=MAX_SPINES)
    for line, row in rows:
        try:
            check_axis(row["axis_x"], row["axis_y"])
        except ValueError as error:
            raise ValueError(f"line {line}, {error}") from None
    return [row for _, row in rows]
