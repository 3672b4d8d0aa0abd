"""The systemd units of a facility: read by systemd's own linter, and each command started."""

import os
import re
import shutil
import subprocess

import pytest

from tests.facility.units import SYSTEMD, Host, has_mounts, only_writable

SERVICES = sorted(path.name for path in SYSTEMD.glob("*.service"))
DROP_INS = sorted(str(path.relative_to(SYSTEMD)) for path in SYSTEMD.glob("*.d/*.conf"))
# It hands mails to sendmail, which is setgid: see there.
HARDENED = [name for name in SERVICES if name != "stedopt-alert@.service"]

needs_systemd = pytest.mark.skipif(
    not shutil.which("systemd-analyze"), reason="no systemd-analyze here"
)


@pytest.fixture
def host(tmp_path):
    host = Host(tmp_path / "host")
    host.install(*(path.name for path in SYSTEMD.iterdir() if path.is_file()), drop_ins=DROP_INS)
    return host


def analyze(host, *arguments):
    ended = subprocess.run(
        ["systemd-analyze", *map(str, arguments)],
        # First the units here, then the system's targets that they name.
        env={**os.environ, "SYSTEMD_UNIT_PATH": f"{host.units}:", "LANG": "C.UTF-8"},
        capture_output=True,
        text=True,
        check=False,
    )
    return ended.returncode, ended.stdout + ended.stderr


@needs_systemd
def test_systemds_linter_has_nothing_to_say(host):
    # An instance of the template, as OnFailure= names it.
    names = [name.replace("@.", "@stedopt-verify.service.") for name in SERVICES]
    for name in [*names, "stedopt-verify.timer"]:
        code, told = analyze(host, "verify", "--man=no", host.units / name)
        mine = [line for line in told.splitlines() if "stedopt" in line]
        assert (code, mine) == (0, []), told


@needs_systemd
def test_the_linter_would_see_what_is_wrong(host):
    wrong = host.units / "stedopt-verify.service"
    wrong.write_text(wrong.read_text().replace("ProtectSystem=strict", "ProtectSystm=strict"))
    _, told = analyze(host, "verify", "--man=no", wrong)
    assert "'ProtectSystm'" in told


@needs_systemd
@pytest.mark.parametrize("name", HARDENED)
def test_how_exposed_a_service_is(host, name):
    if "--offline" not in analyze(host, "--help")[1]:
        pytest.skip("a systemd that reviews running services only")
    # systemd's own scale: 0 to 10 in tenths, above 70 is "EXPOSED".
    code, told = analyze(host, "security", "--offline=yes", "--threshold=20", host.units / name)
    assert code == 0, told


@needs_systemd
def test_the_check_is_every_night():
    (line,) = re.findall(r"OnCalendar=(.*)", (SYSTEMD / "stedopt-verify.timer").read_text())
    ended = subprocess.run(
        ["systemd-analyze", "calendar", "--iterations=2", line],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert ended.stdout.count("03:30:00") >= 2


@pytest.mark.parametrize("name", SERVICES)
def test_no_unit_has_a_key(host, name):
    unit = host.unit(name)
    loaded = {credential.partition(":")[0] for credential in unit.all("LoadCredential")}
    for line in unit.all("Environment"):
        variable, _, value = line.partition("=")
        if re.search("KEY|DATABASE|PASSWORD", variable):
            assert variable.endswith("_FILE"), line
            assert value.rpartition("/")[2] in loaded, line
    assert "KEY" not in unit.get("ExecStart")


@pytest.mark.parametrize("name", HARDENED)
def test_what_each_service_is_kept_from(host, name):
    unit = host.unit(name)
    assert unit.get("User") == "stedopt"
    assert unit.get("NoNewPrivileges") == "yes"
    assert unit.get("ProtectSystem") == "strict"
    assert unit.all("CapabilityBoundingSet") == [""]
    assert unit.get("OnFailure") == f"stedopt-alert@{name}.service"
    if unit.get("Type") != "oneshot":
        assert unit.get("Restart") == "on-failure"


@pytest.mark.parametrize("name", HARDENED)
def test_a_service_that_fails_at_once_is_given_up_neither_too_early_nor_never(host, name):
    """OnFailure= is for what is given up; systemd's own limit, 5 in 10 s, would never be met."""
    unit = host.unit(name)
    if unit.get("Type") == "oneshot":
        assert unit.all("Restart") == []
        return
    for setting in ("StartLimitIntervalSec", "StartLimitBurst"):
        assert f"\n{setting}=" in (SYSTEMD / name).read_text().partition("[Service]")[0]
    waits_s = int(unit.get("RestartSec")) * int(unit.get("StartLimitBurst"))
    # Longer than another computer takes to start anew; and as long again may its starts take.
    assert 60 <= waits_s <= int(unit.get("StartLimitIntervalSec")) / 2


def test_stopping_the_queue_leaves_the_watchdog_to_its_work(host):
    # All else would kill the process that switches the lasers off.
    assert host.unit("stedopt-queue.service").get("KillMode") == "process"


@pytest.mark.skipif(not has_mounts(), reason="this user may not mount")
def test_the_commands_below_can_write_only_where_their_unit_lets_them(tmp_path):
    (tmp_path / "state").mkdir()
    begin = only_writable([tmp_path / "state"])
    for path, code in ((tmp_path / "state" / "x", 0), (tmp_path / "x", 1), ("/var/tmp/x", 1)):  # noqa: S108
        ended = subprocess.run([*begin, "touch", path], capture_output=True, check=False)
        assert ended.returncode == code, path


@needs_systemd
@pytest.mark.skipif(not shutil.which("systemd-sysusers"), reason="no systemd-sysusers here")
def test_the_account(tmp_path):
    (tmp_path / "etc").mkdir()
    file = SYSTEMD.parent / "sysusers.d" / "stedopt.conf"
    subprocess.run(["systemd-sysusers", f"--root={tmp_path}", file], check=True)
    (line,) = re.findall("^stedopt:.*$", (tmp_path / "etc" / "passwd").read_text(), re.M)
    assert line.split(":")[5] == "/var/lib/stedopt"
    assert "nologin" in line
