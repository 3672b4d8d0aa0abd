"""Rows of a CSV file that a person has written: comments, and errors that name line and column.

Blank lines are ignored, and so are lines that begin with ``#``, those too that a spreadsheet has
put in quotes. Each row is a line of its own.
"""

from __future__ import annotations

import contextlib
import csv
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TextIO

from stedopt_bluesky.config.errors import shown


@contextlib.contextmanager
def opened(path: str | Path) -> Iterator[TextIO]:
    """Open a CSV file in UTF-8; its byte-order mark, if there is one, is skipped.

    Raises
    ------
    ValueError
        One line, when the file cannot be opened, or what is read of it is not UTF-8.
    """
    path = Path(path)
    try:
        # Opened all the same, Windows would tell a folder's lack of permission.
        if not path.is_file():
            what = "a folder" if path.is_dir() else "no file" if path.exists() else "no such file"
            raise ValueError(f"{what}: expected a CSV file")
        # "utf-8-sig": Excel and Windows' Notepad put a byte-order mark in front.
        with path.open(encoding="utf-8-sig") as file:
            yield file
    except OSError as error:
        raise ValueError(f"{error.strerror or error}: expected a CSV file") from None
    except UnicodeDecodeError as error:
        raise ValueError(
            f"expected a CSV file in UTF-8; byte {error.start} is not (in Excel: save as "
            "'CSV UTF-8', or write u for µ)"
        ) from None


def written_lines(file: Iterator[str]) -> Iterator[tuple[int, str]]:
    """Lines with their numbers, from 1, without comments and blank ones."""
    for number, line in enumerate(file, start=1):
        if line.strip() and not line.lstrip(' \t"').startswith("#"):
            yield number, line


def cells_of(line: str, separator: str, where: str) -> list[str]:
    """Cells of one line, stripped; a quoted cell must end in its line.

    Raises
    ------
    ValueError
        When it is no row, with ``where``.
    """
    try:
        cells = next(csv.reader([line], delimiter=separator, strict=True), [])
    except csv.Error as error:
        raise ValueError(f"{where}: no row of a CSV file ({error})") from None
    return [cell.strip() for cell in cells]


def number_in(cell: str) -> float:
    """Number in a cell; NaN where there is none."""
    try:
        # Python reads "1_000" as a number, which in a table is a slip.
        return math.nan if "_" in cell else float(cell)
    except ValueError:
        return math.nan


def read_numbers(
    path: str | Path,
    needed: Sequence[str],
    *optional: Sequence[str],
    others_ignored: bool = False,
    most: int,
) -> list[tuple[int, dict[str, float]]]:
    """Read a table of finite numbers, its columns in any order.

    Parameters
    ----------
    path : str or Path
        CSV in UTF-8, with commas between the columns and their names in the first line.
    needed : sequence of str
        Columns that the table has.
    *optional : sequence of str
        Groups of columns that it may have; those of a group go together.
    others_ignored : bool
        Whether it may have other columns too.
    most : int
        Most rows.

    Returns
    -------
    list of (int, dict)
        Each row's line in the file, from 1, and its numbers by column.

    Raises
    ------
    ValueError
        One line with the line, the column, what is in it and what is allowed.
    """
    rows: list[tuple[int, dict[str, float]]] = []
    with opened(path) as file:
        lines = written_lines(file)
        first, text = next(lines, (1, ""))
        header = cells_of(text, ",", f"line {first}")
        columns = _columns(header, (needed, *optional), f"line {first}", others_ignored)
        for line, text in lines:
            cells = cells_of(text, ",", f"line {line}")
            if not any(cells):
                continue  # as spreadsheets leave empty rows
            if len(cells) != len(header):
                raise ValueError(
                    f"line {line} has {len(cells)} cells: {len(header)}, as the header"
                )
            if len(rows) == most:
                raise ValueError(f"line {line}: more than {most:,} rows; 1 to {most:,} are allowed")
            row = {name: number_in(cells[place]) for name, place in columns.items()}
            for name, value in row.items():
                if not math.isfinite(value):
                    cell = shown(cells[columns[name]])
                    raise ValueError(f"line {line}, {name} = {cell}: a finite number")
            rows.append((line, row))
    if not rows:
        raise ValueError(f"0 rows; 1 to {most:,} are allowed")
    return rows


def _columns(
    header: Sequence[str], groups: Sequence[Sequence[str]], where: str, others_ignored: bool
) -> dict[str, int]:
    """Places of the columns that are read, by name, in the order of the groups."""
    allowed = [name for group in groups for name in group]
    for name in header:
        if name not in allowed and not others_ignored:
            raise ValueError(f"{where}, column {shown(name)}: allowed are {', '.join(allowed)}")
        if name in allowed and header.count(name) > 1:
            raise ValueError(f"{where}, column {name!r} is there {header.count(name)} times: once")
    for i, group in enumerate(groups):
        missing = [name for name in group if name not in header]
        if missing and (i == 0 or len(missing) < len(group)):
            raise ValueError(
                f"{where}, column {missing[0]!r} is missing: {', '.join(group)} go together"
            )
    return {name: header.index(name) for name in allowed if name in header}
