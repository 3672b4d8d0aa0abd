"""Configurations in files: the presets, TOML, and a commented TOML to edit."""

from __future__ import annotations

import tomllib
from importlib import resources
from pathlib import Path
from typing import Any

import tomlkit
import tomlkit.items

from stedopt_bluesky.config.calibration_file import points_of, read_points
from stedopt_bluesky.config.errors import ConfigError, allowed_text, shown
from stedopt_bluesky.config.experiment import ExperimentConfig, parse_config
from stedopt_bluesky.config.lasers import DepletionConfig, ExcitationConfig, LaserConfig
from stedopt_bluesky.config.regions_file import read_regions
from stedopt_bluesky.config.sections import Section
from stedopt_bluesky.config.spines_file import read_spines
from stedopt_bluesky.config.uncaging import CalciumConfig, UncagingConfig

DEFAULT_PRESET = "demo"

# Sections that may name a file of measured points: where its powers go, and their unit there.
_CALIBRATED: dict[str, tuple[str, str, type[LaserConfig]]] = {
    "excitation": ("calibration_power_uW", "µW", ExcitationConfig),
    "depletion": ("calibration_power_mW", "mW", DepletionConfig),
    "uncaging": ("calibration_power_uW", "µW", UncagingConfig),
    "calcium": ("calibration_power_uW", "µW", CalciumConfig),
}


def preset_names() -> tuple[str, ...]:
    """Names of the presets, the default first."""
    folder = resources.files("stedopt_bluesky") / "presets"
    names = sorted(p.name.removesuffix(".toml") for p in folder.iterdir() if ".toml" in p.name)
    return (DEFAULT_PRESET, *(n for n in names if n != DEFAULT_PRESET))


def preset(name: str = DEFAULT_PRESET) -> ExperimentConfig:
    """Load a preset by name.

    Raises
    ------
    ConfigError
        When there is no such preset.
    """
    if name not in preset_names():
        raise ConfigError(f"preset = {name!r}: {allowed_text(name, preset_names())}")
    return parse_config(_preset_data(name), source=f"preset {name}")


def _preset_data(name: str) -> dict[str, Any]:
    text = (resources.files("stedopt_bluesky") / "presets" / f"{name}.toml").read_text("utf-8")
    return {"preset": name, **tomllib.loads(text)}


def load_config(path: str | Path) -> ExperimentConfig:
    """Read a configuration from a TOML file.

    A file that names a ``preset`` says only what differs from it. Where a laser's section
    names a ``calibration_file``, its points are read here into the configuration, which then
    needs the file no more; the field is left empty.

    Raises
    ------
    ConfigError
        When the file cannot be read, is not TOML or holds a value that is not allowed.
    """
    path = Path(path)
    try:
        # "utf-8-sig": Windows' Notepad puts a byte-order mark in front.
        data = tomllib.loads(path.read_text("utf-8-sig"))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or error}: expected a TOML file") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not TOML: byte {error.start} is not UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not TOML: {error}") from None
    own = data
    if name := data.get("preset", ""):
        if name not in preset_names():
            raise ConfigError(f"{path}: preset = {name!r}: {allowed_text(name, preset_names())}")
        data = _merged(_preset_data(name), data)
    data = _with_spines(_with_regions(_with_calibrations(data, own, path), path), path)
    return parse_config(data, source=str(path))


def _with_regions(data: dict[str, Any], path: Path) -> dict[str, Any]:
    """Read the regions that a file names into the configuration."""
    name = data.get("regions_file")
    if not (name and isinstance(name, str)):
        return data
    where = f"{path}: regions_file = {shown(name)}"
    for field in ("regions", "rectangles"):
        if data.get(field):
            raise ConfigError(f"{where}: not together with {field}; leave out one")
    try:
        return {**data, "regions_file": "", **read_regions(path.parent / name)}
    except ValueError as error:
        raise ConfigError(f"{where}: {error}") from None


def _with_spines(data: dict[str, Any], path: Path) -> dict[str, Any]:
    """Read the list of spines that a file names into the configuration."""
    uncaging = data.get("uncaging")
    if not isinstance(uncaging, dict):
        return data
    name = uncaging.get("spines_file")
    if not (name and isinstance(name, str)):
        return data
    where = f"{path}: uncaging.spines_file = {shown(name)}"
    if uncaging.get("spines"):
        raise ConfigError(f"{where}: not together with uncaging.spines; leave out one")
    try:
        spines = read_spines(path.parent / name)
    except ValueError as error:
        raise ConfigError(f"{where}: {error}") from None
    return {**data, "uncaging": {**uncaging, "spines_file": "", "spines": spines}}


def _with_calibrations(data: dict[str, Any], own: dict[str, Any], path: Path) -> dict[str, Any]:
    """Read the measured points that a file's own sections name into the configuration."""
    data = _calibrated(data, own, path, "")
    channels = own.get("channels")
    if isinstance(channels, list):
        data["channels"] = [
            _calibrated(channel, channel, path, f"channels.{i}.")
            if isinstance(channel, dict)
            else channel
            for i, channel in enumerate(channels)
        ]
    return data


def _calibrated(
    data: dict[str, Any], own: dict[str, Any], path: Path, prefix: str
) -> dict[str, Any]:
    """Read the measured points of the lasers of the whole, or of one channel."""
    data = dict(data)
    for laser, (power_field, unit, model) in _CALIBRATED.items():
        section = own.get(laser)
        if not isinstance(section, dict):
            continue
        name = section.get("calibration_file")
        if not (name and isinstance(name, str)):
            continue
        field = f"{prefix}{laser}"
        where = f"{path}: {field}.calibration_file = {shown(name)}"
        for other in ("calibration_percent", power_field):
            if other in section:
                raise ConfigError(f"{where}: not together with {field}.{other}; leave out one")
        default = model.model_fields["wavelength_nm"].default
        wavelength = data[laser].get("wavelength_nm", default)
        try:
            points = points_of(read_points(path.parent / name), (laser, str(wavelength)))
        except ValueError as error:
            raise ConfigError(f"{where}: {error}") from None
        data[laser] = {
            **data[laser],
            "calibration_file": "",
            "calibration_percent": points.percent,
            power_field: points.power_in(unit),
        }
    return data


def _merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Lay changes over a base, section by section; lists are replaced whole."""
    merged = dict(base)
    for key, value in changes.items():
        both = isinstance(value, dict) and isinstance(base.get(key), dict)
        merged[key] = _merged(base[key], value) if both else value
    return merged


def commented_toml(config: ExperimentConfig) -> str:
    """Write a configuration as a TOML file with a comment on every field, to be edited.

    Reading the text gives the same configuration again.
    """
    document = tomlkit.document()
    document.add(tomlkit.comment("stedopt run THIS_FILE.toml"))
    tables: list[tuple[str, tomlkit.items.Table | tomlkit.items.AoT]] = []
    absent: list[tuple[str, str]] = []
    for name, field in ExperimentConfig.model_fields.items():
        value = getattr(config, name)
        if isinstance(value, Section):
            tables.append((name, _table(value, name)))
        elif isinstance(value, tuple) and not value:
            absent.append((name, field.description or name))
        elif isinstance(value, tuple):
            array = tomlkit.aot()
            for i, entry in enumerate(value):  # the first entry explains the others
                array.append(_table(entry, name, commented=i == 0))
            tables.append((name, array))
        else:
            document.add(tomlkit.nl())
            document.add(tomlkit.comment(field.description or name))
            document.add(name, value)
    for name, table in tables:
        document.add(tomlkit.nl())
        document.add(name, table)
    for name, description in absent:
        document.add(tomlkit.nl())
        document.add(tomlkit.comment(f"[[{name}]]"))
        document.add(tomlkit.comment(description))
    return tomlkit.dumps(document)


def _table(section: Section, path: str, *, commented: bool = True) -> tomlkit.items.Table:
    """Write a section; ``path`` is its own, dotted."""
    table = tomlkit.table()
    if commented and section.__doc__:
        table.add(tomlkit.comment(section.__doc__.strip().splitlines()[0]))
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        if value == () and "Config" in str(field.annotation):
            # An empty list could not be added to: TOML has closed it.
            if commented:
                table.add(tomlkit.comment(f"{field.description or name}"))
                table.add(tomlkit.comment(f"[[{path}.{name}]]"))
            continue
        if commented and field.description:
            table.add(tomlkit.comment(field.description))
        if isinstance(value, Section):
            table.add(name, _table(value, f"{path}.{name}", commented=commented))
        elif value is not None:
            table.add(name, _plain(value, f"{path}.{name}"))
        elif commented:
            table.add(tomlkit.comment(f"{name} = ..."))
    return table


def _plain(value: Any, path: str) -> Any:
    """Return a list of numbers, or of tables, as tomlkit takes it."""
    if not isinstance(value, tuple):
        return value
    if value and isinstance(value[0], Section):
        array = tomlkit.aot()
        for entry in value:
            array.append(_table(entry, path, commented=False))
        return array
    return list(value)
