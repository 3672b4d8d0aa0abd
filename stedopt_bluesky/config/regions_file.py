"""Regions and rectangles chosen by hand, from a CSV file.

Lines that begin with ``#`` and blank ones are ignored.
"""

from __future__ import annotations

from pathlib import Path

from stedopt_bluesky.config.csv_rows import read_numbers

_CENTRE = ("x_um", "y_um")
_STAGE = ("stage_x_um", "stage_y_um")
_SIDES = ("width_um", "height_um")
# More is no list that somebody has chosen by hand.
_MOST_ROWS = 100_000


def read_regions(path: str | Path) -> dict[str, list[dict[str, float]]]:
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
        With the line, the column and what is wrong in it.
    """
    rows = [row for _, row in read_numbers(path, _CENTRE, _STAGE, _SIDES, most=_MOST_ROWS)]
    return {"rectangles" if "width_um" in rows[0] else "regions": rows}
