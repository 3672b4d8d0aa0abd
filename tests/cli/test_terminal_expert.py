"""A person chooses at the terminal: by number, by row, with Enter; and takes it back."""

import contextlib
import io
import queue
import re
import subprocess
import sys
import threading

import numpy as np
import pytest
from rich.console import Console

from stedopt_bluesky.acquisition import Choice, Objective, Options
from stedopt_bluesky.cli.terminal_expert import TerminalExpert
from stedopt_bluesky.devices.expert import Expert
from stedopt_bluesky.records import CatalogFolder, RunRecord, journal_paths
from stedopt_bluesky.reports.asking import MOST
from tests.small import small_toml
from tests.waiting import wait_for

SNR = Objective("snr", "", "maximise", (0.0, 2.0))
TIME = Objective("imaging_time_s", "s", "minimise", (0.0, 9.0))


def cloud(iteration=0, rows=30):
    """Along a front: the more snr, the longer; of the last row the grid has no value."""
    snr = np.linspace(0.1, 2.0, rows)
    values = np.column_stack([snr, 3 * snr])
    values[-1] = np.nan
    grid = np.arange(rows, dtype=float)[:, None]
    return Options(values, grid, iteration, ("snr", "imaging_time_s"), ("dwelltime_us",))


class Terminal:
    """What is shown, and where lines are typed; ``None`` ends them."""

    def __init__(self, undo_s=0.0):
        self.expert = Expert(name="expert")
        self.out = io.StringIO()
        self.typed = queue.SimpleQueue()
        self.hidden = 0
        self.asking = TerminalExpert(
            self.expert,
            (SNR, TIME),
            Console(file=self.out, width=100),
            iter(self.typed.get, None),
            name="AD",
            hide=self._hide,
            undo_s=undo_s,
        )

    @contextlib.contextmanager
    def _hide(self):
        self.hidden += 1
        yield
        self.hidden -= 1

    @property
    def text(self):
        return self.out.getvalue()

    def type(self, *lines):
        for line in lines:
            self.typed.put(f"{line}\n")

    def asked(self, options=None, suggestion=3):
        options = options or cloud()
        suggested = None if suggestion is None else Choice(suggestion, "weighted_rule")
        self.expert.set(options, suggestion=suggested)
        wait_for(lambda: self.text.count("which one") > 0)

    def answer(self):
        wait_for(lambda: self.expert.answered_for_s() is not None)
        return self.expert.withdraw()


@pytest.fixture
def terminal():
    terminal = Terminal()
    with terminal.asking:
        yield terminal
        terminal.typed.put(None)


def numbers(text):
    """First words of the rows of the tables that are shown."""
    rows = [line.split() for line in text.splitlines()]
    return [row[0] for row in rows if len(row) >= 4 and row[0].isdigit()]


def test_by_its_number_in_the_table(terminal):
    terminal.asked()
    assert numbers(terminal.text) == [str(n) for n in range(1, MOST + 1)]
    terminal.type("1")
    choice = terminal.answer()
    # The best by the first objective is on top; the last row is not on offer.
    assert choice == Choice(28, "AD")
    assert (choice.suggested_index, choice.suggested_by) == (3, "weighted_rule")
    assert choice.shown == f"terminal, {MOST} options"


def test_how_long_there_is_to_choose_stands_in_the_question(terminal):
    terminal.expert.left_s, terminal.expert.then = 12.3, "the run ends"
    terminal.asked()
    terminal.type("")
    terminal.answer()
    assert "which one within 12 s, or the run ends? number" in terminal.text


def test_what_is_suggested_by_enter(terminal):
    terminal.asked()
    assert "Enter for * (weighted_rule)" in terminal.text
    terminal.type("")
    assert terminal.answer() == Choice(3, "AD")


def test_any_row_of_the_grid(terminal):
    terminal.asked()
    terminal.type("#17")
    assert terminal.answer() == Choice(17, "AD")


def test_all_that_stand_out_are_shown_when_asked_for(terminal):
    terminal.asked()
    terminal.type("m", "29")
    assert terminal.answer() == Choice(0, "AD")
    assert numbers(terminal.text)[MOST:] == [str(n) for n in range(1, 30)]


@pytest.mark.parametrize("answer", ["0", "13", "-1", "x", "#", "#x", "1.5", "²", "#" + 5000 * "1"])
def test_what_means_no_option_is_told_and_asked_again(terminal, answer):
    terminal.asked()
    terminal.type(answer)
    wait_for(lambda: terminal.text.count("which one") == 2)
    assert f"{answer!r}: a number from 1 to {MOST}, #ROW, Enter, m or ?" in terminal.text
    terminal.type("#5")
    assert terminal.answer().index == 5


@pytest.mark.parametrize(
    ("answer", "says"), [("#30", "0 to 29 are there"), ("#29", "is not on offer")]
)
def test_a_row_that_cannot_be_taken_is_told(terminal, answer, says):
    terminal.asked()
    terminal.type(answer)
    wait_for(lambda: says in terminal.text)
    terminal.type("#5")
    assert terminal.answer().index == 5


def test_help(terminal):
    terminal.asked()
    terminal.type("?")
    wait_for(lambda: "#123" in terminal.text)
    terminal.type("2")
    assert terminal.answer().chosen_by == "AD"


def test_without_a_suggestion_enter_means_nothing(terminal):
    terminal.asked(suggestion=None)
    assert "Enter for" not in terminal.text
    terminal.type("")
    wait_for(lambda: "'': a number" in terminal.text)
    terminal.type("#1")
    assert terminal.answer().suggested_index == -1


def test_a_line_that_comes_too_late_answers_nothing(terminal):
    terminal.asked()
    assert terminal.expert.withdraw() is None  # the time is over
    wait_for(lambda: "this choice is not waited for any more" in terminal.text)
    assert terminal.hidden == 0
    terminal.asked(cloud(1))
    wait_for(lambda: terminal.text.count("which one") == 2)
    terminal.type("#4")
    assert terminal.answer().index == 4


def test_where_lines_end_what_is_suggested_is_taken(terminal):
    terminal.typed.put(None)
    for iteration in range(3):
        terminal.expert.set(cloud(iteration), suggestion=Choice(iteration, "weighted_rule"))
        assert terminal.answer() == Choice(iteration, "weighted_rule")
    assert terminal.text.count("no more answers come") == 1


def test_where_nobody_reads_what_is_suggested_is_taken():
    terminal = Terminal()

    def broken(text):
        raise BrokenPipeError

    terminal.out.write = broken
    with terminal.asking:
        terminal.expert.set(cloud(), suggestion=Choice(7, "weighted_rule"))
        assert terminal.answer() == Choice(7, "weighted_rule")


def test_an_answer_is_taken_back_in_time():
    terminal = Terminal(undo_s=60.0)
    with terminal.asking:
        terminal.asked()
        terminal.type("#5")
        wait_for(lambda: "u takes it back, within 60 s" in terminal.text)
        terminal.type("u")
        wait_for(lambda: terminal.text.count("which one") == 2)
        assert terminal.expert.answered_for_s() is None
        terminal.type("#6")
        wait_for(lambda: terminal.text.count("u takes it back") == 2)
        choice = terminal.answer()
        assert (choice.index, choice.taken_back) == (6, 1)
        wait_for(lambda: terminal.hidden == 0)
        terminal.typed.put(None)


def test_it_ends_while_it_asks(terminal):
    terminal.asked()
    ending = threading.Thread(target=lambda: terminal.asking.__exit__(None, None, None))
    ending.start()
    ending.join(20)
    assert not ending.is_alive()


@pytest.mark.slow
def test_a_run_whose_options_a_person_chooses(tmp_path):
    toml = tmp_path / "small.toml"
    toml.write_text(small_toml("operator = 'AD'\n", images=3, seed=1))
    catalog = tmp_path / "catalogue"
    command = [sys.executable, "-m", "stedopt_bluesky.cli", "run", toml, "--terminal"]
    done = subprocess.run(
        [*command, "--catalog", catalog], input="#5\nnothing\n\n",
        capture_output=True, text=True, check=False, timeout=100,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (path,) = journal_paths(CatalogFolder.open(catalog))
    record = RunRecord.read(path)
    data = [event["data"] for event in record.events("decision")]
    assert data[0]["decision_index"] == 5
    assert [d["decision_chosen_by"] for d in data[:2]] == ["AD", "AD"]
    assert data[1]["decision_index"] == data[1]["decision_suggested_index"]
    # The lines were at their end.
    assert data[2]["decision_chosen_by"] == data[2]["decision_suggested_by"] != "AD"
    assert all(d["decision_took_s"] > 0 for d in data)
    assert "Traceback" not in done.stderr
    # Who goes on with it is asked again.
    assert re.search(r"continue .* resume \w{8} --images \d+ --terminal --catalog", done.stdout)


def test_the_page_and_the_terminal_are_not_both_asked(stedopt):
    result = stedopt("run", "--expert", "--terminal")
    assert result.exit_code == 2
    assert result.stderr == (
        "error: expert: not together with --terminal; choose on the page or there\n"
    )
