"""The IPython profile images, and switches the lasers off when IPython ends."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from stedopt_bluesky.records import CatalogFolder, list_runs

PROFILE = Path(__file__).parents[1] / "profiles" / "profile_stedopt"
# A small sample is made in a moment; any piece of it will do.
CONFIG = """
preset = "demo"
[microscope]
field_um = 12
[overview]
size_um = 12
minimum_foreground = 0
"""


@pytest.fixture
def profile(tmp_path):
    """A copy: IPython writes its history beside the startup files."""
    shutil.copytree(PROFILE / "startup", tmp_path / "profile_stedopt" / "startup")
    (tmp_path / "config.toml").write_text(CONFIG)
    return tmp_path / "profile_stedopt"


def ipython(profile, code):
    names = {"STEDOPT_CATALOG": "catalog", "STEDOPT_CONFIG": "config.toml"}
    return subprocess.run(
        [sys.executable, "-m", "IPython", f"--profile-dir={profile}", "-c", code],
        env={**os.environ, **names},
        cwd=profile.parent,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


@pytest.mark.slow
def test_a_run_of_two_images_is_kept(profile):
    code = "RE(session.optimize(images=2)); print('power:', excitation.power.get() > 0)"
    ended = ipython(profile, code)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "run it:     RE(session.optimize(images=5))" in ended.stdout
    assert "power: True" in ended.stdout
    (run,) = list_runs(CatalogFolder.open(profile.parent / "catalog"))
    assert (run.images, run.exit_status, run.preset) == (2, "success", "demo")


@pytest.mark.slow
def test_the_session_is_closed_when_ipython_ends(profile):
    """Registered before the session is opened, so called after it is closed."""
    watch = "import atexit\n_watched = []\natexit.register(lambda: print('left', _watched[0]()))\n"
    (profile / "startup" / "!first.py").write_text(watch)
    code = "_watched.append(session.instrument.application.measurement_names)"
    ended = ipython(profile, code)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "left []" in ended.stdout
