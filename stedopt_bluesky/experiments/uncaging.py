"""The uncaging experiment: Kernel TS against random sampling, on several coverslips of the twin.

As in Fig. 4 of Durand et al. (Nat. Commun. 9:5247, 2018): each run uncages at spines of a few
cells, each with its own excitability; a response is local when a part of the cell answers, below
0.6 of it. What is compared is the share of local responses among the first and the last images.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from stedopt_bluesky.config import ExperimentConfig, preset
from stedopt_bluesky.experiments.building import run_quietly
from stedopt_bluesky.objectives.calcium import LOCAL_BELOW

FloatArray = npt.NDArray[np.float64]

PRESET = "uncaging"
STRATEGIES = ("kernel_ts", "random")
OUTCOMES = ("silent", "local", "widespread")
# First and last images that are compared, in the paper.
COUNT = 20
# Coverslips of one experiment have seeds of their own, apart from those of another one's.
SEEDS_APART = 1000

# (name of a strategy, number of a run)
Job = tuple[str, int]


@dataclass(frozen=True)
class UncagingExperiment:
    """What all runs have in common.

    Parameters
    ----------
    images : int
        Spines of a run, T.
    cells : int
        Cells on each coverslip.
    runs : int
        Runs of each strategy; run k of every strategy is on the same coverslip k.
    seed : int
        Of everything.
    """

    images: int = 80
    cells: int = 3
    runs: int = 8
    seed: int = 0

    def config(self, strategy: str, number: int) -> ExperimentConfig:
        """Return the configuration of one run.

        Raises
        ------
        ConfigError
            When the numbers do not go together.
        """
        return preset(PRESET).updated(
            {
                "images": self.images,
                "uncaging.cells": self.cells,
                "seed": self.seed * SEEDS_APART + number,
                "bandit.strategy": strategy,
            }
        )


@dataclass(frozen=True, eq=False)
class UncagingRun:
    """What became of one run.

    Parameters
    ----------
    power_uW, distance_um : ndarray, shape (T,)
        What each pulse was given with.
    ratio, df_over_f : ndarray, shape (T,)
        The response; NaN where the frames gave no valid value.
    """

    power_uW: FloatArray
    distance_um: FloatArray
    ratio: FloatArray
    df_over_f: FloatArray

    def is_outcome(self, outcome: str, below: float = LOCAL_BELOW) -> npt.NDArray[np.bool_]:
        """Whether each response is of a kind, shape (T,); an invalid one is of none."""
        ratio = self.ratio
        return {
            "silent": ratio == 0,
            "local": (ratio > 0) & (ratio < below),
            "widespread": ratio >= below,
        }[outcome]


def run_once(
    experiment: UncagingExperiment, job: Job, advance: Callable[[int], None]
) -> UncagingRun:
    """Uncage at all spines of one coverslip, by the plan of every other run.

    The run's documents and frames, 3 MB a spine, go to a temporary folder and are gone
    afterwards.

    Parameters
    ----------
    experiment : UncagingExperiment
        What all runs have in common.
    job : tuple of str and int
        Name of the strategy, and number of the run, from 0.
    advance : callable
        Told the number of images that have just been taken: 1.

    Raises
    ------
    ConfigError
        When the configuration cannot be used.
    """
    from bluesky import RunEngine

    from stedopt_bluesky.records.journal import journal_paths
    from stedopt_bluesky.records.run_record import RunRecord
    from stedopt_bluesky.session import connect_application, open_session

    def observe(_: str, doc: Mapping[str, Any]) -> None:
        if "image_configuration_index" in doc["data"]:
            advance(1)

    config = experiment.config(*job)
    with tempfile.TemporaryDirectory(prefix="stedopt-") as directory:
        engine, catalog = RunEngine({}), Path(directory) / "catalog"
        engine.subscribe(observe, "event")
        with open_session(
            config, connect_application(config), catalog, run_engine=engine
        ) as session:
            run_quietly(engine, session.optimize())
            (journal,) = journal_paths(session.folder)
            observations = RunRecord.read(journal).observations
    configurations = [config.space.configuration(index) for index, _ in observations]
    return UncagingRun(
        power_uW=np.array([c["uncaging_power_uW"] for c in configurations]),
        distance_um=np.array([c["uncaging_distance_um"] for c in configurations]),
        ratio=np.array([values["response_size_ratio"] for _, values in observations]),
        df_over_f=np.array([values["df_over_f_peak"] for _, values in observations]),
    )
