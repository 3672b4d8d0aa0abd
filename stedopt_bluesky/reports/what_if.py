"""A run's decisions beside those that another strategy or network makes of the same images."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from stedopt_bluesky.acquisition import Objective
from stedopt_bluesky.parameters import ParameterSpace
from stedopt_bluesky.preference.rule import utilities
from stedopt_bluesky.records.folder import CatalogError
from stedopt_bluesky.records.replay import DecisionComparison


@dataclass(frozen=True)
class WhatIfRow:
    """One decision, then and now.

    Parameters
    ----------
    number : int
        Of the decision in the run, from 1.
    recorded_index, index : int
        Rows of the grid.
    recorded_by, chosen_by : str
        Who chose.
    recorded, configuration : mapping of parameter's name to value
        The two configurations, each value in its parameter's unit.
    steps : mapping of parameter's name to int
        Steps on the grid from the recorded configuration to the new one.
    recorded_sample, sample : mapping of objective's name to value
        Objectives as they were sampled for each, by the model that chose it, each in its unit;
        NaN where nothing was sampled: a strategy that prescribes.
    regret : float
        Utility that the run's own model expected of its choice, less that of the new one: above
        0, the run thought its own better. NaN where nothing was sampled.
    """

    number: int
    recorded_index: int
    index: int
    recorded_by: str
    chosen_by: str
    recorded: Mapping[str, float]
    configuration: Mapping[str, float]
    steps: Mapping[str, int]
    recorded_sample: Mapping[str, float]
    sample: Mapping[str, float]
    regret: float

    @property
    def same(self) -> bool:
        """Whether the same configuration is chosen."""
        return self.index == self.recorded_index

    @property
    def distance(self) -> int:
        """Distance of the two configurations, in steps on the grid."""
        return sum(abs(steps) for steps in self.steps.values())


@dataclass(frozen=True)
class WhatIf:
    """All decisions of a run, then and now.

    Parameters
    ----------
    uid : str
        Of the run.
    recorded_with, asked : mapping
        Who decided then, and who is asked now: strategy, rule and network.
    parameter_units : mapping of parameter's name to unit
        In the order of the grid.
    objectives : tuple of Objective
        Of the run.
    rows : tuple of WhatIfRow
        In the order of the run.
    """

    uid: str
    recorded_with: Mapping[str, str]
    asked: Mapping[str, str]
    parameter_units: Mapping[str, str]
    objectives: tuple[Objective, ...]
    rows: tuple[WhatIfRow, ...]

    @property
    def agreeing(self) -> int:
        """Decisions for the same configuration."""
        return sum(row.same for row in self.rows)

    @property
    def share(self) -> float:
        """Share of the decisions that agree; NaN without any."""
        return self.agreeing / len(self.rows) if self.rows else math.nan

    @property
    def mean_distance(self) -> float:
        """Mean distance in steps on the grid, of all decisions; NaN without any."""
        return _mean([row.distance for row in self.rows])

    @property
    def mean_regret(self) -> float:
        """Mean regret of the decisions that have one; NaN without any."""
        return _mean([row.regret for row in self.rows if not math.isnan(row.regret)])

    def as_json(self) -> dict[str, Any]:
        """Plain data for ``--json``; NaN becomes null."""
        return {
            "uid": self.uid,
            "recorded_with": dict(self.recorded_with),
            "asked": dict(self.asked),
            "parameters": dict(self.parameter_units),
            "objectives": {o.name: o.unit for o in self.objectives},
            "decisions": len(self.rows),
            "agreeing": self.agreeing,
            "share_agreeing": _number(self.share),
            "mean_distance_steps": _number(self.mean_distance),
            "mean_regret": _number(self.mean_regret),
            "rows": [
                {
                    "decision": row.number,
                    "recorded_index": row.recorded_index,
                    "index": row.index,
                    "recorded_by": row.recorded_by,
                    "chosen_by": row.chosen_by,
                    "recorded": dict(row.recorded),
                    "new": dict(row.configuration),
                    "steps": dict(row.steps),
                    "distance_steps": row.distance,
                    "recorded_sample": _numbers(row.recorded_sample),
                    "new_sample": _numbers(row.sample),
                    "regret": _number(row.regret),
                }
                for row in self.rows
            ],
        }


def what_if(
    comparisons: Sequence[DecisionComparison],
    space: ParameterSpace,
    objectives: Sequence[Objective],
    weights: Mapping[str, float],
    *,
    uid: str,
    recorded_with: Mapping[str, str],
    asked: Mapping[str, str],
) -> WhatIf:
    """Compare decisions with what was recorded.

    Parameters
    ----------
    comparisons : sequence of DecisionComparison
        With the clouds compared.
    space : ParameterSpace
        The run's grid.
    objectives : sequence of Objective
        The run's, in the order of the clouds' columns.
    weights : mapping of objective's name to weight
        Of the run's own utility; all 0: no regret is reckoned.
    uid, recorded_with, asked
        As `WhatIf` has them.

    Raises
    ------
    CatalogError
        When a recorded decision is for a configuration that is not on the grid.
    """
    names = [o.name for o in objectives]
    weighted = any(weights.values())

    def utility(sample: tuple[float, ...]) -> float:
        if not (sample and weighted):
            return math.nan
        return float(utilities(np.array(sample), objectives, weights))

    rows = []
    for number, comparison in enumerate(comparisons, start=1):
        then, now = comparison.recorded_index, comparison.index
        if not 0 <= then < space.size:
            raise CatalogError(
                f"run {uid}: decision {number} is for option {then}; there are {space.size}"
            )
        rows.append(
            WhatIfRow(
                number=number,
                recorded_index=then,
                index=now,
                recorded_by=comparison.recorded_by,
                chosen_by=comparison.chosen_by,
                recorded=space.configuration(then),
                configuration=space.configuration(now),
                steps=space.steps(then, now),
                recorded_sample=dict(zip(names, comparison.recorded_sample, strict=True)),
                sample=dict(zip(names, comparison.sample, strict=True)),
                regret=utility(comparison.recorded_sample) - utility(comparison.crossed_sample),
            )
        )
    units = {p.name: p.unit for p in space}
    return WhatIf(uid, recorded_with, asked, units, tuple(objectives), tuple(rows))


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else math.nan


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _numbers(values: Mapping[str, float]) -> dict[str, float | None]:
    return {name: _number(value) for name, value in values.items()}
