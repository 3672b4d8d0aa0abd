"""No key anywhere: not in what is written, printed or shown in the list of processes.

What else is refused is tested where it is refused; docs/explanations/security.md says where.
"""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from typer.testing import CliRunner

from stedopt_bluesky.cli import app
from tests.cli.services import end, serving
from tests.small import small_toml

WRITER, READER, WRONG = "awriterskeyofthistest", "areaderskeyofthistest", "awrongkeyofthistest"
PASSWORD = "thepasswordofthistest"  # noqa: S105  the point of the test


needs_proc = pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="no /proc here")


class CommandLines:
    """All command lines of this computer, looked at again and again while entered.

    Also at the end; that nothing was seen, which would tell nothing, fails the test.
    """

    def __init__(self):
        self.seen = set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()
        assert Path("/proc/self/cmdline").read_bytes() in self.seen

    def _look(self):
        ended = False
        while not ended:
            ended = self._stop.wait(0.05)
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    self.seen.add(path.read_bytes())
                except OSError:
                    continue


def files_with(folder, secrets):
    found = [path for path in folder.rglob("*") if path.is_file()]
    assert found
    return [path for path in found for secret in secrets if secret.encode() in path.read_bytes()]


@pytest.mark.slow
@pytest.mark.timeout(400)
@needs_proc
def test_no_key_is_written_printed_or_shown(tmp_path, monkeypatch):
    secrets = (WRITER, READER, WRONG)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))  # Tiled's client keeps things there
    monkeypatch.setenv("STEDOPT_READ_KEY", READER)
    (tmp_path / "home").mkdir()
    catalogs = [str(tmp_path / name) for name in ("served", "right", "wrong")]
    said = []

    def stedopt(*arguments, key):
        command = [sys.executable, "-m", "stedopt_bluesky.cli", *arguments]
        environment = {**os.environ, "STEDOPT_CATALOG_KEY": key}
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False, timeout=300
        )
        said.extend((done.stdout, done.stderr))
        return done.returncode

    with CommandLines() as lines:
        with serving("catalog", "--catalog", catalogs[0], key=WRITER) as (process, address):
            toml = tmp_path / "small.toml"
            served = f'[catalog]\nuri = "{address}"\n'
            toml.write_text(small_toml(served, images=1, seed=1))
            assert stedopt("run", str(toml), "--catalog", catalogs[1], key=WRITER) == 0
            assert stedopt("ingest", "--catalog", catalogs[1], "--to", address, key=WRONG) == 2
            assert stedopt("run", str(toml), "--catalog", catalogs[2], key=WRONG) == 0
            assert stedopt("ingest", "--catalog", catalogs[2], "--to", address, key=READER) == 1
            said.extend(map(str, end(process, 15)))
        # A server that is there no longer.
        assert stedopt("ingest", "--catalog", catalogs[2], "--to", address, key=WRITER) == 1
    assert any("refuses the key" in text for text in said)
    assert any(b"ingest_process" in line for line in lines.seen)
    for secret in secrets:
        assert not [line for line in lines.seen if secret.encode() in line]
        assert not [text for text in said if secret in text]
    assert files_with(tmp_path, secrets) == []


@needs_proc
@pytest.mark.parametrize("place", ["127.0.0.1:1", "127.0.0.1:notaport", "[::1"])
def test_no_password_of_a_database_is_shown(tmp_path, monkeypatch, place):
    uri = f"postgresql://sted:{PASSWORD}@{place}/runs"
    monkeypatch.setenv("STEDOPT_CATALOG_DATABASE", uri)
    arguments = ["serve", "catalog", "--catalog", str(tmp_path / "cat"), "--port", "0"]
    with CommandLines() as lines:
        result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    assert len(result.stderr.strip().splitlines()) == 1
    assert PASSWORD not in result.output
    assert not [line for line in lines.seen if PASSWORD.encode() in line]


def test_nothing_is_unpickled_by_a_switch():
    """Ruff's rules S forbid pickle, eval and shells; numpy's switch they do not know."""
    package = Path(__file__).parents[1] / "stedopt_bluesky"
    texts = {path: path.read_text("utf-8") for path in package.rglob("*.py")}
    assert len(texts) > 100
    assert [path for path, text in texts.items() if "allow_pickle=True" in text] == []
    assert [path for path, text in texts.items() if "weights_only=False" in text] == []
    project = (package.parent / "pyproject.toml").read_text("utf-8")
    assert '"PL", "S",' in project
