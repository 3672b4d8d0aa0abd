"""Which stored runs are compared, and what they are told apart by."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from stedopt_bluesky.acquisition import Objective
from stedopt_bluesky.config import ConfigError, ExperimentConfig
from stedopt_bluesky.config.errors import allowed_text
from stedopt_bluesky.experiments.comparison import DEFAULT_THRESHOLDS, ComparedRun
from stedopt_bluesky.records.folder import CatalogError, CatalogFolder
from stedopt_bluesky.records.replay import REPLAYS
from stedopt_bluesky.records.resume import RunChain, read_chain
from stedopt_bluesky.records.runs import list_runs
from stedopt_bluesky.session.decisions import objectives_of
from stedopt_bluesky.session.stored import config_of

# What the program's plan is called in start documents: other runs have no objectives.
_PLANS = ("optimize_sted", "optimize_uncaging")

GROUPINGS: Mapping[str, Callable[[RunChain, ExperimentConfig], str]] = {
    "strategy": lambda _, config: config.bandit.strategy,
    "preset": lambda _, config: config.preset or "-",
    "sample": lambda chain, _: str(chain.last.start.get("sample") or "-"),
    "uid": lambda chain, _: chain.last.uid[:8],
}


@dataclass(frozen=True)
class Selection:
    """Which runs of a catalogue.

    Parameters
    ----------
    uids : tuple of str
        Their uids, or first characters; empty: all that the filters let pass.
    preset, sample, strategy : str or None
        Only runs of this one.
    images : int or None
        Only their first so many images, and no run that has fewer.
    """

    uids: tuple[str, ...] = ()
    preset: str | None = None
    sample: str | None = None
    strategy: str | None = None
    images: int | None = None


def select_runs(
    folder: CatalogFolder,
    selection: Selection,
    group_by: str,
    left_out: Callable[[str], None],
) -> tuple[list[ComparedRun], tuple[Objective, ...]]:
    """Read the selected runs and the objectives that all of them have.

    A run that was resumed is put together with those that it goes on with, and is not
    listed by itself.

    Parameters
    ----------
    folder : CatalogFolder
        Where they are stored.
    selection : Selection
        Which ones.
    group_by : str
        A name in `GROUPINGS`.
    left_out : callable
        Told, in a line, of a run that was not named and cannot be used.

    Returns
    -------
    runs : list of ComparedRun
        In the order given, or the oldest first.
    objectives : tuple of Objective
        Those of the runs' columns.

    Raises
    ------
    ConfigError, CatalogError
        When a run is missing or not one of this program's, none is left, or they have no
        objective in common.
    """
    if group_by not in GROUPINGS:
        raise ConfigError(f"group-by = {group_by!r}: {allowed_text(group_by, GROUPINGS)}")
    if selection.images is not None and selection.images < 1:
        raise ConfigError(f"images = {selection.images}: at least 1")
    chosen = []
    for chain in _chains(folder, selection, left_out):
        config = config_of(chain.last)
        if selection.strategy in (None, config.bandit.strategy):
            images = len(chain.history)
            if images < (selection.images or 1):
                left_out(f"run {chain.last.uid[:8]} has {images} images")
            else:
                chosen.append((chain, config))
    if not chosen:
        raise ConfigError(f"no run of {folder.path} is left to compare")
    objectives = _common_objectives([config for _, config in chosen])
    runs = [
        ComparedRun(
            chain.last.uid,
            GROUPINGS[group_by](chain, config),
            np.array([[v[o.name] for o in objectives] for _, v in chain.history])[
                : selection.images
            ],
        )
        for chain, config in chosen
    ]
    return runs, objectives


def thresholds_for(objectives: Sequence[Objective], given: Mapping[str, float]) -> dict[str, float]:
    """Find what a failure is: the thresholds given, else the paper's.

    Raises
    ------
    ConfigError
        When a threshold is of an objective that the runs do not have, or none is given
        and the paper has none for theirs.
    """
    names = [o.name for o in objectives]
    for name in given:
        if name not in names:
            raise ConfigError(
                f"threshold = {name}: not an objective of all runs; {allowed_text(name, names)}"
            )
    if given:
        return dict(given)
    found = {name: DEFAULT_THRESHOLDS[name] for name in names if name in DEFAULT_THRESHOLDS}
    if not found:
        raise ConfigError(f"threshold: give one of {', '.join(names)}, as NAME=VALUE")
    return found


def _chains(
    folder: CatalogFolder, selection: Selection, left_out: Callable[[str], None]
) -> list[RunChain]:
    if selection.uids:
        chains = [read_chain(folder, uid) for uid in selection.uids]
    else:
        chains = []
        for summary in reversed(list_runs(folder)):
            if summary.plan_name not in (*_PLANS, None):
                continue
            try:
                chain = read_chain(folder, summary.uid)
                config_of(chain.last)
                if REPLAYS in chain.last.start:
                    raise ConfigError(f"run {summary.uid[:8]} has another run's images")
            except (CatalogError, ConfigError) as error:
                left_out(str(error))
            else:
                chains.append(chain)
    last = {chain.last.uid: chain for chain in chains}  # a run named twice is one
    earlier = {record.uid for chain in chains for record in chain.records[:-1]}
    wanted = {"preset": selection.preset, "sample": selection.sample}
    return [
        chain
        for uid, chain in last.items()
        if uid not in earlier
        and all(v is None or chain.last.start.get(k) == v for k, v in wanted.items())
    ]


def _common_objectives(configs: Sequence[ExperimentConfig]) -> tuple[Objective, ...]:
    """Objectives that all runs have, in the order of the first run."""
    common = [
        o
        for o in objectives_of(configs[0])
        if all(o.name in {entry.name for entry in config.objectives} for config in configs)
    ]
    if not common:
        raise ConfigError("the runs have no objective in common")
    return tuple(common)
