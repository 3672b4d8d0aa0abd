"""Past runs and the one under way in a real browser, as `stedopt serve page` shows them."""

import contextlib
import re
import subprocess
import sys
import threading

import numpy as np
import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

from stedopt_bluesky.records import CatalogFolder, list_runs
from tests.small import small_toml
from tests.waiting import wait_for
from tests.web.page.browser import browser
from tests.web.page.conftest import bench

LINK = re.compile(r"http://127\.0\.0\.1:\d+/\?link=\S+")
# The name of a sample's file, which a page that does not escape it would run.
HOSTILE = "<img src=x onerror=document.title='taken'>"
DAMAGED = "damaged-run"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory):
    """Three runs, one of a sample with a hostile name, and a damaged journal."""
    folder = tmp_path_factory.mktemp("runs")
    rows, columns = np.indices((600, 600))
    sample = folder / f"{HOSTILE}.npy"
    np.save(sample, 40.0 * ((rows // 6) % 4 == 0) + 20.0 * ((columns // 9) % 5 == 0))
    hostile = {"sample.name": str(sample), "sample.pixel_size_nm": 50.0}
    for changes in ({}, {"bandit.strategy": "random", "operator": "Bea"}, hostile):
        with bench(folder / "cat", **changes) as opened:
            opened.engine(opened.session.optimize())
    (year,) = (folder / "cat" / "journal").iterdir()
    (year / f"{DAMAGED}.jsonl").write_text("no document\n")
    return folder / "cat"


class Page:
    """`stedopt serve page`, and a browser that has used its link."""

    def __init__(self, address, driver):
        self.address, self.driver = address, driver

    def open(self, place):
        self.driver.get(f"{self.address}{place}")

    def all(self, selector):
        return self.driver.find_elements("css selector", selector)

    def texts(self, selector):
        """Texts of elements, all at one time."""
        return self.driver.execute_script(
            "return [...document.querySelectorAll(arguments[0])].map(e => e.innerText.trim())",
            selector,
        )

    def said(self):
        return " ".join(self.texts("[role=status]"))

    def runs(self):
        """Rows of the list: texts of the cells."""
        rows = self.driver.execute_script(
            "return [...document.querySelectorAll('table.texts tbody tr')]"
            ".map(r => [...r.cells].slice(1).map(c => c.innerText.trim()))"
        )
        return [tuple(row) for row in rows]

    def write(self, label, text):
        (field,) = self.all(f"input[aria-label^='{label}']")
        field.send_keys(Keys.CONTROL, "a")
        field.send_keys(text or Keys.DELETE)


@contextlib.contextmanager
def told_by(process):
    """What a program writes to standard error, as it comes."""
    told = []
    reading = threading.Thread(target=lambda: told.extend(iter(process.stderr.readline, "")))
    reading.start()
    try:
        yield told
    finally:
        process.kill()
        process.wait(20)
        reading.join(10)


@pytest.fixture(scope="module")
def page(catalogue, tmp_path_factory):
    command = [sys.executable, "-m", "stedopt_bluesky.cli", "serve", "page", "--port", "0"]
    process = subprocess.Popen(
        [*command, "--catalog", catalogue], stderr=subprocess.PIPE, text=True
    )
    with told_by(process) as told:
        links = wait_for(lambda: LINK.findall("".join(told)))
        with browser(tmp_path_factory.mktemp("chromium")) as driver:
            driver.get(links[0])
            yield Page(driver.current_url.rstrip("/"), driver)
            # The terminal shows the next link; nothing has gone wrong behind the page.
            assert len(LINK.findall("".join(told))) == 2
            assert "Traceback" not in "".join(told)


@pytest.fixture(scope="module")
def uids(catalogue):
    """Uids of the runs, the oldest first."""
    runs = list_runs(CatalogFolder.open(catalogue))
    return [run.uid for run in reversed(runs) if run.exit_status == "success"]


def test_the_list_has_all_runs_and_texts_do_nothing(page):
    page.open("/runs")
    wait_for(lambda: len(page.runs()) == 4)
    assert page.said() == "4 runs"
    assert {row[7] for row in page.runs()} == {"success", "damaged"}
    assert HOSTILE in {row[2] for row in page.runs()}
    assert page.driver.title == "Runs - stedopt"
    assert not page.all("main .js-plotly-plot image")

    assert page.driver.find_element("css selector", "html").get_attribute("lang").startswith("en")
    assert page.texts("header nav a[aria-current=page]") == ["Runs"]
    assert len(page.all("header")) == len(page.all("main")) == 1
    # By keyboard alone, what is in the header can be left out.
    page.driver.find_element("css selector", "body").send_keys(Keys.TAB)
    assert page.driver.switch_to.active_element.text == "Skip to the view"
    page.driver.switch_to.active_element.send_keys(Keys.ENTER)
    assert page.driver.execute_script("return document.activeElement.closest('main') !== null")


def test_runs_are_found_and_what_is_wrong_is_told_at_its_field(page):
    page.open("/runs")
    wait_for(lambda: len(page.runs()) == 4)
    page.write("operator", "Bea")
    wait_for(lambda: page.said() == "1 run")
    wait_for(lambda: page.driver.current_url.endswith("/runs?operator=Bea"))
    page.write("operator", "Ada")
    wait_for(lambda: page.said() == "2 runs")

    page.write("where", "snt > 1")
    wait_for(
        lambda: any("did you mean 'snr'?" in text for text in page.texts(".q-field__messages"))
    )
    assert len(page.runs()) == 2  # what was found last stays
    page.write("where", "snr > -1000, images = 4")
    wait_for(lambda: "snr" in page.texts("table.texts thead th"))
    assert not any(page.texts(".q-field__messages"))
    assert len(page.runs()) == 2
    page.write("where", "snr > 1000000")
    wait_for(lambda: page.said() == "No run matches.")

    # The address has what is asked for: it can be opened again.
    page.open("/runs?operator=Ada&sample=actin&page=7")
    wait_for(lambda: page.said() == "1 run")
    page.open("/runs?status=damaged")
    wait_for(lambda: [row[0] for row in page.runs()] == [DAMAGED[:8]])


def test_a_run_is_opened_by_key_and_by_click(page, uids):
    page.open("/runs?operator=Bea")
    wait_for(lambda: len(page.runs()) == 1)
    (link,) = page.all("table.texts tbody a")
    link.send_keys(Keys.ENTER)
    wait_for(lambda: page.driver.current_url.endswith(f"/runs/{uids[1]}"))
    wait_for(lambda: "image 4 of 4" in " ".join(page.texts("main div")))
    wait_for(lambda: page.all("main .main-svg"))
    wait_for(lambda: page.all("main .js-plotly-plot image"))  # its pictures, from the catalogue
    assert "by Bea" in page.said()
    assert page.driver.title == f"Run {uids[1][:8]} - stedopt"

    page.driver.back()
    wait_for(lambda: len(page.runs()) == 1)
    # Anywhere in its row: the link lies over all of it.
    ActionChains(page.driver).move_to_element(page.all("table.texts tbody td")[3]).click().perform()
    wait_for(lambda: "by Bea" in page.said())

    page.open(f"/runs/{uids[2]}")
    wait_for(lambda: HOSTILE in page.said())
    assert page.driver.title != "taken"


def test_two_runs_are_compared(page, uids):
    page.open("/runs?status=success")
    wait_for(lambda: len(page.runs()) == 3)
    # The newest first: the two others.
    for place in (1, 2):
        page.all("table.texts input[type=checkbox]")[place].click()
    wait_for(lambda: not page.all("table.texts input[type=checkbox]")[0].is_enabled())
    (link,) = [a for a in page.all("main a") if a.text.startswith("Compare ")]
    assert link.get_attribute("href").endswith(f"/compare/{uids[1]}/{uids[0]}")
    link.click()

    wait_for(lambda: len(page.texts("table.texts caption")) == 2)
    came_of, differs = page.texts("table.texts")
    assert "light of the depletion (mJ)" in came_of
    assert "resolution (nm) ↓, median of the last ten images" in came_of
    assert came_of.count("4 of 4") == 2
    assert re.search(r"bandit\.strategy\s+random\s+kernel_ts", differs)
    assert re.search(r"operator\s+Bea\s+Ada", differs)
    assert "seed" not in differs
    # A plot for each objective, in each a line for each run.
    wait_for(lambda: len(page.all("main .js-plotly-plot .main-svg")) >= 4)
    lines = page.driver.execute_script(
        "return [...document.querySelectorAll('.js-plotly-plot')].map(p => p.data.length)"
    )
    assert lines == [2] * 4

    page.open(f"/compare/{uids[2]}/{uids[0]}")
    wait_for(lambda: any(HOSTILE in text for text in page.texts("table.texts")))
    assert not page.all("main .js-plotly-plot image")
    page.open(f"/compare/{uids[0]}/{uids[0]}")
    wait_for(lambda: "Both were made with the same configuration." in " ".join(page.texts("main")))


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("/runs/nowhere", "begins with 'nowhere'"),
        ("/runs/%3Cimg%20src%3Dx%3E", "begins with '<img src=x>'"),
        ("/runs/..%5C..%5Cetc", "no run in "),
        (f"/runs/{DAMAGED}", "does not begin with a start document"),
        (f"/compare/nowhere/{DAMAGED}", "begins with 'nowhere'"),
    ],
)
def test_what_is_no_run_is_told_with_a_way_back(page, place, words):
    page.open(place)
    wait_for(lambda: words in page.said())
    assert "Traceback" not in page.driver.page_source
    assert not page.all("main .js-plotly-plot image")
    (link,) = [a for a in page.all("main a") if a.text == "All runs"]
    link.click()
    wait_for(page.runs)


@contextlib.contextmanager
def another_program(folder, catalogue, **fields):
    """`stedopt run`, which knows nothing of the page."""
    toml = folder / "small.toml"
    # Long enough to be looked at for a while, on a busy computer too.
    more = "[catalog]\nbackground = false\n[time_lapse]\nimages_per_region = 9\n"
    toml.write_text(small_toml(more, **fields))
    process = run_program(toml, "--catalog", catalogue)
    with told_by(process):
        yield process


def run_program(*arguments):
    return subprocess.Popen(
        [sys.executable, "-m", "stedopt_bluesky.cli", "run", *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_run_of_another_program_appears_by_itself(page, catalogue, uids, tmp_path):
    page.open("/runs")
    wait_for(lambda: len(page.runs()) == 4)
    (known,) = [a for a in page.all("table.texts a") if a.text == uids[0][:8]]
    page.driver.execute_script("arguments[0].focus()", known)
    with another_program(tmp_path, catalogue, images=1000, operator="Cy") as process:
        wait_for(lambda: "running" in {row[7] for row in page.runs()})
        # Whoever goes through the list by keys stays where they are.
        assert page.driver.switch_to.active_element == known
        page.open("/")
        wait_for(lambda: "is under way." in page.said())
        assert not page.said().startswith("No run")
        wait_for(lambda: re.search(r"image \d+ of 1000", " ".join(page.texts("main div"))))
        wait_for(lambda: page.all("main .js-plotly-plot image"))
        (first,) = re.findall(r"Run (\w+) is under way", page.said())
        page.open(f"/runs/{first}")
        wait_for(lambda: "by Cy" in page.said())
        wait_for(lambda: re.search(r"image [2-9]\d* of 1000", " ".join(page.texts("main div"))))
        page.open("/")
        process.kill()
        wait_for(lambda: "its program died" in page.said())
    with another_program(tmp_path, catalogue, images=2, operator="Di"):
        wait_for(lambda: "has ended: success" in page.said())
        assert first not in page.said()


def test_the_page_on_which_is_chosen_has_the_runs_too(page, catalogue, tmp_path):
    toml = tmp_path / "small.toml"
    toml.write_text(small_toml("[catalog]\nbackground = false\n", images=3, operator="Eve"))
    process = run_program(toml, "--catalog", catalogue, "--expert")
    with told_by(process) as told:
        page.driver.get(wait_for(lambda: LINK.findall("".join(told)))[0])
        wait_for(lambda: "Image 1: which option?" in page.driver.page_source)
        (runs,) = [a for a in page.all("header a") if a.text == "Runs"]
        runs.click()
        wait_for(lambda: ("Eve", "running") in {(row[5], row[7]) for row in page.runs()})
        (now,) = [a for a in page.all("header a") if a.text == "Now"]
        now.click()
        wait_for(lambda: "Image 1: which option?" in page.driver.page_source)
        assert page.driver.title == "Now - stedopt"
        # Nothing has gone wrong behind the page.
        assert "Traceback" not in "".join(told)
