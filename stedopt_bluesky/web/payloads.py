"""What requests bring, as arrays: JSON lists and ``.npy`` files, checked before they are used.

Everything here is pure and refuses with a `PayloadError`, whatever the bytes are.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from stedopt_bluesky.errors import in_one_line

Array = npt.NDArray[Any]

# Of a request: a thousand images are many, and a loop over millions of empty ones is an attack.
MAX_IMAGES = 1024
# Options of a cloud: the largest grids of this program have a hundred thousand.
MAX_OPTIONS = 2**20
# Longer names are of no plain number.
_DTYPE_LETTERS = 16
# Real numbers of up to eight bytes: wider ones differ from machine to machine.
_KINDS, _BYTES = "iuf", 8


class PayloadError(ValueError):
    """A request that cannot be understood; one line that says what is allowed."""


def read_json(body: bytes) -> Mapping[str, Any]:
    """Read a JSON object.

    Raises
    ------
    PayloadError
        When it is no JSON, has NaN or Infinity, is nested too deep, or is no object.
    """
    try:
        found = json.loads(body, parse_constant=_no_constant)
    except PayloadError:
        raise
    except RecursionError:
        raise PayloadError("the JSON is nested too deep") from None
    except ValueError as error:  # of JSON, of UTF-8, of numbers with thousands of digits
        raise PayloadError(f"the body is no JSON ({_line(error)})") from None
    if not isinstance(found, dict):
        raise PayloadError(f"the body is a JSON {_json_type(found)}, an object is needed")
    return found


def _no_constant(name: str) -> NoReturn:
    raise PayloadError(f"the body holds {name}: finite numbers only")


def matrix(values: object, dtype: object, field: str) -> Array:
    """Make an array of a list of lists of numbers.

    Parameters
    ----------
    values : object
        From JSON.
    dtype : object
        numpy's name of a type of real numbers, from JSON.
    field : str
        Where the values come from, for the message.

    Returns
    -------
    ndarray, shape (rows, columns)

    Raises
    ------
    PayloadError
        When it is anything else, or a number does not fit the type.
    """
    kind = real_dtype(dtype)
    if not isinstance(values, list) or not all(isinstance(row, list) for row in values):
        raise PayloadError(f"{field}: a list of lists of numbers")
    lengths = {len(row) for row in values}
    if len(lengths) > 1:
        raise PayloadError(f"{field}: all rows must have as many numbers, got {_few(lengths)}")
    types: set[type] = set()
    for row in values:
        types.update(map(type, row))
    if not types <= {int, float}:  # JSON's true is a number to Python, but not here
        wrong = next(v for row in values for v in row if type(v) not in {int, float})
        raise PayloadError(f"{field}: a JSON {_json_type(wrong)} is no number")
    try:
        if kind.kind != "f" and float not in types:
            array = np.array(values, kind)  # whole numbers stay exact, up to 2⁶⁴
        else:
            array = _fitted(np.array(values, np.float64), kind, field)
    except OverflowError:
        raise PayloadError(f"{field}: a number does not fit {kind.name}") from None
    return array.reshape(len(values), *(lengths or {0}))


def _fitted(numbers: Array, kind: np.dtype[Any], field: str) -> Array:
    """Convert float64 to a narrower type, if all of them fit it."""
    if kind.kind == "f":
        with np.errstate(over="ignore"):
            narrow = numbers.astype(kind)
        fit = np.isfinite(narrow)
    else:
        # The upper end is a power of 2, which float64 has exactly; NaN is in no range.
        fit = (numbers >= float(np.iinfo(kind).min)) & (numbers < float(np.iinfo(kind).max + 1))
        if fit.all() and (numbers != np.rint(numbers)).any():
            raise PayloadError(f"{field}: a number is not whole, as {kind.name} needs")
    if not fit.all():
        raise PayloadError(f"{field}: a number does not fit {kind.name}")
    return numbers.astype(kind)


def real_dtype(name: object) -> np.dtype[Any]:
    """Find numpy's type of real numbers by its name, as ``"float32"`` or ``"<i2"``.

    Raises
    ------
    PayloadError
        When there is none of that name.
    """
    allowed = "int8 to int64, uint8 to uint64, float16, float32 or float64"
    if not isinstance(name, str) or not 0 < len(name) <= _DTYPE_LETTERS:
        raise PayloadError(f"the type must be text: {allowed}")
    try:
        found = np.dtype(name)
    except Exception:  # numpy has several for what it does not know
        found = None
    if found is None or found.kind not in _KINDS or found.itemsize > _BYTES:
        raise PayloadError(f"type {name!r}: {allowed}")
    return found


def read_npy(body: bytes) -> Array:
    """Read a ``.npy`` file of real numbers; nothing is unpickled, and nothing is copied.

    The header is checked against the length of the body before any memory is taken.

    Raises
    ------
    PayloadError
        When it is anything else.
    """
    stream = io.BytesIO(body)
    try:
        version = np.lib.format.read_magic(stream)
        if version not in {(1, 0), (2, 0)}:  # the third is for texts that no number needs
            raise ValueError(f"version {version[0]}.{version[1]}")
        read = (
            np.lib.format.read_array_header_1_0
            if version == (1, 0)
            else np.lib.format.read_array_header_2_0
        )
        shape, fortran, kind = read(stream)
    except Exception as error:  # the header is Python text, which can be wrong in many ways
        raise PayloadError(f"the body is no .npy file ({_line(error)})") from None
    if kind.kind not in _KINDS or kind.itemsize > _BYTES:
        raise PayloadError(f"the .npy file holds {kind}: real numbers of up to {_BYTES} bytes only")
    if any(type(side) is not int or side < 0 for side in shape):
        raise PayloadError(f"the .npy file has shape {shape}: whole numbers, at least 0")
    count = 1
    for side in shape:  # Python's numbers: a product that has no end
        count *= side
    data = len(body) - stream.tell()
    if count * kind.itemsize != data:
        raise PayloadError(f"the .npy file has {data} bytes of data, not those of shape {shape}")
    flat = np.frombuffer(body, kind, count, stream.tell())
    return flat.reshape(shape[::-1]).T if fortran else flat.reshape(shape)


def npy_bytes(array: Array) -> bytes:
    """Write an array as a ``.npy`` file."""
    stream = io.BytesIO()
    np.lib.format.write_array(stream, np.ascontiguousarray(array), allow_pickle=False)
    return stream.getvalue()


def images_of(array: Array) -> list[Array]:
    """Images of an array of shape (Y, X) or (N, Y, X).

    Raises
    ------
    PayloadError
        When the shape is another, or there are too many.
    """
    if array.ndim not in {2, 3}:
        raise PayloadError(f"the array has shape {array.shape}: (Y, X) or (N, Y, X)")
    if array.ndim == 2:
        return [array]
    if len(array) > MAX_IMAGES:
        raise PayloadError(f"{len(array)} images: at most {MAX_IMAGES} in one request")
    return list(array)


def options_of(array: Array, objectives: tuple[str, ...]) -> npt.NDArray[np.float64]:
    """Options of an array of shape (G, M); NaN for what is not on offer.

    Raises
    ------
    PayloadError
        When the shape is another, there are none or too many, or a value is infinite.
    """
    if array.ndim != 2 or array.shape[1] != len(objectives):
        raise PayloadError(
            f"the options have shape {array.shape}: a row for each of at least 1, with the "
            f"{len(objectives)} columns {', '.join(objectives)}"
        )
    if not 1 <= len(array) <= MAX_OPTIONS:
        raise PayloadError(f"{len(array)} options: 1 to {MAX_OPTIONS}")
    values = array.astype(np.float64)
    if np.isinf(values).any():
        raise PayloadError("an option has an infinite value")
    return values


def _line(error: Exception) -> str:
    text = in_one_line(error)
    return text[:200]


def _few(numbers: set[int]) -> str:
    shown = sorted(numbers)
    return f"{shown[0]} to {shown[-1]}"


def _json_type(value: object) -> str:
    names = {dict: "object", list: "list", str: "text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "number")
