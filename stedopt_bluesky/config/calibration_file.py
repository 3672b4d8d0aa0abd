"""Measured points of laser powers in a CSV file: Imspector's percent, and the power it gives.

A file has the columns ``laser``, ``percent``, ``power`` and ``unit``, one measurement a row::

    # power meter at the back aperture, 2026-11-20
    laser,percent,power,unit
    excitation,0,0,uW
    excitation,50,21.0,uW
    excitation,100,44.0,uW

Powers reach the microscope by these numbers, so that nothing in the file is guessed: a row
that can be read in two ways is refused.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from stedopt_bluesky.config.csv_rows import cells_of, number_in, opened, written_lines
from stedopt_bluesky.config.errors import ConfigError, allowed_text

COLUMNS = ("laser", "percent", "power", "unit")
# As a file may spell a unit; Unicode has two letters that look like µ.
UNITS = {"µW": "µW", "uW": "µW", "\N{GREEK SMALL LETTER MU}W": "µW", "mW": "mW"}
# Imspector numbers its lasers from 0 to 15.
MAX_LASERS = 16
# All points go into the start document; a setting has 1,001 values, 0.1 % apart.
MAX_ROWS = 10_000
# 1 kW in µW: above it a number is a slip, whatever its unit.
_MAX_POWER = 1e9
# Settings this close are one setting: 0.1 + 0.2 is 0.3.
_DECIMALS = 9
# Powers this close, relative to the highest, differ by rounding alone.
_LEAST_STEP = 1e-9


class CalibrationFileError(ConfigError):
    """A file of measured points that cannot be used; one line that names it and says why."""


class MeasuredPoints(NamedTuple):
    """Measured points of one laser, ordered by setting; both increase strictly."""

    percent: tuple[float, ...]
    power: tuple[float, ...]
    unit: str

    def power_in(self, unit: str) -> tuple[float, ...]:
        """Powers in another unit, ``"µW"`` or ``"mW"``."""
        if unit == self.unit:
            return self.power
        return tuple(p * 1000 if unit == "µW" else p / 1000 for p in self.power)


@dataclass(frozen=True)
class _Row:
    """One measurement, as read."""

    line: int
    laser: str
    percent: float
    power: float
    unit: str


def read_points(path: str | Path) -> dict[str, MeasuredPoints]:
    """Read the measured points of each laser in a CSV file.

    Parameters
    ----------
    path : str or Path
        In UTF-8, with a header ``laser,percent,power,unit`` in any order; other columns are
        ignored, and so are blank lines and lines that begin with ``#``. Rows of a laser may be
        in any order; measurements of the same setting are averaged. Semicolons between the
        columns are understood, and then decimal commas too, as a German Excel writes them.

    Returns
    -------
    dict of str to MeasuredPoints
        By laser, in the order of the file: a name in small letters (``"excitation"``), or a
        wavelength without its unit (``"640"``).

    Raises
    ------
    CalibrationFileError
        One line with the file, the line in it, the column, the value and what is allowed.
    """
    path = Path(path)
    try:
        return _points(_rows(path))
    except ValueError as error:
        raise CalibrationFileError(" ".join(f"{path}: {error}".split())) from None


def points_of(points: dict[str, MeasuredPoints], names: Sequence[str]) -> MeasuredPoints:
    """Points of the laser that has one of these names.

    Raises
    ------
    ValueError
        When none has, or more than one.
    """
    found = [name for name in names if name in points]
    if len(found) == 1:
        return points[found[0]]
    if found:
        raise ValueError(f"lasers {' and '.join(found)} are the same one here: only one of them")
    raise ValueError(f"no laser {' or '.join(names)}; it has {', '.join(points)}")


# --- rows -------------------------------------------------------------------------------


def _rows(path: Path) -> Iterator[_Row]:
    """Rows of a file, each checked for itself."""
    with opened(path) as file:
        lines = written_lines(file)
        _, first = next(lines, (0, ""))
        separator = ";" if ";" in first else ","
        header = [cell.casefold() for cell in cells_of(first, separator, "the header")]
        places = {name: _place(header, name) for name in COLUMNS}
        marks: set[str] = set()
        count = 0
        for number, line in lines:
            where = f"line {number}"
            cells = cells_of(line, separator, where)
            if not any(cells):
                continue  # as spreadsheets leave empty rows
            if len(cells) != len(header):
                hint = "; decimal commas need semicolons between the columns"
                raise ValueError(
                    f"{where} has {len(cells)} cells: {len(header)}, as the header"
                    f"{hint if separator == ',' and len(cells) > len(header) else ''}"
                )
            count += 1
            if count > MAX_ROWS:
                raise ValueError(f"{where}: more than {MAX_ROWS:,} measurements: at most that many")
            texts = {name: cells[place] for name, place in places.items()}
            if separator == ";":
                for name in ("percent", "power"):
                    marks |= {mark for mark in ",." if mark in texts[name]}
                    if len(marks) > 1:
                        raise ValueError(
                            f"{where}, {name} = {texts[name]!r}: decimal commas or decimal "
                            "points, not both in one file"
                        )
                    texts[name] = texts[name].replace(",", ".")
            yield _Row(
                number,
                _laser(texts["laser"], where),
                _number(texts["percent"], f"{where}, percent", 100.0),
                _number(texts["power"], f"{where}, power", _MAX_POWER),
                _unit(texts["unit"], where),
            )


def _place(header: Sequence[str], name: str) -> int:
    found = [i for i, cell in enumerate(header) if cell == name]
    if len(found) == 1:
        return found[0]
    if found:
        raise ValueError(f"column {name} is there {len(found)} times: once")
    if any("\t" in cell for cell in header):
        raise ValueError("tabs between the columns: commas or semicolons")
    has = ", ".join(filter(None, header)) or "no header"
    raise ValueError(
        f"no column {name}; it has {has if len(has) <= 200 else has[:196] + ' ...'}; "
        f"needed are {', '.join(COLUMNS)}"
    )


def _laser(text: str, where: str) -> str:
    if not text:
        raise ValueError(f"{where}, laser = '': a name as excitation, or a wavelength as 640")
    if len(text) > 40 or not text.isprintable():
        raise ValueError(f"{where}, laser = {text[:40]!r}: a name of at most 40 letters")
    wavelength = re.fullmatch(r"(\d+)\s*nm", text)
    return wavelength[1] if wavelength else text.casefold()


def _number(text: str, where: str, high: float) -> float:
    value = number_in(text)
    if not 0 <= value <= high:  # also refuses NaN
        shown = text if len(text) <= 40 else text[:36] + " ..."
        raise ValueError(f"{where} = {shown!r}: a number from 0 to {high:,.0f}")
    return value + 0.0  # not -0


def _unit(text: str, where: str) -> str:
    if text not in UNITS:
        hint = allowed_text(text[:40], ("µW", "uW", "mW"))
        raise ValueError(f"{where}, unit = {text[:40]!r}: {hint}")
    return UNITS[text]


# --- lasers -----------------------------------------------------------------------------


def _points(rows: Iterator[_Row]) -> dict[str, MeasuredPoints]:
    """Points of each laser, checked together."""
    lasers: dict[str, list[_Row]] = {}
    for row in rows:
        of_laser = lasers.setdefault(row.laser, [])
        of_laser.append(row)
        if row.unit != of_laser[0].unit:
            raise ValueError(
                f"line {row.line}, unit = {row.unit!r}: {of_laser[0].unit!r}, as in line "
                f"{of_laser[0].line}; one unit for each laser ({row.laser})"
            )
        if len(lasers) > MAX_LASERS:
            raise ValueError(
                f"line {row.line}, laser = {row.laser!r}: at most {MAX_LASERS} lasers in a file"
            )
    if not lasers:
        raise ValueError("no measurement: at least two of each laser")
    return {laser: _averaged(laser, of_laser) for laser, of_laser in lasers.items()}


def _averaged(laser: str, rows: Sequence[_Row]) -> MeasuredPoints:
    """Mean power of each setting, in the order of the settings."""
    settings: dict[float, list[_Row]] = {}
    for row in rows:
        settings.setdefault(round(row.percent, _DECIMALS), []).append(row)
    ordered = sorted(settings)
    powers = [math.fsum(r.power for r in settings[p]) / len(settings[p]) for p in ordered]
    unit = rows[0].unit
    if len(ordered) < 2:
        raise ValueError(
            f"laser {laser}: only {ordered[0]:.12g} % was measured (line {rows[0].line}): "
            "at least two points"
        )
    least_step = max(_LEAST_STEP * max(powers), 1e-12)
    for (a, low), (b, high) in itertools.pairwise(zip(ordered, powers, strict=True)):
        if high - low < least_step:
            raise ValueError(
                f"laser {laser}: power at {b:.12g} % = {high:.12g} {unit} "
                f"({_lines_of(settings[b])}): above {low:.12g} {unit}, that at {a:.12g} % "
                f"({_lines_of(settings[a])}); powers increase strictly with percent"
            )
    return MeasuredPoints(tuple(ordered), tuple(powers), unit)


def _lines_of(rows: Sequence[_Row]) -> str:
    if len(rows) == 1:
        return f"line {rows[0].line}"
    return f"mean of {len(rows)} measurements, first in line {rows[0].line}"
