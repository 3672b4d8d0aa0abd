import io
import re

import pytest
from rich.console import Console

from stedopt_bluesky.reports.progress import RunProgress

NAN = float("nan")


@pytest.fixture
def terminal():
    return Console(file=io.StringIO(), width=80, force_terminal=True, _environ={})


def text_of(terminal):
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", terminal.file.getvalue())


def event(descriptor, **objectives):
    data = {f"objective_{name}": value for name, value in objectives.items()}
    return {"descriptor": descriptor, "data": {"dwelltime_us": 5.0, **data}}


def begin(terminal, images=12):
    progress = RunProgress(terminal)
    progress("start", {"uid": "u", "images_planned": images})
    progress("descriptor", {"uid": "o", "name": "overview"})
    progress("event", {"descriptor": "o", "data": {}})
    progress("descriptor", {"uid": "d", "name": "decision"})
    progress("descriptor", {"uid": "p", "name": "primary"})
    return progress


def test_the_bar_moves_with_each_image_and_tells_the_objectives(terminal):
    progress = begin(terminal)
    for _ in range(3):
        progress("event", {"descriptor": "d", "data": {"decision_index": 3}})
        progress("event", event("p", snr=0.7731, resolution_nm=67.83, imaging_time_s=0.05))
    progress("stop", {})

    last = text_of(terminal)[-400:]
    assert "imaging" in last
    assert "3/12" in last.replace(" ", "")
    assert "left" in last
    assert "snr 0.773 · resolution 67.8 nm · imaging time 0.05 s" in last


def test_nothing_is_wider_than_the_terminal(terminal):
    progress = begin(terminal, images=100_000)
    names = ("snr", "resolution_nm", "photobleaching", "frc", "imaging_time_s")
    progress("event", event("p", **dict.fromkeys(names, -1.2345e-5)))
    progress("stop", {})
    assert max(map(len, re.split(r"[\r\n]", text_of(terminal)))) <= 80


def test_an_invalid_objective_says_so(terminal):
    progress = begin(terminal)
    progress("event", event("p", snr=NAN, resolution_nm=80.0))
    progress.close()
    assert "snr invalid · resolution 80 nm" in text_of(terminal)


def test_the_terminal_is_given_back(terminal):
    hide, show = "\x1b[?25l", "\x1b[?25h"
    progress = begin(terminal)
    progress("stop", {})
    progress.close()
    progress.close()
    written = terminal.file.getvalue()
    assert written.count(hide) == written.count(show) == 1


def test_a_run_that_never_began_leaves_no_trace(terminal):
    RunProgress(terminal).close()
    assert text_of(terminal).strip() == ""


class Watched:
    """A Status that can be watched."""

    def watch(self, func):
        self.tell = func


def test_within_an_image_the_bar_moves_with_the_steps_of_its_scans(terminal):
    progress = begin(terminal)
    progress("event", event("p", snr=0.5))
    status = Watched()
    progress.waiting([object(), status])
    for fraction in (0.75, 0.25):
        status.tell(name="microscope", fraction=fraction, current=1.0)
    # One whole image, and three quarters of the next.
    assert progress._progress.tasks[0].completed == pytest.approx(1.75)
    status.tell(name="overview", fraction=0.5)
    progress.waiting(None)
    progress("event", event("p", snr=0.5))
    assert progress._progress.tasks[0].completed == 2
    progress.close()
