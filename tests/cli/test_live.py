"""``stedopt live``: real runs in other processes, a real Tiled server."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest

from stedopt_bluesky.records import CatalogFolder, RunRecord, find_run, journal_paths
from tests.cli.services import serving
from tests.records.lookers import Emitter, model_of, run_documents

PATIENCE_S = 100
READER, WRITER = "areaderskeyofthetests", "awriterskeyofthetests"
DOCUMENTS = run_documents(6)


@contextlib.contextmanager
def program(*arguments, **variables):
    """A ``stedopt`` process with pipes."""
    environment = {**os.environ, "PYTHONUTF8": "1", "OMP_NUM_THREADS": "1", **variables}
    process = subprocess.Popen(
        [sys.executable, "-m", "stedopt_bluesky.cli", *map(str, arguments)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def ended(process):
    """Exit code, and what was written."""
    out, err = process.communicate(timeout=PATIENCE_S)
    return process.returncode, out, err


def strict(documents):
    """As JSON has them: an invalid objective is null."""
    return json.loads(json.dumps(documents).replace("NaN", "null"))


@pytest.fixture
def folder(tmp_path):
    return CatalogFolder.create_or_open(tmp_path / "my catalogue")


@pytest.mark.slow
@pytest.mark.timeout(400)  # programs that start on a loaded machine
def test_another_process_sees_every_document_of_a_real_run(folder, toml):
    with program("live", "--json", "--catalog", folder.path) as looker:
        assert "waiting for the next one" in looker.stderr.readline()
        with program("run", toml, "--catalog", folder.path, "--json") as runner:
            code, out, err = ended(looker)
            assert code == 0, err
            run_code, run_out, run_err = ended(runner)
            assert run_code == 0, run_err
    seen = [json.loads(line) for line in out.splitlines()]
    record = RunRecord.read(find_run(folder, json.loads(run_out)["uid"]))
    assert [(s["name"], s["doc"]) for s in seen] == [
        (name, strict(doc)) for name, doc in record.documents
    ]
    assert {s["missed"] for s in seen} == {0}
    assert {s["run"] for s in seen} == {record.uid}
    assert list(folder.locks.glob("live-*")) == []


@pytest.mark.slow
@pytest.mark.timeout(400)  # programs that start on a loaded machine
def test_a_microscope_elsewhere_by_its_address(folder, toml, tmp_path):
    """As through SSH: no folder, a port that the configuration tells."""
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    config = tmp_path / "live.toml"
    config.write_text(f'{toml.read_text()}\n[live]\naddress = "{address}"\n')
    nowhere = ("--catalog", tmp_path / "nowhere")
    with program("live", address, "--json", *nowhere) as looker:
        assert address in looker.stderr.readline()
        with program("run", config, "--catalog", folder.path) as runner:
            code, out, err = ended(looker)
            assert code == 0, err
            assert ended(runner)[0] == 0
    seen = [json.loads(line) for line in out.splitlines()]
    (path,) = journal_paths(folder)
    documents = RunRecord.read(path).documents
    assert len(seen) + sum(s["missed"] for s in seen) == len(documents)
    last = documents[len(documents) - len(seen) :]
    assert [s["doc"] for s in seen] == [strict(doc) for _, doc in last]


@pytest.mark.slow
@pytest.mark.timeout(400)  # programs that start on a loaded machine
def test_a_late_one_far_away_catches_up_from_a_tiled_server(folder, tmp_path):
    keys = {"STEDOPT_READ_KEY": READER}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STEDOPT_READ_KEY", READER)
        server = serving("catalog", "--catalog", folder.path, key=WRITER)
        with server as (_, uri), Emitter(folder) as emit:
            emit(DOCUMENTS[:5])
            arguments = ("--catalog-uri", uri, "--catalog", tmp_path / "nowhere", "--json")
            address = emit.publisher.address
            with program("live", address, *arguments, **keys) as looker:
                assert emit.publisher.wait_for_subscriber(PATIENCE_S)
                emit(DOCUMENTS[5:])
                code, out, err = ended(looker)
    assert code == 0, err
    assert "5 earlier documents of run a-run were missed: asking the catalogue" in err
    assert READER not in err + out
    seen = [json.loads(line) for line in out.splitlines()]
    assert {s["source"] for s in seen} == {"live", "catalogue"}
    model = model_of((s["name"], s["doc"]) for s in seen)
    table = RunRecord.read(find_run(folder, "a-run")).table("primary")
    assert model.missing == 0
    for key in ("seq_num", "objective_resolution_nm", "depletion_power_mW"):
        assert model.table()[key].tolist() == table[key].tolist()
    events = [s["doc"]["seq_num"] for s in seen if s["name"] == "event"]
    assert sorted(events) == list(range(1, 7))  # each once


def test_a_line_for_each_image_where_there_is_no_terminal(folder, stedopt):
    with Emitter(folder) as emit:
        emit(DOCUMENTS)
    result = stedopt("live", "a-r", "--catalog", folder.path)
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[0] == "run a-run · actin · classical · Ada"
    assert lines[1:-1] == [line for line in lines if re.match(r"image \d of 6: depletion", line)]
    assert len(lines) == 1 + 6 + 1
    assert lines[-1] == "image 6 of 6: ended: success"


def terminal(*arguments, until=b"", number=signal.SIGINT):
    """What is shown at a terminal; a signal is sent as soon as something stands there."""
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "stedopt_bluesky.cli", *map(str, arguments)],
        env={**os.environ, "PYTHONUTF8": "1", "TERM": "xterm", "COLUMNS": "100", "LINES": "40"},
        stdout=theirs,
        stderr=theirs,
        stdin=theirs,
    )
    os.close(theirs)
    shown = b""
    finish = time.monotonic() + PATIENCE_S
    try:
        with contextlib.suppress(OSError):  # the end, as Linux has it
            while chunk := os.read(ours, 65536):
                assert time.monotonic() < finish, shown
                shown += chunk
                if until and until in shown:
                    process.send_signal(number)
                    until = b""
        return process.wait(PATIENCE_S), shown.decode("utf-8", "replace")
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def test_at_a_terminal_ctrl_c_leaves_it_as_it_was(folder):
    with Emitter(folder) as emit:
        emit(run_documents(6, sample="[red]x\x1b]0;title\x07")[:5])
        code, shown = terminal("live", "--catalog", folder.path, until=b"image 3 of 6")
    assert code == 130
    assert "[red]x]0;title" in shown
    assert "\x1b]0;title" not in shown
    assert shown.count("\x1b[?25l") == shown.count("\x1b[?25h") == 1  # the cursor
    assert "Traceback" not in shown


def test_following_ends_with_ctrl_c_and_is_done_then(folder):
    with program("live", "--follow", "--json", "--catalog", folder.path) as looker:
        assert "waiting" in looker.stderr.readline()
        with Emitter(folder) as emit:
            emit([*DOCUMENTS, *run_documents(1, uid="b-run", time_s=1_700_000_500.0)])
        runs = [json.loads(looker.stdout.readline())["run"] for _ in range(len(DOCUMENTS) + 4)]
        looker.send_signal(signal.SIGINT)
        assert ended(looker)[0] == 0
    assert runs == ["a-run"] * len(DOCUMENTS) + ["b-run"] * 4


def test_who_reads_no_further_is_no_error(folder):
    with Emitter(folder) as emit:
        emit(run_documents(3000))
    for as_json in ([], ["--json"]):
        arguments = ("live", "a-run", "--catalog", folder.path, *as_json)
        with program(*arguments) as looker:
            looker.stdout.readline()
            looker.stdout.close()
            assert looker.wait(PATIENCE_S) == 0
            assert looker.stderr.read() == ""
            looker.stdout = open(os.devnull)  # noqa: SIM115  for communicate


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["0.0.0.0:5577"], "address = '0.0.0.0:5577': 127.0.0.1:PORT"),
        (["127.0.0.1:x"], "address = '127.0.0.1:x': 127.0.0.1:PORT"),
        (["nosuchrun"], "begins with 'nosuchrun'"),
        (["--catalog-uri", "http://127.0.0.1:8000"], "catalog-uri = "),
        (["127.0.0.1:5577", "--catalog-uri", "http://127.0.0.1:8000"], "set STEDOPT_READ_KEY"),
        (["127.0.0.1:5577", "--catalog-uri", "microscope"], "catalog-uri: http://HOST:PORT"),
    ],
)
def test_what_cannot_be_looked_at_is_told_in_one_line(
    folder, stedopt, monkeypatch, arguments, says
):
    for name in ("STEDOPT_READ_KEY", "STEDOPT_CATALOG_KEY"):
        monkeypatch.delenv(name, raising=False)
    result = stedopt("live", *arguments, "--catalog", folder.path)
    assert result.exit_code == 2
    assert says in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_there_is_no_catalogue(tmp_path, stedopt):
    result = stedopt("live", "--catalog", tmp_path / "nowhere")
    assert result.exit_code == 2
    assert "there is no catalogue at" in result.stderr
