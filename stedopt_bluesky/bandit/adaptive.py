"""Strategies as optimizers of bluesky-adaptive: the same engine in somebody else's plans.

bluesky-adaptive 1.0 asks for structural protocols (``bluesky_adaptive.protocols``):
`AdaptiveOptimizer` satisfies ``Optimizer``, ``CanRegisterSuggestions``,
``TrialFaultAware``, ``SupportsStoppingCriteria`` and ``Checkpointable`` without importing
them. It runs in ``bluesky_adaptive.plans.optimize``; the test of this module does so.
"""

from __future__ import annotations

import dataclasses
import inspect
import os
from collections.abc import Callable, Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from stedopt_bluesky.acquisition import Choice, Objective, Options
from stedopt_bluesky.bandit.checkpoint import Image, State, read_checkpoint, write_checkpoint
from stedopt_bluesky.bandit.pareto import non_dominated
from stedopt_bluesky.bandit.strategy import Strategy, checked_values
from stedopt_bluesky.parameters import ParameterSpace

ID_KEY = "_id"  # as bluesky_adaptive.protocols.ID_KEY

Point = Mapping[str, Any]
Choose = Callable[[Options], Choice]


class GridStrategy(Strategy, Protocol):
    """A strategy that says what it works on, as all of this room do."""

    @property
    def space(self) -> ParameterSpace:
        """Grid of configurations."""
        ...

    @property
    def objectives(self) -> tuple[Objective, ...]:
        """In the order of the options' columns."""
        ...

    @property
    def iteration(self) -> int:
        """Number of images ingested."""
        ...


class AdaptiveOptimizer:
    """A strategy, and who chooses from its clouds, as an optimizer of bluesky-adaptive.

    Suggestions are numbered from 0; that is their ``"_id"``. They are *pending* until their
    outcomes are ingested or they are registered as failures. A suggestion made while k
    others are pending takes the strategy's k-th further draw at the same iteration:
    Thompson sampling in parallel, where each image of a batch has a posterior sample of its
    own (Kandasamy et al., AISTATS 2018). With one image at a time the decisions are those
    that the strategy takes in this package's own plan, bit for bit.

    Parameters
    ----------
    strategy : GridStrategy
        Fresh: nothing ingested yet. For batches its ``suggest`` must take ``draw``.
    choose : callable
        Takes the `Options`, gives the `Choice`. Their iteration is the number of the image
        that is chosen for, and pending configurations count as imaged.
    images : int, optional
        Budget: `should_stop` says so once as many images were ingested or failed.
    checkpoint_path : path, optional
        File that `checkpoint` writes.

    Raises
    ------
    ValueError
        When the strategy has ingested images already, the budget is below 1, or parameters
        and objectives share a name or use ``"_id"``.
    """

    def __init__(
        self,
        strategy: GridStrategy,
        choose: Choose,
        *,
        images: int | None = None,
        checkpoint_path: str | os.PathLike[str] | None = None,
    ) -> None:
        if strategy.iteration:
            raise ValueError(
                f"a fresh strategy is needed, this one has ingested {strategy.iteration} images"
            )
        if images is not None and images < 1:
            raise ValueError(f"images must be at least 1, got {images}")
        self._objectives = tuple(
            # All of them are recorded, those too that the strategy knows by itself.
            dataclasses.replace(objective, modelled=True)
            for objective in strategy.objectives
        )
        self._outcomes = tuple(objective.name for objective in self._objectives)
        names = [ID_KEY, *strategy.space.names, *self._outcomes]
        if len(set(names)) < len(names):
            raise ValueError(f"'_id', parameters and objectives need different names, got {names}")
        self._strategy = strategy
        self._choose = choose
        self._takes_draw = "draw" in inspect.signature(strategy.suggest).parameters
        self._images = images
        self._checkpoint_path = None if checkpoint_path is None else Path(checkpoint_path)
        self._state = State()

    @property
    def strategy(self) -> GridStrategy:
        """The strategy that draws the clouds of options."""
        return self._strategy

    def suggest(self, num_points: int | None = None) -> list[dict[str, Any]]:
        """Suggest configurations to image next.

        Parameters
        ----------
        num_points : int, optional
            Size of the batch, 1 when left out.

        Returns
        -------
        list of dict
            ``"_id"`` and the value of each parameter by its name, in its unit.

        Raises
        ------
        ValueError
            When the batch is smaller than 1, or larger for a strategy without further draws.
        """
        count = 1 if num_points is None else num_points
        if count < 1:
            raise ValueError(f"num_points must be at least 1, got {num_points}")
        if count > 1 and not self._takes_draw:
            raise ValueError(
                f"num_points must be 1: {type(self._strategy).__name__} draws one cloud of "
                f"options per image, got {num_points}"
            )
        return [self._suggest_one() for _ in range(count)]

    def register_suggestions(self, suggestions: Sequence[Point]) -> list[dict[str, Any]]:
        """Take over configurations that somebody else suggests; they get an ``"_id"`` each.

        Raises
        ------
        ValueError
            When one is not on the grid; then none was registered.
        """
        rows = [
            self._strategy.space.index({k: v for k, v in suggestion.items() if k != ID_KEY})
            for suggestion in suggestions
        ]
        return [self._issue(row) for row in rows]

    def ingest(self, points: Sequence[Point]) -> None:
        """Learn the outcomes of images.

        Parameters
        ----------
        points : sequence of mapping
            Objectives by name, each in its unit; one that is missing, None or NaN is
            invalid and not learned from, but the image counts. A pending suggestion is
            known by its ``"_id"``; any other point carries the value of every parameter.

        Raises
        ------
        ValueError
            When a name is unknown, a value is infinite, a configuration is not on the grid
            or not the one suggested, or a suggestion was settled before. Then no point was
            ingested.
        """
        images = [self._read(point) for point in points]
        settled = [image.id for image in images if image.id in self._state.pending]
        if len(set(settled)) < len(settled):
            raise ValueError(f"each suggestion has one outcome, got those of {settled}")
        for image in images:
            self._learn(image)

    def register_failures(self, suggestions: Sequence[Point]) -> None:
        """Discard pending suggestions: their images count, and nothing is learned from them.

        Raises
        ------
        ValueError
            When one has no ``"_id"`` of a pending suggestion; then none was discarded.
        """
        pending = self._state.pending
        identifiers = [suggestion.get(ID_KEY) for suggestion in suggestions]
        if not set(identifiers) <= set(pending) or len(set(identifiers)) < len(identifiers):
            raise ValueError(f"_id {identifiers}: pending, each once, are {list(pending)}")
        nothing = (None,) * len(self._outcomes)
        for row, identifier in [(pending[i], i) for i in identifiers if i is not None]:
            self._learn(Image(identifier, row, nothing))

    def get_best_points(self) -> list[tuple[Hashable, dict[str, float], dict[str, float]]]:
        """Configurations whose mean outcomes no other imaged configuration dominates.

        Returns
        -------
        list of (identifier, parameters, outcomes)
            In the order of their first image; the identifier is that of their last one, and
            the outcomes are the means of their valid values. A configuration that lacks a
            valid value of an objective is not among them; an objective without a valid
            value anywhere is left out. With one objective, the best point alone.
        """
        images: dict[int, list[Image]] = {}
        for image in self._state.history:
            images.setdefault(image.index, []).append(image)
        rows = list(images)
        means = [_means(of_one) for of_one in images.values()]
        table = np.reshape(means, (len(rows), len(self._outcomes)))
        measured = np.flatnonzero(~np.isnan(table).all(axis=0))
        if not (rows and measured.size):
            return []
        directions = [self._objectives[column].direction for column in measured]
        best = np.flatnonzero(non_dominated(table[:, measured], directions))
        if len(self._objectives) == 1:
            best = best[:1]
        return [
            (
                images[rows[i]][-1].id,
                self._strategy.space.configuration(rows[i]),
                {self._outcomes[column]: float(table[i, column]) for column in measured},
            )
            for i in best
        ]

    def should_stop(self) -> tuple[bool, str | None]:
        """Whether the budget of images is spent, and if so a sentence that says it."""
        taken = self._strategy.iteration
        if self._images is None or taken < self._images:
            return False, None
        return True, f"{taken} of {self._images} images were taken"

    def checkpoint(self) -> None:
        """Write the history and the pending suggestions as JSON, whole or not at all.

        Raises
        ------
        ValueError
            When no path was given.
        """
        if self._checkpoint_path is None:
            raise ValueError("checkpoint needs a checkpoint_path, given to AdaptiveOptimizer")
        write_checkpoint(self._checkpoint_path, self._state, _signature(self._strategy))

    @classmethod
    def from_checkpoint(
        cls,
        checkpoint_path: str | os.PathLike[str],
        strategy: GridStrategy,
        choose: Choose,
        *,
        images: int | None = None,
    ) -> AdaptiveOptimizer:
        """Go on from a checkpoint, with the decisions that would have followed it.

        Parameters
        ----------
        checkpoint_path : path
            File of `checkpoint`, which it goes on writing.
        strategy : GridStrategy
            Fresh, made with the same settings as the one before: it ingests the history.
        choose, images
            As at construction.

        Raises
        ------
        FileNotFoundError
            When there is no such file.
        ValueError
            When it is no checkpoint, or one of another strategy, seed, grid or objectives.
        """
        optimizer = cls(strategy, choose, images=images, checkpoint_path=checkpoint_path)
        state = read_checkpoint(Path(checkpoint_path), _signature(strategy))
        for image in state.history:
            optimizer._learn(image)
        optimizer._state = state
        return optimizer

    def _suggest_one(self) -> dict[str, Any]:
        pending = len(self._state.pending)
        if self._takes_draw:
            options: Options = self._strategy.suggest(draw=pending)  # type: ignore[call-arg]
        else:
            options = self._strategy.suggest()
        # Who chooses at random does so by the iteration: each image needs its own.
        options = dataclasses.replace(
            options,
            iteration=options.iteration + pending,
            imaged=tuple(dict.fromkeys((*options.imaged, *self._state.pending.values()))),
        )
        return self._issue(self._choose(options).index)

    def _issue(self, row: int) -> dict[str, Any]:
        """Make a row of the grid a pending suggestion."""
        suggestion = {ID_KEY: self._state.issued, **self._strategy.space.configuration(row)}
        self._state.pending[self._state.issued] = row
        self._state.issued += 1
        return suggestion

    def _read(self, point: Point) -> Image:
        """Check one point of `ingest`."""
        space = self._strategy.space
        if unknown := set(point) - {ID_KEY, *space.names, *self._outcomes}:
            raise ValueError(
                f"unknown {sorted(unknown)}: a point has '_id', the parameters {space.names} "
                f"and the objectives {self._outcomes}"
            )
        identifier = point.get(ID_KEY)
        configuration = {name: point[name] for name in space.names if name in point}
        if (row := self._state.pending.get(identifier)) is not None:  # type: ignore[arg-type]
            if space.index(space.configuration(row) | configuration) != row:
                raise ValueError(f"_id {identifier}: {configuration} was not what it suggested")
        elif isinstance(identifier, int) and 0 <= identifier < self._state.issued:
            raise ValueError(f"_id {identifier}: its outcome was ingested, or it failed, before")
        else:
            row = space.index(configuration)
        outcomes = {name: point.get(name) for name in self._outcomes}
        return Image(identifier, row, checked_values(outcomes, self._objectives))

    def _learn(self, image: Image) -> None:
        self._strategy.ingest(image.index, dict(zip(self._outcomes, image.values, strict=True)))
        self._state.pending.pop(image.id, None)  # type: ignore[call-overload]
        self._state.history.append(image)


def _means(images: Sequence[Image]) -> list[float]:
    """Mean of each objective's valid values, NaN without any."""
    columns = zip(*(image.values for image in images), strict=True)
    valid = ([value for value in column if value is not None] for column in columns)
    return [float(np.mean(values)) if values else np.nan for values in valid]


def _signature(strategy: GridStrategy) -> dict[str, Any]:
    """What a checkpoint and the strategy that goes on from it must share, as JSON has it."""
    return {
        "strategy": type(strategy).__name__,
        "seed": getattr(strategy, "seed", None),
        "parameters": [[p.name, p.unit, list(p.values)] for p in strategy.space],
        "objectives": [objective.name for objective in strategy.objectives],
    }
