"""Ten images chosen on the page: the network that is trained from them chooses the same options."""

import json
import subprocess
import sys
import threading

import numpy as np
import pytest
from bluesky import RunEngine
from bluesky.utils import DuringTask
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

from stedopt_bluesky.acquisition import Choice
from stedopt_bluesky.config import load_config
from stedopt_bluesky.devices.expert import Expert
from stedopt_bluesky.networks.preference import PreferenceScorer
from stedopt_bluesky.preference.front import on_front
from stedopt_bluesky.preference.rule import WeightedRule
from stedopt_bluesky.records import CatalogFolder, RunRecord, find_run
from stedopt_bluesky.records.training_data import clouds_of
from stedopt_bluesky.session import (
    connect_application,
    objectives_of,
    open_networks,
    open_session,
)
from stedopt_bluesky.session.asking import make_expert_choice
from stedopt_bluesky.web.page.cloud_figure import View, in_words
from stedopt_bluesky.web.page.desk import Desk
from stedopt_bluesky.web.page.server import PageServer
from tests.small import small_toml
from tests.waiting import wait_for
from tests.web.page.browser import browser
from tests.web.page.test_page import asked, press

pytestmark = [pytest.mark.campaign, pytest.mark.timeout(600)]

IMAGES, FURTHER = 10, 20
# Short and gentle; the network that suggests likes good images.
WEIGHTS = {"quality": 0.3, "photobleaching": 3.0, "imaging_time_s": 2.0}
_TEXT = "return document.body.innerText"
SHIPPED = "quality-bleaching-time"


def small_demo(folder, **fields):
    """The preset `demo`, whose quality network rates, in small."""
    toml = folder / "small.toml"
    toml.write_text(small_toml("[catalog]\nbackground = false\n", **fields).replace(
        'preset = "classical"', 'preset = "demo"'
    ))  # fmt: skip
    return load_config(str(toml))


def clicked(driver, expert, preference, objectives, image):
    """Choose on the page as somebody who knows what he wants; returns what was suggested."""
    asked(driver, image)
    options, suggestion = expert.question
    wanted = preference(options).index
    front = on_front(options, objectives)
    column = options.objectives.index(View.of(options.objectives).x)
    place = int(
        np.flatnonzero(front[np.argsort(options.values[front, column], kind="stable")] == wanted)[0]
    )
    keys = [Keys.ARROW_RIGHT] * (place + 1)
    ActionChains(driver).send_keys(*keys).perform()
    words = in_words(options, objectives, wanted).partition(":")[0]
    # Read in the browser: elements come and go.
    wait_for(lambda: f"Selected: {words}:" in driver.execute_script(_TEXT))
    press(driver, Keys.ENTER)
    return suggestion.index == wanted


def chosen_on_the_page(driver, config, catalog):
    """A run whose options are chosen in a browser; how often what was suggested was taken."""
    expert, objectives = Expert(name="expert"), objectives_of(config)
    preference = WeightedRule(objectives, WEIGHTS, 0)
    networks = open_networks(config)
    choice = make_expert_choice(config, expert, networks)
    engine = RunEngine({}, context_managers=[], during_task=DuringTask())
    links, uids = [], []
    with open_session(
        config, connect_application(config), catalog,
        networks=networks, choose=choice, run_engine=engine,
    ) as session, PageServer(Desk(expert, objectives, "AD"), links.append):  # fmt: skip
        running = threading.Thread(target=lambda: uids.extend(engine(session.optimize())))
        running.start()
        try:
            driver.get(links[0])
            as_suggested = [
                clicked(driver, expert, preference, objectives, image)
                for image in range(1, config.images + 1)
            ]
            running.join(60)
        finally:
            if running.is_alive():
                engine.abort()
                running.join(60)
    return uids[0], sum(as_suggested)


def chosen_by_the_same(config, catalog):
    """A further run with the same preference, without a page."""
    preference = WeightedRule(objectives_of(config), WEIGHTS, 0)
    engine = RunEngine({}, context_managers=[])
    with open_session(
        config, connect_application(config), catalog, run_engine=engine,
        choose=lambda options: Choice(preference(options).index, "the same"),
    ) as session:  # fmt: skip
        (uid,) = engine(session.optimize())
    return uid


def clouds(catalog, uid):
    return clouds_of([RunRecord.read(find_run(CatalogFolder.open(catalog), uid))])


def ranks(scorer, found):
    """Rank that a network gives to each option that was chosen; 1: it chooses the same."""
    columns = [found.objectives.index(objective.name) for objective in scorer.objectives]
    places = []
    for values, row in zip(found.values, found.chosen, strict=True):
        scores = scorer.scores(values[:, columns])
        places.append(1 + int(np.sum(scores > scores[row])))
    return np.array(places)


def test_ten_choices_are_learnt(tmp_path):
    catalog, config = tmp_path / "catalogue", small_demo(tmp_path, seed=1, images=IMAGES)
    with browser(tmp_path / "chromium") as driver:
        uid, as_suggested = chosen_on_the_page(driver, config, catalog)
    further = chosen_by_the_same(small_demo(tmp_path, seed=2, images=FURTHER), catalog)

    out = tmp_path / "mine.safetensors"
    train = [sys.executable, "-m", "stedopt_bluesky.cli", "train", "preference", out, "--json"]
    done = subprocess.run(
        [*train, "--from-catalog", "--chosen-by", "AD", "--catalog", catalog],
        capture_output=True, text=True, check=False, timeout=200,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["clouds"] == {"training": IMAGES, "validation": 0, "test": 0}

    own, others = clouds(catalog, uid), clouds(catalog, further)
    mine, shipped = PreferenceScorer.named(str(out)), PreferenceScorer.named(SHIPPED)
    options = len(own.values[0])
    print(f"\nas suggested: {as_suggested} of {IMAGES}; {options} options in a cloud")
    for name, scorer in (("trained", mine), ("shipped", shipped)):
        for whose, found in (("chosen on the page", own), ("further", others)):
            places = ranks(scorer, found)
            print(
                f"{name}, {whose}: the same in {np.sum(places == 1)} of {len(places)}, "
                f"rank {np.median(places):g} in the median, {places.max()} at most"
            )
    assert as_suggested <= IMAGES // 2
    assert np.all(ranks(mine, own) == 1)
    held_out = ranks(mine, others)
    assert np.mean(held_out == 1) > np.mean(ranks(shipped, others) == 1)
    assert np.median(held_out) < options / 20  # by chance: half of them
