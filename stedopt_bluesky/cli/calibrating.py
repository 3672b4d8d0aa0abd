"""The commands of ``stedopt calibrate``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stedopt_bluesky.cli.options import Json
from stedopt_bluesky.cli.output import clear_errors, print_json, stdout

if TYPE_CHECKING:
    from rich.table import Table

    from stedopt_bluesky.imspector.calibration import PowerCalibration

calibrate_app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="Powers of the lasers as measured: Imspector's percent, and µW or mW at the back "
    "aperture.",
)


@calibrate_app.callback()
def _calibrate() -> None: ...


@calibrate_app.command()
def check(
    file: Annotated[Path, typer.Argument(metavar="FILE.csv", help="The measured points.")],
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.png",
            help="Where to save the picture. Left out: here, under the name of the file.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Check a file of measured laser powers, and draw it.

    The file has a header and one measurement a row, in any order, µW (or uW)
    or mW; lines that begin with # are comments. A setting that was measured
    several times is averaged. Semicolons between the columns are understood,
    and with them decimal commas.

    laser,percent,power,unit

    excitation,0,0,uW

    excitation,50,21.0,uW

    excitation,100,44.0,uW

    Shown for each laser: its points and their range; the nonlinearity, the
    largest deviation of a point from the straight line between the first and
    the last, in % of the power's span; and the resolution, by how much a step
    of 0.1 % changes the power at most. Where a line is far from straight,
    measure more points.

    A configuration takes the powers from the file by
    calibration_file = "powers.csv" in its sections excitation, depletion, uncaging or
    calcium, and in those of further channels.

    Examples: [bold]stedopt calibrate check powers.csv[/],
    [bold]stedopt calibrate check powers.csv --out pictures/powers.png --json[/]
    """
    with clear_errors():
        check_file(file, out, as_json=as_json)


def check_file(file: Path, out: Path | None, *, as_json: bool) -> None:
    """Show and draw the calibrations in a file.

    Raises
    ------
    ConfigError
        When the file cannot be used, or the picture cannot be written.
    """
    from stedopt_bluesky.config import ConfigError
    from stedopt_bluesky.imspector.calibration_file import read_calibrations
    from stedopt_bluesky.reports.calibration import save_calibrations

    calibrations = read_calibrations(file)
    picture = Path(f"{file.stem}.png") if out is None else out
    if picture.resolve() == file.resolve():
        raise ConfigError(f"out = {str(picture)!r}: another file than the measured points")
    try:
        save_calibrations(calibrations, picture, title=file.name)
    except OSError as error:
        reason = error.strerror or error
        raise ConfigError(f"out = {str(picture)!r}: a PNG file to be written ({reason})") from None
    if as_json:
        lasers = [_as_json(laser, c) for laser, c in calibrations.items()]
        print_json({"path": str(file), "figure": str(picture.resolve()), "lasers": lasers})
        return
    stdout.print(_table(calibrations))
    stdout.print(f"\npicture: {picture}", markup=False)


def _as_json(laser: str, calibration: PowerCalibration) -> dict[str, Any]:
    """What a script reads of a laser."""
    from stedopt_bluesky.reports.calibration import nonlinearity_percent, resolution

    return {
        "laser": laser,
        "unit": calibration.unit,
        "percent": list(calibration.percent),
        "power": list(calibration.power),
        "nonlinearity_percent": nonlinearity_percent(calibration),
        "resolution": resolution(calibration),
    }


def _table(calibrations: Mapping[str, PowerCalibration]) -> Table:
    """Calibrations, one a row, narrow enough for 80 columns."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    from stedopt_bluesky.reports.calibration import nonlinearity_percent, resolution

    table = Table(box=SIMPLE_HEAD, show_edge=False, padding=(0, 2, 0, 0))
    for heading in ("laser", "points", "percent", "power", "nonlinearity", "per 0.1 %"):
        table.add_column(heading, overflow="fold")
    for laser, c in calibrations.items():
        table.add_row(
            Text(laser),
            str(len(c.percent)),
            f"{c.percent[0]:g} to {c.percent[-1]:g} %",
            f"{c.power[0]:.4g} to {c.power[-1]:.4g} {c.unit}",
            f"{nonlinearity_percent(c):+.1f} %",
            f"{resolution(c):.3g} {c.unit}",
        )
    return table
