"""The page can be used by everybody: no rule of axe is broken, and keys alone do."""

import contextlib

import numpy as np
import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

from stedopt_bluesky.acquisition import Choice, Objective, Options
from stedopt_bluesky.devices.expert import Expert
from stedopt_bluesky.preference.front import on_front
from stedopt_bluesky.web.page.cloud_figure import View, in_words, next_towards
from stedopt_bluesky.web.page.desk import Desk
from stedopt_bluesky.web.page.server import PageServer
from tests.waiting import wait_for
from tests.web.page.accessibility import reached_by_tab, violations
from tests.web.page.test_page import asked, press, text_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

NAMES = ("snr", "photobleaching", "imaging_time_s")
OBJECTIVES = [
    Objective("snr", "", "maximise", (0.0, 1.0)),
    Objective("photobleaching", "", "minimise", (0.0, 1.0)),
    Objective("imaging_time_s", "s", "minimise", (0.0, 1.0)),
]


def cloud(iteration):
    values = np.random.default_rng(iteration).random((200, 3))
    return Options(values, values[:, :1], iteration, NAMES, ("dwelltime_us",), (3, 5))


@contextlib.contextmanager
def page(driver, *, undo_s=0.0):
    """The page in a browser, and whom it asks."""
    expert, links = Expert(name="expert"), []
    with PageServer(Desk(expert, OBJECTIVES, undo_s=undo_s), links.append):
        driver.get(links[0])
        wait_for(lambda: "Nothing is asked" in driver.page_source)
        yield expert


def test_no_rule_is_broken_in_any_state(chromium):
    with page(chromium, undo_s=60.0) as expert:
        assert violations(chromium) == []
        options = cloud(0)
        expert.set(options, suggestion=Choice(7, "rule"))
        asked(chromium, 1)
        assert violations(chromium) == []
        press(chromium, Keys.ARROW_RIGHT)
        wait_for(lambda: text_of(chromium, "Selected: "))
        assert violations(chromium) == []
        press(chromium, Keys.ENTER)
        wait_for(lambda: "has chosen" in chromium.page_source)
        assert violations(chromium) == []
        expert.withdraw()
        chromium.delete_all_cookies()
        chromium.get(chromium.current_url)
        wait_for(lambda: "A link is needed" in chromium.page_source)
        assert violations(chromium) == []


def test_axe_tells_what_is_broken(chromium):
    """Or else a page without violations says nothing."""
    chromium.get("data:text/html,<title>x</title><img src=x><p style='color:%23ccc'>pale</p>")
    told = "\n".join(violations(chromium))
    assert "html-has-lang: html" in told
    assert "image-alt: img" in told
    assert "color-contrast: p" in told


def test_every_control_is_reached_by_tab_and_shows_it(chromium):
    with page(chromium, undo_s=60.0) as expert:
        expert.set(cloud(0), suggestion=Choice(7, "rule"))
        asked(chromium, 1)
        press(chromium, Keys.ARROW_RIGHT)
        wait_for(lambda: text_of(chromium, "Selected: "))
        reached, missed = reached_by_tab(chromium)
        assert missed == []
        names = [control.name.lower() for control in reached]
        assert names[:3] == ["skip to the view", "now", "runs"]
        assert names[3:7] == ["who answers", "x axis", "y axis", "colour"]
        assert names[-2:] == ["image it (enter)", "as suggested (s)"]
        assert [control.name for control in reached if not control.shows_focus] == []
        press(chromium, Keys.ENTER)  # on the last of them
        wait_for(lambda: "has chosen" in chromium.page_source)
        reached, missed = reached_by_tab(chromium)
        assert missed == []
        assert [c.name.lower() for c in reached[3:]] == ["who answers", "take back (u)"]


def test_what_shows_no_focus_or_is_not_reached_is_told(chromium):
    chromium.get(
        "data:text/html,<button>seen</button><button style='outline:none'>unseen</button>"
        "<div style='visibility:hidden'><button>hidden</button></div>"
        "<button onfocus='this.blur()'>never</button>"
    )
    reached, missed = reached_by_tab(chromium)
    assert [(c.name, c.shows_focus) for c in reached[:2]] == [("seen", True), ("unseen", False)]
    assert missed == ["never"]


def test_any_option_is_chosen_by_keys_alone(chromium):
    """Also one that others are better than, and with other axes."""
    with page(chromium) as expert:
        options = cloud(0)
        expert.set(options)
        asked(chromium, 1)
        for _ in range(5):  # past the header and who answers
            press(chromium, Keys.TAB)
        press(chromium, Keys.ARROW_DOWN)
        wait_for(lambda: chromium.find_elements("css selector", ".q-menu"))
        assert violations(chromium) == []
        press(chromium, Keys.ARROW_DOWN)
        press(chromium, Keys.ARROW_DOWN)
        press(chromium, Keys.ENTER)
        wait_for(lambda: "snr ↑" not in chromium.page_source)
        wait_for(lambda: not chromium.find_elements("css selector", ".q-menu"))
        for _ in range(3):  # out of what is written into
            press(chromium, Keys.TAB)
        press(chromium, Keys.ARROW_RIGHT)
        wait_for(lambda: text_of(chromium, "Selected: "))
        view = View("imaging_time_s", "photobleaching", "imaging_time_s")
        front = on_front(options, OBJECTIVES)
        row = front[np.argmin(options.values[front, 2])]  # the first one from the left
        for key, side in ((Keys.ARROW_UP, (0, 1)), (Keys.ARROW_RIGHT, (1, 0))):
            ActionChains(chromium).key_down(Keys.SHIFT).send_keys(key).key_up(Keys.SHIFT).perform()
            row = next_towards(options, view, row, *side)
            words = in_words(options, OBJECTIVES, row)
            wait_for(lambda words=words: text_of(chromium, "Selected: ") == f"Selected: {words}")
        assert row not in front
        chromium.execute_script("document.activeElement.blur()")
        press(chromium, Keys.ENTER)
        wait_for(lambda: expert.answered_for_s() is not None)
        assert expert.withdraw().index == row
