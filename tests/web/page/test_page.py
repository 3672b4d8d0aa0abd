"""The page in a real browser: a run whose options are chosen by clicks and keys."""

import contextlib
import re
import signal
import socket
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

from stedopt_bluesky.acquisition import Objective, Options
from stedopt_bluesky.devices.expert import Expert
from stedopt_bluesky.records import CatalogFolder, RunRecord, journal_paths
from stedopt_bluesky.web.page.desk import Desk
from stedopt_bluesky.web.page.server import PageServer
from tests.small import small_toml
from tests.waiting import wait_for
from tests.web.page.browser import browser
from tests.web.page.driving import says

LINK = re.compile(r"http://127\.0\.0\.1:\d+/\?link=\S+")
# An operator whose name a page that does not escape it would run.
HOSTILE = "<img src=x onerror=document.title='taken'>"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


class Run:
    """`stedopt run --expert`, and the links that it tells."""

    def __init__(self, folder, *, more="", **fields):
        self.catalog = folder / "catalogue"
        toml = folder / "small.toml"
        toml.write_text(small_toml(more, seed=1, **fields))
        command = [sys.executable, "-m", "stedopt_bluesky.cli", "run", toml, "--expert"]
        self.process = subprocess.Popen(
            [*command, "--catalog", self.catalog], stderr=subprocess.PIPE, text=True
        )
        self.links, self.told = [], []
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._reading.start()
        wait_for(lambda: self.links)

    def _read(self):
        for line in self.process.stderr:
            self.told.append(line)
            self.links += LINK.findall(line)

    def ended(self):
        assert self.process.wait(60) == 0, "".join(self.told)
        self._reading.join(10)

    def decisions(self):
        (path,) = journal_paths(CatalogFolder.open(self.catalog))
        return [event["data"] for event in RunRecord.read(path).events("decision")]


@contextlib.contextmanager
def running(folder, **fields):
    run = Run(folder, **fields)
    try:
        yield run
    finally:
        run.process.kill()
        run.process.wait(20)


def asked(driver, image):
    """Wait until the page asks for this image, and its cloud is drawn."""
    wait_for(lambda: f"Image {image}: which option?" in driver.page_source)
    wait_for(lambda: driver.find_elements("css selector", ".nsewdrag"))
    # What is pressed before the browser is connected is lost.
    wait_for(lambda: driver.execute_script("return window.did_handshake === true"))


def press(driver, *keys):
    ActionChains(driver).send_keys(*keys).perform()


def text_of(driver, beginning):
    """Text that is shown and begins so; found in one go, as the page changes meanwhile."""
    return driver.execute_script(
        "return [...document.querySelectorAll('.nicegui-label, div')].filter(e => e.offsetParent)"
        ".map(e => e.innerText.trim()).find(t => t.startsWith(arguments[0])) || ''",
        beginning,
    )


def button(driver, words):
    (found,) = [
        e for e in driver.find_elements("css selector", "button") if words in e.text.lower()
    ]
    return found


def test_a_run_is_done_by_keys_and_clicks(tmp_path, chromium):
    with running(tmp_path, images=10, operator=HOSTILE) as run:
        chromium.get(run.links[0])
        # The link is not in the address any more.
        assert chromium.current_url == run.links[0].partition("?")[0]

        asked(chromium, 1)
        assert not button(chromium, "image it").is_enabled()
        press(chromium, Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
        wait_for(lambda: text_of(chromium, "Selected: "))
        assert "depletion power" in text_of(chromium, "Selected: ")
        press(chromium, Keys.ENTER)

        asked(chromium, 2)
        press(chromium, "s")

        asked(chromium, 3)
        plot = chromium.find_element("css selector", ".nsewdrag")
        x, y = chromium.execute_script(
            "const d = document.querySelector('.js-plotly-plot'), f = d._fullLayout, t = d.data[2];"
            "const s = d.data[0];"
            "return [f.xaxis.l2p(s.x[40]) - f._size.w / 2, f.yaxis.l2p(s.y[40]) - f._size.h / 2]"
        )
        ActionChains(chromium).move_to_element_with_offset(plot, round(x), round(y)).perform()
        wait_for(lambda: text_of(chromium, "depletion power") or text_of(chromium, "excitation"))
        ActionChains(chromium).click().perform()
        wait_for(lambda: text_of(chromium, "Selected: "))
        button(chromium, "image it").click()

        asked(chromium, 4)
        press(chromium, "s")  # also while a button has the focus
        asked(chromium, 5)
        button(chromium, "as suggested").click()
        for image in range(6, 11):
            asked(chromium, image)
            chromium.execute_script("document.activeElement.blur()")
            press(chromium, Keys.ARROW_LEFT, Keys.ENTER)
        says(chromium, "The run is over: image 10 of 10: ended: success. The lasers are off")
        run.ended()
        decisions = run.decisions()
    assert [d["decision_chosen_by"] for d in decisions] == [HOSTILE] * 10
    assert chromium.title == "Now - stedopt"
    for number in (1, 3, 4):
        assert decisions[number]["decision_index"] == decisions[number]["decision_suggested_index"]
    assert all(d["decision_shown"].startswith("page, x ") for d in decisions)
    assert all(d["decision_took_s"] > 0 for d in decisions)


def test_it_goes_on_where_it_is_opened_next_and_one_decision_wins(tmp_path, chromium):
    with running(tmp_path, images=2, more="[expert]\nundo_s = 4.0\n") as run:
        chromium.get(run.links[0])
        asked(chromium, 1)
        chromium.get("about:blank")  # the page is closed: the question waits
        wait_for(lambda: len(run.links) == 2)
        with browser(tmp_path / "other") as other:
            other.get(run.links[0])
            wait_for(lambda: "was used" in other.page_source)
            other.get(run.links[1])
            asked(other, 1)
            chromium.get(run.links[0].partition("?")[0])  # the same browser is known
            asked(chromium, 1)
            press(other, "s")
            wait_for(lambda: "Nothing is asked" in chromium.page_source)
            press(other, "u")
            asked(chromium, 1)
            asked(other, 1)
            press(chromium, "s")
            asked(other, 2)
            press(other, "s")
            run.ended()
        first, second = run.decisions()
    assert first["decision_taken_back"] == 1
    assert second["decision_taken_back"] == 0


def test_nobody_gets_in_without_a_link(chromium):
    expert, links = Expert(name="expert"), []
    values = np.random.default_rng(0).random((20, 2))
    expert.set(Options(values, values[:, :1], 0, ("a", "b"), ("dwelltime_us",)))
    objectives = [Objective(name, "", "minimise", (0.0, 1.0)) for name in ("a", "b")]
    with PageServer(Desk(expert, objectives), links.append):
        address = links[0].partition("?")[0]
        for wrong in (address, f"{address}runs", f"{address}?link=wrong", links[0][:-1]):
            chromium.get(wrong)
            wait_for(lambda: "A link is needed" in chromium.page_source)
            assert "which option" not in chromium.page_source
        chromium.get(links[0])
        asked(chromium, 1)


def test_a_process_serves_one_page_after_the_other(chromium):
    """As a session in a notebook does, run after run."""
    objectives = [Objective(name, "", "minimise", (0.0, 1.0)) for name in ("a", "b")]
    values = np.random.default_rng(0).random((20, 2))
    for number in range(2):
        expert, links = Expert(name="expert"), []
        expert.set(Options(values, values[:, :1], number, ("a", "b"), ("dwelltime_us",)))
        desk = Desk(expert, objectives)
        with PageServer(desk, links.append):
            with pytest.raises(RuntimeError, match="serves a page already"):
                PageServer(desk, links.append).__enter__()
            chromium.get(links[0])
            asked(chromium, number + 1)
            press(chromium, Keys.ARROW_LEFT, Keys.ENTER)
            wait_for(lambda e=expert: e.answered_for_s() is not None)
        assert expert.withdraw().chosen_by == "expert"


def test_a_port_that_is_taken_is_told_before_the_run(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        toml = tmp_path / "small.toml"
        toml.write_text(small_toml(f"[expert]\nport = {taken.getsockname()[1]}\n", images=1))
        command = [sys.executable, "-m", "stedopt_bluesky.cli", "run", toml, "--expert"]
        done = subprocess.run(
            [*command, "--catalog", tmp_path / "cat"], capture_output=True, text=True, check=False
        )
    assert done.returncode == 2
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("error: expert.port = ")
    assert "in use" in line
    assert list((tmp_path / "cat").rglob("*.jsonl")) == []


def test_ctrl_c_while_the_page_is_asked_ends_the_run(tmp_path):
    with running(tmp_path, images=3) as run:
        wait_for(lambda: any("page" in line for line in run.told))
        (path,) = wait_for_journals(run.catalog)
        wait_for(lambda: b'"overview"' in path.read_bytes())
        time.sleep(0.5)  # it asks by now, or soon
        run.process.send_signal(signal.SIGINT)
        assert run.process.wait(60) == 130
        run._reading.join(10)
    assert "Traceback" not in "".join(run.told)


def wait_for_journals(catalog):
    wait_for(lambda: catalog.exists() and journal_paths(CatalogFolder.open(catalog)))
    return journal_paths(CatalogFolder.open(catalog))
