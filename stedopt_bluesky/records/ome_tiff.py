"""Images as OME-TIFF, which Fiji, napari, OMERO and every reader of TIFF open."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from stedopt_bluesky.records.field_images import FieldImages, stacked

NAMESPACE = "stedopt_bluesky"


def write_ome_tiff(path: Path, images: FieldImages) -> None:
    """Write images as the channels of one OME-TIFF.

    In the OME metadata: pixel size, names and wavelengths of the channels, exposure time (that of
    the whole image), the position of the image's corner in the field, and everything else as
    annotations (maps of names with units to values): one of the run, one of the region, one of
    its objectives, and one for each channel's settings. The same images give the same file.

    Parameters
    ----------
    path : Path
        A file there is written anew.
    images : FieldImages
        What is written.

    Raises
    ------
    OSError
        When the file cannot be written.
    ValueError
        When OME has no type for the images' numbers.
    """
    import tifffile

    pixels_per_cm = 1e7 / images.pixel_size_nm
    tifffile.imwrite(
        path,
        _planes_of(images),
        ome=True,
        photometric="minisblack",
        metadata=_metadata(images),
        software=_program(),
        # For readers that know TIFF only.
        resolution=(pixels_per_cm, pixels_per_cm),
        resolutionunit="CENTIMETER",
    )


def _planes_of(images: FieldImages) -> npt.NDArray[Any]:
    """Images as tifffile takes them: (C, Y, X), of frames (T, C, Y, X)."""
    array = stacked(images.channels)
    return array if images.frames is None else np.moveaxis(array, 1, 0)


def _program() -> str:
    return f"stedopt_bluesky {metadata.version('stedopt-bluesky')}"


def _metadata(images: FieldImages) -> dict[str, Any]:
    """OME metadata as tifffile takes it."""
    channels = images.channels
    frames = images.frames or 1
    count = len(channels) * frames
    size_um = images.pixel_size_nm / 1000
    x_um, y_um = images.corner_um
    planes: dict[str, Any] = {
        "PositionX": [x_um] * count,
        "PositionXUnit": ["µm"] * count,
        "PositionY": [y_um] * count,
        "PositionYUnit": ["µm"] * count,
    }
    exposures_s = [channel.exposure_s for channel in channels]
    if None not in exposures_s:
        planes |= {"ExposureTime": exposures_s * frames, "ExposureTimeUnit": ["s"] * count}
    times: dict[str, Any] = {"axes": "CYX"}
    if images.frame_s is not None:
        times = {"axes": "TCYX", "TimeIncrement": images.frame_s, "TimeIncrementUnit": "s"}
    return {
        **times,
        "UUID": str(uuid.uuid5(uuid.NAMESPACE_OID, f"{images.run.get('uid')}/{images.name}")),
        "Creator": _program(),
        "Name": images.name,
        "AcquisitionDate": images.taken,
        "PhysicalSizeX": size_um,
        "PhysicalSizeXUnit": "µm",
        "PhysicalSizeY": size_um,
        "PhysicalSizeYUnit": "µm",
        "Channel": _channels(channels),
        "Plane": planes,
        "MapAnnotation": _annotations(images),
    }


def _channels(channels: Any) -> dict[str, Any]:
    told: dict[str, Any] = {
        "Name": [channel.name for channel in channels],
        "AcquisitionMode": [
            "STED" if channel.is_sted else "LaserScanningConfocalMicroscopy" for channel in channels
        ],
    }
    wavelengths = [channel.settings.get("excitation_wavelength_nm") for channel in channels]
    if None not in wavelengths:
        told["ExcitationWavelength"] = wavelengths
        told["ExcitationWavelengthUnit"] = ["nm"] * len(channels)
    return told


def _annotations(images: FieldImages) -> list[dict[str, Any]]:
    region = dict(images.region)
    objectives, parameters = region.pop("objectives", {}), region.pop("parameters", {})
    maps = [
        ("run", images.run),
        ("region", {**region, "centre_x_um": images.x_um, "centre_y_um": images.y_um}),
        ("parameters", parameters),
        ("objectives", {k: "invalid" if v is None else v for k, v in objectives.items()}),
        *((channel.name, channel.settings) for channel in images.channels),
    ]
    return [_annotation(name, values) for name, values in maps if values]


def _annotation(name: str, values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "Namespace": f"{NAMESPACE}/{name}",
        "Description": name,
        "Value": {key: _text(value) for key, value in values.items()},
    }


def _text(value: Any) -> str:
    """Text without the characters that XML cannot hold."""
    return "".join(c for c in str(value) if c in "\t\n\r" or (c >= " " and c not in "\ufffe\uffff"))
