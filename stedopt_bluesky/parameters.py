"""The imaging parameters that are optimised, and the grid of their values.

A *configuration* is one value per parameter; the *grid* is the Cartesian
product of the parameters' values, the last parameter varying fastest.
"""

from __future__ import annotations

import itertools
import math
import numbers
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


def as_number(value: object) -> float | None:
    """Turn a real number of any kind, numpy's too, into a float.

    Returns
    -------
    float or None
        None for what is no number: text, None, and a bool, which Python counts as one.
        Infinite where the number is beyond a float.
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        return None
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf  # type: ignore[operator]


def pixels_along(size_um: float, pixel_size_nm: float) -> int:
    """Pixels along a side of so many µm: half a pixel and more counts as one.

    In m, as they are written to Imspector, so that both divide the same numbers.

    Raises
    ------
    ValueError
        When a size is not positive and finite.
    """
    for name, value in (("region_size_um", size_um), ("pixel_size_nm", pixel_size_nm)):
        if not (math.isfinite(value) and value > 0):
            raise ValueError(f"{name} must be positive and finite, got {value:g}")
    return math.floor((size_um * 1e-6) / (pixel_size_nm * 1e-9) + 0.5)


@dataclass(frozen=True)
class Parameter:
    """One imaging parameter and the values it may take.

    Parameters
    ----------
    name : str
        Name with its unit as a suffix, for example ``"depletion_power_mW"``.
    unit : str
        Unit of the values, for example ``"mW"``.
    values : sequence of float
        At least one finite value, strictly increasing, in ``unit``.

    Raises
    ------
    ValueError
        When the values are empty, not finite or not strictly increasing.
    """

    name: str
    unit: str
    values: tuple[float, ...]

    def __post_init__(self) -> None:
        values = tuple(float(v) for v in self.values)
        object.__setattr__(self, "values", values)
        if not self.name:
            raise ValueError("a parameter needs a name")
        if not values:
            raise ValueError(f"parameter {self.name!r} has no values")
        for value in values:
            if not math.isfinite(value):
                raise ValueError(f"parameter {self.name!r}: values must be finite, got {value}")
        for a, b in itertools.pairwise(values):
            if b <= a:
                raise ValueError(
                    f"parameter {self.name!r}: values must increase strictly, got {a!r}, then {b!r}"
                )

    @property
    def range(self) -> float:
        """Largest minus smallest value, in ``unit``."""
        return self.values[-1] - self.values[0]

    @classmethod
    def linear(cls, name: str, unit: str, low: float, high: float, points: int) -> Parameter:
        """Make a parameter of ``points`` evenly spaced values, both ends included."""
        return cls(name, unit, tuple(np.linspace(low, high, points)))


class ParameterSpace:
    """The grid of all configurations: the Cartesian product of the parameters' values.

    Parameters
    ----------
    parameters : sequence of Parameter
        At least one; names must differ.

    Raises
    ------
    ValueError
        When there is no parameter or two share a name.
    """

    def __init__(self, parameters: Sequence[Parameter]) -> None:
        self.parameters = tuple(parameters)
        if not self.parameters:
            raise ValueError("a parameter space needs at least one parameter")
        if len(set(self.names)) != len(self.names):
            raise ValueError(f"parameters must have different names, got {self.names}")

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the D parameters, in the order of the grid's columns."""
        return tuple(p.name for p in self.parameters)

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of values of each parameter."""
        return tuple(len(p.values) for p in self.parameters)

    @property
    def size(self) -> int:
        """Number of configurations G."""
        return math.prod(self.shape)

    def __len__(self) -> int:
        return self.size

    def __iter__(self) -> Iterator[Parameter]:
        return iter(self.parameters)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ParameterSpace) and self.parameters == other.parameters

    def __hash__(self) -> int:
        return hash(self.parameters)

    def __repr__(self) -> str:
        axes = " × ".join(f"{p.name}[{len(p.values)}]" for p in self.parameters)
        return f"ParameterSpace({axes} = {self.size})"

    @cached_property
    def grid(self) -> FloatArray:
        """All configurations, shape (G, D), each column in its parameter's unit. Read-only."""
        axes = np.meshgrid(*(p.values for p in self.parameters), indexing="ij")
        grid = np.stack([axis.ravel() for axis in axes], axis=1)
        grid.flags.writeable = False
        return grid

    def index(self, values: Sequence[float] | Mapping[str, float]) -> int:
        """Row of the grid that holds a configuration.

        Parameters
        ----------
        values : sequence of float, shape (D,), or mapping of name to value
            Each within one part in 10⁹ of the parameter's range of a value on the grid.

        Raises
        ------
        ValueError
            When a value is not on the grid; the message names the parameter and the nearest
            value. When values are missing, unknown or no numbers.
        """
        if isinstance(values, Mapping):
            if set(values) != set(self.names):
                raise ValueError(f"expected the parameters {self.names}, got {tuple(values)}")
            values = [values[name] for name in self.names]
        if len(values) != len(self.parameters):
            raise ValueError(f"expected {len(self.parameters)} values, got {len(values)}")
        position = []
        for parameter, value in zip(self.parameters, values, strict=True):
            position.append(_position(parameter, value))
        return int(np.ravel_multi_index(position, self.shape))

    def configuration(self, index: int) -> dict[str, float]:
        """Configuration of row ``index`` of the grid as a mapping of name to value.

        Raises
        ------
        IndexError
            When ``index`` is not in 0 … G-1.
        """
        if not 0 <= index < self.size:
            raise IndexError(f"configuration {index} is outside 0 … {self.size - 1}")
        position = np.unravel_index(index, self.shape)
        return {p.name: p.values[int(i)] for p, i in zip(self.parameters, position, strict=True)}

    def steps(self, index: int, other: int) -> dict[str, int]:
        """Steps on the grid from row ``index`` to row ``other``, by the parameter's name.

        A step is from one value of a parameter to the next; below 0: to smaller values. Their
        absolute values add up to the distance of the two configurations.
        """
        here, there = (np.unravel_index(i, self.shape) for i in (index, other))
        return {
            p.name: int(b) - int(a) for p, a, b in zip(self.parameters, here, there, strict=True)
        }


def _position(parameter: Parameter, value: object) -> int:
    """Number of a value among its parameter's, from 0 (ValueError when it is not there)."""
    number = as_number(value)
    if number is None or math.isnan(number):
        raise ValueError(f"{parameter.name} = {value!r}: a number is needed")
    axis = np.asarray(parameter.values)
    nearest = int(np.argmin(np.abs(axis - number)))
    scale = parameter.range or abs(axis[0]) or 1.0
    if not abs(axis[nearest] - number) <= 1e-9 * scale:
        raise ValueError(
            f"{parameter.name} = {number:g} {parameter.unit} is not on the grid; "
            f"the nearest value is {axis[nearest]:g}"
        )
    return nearest
