"""What a command must not load: waiting for it is what a user notices first."""

import json
import os
import subprocess
import sys

import pytest

# Each takes from a tenth of a second to several seconds to import.
HEAVY = {
    "bluesky", "bluesky_tiled_plugins", "dask", "databroker", "matplotlib", "ophyd", "pandas",
    "scipy", "skimage", "sqlalchemy", "tiled", "torch",
}  # fmt: skip

LISTING = """
import json, sys
from stedopt_bluesky.cli import main
try:
    main()
except SystemExit as end:
    code = end.code
loaded = sorted({name.split(".")[0] for name in sys.modules})
print(json.dumps([code, loaded]), file=sys.stderr)
"""


def loaded_by(*arguments):
    """Exit code, top-level modules and output of a command in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", LISTING, *map(str, arguments)],
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    *lines, last = done.stderr.splitlines()
    code, modules = json.loads(last)
    return code, set(modules), lines


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["config"]])
def test_help_and_presets_load_nothing_heavy(arguments):
    code, modules, _ = loaded_by(*arguments)
    assert code == 0
    assert not modules & HEAVY


def test_listing_runs_loads_nothing_heavy(stored):
    _, modules, _ = loaded_by("runs", "--catalog", stored.catalog)
    assert not modules & HEAVY


@pytest.mark.parametrize("command", ["show", "replay", "live"])
def test_reading_a_run_loads_no_catalogue_and_no_devices(stored, command):
    _, modules, _ = loaded_by(command, stored.finished["uid"], "--catalog", stored.catalog)
    assert not modules & {"tiled", "databroker", "bluesky", "ophyd", "matplotlib", "torch"}


def test_verifying_loads_no_catalogue_and_no_devices(stored):
    code, modules, _ = loaded_by("catalog", "verify", "--catalog", stored.catalog)
    assert code == 0
    assert not modules & {"tiled", "databroker", "bluesky", "ophyd", "matplotlib", "torch"}


def test_without_an_imspector_the_error_says_what_to_start(tmp_path):
    pytest.importorskip("specpy")
    code, modules, lines = loaded_by("run", "--microscope", "specpy", "--catalog", tmp_path / "cat")

    assert code == 2
    assert not modules & HEAVY
    assert len(lines) == 1
    assert lines[0].startswith("error: no Imspector answers on this computer")
    assert "start Imspector" in lines[0]
    assert "--microscope twin" in lines[0]
    assert list(tmp_path.iterdir()) == []


def processor_s(*command):
    """Processor time of a command, which other programs do not make longer."""
    before = os.times()
    subprocess.run(command, capture_output=True, check=False, timeout=60)
    after = os.times()
    children = ("children_user", "children_system")
    return sum(getattr(after, name) - getattr(before, name) for name in children)


def test_without_an_imspector_the_error_comes_within_a_second(tmp_path):
    pytest.importorskip("specpy")
    run = [sys.executable, "-m", "stedopt_bluesky.cli", "run", "--microscope", "specpy"]
    # What else the machine does makes it longer, and never shorter.
    assert min(processor_s(*run, "--catalog", tmp_path / "cat") for _ in range(3)) < 1.0


def test_any_terminal_can_be_written_to():
    """A terminal that knows neither µ nor ↑ gets question marks, not a traceback."""
    done = subprocess.run(
        [sys.executable, "-m", "stedopt_bluesky.cli", "config", "nowhereµ"],
        capture_output=True, check=False, timeout=60,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )  # fmt: skip
    assert done.returncode == 2
    assert b"nowhere?" in done.stderr
    assert b"Traceback" not in done.stderr


def test_a_reader_that_has_gone_is_no_error():
    reader, writer = os.pipe()
    os.close(reader)  # as `| head` does when it has seen enough
    with os.fdopen(writer, "w") as output:
        done = subprocess.run(
            [sys.executable, "-m", "stedopt_bluesky.cli", "config", "--json"],
            stdout=output, stderr=subprocess.PIPE, text=True, check=False, timeout=60,
        )  # fmt: skip
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
