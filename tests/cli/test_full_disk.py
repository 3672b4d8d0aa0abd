"""A disk that is full while a run writes: dark, what was acquired is kept, and gone on with.

The disk is a real one: a tmpfs of a few hundred kB in a name space of the test's own; or files
may not grow any further (RLIMIT_FSIZE), which every system has.
"""

import json
import os
import resource
import shutil
import subprocess
import sys

import pytest

from stedopt_bluesky.records import CatalogFolder, RunRecord
from stedopt_bluesky.records.journal import journal_paths
from tests.benchmarks.kills import KEY, SIDE, TOML, all_zero, watched_twin

PLANNED = 6
STEDOPT = f"{sys.executable} -m stedopt_bluesky.cli"
# Run, leave more room, go on, and take everything to where it outlives the name space.
SCRIPT = """
set -e
mount -t tmpfs -o size=$SIZE tmpfs "$CATALOG/$SMALL"
set +e
{stedopt} run "$TOML" --catalog "$CATALOG" --json > "$OUT/first.json" 2> "$OUT/first.err"
echo $? > "$OUT/first.code"
mount -o remount,size=64m "$CATALOG/$SMALL"
{stedopt} resume "$(ls "$CATALOG"/journal/*/ | grep jsonl | cut -c1-8)" --catalog "$CATALOG" \
    --json > "$OUT/second.json" 2> "$OUT/second.err"
echo $? > "$OUT/second.code"
""".replace("{stedopt}", STEDOPT)
# What can be read, once more from outside of the program that wrote it.
READ = """
import json, sys
from stedopt_bluesky.records import CatalogFolder, RunRecord
from stedopt_bluesky.records.journal import journal_paths
keys = ("microscope_confocal1", "microscope_sted1", "microscope_confocal2")
found = []
for path in journal_paths(CatalogFolder.open(sys.argv[1])):
    record = RunRecord.read(path)
    arrays = [] if "primary" not in record.streams else [
        [list(image.shape) for image in record.arrays(key)] for key in keys]
    found.append({"uid": record.uid, "taken": len(record.observations), "shapes": arrays,
                  "stop": record.stop})
print(json.dumps(found))
"""


def can_mount():
    if shutil.which("unshare") is None:
        return False
    tried = subprocess.run(
        ["unshare", "-Urm", "sh", "-c", "mount -t tmpfs tmpfs /mnt"],
        capture_output=True,
        check=False,
    )
    return tried.returncode == 0


needs_mount = pytest.mark.skipif(not can_mount(), reason="no file system can be mounted here")


@pytest.fixture
def on_twin(tmp_path):
    """A twin that outlives the run, and the run's configuration on it."""
    with watched_twin(real_time=False) as (watched, server):
        toml = tmp_path / "run.toml"
        toml.write_text(TOML.format(host=server.address, images=PLANNED))
        yield watched.twin, toml


def environment(**more):
    return {**os.environ, "STEDOPT_API_KEY": KEY, **{k: str(v) for k, v in more.items()}}


def check_images(runs):
    for run in runs:
        for shapes in run["shapes"]:
            assert shapes[: run["taken"]] == [[SIDE, SIDE]] * run["taken"]


@pytest.mark.slow
@needs_mount
@pytest.mark.parametrize(
    ("small", "size"),
    [
        ("", "420k"),  # everything
        pytest.param("journal", "48k", marks=pytest.mark.campaign),
    ],
)
def test_a_full_disk(on_twin, tmp_path, small, size):
    twin, toml = on_twin
    out, catalog = tmp_path / "out", tmp_path / "cat"
    out.mkdir()
    if small:
        CatalogFolder.create_or_open(catalog)
    (catalog / small).mkdir(parents=True, exist_ok=True)
    script = f'{SCRIPT}\n{sys.executable} -c \'{READ}\' "$CATALOG" > "$OUT/read.json"'
    subprocess.run(
        ["unshare", "-Urm", "sh", "-c", script],
        env=environment(TOML=toml, CATALOG=catalog, OUT=out, SMALL=small, SIZE=size),
        check=True,
        timeout=110,
    )
    said = (out / "first.err").read_text()
    assert (out / "first.code").read_text() == "1\n", said
    assert "No space left on device" in said
    assert "Traceback" not in said
    assert all_zero(twin)
    assert not any(twin.emitting.values())
    told = json.loads((out / "first.json").read_text())
    assert 0 < len(told["images"]) < PLANNED
    assert f"resume {told['uid'][:8]}" in told["commands"]["continue"]

    assert (out / "second.code").read_text() == "0\n", (out / "second.err").read_text()
    again = json.loads((out / "second.json").read_text())
    assert len(told["images"]) + len(again["images"]) == PLANNED
    runs = json.loads((out / "read.json").read_text())
    assert all(run["stop"] for run in runs)
    check_images(runs)


@pytest.mark.slow
@pytest.mark.parametrize("kilobytes", [180, 20])
def test_files_that_may_not_grow(on_twin, tmp_path, kilobytes):
    """The images cannot grow beyond the first limit, nor the journal beyond the second."""
    twin, toml = on_twin
    catalog = tmp_path / "cat"

    def limit():
        size = kilobytes * 1024
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    done = subprocess.run(
        [*STEDOPT.split(), "run", toml, "--catalog", catalog, "--json"],
        env=environment(),
        preexec_fn=limit,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
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
