import dataclasses
import sys
import threading

import numpy as np
import pytest

from stedopt_bluesky.config import ConfigError
from stedopt_bluesky.experiments import parallel
from stedopt_bluesky.experiments.parallel import (
    WorkersError,
    check_cluster,
    cores,
    run_in_processes,
    run_on_cluster,
    run_serially,
)

JOBS = [(name, k) for name in ("kernel_ts", "random") for k in range(9)]


def assert_same(trials, others):
    assert len(trials) == len(others)
    for a, b in zip(trials, others, strict=True):
        for field in dataclasses.fields(a):
            np.testing.assert_array_equal(getattr(a, field.name), getattr(b, field.name))


@pytest.fixture(scope="module")
def serial(experiment):
    return run_serially(experiment, JOBS, lambda _: None)


@pytest.fixture(scope="module")
def cluster():
    """A cluster in this process; its scheduler listens on this computer only."""
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=2,
        threads_per_worker=2,
        processes=False,
        dashboard_address="127.0.0.1:0",
        protocol="tcp://",
        host="127.0.0.1",
    ) as local:
        yield local.scheduler_address


def test_processes_give_the_same_numbers_bit_for_bit(experiment, serial):
    counted = []
    assert_same(run_in_processes(experiment, JOBS, 2, counted.append), serial)
    assert sum(counted) == len(JOBS)


def test_a_cluster_gives_the_same_numbers_bit_for_bit(experiment, serial, cluster):
    counted = []
    assert_same(run_on_cluster(experiment, JOBS, cluster, counted.append), serial)
    assert sum(counted) == len(JOBS)


def test_a_second_experiment_on_a_cluster_is_computed_anew(experiment, cluster):
    other = dataclasses.replace(experiment, seed=17)
    expected = run_serially(other, JOBS[:3], lambda _: None)
    assert_same(run_on_cluster(other, JOBS[:3], cluster, lambda _: None), expected)


def of_another_thread(there):
    """Make a function that gives "numpy 2" here and calls ``there`` on a worker."""
    here = threading.current_thread().name
    return lambda: "numpy 2" if threading.current_thread().name == here else there()


def test_workers_of_other_versions_are_refused(experiment, cluster, monkeypatch):
    monkeypatch.setattr(parallel, "versions", of_another_thread(lambda: "numpy 1"))
    with pytest.raises(ConfigError, match=r"worker tcp://\S+ has numpy 1, here is numpy 2"):
        run_on_cluster(experiment, JOBS, cluster, lambda _: None)


def test_workers_without_this_program_are_refused(experiment, cluster, monkeypatch):
    monkeypatch.setattr(parallel, "versions", of_another_thread(lambda: 1 // 0))
    with pytest.raises(ConfigError, match=r"cannot use stedopt-bluesky .*; install the same"):
        run_on_cluster(experiment, JOBS, cluster, lambda _: None)


def test_a_trial_that_fails_on_a_worker_is_told_in_one_line(experiment, cluster):
    with pytest.raises(WorkersError, match=r"a trial failed on the cluster .*nothing") as failed:
        run_on_cluster(experiment, [("nothing", 0)], cluster, lambda _: None)
    assert "\n" not in str(failed.value)


def test_a_scheduler_without_workers(experiment, monkeypatch):
    distributed = pytest.importorskip("distributed")
    monkeypatch.setattr(parallel, "_WORKERS_TIMEOUT_S", 0.1)
    with (
        distributed.LocalCluster(
            n_workers=0, processes=False, dashboard_address="127.0.0.1:0", host="127.0.0.1",
            protocol="tcp://",
        ) as local,
        pytest.raises(ConfigError, match="the scheduler has no workers"),
    ):  # fmt: skip
        run_on_cluster(experiment, JOBS, local.scheduler_address, lambda _: None)


def test_nothing_answers(experiment, monkeypatch):
    pytest.importorskip("distributed")
    monkeypatch.setattr(parallel, "_CONNECT_TIMEOUT_S", 0.2)
    with pytest.raises(ConfigError, match=r"dask = 'tcp://127.0.0.1:9': no scheduler answers"):
        run_on_cluster(experiment, JOBS, "tcp://127.0.0.1:9", lambda _: None)


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("10.0.0.5:8786", "dask = '10.0.0.5:8786': tcp://HOST:PORT or tls://HOST:PORT"),
        ("inproc://a", "tcp://HOST:PORT"),
        ("tls://127.0.0.1:9", "needs certificates"),
    ],
)
def test_addresses_that_cannot_be_used(address, message):
    pytest.importorskip("distributed")
    with pytest.raises(ConfigError, match=message):
        check_cluster(address)


def test_without_dask_the_error_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ConfigError, match=r"not installed: pip install 'stedopt-bluesky\[dask\]'"):
        check_cluster("tcp://127.0.0.1:8786")


def test_a_lost_process_is_told(experiment, monkeypatch):
    from concurrent.futures.process import BrokenProcessPool

    def lost(*_, **__):
        raise BrokenProcessPool

    monkeypatch.setattr(parallel, "as_completed", lost)
    with pytest.raises(WorkersError, match="ended from outside"):
        run_in_processes(experiment, JOBS[:1], 1, lambda _: None)


def test_cores_are_those_that_may_be_used():
    assert cores() >= 1
