"""A second session on the same microscope is refused, in one line that says who has it."""

import json
import os
import signal
import subprocess
import sys

import pytest

from stedopt_bluesky.records import locks
from stedopt_bluesky.session import occupancy
from stedopt_bluesky.session.address import Address
from stedopt_bluesky.session.occupancy import MicroscopeInUseError, lock_path, occupied

HOLDER = """
import sys
from stedopt_bluesky.session.address import Address
from stedopt_bluesky.session.occupancy import occupied
with occupied(Address("twin", "127.0.0.1", int(sys.argv[1]))):
    print("held", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)


@pytest.fixture
def holder():
    """Another process that has a microscope."""
    started = []

    def start(port):
        process = subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout.readline() == "held\n"
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def refused(address):
    with pytest.raises(MicroscopeInUseError) as error, occupied(address):
        pass
    message = str(error.value)
    assert "\n" not in message
    return message


def test_the_second_is_told_who_is_there(holder):
    process = holder(5001)
    message = refused(Address("twin", "127.0.0.1", 5001))
    assert message.startswith(f"the twin at 127.0.0.1:5001 is in use by process {process.pid} of ")
    assert "since 20" in message
    assert message.endswith("5001): end that session")  # what it runs
    assert len(message) < 600


def test_another_microscope_is_free(holder):
    holder(5001)
    with (
        occupied(Address("twin", "127.0.0.1", 5002)),
        occupied(Address("specpy", "127.0.0.1")),
        occupied(Address("specpy")),
    ):
        pass


def test_it_is_free_again_afterwards(holder):
    address = Address("twin", "127.0.0.1", 5001)
    process = holder(5001)
    process.communicate("\n")
    with occupied(address):
        assert "in use by process" in refused(address)
    with occupied(address):
        pass
    assert list(lock_path(address).parent.iterdir()) == []


def test_the_dead_do_not_hold_it(holder):
    process = holder(5001)
    process.send_signal(signal.SIGKILL)
    process.wait()
    with occupied(Address("twin", "127.0.0.1", 5001)):
        pass


def test_the_watchdog_of_a_dead_session_is_waited_for(monkeypatch):
    monkeypatch.setattr(occupancy, "_WATCHDOG_S", 0.05)
    address = Address("twin", "127.0.0.1", 5001)
    with occupied(address):
        pass  # makes the folder
    dog = locks.hold(lock_path(address, "watchdog"))
    assert "still being switched off by the watchdog" in refused(address)
    locks.let_go(dog)
    with occupied(address):
        pass


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b'{"pid": 1}', b"\xff"])
def test_who_cannot_be_named_is_another_session(holder, text):
    holder(5001)
    address = Address("twin", "127.0.0.1", 5001)
    lock_path(address).with_suffix(".json").write_bytes(text)
    assert refused(address) == (
        "the twin at 127.0.0.1:5001 is in use by another session: end that session"
    )


def test_what_the_file_says_stays_one_line(holder):
    holder(5001)
    address = Address("twin", "127.0.0.1", 5001)
    told = {"pid": 1, "user": "a\nb", "since": "x", "what": "y" * 5000}
    lock_path(address).with_suffix(".json").write_text(json.dumps(told))
    assert len(refused(address)) < 600


def test_users_share_it():
    address = Address("specpy", "imspector-pc")
    before = os.umask(0o077)
    try:
        with occupied(address):
            path = lock_path(address)
            assert path.stat().st_mode & 0o777 == 0o666
            assert path.parent.stat().st_mode & 0o777 == 0o777
    finally:
        os.umask(before)
