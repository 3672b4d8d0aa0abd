"""Choose by a preference network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from stedopt_bluesky.acquisition import Choice, Objective, Options
from stedopt_bluesky.preference.ties import one_of_equals

if TYPE_CHECKING:
    from stedopt_bluesky.networks.preference import PreferenceScorer


@dataclass(frozen=True)
class NetworkChoice:
    """Choose the option that a preference network scores highest.

    Of the cloud it looks at the objectives that it was trained with, by name. Options of
    equal score: the one with the least time, then at random.

    Parameters
    ----------
    scorer : PreferenceScorer
        The network.
    objectives : tuple of Objective
        In the order of the cloud's columns.
    seed : int
        Of the draw among equals; the draw depends on nothing but it and the iteration.

    Raises
    ------
    ValueError
        When an objective of the network is not among these, or has another unit.
    """

    scorer: PreferenceScorer
    objectives: tuple[Objective, ...]
    seed: int

    def __post_init__(self) -> None:
        network = f"preference network {self.scorer.weights.info.name!r}"
        units = {objective.name: objective.unit for objective in self.objectives}
        for known in self.scorer.objectives:
            if known.name not in units:
                raise ValueError(f"{network}: needs {known.name}; there are {', '.join(units)}")
            if known.unit != units[known.name]:
                raise ValueError(
                    f"{network}: {known.name} in {units[known.name]!r}: it was trained with "
                    f"{known.unit!r}"
                )

    @property
    def _columns(self) -> list[int]:
        """Columns of the cloud, in the order of the network's inputs."""
        names = [objective.name for objective in self.objectives]
        return [names.index(known.name) for known in self.scorer.objectives]

    def __call__(self, options: Options) -> Choice:
        """Choose one of the options on offer; one that the network cannot score never is.

        Raises
        ------
        ValueError
            When no option has a score.
        """
        scores = self.scorer.scores(options.values[:, self._columns])
        if np.isnan(scores).all():
            raise ValueError(
                f"none of the {len(scores)} options can be chosen: each has an objective of the "
                "preference network that is not a number"
            )
        best = np.flatnonzero(scores == np.nanmax(scores))
        index = one_of_equals(best, options, self.objectives, self.seed)
        return Choice(index, "preference_network")
