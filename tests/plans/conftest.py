"""A microscope (the digital twin) with a session around it, small enough for an image in 20 ms."""

import contextlib
import copy
import itertools
from dataclasses import dataclass, field

import pytest
from bluesky import RunEngine

from stedopt_bluesky.config import preset
from stedopt_bluesky.plans import optimize_sted
from stedopt_bluesky.session import open_session
from stedopt_bluesky.twin.application import TwinApplication
from stedopt_bluesky.twin.instrument import LASERS
from stedopt_bluesky.twin.photophysics import expose_labels
from stedopt_bluesky.twin.samples import make_sample

SMALL = {
    "seed": 5,
    "images": 3,
    "microscope.field_um": 30.0,
    "overview.size_um": 30.0,
    "imaging.region_size_um": 1.28,
}


@dataclass
class Bench:
    """A session and everything that was seen of it.

    ``imaged`` are the images that the microscope had when each primary event was emitted.
    """

    session: object
    application: TwinApplication
    documents: list = field(default_factory=list)
    imaged: list = field(default_factory=list)

    @property
    def excitation(self):
        return LASERS[self.session.config.excitation.laser].id

    @property
    def engine(self):
        return self.session.run_engine

    def observe(self, name, doc):
        self.documents.append((name, copy.deepcopy(doc)))
        if name == "event" and self.stream_of(doc) == "primary":
            self.imaged.append(self.session.station.microscope.images)

    def of(self, kind):
        return [doc for name, doc in self.documents if name == kind]

    def stream_of(self, doc):
        return next(d["name"] for d in self.of("descriptor") if d["uid"] == doc["descriptor"])

    def events(self, stream):
        return [doc for doc in self.of("event") if self.stream_of(doc) == stream]

    def plan(self, **changes):
        """The plan of the session, with parts of it exchanged."""
        session = self.session
        parts = {"rate": session.rate, "choose": session.choose, "images": session.config.images}
        parts |= {"strategy": session.strategy, "space": session.config.space, **changes}
        return optimize_sted(session.station, **parts)

    def exposures(self, configuration):
        """How often the excitation laser was on for a configuration."""
        return sum(
            record.configuration == configuration and record.laser == self.excitation
            for record in self.application.emission_log
        )

    def powers(self, configuration):
        instrument = self.session.instrument
        return [instrument.power(configuration, laser) for laser in ("excitation", "depletion")]

    def lasers_are_off(self):
        everywhere = [p for c in ("confocal", "sted", "overview") for p in self.powers(c)]
        return not any(everywhere) and not any(self.application.emitting.values())


@contextlib.contextmanager
def open_bench(folder, *, expose=expose_labels, **changes):
    """Open a session on a twin of its own; changes are those of a configuration."""
    config = preset("classical").updated({**SMALL, **changes})
    sample = make_sample("actin", config.seed, config.microscope.field_um * 1e-6)
    application = TwinApplication(sample, seed=config.seed, expose=expose)
    engine = RunEngine({}, context_managers=[])
    with open_session(config, application, folder, run_engine=engine) as session:
        bench = Bench(session, application)
        engine.subscribe(bench.observe)
        yield bench


@pytest.fixture
def make_bench(tmp_path):
    """Open benches that are closed when the test ends."""
    with contextlib.ExitStack() as open_benches:
        number = itertools.count()
        yield lambda **changes: open_benches.enter_context(
            open_bench(tmp_path / f"catalogue {next(number)}", **changes)
        )


@pytest.fixture
def bench(make_bench):
    return make_bench()


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A run that went well, looked at by many tests."""
    with open_bench(tmp_path_factory.mktemp("done") / "catalogue") as bench:
        bench.engine(bench.session.optimize())
        yield bench
