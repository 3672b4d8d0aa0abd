"""The script that makes a facility's keys."""

import os
import stat
import subprocess

import pytest

from tests.facility.units import FACILITY

NAMES = {"write.key", "read.key", "networks.key", "database.password", "database.uri"}


def make(*arguments):
    command = [FACILITY / "make_keys.sh", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_keys_are_made_once_for_their_owner_alone(tmp_path):
    folder = tmp_path / "etc"
    first = make(folder)
    assert first.returncode == 0, first.stderr
    made = {path.name: path.read_text() for path in folder.iterdir()}
    assert set(made) == NAMES
    for path in folder.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        # Names are told, not keys.
        assert path.read_text() not in first.stdout
    keys = [made[name] for name in sorted(NAMES - {"database.uri"})]
    assert all(len(key) == 64 and key.isalnum() for key in keys)
    assert len(set(keys)) == len(keys)
    assert make(folder).stdout == ""
    assert {path.name: path.read_text() for path in folder.iterdir()} == made


def test_a_key_is_changed_by_removing_its_file(tmp_path):
    make(tmp_path)
    before = (tmp_path / "read.key").read_text()
    other = (tmp_path / "write.key").read_text()
    (tmp_path / "read.key").unlink()
    assert make(tmp_path).stdout == f"made {tmp_path}/read.key\n"
    assert (tmp_path / "read.key").read_text() != before
    assert (tmp_path / "write.key").read_text() == other


def test_a_group_may_read_them(tmp_path):
    assert make(tmp_path, "--group", os.getgid()).returncode == 0
    assert stat.S_IMODE((tmp_path / "write.key").stat().st_mode) == 0o440


@pytest.mark.parametrize("arguments", [(), ("x", "--group"), ("x", "--mode", "1")])
def test_what_it_does_not_know_is_refused(tmp_path, arguments):
    ended = make(*[tmp_path / a if a == "x" else a for a in arguments])
    assert ended.returncode == 2
    assert "make_keys.sh FOLDER" in ended.stderr
    assert not list(tmp_path.iterdir())
