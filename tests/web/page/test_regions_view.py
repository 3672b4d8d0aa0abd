"""Regions are chosen on the page: by clicks, rectangles, keys; proposals by a threshold."""

import contextlib

import numpy as np
import pytest
from selenium.webdriver.common.keys import Keys

from stedopt_bluesky.acquisition import Objective, Spine
from stedopt_bluesky.devices.expert_surveyor import ExpertSurveyor, FieldToSurvey
from stedopt_bluesky.plans.regions import RegionLayout
from stedopt_bluesky.web.page.desk import Desk
from stedopt_bluesky.web.page.server import PageServer
from tests.waiting import wait_for
from tests.web.page.accessibility import reached_by_tab, violations
from tests.web.page.driving import button, mouse, press, says

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
OBJECTIVES = [Objective("quality", "", "maximise", (0.0, 1.0))]
PIXEL_NM, SIZE_UM, PIXELS = 100.0, 2.0, 200  # a field of 20 µm
LAY = RegionLayout(SIZE_UM, 0.3)


def overview():
    """A stripe at the left, brighter from above to below, and a faint square at the right."""
    bright = np.zeros((PIXELS, PIXELS))
    bright[:, :60] = np.linspace(60, 260, PIXELS)[:, None]
    bright[:60, 120:] = 40
    return np.random.default_rng(0).poisson(bright + 1).astype(np.int16)


def field(spines=None):
    image = overview()

    def propose(threshold):
        if spines is not None:
            return image > 100 * threshold, spines
        mask = LAY.foreground(image, PIXEL_NM, threshold)
        return mask, LAY(image, PIXEL_NM, (0.0, 0.0), threshold)

    return FieldToSurvey(1, image, PIXEL_NM, (0.0, 0.0), SIZE_UM, 5, propose,
                         lambda regions: None, spines is not None)  # fmt: skip


@contextlib.contextmanager
def asked(chromium, spines=None, undo_s=0.0):
    surveyor, links = ExpertSurveyor(name="regions"), []
    what = field(spines)
    surveyor.set(what, suggestion=tuple(what.propose(1.0)[1]))
    desk = Desk(None, OBJECTIVES, "AD", undo_s=undo_s, surveyor=surveyor)
    with PageServer(desk, links.append):
        chromium.get(links[0])
        says(chromium, "Field 1: which")
        wait_for(lambda: chromium.find_elements("css selector", "svg text"))
        yield surveyor


def answered(surveyor):
    wait_for(lambda: surveyor.answered_for_s() is not None)
    return surveyor.withdraw()


def shown(driver):
    """How many regions are drawn."""
    return len(driver.find_elements("css selector", ".overview svg text"))


def picture(driver):
    return driver.find_element("css selector", ".overview")


def offset(driver, x_um, y_um):
    """Where a position in the field lies on the screen, from the picture's middle."""
    image = driver.find_element("css selector", ".overview img")
    per_um = image.size["width"] / (PIXELS * PIXEL_NM / 1000)
    return round(x_um * per_um), round(y_um * per_um)


def centres(places):
    return [(r.x_um, r.y_um) for r in places.regions]


def test_proposals_are_taken_by_a_key(chromium):
    with asked(chromium) as surveyor:
        proposed = tuple(surveyor.question[1])
        says(chromium, f"{len(proposed)} regions, of which the first 5 are imaged")
        assert shown(chromium) == len(proposed)
        press(chromium, Keys.ENTER)
        places = answered(surveyor)
    assert places.regions == proposed
    assert (places.chosen_by, places.threshold) == ("AD", 1.0)


def test_clicks_add_and_select_and_keys_delete_and_reorder(chromium):
    with asked(chromium) as surveyor:
        button(chromium, "none").click()
        wait_for(lambda: shown(chromium) == 0)
        for at in ((-5.0, 0.0), (5.0, 4.0), (0.0, -5.0)):
            before = shown(chromium)
            mouse(chromium, picture(chromium), offset(chromium, *at))
            wait_for(lambda n=before: shown(chromium) == n + 1)
        says(chromium, "3 regions; 5 are still to be imaged")
        mouse(chromium, picture(chromium), offset(chromium, 5.2, 4.2))  # that one is selected
        wait_for(lambda: chromium.find_elements("css selector", "rect[stroke='#ff4fa3']"))
        press(chromium, ",")  # it is imaged first
        press(chromium, Keys.ARROW_DOWN, "x")
        wait_for(lambda: shown(chromium) == 2)
        press(chromium, Keys.ENTER)
        places = answered(surveyor)
    assert centres(places) == [
        pytest.approx((5.0, 4.0), abs=0.1),
        pytest.approx((0.0, -5.0), abs=0.1),
    ]


def test_a_rectangle_is_filled(chromium):
    with asked(chromium) as surveyor:
        button(chromium, "none").click()
        wait_for(lambda: shown(chromium) == 0)
        corners = offset(chromium, -4.2, -3.2), offset(chromium, 1.0, 1.0)
        mouse(chromium, picture(chromium), corners[0], corners[1], offset(chromium, 4.2, 1.2))
        wait_for(lambda: shown(chromium) == 8)  # 8.4 × 4.4 µm: four by two
        press(chromium, Keys.ENTER)
        places = answered(surveyor)
    xs = sorted({round(x, 1) for x, _ in centres(places)})
    assert np.diff(xs) == pytest.approx([2.0] * 3, abs=0.15)


def test_a_region_by_numbers_and_one_outside_of_the_field(chromium):
    with asked(chromium) as surveyor:
        button(chromium, "none").click()
        wait_for(lambda: shown(chromium) == 0)
        x, y = chromium.find_elements("css selector", "input[type=number]")
        x.send_keys("9.5")
        y.send_keys("-1")
        button(chromium, "add").click()
        says(chromium, "region 1, x = 9.5 µm: -9 to 9 µm, else it leaves the field")
        assert shown(chromium) == 0
        x.send_keys(Keys.CONTROL, "a")
        x.send_keys("3.25", Keys.ENTER)
        wait_for(lambda: shown(chromium) == 1)
        button(chromium, "image these").click()
        assert centres(answered(surveyor)) == [(3.25, -1.0)]


def test_a_higher_threshold_proposes_fewer(chromium):
    with asked(chromium) as surveyor:
        proposed = len(surveyor.question[1])
        slider = chromium.find_element("css selector", ".q-slider")
        width = slider.size["width"]
        mouse(chromium, slider, (round(-width * 0.1), 0), (round(-width * 0.1), 0))
        wait_for(lambda: 0 < shown(chromium) < proposed)
        fewer = shown(chromium)
        press(chromium, "f")  # the foreground can be looked at
        press(chromium, Keys.ENTER)
        places = answered(surveyor)
    assert len(places.regions) == fewer
    assert places.threshold == pytest.approx(0.2 + 0.4 * 3.8, abs=0.1)


def test_spines_are_selected_and_deleted_not_placed(chromium):
    spines = [Spine(x, 0.0, SIZE_UM, 1.0, 0.0, 1.0) for x in (-6.0, 0.0, 6.0)]
    with asked(chromium, spines) as surveyor:
        says(chromium, "Field 1: which spines are imaged?")
        mouse(chromium, picture(chromium), offset(chromium, 3.0, 7.0))  # there is none
        mouse(chromium, picture(chromium), offset(chromium, 0.2, 0.2))
        wait_for(lambda: chromium.find_elements("css selector", "rect[stroke='#ff4fa3']"))
        press(chromium, "x")
        wait_for(lambda: shown(chromium) == 2)
        press(chromium, Keys.ENTER)
        places = answered(surveyor)
    assert places.regions == (spines[0], spines[2])


def test_it_is_taken_back(chromium):
    with asked(chromium, undo_s=30.0) as surveyor:
        press(chromium, Keys.ENTER)
        says(chromium, "AD has chosen ")
        button(chromium, "take back").click()
        says(chromium, "Field 1: which regions are imaged?")
        press(chromium, Keys.ENTER)
        answered(surveyor)
    assert surveyor.read()["regions_taken_back"]["value"] == 1


def test_everybody_can_choose_regions(chromium):
    with asked(chromium) as surveyor:
        press(chromium, Keys.ARROW_DOWN)
        wait_for(lambda: chromium.find_elements("css selector", "rect[stroke='#ff4fa3']"))
        press(chromium, "f", "z")
        assert violations(chromium) == []
        button(chromium, "none").click()
        wait_for(lambda: shown(chromium) == 0)
        reached, missed = reached_by_tab(chromium)
        assert missed == []
        assert [control.name for control in reached if not control.shows_focus] == []
        chromium.execute_script("document.activeElement.blur()")
        press(chromium, "r", Keys.ENTER)
        assert len(answered(surveyor).regions) == len(field().propose(1.0)[1])
