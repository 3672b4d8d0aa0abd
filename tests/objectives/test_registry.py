import dataclasses

import numpy as np
import pytest

from stedopt_bluesky import objectives
from stedopt_bluesky.acquisition import CalciumFrames, ImageSet, Invalid, Line, invalid_reason
from stedopt_bluesky.objectives import OBJECTIVES, PreparedImages, make_rater, rate

# In the order in which they are listed, with unit, direction and upper bound of the noise.
TABLE = {
    "snr": ("", "maximise", 2.0),
    "photobleaching": ("", "minimise", 0.1),
    "sted_photobleaching": ("", "minimise", 0.1),
    "autocorrelation": ("", "maximise", 0.3),
    "frc": ("", "maximise", 0.1),
    "resolution_nm": ("nm", "minimise", 20.0),
    "fwhm_nm": ("nm", "minimise", 5.0),
    "quality": ("", "maximise", 0.1),
    "quality_last": ("", "maximise", 0.1),
    "imaging_time_s": ("s", "minimise", None),
    "light_dose_mJ": ("mJ", "minimise", None),
    "response_size_ratio": ("", "minimise", 0.3),
    "df_over_f_peak": ("", "maximise", 3.0),
}
NAMES = tuple(TABLE)


def score(image):
    """Any score will do: it depends on the image."""
    return float(image.mean() / (1 + image.mean()))


@pytest.fixture
def images(points_image):
    confocal = points_image(11, 40, size=96)
    rng = np.random.default_rng(0)
    return ImageSet(
        confocal1=confocal.astype(np.int16),
        sted=(points_image(4, 30, size=96).astype(np.int16), points_image(4, 20, size=96)),
        confocal2=(confocal // 2).astype(np.int16),
        pixel_size_nm=20.0,
        dwelltime_us=15.0,
        line_steps=2,
        excitation_power_uW=10.0,
        depletion_power_mW=100.0,
        calcium=CalciumFrames(rng.poisson(9, (25, 32, 32)), rng.poisson(20, (75, 32, 32))),
    )


def test_the_table_of_objectives():
    assert {
        name: (
            f.objective.unit,
            f.objective.direction,
            f.objective.noise_bounds[1] if f.objective.modelled else None,
        )
        for name, f in OBJECTIVES.items()
    } == TABLE
    for name, function in OBJECTIVES.items():
        assert function.objective.name == name
        low, high = function.objective.range
        assert low < high
        # The noise is told in the unit of the range: within a few widths of it.
        below, above = function.objective.noise_bounds
        assert 0 < below < above <= 3 * (high - low)
        assert name.endswith(function.objective.unit)


def test_what_the_objectives_need():
    assert {name: set(f.needs) for name, f in OBJECTIVES.items() if f.needs} == {
        "sted_photobleaching": {"second_sted"},
        "quality": {"score"},
        "quality_last": {"score", "second_sted"},
        "response_size_ratio": {"calcium"},
        "df_over_f_peak": {"calcium"},
    }


def test_rate_gives_what_the_functions_give(images):
    sted, last = images.sted
    lines = objectives.filament_lines(images.confocal1)
    assert rate(images, NAMES, score) == {
        "snr": objectives.signal_ratio(sted, images.confocal1),
        "photobleaching": objectives.photobleaching_fraction(images.confocal1, images.confocal2),
        "sted_photobleaching": objectives.sted_photobleaching_fraction(
            sted, last, first_fg=objectives.sted_foreground(sted, images.confocal1)
        ),
        "autocorrelation": pytest.approx(
            objectives.autocorrelation_of_lines(sted, lines), nan_ok=True
        ),
        "frc": objectives.fourier_ring_correlation(sted),
        "resolution_nm": objectives.resolution_nm(sted, 20.0),
        "fwhm_nm": pytest.approx(
            objectives.fwhm_nm(sted, objectives.cross_lines(sted), 20.0), nan_ok=True
        ),
        "quality": score(sted),
        "quality_last": score(last),
        "imaging_time_s": pytest.approx(15e-6 * 2 * 96 * 96),
        "light_dose_mJ": pytest.approx(100.01 * 2 * 15e-6 * 2 * 96 * 96),
        "response_size_ratio": objectives.response_size_ratio(images.calcium),
        "df_over_f_peak": objectives.df_over_f_peak(images.calcium),
    }


def test_the_names_order_is_kept_and_each_is_rated_once(images):
    assert list(rate(images, ["frc", "snr", "frc"])) == ["frc", "snr"]
    assert rate(images, []) == {}


@pytest.mark.parametrize("name", NAMES)
def test_an_objective_can_be_called_alone(images, name):
    alone, rated = OBJECTIVES[name](images, score), rate(images, [name], score)[name]
    assert alone == pytest.approx(rated, rel=0, abs=0, nan_ok=True)
    assert type(alone) in (float, Invalid)


@pytest.mark.parametrize("name", ["autocorrelation", "fwhm_nm"])
def test_lines_of_a_person_take_precedence(images, name, monkeypatch):
    for automatic in ("filament_lines", "cross_lines"):
        monkeypatch.setattr(f"stedopt_bluesky.objectives.from_images.{automatic}", pytest.fail)
    lines = tuple(Line(y, 10.0, y, 49.0) for y in (20.0, 30.0, 40.0, 50.0))
    drawn = dataclasses.replace(images, lines=lines)
    expected = {
        "autocorrelation": objectives.autocorrelation_of_lines(images.sted[0], lines),
        "fwhm_nm": objectives.fwhm_nm(images.sted[0], lines, 20.0),
    }
    assert rate(drawn, [name])[name] == pytest.approx(expected[name], rel=0, nan_ok=True)


def test_what_an_image_set_lacks_is_the_reason(images):
    bare = ImageSet(images.confocal1, images.sted[:1], images.confocal2, 20.0, 15.0)
    names = ["sted_photobleaching", "light_dose_mJ", "response_size_ratio", "df_over_f_peak"]
    assert {name: invalid_reason(value) for name, value in rate(bare, names).items()} == {
        "sted_photobleaching": "there is no second STED image",
        "light_dose_mJ": "the lasers' powers are not known",
        "response_size_ratio": "there are no Ca²⁺ frames",
        "df_over_f_peak": "there are no Ca²⁺ frames",
    }


def test_each_image_is_scored_once(images):
    asked = []

    def counted(image):
        asked.append(image)
        return score(image)

    values = rate(images, ["quality", "quality_last", "quality"], counted)
    assert len(asked) == 2
    assert values["quality"] != values["quality_last"]
    alone = dataclasses.replace(images, sted=images.sted[:1])
    values = rate(alone, ["quality_last", "quality"], counted)
    assert len(asked) == 3
    assert values["quality"] == values["quality_last"] == score(images.sted[0])
    rate(images, ["snr"], pytest.fail)


@pytest.mark.parametrize("name", ["quality", "quality_last"])
def test_quality_without_a_score_is_refused_at_once(images, name):
    with pytest.raises(ValueError, match=f"the objective {name} needs a score of images"):
        make_rater(["snr", name])
    with pytest.raises(ValueError, match="needs a score of images"):
        OBJECTIVES[name](images)


def test_invalid_scores_keep_their_reason(images):
    value = rate(images, ["quality"], lambda image: Invalid("no foreground"))["quality"]
    assert invalid_reason(value) == "no foreground"


def test_masks_are_computed_once(images, monkeypatch):
    calls = []
    module = "stedopt_bluesky.objectives.prepared.otsu_foreground"
    monkeypatch.setattr(module, lambda image: calls.append(1) or objectives.otsu_foreground(image))
    for other in ("snr", "photobleaching"):
        monkeypatch.setattr(f"stedopt_bluesky.objectives.{other}.otsu_foreground", pytest.fail)
    rate(images, NAMES, score)
    assert len(calls) == 2  # confocal 1 and STED
    rate(images, ["frc", "imaging_time_s"])
    assert len(calls) == 2  # neither needs a mask


def test_invalid_is_nan_and_leaves_the_others_alone(images):
    broken = images.confocal2.astype(float)
    broken[3, 3] = np.nan
    values = rate(
        ImageSet(images.confocal1, images.sted, broken, 20.0, 15.0), ["photobleaching", "snr"]
    )
    assert invalid_reason(values["photobleaching"]) == "a pixel of confocal 2 is not a finite count"
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
