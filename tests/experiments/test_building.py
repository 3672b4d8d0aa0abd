import dataclasses
import itertools
import shutil

import numpy as np
import pytest

from stedopt_bluesky.config import ConfigError
from stedopt_bluesky.experiments import building
from stedopt_bluesky.experiments.building import (
    GAP_UM,
    TwinImages,
    gather_runs,
    image_on_twin,
    twin_config,
)
from stedopt_bluesky.twin.exposure import Optics
from stedopt_bluesky.twin.scan_geometry import BEAM_RADIUS_SIGMA, FWHM_PER_SIGMA

GRID = {
    "parameters": [
        {"name": "excitation_power_uW", "low": 2.0, "high": 8.0, "points": 2},
        {"name": "depletion_power_mW", "values": (100.0,)},
    ],
    "bandit.strategy": "grid_search",
    "bandit.repeats": 1,
}
RATINGS = [(0.1, 0.6), (0.2, 0.5), (0.3, 0.4), (float("nan"), 0.3)]


def test_the_papers_powers():
    """Evenly spaced, as the paper says; its relevant region, 4.0 to 9.7 µW, is on the grid."""
    (power,) = twin_config("actin", 0).space
    np.testing.assert_allclose(
        power.values, [0.2, 2.1, 4.0, 5.9, 7.8, 9.7, 11.6, 13.5, 15.4, 17.3, 19.2, 21.1]
    )


def test_every_power_is_imaged_as_often(twin_images):
    dataset, counted = twin_images
    assert dataset.counts.tolist() == [5] * 12
    assert counted == 60
    assert dataset.examples.shape == (12, 128, 128)
    assert dataset.pixel_size_nm == 20.0
    assert np.isfinite(dataset.ratings[:, :2]).all()


def test_the_best_powers_lie_inside(dataset):
    """More light is more signal and more bleaching: the best compromise is in between."""
    means = [queue.mean() for queue in dataset.queues("utility")]
    assert 1 < np.argmax(means) < 6
    names = [o.name for o in dataset.objectives]
    bleaching = dataset.ratings[:, names.index("photobleaching")]
    by_power = [bleaching[dataset.configurations == g].mean() for g in range(12)]
    assert np.corrcoef(by_power, np.arange(12))[0, 1] > 0.9


@pytest.fixture
def laid(monkeypatch):
    """Regions of each sample, as they are laid."""
    regions = []
    fresh = building._fresh_regions

    def remember(session):
        regions.append(fresh(session))
        return regions[-1]

    monkeypatch.setattr(building, "_fresh_regions", remember)
    return regions


def test_images_are_of_fresh_regions_and_the_same_again(small_config, laid):
    """No region is touched twice, neither by an image nor by its neighbours' beam."""
    first, again = (image_on_twin(TwinImages(small_config, 2), lambda _: None) for _ in range(2))

    tail_um = 1e6 * BEAM_RADIUS_SIGMA * Optics().confocal_fwhm_m / FWHM_PER_SIGMA
    assert 2 * tail_um <= GAP_UM
    for regions in laid:
        for a, b in itertools.combinations(regions, 2):
            apart = max(abs(a.x_um - b.x_um), abs(a.y_um - b.y_um)) - a.size_um
            assert apart >= GAP_UM - 1e-9
    assert laid[: len(laid) // 2] == laid[len(laid) // 2 :]
    np.testing.assert_array_equal(first.ratings, again.ratings)
    np.testing.assert_array_equal(first.examples, again.examples)
    assert first.origin == again.origin


def test_a_sample_that_is_used_up_is_followed_by_another(small_config, laid):
    tiny = small_config.updated(
        {"microscope.field_um": 12.0, "overview.size_um": 12.0, "imaging.region_size_um": 1.28}
    )
    dataset = image_on_twin(TwinImages(tiny, 3), lambda _: None)
    assert dataset.counts.tolist() == [3] * 12
    assert len(laid) > 1
    assert max(map(len, laid)) < 36


def test_a_sample_without_room_is_refused(small_config):
    tiny = small_config.updated({"microscope.field_um": 6.0, "overview.size_um": 6.0})
    with pytest.raises(ConfigError, match=r"sample = 'actin': has \d regions .*, 12 are needed"):
        image_on_twin(TwinImages(tiny, 2), lambda _: None)


def test_a_queue_of_one_is_refused(small_config):
    with pytest.raises(ConfigError, match="queue = 1: at least 2"):
        TwinImages(small_config, 1)


@pytest.fixture(scope="module")
def run(recorder, tmp_path_factory):
    """Two images at each of two powers."""
    return recorder(tmp_path_factory.mktemp("run") / "catalog", RATINGS, **GRID)


def test_stored_images_are_grouped_by_configuration(run):
    dataset = gather_runs([run])

    assert dataset.space.names == ("excitation_power_uW", "depletion_power_mW")
    assert dataset.space.shape == (2, 1)
    assert dataset.origin == {"runs": {run.uid: 4}}
    bleaching = dataset.queues("photobleaching")
    assert [q.tolist() for q in bleaching] == [[0.6, 0.4], [0.5, 0.3]]
    np.testing.assert_array_equal(dataset.queues("snr")[1], [0.2, np.nan])
    # An image of each configuration: the last one that was taken with it.
    np.testing.assert_array_equal(dataset.examples, run.images("microscope_sted1")[2:])


def test_several_runs_are_put_together(run, recorder, tmp_path):
    other = recorder(tmp_path / "catalog", RATINGS[:2], **GRID)
    dataset = gather_runs([run, other])
    assert dataset.counts.tolist() == [3, 3]
    assert dataset.queues("photobleaching")[0].tolist() == [0.6, 0.4, 0.6]


def test_images_that_are_gone_leave_the_ratings(recorder, tmp_path):
    moved = recorder(tmp_path / "catalog", RATINGS, **GRID)
    shutil.rmtree(tmp_path / "catalog" / "arrays")
    dataset = gather_runs([moved])
    assert len(dataset.examples) == 0
    assert dataset.counts.tolist() == [2, 2]


def test_too_few_images_are_refused(recorder, tmp_path):
    one = recorder(tmp_path / "catalog", RATINGS[:3], **GRID)
    message = (
        r"from: 1 image at excitation_power_uW = 8, depletion_power_mW = 100: at least 2 are "
        r"needed of each of the 2 configurations"
    )
    with pytest.raises(ConfigError, match=message):
        gather_runs([one])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"imaging.dwelltime_us": 33.0}, "was imaged with other fixed settings"),
        ({"parameters": GRID["parameters"][:1]}, "has the parameters excitation_power_uW; run"),
        ({"objectives": [{"name": "photobleaching"}, {"name": "snr"}]}, "has the objectives"),
    ],
)
def test_runs_that_do_not_go_together_are_refused(run, recorder, tmp_path, changes, message):
    other = recorder(tmp_path / "catalog", RATINGS[:2], **{**GRID, **changes})
    with pytest.raises(ConfigError, match=message):
        gather_runs([run, other])


def test_a_run_without_an_image(run):
    empty = dataclasses.replace(run, documents=run.documents[:1])
    with pytest.raises(ConfigError, match="the runs have no image"):
        gather_runs([empty])
