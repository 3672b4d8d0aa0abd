"""The profile images in IPython and in Jupyter, and switches the lasers off when they end."""

import os
import shutil
import subprocess
import sys

import pytest

from stedopt_bluesky.records import CatalogFolder, RunRecord, find_run, list_runs
from stedopt_bluesky.records.resume import RESUMES
from tests.kernels import PROFILE, kernel

# A small sample is made in a moment; any piece of it will do.
CONFIG = """
preset = "classical"
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


def environment(**variables):
    names = {"STEDOPT_CATALOG": "catalog", "STEDOPT_CONFIG": "config.toml", **variables}
    return {**os.environ, **names}


def ipython(profile, code, *, by_name=False, **variables):
    named = (f"--ipython-dir={profile.parent}", "--profile=stedopt")
    return subprocess.run(
        [
            *(sys.executable, "-m", "IPython"),
            *(named if by_name else (f"--profile-dir={profile}",)),
            *("-c", code),
        ],
        env=environment(**variables),
        cwd=profile.parent,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def runs(profile):
    return list_runs(CatalogFolder.open(profile.parent / "catalog"))


@pytest.mark.slow
def test_a_run_of_two_images_is_kept(profile):
    code = "RE(optimize(images=2)); print('power:', excitation.power.get() > 0)"
    ended = ipython(profile, code)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "run it:     RE(optimize(images=5))" in ended.stdout
    assert "power: True" in ended.stdout
    (run,) = runs(profile)
    assert (run.images, run.exit_status, run.preset) == (2, "success", "classical")


@pytest.mark.slow
def test_the_session_is_closed_when_ipython_ends(profile):
    """Registered before the session is opened, so called after it is closed."""
    watch = "import atexit\n_watched = []\natexit.register(lambda: print('left', _watched[0]()))\n"
    (profile / "startup" / "!first.py").write_text(watch)
    code = "_watched.append(session.instrument.application.measurement_names)"
    ended = ipython(profile, code)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "left []" in ended.stdout


MAGICS = """
%optimize 1
%runs
%mov depletion 80
%wa lasers
for line in ("%optimize many", "%show nowhere", "%live now"):
    get_ipython().run_cell(line)  # an error ends a cell
uid = catalog[-1].start["uid"]
%show {uid}
%live
%live
RE(optimize(images=1))
%live off
print("hook:", RE.waiting_hook is not None)
print("catalogued:", len(list(catalog)), db[-1].table("primary").shape[0])
RE(resume(uid, images=1))
"""


@pytest.mark.slow
def test_magics_and_the_catalogue_that_opens_when_it_is_used(profile):
    ended = ipython(profile, MAGICS, by_name=True, STEDOPT_PROMPT="1")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    newest, second, first = runs(profile)
    resumed = RunRecord.read(find_run(CatalogFolder.open(profile.parent / "catalog"), newest.uid))
    assert resumed.start[RESUMES] == first.uid
    out = ended.stdout
    assert f"run  {first.uid}" in out
    assert "depletion_power_mW             80.0" in out
    assert "%optimize many: how many images, a whole number" in out + ended.stderr
    assert "%show nowhere: no run in" in out + ended.stderr
    assert "%live now: %live or %live off" in out + ended.stderr
    # No terminal: a line for each image, of the one run that was watched.
    assert out.count(f"run {second.uid[:8]} · actin · classical") == 1
    assert out.count("image 1 of 1: excitation power") == 1
    assert out.count("image 1 of 1: ended: success") == 1
    assert "hook: True" in out
    assert "catalogued: 2 1" in out
    assert second.images == 1


@pytest.mark.slow
def test_nothing_is_opened_before_it_is_used(profile):
    code = """
import sys
print("opened:", _opened.is_open, "tiled.client" in sys.modules)
print(catalog, bool(db), hasattr(catalog, "_repr_html_"), _opened.is_open)
"""
    ended = ipython(profile, code)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "opened: False False" in ended.stdout
    assert "<Tiled's client of " in ended.stdout
    assert "> True False False" in ended.stdout


@pytest.mark.slow
def test_a_server_whose_key_is_not_known_is_refused_before_the_microscope(profile):
    with (profile.parent / "config.toml").open("a") as file:
        file.write('[catalog]\nuri = "http://127.0.0.1:1"\n')
    ended = ipython(profile, "print('opened:', 'session' in globals())")
    assert "set STEDOPT_CATALOG_KEY to a key" in ended.stdout + ended.stderr
    assert not (profile.parent / "catalog").exists()


def terminal(profile, answers, **variables):
    """IPython at a terminal at which somebody types; what it shows."""
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()
    code = "print('told', [session.metadata[k] for k in ('sample', 'operator')], asked)"
    program = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "IPython",
            f"--profile-dir={profile}",
            "--colors=nocolor",
            "-c",
            code,
        ],
        env=environment(**variables),
        cwd=profile.parent,
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        os.write(ours, answers.encode())
        return program.communicate(timeout=100)[0]
    finally:
        if program.poll() is None:
            program.kill()
            program.wait()
        for descriptor in (ours, theirs):
            os.close(descriptor)


@pytest.mark.slow
def test_what_is_asked_for_at_a_terminal_stands_in_the_record(profile):
    shown = terminal(profile, "slide 7\n\nthin one\n", STEDOPT_PROMPT="1")
    assert "told ['slide 7', ''] {'sample': 'slide 7', 'comment': 'thin one'}" in shown


@pytest.mark.slow
def test_nothing_is_asked_for_that_was_not_asked_to(profile):
    shown = terminal(profile, "slide 7\n", STEDOPT_PROMPT="0")
    assert "told ['actin', ''] {}" in shown


@pytest.mark.slow
def test_the_profile_serves_a_jupyter_kernel(tmp_path):
    with kernel(tmp_path, CONFIG, STEDOPT_PROMPT="1") as running:
        content, shown, _ = running.run(
            "%live\n%optimize 2\nprint('state', RE.state, depletion.power.get() > 0)"
        )
        assert content["status"] == "ok", content
        assert "state idle True" in shown
        assert "image 2 of 2: ended: success" in shown
    (run,) = runs(tmp_path / "profile_stedopt")
    assert (run.images, run.exit_status) == (2, "success")
