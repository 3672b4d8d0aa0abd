import math

import numpy as np
import pytest

from stedopt_bluesky import objectives
from stedopt_bluesky.acquisition import ImageSet
from stedopt_bluesky.objectives import OBJECTIVES, PreparedImages, make_rater, rate

NAMES = ("snr", "photobleaching", "resolution_nm", "frc", "imaging_time_s")


@pytest.fixture
def images(points_image):
    confocal = points_image(11, 40, size=96)
    return ImageSet(
        confocal1=confocal.astype(np.int16),
        sted=(points_image(4, 30, size=96).astype(np.int16), np.zeros((96, 96), np.int16)),
        confocal2=(confocal // 2).astype(np.int16),
        pixel_size_nm=20.0,
        dwelltime_us=15.0,
        line_steps=2,
    )


def test_the_five_objectives():
    assert tuple(OBJECTIVES) == NAMES
    for name, function in OBJECTIVES.items():
        assert function.objective.name == name
    directions = {name: f.objective.direction for name, f in OBJECTIVES.items()}
    assert {n for n, d in directions.items() if d == "maximise"} == {"snr", "frc"}
    assert [n for n, f in OBJECTIVES.items() if not f.objective.modelled] == ["imaging_time_s"]


def test_noise_bounds_of_the_published_program():
    bounds = {name: f.objective.noise_bounds for name, f in OBJECTIVES.items()}
    assert bounds["snr"] == (0.001, 2.0)
    assert bounds["photobleaching"] == (0.001, 0.1)
    assert bounds["frc"] == (0.001, 0.1)
    assert bounds["resolution_nm"] == (0.1, 20.0)


def test_rate_gives_what_the_functions_give(images):
    sted = images.sted[0]
    assert rate(images, NAMES) == {
        "snr": objectives.signal_ratio(sted, images.confocal1),
        "photobleaching": objectives.photobleaching_fraction(images.confocal1, images.confocal2),
        "resolution_nm": objectives.resolution_nm(sted, 20.0),
        "frc": objectives.fourier_ring_correlation(sted),
        "imaging_time_s": pytest.approx(15e-6 * 2 * 96 * 96),
    }


def test_the_names_order_is_kept_and_each_is_rated_once(images):
    assert list(rate(images, ["frc", "snr", "frc"])) == ["frc", "snr"]
    assert rate(images, []) == {}


@pytest.mark.parametrize("name", NAMES)
def test_an_objective_can_be_called_alone(images, name):
    assert OBJECTIVES[name](images) == rate(images, [name])[name]


def test_masks_are_computed_once(images, monkeypatch):
    calls = []
    module = "stedopt_bluesky.objectives.prepared.otsu_foreground"
    monkeypatch.setattr(module, lambda image: calls.append(1) or objectives.otsu_foreground(image))
    for other in ("snr", "photobleaching"):
        monkeypatch.setattr(f"stedopt_bluesky.objectives.{other}.otsu_foreground", pytest.fail)
    rate(images, NAMES)
    assert len(calls) == 2  # confocal 1 and STED
    rate(images, ["frc", "imaging_time_s"])
    assert len(calls) == 2  # neither needs a mask


def test_invalid_is_nan_and_leaves_the_others_alone(images):
    broken = images.confocal2.astype(float)
    broken[3, 3] = np.nan
    values = rate(
        ImageSet(images.confocal1, images.sted, broken, 20.0, 15.0), ["photobleaching", "snr"]
    )
    assert math.isnan(values["photobleaching"])
    assert values["snr"] == rate(images, ["snr"])["snr"]


def test_unknown_names_are_refused_at_once_with_a_hint():
    with pytest.raises(ValueError, match="'resolution'; did you mean 'resolution_nm'") as error:
        make_rater(["snr", "resolution"])
    assert all(name in str(error.value) for name in NAMES)
    with pytest.raises(ValueError, match=r"unknown objective 'xyz'; allowed are: snr"):
        make_rater(["xyz"])


def test_images_that_do_not_fit_are_refused(images):
    rater = make_rater(["imaging_time_s"])
    cropped = ImageSet(images.confocal1, images.sted, images.confocal2[1:], 20.0, 15.0)
    with pytest.raises(ValueError, match=r"sted\[0\] \(96, 96\).*confocal2 \(95, 96\)"):
        rater(cropped)
    with pytest.raises(ValueError, match="at least one STED image"):
        rater(ImageSet(images.confocal1, (), images.confocal2, 20.0, 15.0))


def test_prepared_masks_are_those_of_the_first_sted_image(images):
    prepared = PreparedImages(images)
    expected = objectives.sted_foreground(images.sted[0], images.confocal1)
    assert np.array_equal(prepared.sted_foreground, expected)
    assert prepared.sted_foreground is prepared.sted_foreground
    assert images.confocal1.dtype == np.int16  # the images themselves are left as they are


def test_the_registry_cannot_be_changed():
    with pytest.raises(TypeError):
        OBJECTIVES["snr"] = None  # type: ignore[index]
