"""The microscope of a configuration: Imspector or the twin, the instrument, the devices."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stedopt_bluesky.config import ConfigError, ExperimentConfig
from stedopt_bluesky.config.errors import allowed_text
from stedopt_bluesky.session.address import Address, address_of
from stedopt_bluesky.session.decisions import objectives_of

if TYPE_CHECKING:
    from stedopt_bluesky.devices.station import Station
    from stedopt_bluesky.imspector.api import Application
    from stedopt_bluesky.imspector.instrument import Instrument
    from stedopt_bluesky.twin.application import TwinApplication
    from stedopt_bluesky.twin.samples import Sample


def connect_application(config: ExperimentConfig) -> Application:
    """Connect to Imspector or a served twin, or start a twin, as the configuration says.

    Raises
    ------
    NoImspectorError
        When the microscope does not answer; there is no silent fall back to another one.
    ConfigError
        When the twin's sample or dye is not one, or not that of the served twin.
    """
    address = address_of(config)
    if not address.is_private:
        # Asked first: a microscope that does not answer is reported at once.
        application = address.connect()
        objectives_of(config)
        if address.kind == "twin":
            _check_same_sample(config, address, getattr(application, "about", {}))
        return application
    objectives_of(config)
    return start_twin(config)


def about_twin(config: ExperimentConfig) -> dict[str, Any]:
    """Tell what the twin of a configuration images: by this its clients know it."""
    return {
        "sample.name": config.sample.name,
        "microscope.fluorophore": config.microscope.fluorophore,
        "microscope.field_um": config.microscope.field_um,
    }


def _check_same_sample(config: ExperimentConfig, address: Address, about: Any) -> None:
    """Refuse a configuration of another sample: the record would say what was not imaged."""
    for field, value in about_twin(config).items():
        told = about.get(field) if isinstance(about, dict) else None
        if told != value:
            raise ConfigError(f"{field} = {value!r}: {address.name} has {told!r}")


def start_twin(config: ExperimentConfig) -> TwinApplication:
    """Make the twin of a configuration, in this process.

    Raises
    ------
    ConfigError
        When its sample or dye is not one.
    """
    from stedopt_bluesky.twin.application import TwinApplication
    from stedopt_bluesky.twin.fluorophores import FLUOROPHORES

    dye = config.microscope.fluorophore
    if dye not in FLUOROPHORES:
        raise ConfigError(f"microscope.fluorophore = {dye!r}: {allowed_text(dye, FLUOROPHORES)}")
    return TwinApplication(
        _make_sample(config),
        seed=config.seed,
        fluorophore=FLUOROPHORES[dye],
        real_time=config.microscope.real_time,
    )


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
        When Imspector has no laser of a configured number, or does not tell of the interlock.
    """
    from stedopt_bluesky.devices.microscope import CONFOCAL, STED
    from stedopt_bluesky.devices.overview import OVERVIEW
    from stedopt_bluesky.imspector.calibration import PowerCalibration
    from stedopt_bluesky.imspector.instrument import Instrument, LaserLine
    from stedopt_bluesky.imspector.interlock import Interlock

    interlock = Interlock(config.microscope.interlock_path, config.microscope.interlock_closed)
    try:
        if interlock.path:
            interlock.is_closed(application)
    except RuntimeError as error:
        raise ConfigError(
            f"microscope.interlock_path = {interlock.path!r}: Imspector has no such status "
            f"({' '.join(str(error).split())})"
        ) from None
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
    instrument = Instrument(application, lines, (CONFOCAL, STED, OVERVIEW), interlock)
    for line in lines:
        try:
            instrument.set_power(STED, line.name, 0.0)
        except RuntimeError as error:
            instrument.close()
            raise ConfigError(
                f"{line.name}.laser = {line.number}: Imspector has no such laser ({error})"
            ) from None
    return instrument


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
    from stedopt_bluesky.devices.overview import Overview, OverviewSettings
    from stedopt_bluesky.devices.rating import Rating
    from stedopt_bluesky.devices.scanner import Scanner
    from stedopt_bluesky.devices.station import Station

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
    return Station(
        excitation=excitation,
        depletion=depletion,
        scanner=scanner,
        microscope=Microscope(
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
        ),
        overview=Overview(
            instrument=instrument,
            excitation="excitation",
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
