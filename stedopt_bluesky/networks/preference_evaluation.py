"""How well a preference network chooses as somebody did.

The paper's measures: the Euclidean distance in objective space between the option that the network
chooses and the one that was chosen, and how often they are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stedopt_bluesky.networks.clouds import Clouds, on_offer
from stedopt_bluesky.networks.datasets import DatasetError
from stedopt_bluesky.networks.preference import PreferenceScorer
from stedopt_bluesky.networks.weights import ObjectiveScale

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Evaluation:
    """How near a network's choices are to somebody's.

    Parameters
    ----------
    clouds : int
        On which it was evaluated.
    top1 : float
        Share of them, from 0 to 1, where the same option was chosen, or one that is equal in
        all objectives.
    median_distance, mean_distance : float
        Euclidean distance in objective space. Objectives without unit count as they are, as in
        the published figures (quality and photobleaching, 0 to 1); those with a unit, as
        seconds, in standard deviations of the training's clouds.
    """

    clouds: int
    top1: float
    median_distance: float
    mean_distance: float


def evaluate_preference(scorer: PreferenceScorer, clouds: Clouds) -> Evaluation:
    """Compare a network's choices with those of somebody.

    Parameters
    ----------
    scorer : PreferenceScorer
        The network.
    clouds : Clouds
        What it chooses from; columns in any order, further ones are ignored.

    Raises
    ------
    DatasetError
        When an objective of the network is not there, or in another unit.
    """
    columns = columns_of(scorer.objectives, clouds)
    widths = [1.0 if o.unit == "" else o.scale for o in scorer.objectives]
    return evaluate_choices(
        lambda cloud: scorer.scores(cloud[:, columns]), clouds, columns, np.array(widths)
    )


def evaluate_choices(
    score: Callable[[FloatArray], FloatArray],
    clouds: Clouds,
    columns: Sequence[int],
    widths: FloatArray,
) -> Evaluation:
    """Compare the choices of any score, not only a network's, with those of somebody.

    Parameters
    ----------
    score : callable
        Takes a cloud, (G, all columns), and gives a score of each option, shape (G,); the
        highest is chosen, the first of equals.
    clouds : Clouds
        What is chosen from.
    columns : sequence of int, shape (M,)
        Objectives between which the distance is taken.
    widths : ndarray, shape (M,)
        By which each is divided.
    """
    distances = np.empty(len(clouds))
    for number, (cloud, row) in enumerate(zip(clouds.values, clouds.chosen, strict=True)):
        scores = np.where(on_offer(cloud), score(cloud), -np.inf)
        picked = cloud[int(np.argmax(scores)), columns]
        distances[number] = np.linalg.norm((picked - cloud[row, columns]) / widths)
    return Evaluation(
        len(clouds),
        float((distances == 0).mean()),
        float(np.median(distances)),
        float(distances.mean()),
    )


def columns_of(objectives: Sequence[ObjectiveScale], clouds: Clouds) -> list[int]:
    """Columns of clouds that a network sees, in its order.

    Raises
    ------
    DatasetError
        When one is not there, or in another unit.
    """
    columns = []
    for wanted in objectives:
        if wanted.name not in clouds.objectives:
            raise DatasetError(
                f"the clouds have no objective {wanted.name!r} that the network chooses by; they "
                f"have {', '.join(clouds.objectives)}"
            )
        column = clouds.objectives.index(wanted.name)
        if clouds.units[column] != wanted.unit:
            raise DatasetError(
                f"the network was trained with {wanted.name} in {wanted.unit or 'no unit'!r}, "
                f"the clouds have it in {clouds.units[column] or 'no unit'!r}"
            )
        columns.append(column)
    return columns
