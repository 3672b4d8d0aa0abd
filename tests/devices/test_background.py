"""Work in a thread: its outcome is the Status's, and the caller goes on meanwhile."""

import threading

import pytest

from stedopt_bluesky.devices.background import complete_in_background, settled
from stedopt_bluesky.devices.label import ImageLabel

WAIT_S = 20.0  # a bound against hanging


@pytest.fixture
def device():
    return ImageLabel(name="device")


def test_the_caller_goes_on_meanwhile(device):
    go = threading.Event()
    status = complete_in_background(device, lambda: go.wait(WAIT_S))
    assert not status.done
    assert not settled(status, 0.01)
    go.set()
    status.wait(WAIT_S)
    assert status.success
    assert settled(status)


def test_an_exception_is_the_statuss(device):
    def work():
        raise OSError("the disk is full")

    status = complete_in_background(device, work)
    with pytest.raises(OSError, match="the disk is full"):
        status.wait(WAIT_S)
    assert not status.success
    assert settled(status)


def test_work_has_a_thread_of_its_own_that_ends_with_the_program(device):
    seen = []
    complete_in_background(device, lambda: seen.append(threading.current_thread())).wait(WAIT_S)
    assert seen[0] is not threading.main_thread()
    assert seen[0].daemon
    assert seen[0].name == "device-work"


def test_no_work_is_settled():
    assert settled(None)
