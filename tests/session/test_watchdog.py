"""The watchdog's process, on a twin that this process serves."""

import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
import threading

import pytest
from bluesky import RunEngine

from stedopt_bluesky.config import ConfigError, preset
from stedopt_bluesky.imspector.guard import ScanBlockedError
from stedopt_bluesky.imspector.paths import PROGRESS
from stedopt_bluesky.imspector.watchdog import Armed, Heard, Rules
from stedopt_bluesky.session import connect_application, occupancy, open_session
from stedopt_bluesky.session.address import Address
from stedopt_bluesky.session.occupancy import MicroscopeInUseError, lock_path
from stedopt_bluesky.session.shared_lock import hold
from stedopt_bluesky.session.twin import about_twin, start_twin
from stedopt_bluesky.session.watchdog import Watchdog, WatchdogError
from stedopt_bluesky.session.watchdog_process import Spec, heard_in
from stedopt_bluesky.twin.measurement import TwinConfiguration
from stedopt_bluesky.twin.server import TwinServer
from tests.benchmarks.kills import all_zero
from tests.waiting import wait_for

KEY = "a-key-of-the-tests"
CHANNEL = "ExpControl/measurement/channels/0/lasers"
CONFIG = preset("classical").updated(
    {
        "images": 2,
        "seed": 3,
        "microscope.field_um": 30.0,
        "overview.size_um": 30.0,
        "imaging.region_size_um": 1.28,
    }
)


@pytest.fixture(scope="module")
def twin():
    return start_twin(CONFIG)


@pytest.fixture
def served(twin, monkeypatch):
    monkeypatch.setenv("STEDOPT_API_KEY", KEY)
    with TwinServer(twin, KEY, about=about_twin(CONFIG)) as server:
        yield server
    for name in twin.measurement_names():
        twin.close(twin.measurement(name))


@pytest.fixture
def address(served):
    return Address("twin", "127.0.0.1", served.port)


@pytest.fixture
def lit(twin):
    measurement = twin.create_measurement()
    measurement.set_parameters(f"{CHANNEL}/6", {"active": True, "power": {"calibrated": 30.0}})
    return measurement


def wait_for_the_watchdog(address):
    """It has ended when its lock is free."""
    lock = hold(lock_path(address, "watchdog"), 20)
    assert lock is not None
    lock.let_go()


@pytest.mark.usefixtures("lit")
def test_a_released_one_does_nothing(address, twin, tmp_path):
    with Watchdog(address, tmp_path / "watchdog.log") as watchdog:
        watchdog.wait_until_ready()
        watchdog.arm()
        assert watchdog.why_not() == ""
        watchdog.release()
        assert watchdog._process.wait(20) == 0
    assert not all_zero(twin)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("lit")
def test_one_that_is_left_unreleased_switches_off_and_says_so(address, twin, tmp_path, capfd):
    with Watchdog(address, tmp_path / "cat" / "watchdog.log") as watchdog:
        watchdog.wait_until_ready()
        watchdog.arm()
    assert all_zero(twin)
    told = capfd.readouterr().err
    assert f"watchdog of process {os.getpid()} at {address.name}: it has ended" in told
    assert told.strip() in (tmp_path / "cat" / "watchdog.log").read_text()


@pytest.mark.usefixtures("lit")
def test_one_that_was_not_armed_does_nothing(address, twin, tmp_path):
    with Watchdog(address, tmp_path / "watchdog.log"):
        pass
    assert not all_zero(twin)


def test_one_that_cannot_connect_is_an_error(address, served, tmp_path):
    served.close()
    with (
        Watchdog(address, tmp_path / "watchdog.log") as watchdog,
        pytest.raises(WatchdogError, match=r"cannot be started: no twin answers at 127.0.0.1"),
    ):
        watchdog.wait_until_ready()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_it_outlives_what_ends_the_program(address, tmp_path, number):
    with Watchdog(address, tmp_path / "watchdog.log") as watchdog:
        watchdog.wait_until_ready()
        assert os.getsid(watchdog.pid) != os.getsid(0)  # no Ctrl-C of the terminal comes there
        os.kill(watchdog.pid, number)
        watchdog.release()
        assert watchdog._process.wait(20) == 0


def test_when_it_is_killed_nothing_is_scanned(served, twin, tmp_path):
    config = CONFIG.updated({"microscope.host": served.address})
    with open_session(config, connect_application(config), tmp_path / "cat") as session:
        before = len(twin.emission_log)
        (why_not,) = session.instrument.application.gate._conditions
        os.kill(why_not.__self__.pid, signal.SIGKILL)
        wait_for(why_not, 20)
        with pytest.raises(ScanBlockedError, match="the watchdog has ended"):
            session.instrument.application.start(session.instrument.measurement)
    assert len(twin.emission_log) == before


PROGRAM = """
import os, sys, threading, time
from pathlib import Path
from stedopt_bluesky.imspector.watchdog import Rules
from stedopt_bluesky.session import occupancy
from stedopt_bluesky.session.address import Address
from stedopt_bluesky.session.watchdog import Watchdog

occupancy.FOLDER = Path(sys.argv[3])
with Watchdog(Address("twin", "127.0.0.1", int(sys.argv[1])), Path(sys.argv[2]),
              Rules(silence_s=2.0)) as watchdog:
    watchdog.wait_until_ready()
    if "unarmed" not in sys.argv:
        watchdog.arm("Measurement of its own")
    print(watchdog.pid, flush=True)
    if "fork" in sys.argv:
        if os.fork() == 0:
            time.sleep(60)
            os._exit(0)
    sys.stdin.readline()
    print(watchdog.why_not(), flush=True)
    watchdog.release()
"""


@pytest.fixture
def program(address, tmp_path):
    """Start a program with a watchdog; give its process and the watchdog's."""
    started = []

    def start(*arguments):
        process = subprocess.Popen(
            [
                *(sys.executable, "-c", PROGRAM, str(address.port), tmp_path / "log"),
                *(str(occupancy.FOLDER), *arguments),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        return process, int(process.stdout.readline())

    yield start
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # with its copies
        process.communicate()


@pytest.mark.usefixtures("lit")
def test_the_death_of_a_program_is_known_though_its_copy_lives(program, twin):
    process, _ = program("fork")
    assert not all_zero(twin)
    process.kill()
    wait_for(lambda: all_zero(twin), 20)


def test_the_death_of_a_program_that_had_not_begun_is_nobodys_business(
    program, twin, lit, address, tmp_path
):
    process, _ = program("unarmed")
    process.kill()
    wait_for_the_watchdog(address)
    assert not all_zero(twin)
    assert not (tmp_path / "log").exists()
    assert twin.measurement_names() == [lit.name()]


@pytest.mark.slow
@pytest.mark.usefixtures("lit")
def test_a_program_that_hangs_finds_the_lasers_off_and_scans_no_more(program, twin, tmp_path):
    process, _ = program()
    process.send_signal(signal.SIGSTOP)
    wait_for(lambda: all_zero(twin), 20)
    process.send_signal(signal.SIGCONT)
    out, _ = process.communicate("\n", timeout=20)
    assert "nothing was heard of it for 2 s" in out or "stood still for" in out
    assert "nothing was heard of it for 2 s" in (tmp_path / "log").read_text()


def test_its_orders_hold_no_key(address, monkeypatch):
    monkeypatch.setenv("STEDOPT_API_KEY", KEY)
    spec = Spec(address, 1, "log", Rules(give_up_s=3.0), "lock")
    assert KEY not in spec.as_json()
    assert Spec.from_json(spec.as_json()) == spec


@pytest.mark.parametrize(
    ("line", "heard"),
    [
        (b".", Heard.beat),
        (b"q", Heard.released),
        (b"a", Armed()),
        (b"aquiet q.", Armed("quiet q.")),
        ("aMessung ä".encode(), Armed("Messung ä")),
        (b"", Heard.beat),
    ],
)
def test_the_words_of_the_pipe(line, heard):
    assert heard_in(line) == heard


# --- in a session -----------------------------------------------------------------------


def test_a_session_that_ends_well_needs_no_watchdog(served, twin, tmp_path):
    config = CONFIG.updated({"microscope.host": served.address})
    with open_session(
        config,
        connect_application(config),
        tmp_path / "cat",
        run_engine=RunEngine({}, context_managers=[]),
    ) as session:
        session.run_engine(session.optimize())
        assert session.metadata["microscope"] == "twin"
    assert not (tmp_path / "cat" / "watchdog.log").exists()
    assert all_zero(twin)
    assert twin.measurement_names() == []


def test_when_imspector_refuses_to_switch_off_the_watchdog_goes_on_trying(
    served, twin, tmp_path, monkeypatch
):
    config = CONFIG.updated({"microscope.host": served.address})
    failing = threading.Event()
    write = TwinConfiguration.set_parameters
    refused = []

    def refuse(self, at, value):
        if failing.is_set() and len(refused) < 40:
            refused.append(at)
            raise RuntimeError("Hardware is not ready")
        write(self, at, value)

    monkeypatch.setattr(TwinConfiguration, "set_parameters", refuse)
    bystander = twin.create_measurement()

    def open_and_close():
        with open_session(config, connect_application(config), tmp_path / "cat") as session:
            session.station.excitation.power.put(5.0)
            bystander.set_parameters(f"{CHANNEL}/2", {"power": {"calibrated": 5.0}})
            failing.set()

    with pytest.raises(RuntimeError, match="lasers may be on"):
        open_and_close()
    assert all_zero(twin)
    assert "every scan was stopped" in (tmp_path / "cat" / "watchdog.log").read_text()


def test_a_laser_that_is_not_there_is_no_reason_to_act(served, tmp_path):
    config = CONFIG.updated({"microscope.host": served.address, "excitation.laser": 12})

    def open_one():
        with open_session(config, connect_application(config), tmp_path / "cat"):
            pass

    with pytest.raises(ConfigError, match=r"excitation.laser = 12"):
        open_one()
    assert list(tmp_path.iterdir()) == []


def opened(served, catalog):
    config = CONFIG.updated({"microscope.host": served.address})
    with open_session(config, connect_application(config), catalog):
        pass


@pytest.fixture
def by_hand(twin, lit, monkeypatch):
    """A person scans in Imspector; the scan takes until it is stopped."""
    stopped = threading.Event()
    status = type(twin).value_at

    class Scanning:
        def get(self):
            return {"active": not stopped.is_set(), "fraction": 0.5}

    def value_at(self, path, *root):
        return Scanning() if path == PROGRESS else status(self, path, *root)

    monkeypatch.setattr(type(twin), "value_at", value_at)
    monkeypatch.setattr(type(twin), "pause", lambda *_: stopped.set())
    return lit, stopped


def test_a_scan_by_hand_is_not_touched_by_a_session_that_cannot_begin(
    served, address, twin, by_hand, tmp_path
):
    measurement, stopped = by_hand
    with pytest.raises(MicroscopeInUseError) as error:
        opened(served, tmp_path / "cat")
    assert str(error.value) == f"{address.name} is scanning: end that scan, or wait for its end"
    wait_for_the_watchdog(address)
    assert not stopped.is_set()
    assert not all_zero(twin)
    assert twin.measurement_names() == [measurement.name()]
    assert list(tmp_path.iterdir()) == []


def test_a_measurement_that_imspector_does_not_open_is_no_reason_to_act(
    served, address, twin, lit, tmp_path, monkeypatch
):
    """A scan that begins between the look and the measurement, say."""

    def refuse(*_):
        raise RuntimeError("Measurement 1 is running: cannot open another measurement")

    monkeypatch.setattr(type(twin), "create_measurement", refuse)
    with pytest.raises(MicroscopeInUseError, match="opens no measurement: Measurement 1 is run"):
        opened(served, tmp_path / "cat")
    wait_for_the_watchdog(address)
    assert not all_zero(twin)
    assert twin.measurement_names() == [lit.name()]
    assert list(tmp_path.iterdir()) == []


def test_what_was_made_before_something_failed_is_closed_and_others_are_left(
    served, address, twin, lit, tmp_path, monkeypatch
):
    def refuse(*_):
        raise RuntimeError("Hardware is not ready")

    monkeypatch.setattr("stedopt_bluesky.twin.measurement.TwinMeasurement.clone", refuse)
    with pytest.raises(RuntimeError, match="Hardware is not ready"):
        opened(served, tmp_path / "cat")
    wait_for_the_watchdog(address)
    assert not all_zero(twin)
    assert twin.measurement_names() == [lit.name()]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("lit")
def test_what_cannot_be_switched_off_again_is_the_watchdogs(
    served, address, twin, tmp_path, monkeypatch
):
    write = TwinConfiguration.set_parameters
    begun = threading.Event()
    refused = []

    def refuse(self, at, value):
        if begun.is_set() and len(refused) < 40:
            refused.append(at)
            raise RuntimeError("Hardware is not ready")
        write(self, at, value)

    monkeypatch.setattr(TwinConfiguration, "set_parameters", refuse)
    make = type(twin).create_measurement

    def with_a_laser_on(self):
        made = make(self)
        write(made.active_configuration(), f"{CHANNEL}/6", {"active": True})
        begun.set()
        return made

    monkeypatch.setattr(type(twin), "create_measurement", with_a_laser_on)
    monkeypatch.setattr(type(twin), "close", lambda *_: None)  # nor does it close
    with pytest.raises(RuntimeError, match="Hardware is not ready") as error:
        opened(served, tmp_path / "cat")
    assert "lasers may be on" in error.value.__notes__[0]
    wait_for_the_watchdog(address)
    assert all_zero(twin)
    assert "every scan was stopped" in (tmp_path / "cat" / "watchdog.log").read_text()
    monkeypatch.undo()  # the fixture closes what is open


SMALL = "field_um = 30.0\n[overview]\nsize_um = 30.0\n"
KILLED = """
import os, signal, sys, threading
from pathlib import Path
from stedopt_bluesky.config import load_config
from stedopt_bluesky.session import connect_application, occupancy, open_session

occupancy.FOLDER = Path(sys.argv[2])
config = load_config(Path(sys.argv[1]))
with open_session(config, connect_application(config), sys.argv[3]) as session:
    session.station.excitation.power.put(5.0)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_measurement_of_a_killed_session_is_closed(served, address, twin, lit, tmp_path):
    toml = tmp_path / "config.toml"
    toml.write_text(f'preset = "classical"\n[microscope]\nhost = "{served.address}"\n{SMALL}')
    command = [sys.executable, "-c", KILLED, toml, occupancy.FOLDER, tmp_path / "cat"]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    wait_for_the_watchdog(address)
    assert all_zero(twin)
    assert twin.measurement_names() == [lit.name()]
    assert "was closed" in (tmp_path / "cat" / "watchdog.log").read_text()


def test_a_twin_of_ones_own_has_no_watchdog(tmp_path):
    before = multiprocessing.active_children()
    with open_session(CONFIG, connect_application(CONFIG), tmp_path / "cat") as session:
        assert session.instrument.application.gate._conditions == []
    assert multiprocessing.active_children() == before
