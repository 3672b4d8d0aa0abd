"""In a notebook and at IPython's prompt a person is asked in the cell that started the plan."""

import os
import re
import select
import shutil
import signal
import subprocess
import sys
import time

import pytest

from stedopt_bluesky.records import CatalogFolder, RunRecord, find_run, list_runs
from tests.kernels import PROFILE, kernel
from tests.small import small_toml

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

ASKED = 'RE(optimize(images={}, chooser="expert"{}))'


@pytest.fixture(scope="module")
def notebook(tmp_path_factory):
    folder = tmp_path_factory.mktemp("notebook")
    with kernel(folder, small_toml(seed=1, operator="AD")) as running:
        running.catalog = folder / "catalog"
        yield running


def decisions(notebook):
    """Of the newest run."""
    folder = CatalogFolder.open(notebook.catalog)
    record = RunRecord.read(find_run(folder, list_runs(folder)[0].uid))
    return record, [event["data"] for event in record.events("decision")]


class Answering:
    """Gives lines, one for each prompt; a function is called in place of an answer."""

    def __init__(self, *lines):
        self.lines, self.prompts = list(lines), []

    def __call__(self, prompt):
        self.prompts.append(prompt)
        line = self.lines.pop(0)
        return line() if callable(line) else line


def test_a_run_of_three_images_is_chosen_by_lines(notebook):
    person = Answering("?", "#5", "nothing", "m", "2", "")
    content, text, types = notebook.run(ASKED.format(3, ""), person)
    assert content["status"] == "ok", content
    record, chosen = decisions(notebook)
    assert [d["decision_chosen_by"] for d in chosen] == ["AD"] * 3
    assert chosen[0]["decision_index"] == 5
    assert chosen[2]["decision_index"] == chosen[2]["decision_suggested_index"]
    assert all(re.fullmatch(r"notebook, \d+ options", d["decision_shown"]) for d in chosen)
    assert record.stop["exit_status"] == "success"
    # A picture and a table for each image, and once more for `m`.
    assert types.count("image/png") == 4
    assert types.count("text/html") == 4
    assert "row 123 of the whole grid" in text
    assert "Interrupting the kernel pauses the plan" in text
    assert "'nothing': a number from 1 to " in text
    assert "depletion" in text
    asked = r"which one within (600|59\d) s, or the rule chooses\? number, Enter for \* \(\w+\), .*"
    assert all(re.fullmatch(asked, prompt) for prompt in person.prompts)


def test_an_interrupt_pauses_and_it_is_asked_again(notebook):
    content, _, _ = notebook.run(ASKED.format(2, ""), Answering("#3", notebook.interrupt))
    assert content["ename"] == "RunEngineInterrupted", content
    content, text, _ = notebook.run("print(RE.state, expert.pending()['iteration'])")
    assert text == "paused 1\n"
    content, text, types = notebook.run("RE.resume()", Answering("#4"))
    assert content["status"] == "ok", content
    assert types.count("image/png") == 1
    record, chosen = decisions(notebook)
    assert [d["decision_index"] for d in chosen] == [3, 4]
    assert record.stop["exit_status"] == "success"


def test_what_is_paused_can_be_aborted(notebook):
    notebook.run(ASKED.format(2, ""), Answering(notebook.interrupt))
    content, text, types = notebook.run("RE.abort(); print(RE.state)", Answering())
    assert content["status"] == "ok", content
    assert text.endswith("idle\n")
    assert types.count("image/png") == 0
    (run, *_) = list_runs(CatalogFolder.open(notebook.catalog))
    assert (run.images, run.exit_status) == (0, "abort")


def test_who_does_not_answer_in_time_holds_nothing_up(notebook):
    person = Answering(lambda: None, "#7")
    content, text, _ = notebook.run(ASKED.format(2, ", choice_timeout_s=2"), person)
    assert content["status"] == "ok", content
    assert "this choice is not waited for any more" in text
    _, chosen = decisions(notebook)
    assert chosen[0]["decision_chosen_by"] != "AD"
    # Not what was answered to the question before.
    assert chosen[1]["decision_index"] == 7


def test_a_frontend_without_input_takes_what_is_suggested(notebook):
    content, text, _ = notebook.run(ASKED.format(3, ""))
    assert content["status"] == "ok", content
    assert text.count("what is suggested is taken from now on") == 1
    _, chosen = decisions(notebook)
    assert len(chosen) == 3
    for data in chosen:
        assert data["decision_index"] == data["decision_suggested_index"]
        assert data["decision_chosen_by"] == data["decision_suggested_by"] != "AD"


def test_with_the_page_on_it_is_not_asked_here(notebook):
    content, text, _ = notebook.run("%page on")
    assert content["status"] == "ok", content
    assert re.search(r"http://127\.0\.0\.1:\d+/\?link=\S+", text)
    person = Answering()
    content, _, types = notebook.run(ASKED.format(1, ", choice_timeout_s=2"), person)
    assert content["status"] == "ok", content
    assert types.count("image/png") == 0
    notebook.run("%page off")
    content, _, types = notebook.run(ASKED.format(1, ""), Answering("#2"))
    assert types.count("image/png") == 1
    content, _, _ = notebook.run("%page maybe")
    assert content["ename"] == "UsageError"


class Prompt:
    """IPython at a terminal, with the profile; what it has shown, and lines typed."""

    def __init__(self, folder, code):
        shutil.copytree(PROFILE / "startup", folder / "profile_stedopt" / "startup")
        (folder / "config.toml").write_text(small_toml(seed=1, operator="AD"))
        self.ours, theirs = pytest.importorskip("pty").openpty()
        named = f"--profile-dir={folder / 'profile_stedopt'}"
        names = {"STEDOPT_CATALOG": "catalog", "STEDOPT_CONFIG": "config.toml"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "IPython", named, "--colors=nocolor", "-c", code],
            env={**os.environ, **names},
            cwd=folder,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
        )
        os.close(theirs)
        self.shown = ""

    def wait_for(self, text, seconds=20):
        """Read until a text has been shown, and forget what came up to it."""
        end = time.monotonic() + seconds
        while text not in self.shown:
            assert time.monotonic() < end, self.shown
            if select.select([self.ours], [], [], 0.1)[0]:
                self.shown += os.read(self.ours, 4096).decode(errors="replace")
        before, _, self.shown = self.shown.partition(text)
        return before

    def type(self, line):
        os.write(self.ours, f"{line}\n".encode())


AT_PROMPT = """
from bluesky.utils import RunEngineInterrupted
%live
try:
    RE(optimize(images=2, chooser='expert'))
except RunEngineInterrupted:
    print('paused here')
RE.resume()
RE(optimize(images=1, chooser='expert', choice_timeout_s=1))
print('done', RE.state)
"""


def test_at_a_terminal_it_is_asked_interrupted_and_given_up(tmp_path):
    prompt = Prompt(tmp_path, AT_PROMPT)
    try:
        prompt.wait_for("which one")
        prompt.type("#3")
        prompt.wait_for("image 2: ")
        prompt.wait_for("? for help:")
        time.sleep(0.3)  # nobody reads a question faster
        prompt.process.send_signal(signal.SIGINT)
        prompt.wait_for("paused here")
        prompt.wait_for("? for help:")
        prompt.type("#4")
        prompt.wait_for("within 1 s")
        prompt.wait_for("this choice is not waited for any more")  # nobody types
        prompt.wait_for("done idle")
        prompt.process.wait(30)
    finally:
        prompt.process.kill()
        prompt.process.wait(20)
        os.close(prompt.ours)
    folder = CatalogFolder.open(tmp_path / "catalog")
    late, chosen = (RunRecord.read(find_run(folder, r.uid)) for r in list_runs(folder))
    indices = [e["data"]["decision_index"] for e in chosen.events("decision")]
    assert indices == [3, 4]
    assert chosen.events("decision")[0]["data"]["decision_shown"].startswith("terminal, ")
    assert late.events("decision")[0]["data"]["decision_chosen_by"] != "AD"
