"""What ``stedopt train quality`` and ``stedopt train preference`` have in common."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from rich.markup import escape

from stedopt_bluesky.cli.interrupts import EXIT_CODES, INTERRUPTED, terminate_cleanly
from stedopt_bluesky.cli.output import console, fail, stdout, warn
from stedopt_bluesky.cli.showing import check_figure
from stedopt_bluesky.cli.weights import check_new_file
from stedopt_bluesky.config import ConfigError

if TYPE_CHECKING:
    from stedopt_bluesky.networks.history import Epoch
    from stedopt_bluesky.networks.weights import Kind, Weights
    from stedopt_bluesky.records.run_record import RunRecord

Trained = TypeVar("Trained")


@dataclass(frozen=True)
class Source:
    """Where the training data come from, and where the network goes to.

    Parameters
    ----------
    paths : tuple of Path
        The dataset, if it is named, and the file to be written.
    from_catalog : bool
        Learn from all runs of the catalogue.
    runs : tuple of str
        Learn from these.
    catalog : Path
        Folder of the catalogue.
    """

    paths: tuple[Path, ...]
    from_catalog: bool
    runs: tuple[str, ...]
    catalog: Path

    def __post_init__(self) -> None:
        if len(self.paths) > 2:
            raise ConfigError(f"{len(self.paths)} paths: [DATASET] OUT")
        if self.of_runs and len(self.paths) > 1:
            raise ConfigError(
                f"dataset = {str(self.paths[0])!r}: not together with --from-catalog or --runs, "
                "which take what past runs have"
            )
        if not self.of_runs and len(self.paths) < 2:
            raise ConfigError(
                f"dataset: missing beside {str(self.paths[0])!r}; name a dataset and the file to "
                "be written, or take past runs: --from-catalog, or --runs UID"
            )

    @property
    def of_runs(self) -> bool:
        """Whether past runs are what is learnt from."""
        return self.from_catalog or bool(self.runs)

    @property
    def out(self) -> Path:
        """File of the network."""
        return self.paths[-1]

    @property
    def checkpoint(self) -> Path:
        """File from which an interrupted training goes on."""
        return self.out.with_name(f"{self.out.name}.checkpoint")

    def figure(self, asked: Path | None) -> Path:
        """File of the picture: beside the network where none is named."""
        return asked or self.out.with_suffix(".png")

    def check(self, figure: Path | None) -> None:
        """Refuse files that cannot be written, before anything is done."""
        check_new_file(self.out)
        if figure:
            check_figure(figure)

    def records(self) -> list[RunRecord]:
        """Read the runs that are learnt from; of all runs, those that can be read.

        Raises
        ------
        CatalogError
            When there is no catalogue, or a run that is named is not there or damaged.
        """
        from stedopt_bluesky.records.folder import CatalogError, CatalogFolder
        from stedopt_bluesky.records.journal import find_run
        from stedopt_bluesky.records.replay import REPLAYS
        from stedopt_bluesky.records.run_record import RunRecord
        from stedopt_bluesky.records.runs import list_runs

        folder = CatalogFolder.open(self.catalog)
        if self.runs:
            paths = dict.fromkeys(find_run(folder, uid) for uid in self.runs)
            return [RunRecord.read(path) for path in paths]
        found = []
        for run in list_runs(folder):
            try:
                record = RunRecord.read(find_run(folder, run.uid))
                if REPLAYS not in record.start:  # another run's images
                    found.append(record)
            except CatalogError as error:
                warn(f"left out: {error}")
        return found


def start_weights(reference: str | None, kind: Kind) -> Weights | None:
    """Load the network that is fine-tuned, if there is one."""
    if reference is None:
        return None
    from stedopt_bluesky.networks.weights import find_weights, load_weights

    return load_weights(find_weights(reference, kind), kind)


@contextlib.contextmanager
def counting(what: str) -> Iterator[Callable[[int], None]]:
    """Show that something goes on, with a number that grows, where nobody knows how far."""
    done = 0
    with console.status(f"{what} ...") as status:

        def advance(count: int) -> None:
            nonlocal done
            done += count
            status.update(f"{what}: {done}")

        yield advance


def train_with_progress(
    source: Source,
    epochs: int,
    again: str,
    loss: str,
    train: Callable[[Callable[[Epoch], None]], Trained],
) -> Trained:
    """Train, with a line for each epoch and the time left; an interruption keeps what was learnt.

    Parameters
    ----------
    source : Source
        Whose checkpoint is gone on with when it is there.
    epochs : int
        At most.
    again : str
        The command line, to be shown when the training is interrupted.
    loss : str
        What the losses are.
    train : callable
        Takes who observes the epochs, and trains.
    """
    from stedopt_bluesky.experiments.progress import ExperimentProgress
    from stedopt_bluesky.networks.history import Checkpoint

    # Whether it is of this very training is checked where it is taken up.
    kept = Checkpoint(source.checkpoint, {}).load()
    ended = len(kept[1]) if kept else 0
    if ended:
        console.print(f"going on after epoch {ended}: {source.checkpoint}", soft_wrap=True)
    with terminate_cleanly(), ExperimentProgress(console, "epochs", epochs) as progress:
        progress(ended)

        def observe(epoch: Epoch) -> None:
            nonlocal ended
            ended = epoch.number
            best = ", the best so far" if epoch.best else ""
            console.print(
                f"epoch {epoch.number}: {loss} {epoch.training_loss:.4f} in training, "
                f"{epoch.validation_loss:.4f} in validation{best}"
            )
            progress(1)

        try:
            return train(observe)
        except KeyboardInterrupt:
            message = "interrupted by the user (Ctrl-C) before the first epoch had ended"
            if ended:
                message = f"interrupted by the user (Ctrl-C) after epoch {ended}; go on: {again}"
            fail(message, code=EXIT_CODES[INTERRUPTED])


def save_curve(
    target: Path, history: Sequence[Epoch], title: str, loss: str, evaluation: Any = None
) -> str | None:
    """Draw the training; a picture that cannot be saved is no reason to lose the network."""
    from stedopt_bluesky.reports.learning_curve import save_learning_curve

    with console.status("drawing the picture ..."):
        try:
            save_learning_curve(history, target, title=title, loss=loss, evaluation=evaluation)
        except OSError as error:
            warn(f"the picture {target} was not saved: {error.strerror or error}")
            return None
    return str(target.resolve())


def history_json(history: Sequence[Epoch], took_s: float) -> dict[str, Any]:
    """Say how the training went; the time is that of this call, not of those before it."""
    best = min(history, key=lambda epoch: epoch.validation_loss)
    return {
        "epochs": len(history),
        "best_epoch": best.number,
        "history": [asdict(epoch) for epoch in history],
        "training_s": took_s,
    }


def print_lines(*lines: tuple[str, str]) -> None:
    """Print what is left to say, one thing a line."""
    for label, text in lines:
        if text:
            stdout.print(f"[bold]{label:>12}[/]  {escape(text)}")


def rounded(value: float) -> float | None:
    """Round a number for a file's metadata; None where it is none."""
    return None if math.isnan(value) else round(value, 4)


class Watch:
    """Seconds since it was made."""

    def __init__(self) -> None:
        self._begun = time.monotonic()

    @property
    def seconds(self) -> float:
        """How long it has been."""
        return time.monotonic() - self._begun
