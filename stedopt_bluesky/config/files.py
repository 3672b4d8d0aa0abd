"""Configurations in files: the presets, TOML, and a commented TOML to edit."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import tomlkit
import tomlkit.items
from pydantic.fields import FieldInfo

from stedopt_bluesky.config.calibration_file import points_of, read_points
from stedopt_bluesky.config.errors import ConfigError, allowed_text, shown
from stedopt_bluesky.config.experiment import ExperimentConfig, parse_config
from stedopt_bluesky.config.lasers import DepletionConfig, ExcitationConfig, LaserConfig
from stedopt_bluesky.config.regions_file import read_regions
from stedopt_bluesky.config.sections import Section, section_of
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
    except RecursionError:
        raise ConfigError(f"{path}: not TOML: nested too deeply") from None
    except ValueError as error:  # of TOML, and of numbers with thousands of digits
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

    What is left out, and tables that there are none of, are comments that become fields once the
    ``#`` before them is taken away. Reading the text gives the same configuration again.
    """
    document = tomlkit.document()
    document.add(tomlkit.comment("stedopt run THIS_FILE.toml"))
    inner = {}
    for name, field in ExperimentConfig.model_fields.items():
        if model := section_of(field.annotation):
            inner[name] = (field, model)
            continue
        document.add(tomlkit.nl())
        document.add(tomlkit.comment(field.description or name))
        document.add(name, getattr(config, name))
    # What there is none of comes last, where a newcomer looks for what else there might be.
    for name in sorted(inner, key=lambda name: getattr(config, name) == ()):
        field, model = inner[name]
        document.add(tomlkit.nl())
        if value := getattr(config, name):
            document.add(name, _tables(value, name))
        else:
            for line in _absent(model, name, field):
                document.add(tomlkit.comment(line))
    return tomlkit.dumps(document)


def _tables(
    value: Section | tuple[Section, ...], path: str, *, commented: bool = True
) -> tomlkit.items.Table | tomlkit.items.AoT:
    """Write a section, or a list of them, of which the first one explains the others."""
    if isinstance(value, Section):
        return _table(value, path, commented=commented)
    array = tomlkit.aot()
    for i, entry in enumerate(value):
        array.append(_table(entry, path, commented=commented and i == 0))
    return array


def _table(section: Section, path: str, *, commented: bool) -> tomlkit.items.Table:
    """Write a section; ``path`` is its own, dotted."""
    table = tomlkit.table()
    if commented and section.__doc__:
        table.add(tomlkit.comment(section.__doc__.strip().splitlines()[0]))
    inner = {}
    for name, field in type(section).model_fields.items():
        if model := section_of(field.annotation):
            inner[name] = (field, model)
            continue
        value = getattr(section, name)
        if commented and field.description:
            table.add(tomlkit.comment(field.description))
        if value is not None:
            table.add(name, _plain(value))
        elif commented:
            table.add(tomlkit.comment(f"{name} = ..."))
    # Behind the header of a table inside of this one, a field would belong to that; what there is
    # none of comes before what there is.
    for name in sorted(inner, key=lambda name: bool(getattr(section, name))):
        value, (field, model) = getattr(section, name), inner[name]
        if value:
            if commented and field.description:
                table.add(tomlkit.nl())
                table.add(tomlkit.comment(field.description))
            table.add(name, _tables(value, f"{path}.{name}", commented=commented))
        elif commented:
            table.add(tomlkit.nl())
            for line in _absent(model, f"{path}.{name}", field):
                table.add(tomlkit.comment(line))
    return table


def _absent(model: type[Section], path: str, field: FieldInfo) -> Iterator[str]:
    """Lines of a table that there is none of, with its fields as they are when left out."""
    yield field.description or (model.__doc__ or path).strip().splitlines()[0]
    yield f"[[{path}]]" if field.default == () else f"[{path}]"
    inner = []
    for name, own in model.model_fields.items():
        if section := section_of(own.annotation):
            inner.append((section, f"{path}.{name}", own))
            continue
        left_out = own.is_required() or own.default is None
        value = "..." if left_out else tomlkit.item(_plain(own.default)).as_string()
        yield f"{name} = {value}  # {own.description}"
    for section, section_path, own in inner:
        yield from _absent(section, section_path, own)


def _plain(value: Any) -> Any:
    """Return a list as tomlkit takes it."""
    return list(value) if isinstance(value, tuple) else value
