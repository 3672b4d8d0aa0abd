"""What a plan refuses before the run opens and anything moves."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence

from stedopt_bluesky.acquisition import Region
from stedopt_bluesky.devices.station import Station
from stedopt_bluesky.parameters import ParameterSpace, pixels_along


def checked_count(number: int, what: str = "images") -> int:
    """Number of images as a whole number; ValueError when it is none, or below 1."""
    try:
        count = operator.index(number)
    except TypeError:
        raise ValueError(f"{what} = {number!r}: a whole number, at least 1") from None
    if count < 1:
        raise ValueError(f"{what} = {count}: at least 1")
    return count


def check_grid(station: Station, space: ParameterSpace) -> None:
    """Refuse a grid with a value that a device would refuse, before anything moves."""
    settings = station.settings
    for parameter in space:
        if parameter.name not in settings:
            raise ValueError(
                f"parameter {parameter.name!r}: this station has {', '.join(settings)}"
            )
        for value in parameter.values:
            settings[parameter.name].check_value(value)


def check_room(station: Station, space: ParameterSpace) -> None:
    """Refuse a grid with images larger than the run's arrays, before anything moves."""
    size, pixel_size = station.scanner.size_um, station.scanner.pixel_size_nm
    values = {p.name: p.values for p in space if p.name in (size.name, pixel_size.name)}
    if not values:
        return
    most = station.scanner.most_pixels
    largest = pixels_along(
        max(values.get(size.name, (size.get(),))),
        min(values.get(pixel_size.name, (pixel_size.get(),))),
    )
    if most is None or largest > most:
        room = "no room but for images of one size" if most is None else f"room for {most} × {most}"
        raise ValueError(
            f"{', '.join(values)}: images of up to {largest} × {largest} pixels, the run's arrays "
            f"have {room} (scanner.most_pixels)"
        )


def field_um_of(station: Station, space: ParameterSpace) -> float:
    """Side of the places that regions are laid on, µm: of the largest region of the grid."""
    size = station.scanner.size_um
    return max((max(p.values) for p in space if p.name == size.name), default=float(size.get()))


def check_regions(
    station: Station, space: ParameterSpace, regions: Sequence[Region] | None, size_um: float
) -> None:
    """Refuse regions that the scanner cannot image as they are, before anything moves.

    Where their size is optimised, the places that are laid may be larger than what is imaged.
    """
    size_name = station.scanner.size_um.name
    field_um = field_um_of(station, space)
    for size in {size_um, *(region.size_um for region in regions or ())}:
        if size_name in space.names:
            if size < field_um * (1 - 1e-6):
                raise ValueError(
                    f"a region of {size:g} µm: at least {field_um:g} µm, the largest {size_name} "
                    "of the grid"
                )
        elif not math.isclose(size, field_um, rel_tol=1e-6):
            raise ValueError(
                f"a region of {size:g} µm: the scanner's field is set to {field_um:g} µm "
                "(scanner.size_um), regions must be of that size"
            )
    for region in regions or ():
        for setting, value in station.place(region):
            setting.check_value(value)
