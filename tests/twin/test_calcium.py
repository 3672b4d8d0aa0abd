"""Ca²⁺ after uncaging: silent, local or widespread by power, distance and cell."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stedopt_bluesky.twin import calcium
from stedopt_bluesky.twin.calcium import (
    DECAY_S,
    CalciumActivity,
    bound_share,
    brightness,
    released_glutamate,
    time_course,
)
from stedopt_bluesky.twin.dendrite import make_dendrites
from stedopt_bluesky.twin.exposure import Exposure

PULSE_S = 0.03


@pytest.fixture(scope="module")
def dendrites():
    return make_dendrites(3, 60e-6, 2)


@pytest.fixture
def activity(dendrites):
    return CalciumActivity(dendrites, 3)


def pulse_at(activity, number, power_uW, distance_um, at_s=0.0):
    spine = activity.dendrites.spines[number]
    x_m = spine.x_m + distance_um * 1e-6 * spine.axis_x
    y_m = spine.y_m + distance_um * 1e-6 * spine.axis_y
    return activity.pulse(x_m, y_m, power_uW, PULSE_S, at_s)


@given(
    st.floats(0, 10e-6), st.floats(0, 10e-6), st.floats(1, 100), st.floats(1, 100), st.floats(0, 1)
)
def test_more_power_and_less_distance_give_more_glutamate(near_m, more_m, low, more, duration_s):
    near = released_glutamate(near_m, low, duration_s)

    assert near >= released_glutamate(near_m + more_m, low, duration_s) >= 0
    assert released_glutamate(near_m, low + more, duration_s) >= near


def test_without_a_pulse_there_is_no_glutamate():
    assert released_glutamate(1e-6, 20.0, 0.0) == 0
    assert released_glutamate(1e-6, 0.0, PULSE_S) == 0


@given(st.floats(0, 1e4), st.floats(0, 1e4))
def test_receptors_bind_more_of_more_and_at_most_all(low, more):
    shares = bound_share([low, low + more], PULSE_S)

    assert 0 <= shares[0] <= shares[1] <= 1


def test_the_indicator_at_rest_is_1_and_saturates():
    assert brightness(calcium.REST_NM) == pytest.approx(1)
    # 63 times the brightness without Ca²⁺, which is 0.27 of that at 50 nM.
    assert brightness(1e6) == pytest.approx(63 / (1 + 62 * 0.0445), rel=0.02)


def test_the_time_course_peaks_at_1_and_decays():
    t = np.linspace(0, 10, 5000)
    course = np.array([time_course(float(s)) for s in t])

    assert time_course(0.0) == time_course(-1.0) == 0
    assert course.max() == pytest.approx(1, abs=1e-3)
    later = course[(t > 1) & (t < 4)]
    assert later[0] / later[-1] == pytest.approx(math.exp(3 / DECAY_S), rel=0.02)


def test_a_strong_pulse_is_widespread_and_a_weak_far_one_silent(activity):
    strong = pulse_at(activity, 20, 42.0, 0.5)
    weak = pulse_at(activity, 20, 7.3, 3.0, 30.0)

    assert len(strong.spiked) == 1
    shafts = strong.calcium_nM[len(activity.dendrites.spines) :]
    # Pieces of half a micrometre.
    assert (brightness(calcium.REST_NM + shafts) > 1.75).sum() > 6
    assert not weak.spiked
    assert brightness(calcium.REST_NM + weak.calcium_nM).max() < 1.75


def test_only_the_cell_near_the_spot_spikes(activity):
    spine = activity.dendrites.spines[20]
    assert pulse_at(activity, 20, 42.0, 0.5).spiked == (spine.cell,)


def test_there_are_local_responses_in_a_band_between(dendrites):
    """At half a micrometre, and more power for more distance; nowhere for the weakest power."""
    activity = CalciumActivity(dendrites, 3)

    def local(power_uW, distance_um):
        shares = []
        for n in range(len(dendrites.spines)):
            response = pulse_at(activity, n, power_uW, distance_um, 100.0 * n)
            bright = brightness(calcium.REST_NM + response.calcium_nM) > 1.75
            shares.append(not response.spiked and bright[: len(dendrites.spines)].any())
        return np.mean(shares)

    assert local(16.0, 0.5) > 0.2
    assert local(16.0, 0.5) > 2 * local(42.0, 0.5)
    assert local(36.0, 1.5) > 2 * local(10.0, 1.5)
    assert local(7.3, 3.0) < 0.05


def test_cells_differ_in_their_threshold(dendrites):
    thresholds = np.concatenate(
        [CalciumActivity(dendrites, seed).thresholds for seed in range(200)]
    )

    assert np.std(np.log(thresholds)) == pytest.approx(calcium.CELL_SPREAD, rel=0.15)


def test_the_same_seed_gives_the_same_responses(dendrites):
    first, second = (CalciumActivity(dendrites, 9) for _ in range(2))

    for n in range(5):
        one, other = (pulse_at(a, n, 20.0, 1.0, 30.0 * n) for a in (first, second))
        assert np.array_equal(one.calcium_nM, other.calcium_nM)


def test_the_map_shows_the_response_and_forgets_it(activity):
    assert activity.brightness(0.0) is None
    pulse_at(activity, 20, 42.0, 0.5, 1.0)
    pixels = len(activity.dendrites.indicator)
    everything = (slice(0, pixels), slice(0, pixels))

    shown = activity.brightness(1.3)[everything]
    assert shown.max() > 3
    assert np.all(shown[activity.dendrites.compartments < 0] == 1)
    assert np.all(shown >= 1)
    part = (slice(100, 300), slice(50, 90))
    assert np.array_equal(activity.brightness(1.3)[part], shown[part])

    pulse_at(activity, 20, 7.3, 3.0, 31.0)
    assert len(activity.responses) == 1


def test_only_405_nm_uncages(activity):
    exposure = Exposure(0.0, 0.0, 100e-9, (1, 1), PULSE_S, 1, 20e-6, 0.0)

    activity.exposed(exposure, {485.0: 20e-6, 775.0: 0.1}, 5.0)
    assert activity.responses == ()
    activity.exposed(exposure, {405.0: 20e-6}, 5.0)
    assert activity.responses[0].start_s == pytest.approx(5.03)
