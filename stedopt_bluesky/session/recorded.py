"""A stored run's plan once more, on a microscope that answers with recorded images."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from stedopt_bluesky.config import ConfigError, ExperimentConfig
from stedopt_bluesky.session.networks import Networks, check_complete, networks_of
from stedopt_bluesky.session.otherwise import preference_of
from stedopt_bluesky.session.places import Places, places_of
from stedopt_bluesky.session.stored import config_of, light_of, places_left, prior_of, reduced_from

if TYPE_CHECKING:
    from stedopt_bluesky.acquisition import PriorObservation
    from stedopt_bluesky.records.folder import CatalogFolder
    from stedopt_bluesky.records.journal import Document
    from stedopt_bluesky.records.resume import RunChain
    from stedopt_bluesky.records.run_record import RunRecord
    from stedopt_bluesky.twin.application import TwinApplication
    from stedopt_bluesky.twin.recorded import Given, RecordedOverview, RecordedRegion

# What start documents of such runs say of the microscope.
RECORDED = "recorded"


@dataclass(frozen=True, eq=False)
class Replay:
    """All that `open_session` and `Session.optimize` need to replay a run.

    Parameters
    ----------
    config : ExperimentConfig
        The run's, with who is asked to decide, on a private microscope.
    application : TwinApplication
        Answers with recorded images.
    given : callable
        Tells which images the last region was answered with.
    places : Places
        Where the run imaged.
    networks : Networks
        The run's own, or those that are asked for.
    history, prior, reduced_from, light_before
        What the run began with, as `open_session` takes it.
    metadata : mapping
        Added to the start document: what is replayed.
    """

    config: ExperimentConfig
    application: TwinApplication
    given: Callable[[], Given]
    places: Places
    networks: Networks
    history: Sequence[tuple[int, dict[str, float]]]
    prior: Sequence[PriorObservation]
    reduced_from: str
    light_before: Sequence[tuple[tuple[float, float], float, float]]
    metadata: Mapping[str, Any]


def make_replay(
    chain: RunChain,
    folder: CatalogFolder,
    asked: ExperimentConfig | None = None,
    others: Sequence[RunRecord] = (),
) -> Replay:
    """Make the microscope that answers with a run's images, and what the run began with.

    Parameters
    ----------
    chain : RunChain
        The run and those that it goes on with.
    folder : CatalogFolder
        Keeps the run's networks.
    asked : ExperimentConfig, optional
        Who decides, see `otherwise`; the run's own when left out.
    others : sequence of RunRecord
        Runs whose images may be given too, of the same grid.

    Raises
    ------
    ConfigError
        When the run has no image, uncages, was rated or chosen from by a callback, or another
        run does not fit it.
    CatalogError
        When images cannot be read.
    """
    from stedopt_bluesky.devices.overview import OVERVIEW
    from stedopt_bluesky.records.replay import REPLAYS
    from stedopt_bluesky.records.resume import RunChain
    from stedopt_bluesky.twin.recorded import RecordedImages, recorded_application

    record = chain.last
    own = config_of(record)
    asked = own if asked is None else asked
    if own.uncaging.enabled:
        raise ConfigError(
            f"run {record.uid[:8]} uncages: what a pulse does to a spine cannot be taken from "
            "recorded images; replay its decisions, without --microscope"
        )
    images = len(record.observations)
    if not images:
        raise ConfigError(f"run {record.uid[:8]} has no image to replay")
    used = networks_of(record, own, folder)
    if asked.choice == own.choice:
        check_complete(record, own, used)
    networks = Networks(used.quality, preference_of(chain, own, asked, folder))
    check_complete(record, asked, networks)
    regions = _regions(record, own)
    for other in others:
        _check_fits(other, own)
        regions += _regions(other, own)
    recorded = RecordedImages(
        regions, _overviews(record), overview=OVERVIEW, position=_position_of(own)
    )
    config = asked.updated(
        {
            "images": images,
            # Private, at its own pace; its interlock is no microscope's.
            "microscope.kind": "twin",
            "microscope.host": "",
            "microscope.interlock_path": "",
            "microscope.real_time": False,
            "time_lapse.interval_s": 0.0,
        }
    )
    earlier = RunChain(chain.records[:-1])
    names = ("Ch1", *(f"Ch{i + 2}" for i in range(len(config.channels))))
    return Replay(
        config=config,
        application=recorded_application(
            recorded, names, 1 + max(laser.laser for _, laser in config.lasers)
        ),
        given=lambda: recorded.given,
        places=_places(chain, own),
        networks=networks,
        history=chain.history_before_last,
        prior=prior_of(record),
        reduced_from=reduced_from(record),
        light_before=light_of(earlier) if earlier.records else (),
        metadata={REPLAYS: record.uid, "microscope": RECORDED},
    )


def _places(chain: RunChain, config: ExperimentConfig) -> Places:
    """Where the run imaged: the places of its Events where nothing laid them over an overview."""
    from stedopt_bluesky.acquisition import Region, Spine
    from stedopt_bluesky.records.resume import OVERVIEW_STREAM, REGIONS_STREAM, RunChain

    record = chain.last
    by_hand = REGIONS_STREAM in record.streams and record.events(REGIONS_STREAM)
    if not by_hand and OVERVIEW_STREAM in record.streams and record.events(OVERVIEW_STREAM):
        earlier = RunChain(chain.records[:-1])
        return places_left(earlier, config) if earlier.records else places_of(config)
    size_um = config.imaging.region_size_um
    regions: list[Region] = []
    for event in record.events(record.keys.image_stream):
        data = event["data"]
        at = {f"stage_{axis}_um": data.get(f"stage_{axis}_um", 0.0) for axis in "xy"}
        if "spine_axis_x" in data:
            head_um = data["spine_head_x_um"], data["spine_head_y_um"]
            axis = data["spine_axis_x"], data["spine_axis_y"]
            regions.append(Spine(*head_um, size_um, *axis, data["spine_free_um"], **at))
        else:
            regions.append(Region(data["region_x_um"], data["region_y_um"], size_um, **at))
    return Places(tuple(regions))


def _check_fits(other: RunRecord, own: ExperimentConfig) -> None:
    config = config_of(other)
    for field, told, allowed in (
        ("parameters", config.space.parameters, own.space.parameters),
        ("channels", [c.name for c in config.channels], [c.name for c in own.channels]),
        ("imaging.sted_images", config.imaging.sted_images, own.imaging.sted_images),
        ("uncaging.enabled", config.uncaging.enabled, own.uncaging.enabled),
    ):
        if told != allowed:
            raise ConfigError(
                f"run {other.uid[:8]}: {field} differs from the run's that is replayed: its "
                "images do not fit"
            )


def _regions(record: RunRecord, config: ExperimentConfig) -> list[RecordedRegion]:
    """Read a run's images, region by region."""
    from stedopt_bluesky.devices.microscope import CONFOCAL, STED
    from stedopt_bluesky.twin.recorded import RecordedRegion

    channels = ["", *(f"{channel.name}_" for channel in config.channels)]
    shots = [
        ("confocal1", CONFOCAL),
        *((f"sted{i + 1}", STED) for i in range(config.imaging.sted_images)),
        ("confocal2", CONFOCAL),
    ]
    if record.keys.image_stream not in record.streams:
        return []
    keys = [f"microscope_{channel}{shot}" for shot, _ in shots for channel in channels]
    arrays = {key: record.arrays(key) for key in keys}
    regions = []
    for i, event in enumerate(record.events(record.keys.image_stream)):
        x_m, y_m = _place_m(event, "region_")
        regions.append(
            RecordedRegion(
                source=record.uid,
                number=int(event["seq_num"]),
                position=_unravelled(config, record.observation(event)[0]),
                x_m=x_m,
                y_m=y_m,
                scans=tuple(
                    (
                        configuration,
                        tuple(arrays[f"microscope_{channel}{shot}"][i] for channel in channels),
                    )
                    for shot, configuration in shots
                ),
            )
        )
    return regions


def _unravelled(config: ExperimentConfig, index: int) -> tuple[int, ...]:
    return tuple(int(i) for i in np.unravel_index(index, config.space.shape))


def _overviews(record: RunRecord) -> list[RecordedOverview]:
    from stedopt_bluesky.records.resume import OVERVIEW_STREAM
    from stedopt_bluesky.twin.recorded import RecordedOverview

    if OVERVIEW_STREAM not in record.streams:
        return []
    events = record.events(OVERVIEW_STREAM)
    images = record.arrays("overview_image")
    return [
        RecordedOverview(*_place_m(event), image)
        for event, image in zip(events, images, strict=True)
    ]


def _place_m(event: Document, scanner: str = "") -> tuple[float, float]:
    """Centre in the sample, from where the stage stood at the start, m."""
    data = event["data"]
    x_um, y_um = (
        float(data.get(f"stage_{axis}_um", 0.0))
        + (float(data[f"{scanner}{axis}_um"]) if scanner else 0.0)
        for axis in "xy"
    )
    return x_um * 1e-6, y_um * 1e-6


# --- which configuration Imspector's parameters are -------------------------------------

# Parameters that are called otherwise in the table of paths.
_ROWS = {"region_size_um": "field_um"}


def _position_of(
    config: ExperimentConfig,
) -> Callable[[Mapping[str, Any]], tuple[int, ...]]:
    """Make what finds, from Imspector's parameters, the configuration of the STED image."""
    from stedopt_bluesky.devices.microscope import STED

    readings = [(np.array(p.values), _reading(config, p.name)) for p in config.space]

    def position(parameters: Mapping[str, Any]) -> tuple[int, ...]:
        tree = parameters[STED]
        return tuple(int(np.argmin(np.abs(values - read(tree)))) for values, read in readings)

    return position


def _reading(config: ExperimentConfig, name: str) -> Callable[[Mapping[str, Any]], float]:
    """Make what reads one parameter, in its unit, from Imspector's parameters."""
    from stedopt_bluesky.imspector import paths

    layout = paths.Layout("16.3")
    channel, bare = _channel_of(config, name)
    if bare in ("excitation_power_uW", "depletion_power_mW"):
        of = config.channels[channel - 1].name if channel else ""
        excites = bare == "excitation_power_uW"
        laser = (config.excitation_of if excites else config.depletion_of)(of)[1].laser
        percent = layout.path("laser_power_percent", channel=channel, laser=laser)
        return _power(config, laser, percent)
    index = None
    row = _ROWS.get(bare, bare)
    if row not in paths.ROWS and row[:-2] in paths.ROWS:  # rescue_lower_threshold_1
        row, index = row[:-2], int(row[-1]) - 1
    path, scale = layout.path(row, channel=channel, axis="x"), paths.ROWS[row].scale
    if paths.ROWS[row].is_list:
        path = f"{path}/{index or 0}"
    if row == "frames":
        axes = layout.path("scan_axes")

        def frames(tree: Mapping[str, Any]) -> float:
            return float(_at(tree, path)) if paths.XYT_SCAN_AXES[2] in _at(tree, axes) else 1.0

        return frames
    return lambda tree: float(_at(tree, path)) / scale


def _power(
    config: ExperimentConfig, number: int, path: str
) -> Callable[[Mapping[str, Any]], float]:
    from stedopt_bluesky.session.hardware import laser_lines

    calibration = next(line for line in laser_lines(config) if line.number == number).calibration

    def power(tree: Mapping[str, Any]) -> float:
        percent = float(_at(tree, path))
        return calibration.to_power(percent) if percent else 0.0

    return power


def _channel_of(config: ExperimentConfig, name: str) -> tuple[int, str]:
    """Number of the channel that a parameter is of, and its name without that."""
    for number, channel in enumerate(config.channels, start=1):
        if name.startswith(f"{channel.name}_"):
            return number, name.removeprefix(f"{channel.name}_")
    return 0, name


def _at(tree: Any, path: str) -> Any:
    for part in path.split("/"):
        tree = tree[int(part)] if isinstance(tree, list | tuple) else tree[part]
    return tree
