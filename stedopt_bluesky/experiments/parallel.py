"""Trials in this process, on the cores of this machine, or on a Dask cluster.

The results stand in the order of the jobs, and are the same, bit for bit, wherever they were
computed with the same versions on the same kind of machine.

Dask is the one place of this program where data from a socket are unpickled: its protocol
sends functions and results as pickles. Whoever controls a scheduler controls its workers and
its clients. So no scheduler is ever looked for: it is the one that the user names, his own,
and a ``tls://`` address, with certificates in Dask's configuration, keeps others out.
"""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable, Sequence
from concurrent.futures import (
    FIRST_COMPLETED,
    Future,
    ProcessPoolExecutor,
    as_completed,
    wait,
)
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from multiprocessing.queues import SimpleQueue
from multiprocessing.synchronize import Event
from typing import Any, TypeVar

from stedopt_bluesky.config import ConfigError
from stedopt_bluesky.errors import in_one_line
from stedopt_bluesky.experiments.trials import Job, ReplayExperiment, Trial, run_trials

_Experiment = TypeVar("_Experiment")
_Result = TypeVar("_Result")

# Told the number of trials that have just been finished.
Advance = Callable[[int], None]

# Chunks per worker: few enough to cost nothing, enough that all end at about the same time.
_CHUNKS_PER_WORKER = 8
# How often the steps of long jobs are looked at, s.
_LOOK_EVERY_S = 0.5
# A scheduler that does not answer within this time, s, is not there.
_CONNECT_TIMEOUT_S = 10.0
# Workers of a cluster that is just starting are waited for this long, s.
_WORKERS_TIMEOUT_S = 30.0
_INSTALL = "pip install 'stedopt-bluesky[dask]'"


class WorkersError(RuntimeError):
    """Workers that were lost, or could not do what they were asked; one line."""


def cores() -> int:
    """Processor cores that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)  # not on macOS and Windows
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def run_serially(
    experiment: ReplayExperiment, jobs: Sequence[Job], advance: Advance
) -> list[Trial]:
    """Run all jobs in this process."""
    trials = []
    for job in jobs:
        trials += run_trials(experiment, [job])
        advance(1)
    return trials


def run_in_processes(
    experiment: ReplayExperiment, jobs: Sequence[Job], workers: int, advance: Advance
) -> list[Trial]:
    """Run the jobs on several cores, each with one thread.

    Raises
    ------
    WorkersError
        When a worker's process is ended from outside (for lack of memory, say).
    """
    chunks = _chunks(jobs, workers)
    # Spawned, not forked: the same on every system, and no lock is inherited in a locked state.
    context = get_context("spawn")
    with ProcessPoolExecutor(
        min(workers, len(chunks)), context, initializer=_begin_worker, initargs=(experiment,)
    ) as pool:
        futures = {pool.submit(_run_chunk, chunk): i for i, chunk in enumerate(chunks)}
        results: dict[int, list[Trial]] = {}
        try:
            for future in as_completed(futures):
                results[futures[future]] = future.result()
                advance(len(chunks[futures[future]]))
        except BrokenProcessPool:
            raise WorkersError("a worker's process was ended from outside; no result") from None
        finally:
            pool.shutdown(cancel_futures=True)
    return [trial for i in range(len(chunks)) for trial in results[i]]


def run_each(
    run: Callable[[_Experiment, Job, Advance], _Result],
    experiment: _Experiment,
    jobs: Sequence[Job],
    workers: int,
    advance: Advance,
) -> list[_Result]:
    """Run long jobs, each in a process of its own where there are several workers.

    Parameters
    ----------
    run : callable
        Of a module, so that a worker finds it: from the experiment, a job and whom to tell of
        each step to the job's result.
    experiment : object
        What all jobs have in common; can be pickled.
    jobs : sequence of Job
        What is to be run.
    workers : int
        Processes; with 1 the jobs run in this one.
    advance : callable
        Told of the steps of all jobs.

    Returns
    -------
    list
        The results, in the order of the jobs.

    Raises
    ------
    WorkersError
        When a worker's process is ended from outside.
    """
    workers = min(workers, len(jobs))
    if workers <= 1:
        return [run(experiment, job, advance) for job in jobs]
    context = get_context("spawn")
    steps, stop = context.SimpleQueue(), context.Event()
    with ProcessPoolExecutor(
        workers, context, initializer=_begin_stepping, initargs=(steps, stop)
    ) as pool:
        futures = [pool.submit(_run_stepping, run, experiment, job) for job in jobs]
        waiting: set[Future[_Result]] = set(futures)
        try:
            while waiting:
                done, waiting = wait(waiting, _LOOK_EVERY_S, FIRST_COMPLETED)
                while not steps.empty():
                    advance(steps.get())
                for future in done:
                    future.result()
            return [future.result() for future in futures]
        except BrokenProcessPool:
            raise WorkersError("a worker's process was ended from outside; no result") from None
        finally:
            # Jobs that have begun, or were handed to a worker before, end at their next step.
            stop.set()
            pool.shutdown(cancel_futures=True)


# Where a worker tells of its steps, and is told to stop.
_steps: list[tuple[SimpleQueue[int], Event]] = []


def _begin_stepping(steps: SimpleQueue[int], stop: Event) -> None:
    """Prepare a worker's process: Ctrl-C is for its parent, BLAS has one thread.

    What goes wrong reaches the parent as an exception; nothing is printed beside its progress.
    """
    from threadpoolctl import threadpool_limits

    logging.disable(logging.CRITICAL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threadpool_limits(limits=1, user_api="blas")
    _steps[:] = [(steps, stop)]


def _run_stepping(
    run: Callable[[_Experiment, Job, Advance], _Result], experiment: _Experiment, job: Job
) -> _Result:
    steps, stop = _steps[0]

    def advance(count: int) -> None:
        if stop.is_set():
            raise WorkersError("told to stop")
        steps.put(count)

    advance(0)
    return run(experiment, job, advance)


def check_cluster(address: str) -> None:
    """Refuse a scheduler's address that cannot be used, without connecting to it.

    Raises
    ------
    ConfigError
        When it is not one, Dask is not installed, or certificates are missing.
    """
    if not address.startswith(("tcp://", "tls://")):
        raise ConfigError(f"dask = {address!r}: tcp://HOST:PORT or tls://HOST:PORT")
    try:
        import dask
        import distributed  # noqa: F401
    except ImportError:
        raise ConfigError(f"dask = {address!r}: Dask is not installed: {_INSTALL}") from None
    if address.startswith("tls://") and not dask.config.get("distributed.comm.tls.ca-file", None):
        raise ConfigError(
            f"dask = {address!r}: needs certificates: Dask's configuration names none "
            "(distributed.comm.tls.ca-file)"
        )


def run_on_cluster(
    experiment: ReplayExperiment, jobs: Sequence[Job], address: str, advance: Advance
) -> list[Trial]:
    """Run the jobs on the workers of a Dask scheduler.

    Parameters
    ----------
    address : str
        ``tcp://host:port`` or ``tls://host:port`` of the scheduler.

    Raises
    ------
    ConfigError
        As `check_cluster`; when nothing answers there, the scheduler has no workers, or
        theirs are other versions of what computes.
    WorkersError
        When a trial fails on its worker.
    """
    check_cluster(address)
    from distributed import Client

    try:
        client = Client(address, timeout=_CONNECT_TIMEOUT_S, set_as_default=False)
    except (OSError, ValueError, RuntimeError) as error:
        reason = in_one_line(error)
        raise ConfigError(f"dask = {address!r}: no scheduler answers there ({reason})") from None
    with client:
        return _run_with(client, experiment, jobs, address, advance)


def _run_with(
    client: Any,
    experiment: ReplayExperiment,
    jobs: Sequence[Job],
    address: str,
    advance: Advance,
) -> list[Trial]:
    from distributed import as_completed as completed

    try:
        client.wait_for_workers(1, timeout=_WORKERS_TIMEOUT_S)
    except TimeoutError:
        raise ConfigError(f"dask = {address!r}: the scheduler has no workers") from None
    _check_versions(client, address)
    chunks = _chunks(jobs, len(client.scheduler_info(n_workers=-1)["workers"]))
    shared = client.scatter(experiment, broadcast=True, hash=False)
    # Not pure: results of an earlier experiment are not to be taken for this one's.
    futures = [client.submit(_run_on_worker, shared, chunk, pure=False) for chunk in chunks]
    numbers = {future.key: i for i, future in enumerate(futures)}
    results: dict[int, list[Trial]] = {}
    try:
        for future, trials in completed(futures, loop=client.loop, with_results=True):
            results[numbers[future.key]] = trials
            advance(len(trials))
    except Exception as error:  # whatever happened on the worker is raised here
        reason = in_one_line(error)
        raise WorkersError(f"a trial failed on the cluster {address}: {reason}") from error
    finally:
        client.cancel(futures)
    return [trial for i in range(len(chunks)) for trial in results[i]]


def _check_versions(client: Any, address: str) -> None:
    """Refuse workers that would compute other numbers, or nothing at all."""
    ours = versions()
    try:
        found = client.run(versions)
    except Exception as error:  # the package is missing there, say
        reason = in_one_line(error)
        raise ConfigError(
            f"dask = {address!r}: its workers cannot use stedopt-bluesky ({reason}); "
            "install the same version there"
        ) from None
    for worker, theirs in found.items():
        if theirs != ours:
            raise ConfigError(
                f"dask = {address!r}: worker {worker} has {theirs}, here is {ours}: "
                "the same versions are needed for the same numbers"
            )


def versions() -> str:
    """Versions of what computes a trial."""
    import numpy
    import scipy

    from stedopt_bluesky import __version__

    return f"stedopt-bluesky {__version__}, numpy {numpy.__version__}, scipy {scipy.__version__}"


def _chunks(jobs: Sequence[Job], workers: int) -> list[list[Job]]:
    """Cut the jobs into pieces of about the same size, in their order."""
    size = max(1, -(-len(jobs) // (workers * _CHUNKS_PER_WORKER)))
    return [list(jobs[i : i + size]) for i in range(0, len(jobs), size)]


# The experiment in a worker's process: sent once, not with each chunk.
_experiment: list[ReplayExperiment] = []


def _begin_worker(experiment: ReplayExperiment) -> None:
    """Prepare a worker's process: Ctrl-C is for its parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _experiment[:] = [experiment]


def _run_chunk(jobs: Sequence[Job]) -> list[Trial]:
    """Run some jobs of the experiment that the worker was begun with."""
    return _run_on_worker(_experiment[0], jobs)


def _run_on_worker(experiment: ReplayExperiment, jobs: Sequence[Job]) -> list[Trial]:
    """Run some jobs with one BLAS thread, as every worker has one core.

    For good, not while it runs: a worker of Dask may run several chunks in threads, and the
    first that ends would give the others their threads back.
    """
    from threadpoolctl import threadpool_limits

    threadpool_limits(limits=1, user_api="blas")
    return run_trials(experiment, jobs)
