"""A small dataset of the twin, runs with ratings known by hand, and a small experiment."""

import dataclasses

import numpy as np
import pytest
from bluesky import RunEngine

from stedopt_bluesky.acquisition import Objective
from stedopt_bluesky.config import preset
from stedopt_bluesky.experiments.building import TwinImages, image_on_twin, twin_config
from stedopt_bluesky.experiments.trials import ReplayExperiment
from stedopt_bluesky.parameters import Parameter, ParameterSpace
from stedopt_bluesky.records import RunRecord
from stedopt_bluesky.records.journal import find_run
from stedopt_bluesky.session import connect_application, open_session

# A field of 20 µm has 64 regions of 64 × 64 pixels; an image of them takes 20 ms.
SMALL = {
    "seed": 2,
    "microscope.field_um": 20.0,
    "overview.size_um": 20.0,
    "imaging.region_size_um": 1.28,
}
QUEUE = 5


@pytest.fixture(scope="session")
def small_config():
    """The replay experiment's configuration in small."""
    return twin_config("actin", 0).updated({**SMALL, "imaging.region_size_um": 2.56})


@pytest.fixture(scope="session")
def twin_images(small_config):
    """Five images at each of twelve powers, and how many were counted while they were taken."""
    counted = []
    dataset = image_on_twin(TwinImages(small_config, QUEUE), counted.append)
    return dataset, sum(counted)


@pytest.fixture(scope="session")
def dataset(twin_images):
    return twin_images[0]


@pytest.fixture(scope="session")
def experiment():
    """Twelve powers; the best of them is the fourth; one rating of the worst is invalid."""
    rng = np.random.default_rng(1)
    means = np.exp(-(((np.arange(12) - 3) / 2.5) ** 2))
    queues = [mean + 0.05 * rng.normal(size=7) for mean in means]
    queues[11][2] = np.nan
    return ReplayExperiment(
        space=ParameterSpace([Parameter.linear("excitation_power_uW", "µW", 0.2, 21.1, 12)]),
        objective=Objective("quality", "", "maximise", (0.0, 1.0), (0.001, 0.1)),
        queues=tuple(queues),
        images=30,
        seed=5,
    )


def record_run(folder, ratings, **changes):
    """Run on the twin, its images rated as given: snr and photobleaching of each."""
    objectives = [{"name": "snr"}, {"name": "photobleaching"}]
    config = preset("classical").updated(
        {**SMALL, "images": len(ratings), "objectives": objectives, **changes}
    )
    given = iter(ratings)

    def rate(_images):
        return dict(zip((o.name for o in config.objectives), next(given), strict=True))

    engine = RunEngine({}, context_managers=[])
    with open_session(config, connect_application(config), folder, run_engine=engine) as session:
        (uid,) = engine(dataclasses.replace(session, rate=rate).optimize())
        return RunRecord.read(find_run(session.folder, uid))


@pytest.fixture(scope="session")
def recorder():
    return record_run
