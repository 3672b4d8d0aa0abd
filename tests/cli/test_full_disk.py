"""A disk that is full while a run writes: dark, what was acquired is kept, and gone on with.

The disk is a real one: a tmpfs of a few hundred kB in a name space of the test's own; or files
may not grow any further (RLIMIT_FSIZE), which every system has.
"""

import json
import os
import resource
import subprocess
import sys

import pytest

from stedopt_bluesky.records import CatalogFolder, RunRecord
from stedopt_bluesky.records.journal import journal_paths
from tests.benchmarks.kept import readable
from tests.benchmarks.kills import KEY, SIDE, TOML, all_zero, watched_twin
from tests.benchmarks.small_disk import fill_and_go_on, refusal

PLANNED = 6
# A bound against hanging that leaves time for what is said about it, s.
LONG_S = 100
needs_mount = pytest.mark.skipif(bool(refusal()), reason=refusal())


@pytest.fixture
def on_twin(tmp_path):
    """A twin that outlives the run, and the run's configuration on it."""
    with watched_twin(real_time=False) as (watched, server):
        toml = tmp_path / "run.toml"
        toml.write_text(TOML.format(host=server.address, images=PLANNED))
        yield watched.twin, toml


@pytest.mark.slow
@needs_mount
@pytest.mark.parametrize(
    ("small", "kib"), [pytest.param("", 420, marks=pytest.mark.campaign), ("journal", 48)]
)
def test_a_full_disk(on_twin, tmp_path, small, kib):
    twin, toml = on_twin
    out, catalog = tmp_path / "out", tmp_path / "cat"
    out.mkdir()
    if small:
        CatalogFolder.create_or_open(catalog)
        # Tiled's databases are on the other disk, and cost half of the time.
        toml.write_text(f"{toml.read_text()}[catalog]\nbackground = false\n")
    (catalog / small).mkdir(parents=True, exist_ok=True)
    first, second = fill_and_go_on(toml, catalog, out, kib, small, STEDOPT_API_KEY=KEY)
    assert first.code == 1, first.words
    assert "No space left on device" in first.words
    assert "Traceback" not in first.words
    assert all_zero(twin)
    assert not any(twin.emitting.values())
    assert 0 < first.images < PLANNED
    assert f"resume {first.told['uid'][:8]}" in first.told["commands"]["continue"]

    assert second.code == 0, second.words
    assert first.images + second.images == PLANNED
    # Once more from outside of the program that wrote it, where the disk was copied to.
    runs = list(map(RunRecord.read, journal_paths(CatalogFolder.open(out / "catalog"))))
    assert all(run.stop for run in runs)
    assert sorted(len(run.observations) for run in runs) == sorted([first.images, second.images])
    for run in runs:
        assert len(readable(run, SIDE)) == len(run.observations)


@pytest.mark.slow
@pytest.mark.parametrize("kilobytes", [pytest.param(180, marks=pytest.mark.campaign), 20])
def test_files_that_may_not_grow(on_twin, tmp_path, kilobytes):
    """The images cannot grow beyond the first limit, nor the journal beyond the second."""
    twin, toml = on_twin
    catalog = tmp_path / "cat"

    def limit():
        size = kilobytes * 1024
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    done = subprocess.run(
        [sys.executable, "-m", "stedopt_bluesky.cli", "run", toml, "--catalog", catalog, "--json"],
        env={**os.environ, "STEDOPT_API_KEY": KEY},
        preexec_fn=limit,
        capture_output=True,
        text=True,
        check=False,
        timeout=LONG_S,
    )
    assert done.returncode == 1, done.stderr
    assert "File too large" in done.stderr
    assert "Traceback" not in done.stderr
    assert all_zero(twin)
    for path in journal_paths(CatalogFolder.open(catalog)):
        record = RunRecord.read(path)
        assert record.stop["exit_status"] == "fail"
        assert "File too large" in record.stop["reason"]
        told = json.loads(done.stdout)
        assert f"resume {record.uid[:8]}" in told["commands"]["continue"]
