"""A systemd unit as systemd would start it: its command, its environment, where it may write."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FACILITY = ROOT / "profiles" / "facility"
SYSTEMD = FACILITY / "systemd"
# What systemd gives to a service that says nothing.
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass
class Host:
    """Folders that stand for those of a server, and the units with these in them.

    ``etc`` is for the settings and the keys; ``state`` is the services' own.
    """

    folder: Path
    ports: dict[int, int] = field(default_factory=dict)

    def __post_init__(self):
        for path in (self.etc, self.state, self.units, self.temporary, self.credentials):
            path.mkdir(parents=True)

    etc = property(lambda self: self.folder / "etc")
    state = property(lambda self: self.folder / "state")
    units = property(lambda self: self.folder / "units")
    temporary = property(lambda self: self.folder / "private tmp")
    credentials = property(lambda self: self.folder / "credentials")

    def place(self, text):
        """Put this host's paths and ports in place of the server's."""
        for there, here in (
            ("/opt/stedopt/venv/bin", Path(sys.executable).parent),
            ("/opt/stedopt/source", ROOT),
            ("/etc/stedopt", self.etc),
            ("/var/lib/stedopt", self.state),
        ):
            text = text.replace(there, str(here))
        for port, mine in self.ports.items():
            text = re.sub(rf"(--port |:){port}\b", rf"\g<1>{mine}", text)
        return text

    def install(self, *names, drop_ins=()):
        """Write units, and drop-ins by their path, as they would lie on this host."""
        for name in (*names, *drop_ins):
            path = self.units / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(self.place((SYSTEMD / name).read_text("utf-8")), "utf-8")

    def unit(self, name, instance=""):
        """Read an installed unit with its drop-ins."""
        unit = Unit(self, name, instance)
        for path in (self.units / name, *sorted((self.units / f"{name}.d").glob("*.conf"))):
            unit.read(path.read_text("utf-8"))
        return unit


class Unit:
    """The part of systemd's rules that these units use; anything else is an error."""

    def __init__(self, host, name, instance):
        self._host = host
        self._name = name
        self._instance = instance
        self._settings = {}

    def read(self, text):
        for line in text.splitlines():
            if not line or line[0] in "#;[":
                continue
            name, equals, value = line.partition("=")
            assert equals, line
            assert not value.endswith("\\"), line  # goes on in the next one
            self._settings.setdefault(name, []).append(value)

    def all(self, name):
        return [self._filled(value) for value in self._settings.get(name, [])]

    def get(self, name, default=""):
        return (self.all(name) or [default])[-1]

    def _filled(self, text):
        known = {"%n": self._name, "%i": self._instance, "%d": str(self._host.credentials)}
        assert set(re.findall("%.", text)) <= set(known), text
        return re.sub("%.", lambda found: known[found.group()], text)

    @property
    def environment(self):
        """Environment=, then EnvironmentFile=, which counts more."""
        variables = {"PATH": SYSTEM_PATH, "HOME": str(self._host.state), "LANG": "C.UTF-8"}
        for line in self.all("Environment"):
            variables.update(part.split("=", 1) for part in _words(line))
        for path in self.all("EnvironmentFile"):
            assert path.startswith("-")
            with contextlib.suppress(FileNotFoundError):
                lines = Path(path[1:]).read_text("utf-8").splitlines()
                variables.update(ln.split("=", 1) for ln in lines if ln and ln[0] != "#")
        return variables

    @property
    def command(self):
        (line,) = self.all("ExecStart")
        variables = self.environment
        words = []
        for word in _words(line):
            if re.fullmatch(r"\$\w+", word):
                words += variables.get(word[1:], "").split()
            else:
                words.append(re.sub(r"\$\{(\w+)\}", lambda m: variables.get(m[1], ""), word))
        return words

    @property
    def writable(self):
        assert self.get("StateDirectory", "stedopt") == "stedopt"
        paths = [self._host.state] if self.get("StateDirectory") else []
        if self.get("PrivateTmp") == "yes":
            paths.append(self._host.temporary)
        for line in self.all("ReadWritePaths"):
            paths += [Path(word.lstrip("-")) for word in _words(line)]
        return [path for path in paths if path.exists()]

    @contextlib.contextmanager
    def started(self, **more):
        """Start its command; everything that it may not write to is read-only."""
        host = self._host
        for credential in self.all("LoadCredential"):
            name, _, source = credential.partition(":")
            (host.credentials / name).unlink(missing_ok=True)
            shutil.copy(source, host.credentials / name)
            (host.credentials / name).chmod(0o400)
        environment = {**self.environment, "OMP_NUM_THREADS": "1", **more}
        if self.get("PrivateTmp") == "yes":
            environment["TMPDIR"] = str(host.temporary)
        if "PYTHONPATH" in os.environ:  # of who runs the tests on another copy than is installed
            environment["PYTHONPATH"] = os.environ["PYTHONPATH"]
        process = subprocess.Popen(
            [*self._kept, *self.command],
            env=environment,
            cwd=self.get("WorkingDirectory", "/"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()

    @property
    def _kept(self):
        if self.get("ProtectSystem") != "strict":
            return []
        if not has_mounts():
            pytest.skip("this user may not mount: the unit would run without its restrictions")
        return only_writable(self.writable)

    def run(self, **more):
        """Run it to its end: exit code, and what it told."""
        with self.started(**more) as process:
            stdout, stderr = process.communicate(timeout=300)
            return process.returncode, stdout, stderr


def stop(process, seconds=120):
    """Stop it as systemd does: exit code, and what it told."""
    process.send_signal(signal.SIGTERM)
    stdout, stderr = process.communicate(timeout=seconds)
    return process.returncode, stdout, stderr


def _words(line):
    # Not by the shell's rules for $, which shlex leaves alone.
    return shlex.split(line)


_READ_ONLY = """
mounts=$(awk '{print $2, $4}' /proc/self/mounts)
while [ "$1" != -- ]; do mount --bind "$1" "$1" || exit 99; shift; done
shift
while read -r mounted options; do
  # In a user's own namespace a mount keeps what it is restricted by.
  kept=$(echo "$options" | tr , '\\n' | grep -E '^(nosuid|nodev|noexec|.*atime)$' | paste -sd, -)
  case "$mounted" in
    /proc*|/sys*|/dev*) ;;
    *) mount -o "remount,bind,ro${kept:+,$kept}" "$mounted" 2>/dev/null ;;
  esac
done <<END
$mounts
END
exec "$@"
"""


def only_writable(paths):
    """Beginning of a command that may write to these places only."""
    return [*_unshare(), "sh", "-c", _READ_ONLY, "sh", *map(str, paths), "--"]


def has_mounts():
    """Whether this user may mount, in a namespace of its own."""
    return _unshare() is not None


@cache
def _unshare():
    """Beginning of a command that may mount; None where this user cannot have that."""
    if not shutil.which("unshare"):
        return None
    # Who is not root is it in a namespace of users too, where the system has them.
    own = [] if os.geteuid() == 0 else ["--map-root-user"]
    begin = ["unshare", "--mount", *own, "--"]
    trial = [*begin, "mount", "--bind", "/usr", "/usr"]
    return begin if not subprocess.run(trial, capture_output=True, check=False).returncode else None
