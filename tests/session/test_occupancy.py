"""A second session on the same microscope is refused, in one line that says who has it."""

import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys

import pytest

from stedopt_bluesky.session import occupancy, shared_lock
from stedopt_bluesky.session.address import Address
from stedopt_bluesky.session.occupancy import MicroscopeInUseError, lock_path, occupied

HOLDER = """
import sys
from pathlib import Path
from stedopt_bluesky.session import occupancy
from stedopt_bluesky.session.address import Address
from stedopt_bluesky.session.occupancy import occupied
occupancy.FOLDER = Path(sys.argv[2])
with occupied(Address("twin", "127.0.0.1", int(sys.argv[1]))):
    print("held", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    folder = tmp_path / "microscopes"
    monkeypatch.setattr(occupancy, "FOLDER", folder)
    return folder


@pytest.fixture
def holder(own_folder):
    """Another process that has a microscope."""
    started = []

    def start(port):
        process = subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(port), str(own_folder)],
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
    assert message.endswith("): end that session")  # what it runs
    assert len(message) < 600


def test_another_microscope_is_free(holder):
    holder(5001)
    with (
        occupied(Address("twin", "127.0.0.1", 5002)),
        occupied(Address("specpy")),
        occupied(Address("specpy", "192.0.2.1")),
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
    dog = shared_lock.hold(lock_path(address, "watchdog"))
    assert "still being switched off by the watchdog" in refused(address)
    dog.let_go()
    with occupied(address):
        pass


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b'{"pid": 1}', b"\xff"])
def test_who_cannot_be_named_is_another_session(holder, own_folder, text):
    holder(5001)
    address = Address("twin", "127.0.0.1", 5001)
    (beside,) = own_folder.glob("*.json")
    beside.write_bytes(text)
    assert refused(address) == (
        "the twin at 127.0.0.1:5001 is in use by another session: end that session"
    )


def test_what_the_file_says_stays_one_line(holder, own_folder):
    holder(5001)
    address = Address("twin", "127.0.0.1", 5001)
    told = {"pid": 1, "user": "a\nb", "since": "x", "what": "y" * 5000}
    (beside,) = own_folder.glob("*.json")
    beside.write_text(json.dumps(told))
    assert len(refused(address)) < 600


def test_users_share_it():
    address = Address("specpy", "imspector-pc")
    before = os.umask(0o077)
    try:
        with occupied(address):
            path = lock_path(address)
            assert path.stat().st_mode & 0o777 == 0o666
            assert stat.S_IMODE(path.parent.stat().st_mode) == 0o1777
    finally:
        os.umask(before)


# --- one lock for all names and all users -----------------------------------------------


@pytest.mark.parametrize("kind", ["specpy", "twin"])
@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST.", "127.0.0.1", "127.0.0.2", socket.gethostname()]
)
def test_this_computer_is_one_whatever_it_is_called(kind, host):
    assert lock_path(Address(kind, host)) == lock_path(Address(kind, ""))
    with occupied(Address(kind, host)):
        assert "is in use by process" in refused(Address(kind))


def test_another_computer_is_another_one(monkeypatch):
    """By its address: that of a documentation's net, which no computer has."""

    def known(host, *_, **__):
        assert host in ("imspector-pc", "imspector-pc.lab")
        return [(socket.AF_INET, socket.SOCK_DGRAM, 17, "", ("192.0.2.7", 0))]

    monkeypatch.setattr(socket, "getaddrinfo", known)
    names = ("imspector-pc", "Imspector-PC.lab")
    assert {Address("specpy", name).computer for name in names} == {"192.0.2.7"}


def test_a_computer_that_is_not_known_has_its_name(monkeypatch):
    def unknown(*_, **__):
        raise socket.gaierror

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    assert Address("specpy", "Imspector-PC").computer == "imspector-pc"


def test_the_folder_is_not_the_environments(monkeypatch, tmp_path):
    monkeypatch.setattr(occupancy, "FOLDER", None)
    before = lock_path(Address("specpy"))
    for name in ("TMPDIR", "TEMP", "TMP", "XDG_RUNTIME_DIR", "HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    assert lock_path(Address("specpy")) == before
    assert before.parent.parent.as_posix() in ("/run/lock", "/tmp")  # noqa: S108


def test_a_file_that_a_killed_session_left_is_taken(own_folder):
    address = Address("specpy")
    own_folder.mkdir()
    lock_path(address).touch(mode=0o666)
    with occupied(address):
        assert "in use by process" in refused(address)


def test_a_lock_file_that_is_a_link_is_not_followed(own_folder, tmp_path):
    own_folder.mkdir()
    aim = tmp_path / "aim"
    lock_path(Address("specpy")).symlink_to(aim)
    assert "its lock" in refused(Address("specpy"))
    assert not aim.exists()
    aim.mkdir()
    assert "cannot be written" in refused(Address("specpy"))


def test_a_pipe_is_no_lock_file(own_folder):
    own_folder.mkdir()
    os.mkfifo(lock_path(Address("specpy")))
    assert refused(Address("specpy")).endswith("cannot be written: it is no file")


def test_a_folder_that_is_a_link_is_refused(own_folder, tmp_path):
    own_folder.symlink_to(tmp_path)
    message = refused(Address("specpy"))
    assert message == (
        "the Imspector on this computer cannot be taken, the folder of its lock "
        f"{own_folder} is no folder but a link or a file: remove it"
    )


@pytest.mark.skipif(os.name == "nt" or os.getuid() != 0, reason="gives folders to other users")
def test_a_folder_of_another_user_is_sticky_or_refused(own_folder):
    own_folder.mkdir()
    own_folder.chmod(0o777)
    os.chown(own_folder, 65534, -1)
    assert re.search("belongs to another user and is not sticky", refused(Address("specpy")))
    own_folder.chmod(0o1777)
    with occupied(Address("specpy")):
        pass


@pytest.mark.skipif(os.name == "nt" or os.getuid() != 0, reason="acts as other users")
def test_what_another_users_killed_session_left_is_in_nobodys_way(own_folder):
    address = Address("specpy")
    with occupied(address):
        pass
    lock = lock_path(address)
    lock.touch()
    lock.chmod(0o666)
    left = lock.with_suffix(".65534.json")
    left.write_text('{"pid": 1, "user": "gone", "since": "", "what": ""}')
    os.utime(left, (1, 1))
    for path in (lock, left):
        os.chown(path, 65534, -1)
    with occupied(address):
        assert f"by process {os.getpid()} of" in refused(address)


def test_the_folder_of_an_earlier_version_becomes_sticky(own_folder):
    own_folder.mkdir()
    own_folder.chmod(0o777)
    with occupied(Address("specpy")):
        assert stat.S_IMODE(own_folder.stat().st_mode) == 0o1777
