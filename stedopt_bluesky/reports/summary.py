"""What a run came to, as plain data: a row per image, the best ones, the totals."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from stedopt_bluesky.acquisition import Objective
from stedopt_bluesky.preference.rule import utilities
from stedopt_bluesky.records.run_record import RunRecord


@dataclass(frozen=True)
class ImageRow:
    """One image of a run.

    Parameters
    ----------
    number : int
        1 for the first image of the run.
    iteration : int
        Images that the strategy had learnt from before it, earlier runs included.
    parameters, objectives : mapping of name to value
        Each in the unit that its name or the run tells; an invalid objective is NaN.
    utility : float
        By the run's weights; NaN when an objective is invalid.
    invalid_because : str
        Why objectives are invalid; empty when none is.
    """

    number: int
    iteration: int
    parameters: Mapping[str, float]
    objectives: Mapping[str, float]
    utility: float
    invalid_because: str = ""


@dataclass(frozen=True)
class RunReport:
    """A run for tables, pictures and scripts.

    Parameters
    ----------
    uid : str
        The run's uid.
    exit_status, reason : str
        How and why it ended; ``"running"`` or ``"interrupted"`` without a stop document.
    images_planned : int
        How many images were meant to be taken.
    rows : tuple of ImageRow
        In the order of imaging.
    objectives : tuple of Objective
        Names, units, directions and ranges.
    parameter_units : mapping of name to unit
        Of the optimised parameters.
    start : mapping
        The start document.
    """

    uid: str
    exit_status: str
    reason: str
    images_planned: int
    rows: tuple[ImageRow, ...]
    objectives: tuple[Objective, ...]
    parameter_units: Mapping[str, str]
    start: Mapping[str, Any]

    def best(self, count: int) -> tuple[ImageRow, ...]:
        """Rows of the highest utility, the best first; invalid images are left out."""
        valid = [row for row in self.rows if not math.isnan(row.utility)]
        return tuple(sorted(valid, key=lambda row: -row.utility)[:count])

    def size_um(self, row: ImageRow) -> float:
        """Side of an image's region, µm."""
        fixed_um = self.start["stedopt"]["config"]["imaging"]["region_size_um"]
        return float(row.parameters.get("region_size_um", fixed_um))

    def as_json(self) -> dict[str, Any]:
        """Plain data for ``--json``; NaN becomes null."""
        return {
            "uid": self.uid,
            "exit_status": self.exit_status,
            "reason": self.reason,
            "images_planned": self.images_planned,
            "images": [_row_json(row) for row in self.rows],
            "best": [_row_json(row) for row in self.best(5)],
            "objectives": {
                o.name: {"unit": o.unit, "direction": o.direction} for o in self.objectives
            },
            "parameters": dict(self.parameter_units),
            **{
                key: self.start.get(key)
                for key in (
                    "sample",
                    "structure",
                    "preset",
                    "operator",
                    "seed",
                    "microscope",
                    "time",
                    "resumes",
                )
            },
        }


def report_of(
    record: RunRecord,
    objectives: Sequence[Objective],
    weights: Mapping[str, float],
    parameter_units: Mapping[str, str],
    *,
    exit_status: str,
    reason: str,
    rule: str = "weighted",
) -> RunReport:
    """Make the report of a recorded run.

    Parameters
    ----------
    record : RunRecord
        The run.
    objectives : sequence of Objective
        In the order of the run's configuration.
    weights : mapping of objective's name to weight
        Of the utility.
    parameter_units : mapping of name to unit
        The optimised parameters, in the order of the grid.
    exit_status, reason : str
        As the list of runs tells them.
    rule : str
        Who chose; with ``"local"`` the utility is the strength of a local response, else the
        weighted one.
    """
    stream = record.keys.image_stream
    events = record.events(stream) if stream in record.streams else []
    rows = []
    for number, event in enumerate(events, start=1):
        _, values = record.observation(event)
        row = np.array([values[o.name] for o in objectives])
        if rule == "local":
            from stedopt_bluesky.preference.local import image_utilities  # SciPy is slow

            utility = image_utilities(row, objectives)
        else:
            utility = utilities(row, objectives, weights)
        rows.append(
            ImageRow(
                number=number,
                iteration=int(event["data"][record.keys.image_iteration]),
                parameters={name: float(event["data"][name]) for name in parameter_units},
                objectives=values,
                utility=float(utility),
                invalid_because=str(event["data"].get("invalid_because") or ""),
            )
        )
    return RunReport(
        uid=record.uid,
        exit_status=exit_status,
        reason=reason,
        images_planned=int(record.start.get("images_planned", len(rows))),
        rows=tuple(rows),
        objectives=tuple(objectives),
        parameter_units=dict(parameter_units),
        start=record.start,
    )


def _row_json(row: ImageRow) -> dict[str, Any]:
    return {
        "number": row.number,
        "iteration": row.iteration,
        "parameters": dict(row.parameters),
        "objectives": {k: None if math.isnan(v) else v for k, v in row.objectives.items()},
        "utility": None if math.isnan(row.utility) else row.utility,
        "invalid_because": row.invalid_because,
    }
