"""Runs on the twin in small, followed as the page does."""

import contextlib
from dataclasses import dataclass

import pytest
from bluesky import RunEngine

from stedopt_bluesky.config import preset
from stedopt_bluesky.session import connect_application, open_session
from stedopt_bluesky.web.page.followed import Followed
from stedopt_bluesky.web.page.run_images import KeptImages
from tests.web.page.browser import browser

SMALL = {
    "seed": 3,
    "images": 4,
    "operator": "Ada",
    "microscope.field_um": 30.0,
    "overview.size_um": 30.0,
    "imaging.region_size_um": 1.28,
}


@pytest.fixture(scope="session")
def chromium(tmp_path_factory):
    """A browser for all tests of a process, which takes seconds to start."""
    with browser(tmp_path_factory.mktemp("chromium")) as driver:
        yield driver


@dataclass
class Bench:
    """A session, and what follows its documents."""

    session: object
    followed: Followed
    kept: KeptImages

    @property
    def engine(self):
        return self.session.run_engine

    def observe(self, name, doc):
        self.kept(name, doc)
        self.followed(name, doc)


@contextlib.contextmanager
def bench(folder, **changes):
    config = preset("classical").updated({**SMALL, **changes})
    engine = RunEngine({}, context_managers=[])
    with open_session(config, connect_application(config), folder, run_engine=engine) as session:
        kept = KeptImages(lambda: session.station.microscope.images, most=2)
        yield Bench(session, Followed(kept.of, session.folder), kept)


@pytest.fixture
def make_bench(tmp_path):
    """Opens a session in small, with changes of its configuration."""
    return lambda **changes: bench(tmp_path / "cat", **changes)


@pytest.fixture(scope="session")
def imaged(tmp_path_factory):
    """A run of four images that has ended, for reading only; its session is closed."""
    with bench(tmp_path_factory.mktemp("imaged") / "cat") as opened:
        opened.engine(opened.session.optimize(), opened.observe)
    return opened
