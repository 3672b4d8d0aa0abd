"""``stedopt experiment replay`` and ``stedopt experiment compare``."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.markup import escape

from stedopt_bluesky.cli.interrupts import EXIT_CODES, INTERRUPTED
from stedopt_bluesky.cli.output import (
    console,
    fail,
    print_json,
    stdout,
    warn,
    warnings_in_one_line,
)
from stedopt_bluesky.cli.showing import check_figure
from stedopt_bluesky.config import ConfigError
from stedopt_bluesky.config.errors import allowed_text
from stedopt_bluesky.experiments import building
from stedopt_bluesky.experiments.comparison import compare
from stedopt_bluesky.experiments.dataset import ReplayDataset
from stedopt_bluesky.experiments.parallel import (
    WorkersError,
    check_cluster,
    cores,
    run_in_processes,
    run_on_cluster,
    run_serially,
)
from stedopt_bluesky.experiments.progress import ExperimentProgress
from stedopt_bluesky.experiments.replay import experiment_of, ground_truth, report_replay
from stedopt_bluesky.experiments.stored_runs import Selection, select_runs, thresholds_for
from stedopt_bluesky.experiments.tables import comparison_tables, replay_tables
from stedopt_bluesky.experiments.trials import STRATEGIES
from stedopt_bluesky.records.folder import CatalogFolder

if TYPE_CHECKING:
    from stedopt_bluesky.experiments.trials import ReplayExperiment, Trial

# The paper's two, and random sampling.
_STRATEGIES = ("kernel_ts", "grid_search", "random")
_DATASET = Path("stedopt-replay.npz")
_SAMPLE = "actin"
# The dataset is one and the same whatever the trials' seed.
_DATASET_SEED = 0


@dataclass(frozen=True)
class ReplayRequest:
    """What ``stedopt experiment replay`` was asked for; see its ``--help``."""

    trials: int
    images: int
    seed: int
    strategies: tuple[str, ...]
    objective: str
    threshold: float | None
    relevant: int | None
    repeats: int
    dataset: Path | None
    sample: str | None
    queue: int | None
    source: tuple[str, ...]
    workers: int | None
    dask: str | None
    figure: Path | None
    catalog: Path


@dataclass(frozen=True)
class CompareRequest:
    """What ``stedopt experiment compare`` was asked for; see its ``--help``."""

    uids: tuple[str, ...]
    group_by: str
    preset: str | None
    sample: str | None
    strategy: str | None
    images: int | None
    thresholds: tuple[str, ...]
    seed: int
    figure: Path | None
    catalog: Path


def replay_images(request: ReplayRequest, *, as_json: bool) -> None:
    """Run a replay experiment, show what it came to, and draw it.

    Raises
    ------
    ConfigError, CatalogError
        When something in the request is wrong.
    """
    strategies = _check_replay(request)
    with interruptible():
        dataset, path = _dataset(request)
        experiment = experiment_of(
            dataset,
            request.objective,
            images=request.images,
            seed=request.seed,
            repeats=request.repeats,
        )
        if request.relevant is not None and not 1 <= request.relevant <= dataset.space.size:
            raise ConfigError(f"relevant = {request.relevant}: 1 to {dataset.space.size}")
        truth = ground_truth(experiment, request.relevant, request.threshold)
        begin = time.monotonic()
        trials = _trials(experiment, strategies, request)
        took_s = time.monotonic() - begin
        report = report_replay(experiment, truth, trials)
        from stedopt_bluesky.experiments.replay_figure import save_replay_figure

        target = request.figure or (path or _gathered_from(request)).with_suffix(".png")
        saved = saved_picture(target, lambda: save_replay_figure(report, dataset, target))
    if as_json:
        print_json(
            {
                **report.as_json(),
                "dataset": str(path.resolve()) if path else None,
                "origin": dict(dataset.origin),
                "figure": saved,
                "trials_s": took_s,
            }
        )
        return
    for table in replay_tables(report):
        stdout.print(table)
        stdout.print()
    verb = "below" if experiment.objective.direction == "maximise" else "above"
    print_lines(
        ("failure", f"{request.objective} {verb} {truth.threshold:.3g}"),
        ("dataset", f"{path or 'not kept'} ({_origin_in_words(dataset.origin)})"),
        ("trials", f"{took_s:.1f} s"),
        *([("picture", saved)] if saved else []),
    )


def compare_runs(request: CompareRequest, *, as_json: bool) -> None:
    """Compare stored runs, show what came out, and draw it.

    Raises
    ------
    ConfigError, CatalogError
        When something in the request is wrong.
    """
    if request.figure:
        check_figure(request.figure)
    if request.seed < 0:
        raise ConfigError(f"seed = {request.seed}: at least 0")
    given = dict(_threshold(text) for text in request.thresholds)
    folder = CatalogFolder.open(request.catalog)
    selection = Selection(
        request.uids, request.preset, request.sample, request.strategy, request.images
    )
    with interruptible(), console.status("reading the runs ..."):
        runs, objectives = select_runs(
            folder, selection, request.group_by, lambda why: warn(f"left out: {why}")
        )
        thresholds = thresholds_for(objectives, given)
        report = compare(runs, objectives, thresholds, seed=request.seed)
    saved = None
    if request.figure:
        from stedopt_bluesky.experiments.comparison_figure import save_comparison_figure

        target = request.figure
        saved = saved_picture(target, lambda: save_comparison_figure(report, target))
    longest = max(len(run.values) for run in runs)
    if request.images is None and longest > report.images:
        warn(
            f"the shortest run has {report.images} images, the longest {longest}: the first "
            f"{report.images} of each are compared; --images N leaves shorter ones out"
        )
    if as_json:
        print_json({**report.as_json(), "catalog": str(folder.path), "figure": saved})
        return
    for table in comparison_tables(report):
        stdout.print(table)
        stdout.print()
    worse = {"maximise": "below", "minimise": "above"}
    direction = {o.name: o.direction for o in report.objectives}
    failing = [f"{n} {worse[direction[n]]} {v:g}" for n, v in report.thresholds.items()]
    print_lines(("failure", " or ".join(failing)), *([("picture", saved)] if saved else []))


def _check_replay(request: ReplayRequest) -> tuple[str, ...]:
    """Refuse what can be refused before anything is imaged; return the strategies' names."""
    for name in ("trials", "images", "repeats", "workers"):
        value = getattr(request, name)
        if value is not None and value < 1:
            raise ConfigError(f"{name} = {value}: at least 1")
    if request.seed < 0:
        raise ConfigError(f"seed = {request.seed}: at least 0")
    if request.threshold is not None and not math.isfinite(request.threshold):
        raise ConfigError(f"threshold = {request.threshold}: a finite number")
    if request.dask and request.workers:
        raise ConfigError(f"workers = {request.workers}: not together with dask")
    if request.dask:
        check_cluster(request.dask)
    for option in ("sample", "queue"):
        if request.source and getattr(request, option) is not None:
            raise ConfigError(
                f"{option} = {getattr(request, option)!r}: not together with from, which takes "
                "stored images"
            )
    if request.figure:
        check_figure(request.figure)
    if request.dataset and request.dataset.suffix != ".npz":
        raise ConfigError(f"dataset = {str(request.dataset)!r}: the name of a file *.npz")
    strategies = request.strategies or _STRATEGIES
    for name in strategies:
        if name not in STRATEGIES:
            raise ConfigError(f"strategy = {name!r}: {allowed_text(name, STRATEGIES)}")
    return tuple(dict.fromkeys(strategies))


def _dataset(request: ReplayRequest) -> tuple[ReplayDataset, Path | None]:
    """Read the dataset or make it; return it with the file where it is kept."""
    if request.source:
        return _gathered(request), request.dataset
    path = request.dataset or _DATASET
    config = building.twin_config(request.sample or _SAMPLE, _DATASET_SEED)
    task = building.TwinImages(config, building.QUEUE if request.queue is None else request.queue)
    if path.exists():
        dataset = ReplayDataset.load(path)
        # A file that is named, with nothing said of what is in it, is taken as it is.
        as_it_is = request.dataset and request.sample is None and request.queue is None
        if not as_it_is:
            _check_origin(path, dataset.origin, task.origin)
        return dataset, path
    with (
        warnings_in_one_line(),
        ExperimentProgress(console, "images", task.images) as progress,
    ):
        dataset = building.image_on_twin(task, progress)
    dataset.save(path)
    return dataset, path


def _gathered_from(request: ReplayRequest) -> Path:
    """Name for what is made of stored runs: another one than the twin's dataset has."""
    return _DATASET.with_stem(f"{_DATASET.stem}-{'-'.join(request.source)}")


def _gathered(request: ReplayRequest) -> ReplayDataset:
    """Gather the images of stored runs; keep them where a file is named."""
    from stedopt_bluesky.records.journal import find_run
    from stedopt_bluesky.records.run_record import RunRecord

    folder = CatalogFolder.open(request.catalog)
    paths = dict.fromkeys(find_run(folder, uid) for uid in request.source)
    with console.status("reading the runs ..."):
        dataset = building.gather_runs([RunRecord.read(path) for path in paths])
    if request.dataset:
        if request.dataset.exists():
            origin = ReplayDataset.load(request.dataset).origin
            _check_origin(request.dataset, origin, dataset.origin)
        dataset.save(request.dataset)
    return dataset


def _check_origin(path: Path, found: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Refuse a file that holds other images than those asked for."""
    if found != wanted:
        holds, asked = _origin_in_words(found), _origin_in_words(wanted)
        what = f"{holds}, not {asked}" if holds != asked else f"{holds}, taken with other settings"
        raise ConfigError(
            f"dataset = {str(path)!r}: holds {what}; name another file, or remove this one"
        )


def _origin_in_words(origin: Mapping[str, Any]) -> str:
    if "runs" in origin:
        return f"images of {', '.join(uid[:8] for uid in origin['runs'])}"
    sample = origin["config"]["sample"]["name"]
    return f"{origin['queue']} images a power of {sample} on the twin"


def _trials(
    experiment: ReplayExperiment, strategies: Sequence[str], request: ReplayRequest
) -> dict[str, list[Trial]]:
    """Run all trials where they were asked to run."""
    jobs = [(name, k) for name in strategies for k in range(request.trials)]
    workers = min(request.workers or cores(), len(jobs))
    with ExperimentProgress(console, "trials", len(jobs)) as progress:
        try:
            if request.dask:
                trials = run_on_cluster(experiment, jobs, request.dask, progress)
            elif workers > 1:
                trials = run_in_processes(experiment, jobs, workers, progress)
            else:
                trials = run_serially(experiment, jobs, progress)
        except WorkersError as error:
            fail(str(error), code=1)
    count = request.trials
    return {name: trials[i * count : (i + 1) * count] for i, name in enumerate(strategies)}


def _threshold(text: str) -> tuple[str, float]:
    name, equals, value = text.partition("=")
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not (name.strip() and equals and math.isfinite(number)):
        raise ConfigError(f"threshold = {text!r}: NAME=VALUE, as photobleaching=0.6")
    return name.strip(), number


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Say in one line that Ctrl-C has ended it."""
    try:
        yield
    except KeyboardInterrupt:
        fail("interrupted by the user (Ctrl-C)", code=EXIT_CODES[INTERRUPTED])


def saved_picture(path: Path, draw: Any) -> str | None:
    """Draw; a picture that cannot be saved is no reason to lose the numbers."""
    with console.status("drawing the picture ..."):
        try:
            draw()
        except OSError as error:
            warn(f"the picture {path} was not saved: {error}")
            return None
    return str(path.resolve())


def print_lines(*lines: tuple[str, str]) -> None:
    """Print labels with their texts, below one another."""
    for label, text in lines:
        stdout.print(f"[bold]{label:>10}[/]  {escape(text)}")
