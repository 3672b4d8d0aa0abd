"""The page in a real browser: a run is watched."""

import pytest

from stedopt_bluesky.devices.expert import Expert
from stedopt_bluesky.records import RunRecord, find_run
from stedopt_bluesky.web.page.desk import Desk
from stedopt_bluesky.web.page.followed import Followed
from stedopt_bluesky.web.page.server import PageServer
from tests.waiting import wait_for
from tests.web.page.browser import browser

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

PANELS = ("Parameters chosen", "Cumulative regret", "What the models expect")


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    with browser(tmp_path_factory.mktemp("chromium")) as driver:
        yield driver


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
        ".filter(d => d.offsetParent && d.data && d.data.length).map(d => ["
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
        picture = wait_for(lambda: chromium.find_elements("css selector", "img"))[0]
        assert picture.get_attribute("src").startswith("data:image/png;base64,")
        for number, title in enumerate(PANELS, start=2):
            button(chromium, title).click()
            wait_for(lambda n=number: len(drawn(chromium)) == n)
        regret = drawn(chromium)[2][1][0]
        assert len(regret) == 4
        assert regret == sorted(regret)
        chromium.find_element("css selector", "[aria-label='the image before']").click()
        wait_for(lambda: "image 3 of 4:" in chromium.page_source)
