"""Images as ``.obf``, which Imspector and Fiji open.

Written by the vendor's description of the format (ImspectorDocs, "The OBF File Format"), laid
out as a measurement of Imspector 16.3 is: SpecPy's own writer leaves out the names of the
stacks on Linux, and without them nobody knows which one is the STED image.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from stedopt_bluesky.records.field_images import Channel, FieldImages

# Format version 1 of the file: no table of further metadata behind the stacks. Version 2 of the
# stacks: the axes' units are in the footer.
_FILE_VERSION, _STACK_VERSION = 1, 2
_MAGIC, _STACK_MAGIC = b"OMAS_BF\n\xff\xff", b"OMAS_BF_STACK\n\xff\xff"
_MAX_RANK = 15
_FILE_HEADER = struct.Struct("<10sIQI")
# Magic, version, rank, pixels, lengths, offsets; type, compression (two), length of the name and
# of the description; reserved, length of the data, position of the next stack.
_STACK_HEADER = struct.Struct("<16sII15I15d15d5I3Q")
# Size, column positions, column labels, length of the metadata; units of the value and the axes.
_FOOTER = struct.Struct("<I15I15II" + "18id" * (1 + _MAX_RANK))
_TYPES = {"u1": 1, "i1": 2, "u2": 4, "i2": 8, "u4": 16, "i4": 32, "f4": 64, "f8": 128}
# Exponents of metre, kilogram, second, ... as fractions, and a factor.
_PURE_NUMBER = (0, 1) * 9 + (1.0,)
_METRE = (1, 1) + (0, 1) * 8 + (1.0,)
_SECOND = (0, 1) * 2 + (1, 1) + (0, 1) * 6 + (1.0,)
# The axes as Imspector has them; those that are not scanned have length 1.
_LABELS = ("ExpControl X", "ExpControl Y", "None", "None")
_FRAMES_LABELS = ("ExpControl X", "ExpControl Y", "ExpControl T", "None")


def write_obf(path: Path, images: FieldImages) -> None:
    """Write images as stacks, named as the channels are; what is known of them as JSON.

    Lengths are in metres and offsets are those of the corner, as in Imspector's own files. The
    JSON is the file's description (:attr:`~.FieldImages.facts`). Of frames time is the third axis,
    in s.

    Parameters
    ----------
    path : Path
        A file there is written anew.
    images : FieldImages
        What is written, in its own type of number.

    Raises
    ------
    OSError
        When the file cannot be written.
    """
    facts = json.dumps(images.facts, ensure_ascii=False, allow_nan=False).encode()
    with path.open("wb") as file:
        first = _FILE_HEADER.size + len(facts)
        file.write(_FILE_HEADER.pack(_MAGIC, _FILE_VERSION, first, len(facts)))
        file.write(facts)
        for channel in images.channels:
            _write_stack(file, images, channel, last=channel is images.channels[-1])


def _write_stack(file: BinaryIO, images: FieldImages, channel: Channel, *, last: bool) -> None:
    name = channel.name.encode()
    data = _little_endian(channel.image)
    frame_s = images.frame_s
    axes = _LABELS if frame_s is None else _FRAMES_LABELS
    labels = b"".join(struct.pack("<I", len(text)) + text.encode() for text in axes)
    size = _STACK_HEADER.size + len(name) + data.nbytes + _FOOTER.size + len(labels)
    height, width = data.shape[-2:]
    frames = images.frames or 1
    x_m, y_m = (1e-6 * corner for corner in images.corner_um)
    step_m = images.pixel_size_nm * 1e-9
    duration = 1.0 if frame_s is None else frames * frame_s
    lengths, offsets = (width * step_m, height * step_m, duration, 1.0), (x_m, y_m, 0.0, 0.0)
    file.write(
        _STACK_HEADER.pack(
            *(_STACK_MAGIC, _STACK_VERSION, len(_LABELS)),
            *_filled((width, height, frames, 1), 0),
            *_filled(lengths, 0.0),
            *_filled(offsets, 0.0),
            # Not compressed, no description.
            *(_TYPES[data.dtype.str[1:]], 0, 0, len(name), 0),
            *(0, data.nbytes, 0 if last else file.tell() + size),
        )
    )
    file.write(name)
    file.write(data.tobytes())
    nothing = (0,) * _MAX_RANK
    third = _PURE_NUMBER if frame_s is None else _SECOND
    units = _filled((_METRE, _METRE, third), _PURE_NUMBER)
    file.write(_FOOTER.pack(_FOOTER.size, *nothing, *nothing, 0, *_PURE_NUMBER, *sum(units, ())))
    file.write(labels)


def _little_endian(image: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return np.ascontiguousarray(image, dtype=image.dtype.newbyteorder("<"))


def _filled(values: tuple[Any, ...], rest: Any) -> tuple[Any, ...]:
    return values + (rest,) * (_MAX_RANK - len(values))
