"""Signals to a program of its own, on a microscope that takes its time."""

import json
import os
import shlex
import signal
import subprocess
import sys
import threading
import time

import pytest

from stedopt_bluesky.cli.interrupts import (
    ABANDONED,
    INTERRUPTED,
    TERMINATED,
    Interrupts,
    exit_code,
    terminate_cleanly,
)
from stedopt_bluesky.records import RunRecord

# --- the handler, with a control that only remembers ---------------------------------------


class Control:
    """What is asked of a RunControl, in the order in which it comes."""

    def __init__(self):
        self.asked, self.reason, self.state = [], "", "running"
        self.called = threading.Condition()

    def _ask(self, what):
        with self.called:
            self.asked.append(what)
            self.called.notify_all()

    def finish_image(self):
        self._ask("finish the image")

    def abort_whenever(self, reason):
        self._ask(reason)

    def wait_for(self, count):
        with self.called:
            assert self.called.wait_for(lambda: len(self.asked) >= count, timeout=10)


@pytest.fixture
def control(monkeypatch):
    monkeypatch.setattr("stedopt_bluesky.cli.interrupts._BOUNCE_S", 0.0)
    return Control()


def press(number=signal.SIGINT):
    signal.raise_signal(number)


def test_one_press_waits_for_the_image(control):
    said = []
    with Interrupts(control, said.append):
        press()
        control.wait_for(1)

    assert control.asked == ["finish the image"]
    assert said == ["finishing the image in progress; Ctrl-C once more abandons it"]
    assert control.reason == INTERRUPTED


def test_two_presses_abort(control):
    with Interrupts(control, lambda _: None):
        press()
        control.wait_for(1)
        press()
        control.wait_for(2)

    assert control.asked == ["finish the image", ABANDONED]


def test_one_press_ends_a_run_that_is_paused(control):
    said, control.state = [], "paused"
    with Interrupts(control, said.append):
        press()
    assert control.reason == INTERRUPTED
    assert said == control.asked == []


def test_terminating_aborts_at_once(control):
    with Interrupts(control, lambda _: None):
        press(signal.SIGTERM)
        control.wait_for(1)

    assert control.asked == [TERMINATED]


def test_whoever_presses_on_and_on_leaves_a_program_that_hangs(control):
    def press_five_times():
        with Interrupts(control, lambda _: None):
            for _ in range(5):
                press()

    with pytest.raises(KeyboardInterrupt):
        press_five_times()


def test_one_press_that_comes_twice_is_one(control, monkeypatch):
    monkeypatch.setattr("stedopt_bluesky.cli.interrupts._BOUNCE_S", 3600.0)
    with Interrupts(control, lambda _: None):
        press()
        press()
        control.wait_for(1)

    assert control.asked == ["finish the image"]


@pytest.mark.parametrize(
    ("problem", "code"),
    [
        (INTERRUPTED, 130),
        (ABANDONED, 130),
        (TERMINATED, 143),
        ("aborted on the page by Ada", 130),
        ("aborted on the page by Ada; the microscope failed: AOTF", 1),
        (f"{INTERRUPTED}; the microscope failed: AOTF", 1),
        ("the detector is blind", 1),
    ],
)
def test_exit_codes(problem, code):
    assert exit_code(problem) == code


def test_the_handlers_are_put_back(control):
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.getsignal(number) for number in numbers]
    with Interrupts(control, lambda _: None):
        assert [signal.getsignal(number) for number in numbers] != before
    assert [signal.getsignal(number) for number in numbers] == before


def test_terminating_outside_of_a_run_runs_every_finally():
    left = []

    def work():
        with terminate_cleanly():
            try:
                press(signal.SIGTERM)
            finally:
                left.append("lasers off")

    with pytest.raises(SystemExit) as end:
        work()
    assert (end.value.code, left) == (143, ["lasers off"])
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


# --- a program of its own ----------------------------------------------------------------


class Program:
    """A run in a process of its own, in real time: an image takes more than a second."""

    def __init__(self, toml, catalog, *options):
        self.catalog = catalog
        slow = toml.read_text().replace("[microscope]", "[microscope]\nreal_time = true")
        self.toml = catalog.with_name("slow.toml")
        self.toml.write_text(f"{slow}dwelltime_us = 10.0\nconfocal_dwelltime_us = 150.0\n")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "stedopt_bluesky.cli", "run", self.toml,
             "--catalog", catalog, "--json", *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "COLUMNS": "80"},
        )  # fmt: skip

    @property
    def journal(self):
        return next(iter(self.catalog.glob("journal/*/*.jsonl")), None)

    def events(self, stream):
        if self.journal is None or not self.journal.read_bytes().count(b"\n"):
            return []
        record = RunRecord.read(self.journal)
        return record.events(stream) if stream in record.streams else []

    def wait_until(self, condition):
        end = time.monotonic() + 60
        while not condition():
            assert self.process.poll() is None, self.process.communicate()
            assert time.monotonic() < end
            time.sleep(0.01)  # another process: there is nothing to wait for

    def wait_for_exposure(self):
        """Until the second image is being exposed."""
        self.wait_until(lambda: len(self.events("decision")) == 2)

    def end(self):
        """Exit code, the JSON on standard output, standard error."""
        out, err = self.process.communicate(timeout=60)
        assert "Traceback" not in err
        return self.process.returncode, json.loads(out) if out else None, err


@pytest.fixture
def program(toml, tmp_path):
    programs = []

    def start(*options):
        programs.append(Program(toml, tmp_path / "cat", *options))
        return programs[-1]

    yield start
    for each in programs:
        if each.process.poll() is None:
            each.process.kill()
            each.process.communicate()


@pytest.mark.slow
def test_ctrl_c_finishes_the_image_and_the_printed_command_goes_on(program):
    run = program()
    run.wait_for_exposure()
    run.process.send_signal(signal.SIGINT)
    code, told, err = run.end()

    assert code == 130
    assert (told["exit_status"], told["reason"]) == ("abort", INTERRUPTED)
    assert len(told["images"]) == 2
    assert "finishing the image in progress" in err
    goes_on = subprocess.run(
        [*shlex.split(told["commands"]["continue"]), "--json"],
        capture_output=True, text=True, check=False, timeout=100,
    )  # fmt: skip
    assert goes_on.returncode == 0, goes_on.stderr
    resumed = json.loads(goes_on.stdout)
    assert (resumed["resumes"], len(resumed["images"])) == (told["uid"], 1)


@pytest.mark.slow
def test_ctrl_c_twice_abandons_the_image(program):
    run = program()
    run.wait_for_exposure()
    run.process.send_signal(signal.SIGINT)
    line = run.process.stderr.readline()
    assert "finishing the image in progress" in line
    time.sleep(0.11)  # faster than that nobody presses twice
    run.process.send_signal(signal.SIGINT)
    code, told, _ = run.end()

    assert code == 130
    assert (told["exit_status"], told["reason"]) == ("abort", ABANDONED)
    assert len(told["images"]) == 1
    assert len(run.events("decision")) == 2


@pytest.mark.slow
def test_terminating_closes_the_run(program):
    run = program()
    run.wait_for_exposure()
    run.process.terminate()
    code, told, _ = run.end()

    assert code == 143
    assert (told["exit_status"], told["reason"]) == ("abort", TERMINATED)
    assert len(told["images"]) == 1


@pytest.mark.slow
def test_a_killed_run_is_interrupted_and_resume_closes_it(program, stedopt_json):
    run = program()
    run.wait_for_exposure()
    where = ("--catalog", run.catalog)
    running, _ = stedopt_json("runs", *where)
    assert [r["exit_status"] for r in running] == ["running"]
    run.process.kill()
    run.process.communicate()
    killed, _ = stedopt_json("runs", *where)
    assert [(r["exit_status"], r["images"]) for r in killed] == [("interrupted", 1)]

    resumed, result = stedopt_json("resume", killed[0]["uid"][:8], *where)

    assert result.exit_code == 0, result.stderr
    assert [image["iteration"] for image in resumed["images"]] == [1, 2]
    runs, _ = stedopt_json("runs", *where)
    assert [r["exit_status"] for r in runs] == ["success", "fail"]
    assert runs[1]["reason"] == "the program ended before the run was closed"


@pytest.mark.slow
def test_ctrl_c_during_the_overview(program):
    run = program()
    run.wait_until(lambda: run.journal is not None)
    run.process.send_signal(signal.SIGINT)
    code, told, _ = run.end()

    assert code == 130
    assert told["images"] == []
    assert told["commands"]["continue"]
