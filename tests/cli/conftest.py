"""The command line in this process, and a catalogue with three runs to look at."""

import json
import os
import shutil
import signal
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner

from stedopt_bluesky.cli import app
from stedopt_bluesky.session import deciding
from tests.small import small_toml

# A process that feeds the catalogue takes seconds of the processor for each run.
UNFED = "[catalog]\nbackground = false\n"
SMALL_TOML = small_toml(UNFED, images=3, seed=1, operator="Ada")


def call(*arguments):
    """Call ``stedopt`` in this process."""
    return CliRunner().invoke(app, [str(a) for a in arguments])


def call_json(*arguments):
    """Call with ``--json``; standard output must be one JSON document and nothing else."""
    result = call(*arguments, "--json")
    return json.loads(result.stdout), result


def interrupt_while_choosing(monkeypatch, iteration, number=signal.SIGINT, then=lambda: None):
    """Send this process a signal while the n-th choice is made, as Ctrl-C would."""
    make = deciding.make_choose

    def make_choose(config, preference):
        choose = make(config, preference)

        def interrupting(options):
            if options.iteration == iteration:
                os.kill(os.getpid(), number)
                then()
            return choose(options)

        return interrupting

    monkeypatch.setattr(deciding, "make_choose", make_choose)


@pytest.fixture
def pictures():
    """With it runs are drawn as for a user."""


@pytest.fixture(autouse=True)
def _no_pictures(request, monkeypatch):
    """A picture takes most of a run of three images: only who asks for `pictures` has one."""
    if "pictures" not in request.fixturenames:
        monkeypatch.setattr("stedopt_bluesky.cli.showing._save_figure", lambda *_, **__: None)


@pytest.fixture(scope="session")
def toml(tmp_path_factory):
    """A small experiment as a file; its runs are in no catalogue until they are ingested."""
    path = tmp_path_factory.mktemp("config") / "small.toml"
    path.write_text(SMALL_TOML)
    return path


@pytest.fixture(scope="session")
def fed_toml(toml):
    """The same, with a catalogue that is fed beside it, as by default."""
    path = toml.with_name("fed.toml")
    path.write_text(SMALL_TOML.replace(UNFED, ""))
    return path


@dataclass(frozen=True)
class Stored:
    """A catalogue: a finished run of tubulin, an aborted one of actin, and its continuation."""

    catalog: Path
    finished: dict
    aborted: dict
    resumed: dict


@pytest.fixture(scope="session")
def stored(tmp_path_factory, toml):
    """Read only."""
    catalog = tmp_path_factory.mktemp("stored") / "my catalogue"
    begin = ("run", toml, "--catalog", catalog)
    finished, result = call_json(*begin, "--sample", "tubulin")
    assert result.exit_code == 0, result.stderr
    with pytest.MonkeyPatch.context() as monkeypatch:
        interrupt_while_choosing(monkeypatch, iteration=1)
        aborted, result = call_json(*begin, "--images", 4)
    assert result.exit_code == 130, result.stderr
    resumed, result = call_json("resume", aborted["uid"][:8], "--catalog", catalog)
    assert result.exit_code == 0, result.stderr
    return Stored(catalog, finished, aborted, resumed)


@pytest.fixture
def copied(stored, tmp_path_factory):
    """The same to be written to, without Tiled's databases."""
    catalog = tmp_path_factory.mktemp("copied") / "catalogue"
    ignore = shutil.ignore_patterns("tiled", "locks", "figures")
    shutil.copytree(stored.catalog, catalog, ignore=ignore)
    return Stored(catalog, stored.finished, stored.aborted, stored.resumed)


@pytest.fixture(scope="session")
def stedopt():
    return call


@pytest.fixture(scope="session")
def stedopt_json():
    return call_json


@pytest.fixture
def interrupt(monkeypatch):
    def at(iteration, **more):
        interrupt_while_choosing(monkeypatch, iteration, **more)

    return at


@pytest.fixture
def journal():
    """Function that gives the path of a run's journal."""

    def path(catalog, uid):
        (found,) = Path(catalog).glob(f"journal/*/{uid}*.jsonl")
        return found

    return path


@pytest.fixture
def small(toml, tmp_path):
    """Arguments of a small run into a catalogue of its own."""
    return ("run", toml, "--catalog", tmp_path / "cat")


def rewrite(path, change):
    """Rewrite a journal; ``change`` edits a document in place and says whether it did."""
    records = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    streams = {doc["uid"]: doc["name"] for name, doc in records if name == "descriptor"}
    assert any([change(name, doc, streams.get(doc.get("descriptor"))) for name, doc in records])  # noqa: C419
    path.write_text("".join(json.dumps(record) + "\n" for record in records), "utf-8")


@pytest.fixture(scope="session")
def tamper():
    return rewrite
