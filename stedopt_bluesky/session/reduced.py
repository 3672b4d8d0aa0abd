"""Reduced hyper-volume: the grid cut down to the region that an earlier run chose most.

As in Durand et al., Nat. Commun. 9:5247 (2018), section on previous knowledge, which cut the
ranges of its parameters to "the regions that were sampled more often". How is not published;
here it is, parameter by parameter, the shortest interval that holds a share of the choices.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from stedopt_bluesky.config import ConfigError, ExperimentConfig
from stedopt_bluesky.config.parameters import WHOLE_NUMBERS, ParameterConfig, split_parameter
from stedopt_bluesky.session.stored import config_of

if TYPE_CHECKING:
    from stedopt_bluesky.records.run_record import RunRecord

FloatArray = npt.NDArray[np.float64]


def reduced(
    config: ExperimentConfig,
    records: RunRecord | Sequence[RunRecord],
    *,
    share: float = 0.5,
    last: int | None = None,
) -> ExperimentConfig:
    """Cut an experiment's grid down to the region that earlier runs chose most.

    For each parameter by itself: the shortest interval, counted in the earlier run's values,
    that holds ``share`` of the choices (of several, the one with most choices, then the
    lowest). A single value is widened by its neighbours on both sides, for the best may lie
    on either; so at least two values stay where there were two. The interval is laid out
    anew with as many points and the same spacing; of a list of ``values``, and of whole
    numbers (line steps, frames), those inside stay. Never is it wider than it was.

    Parameters
    ----------
    config : ExperimentConfig
        The experiment whose grid is cut.
    records : RunRecord or sequence of RunRecord
        Earlier runs that optimised the same parameters, over any ranges.
    share : float
        How much of the choices the interval of each parameter holds, above 0, at most 1.
    last : int, optional
        How many images count, from the end of each run; its last half when left out, when
        it had learnt what is good.

    Returns
    -------
    ExperimentConfig
        The same with other ``parameters``.

    Raises
    ------
    ConfigError
        When share or last is not allowed, a run has no image or optimised other parameters,
        or chose most what lies outside this experiment's range.
    """
    records = list(records) if isinstance(records, Sequence) else [records]
    if not 0 < share <= 1:
        raise ConfigError(f"share = {share:g}: above 0, at most 1")
    if last is not None and last < 1:
        raise ConfigError(f"last = {last}: at least 1 image")
    chosen = [_chosen(config, record, last) for record in records]
    if not chosen:
        raise ConfigError("reduced hyper-volume: at least one run is needed")
    names = ", ".join(record.uid[:8] for record in records)
    parameters = []
    for entry in config.parameters:
        axis = np.unique(np.concatenate([axes[entry.name] for axes, _ in chosen]))
        values = np.concatenate([choices[entry.name] for _, choices in chosen])
        low, high = _widened(axis, *_shortest_interval(axis, values, share))
        own = np.asarray(entry.parameter.values)
        if high < own[0] or low > own[-1]:
            raise ConfigError(
                f"{entry.name}: run {names} chose {low:g} to {high:g} {entry.parameter.unit} most; "
                f"this experiment has {own[0]:g} to {own[-1]:g}"
            )
        low, high = _widened(own, max(low, own[0]), min(high, own[-1]))
        parameters.append(_laid(entry, float(low), float(high)))
    return config.updated({"parameters": parameters})


def _chosen(
    config: ExperimentConfig, record: RunRecord, last: int | None
) -> tuple[dict[str, FloatArray], dict[str, FloatArray]]:
    """Values of a run's grid, and those that it chose for its last images, by parameter."""
    run = f"run {record.uid[:8]}"
    space = config_of(record).space
    if set(space.names) != set(config.space.names):
        raise ConfigError(
            f"{run} optimised {', '.join(space.names)}; "
            f"expected the same as in this experiment, {', '.join(config.space.names)}"
        )
    indices = [index for index, _ in record.observations]
    if not indices:
        raise ConfigError(f"{run} has no image: nothing was chosen")
    count = math.ceil(len(indices) / 2) if last is None else last
    rows = [space.configuration(index) for index in indices[-count:]]
    axes = {p.name: np.asarray(p.values) for p in space}
    return axes, {name: np.array([row[name] for row in rows]) for name in space.names}


def _shortest_interval(axis: FloatArray, values: FloatArray, share: float) -> tuple[float, float]:
    """Ends of the interval with the fewest values of ``axis`` that holds a share of ``values``.

    The empirical highest-density interval, in steps of the grid, so that neither uneven nor
    logarithmic spacing gives one end of the range more weight than the other.
    """
    positions = np.sort(np.searchsorted(axis, values))
    # Less a rounding error: 0.07 of 100 is 7, not 8.
    held = max(1, math.ceil(share * len(positions) - 1e-9))
    first, final = positions[: len(positions) - held + 1], positions[held - 1 :]
    width = final - first
    count = np.searchsorted(positions, final, "right") - np.searchsorted(positions, first, "left")
    best = int(np.lexsort((first, -count, width))[0])
    return float(axis[first[best]]), float(axis[final[best]])


def _widened(axis: FloatArray, low: float, high: float) -> tuple[float, float]:
    """Interval with at least two values of ``axis``, where it has so many.

    One that holds fewer reaches to the next value on either side.
    """
    begin = int(np.searchsorted(axis, low, "left"))
    end = int(np.searchsorted(axis, high, "right"))
    if end - begin >= 2:
        return low, high
    return float(axis[max(begin - 1, 0)]), float(axis[min(end, len(axis) - 1)])


def _laid(entry: ParameterConfig, low: float, high: float) -> dict[str, Any]:
    """Parameter's entry of a configuration for the values from ``low`` to ``high``."""
    if entry.values is None and split_parameter(entry.name)[1] not in WHOLE_NUMBERS:
        return entry.model_copy(update={"low": low, "high": high}).model_dump(exclude_none=True)
    inside = [value for value in entry.parameter.values if low <= value <= high]
    return {"name": entry.name, "values": inside}
