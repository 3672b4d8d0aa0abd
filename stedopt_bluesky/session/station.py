"""The devices of a configuration, with what is not optimised set."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stedopt_bluesky.config import ExperimentConfig
from stedopt_bluesky.session.decisions import objectives_of

if TYPE_CHECKING:
    from stedopt_bluesky.config.lasers import LaserConfig
    from stedopt_bluesky.devices.detection import Detection, Pinhole, Rescue
    from stedopt_bluesky.devices.laser import Laser
    from stedopt_bluesky.devices.microscope import Light, Microscope
    from stedopt_bluesky.devices.replayed import Given
    from stedopt_bluesky.devices.station import Station
    from stedopt_bluesky.devices.uncaging_spot import UncagingSpot
    from stedopt_bluesky.imspector.instrument import Instrument


def make_station(
    config: ExperimentConfig,
    instrument: Instrument,
    arrays: Path,
    stage_origin_um: tuple[float, float] | None = None,
    given: Callable[[], Given] | None = None,
) -> Station:
    """Make the devices of a configuration and set what is not optimised.

    Parameters
    ----------
    config : ExperimentConfig
        Limits and settings.
    instrument : Instrument
        What the devices drive.
    arrays : Path
        Folder of image files.
    stage_origin_um : tuple of float, optional
        Position (x, y) of the stage that counts as zero, µm; left out: where it stands.
    given : callable, optional
        Tells which recorded images a replay's microscope has answered with.
    """
    from stedopt_bluesky.devices.decision import Decision
    from stedopt_bluesky.devices.label import ImageLabel
    from stedopt_bluesky.devices.light_budget import LightLimits
    from stedopt_bluesky.devices.microscope import CONFOCAL, STED, Microscope
    from stedopt_bluesky.devices.overview import OVERVIEW, Overview, OverviewSettings
    from stedopt_bluesky.devices.rating import Rating
    from stedopt_bluesky.devices.replayed import ReplayedImage
    from stedopt_bluesky.devices.scanner import Scanner
    from stedopt_bluesky.devices.stage import Stage
    from stedopt_bluesky.devices.station import Station
    from stedopt_bluesky.devices.uncaging import CALCIUM, UNCAGING

    imaging, overview = config.imaging, config.overview
    everywhere = [CONFOCAL, OVERVIEW, STED]
    if config.uncaging.enabled:
        everywhere += [CALCIUM, UNCAGING]
    scanner = Scanner(
        instrument=instrument,
        sted=STED,
        configurations=(CONFOCAL, STED),
        reach_um=overview.size_um / 2,
        # One more: an Imspector may round otherwise than the twin does.
        most_pixels=config.most_pixels + 1 if config.sizes_change else None,
        name="scanner",
    )
    stage = Stage(
        instrument=instrument,
        configurations=everywhere,
        autofocus=config.stage.autofocus,
        reach_um=config.stage.reach_um,
        origin_um=stage_origin_um,
        name="stage",
    )
    if config.limits.dwelltime_us is not None:
        scanner.dwelltime_us.high = config.limits.dwelltime_us
    settings: list[tuple[Any, float]] = [
        (scanner.size_um, imaging.region_size_um),
        (scanner.pixel_size_nm, imaging.pixel_size_nm),
        (scanner.dwelltime_us, imaging.dwelltime_us),
        (scanner.line_steps, imaging.line_steps),
        (scanner.frames, imaging.frames),
    ]
    for setting, value in settings:
        setting.put(value)
    lights = _make_lights(config, instrument)
    microscope = partial(
        Microscope,
        instrument=instrument,
        lights=lights,
        scanner=scanner,
        stage=stage,
        confocal_dwelltime_us=imaging.confocal_dwelltime_us,
        sted_images=imaging.sted_images,
        limits=LightLimits(**config.limits.model_dump(include=_DOSES, exclude_none=True)),
        folder=arrays,
        name="microscope",
    )
    spot = None
    if config.uncaging.enabled:
        spot = _make_spot(config, instrument)
        microscope = _uncaging_microscope(config, spot, microscope.keywords)
    station = Station(
        lights=lights,
        detections=_make_detections(config, instrument),
        pinhole=_make_pinhole(config, instrument),
        rescues=_make_rescues(config, instrument),
        scanner=scanner,
        stage=stage,
        spot=spot,
        microscope=microscope(),
        overview=Overview(
            instrument=instrument,
            excitation=CALCIUM if config.uncaging.enabled else lights[0].excitation.line,
            settings=OverviewSettings(
                overview.size_um,
                overview.pixel_size_nm,
                overview.excitation_power_uW,
                overview.dwelltime_us,
            ),
            folder=arrays,
            name="overview",
        ),
        decision=Decision(
            configurations=config.space.size,
            objectives=len(config.objectives),
            folder=arrays,
            name="decision",
        ),
        label=ImageLabel(name="image"),
        rating=Rating(objectives=objectives_of(config), name="objective"),
        replayed=None if given is None else ReplayedImage(given=given, name="replayed"),
    )
    if config.uncaging.enabled:
        # After the first channel's own band: spines and their Ca²⁺ are seen by the indicator.
        for configuration in (OVERVIEW, CALCIUM):
            instrument.set_value(configuration, "spectral_min_nm", config.calcium.band_low_nm)
            instrument.set_value(configuration, "spectral_max_nm", config.calcium.band_high_nm)
    if config.optics.focus_um is not None:
        stage.focus_um.put(config.optics.focus_um)
    for name in config.space.names:
        # What is optimised stands in every Event.
        station.settings[name].kind = "hinted"
    return station


# The limits that the microscope's budget keeps; those of single settings are the devices'.
_DOSES = {"sted_image_s", "region_dose_mJ", "run_dose_mJ"}


def _make_lights(config: ExperimentConfig, instrument: Instrument) -> tuple[Light, ...]:
    """Make the lasers of each channel and set the powers that are not optimised."""
    from stedopt_bluesky.devices.laser import Laser
    from stedopt_bluesky.devices.microscope import STED, Light

    names = {line.number: line.name for line in instrument.lasers.values()}

    def laser(section: LaserConfig, data_key: str, channels: Sequence[int]) -> Laser:
        return Laser(
            instrument=instrument,
            configuration=STED,
            line=names[section.laser],
            data_key=data_key,
            channels=channels,
            name=data_key.partition("_power")[0],
        )

    imaging = config.imaging
    followers = [n + 1 for n, c in enumerate(config.channels) if c.depletion_power_mW is None]
    excitation = laser(config.excitation, "excitation_power_uW", [0])
    depletion = laser(config.depletion, "depletion_power_mW", [0, *followers])
    excitation.power.put(imaging.excitation_power_uW)
    depletion.power.put(imaging.depletion_power_mW)
    lights = [Light(excitation, depletion, imaging.confocal_excitation_power_uW)]
    for number, channel in enumerate(config.channels, start=1):
        name = channel.name
        own = laser(config.excitation_of(name)[1], f"{name}_excitation_power_uW", [number])
        own.power.put(channel.excitation_power_uW)
        depletes = depletion
        if channel.depletion_power_mW is not None:
            section = config.depletion_of(name)[1]
            depletes = laser(section, f"{name}_depletion_power_mW", [number])
            depletes.power.put(channel.depletion_power_mW)
        lights.append(Light(own, depletes, channel.confocal_excitation_power_uW, name))
    return tuple(lights)


def _make_detections(config: ExperimentConfig, instrument: Instrument) -> tuple[Detection, ...]:
    """Make the detection of each channel and set what the configuration tells of it."""
    from stedopt_bluesky.devices.detection import Detection
    from stedopt_bluesky.devices.microscope import STED

    detections = []
    channels = [("", config.detection), *((c.name, c.detection) for c in config.channels)]
    for number, (channel, section) in enumerate(channels):
        prefix = f"{channel}_" if channel else ""
        detection = Detection(
            instrument=instrument,
            configurations=(STED,),
            channel=number,
            prefix=prefix,
            name=f"{prefix}detection",
        )
        if section.detector:
            detection.use_detector(section.detector, also=_other_images())
        told = section.model_dump(exclude={"detector"}, exclude_none=True)
        detection.fix(told, also=_other_images())
        detections.append(detection)
    return tuple(detections)


def _other_images() -> tuple[str, ...]:
    """Configurations in which what is fixed is so, too; what is optimised changes in STED alone."""
    from stedopt_bluesky.devices.microscope import CONFOCAL
    from stedopt_bluesky.devices.overview import OVERVIEW

    return CONFOCAL, OVERVIEW


def _make_rescues(config: ExperimentConfig, instrument: Instrument) -> tuple[Rescue, ...]:
    """Make the RESCue of each channel and set what the configuration tells of it."""
    from stedopt_bluesky.devices.detection import Rescue
    from stedopt_bluesky.devices.microscope import STED

    rescues = []
    channels = [("", config.rescue), *((c.name, c.rescue) for c in config.channels)]
    for number, (channel, section) in enumerate(channels):
        prefix = f"{channel}_" if channel else ""
        rescue = Rescue(
            instrument=instrument,
            configurations=(STED,),
            channel=number,
            prefix=prefix,
            name=f"{prefix}rescue",
        )
        told = section.model_dump(exclude_none=True)
        rescue.fix({f"rescue_{name}": value for name, value in told.items()})
        rescues.append(rescue)
    return tuple(rescues)


def _make_pinhole(config: ExperimentConfig, instrument: Instrument) -> Pinhole:
    from stedopt_bluesky.devices.detection import Pinhole
    from stedopt_bluesky.devices.microscope import STED

    pinhole = Pinhole(instrument=instrument, configurations=(STED,), name="pinhole")
    told = config.optics.model_dump(include={"pinhole_um"}, exclude_none=True)
    pinhole.fix(told, also=_other_images())
    return pinhole


def _make_spot(config: ExperimentConfig, instrument: Instrument) -> UncagingSpot:
    """Make the uncaging spot and set what is not optimised."""
    from stedopt_bluesky.devices.uncaging import UNCAGING
    from stedopt_bluesky.devices.uncaging_spot import UncagingSpot

    spot = UncagingSpot(
        instrument=instrument, line=UNCAGING, reach_um=config.overview.size_um / 2, name="spot"
    )
    spot.power.put(config.uncaging.power_uW)
    spot.distance_um.put(config.uncaging.distance_um)
    return spot


def _uncaging_microscope(
    config: ExperimentConfig, spot: UncagingSpot, settings: Mapping[str, Any]
) -> partial[Microscope]:
    """Return what makes the microscope that uncages, with a microscope's settings."""
    from stedopt_bluesky.devices.uncaging import (
        CALCIUM,
        CalciumSettings,
        PulseSettings,
        UncagingMicroscope,
    )

    calcium, uncaging = config.calcium, config.uncaging
    return partial(
        UncagingMicroscope,
        spot=spot,
        pulse=PulseSettings(
            uncaging.pulse_ms, uncaging.energy_limit_uJ, config.overview.size_um / 2
        ),
        calcium=CalciumSettings(
            laser=CALCIUM,
            power_uW=calcium.power_uW,
            size_um=calcium.size_um,
            pixel_size_nm=calcium.pixel_size_nm,
            dwelltime_us=calcium.dwelltime_us,
            frame_s=1 / calcium.frame_rate_Hz,
            baseline_frames=calcium.baseline_frames,
            response_frames=calcium.response_frames,
        ),
        **settings,
    )
