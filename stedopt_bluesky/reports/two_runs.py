"""Two runs side by side, as plain data: what differs in how they were made, and what came of it."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from stedopt_bluesky.records.reached import LAST_IMAGES
from stedopt_bluesky.records.run_record import RunRecord
from stedopt_bluesky.records.runs import RunSummary
from stedopt_bluesky.reports.live_run import LiveRun, plain_text

# What of the start document, besides the configuration, tells how a run was made.
_OF_THE_START = ("sample", "structure", "preset", "operator", "microscope", "seed", "plan_name")
# Entries of lists that have one of these are told apart by it, not by their place.
_NAMES = ("name", "kind")
_LONGEST = 200
# What stands where a run does not have a setting.
ABSENT = "-"


@dataclass(frozen=True, eq=False)
class RunBeside:
    """One of two runs.

    Parameters
    ----------
    summary : RunSummary
        As the list of runs tells of it.
    images : int
        How many it has.
    images_planned : int or None
        How many were meant to be taken.
    light_dose : tuple of float
        Light on all images: of the excitation, µJ, and the depletion, mJ.
    objectives : mapping of name to ndarray, shape (T,)
        Of each image in order, in the objective's unit; NaN where invalid.
    settings : mapping of a dotted name to str
        How it was made, as texts that are safe to be shown.
    """

    summary: RunSummary
    images: int
    images_planned: int | None
    light_dose: tuple[float, float]
    objectives: Mapping[str, npt.NDArray[np.float64]]
    settings: Mapping[str, str]

    @classmethod
    def of(cls, record: RunRecord, summary: RunSummary) -> RunBeside:
        """Sum up a recorded run."""
        run = LiveRun()
        for name, doc in record.documents:
            run.take(name, doc)
        return cls(
            summary,
            len(run.numbers()),
            run.images_planned,
            run.light_dose,
            {name: run.objective_column(name) for name in run.objectives},
            settings_of(record.start),
        )

    def last_median(self, objective: str) -> float:
        """Median of an objective's last ten images; NaN where there is no valid one."""
        values = self.objectives.get(objective, np.empty(0))[-LAST_IMAGES:]
        valid = values[np.isfinite(values)]
        return float(np.median(valid)) if valid.size else math.nan


def settings_of(start: Mapping[str, Any]) -> dict[str, str]:
    """How a run was made: what its start document tells, and its configuration.

    Returns
    -------
    dict of str to str
        By a dotted name, as ``"bandit.strategy"``; of lists of tables with the name of each,
        as ``"objectives.snr.weight"``.
    """
    found = {key: plain_text(start[key]) for key in _OF_THE_START if start.get(key) is not None}
    networks = start.get("networks")
    for kind, network in networks.items() if isinstance(networks, Mapping) else ():
        if isinstance(network, Mapping):
            told = f"{network.get('name') or '?'} {str(network.get('sha256') or '')[:8]}"
            found[f"network of {plain_text(kind)}"] = plain_text(told)
    stedopt = start.get("stedopt")
    config = stedopt.get("config") if isinstance(stedopt, Mapping) else None
    for key, value in _flat("", config) if isinstance(config, Mapping) else ():
        # As "sample.name" says what "sample" does.
        if key not in found and found.get(key.partition(".")[0]) != value:
            found[plain_text(key)] = plain_text(value, longest=_LONGEST)
    return found


def differences(first: RunBeside, second: RunBeside) -> list[tuple[str, str, str]]:
    """What differs in how two runs were made: name, and what each of them has."""
    names = dict.fromkeys([*first.settings, *second.settings])
    pairs = [
        (name, first.settings.get(name, ABSENT), second.settings.get(name, ABSENT))
        for name in names
    ]
    return [(name, a, b) for name, a, b in pairs if a != b]


def _flat(prefix: str, value: Any) -> Iterator[tuple[str, str]]:
    """Values of tables within tables, by dotted names."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flat(f"{prefix}.{key}" if prefix else str(key), inner)
    elif isinstance(value, list | tuple) and any(isinstance(v, Mapping) for v in value):
        for place, inner in enumerate(value, start=1):
            yield from _flat(f"{prefix}.{_name(inner) or place}", inner)
    else:
        yield prefix, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _name(value: Any) -> str:
    names = (value.get(key) for key in _NAMES) if isinstance(value, Mapping) else ()
    return next((name for name in names if isinstance(name, str)), "")
