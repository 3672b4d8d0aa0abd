"""The microscope of a configuration: Imspector or the twin, the instrument, the devices."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stedopt_bluesky.config import ConfigError, ExperimentConfig
from stedopt_bluesky.config.errors import allowed_text, shown
from stedopt_bluesky.session.address import Address, address_of
from stedopt_bluesky.session.decisions import objectives_of

if TYPE_CHECKING:
    from stedopt_bluesky.config.lasers import LaserConfig
    from stedopt_bluesky.devices.detection import Detection, Pinhole, Rescue
    from stedopt_bluesky.devices.laser import Laser
    from stedopt_bluesky.devices.microscope import Light
    from stedopt_bluesky.devices.station import Station
    from stedopt_bluesky.image_files import StoredImage
    from stedopt_bluesky.imspector.api import Application
    from stedopt_bluesky.imspector.instrument import Instrument, LaserLine
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
        "microscope.labels": [label.model_dump() for label in config.microscope.labels],
        "channels": len(config.channels),
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
    from stedopt_bluesky.twin.labels import Label

    microscope = config.microscope
    stained = [
        ("sample.name", config.sample.name, "microscope.fluorophore", microscope.fluorophore)
    ]
    for i, label in enumerate(microscope.labels):
        where = f"microscope.labels.{i}"
        stained.append((f"{where}.sample", label.sample, f"{where}.fluorophore", label.fluorophore))
    labels = []
    for number, (sample_field, sample, dye_field, dye) in enumerate(stained):
        if dye not in FLUOROPHORES:
            raise ConfigError(f"{dye_field} = {dye!r}: {allowed_text(dye, FLUOROPHORES)}")
        # Each dye's structure is another one.
        made = _make_sample(config, sample_field, sample, config.seed + number)
        labels.append(Label(made, FLUOROPHORES[dye]))
    return TwinApplication(
        labels,
        seed=config.seed,
        real_time=microscope.real_time,
        channels=("Ch1", *(f"Ch{i + 2}" for i in range(len(config.channels)))),
    )


def _make_sample(config: ExperimentConfig, field: str, name: str, seed: int) -> Sample:
    """Make the twin's sample: a generated structure, or one made of an image."""
    from stedopt_bluesky.twin.samples import (
        MAP_PIXEL_SIZE_M,
        MAX_MAP_PIXELS,
        SAMPLE_NAMES,
        make_sample,
        sample_from_image,
    )

    field_um = config.microscope.field_um
    if name in SAMPLE_NAMES:
        stored, pixel_size_m = None, MAP_PIXEL_SIZE_M
    else:
        stored, pixel_size_m = _sample_image(config, field, name)
    low_um, high_um = pixel_size_m * 1e6, MAX_MAP_PIXELS * pixel_size_m * 1e6
    if not low_um <= field_um <= high_um * (1 + 1e-9):
        raise ConfigError(
            f"microscope.field_um = {field_um:g}: {low_um:g} to {high_um:g} µm with the "
            f"sample's pixels of {pixel_size_m * 1e9:g} nm"
        )
    try:
        if stored is None:
            return make_sample(name, seed, field_um * 1e-6)
        return sample_from_image(stored, seed, field_um * 1e-6, pixel_size_m)
    except ValueError as error:
        raise ConfigError(f"{field} = {name!r}: {error}") from None


def _sample_image(config: ExperimentConfig, field: str, name: str) -> tuple[StoredImage, float]:
    """Read the image that the sample is made of; with its pixel size in m."""
    from stedopt_bluesky.image_files import IMAGE_SUFFIXES, read_stored_image, split_address
    from stedopt_bluesky.twin.samples import SAMPLE_NAMES, image_pixel_size_m

    # What the section tells is of its own image; a further label's file tells for itself.
    told_nm = config.sample.pixel_size_nm if field == "sample.name" else None
    path, _ = split_address(name)
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "no such file"
        raise ConfigError(
            f"{field} = {name!r}: {what}; allowed are the structures "
            f"{', '.join(SAMPLE_NAMES)}, or the path of a 2-D image ({', '.join(IMAGE_SUFFIXES)})"
        )
    try:
        stored = read_stored_image(name)
    except ValueError as error:
        raise ConfigError(f"{field} = {name!r}: {error}") from None
    try:
        return stored, image_pixel_size_m(stored, None if told_nm is None else told_nm * 1e-9)
    except ValueError as error:
        raise ConfigError(f"sample.pixel_size_nm = {shown(told_nm)}: {error}") from None


def make_instrument(config: ExperimentConfig, application: Application) -> Instrument:
    """Make the instrument of a configuration: its lasers, with their limits, in Imspector.

    Raises
    ------
    ConfigError
        When Imspector has no laser of a configured number, or does not tell of the interlock.
    """
    from stedopt_bluesky.devices.microscope import CONFOCAL, STED
    from stedopt_bluesky.devices.overview import OVERVIEW
    from stedopt_bluesky.imspector.instrument import Instrument, TooFewChannelsError
    from stedopt_bluesky.imspector.interlock import Interlock
    from stedopt_bluesky.imspector.paths import UnknownLayoutError

    interlock = Interlock(config.microscope.interlock_path, config.microscope.interlock_closed)
    try:
        if interlock.path:
            interlock.is_closed(application)
    except RuntimeError as error:
        raise ConfigError(
            f"microscope.interlock_path = {interlock.path!r}: Imspector has no such status "
            f"({' '.join(str(error).split())})"
        ) from None
    lines = {line.number: line for line in reversed(_lines(config))}
    channels = 1 + len(config.channels)
    try:
        instrument = Instrument(
            application,
            list(lines.values()),
            (CONFOCAL, STED, OVERVIEW),
            channels=channels,
            interlock=interlock,
        )
    except TooFewChannelsError as error:
        raise ConfigError(f"channels: {error}") from None
    except UnknownLayoutError as error:
        raise ConfigError(f"microscope: {error}") from None
    for line in lines.values():
        try:
            instrument.set_power(STED, line.name, 0.0)
        except RuntimeError as error:
            instrument.close()
            raise ConfigError(
                f"{line.name}.laser = {line.number}: Imspector has no such laser ({error})"
            ) from None
    return instrument


def _lines(config: ExperimentConfig) -> list[LaserLine]:
    """Lasers of all channels, as the instrument takes them; one may be there twice."""
    from stedopt_bluesky.config.lasers import ExcitationConfig
    from stedopt_bluesky.imspector.calibration import PowerCalibration
    from stedopt_bluesky.imspector.instrument import LaserLine

    lines = []
    for name, laser in config.lasers:
        if isinstance(laser, ExcitationConfig):
            powers, limit, unit = laser.calibration_power_uW, laser.power_limit_uW, "µW"
        else:
            powers, limit, unit = laser.calibration_power_mW, laser.power_limit_mW, "mW"
        calibration = PowerCalibration(laser.calibration_percent, powers, unit)
        lines.append(LaserLine(name, laser.laser, calibration, limit))
    return lines


def make_station(
    config: ExperimentConfig,
    instrument: Instrument,
    arrays: Path,
    stage_origin_um: tuple[float, float] | None = None,
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
    """
    from stedopt_bluesky.devices.decision import Decision
    from stedopt_bluesky.devices.label import ImageLabel
    from stedopt_bluesky.devices.light_budget import LightLimits
    from stedopt_bluesky.devices.microscope import CONFOCAL, STED, Microscope
    from stedopt_bluesky.devices.overview import OVERVIEW, Overview, OverviewSettings
    from stedopt_bluesky.devices.rating import Rating
    from stedopt_bluesky.devices.scanner import Scanner
    from stedopt_bluesky.devices.stage import Stage
    from stedopt_bluesky.devices.station import Station

    imaging, overview = config.imaging, config.overview
    everywhere = (CONFOCAL, OVERVIEW, STED)
    scanner = Scanner(
        instrument=instrument,
        sted=STED,
        configurations=(CONFOCAL, STED),
        reach_um=overview.size_um / 2,
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
    ]
    for setting, value in settings:
        setting.put(value)
    lights = _make_lights(config, instrument)
    station = Station(
        lights=lights,
        detections=_make_detections(config, instrument),
        pinhole=_make_pinhole(config, instrument),
        rescue=_make_rescue(config, instrument),
        scanner=scanner,
        stage=stage,
        microscope=Microscope(
            instrument=instrument,
            lights=lights,
            scanner=scanner,
            stage=stage,
            confocal_dwelltime_us=imaging.confocal_dwelltime_us,
            sted_images=imaging.sted_images,
            limits=LightLimits(**config.limits.model_dump(include=_DOSES, exclude_none=True)),
            folder=arrays,
            name="microscope",
        ),
        overview=Overview(
            instrument=instrument,
            excitation=lights[0].excitation.line,
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
    from stedopt_bluesky.devices.microscope import CONFOCAL, STED
    from stedopt_bluesky.devices.overview import OVERVIEW

    detections = []
    channels = [("", config.detection), *((c.name, c.detection) for c in config.channels)]
    for number, (channel, section) in enumerate(channels):
        prefix = f"{channel}_" if channel else ""
        told = {"spectral_min_nm", "spectral_max_nm", "gate_delay_ns", "gate_width_ns"}
        values = section.model_dump(include=told, exclude_none=True)
        where: dict[str, Any] = {"instrument": instrument, "channel": number, "prefix": prefix}
        # What is fixed is so in all images; what is optimised changes in the STED images alone.
        fixed = Detection(
            **where, configurations=(CONFOCAL, OVERVIEW, STED), name=f"{prefix}fixed_detection"
        )
        if section.detector:
            fixed.use_detector(section.detector)
        for name, value in values.items():
            getattr(fixed, name).put(value)
        detections.append(Detection(**where, configurations=(STED,), name=f"{prefix}detection"))
    return tuple(detections)


def _make_rescue(config: ExperimentConfig, instrument: Instrument) -> Rescue:
    from stedopt_bluesky.devices.detection import Rescue
    from stedopt_bluesky.devices.microscope import STED

    rescue = Rescue(instrument=instrument, configurations=(STED,), name="rescue")
    for name, value in config.rescue.model_dump(exclude_none=True).items():
        getattr(rescue, f"rescue_{name}").put(value)
    return rescue


def _make_pinhole(config: ExperimentConfig, instrument: Instrument) -> Pinhole:
    from stedopt_bluesky.devices.detection import Pinhole
    from stedopt_bluesky.devices.microscope import CONFOCAL, STED
    from stedopt_bluesky.devices.overview import OVERVIEW

    if config.optics.pinhole_um is not None:
        everywhere = (CONFOCAL, OVERVIEW, STED)
        fixed = Pinhole(instrument=instrument, configurations=everywhere, name="fixed_pinhole")
        fixed.pinhole_um.put(config.optics.pinhole_um)
    return Pinhole(instrument=instrument, configurations=(STED,), name="pinhole")
