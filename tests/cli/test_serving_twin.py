"""`stedopt serve twin` in a process of its own, and runs of others on it."""

import os
import re
import signal

import pytest

from stedopt_bluesky.twin.line import NoTwinError
from stedopt_bluesky.twin.remote import RemoteTwin
from tests.cli.services import KEY, end, serving


@pytest.fixture(scope="module")
def served(toml):
    with serving("twin", toml, "--real-time", "--seed", "5") as (_, address):
        yield address


@pytest.fixture
def with_host(toml, tmp_path):
    """Make a configuration on a served twin."""

    def make(address, more=""):
        path = tmp_path / "served.toml"
        text = toml.read_text()
        lines = f'[microscope]\nhost = "{address}"\n{more}'
        path.write_text(text.replace("[microscope]", lines))
        return path

    return make


@pytest.mark.slow
def test_a_run_on_a_served_twin(served, with_host, stedopt_json, tmp_path, monkeypatch):
    monkeypatch.setenv("STEDOPT_API_KEY", KEY)
    assert re.fullmatch(r"127\.0\.0\.1:\d+", served)
    run = ("run", with_host(served), "--catalog", tmp_path / "cat")
    told, result = stedopt_json(*run)
    assert result.exit_code == 0, result.stderr
    assert (told["exit_status"], len(told["images"])) == ("success", 3)
    twin = RemoteTwin(*_parts(served), KEY)
    assert twin.measurement_names() == []
    assert not any(twin.emitting.values())
    assert {record.configuration for record in twin.emission_log} == {
        "confocal",
        "sted",
        "overview",
    }


@pytest.mark.slow
def test_an_open_interlock_ends_a_run_of_the_command_line(
    served, with_host, stedopt_json, tmp_path, monkeypatch
):
    monkeypatch.setenv("STEDOPT_API_KEY", KEY)
    monkeypatch.setattr("sys.argv", ["stedopt"])
    twin = RemoteTwin(*_parts(served), KEY)
    toml = with_host(served, 'interlock_path = "Interlock/closed"\n')
    scanned = len(twin.emission_log)
    twin.set_interlock(False)
    told, result = stedopt_json("run", toml, "--catalog", tmp_path / "cat")
    twin.set_interlock(True)

    assert result.exit_code == 1
    assert told["exit_status"] == "abort"
    assert told["reason"] == "suspended: the interlock is open (Interlock/closed)"
    assert "the run ended early: suspended: the interlock is open" in result.stderr
    assert len(twin.emission_log) == scanned
    command = told["commands"]["continue"].split()[1:]
    told, result = stedopt_json(*command)
    assert result.exit_code == 0, result.stderr
    assert (told["exit_status"], len(told["images"])) == ("success", 3)


def _parts(address):
    host, _, port = address.rpartition(":")
    return host, int(port)


def test_a_second_session_is_refused(served, with_host, stedopt, tmp_path, monkeypatch):
    from stedopt_bluesky.session.address import Address
    from stedopt_bluesky.session.occupancy import occupied

    monkeypatch.setenv("STEDOPT_API_KEY", KEY)
    with occupied(Address("twin", *_parts(served))):
        result = stedopt("run", with_host(served), "--catalog", tmp_path / "cat")
    assert result.exit_code == 2
    assert len(result.stderr.splitlines()) == 1
    assert f"error: the twin at {served} is in use by process {os.getpid()} of" in result.stderr
    assert not (tmp_path / "cat").exists()


def test_an_interlock_that_is_not_there_is_refused(
    served, with_host, stedopt, tmp_path, monkeypatch
):
    monkeypatch.setenv("STEDOPT_API_KEY", KEY)
    toml = with_host(served, 'interlock_path = "Interlock/door"\n')
    result = stedopt("run", toml, "--catalog", tmp_path / "cat")
    assert result.exit_code == 2
    assert "microscope.interlock_path = 'Interlock/door': Imspector has no such" in result.stderr
    assert not (tmp_path / "cat").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_in_good_order_and_tells_a_made_key_once(toml, number):
    with serving("twin", toml, key=None) as (process, address):
        with pytest.raises(NoTwinError):
            RemoteTwin(*_parts(address), KEY)
        code, stdout, stderr = end(process, number)
    assert code == 0
    assert stdout == ""
    assert len(re.findall(r"^API key: [0-9a-f]{64}$", stderr, re.M)) == 1
    assert "Traceback" not in stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--port", -1), "port = -1: 0 to 65535"),
        (("--sample", "collagen"), "sample.name = 'collagen': no such file"),
        (("--preset", "demmo"), "preset = 'demmo'"),
        (("nowhere.toml",), "nowhere.toml"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(stedopt, monkeypatch, arguments, words):
    monkeypatch.setenv("STEDOPT_API_KEY", KEY)
    result = stedopt("serve", "twin", *arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert words in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_a_short_key_is_refused(stedopt, monkeypatch):
    monkeypatch.setenv("STEDOPT_API_KEY", "short")
    result = stedopt("serve", "twin")
    assert result.exit_code == 2
    assert "STEDOPT_API_KEY: 16 to 256" in result.stderr
