"""The live view draws in a thread, a few times a second; whoever emits documents never waits."""

import io
import re
import subprocess
import sys
import threading
import time

import pytest
from bluesky import RunEngine
from bluesky.plans import count
from ophyd.sim import det
from rich.console import Console

from stedopt_bluesky.reports.live import (
    LinesScreen,
    LiveView,
    NotebookScreen,
    TerminalScreen,
    screen_for,
)
from tests.records.lookers import run_documents

PATIENCE_S = 30
DOCUMENTS = run_documents(6)


class Recording:
    """A screen that remembers what was drawn, and may be held up."""

    def __init__(self):
        self.drawn, self.closed, self.threads = [], 0, set()
        self.may_draw = threading.Event()
        self.may_draw.set()
        self.began = threading.Event()

    def draw(self, run, notes):
        self.began.set()
        self.may_draw.wait(PATIENCE_S)
        self.drawn.append((run.uid, run.images, run.missing, [note.text for note in notes]))
        self.threads.add(threading.current_thread())

    def close(self):
        self.closed += 1


ENDS = """
import time
from stedopt_bluesky.reports.live import LiveView
from tests.records.lookers import run_documents

class Slow:
    def draw(self, run, notes):
        time.sleep(0.3)
        self.images = run.images
    def close(self):
        print(self.images, "closed")

view = LiveView(Slow())
for name, doc in run_documents(6):
    view(name, doc)
"""


def feed(view, documents):
    for name, doc in documents:
        view(name, doc)


def test_what_comes_while_it_draws_is_drawn_together():
    screen = Recording()
    screen.may_draw.clear()
    view = LiveView(screen)
    feed(view, DOCUMENTS[:3])
    assert screen.began.wait(PATIENCE_S)
    feed(view, DOCUMENTS[3:-1])  # it does not wait for the drawing, which is held up
    assert screen.drawn == []
    screen.may_draw.set()
    feed(view, DOCUMENTS[-1:])
    view.close()
    assert screen.drawn[-1] == ("a-run", 6, 0, [])
    assert len(screen.drawn) <= 3
    assert screen.closed == 1
    assert threading.main_thread() not in screen.threads


def test_what_comes_last_is_drawn_also_when_nothing_follows():
    screen = Recording()
    view = LiveView(screen, per_s=50)
    for n in range(3, 6):
        feed(view, DOCUMENTS[:n])
        finish = time.monotonic() + PATIENCE_S
        while not (screen.drawn and screen.drawn[-1][1] == n - 2):
            assert time.monotonic() < finish
            time.sleep(0.01)
    view.note("a note")
    view.close()
    assert screen.drawn[-1] == ("a-run", 3, 0, ["a note"])


def test_every_run_is_drawn_anew():
    screen = Recording()
    view = LiveView(screen)
    feed(view, [*DOCUMENTS, *run_documents(2, uid="b-run", time_s=1_700_000_500.0)])
    view.close()
    assert screen.closed == 2
    assert screen.drawn[-1][:2] == ("b-run", 2)


def test_the_end_of_a_run_waits_for_no_drawing():
    """Nor is the last drawing of a run one of the next run, which has begun meanwhile."""
    screen = Recording()
    screen.may_draw.clear()
    view = LiveView(screen)
    begun = time.monotonic()
    feed(view, [*DOCUMENTS, *run_documents(2, uid="b-run", time_s=1_700_000_500.0)])
    assert time.monotonic() - begun < 2  # the drawing is held up for longer
    assert screen.drawn == []
    screen.may_draw.set()
    view.close()
    assert [drawn for drawn in screen.drawn if drawn[:2] == ("a-run", 6)]
    assert screen.drawn[-1][:2] == ("b-run", 2)
    assert screen.closed == 2


def test_a_program_that_ends_waits_for_the_last_drawing():
    done = subprocess.run(
        [sys.executable, "-c", ENDS], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.stdout.split() == ["6", "closed"], done.stderr


def test_documents_after_the_stop_document():
    screen = Recording()
    with LiveView(screen, until_stop=False) as view:
        feed(view, [DOCUMENTS[-1], *DOCUMENTS[:-1]])
        assert screen.closed == 0
    assert screen.drawn[-1] == ("a-run", 6, 0, [])
    assert screen.closed == 1


def test_a_screen_that_fails_does_not_fail_the_run():
    class Broken(Recording):
        def draw(self, run, notes):
            raise BrokenPipeError

    view = LiveView(Broken())
    feed(view, DOCUMENTS)
    feed(view, DOCUMENTS)
    view.close()
    assert isinstance(view.problem, BrokenPipeError)
    assert view.run.images == 6


def test_a_problem_of_one_run_is_none_of_the_next_one():
    class BrokenOnce(Recording):
        broken = True

        def draw(self, run, notes):
            if self.broken:
                raise BrokenPipeError
            super().draw(run, notes)

    screen = BrokenOnce()
    view = LiveView(screen)
    feed(view, DOCUMENTS)
    view.close()
    assert isinstance(view.problem, BrokenPipeError)
    screen.broken = False
    feed(view, run_documents(2, uid="b-run", time_s=1_700_000_500.0))
    view.close()
    assert view.problem is None
    assert screen.drawn[-1][:2] == ("b-run", 2)


def test_as_a_callback_of_a_run_engine():
    screen = Recording()
    view = LiveView(screen)
    RunEngine({}, context_managers=[])(count([det], 3), view)
    view.close()
    assert screen.closed == 1
    assert screen.drawn[-1][1] == 3


def test_lines():
    file = io.StringIO()
    view = LiveView(LinesScreen(Console(file=file, width=40)))
    feed(view, DOCUMENTS[:2])
    view.note("a note [b]")
    feed(view, DOCUMENTS[2:])
    feed(view, run_documents(2, uid="b-run", time_s=1_700_000_500.0))
    view.close()
    lines = file.getvalue().splitlines()
    assert lines[0] == "run a-run · actin · classical · Ada"
    assert lines.count("a note [b]") == 1
    images = [re.match(r"image (\d) of (\d): depletion", line) for line in lines]
    assert [m.groups() for m in images if m] == [*((str(n), "6") for n in range(1, 7)),
                                                 ("1", "2"), ("2", "2")]  # fmt: skip
    assert lines[-1] == "image 2 of 2: ended: success"


def test_a_terminal_is_given_back():
    file = io.StringIO()
    console = Console(file=file, width=90, height=40, force_terminal=True, legacy_windows=False)
    assert isinstance(screen_for(console), TerminalScreen)
    with LiveView(TerminalScreen(console), per_s=1000) as view:
        feed(view, DOCUMENTS)
    text = file.getvalue()
    assert text.count("\x1b[?25l") == text.count("\x1b[?25h") == 1  # the cursor
    assert "ended: success" in text
    assert isinstance(screen_for(Console(file=file)), LinesScreen)


def test_a_cell_of_a_notebook():
    shown = []

    class Handle:
        def update(self, bundle, *, raw):
            shown.append((bundle, raw))

    def display(bundle, *, raw, display_id):
        shown.append((bundle, raw))
        return Handle()

    documents = run_documents(3, sample="<script>[red]\x1b[2J")
    view = LiveView(NotebookScreen(display), per_s=1000)
    feed(view, documents)
    view.close()
    bundle, raw = shown[-1]
    assert raw
    assert "&lt;script&gt;[red][2J" in bundle["text/html"]
    assert "<script>" not in bundle["text/html"]
    assert "image 3 of 3: ended: success" in bundle["text/plain"]
    assert "\x1b" not in bundle["text/plain"]


CELLS = """
from stedopt_bluesky.reports.live import LiveView
from bluesky import RunEngine
from bluesky.plans import count
from ophyd.sim import det
RE = RunEngine({})
RE.subscribe(LiveView())
"""


@pytest.mark.slow
def test_a_real_kernel_shows_every_run_in_the_cell_that_began_it():
    pytest.importorskip("ipykernel")
    manager_class = pytest.importorskip("jupyter_client").KernelManager
    manager = manager_class(transport="tcp", ip="127.0.0.1")
    manager.kernel_spec.argv[0] = sys.executable
    manager.start_kernel()
    client = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=60)
        assert execute(client, CELLS) == []
        ids = []
        for images in (2, 4):
            messages = execute(client, f"RE(count([det], {images})) and None")
            kinds = [kind for kind, _ in messages]
            assert kinds[0] == "display_data"
            assert set(kinds[1:]) <= {"update_display_data"}
            shown = {content["transient"]["display_id"] for _, content in messages}
            assert len(shown) == 1
            ids += shown
            assert f"image {images}: ended: success" in messages[-1][1]["data"]["text/plain"]
            assert "<pre" in messages[-1][1]["data"]["text/html"]
        assert ids[0] != ids[1]
    finally:
        client.stop_channels()
        manager.shutdown_kernel()


def execute(client, code):
    """Run a cell; the displays that belong to it."""
    messages = []

    def hook(message):
        if "display_data" in message["msg_type"]:
            messages.append((message["msg_type"], message["content"]))

    reply = client.execute_interactive(code, timeout=60, allow_stdin=False, output_hook=hook)
    assert reply["content"]["status"] == "ok", reply["content"]
    # The last drawing may come after the end of the cell, which does not wait for it.
    while messages and "ended" not in messages[-1][1]["data"]["text/plain"]:
        hook(client.get_iopub_msg(timeout=PATIENCE_S))
    return messages
