"""A line is read until it is not waited for; an interruption goes to who handles it."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from stedopt_bluesky.reports.interruptible_input import InterruptHandled, read_line

needs_signals = pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="POSIX's signals")


@pytest.fixture
def handled():
    """A handler as Bluesky's, that raises nothing."""
    calls = []
    before = signal.signal(signal.SIGINT, lambda number, frame: calls.append(number))
    yield calls
    signal.signal(signal.SIGINT, before)


def never(_):
    time.sleep(60)
    raise AssertionError("nobody has ended it")


def test_a_line_is_what_was_typed(monkeypatch, handled):
    monkeypatch.setattr("builtins.input", lambda prompt: f"{prompt}7")
    assert read_line("which? ", lambda: True) == "which? 7"
    assert handled == []


@needs_signals
def test_it_ends_when_nobody_waits_and_nobody_else_is_interrupted(monkeypatch, handled):
    monkeypatch.setattr("builtins.input", never)
    handler = signal.getsignal(signal.SIGINT)
    until = time.monotonic() + 0.3
    assert read_line("", lambda: time.monotonic() < until) is None
    assert handled == []
    assert signal.getsignal(signal.SIGINT) is handler


@needs_signals
def test_a_line_that_comes_as_it_ends_interrupts_nobody(monkeypatch, handled):
    """Whichever comes first: no signal is left over for the handler that was there before."""
    for delay_s in (0.04, 0.05, 0.051, 0.052, 0.055, 0.06):
        monkeypatch.setattr("builtins.input", lambda _, d=delay_s: time.sleep(d) or "7")
        assert read_line("", lambda: False) in ("7", None)
        time.sleep(0.02)
    assert handled == []


@needs_signals
def test_who_interrupts_is_heard_by_who_handled_it_before(monkeypatch, handled):
    monkeypatch.setattr("builtins.input", never)
    threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(InterruptHandled):
        read_line("", lambda: True)
    assert handled == [signal.SIGINT]


@needs_signals
def test_where_that_raises_it_is_a_keyboard_interrupt(monkeypatch):
    monkeypatch.setattr("builtins.input", never)
    threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt) as raised:
        read_line("", lambda: True)
    assert raised.type is KeyboardInterrupt


@pytest.mark.parametrize("error", [EOFError, OSError, NotImplementedError, RuntimeError])
def test_where_no_line_can_come(monkeypatch, error):
    def refuse(_):
        raise error

    monkeypatch.setattr("builtins.input", refuse)
    with pytest.raises(EOFError):
        read_line("", lambda: True)


def test_in_another_thread_it_is_input(monkeypatch):
    monkeypatch.setattr("builtins.input", lambda _: "7")
    read = []
    thread = threading.Thread(target=lambda: read.append(read_line("", lambda: True)))
    thread.start()
    thread.join(10)
    assert read == ["7"]


@needs_signals
def test_of_a_real_standard_input():
    """Python's own reading is woken where it waits for a pipe."""
    code = """
import time
from stedopt_bluesky.reports.interruptible_input import read_line
until = time.monotonic() + 0.3
print("given up", read_line("? ", lambda: time.monotonic() < until))
print("read", read_line("? ", lambda: True))
"""
    program = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert program.stdout.readline() == "? given up None\n"
    told, _ = program.communicate("12\n", timeout=30)
    assert told == "? read 12\n"
