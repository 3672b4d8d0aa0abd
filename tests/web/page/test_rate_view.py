"""Images are rated on the page: by digits, arrows, a slider; the network's word only when asked."""

import contextlib
import dataclasses
import json
import time

import numpy as np
import pytest
from selenium.webdriver.common.keys import Keys

from stedopt_bluesky.acquisition import ImageSet, Objective
from stedopt_bluesky.devices.expert_rater import ExpertRater, ImagesToRate
from stedopt_bluesky.networks.rater import QualityRater
from stedopt_bluesky.web.page.desk import Desk
from stedopt_bluesky.web.page.server import PageServer
from tests.waiting import wait_for
from tests.web.page.accessibility import reached_by_tab, violations
from tests.web.page.driving import button, mouse, press, says, text_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
OBJECTIVES = [Objective("quality", "", "maximise", (0.0, 1.0))]
SIZE = 64


def to_rate(iteration=0, scored=("quality",)):
    _, x = np.mgrid[:SIZE, :SIZE]
    # A filament of 6 pixels, upright, in the middle: 120 nm wide at 20 nm.
    filament = 200 * np.exp(-4 * np.log(2) * ((x - 32.0) / 6.0) ** 2)
    rng = np.random.default_rng(iteration)
    taken = [rng.poisson(filament + 1).astype(np.int16) for _ in range(3)]
    images = ImageSet(taken[0], (taken[1],), taken[2], pixel_size_nm=20.0, dwelltime_us=10.0)
    return ImagesToRate(images, iteration, {n: taken[1].astype(float) for n in scored})


@contextlib.contextmanager
def asked(chromium, *, undo_s=0.0, quality=None, scored=("quality",)):
    rater, links = ExpertRater(scored=scored, name="rating"), []
    desk = Desk(None, OBJECTIVES, "AD", undo_s=undo_s, rater=rater, quality=quality)
    rater.set(to_rate(scored=scored))
    with PageServer(desk, links.append):
        chromium.get(links[0])
        says(chromium, "Image 1: how good is it?" if scored else "Image 1: is it kept")
        wait_for(lambda: len(chromium.find_elements("css selector", ".js-plotly-plot image")) == 3)
        yield rater


def draw_line(chromium, panel="x2y2"):
    """Across the filament of a panel."""
    chromium.find_element("css selector", "[data-title='Draw line']").click()
    plot = chromium.find_element("css selector", f"[data-subplot='{panel}']")
    mouse(chromium, plot, (-60, 10), (0, 10), (60, 10))
    if panel == "x2y2":
        says(chromium, "line 1: FWHM ")


def answered(rater):
    wait_for(lambda: rater.answered_for_s() is not None)
    return rater.withdraw("the network")


def test_digits_and_enter(chromium):
    with asked(chromium) as rater:
        press(chromium, Keys.ENTER)  # nothing is said yet: that is no rating
        says(chromium, "First a number")
        press(chromium, "7", "3")
        says(chromium, "quality: 73 %")
        press(chromium, Keys.ENTER)
        said = answered(rater)
    assert (dict(said.scores), said.rated_by) == ({"quality": 0.73}, "AD")
    assert not said.suggestion_seen
    assert said.shown == "page, a scale each"


def test_a_hundred_and_a_number_anew(chromium):
    with asked(chromium) as rater:
        press(chromium, "1", "0", "0")
        says(chromium, "quality: 100 %")
        press(chromium, "4")  # 1004 is none
        says(chromium, "quality: 100 %")
        time.sleep(1.6)  # a number anew
        press(chromium, "4")
        says(chromium, "quality: 4 %")
        press(chromium, Keys.ARROW_UP, Keys.ARROW_UP, Keys.PAGE_UP, Keys.ARROW_DOWN)
        says(chromium, "quality: 15 %")
        press(chromium, Keys.ENTER)
        assert answered(rater).scores == {"quality": 0.15}


def test_the_slider_alone(chromium):
    with asked(chromium) as rater:
        slider = chromium.find_element("css selector", ".q-slider [role=slider], .q-slider")
        mouse(chromium, slider, (0, 0), (0, 0))
        says(chromium, "quality: 50 %")
        chromium.switch_to.active_element.send_keys(Keys.ARROW_RIGHT)
        says(chromium, "quality: 51 %")  # not twice
        button(chromium, "rate it").click()
        assert answered(rater).scores == {"quality": 0.51}


def test_the_networks_word_is_hidden_first_and_its_being_seen_is_kept(chromium):
    with asked(chromium, quality=QualityRater.named("general")) as rater:
        assert "the network says" not in chromium.page_source
        press(chromium, "n")
        says(chromium, "the network says: ")
        score = float(text_of(chromium, "the network says: ").split()[-2])
        wait_for(lambda: len(chromium.find_elements("css selector", ".js-plotly-plot image")) == 4)
        press(chromium, "n")
        wait_for(lambda: len(chromium.find_elements("css selector", ".js-plotly-plot image")) == 3)
        press(chromium, "5", "0", Keys.ENTER)
        assert answered(rater).suggestion_seen
    assert score == round(100 * QualityRater.named("general")(to_rate().scored["quality"]))


def test_skip_and_discard_with_a_reason(chromium):
    with asked(chromium) as rater:
        press(chromium, "5", "0", "k")
        assert answered(rater).scores == {}
    with asked(chromium) as rater:
        press(chromium, "d")
        says(chromium, "Why is nothing to be learnt")
        button(chromium, "discard them").click()
        says(chromium, "A reason is needed")
        press(chromium, "dri", "ft 7", Keys.ENTER)  # into the field; digits there are no rating
        said = answered(rater)
    assert said.discarded_because == "drift 7"
    assert said.scores == {}


def test_a_line_is_drawn_and_its_width_told(chromium):
    with asked(chromium) as rater:
        draw_line(chromium)
        says(chromium, "line 1: FWHM ")
        width_nm = float(text_of(chromium, "line 1: FWHM ").split()[3])
        assert width_nm == pytest.approx(120, rel=0.1)
        press(chromium, "o")  # another scale: the line stays
        says(chromium, "line 1: FWHM ")
        press(chromium, "6", "0", Keys.ENTER)
        said = answered(rater)
    (line,) = said.lines
    assert line.x1 - line.x0 > 10
    assert abs(line.y1 - line.y0) < 2
    assert said.shown == "page, one scale"
    drawn = {k: e["value"] for k, e in rater.read().items()}["rating_lines_px"]
    assert json.loads(drawn) == [[line.y0, line.x0, line.y1, line.x1]]


def test_a_line_is_of_its_image_and_no_other(chromium):
    with asked(chromium) as rater:
        draw_line(chromium)
        press(chromium, "6", "0", Keys.ENTER)
        assert len(answered(rater).lines) == 1
        rater.set(to_rate(1))
        says(chromium, "Image 2: how good is it?")
        time.sleep(1)
        press(chromium, "7", "0", Keys.ENTER)
        assert answered(rater).lines == ()
        rater.set(to_rate(2))
        says(chromium, "Image 3: how good is it?")
        draw_line(chromium)
        button(chromium, "no lines").click()
        time.sleep(1)
        assert "line 1" not in chromium.find_element("css selector", "body").text
        press(chromium, "8", "0", Keys.ENTER)
        assert answered(rater).lines == ()


def test_a_line_on_another_image_is_none(chromium):
    with asked(chromium) as rater:
        draw_line(chromium, "xy")
        says(chromium, "Lines are drawn on the STED image.")
        wait_for(lambda: not chromium.find_elements("css selector", "path[fill-rule][stroke='x']"))
        press(chromium, "8", "0", Keys.ENTER)
        assert answered(rater).lines == ()


def test_what_a_late_browser_sends_is_no_answer_to_the_next_question(chromium):
    with asked(chromium) as rater:
        # It is busy, and shows the first image on: its key reaches the page when that is over.
        chromium.execute_script(
            "setTimeout(() => { const until = performance.now() + 3000;"
            "while (performance.now() < until) {} "
            "document.dispatchEvent(new KeyboardEvent('keydown', {key: 'k', code: 'KeyK',"
            " bubbles: true})); }, 300)"
        )
        time.sleep(0.6)
        assert rater.withdraw() is None
        rater.set(to_rate(1))
        time.sleep(4)
        assert rater.answered_for_s() is None
        says(chromium, "Image 2: how good is it?")
        says(chromium, "Nobody has answered")
        press(chromium, "k")
        assert answered(rater).scores == {}


def test_the_mouse_leaves_enter_to_the_answer(chromium):
    with asked(chromium) as rater:
        chromium.find_element("css selector", "[role=switch]").click()
        press(chromium, "7", "5", Keys.ENTER)
        assert answered(rater).scores == {"quality": 0.75}


def test_images_without_a_score_are_kept_or_discarded(chromium):
    with asked(chromium, scored=()) as rater:
        assert "Type a number" not in chromium.page_source
        press(chromium, "5", "k", Keys.ENTER)
        said = answered(rater)
    assert (dict(said.scores), said.discarded_because) == ({}, "")


def test_each_image_is_asked_about_before_it_goes_on(chromium):
    with asked(chromium, scored=("quality", "quality_last")) as rater:
        press(chromium, "4", "0", Keys.ENTER)
        says(chromium, "quality last: no number yet")
        press(chromium, "6", "0", Keys.ENTER)
        assert answered(rater).scores == {"quality": 0.4, "quality_last": 0.6}


def test_it_is_told_which_colour_is_rated(chromium):
    rater, links = ExpertRater(scored=("quality", "orange_quality"), name="rating"), []
    first, orange = to_rate().images, to_rate(1).images
    scored = {"quality": first.sted[0] * 1.0, "orange_quality": orange.sted[0] * 1.0}
    images = dataclasses.replace(first, channels={"orange": orange})
    rater.set(ImagesToRate(images, 0, scored))
    with PageServer(Desk(None, OBJECTIVES, "AD", rater=rater), links.append):
        chromium.get(links[0])
        says(chromium, "Image 1: how good is it?")
        press(chromium, "4", "0", Keys.ENTER)
        says(chromium, "orange STED")
        draw_line(chromium)  # on that one, too
        press(chromium, "6", "0", Keys.ENTER)
        said = answered(rater)
    assert said.scores == {"quality": 0.4, "orange_quality": 0.6}
    assert len(said.lines) == 1


def test_it_is_taken_back(chromium):
    with asked(chromium, undo_s=30.0) as rater:
        press(chromium, "4", "0", Keys.ENTER)
        says(chromium, "AD has rated quality 40 %")
        press(chromium, "u")
        says(chromium, "Image 1: how good is it?")
        press(chromium, "9", "0", Keys.ENTER)
        assert answered(rater).scores == {"quality": 0.9}
    assert {k: e["value"] for k, e in rater.read().items()}["rating_taken_back"] == 1


def test_everybody_can_rate(chromium):
    with asked(chromium, quality=QualityRater.named("general"), undo_s=30.0) as rater:
        press(chromium, "n")
        says(chromium, "the network says: ")
        assert violations(chromium) == []
        reached, missed = reached_by_tab(chromium)
        assert missed == []
        assert [control.name for control in reached if not control.shows_focus] == []
        press(chromium, "d")
        says(chromium, "Why is nothing to be learnt")
        assert violations(chromium) == []
        press(chromium, Keys.ESCAPE)
        wait_for(lambda: not chromium.find_elements("css selector", ".q-dialog__backdrop"))
        chromium.execute_script("document.activeElement.blur()")
        press(chromium, "5", Keys.ENTER)
        says(chromium, "AD has rated quality 5 %")
        assert violations(chromium) == []
        answered(rater)
