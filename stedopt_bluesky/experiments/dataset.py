"""Images of a replay experiment: a queue of ratings for each configuration, in one file."""

from __future__ import annotations

import dataclasses
import json
import os
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from stedopt_bluesky.acquisition import Objective
from stedopt_bluesky.config import ConfigError
from stedopt_bluesky.config.errors import allowed_text
from stedopt_bluesky.parameters import Parameter, ParameterSpace
from stedopt_bluesky.preference.rule import utilities

FloatArray = npt.NDArray[np.float64]

# Raised when the file below changes so that an older program would misread it.
FORMAT = 1
# What all objectives together are called where one objective is asked for.
UTILITY = "utility"
# The noise's upper bound is the published one of quality, which is also from 0 to 1.
_UTILITY = Objective(UTILITY, "", "maximise", range=(0.0, 1.0), noise_bounds=(0.001, 0.1))


@dataclass(frozen=True, eq=False)
class ReplayDataset:
    """Ratings of images that were taken with each configuration of a grid.

    Parameters
    ----------
    space : ParameterSpace
        Grid of G configurations, all of them imaged.
    objectives : tuple of Objective, length M
        What the images were rated by.
    weights : mapping of objective's name to weight
        Of the utility, see `column`.
    configurations : ndarray of int, shape (K,)
        Row of the grid that each of the K images was taken with; every row is there.
    ratings : ndarray, shape (K, M)
        Objectives of each image, in their units; NaN where invalid.
    examples : ndarray, shape (G, Y, X) or (0, 0, 0)
        A STED image of each configuration, photon counts; empty when there are none.
    pixel_size_nm : float
        Of the examples, nm.
    origin : mapping
        What the images are of, as JSON has it: two datasets of one origin are the same.
    """

    space: ParameterSpace
    objectives: tuple[Objective, ...]
    weights: Mapping[str, float]
    configurations: npt.NDArray[np.int64]
    ratings: FloatArray
    examples: npt.NDArray[np.int16] = field(repr=False)
    pixel_size_nm: float
    origin: Mapping[str, Any]

    def __post_init__(self) -> None:
        images = len(self.configurations)
        if self.ratings.shape != (images, len(self.objectives)):
            raise ValueError(
                f"ratings must have shape ({images}, {len(self.objectives)}), "
                f"got {self.ratings.shape}"
            )
        if not np.array_equal(np.unique(self.configurations), np.arange(self.space.size)):
            raise ValueError(
                f"each of the {self.space.size} configurations needs an image, and no other"
            )
        if len(self.examples) not in (0, self.space.size):
            raise ValueError(f"{len(self.examples)} examples of {self.space.size} configurations")

    @property
    def counts(self) -> npt.NDArray[np.int64]:
        """Images of each configuration, shape (G,)."""
        return np.bincount(self.configurations, minlength=self.space.size)

    def objective(self, name: str) -> Objective:
        """One of the objectives, or their weighted utility (`UTILITY`).

        Raises
        ------
        ConfigError
            When the images were not rated by it, or it is not modelled.
        """
        if name == UTILITY:
            return _UTILITY
        rated = {o.name: o for o in self.objectives if o.modelled}
        if name not in rated:
            raise ConfigError(f"objective = {name!r}: {allowed_text(name, [UTILITY, *rated])}")
        return rated[name]

    def queues(self, name: str) -> tuple[FloatArray, ...]:
        """Ratings of each configuration's images by one objective, in the order of imaging.

        Returns
        -------
        tuple of ndarray, length G
            In the objective's unit; NaN where invalid.

        Raises
        ------
        ConfigError
            As `objective`; when not one image has a valid rating.
        """
        self.objective(name)
        if name == UTILITY:
            column = utilities(self.ratings, self.objectives, self.weights)
        else:
            column = self.ratings[:, [o.name for o in self.objectives].index(name)]
        if np.isnan(column).all():
            raise ConfigError(f"objective = {name!r}: no image has a valid value of it")
        return tuple(column[self.configurations == g] for g in range(self.space.size))

    def save(self, path: Path) -> None:
        """Write the dataset to an ``.npz`` file, all of it or nothing.

        Raises
        ------
        ConfigError
            When it cannot be written.
        """
        header = {
            "format": FORMAT,
            "parameters": [dataclasses.asdict(p) for p in self.space],
            "objectives": [dataclasses.asdict(o) for o in self.objectives],
            "weights": dict(self.weights),
            "pixel_size_nm": self.pixel_size_nm,
            "origin": dict(self.origin),
        }
        partial = path.with_name(path.name + ".part")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with partial.open("wb") as file:
                np.savez_compressed(
                    file,
                    header=np.array(json.dumps(header)),
                    configurations=self.configurations,
                    ratings=self.ratings,
                    examples=self.examples,
                )
            os.replace(partial, path)
        except OSError as error:
            raise ConfigError(
                f"dataset = {str(path)!r}: cannot be written: {error.strerror or error}"
            ) from None

    @classmethod
    def load(cls, path: Path) -> ReplayDataset:
        """Read a dataset; nothing in the file is unpickled.

        Raises
        ------
        ConfigError
            When it cannot be read or is not a dataset of this program.
        """
        try:
            with np.load(path, allow_pickle=False) as file:
                header = json.loads(str(file["header"]))
                if header["format"] != FORMAT:
                    raise ConfigError(
                        f"dataset = {str(path)!r}: has format {header['format']!r}; "
                        f"this program reads {FORMAT}"
                    )
                return cls(
                    space=ParameterSpace(
                        [Parameter(p["name"], p["unit"], p["values"]) for p in header["parameters"]]
                    ),
                    objectives=tuple(_objective(o) for o in header["objectives"]),
                    weights=header["weights"],
                    configurations=file["configurations"],
                    ratings=file["ratings"],
                    examples=file["examples"],
                    pixel_size_nm=header["pixel_size_nm"],
                    origin=header["origin"],
                )
        except ConfigError:
            raise
        except OSError as error:
            raise ConfigError(
                f"dataset = {str(path)!r}: cannot be read: {error.strerror or error}"
            ) from None
        except (ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
            raise ConfigError(
                f"dataset = {str(path)!r}: is not a dataset of a replay experiment ({error})"
            ) from None


def _objective(data: Mapping[str, Any]) -> Objective:
    low, high = data["range"]
    lower, upper = data["noise_bounds"]
    return Objective(**{**data, "range": (low, high), "noise_bounds": (lower, upper)})
