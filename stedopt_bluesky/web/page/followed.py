"""A run as the page shows it, from its documents alone, whether under way or past."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from stedopt_bluesky.acquisition import Objective
from stedopt_bluesky.config import ConfigError, ExperimentConfig
from stedopt_bluesky.preference.rule import utilities
from stedopt_bluesky.records.folder import CatalogError, CatalogFolder
from stedopt_bluesky.records.journal import Document
from stedopt_bluesky.records.resume import RESUMES, read_chain
from stedopt_bluesky.records.run_record import DocumentKeys, RunRecord
from stedopt_bluesky.reports.live_run import LiveRun, plain_text
from stedopt_bluesky.session import config_of, make_strategy, objectives_of, prior_of, weights_of
from stedopt_bluesky.web.page.run_images import Images, ImagesOf, recorded_images

if TYPE_CHECKING:
    from stedopt_bluesky.bandit.strategy import Strategy
    from stedopt_bluesky.reports.run_figures import Posterior

FloatArray = npt.NDArray[np.float64]
_KEYS = DocumentKeys()


@dataclass(frozen=True)
class Experiment:
    """What a run's start document says that it was made from.

    Parameters
    ----------
    config : ExperimentConfig
        The stored configuration.
    objectives : tuple of Objective
        In its order.
    weights : mapping of objective's name to weight
        Of the utility.
    """

    config: ExperimentConfig
    objectives: tuple[Objective, ...]
    weights: Mapping[str, float]

    @classmethod
    def of(cls, start: Document) -> Experiment:
        """Understand a start document.

        Raises
        ------
        ConfigError
            When it holds no configuration that this version understands.
        """
        config = config_of(_record(start))
        return cls(config, objectives_of(config), weights_of(config))

    def values(self, run: LiveRun) -> FloatArray:
        """Objectives of all images in order, shape (N, M), each in its unit; NaN where invalid."""
        columns = [run.objective_column(objective.name) for objective in self.objectives]
        return np.column_stack(columns) if columns else np.empty((len(run.numbers()), 0))

    def utility(self, run: LiveRun) -> FloatArray:
        """Utility of all images in order, shape (N,), by the run's own rule; NaN where invalid."""
        values = self.values(run)
        if self.config.choice.rule == "local":
            from stedopt_bluesky.preference.local import image_utilities  # SciPy is slow

            return image_utilities(values, self.objectives)
        return utilities(values, self.objectives, self.weights)

    def size_um(self, run: LiveRun, number: int) -> float:
        """Side of an image's region, µm."""
        told = run.value(number, "region_size_um")
        return told if np.isfinite(told) else self.config.imaging.region_size_um


@dataclass
class _Shadow:
    """A strategy that learns from the documents what the run's own one learnt, beside it."""

    serial: int
    strategy: Strategy
    fed: list[int] = field(default_factory=list)
    posterior: Posterior | None = None


class Followed:
    """A run as the page shows it; a callback of its documents, in whatever thread they come.

    Parameters
    ----------
    images_of : callable, optional
        Gives the pictures of an image by its number; left out, there are none.
    folder : CatalogFolder, optional
        Where the runs are that this one may go on with.
    """

    def __init__(
        self, images_of: ImagesOf | None = None, folder: CatalogFolder | None = None
    ) -> None:
        self._images_of = images_of
        self._folder = folder
        self._lock = threading.Lock()  # of what is known; held for a moment only
        self._run = LiveRun()
        self._understanding = threading.Lock()  # of its start document
        self._reckoning = threading.Lock()  # of the models, which takes its time
        self._experiment: tuple[int, Experiment | ConfigError] | None = None
        self._shadow: _Shadow | None = None

    @classmethod
    def of_record(cls, record: RunRecord, folder: CatalogFolder) -> Followed:
        """Make one of a stored run.

        Parameters
        ----------
        record : RunRecord
            The run.
        folder : CatalogFolder
            Where it is.
        """
        followed = cls(partial(recorded_images, record), folder)
        for name, doc in record.documents:
            followed(name, doc)
        return followed

    def __call__(self, name: str, doc: Document) -> None:
        """Observe one document; the plan waits for nothing else."""
        with self._lock:
            self._run.take(name, doc)

    @property
    def run(self) -> LiveRun:
        """What is known of the run, as a copy."""
        with self._lock:
            return self._run.copied()

    @property
    def start(self) -> Document:
        """The start document; empty while it has not come."""
        return self.run.start

    @property
    def experiment(self) -> Experiment | None:
        """What the run was made from; None while that has not come.

        Raises
        ------
        ConfigError
            When the start document holds no configuration that this version understands.
        """
        run = self.run
        if not run.start:
            return None
        return self._understood(run)

    def posterior(self) -> Posterior | None:
        """Reckon what the models expect after the images that have come, in the caller's thread.

        Returns
        -------
        Posterior or None
            None where the strategy has no models, or the start document has not come.

        Raises
        ------
        ConfigError, CatalogError
            When the configuration is not understood, a run that this one goes on with is not
            there, or an Event tells no observation.
        """
        run = self.run
        if not run.start:
            return None
        experiment = self._understood(run)
        with self._reckoning:
            if self._shadow is None or not _goes_on(self._shadow, run):
                strategy = make_strategy(
                    experiment.config, self._earlier(run.start), prior_of(_record(run.start))
                )
                self._shadow = _Shadow(run.serial, strategy)
            return _taught(self._shadow, run, experiment)

    def images(self, number: int) -> Images | None:
        """Pictures of an image by its number from 1; None where they are not there.

        Raises
        ------
        CatalogError
            When they cannot be read.
        """
        return None if self._images_of is None else self._images_of(number)

    def _understood(self, run: LiveRun) -> Experiment:
        """Understand the start document, once."""
        with self._understanding:
            if self._experiment is None or self._experiment[0] != run.serial:
                try:
                    self._experiment = run.serial, Experiment.of(run.start)
                except ConfigError as error:
                    self._experiment = run.serial, error
            found = self._experiment[1]
        if isinstance(found, ConfigError):
            raise found
        return found

    def _earlier(self, start: Document) -> list[tuple[int, dict[str, float]]]:
        """Observations that the run began with."""
        uid = start.get(RESUMES)
        if not uid:
            return []
        if self._folder is None:
            raise CatalogError(f"it goes on with run {plain_text(uid)}, which is not at hand")
        return read_chain(self._folder, str(uid)).history


def _goes_on(shadow: _Shadow, run: LiveRun) -> bool:
    """Whether what has come since follows what was learnt: an image may have come late."""
    return shadow.serial == run.serial and run.numbers()[: len(shadow.fed)] == shadow.fed


def _taught(shadow: _Shadow, run: LiveRun, experiment: Experiment) -> Posterior | None:
    """Learn what has come since, and say what is expected."""
    from stedopt_bluesky.reports.run_figures import Posterior

    if not hasattr(shadow.strategy, "posterior"):
        return None
    new = run.numbers()[len(shadow.fed) :]
    for number in new:
        index = run.value(number, _KEYS.image_configuration_index)
        if not 0 <= index < experiment.config.space.size:
            raise CatalogError(
                f"image {number} of run {run.uid[:8]} tells no configuration of its grid"
            )
        values = {o.name: run.objective(number, o.name) for o in experiment.objectives}
        shadow.strategy.ingest(int(index), values)
        shadow.fed.append(number)
    if new or shadow.posterior is None:
        mean, std = shadow.strategy.posterior()
        shadow.posterior = Posterior(experiment.config.space, mean, std)
    return shadow.posterior


def _record(start: Document) -> RunRecord:
    """A record of nothing but a start document."""
    return RunRecord(Path(), (("start", start),))
