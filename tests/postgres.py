"""A PostgreSQL server of the tests' own, where PostgreSQL is installed."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import pytest


@contextlib.contextmanager
def running_postgres():
    """Start one; give the address of an empty database. Skips where there is none."""
    places = [shutil.which("initdb"), *sorted(map(str, _debian()))]
    initdb = next((place for place in places if place), None)
    if initdb is None:
        pytest.skip("no PostgreSQL here")
    as_user = []
    if os.geteuid() == 0:  # it refuses to be root
        if not shutil.which("runuser") or not _user("postgres"):
            pytest.skip("PostgreSQL does not run as root, and there is no user postgres")
        as_user = ["runuser", "-u", "postgres", "--"]
    # Not below pytest's folder, which is for this user alone.
    data = Path(tempfile.mkdtemp(prefix="stedopt-postgres-"))
    if as_user:
        shutil.chown(data, "postgres", "postgres")
    binaries = os.path.dirname(os.path.realpath(initdb))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]

    def run(program, *arguments):
        return [*as_user, os.path.join(binaries, program), *map(str, arguments)]

    subprocess.run(
        run("initdb", "-D", data, "-U", "sted", "-A", "trust", "--no-sync"),
        check=True, capture_output=True,
    )  # fmt: skip
    options = ["-c", "listen_addresses=127.0.0.1", "-c", f"unix_socket_directories={data}"]
    server = subprocess.Popen(
        run("postgres", "-D", data, "-p", port, *options), stderr=subprocess.DEVNULL
    )
    try:
        finish = time.monotonic() + 60
        while not _listens(port):
            assert time.monotonic() < finish, "PostgreSQL has not come"
            time.sleep(0.1)
        yield f"postgresql://sted:unused@127.0.0.1:{port}/postgres"
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(20)
        shutil.rmtree(data, ignore_errors=True)


def _listens(port):
    with socket.socket() as trying:
        return trying.connect_ex(("127.0.0.1", port)) == 0


def _debian():
    return Path("/usr/lib/postgresql").glob("*/bin/initdb")


def _user(name):
    import pwd

    with contextlib.suppress(KeyError):
        return pwd.getpwnam(name)
