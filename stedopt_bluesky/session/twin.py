"""The digital twin of a configuration: what lies under its objective."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from stedopt_bluesky.config import ConfigError, ExperimentConfig
from stedopt_bluesky.config.errors import allowed_text, shown

if TYPE_CHECKING:
    from stedopt_bluesky.image_files import StoredImage
    from stedopt_bluesky.twin.application import TwinApplication
    from stedopt_bluesky.twin.fluorophores import Fluorophore
    from stedopt_bluesky.twin.labels import Label
    from stedopt_bluesky.twin.samples import Sample


def about_twin(config: ExperimentConfig) -> dict[str, Any]:
    """Tell what the twin of a configuration images: by this its clients know it."""
    return {
        "sample.name": config.sample.name,
        "microscope.fluorophore": config.microscope.fluorophore,
        "microscope.field_um": config.microscope.field_um,
        "microscope.labels": [label.model_dump() for label in config.microscope.labels],
        "channels": len(config.channels),
        "uncaging.cells": config.uncaging.cells if config.uncaging.enabled else 0,
    }


def check_same_twin(config: ExperimentConfig, name: str, about: Any) -> None:
    """Refuse a configuration of another sample: the record would say what was not imaged."""
    for field, value in about_twin(config).items():
        told = about.get(field) if isinstance(about, dict) else None
        if told != value:
            raise ConfigError(f"{field} = {value!r}: {name} has {told!r}")


def start_twin(config: ExperimentConfig) -> TwinApplication:
    """Make the twin of a configuration, in this process.

    Raises
    ------
    ConfigError
        When its sample or dye is not one.
    """
    from stedopt_bluesky.twin.application import TwinApplication

    return TwinApplication(
        _labels(config),
        seed=config.seed,
        real_time=config.microscope.real_time,
        channels=("Ch1", *(f"Ch{i + 2}" for i in range(len(config.channels)))),
    )


def _labels(config: ExperimentConfig) -> Sequence[Label]:
    """Make the sample, dye by dye.

    Raises
    ------
    ConfigError
        When a sample or a dye is not one.
    """
    from stedopt_bluesky.twin.fluorophores import FLUOROPHORES
    from stedopt_bluesky.twin.labels import Label

    microscope = config.microscope
    stained = [
        ("sample.name", config.sample.name, "microscope.fluorophore", microscope.fluorophore)
    ]
    for i, label in enumerate(microscope.labels):
        where = f"microscope.labels.{i}"
        stained.append((f"{where}.sample", label.sample, f"{where}.fluorophore", label.fluorophore))
    for _, _, dye_field, dye in stained:
        if dye not in FLUOROPHORES:
            raise ConfigError(f"{dye_field} = {dye!r}: {allowed_text(dye, FLUOROPHORES)}")
    if _is_specimen(config):
        return _make_specimen(config, FLUOROPHORES[microscope.fluorophore])
    # Each dye's structure is another one.
    return [
        Label(_make_sample(config, field, name, config.seed + number), FLUOROPHORES[dye])
        for number, (field, name, _, dye) in enumerate(stained)
    ]


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
