"""Image one region with one configuration, rate it, and keep both in one Event."""

from __future__ import annotations

from collections.abc import Mapping

from bluesky import plan_stubs as bps
from bluesky.utils import MsgGenerator

from stedopt_bluesky.acquisition import Region
from stedopt_bluesky.devices.rating import Rate
from stedopt_bluesky.devices.station import Station


def acquire(
    station: Station,
    region: Region,
    configuration: Mapping[str, float],
    rate: Rate,
) -> MsgGenerator[dict[str, float]]:
    """Move, image, rate, record.

    Parameters
    ----------
    station : Station
        What is moved and read.
    region : Region
        Where.
    configuration : mapping of parameter's name to value
        Each in its unit; parameters that are not in it stay as they are.
    rate : callable
        From the images to the objectives.

    Returns
    -------
    dict of str to float
        Objectives by name, NaN where invalid.
    """
    moves = [(station.settings[name], value) for name, value in configuration.items()]
    moves += [(station.scanner.x_um, region.x_um), (station.scanner.y_um, region.y_um)]
    yield from bps.mv(*(item for move in moves for item in move))
    yield from bps.trigger(station.microscope, wait=True)
    yield from bps.abs_set(station.rating, station.microscope.images, rate=rate, wait=True)
    yield from bps.create("primary")
    for device in (
        station.label,
        station.excitation,
        station.depletion,
        station.scanner,
        station.microscope,
        station.rating,
    ):
        yield from bps.read(device)
    yield from bps.save()
    return station.rating.values
