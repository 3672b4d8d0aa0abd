"""The microscope of a configuration: Imspector or the twin, the instrument, the devices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stedopt_bluesky.config import ConfigError, ExperimentConfig
from stedopt_bluesky.config.errors import allowed_text
from stedopt_bluesky.session.decisions import objectives_of

if TYPE_CHECKING:
    from stedopt_bluesky.devices.microscope import Microscope
    from stedopt_bluesky.devices.station import Station
    from stedopt_bluesky.devices.uncaging_spot import UncagingSpot
    from stedopt_bluesky.imspector.api import Application
    from stedopt_bluesky.imspector.instrument import Instrument, LaserLine
    from stedopt_bluesky.twin.fluorophores import Fluorophore
    from stedopt_bluesky.twin.labels import Label
    from stedopt_bluesky.twin.samples import Sample


def connect_application(config: ExperimentConfig) -> Application:
    """Connect to Imspector, or start the digital twin, as the configuration says.

    Raises
    ------
    NoImspectorError
        When Imspector does not answer; there is no silent fall back to the twin.
    ConfigError
        When the twin's sample or dye is not one.
    """
    if config.microscope.kind == "specpy":
        from stedopt_bluesky.imspector.connect import connect

        # Asked first: a microscope that does not answer is reported at once.
        application = connect(config.microscope.host)
        objectives_of(config)
        return application
    objectives_of(config)
    from stedopt_bluesky.twin.application import TwinApplication
    from stedopt_bluesky.twin.fluorophores import FLUOROPHORES

    dye = config.microscope.fluorophore
    if dye not in FLUOROPHORES:
        raise ConfigError(f"microscope.fluorophore = {dye!r}: {allowed_text(dye, FLUOROPHORES)}")
    return TwinApplication(
        _make_specimen(config, FLUOROPHORES[dye]) if _is_specimen(config) else _make_sample(config),
        seed=config.seed,
        fluorophore=FLUOROPHORES[dye],
        real_time=config.microscope.real_time,
    )


def _is_specimen(config: ExperimentConfig) -> bool:
    """Whether the sample is the one of several dyes; it and uncaging need one another.

    Raises
    ------
    ConfigError
        When one is there without the other.
    """
    from stedopt_bluesky.twin.specimens import DENDRITES

    dendrites = config.sample.name == DENDRITES
    if dendrites != config.uncaging.enabled:
        allowed = "only with uncaging" if dendrites else f"{DENDRITES!r} with uncaging"
        raise ConfigError(f"sample.name = {config.sample.name!r}: {allowed}")
    return dendrites


def _make_specimen(config: ExperimentConfig, dye: Fluorophore) -> Sequence[Label]:
    """Make the twin's dendrites, with a dye for STED and an indicator for Ca²⁺."""
    from stedopt_bluesky.twin.specimens import dendrites_with_indicator

    try:
        return dendrites_with_indicator(
            config.seed, config.microscope.field_um * 1e-6, config.uncaging.cells, dye
        )
    except ValueError as error:
        raise ConfigError(f"uncaging.{error}") from None


def _make_sample(config: ExperimentConfig) -> Sample:
    """Make the twin's sample: a generated structure, or one made of an image."""
    from stedopt_bluesky.twin.samples import (
        MAP_PIXEL_SIZE_M,
        MAX_MAP_PIXELS,
        SAMPLE_NAMES,
        make_sample,
        sample_from_image,
    )

    name, field_um = config.sample.name, config.microscope.field_um
    generated = name in SAMPLE_NAMES
    path = Path(name)
    if not generated and not path.is_file():
        what = "is a folder" if path.is_dir() else "no such file"
        raise ConfigError(
            f"sample.name = {name!r}: {what}; allowed are the structures "
            f"{', '.join(SAMPLE_NAMES)}, or the path of a 2-D image (TIFF or .npy)"
        )
    pixel_size_m = MAP_PIXEL_SIZE_M if generated else config.sample.pixel_size_nm * 1e-9
    low_um, high_um = pixel_size_m * 1e6, MAX_MAP_PIXELS * pixel_size_m * 1e6
    if not low_um <= field_um <= high_um * (1 + 1e-9):
        raise ConfigError(
            f"microscope.field_um = {field_um:g}: {low_um:g} to {high_um:g} µm with the "
            f"sample's pixels of {pixel_size_m * 1e9:g} nm"
        )
    try:
        if generated:
            return make_sample(name, config.seed, field_um * 1e-6)
        return sample_from_image(path, config.seed, field_um * 1e-6, pixel_size_m)
    except ValueError as error:
        raise ConfigError(f"sample.name = {name!r}: {error}") from None


def make_instrument(config: ExperimentConfig, application: Application) -> Instrument:
    """Make the instrument of a configuration: its lasers, with their limits, in Imspector.

    Raises
    ------
    ConfigError
        When Imspector has no laser of a configured number.
    """
    from stedopt_bluesky.devices.microscope import CONFOCAL, STED
    from stedopt_bluesky.devices.overview import OVERVIEW
    from stedopt_bluesky.devices.uncaging import CALCIUM, UNCAGING
    from stedopt_bluesky.imspector.calibration import PowerCalibration
    from stedopt_bluesky.imspector.instrument import Instrument, LaserLine

    excitation, depletion = config.excitation, config.depletion
    lines = [
        LaserLine(
            "excitation",
            excitation.laser,
            PowerCalibration(excitation.calibration_percent, excitation.calibration_power_uW, "µW"),
            excitation.power_limit_uW,
        ),
        LaserLine(
            "depletion",
            depletion.laser,
            PowerCalibration(depletion.calibration_percent, depletion.calibration_power_mW, "mW"),
            depletion.power_limit_mW,
        ),
    ]
    configurations = [CONFOCAL, STED, OVERVIEW]
    if config.uncaging.enabled:
        lines += _uncaging_lines(config)
        configurations += [CALCIUM, UNCAGING]
    instrument = Instrument(application, lines, configurations)
    for line in lines:
        try:
            instrument.set_power(STED, line.name, 0.0)
        except RuntimeError as error:
            instrument.close()
            raise ConfigError(
                f"{line.name}.laser = {line.number}: Imspector has no such laser ({error})"
            ) from None
    return instrument


def _uncaging_lines(config: ExperimentConfig) -> list[LaserLine]:
    """Make the lasers of the Ca²⁺ frames and of the pulse."""
    from stedopt_bluesky.devices.uncaging import CALCIUM, UNCAGING
    from stedopt_bluesky.imspector.calibration import PowerCalibration
    from stedopt_bluesky.imspector.instrument import LaserLine

    calcium, uncaging = config.calcium, config.uncaging
    return [
        LaserLine(
            CALCIUM,
            calcium.laser,
            PowerCalibration(calcium.calibration_percent, calcium.calibration_power_uW, "µW"),
            calcium.power_limit_uW,
        ),
        LaserLine(
            UNCAGING,
            uncaging.laser,
            PowerCalibration(uncaging.calibration_percent, uncaging.calibration_power_uW, "µW"),
            uncaging.power_limit_uW,
            pulsed_in=UNCAGING,
            longest_pulse_s=uncaging.pulse_ms * 1e-3,
        ),
    ]


def make_station(config: ExperimentConfig, instrument: Instrument, arrays: Path) -> Station:
    """Make the devices of a configuration and set what is not optimised.

    Parameters
    ----------
    config : ExperimentConfig
        Limits and settings.
    instrument : Instrument
        What the devices drive.
    arrays : Path
        Folder of image files.
    """
    from stedopt_bluesky.devices.decision import Decision
    from stedopt_bluesky.devices.label import ImageLabel
    from stedopt_bluesky.devices.laser import Laser
    from stedopt_bluesky.devices.light_budget import LightLimits
    from stedopt_bluesky.devices.microscope import CONFOCAL, STED, ConfocalSettings, Microscope
    from stedopt_bluesky.devices.overview import OVERVIEW, Overview, OverviewSettings
    from stedopt_bluesky.devices.rating import Rating
    from stedopt_bluesky.devices.scanner import Scanner
    from stedopt_bluesky.devices.station import Station
    from stedopt_bluesky.devices.uncaging import CALCIUM

    imaging, overview = config.imaging, config.overview
    laser = partial(Laser, instrument=instrument, configuration=STED)
    excitation = laser(line="excitation", data_key="excitation_power_uW", name="excitation")
    depletion = laser(line="depletion", data_key="depletion_power_mW", name="depletion")
    scanner = Scanner(
        instrument=instrument,
        sted=STED,
        configurations=(CONFOCAL, STED),
        reach_um=overview.size_um / 2,
        name="scanner",
    )
    settings: list[tuple[Any, float]] = [
        (scanner.size_um, imaging.region_size_um),
        (scanner.pixel_size_nm, imaging.pixel_size_nm),
        (scanner.dwelltime_us, imaging.dwelltime_us),
        (scanner.line_steps, imaging.line_steps),
        (excitation.power, imaging.excitation_power_uW),
        (depletion.power, imaging.depletion_power_mW),
    ]
    for setting, value in settings:
        setting.put(value)
    microscope = partial(
        Microscope,
        instrument=instrument,
        excitation=excitation,
        depletion=depletion,
        scanner=scanner,
        confocal=ConfocalSettings(
            imaging.confocal_excitation_power_uW, imaging.confocal_dwelltime_us
        ),
        sted_images=imaging.sted_images,
        limits=LightLimits(**config.limits.model_dump(exclude_none=True)),
        folder=arrays,
        name="microscope",
    )
    spot = None
    if config.uncaging.enabled:
        for configuration in (OVERVIEW, CALCIUM):
            instrument.set_band(
                configuration, config.calcium.band_low_nm, config.calcium.band_high_nm
            )
        spot = _make_spot(config, instrument)
        microscope = _uncaging_microscope(config, spot, microscope.keywords)
    return Station(
        excitation=excitation,
        depletion=depletion,
        scanner=scanner,
        spot=spot,
        microscope=microscope(),
        overview=Overview(
            instrument=instrument,
            excitation=CALCIUM if config.uncaging.enabled else "excitation",
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
    )


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
