"""Pictures of the views for the documentation, of a real run; each breaks no rule of axe."""

import subprocess
import sys

import pytest
from PIL import Image
from selenium.webdriver.common.keys import Keys

from tests.waiting import wait_for
from tests.web.page.accessibility import violations
from tests.web.page.driving import mouse, press, says
from tests.web.page.screenshots import keep
from tests.web.page.test_page import LINK, asked, running

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
# Images as large as the paper's.
ALL = """
[expert]
asks = ["regions", "choice", "rating"]

[[objectives]]
name = "quality"
[[objectives]]
name = "photobleaching"
[[objectives]]
name = "imaging_time_s"
"""
LARGE = """
[microscope]
field_um = 60.0

[overview]
size_um = 60.0

[imaging]
region_size_um = 4.48
"""


def kept(driver, name):
    """Keep a picture of a page that everybody can use."""
    assert violations(driver) == []
    path = keep(driver, name)
    assert path.stat().st_size < 250_000
    with Image.open(path) as picture:
        assert picture.size == (1200, 900)


def test_pictures_of_a_run_in_which_a_person_does_all(tmp_path, chromium):
    with running(tmp_path, more=ALL, sections=LARGE, images=3, operator="AD") as run:
        chromium.get(run.links[0])
        says(chromium, "Field 1: which regions are imaged?")
        wait_for(lambda: chromium.find_elements("css selector", "svg text"))
        press(chromium, *[Keys.ARROW_DOWN] * 3)
        wait_for(lambda: chromium.find_elements("css selector", "rect[stroke='#ff4fa3']"))
        kept(chromium, "page-regions")
        press(chromium, Keys.ENTER)
        for image in (1, 2, 3):
            asked(chromium, image)
            if image == 3:
                press(chromium, Keys.ARROW_LEFT, Keys.ARROW_LEFT)
                says(chromium, "Selected: ")
                kept(chromium, "page-choose")
            press(chromium, "s")
            says(chromium, f"Image {image}: how good is it?")
            press(chromium, "7", "3")
            says(chromium, "quality: 73 %")
            if image == 2:
                press(chromium, "n")
                says(chromium, "the network says: ")
                wait_for(
                    lambda: len(chromium.find_elements("css selector", ".svg-container image")) > 3
                )
                chromium.find_element("css selector", "[data-title='Draw line']").click()
                plot = chromium.find_element(
                    "css selector", "[data-subplot='x2y2'], .x2y2 .nsewdrag"
                )
                mouse(chromium, plot, (-40, 20), (0, 0), (40, -20))
                says(chromium, "line 1: FWHM ")
                kept(chromium, "page-rate")
            press(chromium, Keys.ENTER)
        run.ended()
    with subprocess.Popen(
        [sys.executable, "-m", "stedopt_bluesky.cli", "serve", "page", "--port", "0",
         "--catalog", run.catalog], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
    ) as served:  # fmt: skip
        try:
            line = next(line for line in served.stderr if LINK.search(line))
            chromium.get(LINK.search(line)[0])
            chromium.get(chromium.current_url + "runs")
            says(chromium, "AD")
            assert violations(chromium) == []
            chromium.find_element("css selector", "table.texts tbody a").click()
            says(chromium, "image 3 of 3:")
            wait_for(
                lambda: chromium.find_elements("css selector", ".js-plotly-plot .scatterlayer")
            )
            kept(chromium, "page-run")
        finally:
            served.terminate()
