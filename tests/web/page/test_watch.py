"""The page in a real browser: a run is watched, paused, resumed, stopped and aborted."""

import signal
import time

import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

from stedopt_bluesky.devices.expert import Expert
from stedopt_bluesky.records import CatalogFolder, RunRecord, find_run, journal_paths
from stedopt_bluesky.web.page.desk import Desk
from stedopt_bluesky.web.page.followed import Followed
from stedopt_bluesky.web.page.server import PageServer
from tests.waiting import wait_for
from tests.web.page.test_page import asked, running

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

PANELS = ("Parameters chosen", "Cumulative regret", "What the models expect")


def button(driver, words):
    (found,) = [
        e
        for e in driver.find_elements("css selector", "button")
        if words.lower() in e.text.lower() and e.is_displayed()
    ]
    return found


def drawn(driver):
    """What plotly shows: of each figure, the titles of its rows and the points of its traces."""
    return driver.execute_script(
        "return [...document.querySelectorAll('.js-plotly-plot')]"
        ".filter(d => d.offsetParent && d.data && d.data.length && !(d.layout.images || []).length)"
        ".map(d => ["
        "Object.keys(d.layout).filter(k => k.startsWith('yaxis')).map("
        "k => d.layout[k].title && d.layout[k].title.text), d.data.map(t => t.y)])"
    )


def test_a_run_that_has_ended_is_shown_as_it_was(imaged, chromium):
    record = RunRecord.read(find_run(imaged.session.folder, imaged.followed.run.uid))
    followed, links = Followed.of_record(record, imaged.session.folder), []
    desk = Desk(Expert(name="expert"), imaged.session.station.rating.objectives, followed=followed)
    with PageServer(desk, links.append):
        chromium.get(links[0])
        wait_for(lambda: "image 4 of 4: ended: success" in chromium.page_source)
        assert "depletion" in chromium.page_source
        wait_for(lambda: len(drawn(chromium)) == 1)
        ((titles, columns),) = drawn(chromium)
        assert "utility ↑" in titles
        snr = list(record.table("primary")["objective_snr"])
        assert columns[0] == pytest.approx(snr, rel=1e-5)
        wait_for(lambda: len(chromium.find_elements("css selector", ".js-plotly-plot image")) == 3)
        for number, title in enumerate(PANELS, start=2):
            button(chromium, title).click()
            wait_for(lambda n=number: len(drawn(chromium)) == n)
        regret = drawn(chromium)[2][1][0]
        assert len(regret) == 4
        assert regret == sorted(regret)
        chromium.find_element("css selector", "[aria-label='the image before']").click()
        wait_for(lambda: "image 3 of 4:" in chromium.page_source)


def record_of(run):
    (path,) = journal_paths(CatalogFolder.open(run.catalog))
    return RunRecord.read(path)


def exit_code(run):
    code = run.process.wait(60)
    run._reading.join(10)
    assert "Traceback" not in "".join(run.told)
    return code


def test_values_appear_and_a_pause_waits_for_who_resumes(tmp_path, chromium):
    with running(tmp_path, images=3, operator="Ada") as run:
        chromium.get(run.links[0])
        asked(chromium, 1)
        assert not button(chromium, "resume").is_enabled()
        button(chromium, "as suggested").click()
        wait_for(lambda: "image 1 of 3" in chromium.page_source)
        wait_for(lambda: any(len(columns[0]) == 1 for _, columns in drawn(chromium)))
        asked(chromium, 2)
        button(chromium, "what the models expect").click()
        wait_for(lambda: any(len(columns[0]) > 1 for _, columns in drawn(chromium)))

        button(chromium, "pause").click()
        wait_for(lambda: "Paused, nothing is lit" in chromium.page_source)
        wait_for(lambda: any("paused on the page by Ada" in line for line in run.told))
        chromium.refresh()  # what is opened now finds it paused, too
        wait_for(lambda: "Paused, nothing is lit" in chromium.page_source)
        assert not button(chromium, "pause").is_enabled()
        asked(chromium, 2)
        button(chromium, "resume").click()
        wait_for(lambda: "The run goes on." in chromium.page_source)
        button(chromium, "as suggested").click()
        asked(chromium, 3)

        button(chromium, "stop …").click()
        wait_for(lambda: shown(chromium, "Stop the run?"))
        button(chromium, "no, go on").click()
        wait_for(lambda: not shown(chromium, "Stop the run?"))
        button(chromium, "stop …").click()
        wait_for(lambda: shown(chromium, "Stop the run?"))
        button(chromium, "stop the run").click()
        assert exit_code(run) == 0
        record = record_of(run)
    assert (record.stop["exit_status"], record.stop["reason"]) == ("success", "")
    assert record.stop["num_events"]["primary"] == 2


def test_a_run_is_aborted_by_keys_alone(tmp_path, chromium):
    with running(tmp_path, images=3, operator="Ada") as run:
        chromium.get(run.links[0])
        asked(chromium, 1)
        chromium.execute_script("arguments[0].focus()", button(chromium, "abort …"))
        keys(chromium, Keys.ENTER)
        wait_for(lambda: shown(chromium, "Abort the run?"))
        wait_for(lambda: chromium.switch_to.active_element.text.lower() == "no, go on")
        keys(chromium, "s")  # no answer while something else is asked
        time.sleep(1)
        assert "Image 1: which option?" in chromium.page_source
        keys(chromium, Keys.TAB, Keys.ENTER)
        assert exit_code(run) == 130
        record = record_of(run)
    assert record.stop["exit_status"] == "abort"
    assert "decision" not in record.streams
    assert record.stop["reason"] == "aborted on the page by Ada"
    assert any("the run ended early: aborted on the page by Ada" in line for line in run.told)


@pytest.mark.campaign
def test_ctrl_c_ends_a_run_that_is_paused_on_the_page(tmp_path, chromium):
    with running(tmp_path, images=3) as run:
        chromium.get(run.links[0])
        asked(chromium, 1)
        button(chromium, "pause").click()
        wait_for(lambda: "Paused, nothing is lit" in chromium.page_source)
        run.process.send_signal(signal.SIGINT)
        assert exit_code(run) == 130
        assert record_of(run).stop["reason"] == "interrupted by the user (Ctrl-C)"


def shown(driver, words):
    """Whether a dialog asks this; in one go, as it may close meanwhile."""
    return driver.execute_script(
        "return [...document.querySelectorAll('.q-dialog .q-card')].some("
        "e => e.offsetParent && e.innerText.includes(arguments[0]))",
        words,
    )


def keys(driver, *pressed):
    ActionChains(driver).send_keys(*pressed).perform()
