"""A stored run again: its documents to any callback, its decisions made anew."""

from __future__ import annotations

import copy
import dataclasses
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from stedopt_bluesky.acquisition import Choice, Options
from stedopt_bluesky.records.journal import Document
from stedopt_bluesky.records.run_record import RunRecord

# The start document's key that names the run whose images a run was replayed from.
REPLAYS = "replays"


class Strategy(Protocol):
    """What is needed of a strategy: it draws options and learns from observations."""

    def suggest(self) -> Options:
        """Draw a cloud of options."""

    def ingest(self, index: int, values: Mapping[str, float]) -> Any:
        """Learn the objectives, by name, that configuration ``index`` had."""


@dataclass(frozen=True)
class DecisionComparison:
    """One recorded decision beside the one made anew.

    Parameters
    ----------
    iteration : int
        As recorded.
    recorded_index, index : int
        Row of the cloud that was chosen: then, and now.
    recorded_by, chosen_by : str
        Who chose: then, and now. A person's choice is not to be expected from a rule.
    same_cloud : bool or None
        Whether the clouds of options agree bit for bit; ``None`` when that was not asked.
    recorded_sample, sample : tuple of float
        Sampled objectives of what was chosen then, in the recorded cloud, and of what is chosen
        now, in the new one; empty when the clouds were not compared.
    crossed_sample : tuple of float
        Sampled objectives of what is chosen now, in the recorded cloud.
    """

    iteration: int
    recorded_index: int
    index: int
    recorded_by: str
    chosen_by: str
    same_cloud: bool | None = None
    recorded_sample: tuple[float, ...] = ()
    sample: tuple[float, ...] = ()
    crossed_sample: tuple[float, ...] = ()

    @property
    def same(self) -> bool:
        """Whether the same option was chosen, from the same cloud where that was asked."""
        return self.index == self.recorded_index and self.same_cloud is not False


def emit(
    record: RunRecord,
    callback: Callable[[str, Document], Any],
    *,
    speed: float | None = None,
    stop: threading.Event | None = None,
) -> None:
    """Hand a run's documents to a callback, in the order in which they were emitted.

    Parameters
    ----------
    record : RunRecord
        The run.
    callback : callable
        Takes ``(name, doc)``; every document is a copy of its own.
    speed : float, optional
        1 for the pace of the run itself, 10 for ten times as fast; as fast as
        possible when left out.
    stop : threading.Event, optional
        Set it, from another thread or from the callback, to end before the run does.

    Raises
    ------
    ValueError
        When ``speed`` is not positive.
    """
    if speed is not None and not speed > 0:
        raise ValueError(f"speed = {speed}: must be positive, 1 is the run's own pace")
    stop = stop or threading.Event()
    begun = time.monotonic()
    for name, doc in record.documents:
        # Documents of streams bear no time: they go with the event that follows.
        if speed is not None and isinstance(doc.get("time"), int | float):
            due = begun + (doc["time"] - record.start["time"]) / speed
            stop.wait(max(0.0, due - time.monotonic()))
        if stop.is_set():
            return
        callback(name, copy.deepcopy(doc))


def rerun_decisions(
    record: RunRecord,
    make_strategy: Callable[[Document], Strategy],
    choose: Callable[[Options], Choice],
    *,
    compare_clouds: bool = False,
) -> list[DecisionComparison]:
    """Make every decision of a run anew, each from the observations recorded before it.

    A decision is a function of the observations, the seed and the iteration, so that an
    unchanged program gives the recorded decisions again. Whatever is chosen anew, the strategy
    learns what was recorded: one deviation does not bring about the next.

    Parameters
    ----------
    record : RunRecord
        The run.
    make_strategy : callable
        From the start document (configuration, seed) to a strategy that has learnt nothing
        of this run yet.
    choose : callable
        From options to a choice.
    compare_clouds : bool
        Whether to compare the clouds too, bit for bit.

    Returns
    -------
    list of DecisionComparison
        One per recorded decision.

    Raises
    ------
    CatalogError
        When the run's documents lack what an optimisation records.
    """
    keys = record.keys
    strategy = make_strategy(copy.deepcopy(record.start))
    has_decisions = keys.decision_stream in record.streams
    clouds = iter(record.clouds) if compare_clouds and has_decisions else None
    comparisons = []
    for stream, event in record.all_events:
        if stream == keys.image_stream:
            strategy.ingest(*record.observation(event))
        elif stream == keys.decision_stream:
            options = strategy.suggest()
            choice = choose(options)
            data = event["data"]
            comparison = DecisionComparison(
                iteration=int(data[keys.decision_iteration]),
                recorded_index=int(data[keys.decision_index]),
                index=choice.index,
                recorded_by=str(data[keys.decision_chosen_by]),
                chosen_by=choice.chosen_by,
            )
            if clouds is not None:
                comparison = _with_clouds(comparison, next(clouds), options.values)
            comparisons.append(comparison)
    return comparisons


@dataclass(frozen=True)
class RunComparison:
    """A run beside the one that it was replayed from.

    Parameters
    ----------
    images, same_images : int
        Regions that both have imaged, and how many of these have the same images, bit for bit.
    same_objectives : int
        How many have the same objectives, bit for bit.
    decisions, same_decisions : int
        Decisions that both have made, and how many chose the same option.
    """

    images: int
    same_images: int
    same_objectives: int
    decisions: int
    same_decisions: int

    @property
    def same(self) -> bool:
        """Whether nothing differs."""
        return self.images == self.same_images == self.same_objectives and (
            self.decisions == self.same_decisions
        )


def compare_runs(record: RunRecord, replayed: RunRecord) -> RunComparison:
    """Compare a run with the one that it was replayed from, in the order of the images.

    Raises
    ------
    CatalogError
        When images cannot be read.
    """
    keys = record.keys
    stream = keys.image_stream
    then, now = (r.observations for r in (record, replayed))
    images = min(len(then), len(now))
    same_images = np.ones(images, dtype=bool)
    for key in [key for key, of in record.array_keys.items() if of == stream] if images else []:
        pairs = zip(record.arrays(key), replayed.arrays(key), strict=False)
        same_images &= [np.array_equal(a, b) for a, b in pairs]
    decided = [
        [event["data"][keys.decision_index] for event in r.events(keys.decision_stream)]
        if keys.decision_stream in r.streams
        else []
        for r in (record, replayed)
    ]
    return RunComparison(
        images=images,
        same_images=int(same_images.sum()),
        same_objectives=sum(
            _equal(np.array(list(a.values())), np.array(list(b.values())))
            for (_, a), (_, b) in zip(then, now, strict=False)
        ),
        decisions=min(map(len, decided)),
        same_decisions=sum(a == b for a, b in zip(*decided, strict=False)),
    )


def _with_clouds(
    comparison: DecisionComparison,
    recorded: npt.NDArray[np.float64],
    now: npt.NDArray[np.float64],
) -> DecisionComparison:
    def sample(cloud: npt.NDArray[np.float64], index: int) -> tuple[float, ...]:
        # A record that was tampered with may name an option that there is not.
        return tuple(map(float, cloud[index])) if 0 <= index < len(cloud) else ()

    return dataclasses.replace(
        comparison,
        same_cloud=_equal(recorded, now),
        recorded_sample=sample(recorded, comparison.recorded_index),
        sample=sample(now, comparison.index),
        crossed_sample=sample(recorded, comparison.index),
    )


def _equal(recorded: npt.NDArray[np.float64], now: npt.NDArray[np.float64]) -> bool:
    """Whether two arrays agree bit for bit (so that NaN equals NaN, and -0 differs from 0)."""
    now = np.ascontiguousarray(now, dtype=np.float64)
    return recorded.shape == now.shape and recorded.tobytes() == now.tobytes()
