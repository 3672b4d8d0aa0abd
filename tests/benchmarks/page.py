"""What the page costs: from a key to the exposure, from an image to the next question, a frame.

``python -m tests.benchmarks.page [--images N] [--options N]`` prints a markdown table. A real run
of the twin, images of 512² pixels, whose options are chosen on the page in Debian's chromium,
headless. The browser's clock and the program's are the same computer's: what is told is the time
from a key's event in the browser to the first scan of its image at the microscope, and from the
Event of an image to the next question in the browser's document. Of frames: the time between two
of them while the mouse moves over the cloud.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

# Before numpy is loaded: one thread, so that figures do not depend on the machine's load.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

IMAGES, OPTIONS = 10, 10_000
# A bound against hanging, s.
LONG_S = 120.0
# The page's document, looked at whenever it changes: when it first asks for which image.
WATCH = """
window.asked = {};
const look = () => {
  const found = document.body.innerText.match(/Image (\\d+): which option/);
  if (found && !(found[1] in window.asked)) {
    window.asked[found[1]] = (performance.timeOrigin + performance.now()) / 1000;
  }
};
new MutationObserver(look).observe(
  document.body, {subtree: true, childList: true, characterData: true});
look();
"""
PRESS = """
const now = (performance.timeOrigin + performance.now()) / 1000;
document.dispatchEvent(new KeyboardEvent("keydown", {key: "s", code: "KeyS", bubbles: true}));
return now;
"""
FRAMES = """
window.frames_ms = [];
let before = performance.now();
const next = () => {
  const now = performance.now();
  window.frames_ms.push(now - before);
  before = now;
  requestAnimationFrame(next);
};
requestAnimationFrame(next);
"""


def until(condition: Any) -> Any:
    """Wait for what is true, and give it."""
    end = time.monotonic() + LONG_S
    while not (found := condition()):
        if time.monotonic() > end:
            raise TimeoutError("the page has not come this far")
        time.sleep(0.01)
    return found


class Watched:
    """When the microscope began each image's first scan, and when each image's Event came."""

    def __init__(self) -> None:
        self.exposed_s: list[float] = []
        self.event_s: list[float] = []
        self._waits = False

    def expose(self, *arguments: Any) -> Any:
        """Have the twin's photophysics reckoned."""
        from stedopt_bluesky.twin.photophysics import expose_labels

        if self._waits:
            self._waits = False
            self.exposed_s.append(time.time())
        return expose_labels(*arguments)

    def __call__(self, name: str, doc: dict[str, Any]) -> None:
        """Observe one document."""
        if name == "event" and "image_iteration" in doc["data"]:
            self.event_s.append(time.time())
        elif name == "event" and "decision_index" in doc["data"]:
            self._waits = True


def measure(images: int, folder: Path) -> tuple[list[float], list[float]]:
    """Times of a run, ms: from key to exposure, and from image to question."""
    from stedopt_bluesky.config import preset
    from stedopt_bluesky.devices.expert import Expert
    from stedopt_bluesky.session import open_networks, open_session
    from stedopt_bluesky.session.asking import make_expert_choice
    from stedopt_bluesky.session.run_control import RunControl
    from stedopt_bluesky.twin import TwinApplication, make_sample
    from stedopt_bluesky.web.page.desk import Desk
    from stedopt_bluesky.web.page.server import PageServer
    from stedopt_bluesky.web.page.watched import Watched as Followed
    from tests.web.page.browser import browser

    config = preset("classical").updated(
        {"images": images, "imaging.region_size_um": 10.24, "imaging.pixel_size_nm": 20.0,
         "microscope.field_um": 95.0, "overview.size_um": 95.0}
    )  # fmt: skip
    watched, links = Watched(), list[str]()
    sample = make_sample("actin", config.seed, config.microscope.field_um * 1e-6)
    twin = TwinApplication(sample, seed=config.seed, expose=watched.expose)
    expert = Expert(name="expert")
    choose = make_expert_choice(config, expert, open_networks(config))
    pressed_s, asked_s = list[float](), dict[str, float]()

    def person() -> None:
        with browser(folder / "chromium") as driver:
            driver.get(until(lambda: links)[0])
            until(lambda: "which option" in driver.page_source)
            driver.execute_script(WATCH)
            for image in range(1, images + 1):
                until(lambda n=image: str(n) in driver.execute_script("return window.asked"))
                time.sleep(0.3)  # as somebody who looks
                pressed_s.append(driver.execute_script(PRESS))
            asked_s.update(driver.execute_script("return window.asked"))

    with open_session(config, twin, folder / "catalogue", choose=choose) as session:
        session.run_engine.subscribe(watched)
        # As `stedopt run --expert` has it: the same page shows the run.
        shown = Followed.of(session, RunControl(session.run_engine))
        session.run_engine.subscribe(shown)
        desk = Desk(expert, session.station.rating.objectives)
        desk.followed, desk.controls, desk.folder = shown.followed, shown.controls, session.folder
        with PageServer(desk, links.append):
            sitting = threading.Thread(target=person)
            sitting.start()
            session.run_engine(session.optimize())
            sitting.join()
    to_exposure = [1e3 * (b - a) for a, b in zip(pressed_s, watched.exposed_s, strict=True)]
    to_page = [1e3 * (asked_s[str(n + 2)] - s) for n, s in enumerate(watched.event_s[:-1])]
    return to_exposure, to_page


def frames(options: int, folder: Path) -> list[float]:
    """Times between frames, ms, while the mouse moves over a cloud of so many options."""
    import numpy as np
    from selenium.webdriver.common.action_chains import ActionChains

    from stedopt_bluesky.acquisition import Objective, Options
    from stedopt_bluesky.devices.expert import Expert
    from stedopt_bluesky.web.page.desk import Desk
    from stedopt_bluesky.web.page.server import PageServer
    from tests.web.page.browser import browser

    names = ("snr", "photobleaching", "imaging_time_s")
    objectives = [Objective(name, "", "minimise", (0.0, 1.0)) for name in names]
    values = np.random.default_rng(0).random((options, 3))
    expert, links = Expert(name="expert"), list[str]()
    expert.set(Options(values, np.arange(options)[:, None] * 1.0, 0, names, ("dwelltime_us",)))
    with PageServer(Desk(expert, objectives), links.append), browser(folder / "frames") as driver:
        driver.get(links[0])
        plot = until(lambda: driver.find_elements("css selector", ".nsewdrag"))[0]
        time.sleep(2.0)
        driver.execute_script(FRAMES)
        for step in range(60):
            x, y = -300 + 10 * step, round(150 * (step % 7 / 3 - 1))
            ActionChains(driver, duration=10).move_to_element_with_offset(plot, x, y).perform()
        return [float(ms) for ms in driver.execute_script("return window.frames_ms")]


def main(images: int = IMAGES, options: int = OPTIONS) -> None:
    """Measure and print the table."""
    if not (shutil.which("chromium") and shutil.which("chromedriver")):
        print("not measured: no chromium and chromedriver here")
        return
    with tempfile.TemporaryDirectory(prefix="stedopt-") as directory:
        to_exposure, to_page = measure(images, Path(directory))
        moved = frames(options, Path(directory))
    print("| | median, ms | at most, ms | of |\n|---|---|---|---|")
    rows = {
        "from a key to the first scan": to_exposure,
        "from an image's Event to the next question in the browser": to_page,
        f"between two frames, {options} options, the mouse moves": moved,
    }
    for what, times in rows.items():
        print(f"| {what} | {statistics.median(times):.0f} | {max(times):.0f} | {len(times)} |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=IMAGES)
    parser.add_argument("--options", type=int, default=OPTIONS)
    arguments = parser.parse_args()
    main(arguments.images, arguments.options)
