"""RESCue: less light where nothing is, the same image where something is."""

import dataclasses
import pathlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import poisson

from stedopt_bluesky.twin.exposure import Exposure, Optics
from stedopt_bluesky.twin.fluorophores import FLUOROPHORES
from stedopt_bluesky.twin.instrument import LASERS
from stedopt_bluesky.twin.parameters import couple, measurement_parameters
from stedopt_bluesky.twin.photophysics import expose
from stedopt_bluesky.twin.rescue import (
    MOST_LOWER_COUNTS,
    LowerThreshold,
    RescueRule,
    automatic,
    rescue_of,
)
from stedopt_bluesky.twin.samples import Sample
from stedopt_bluesky.twin.scan import plan_scan
from stedopt_bluesky.twin.value_tree import ParameterError, ParameterTree

REAL = pathlib.Path(__file__).parents[2].parent / "shared" / "data" / "imspector" / "conf.yml"
DYE = FLUOROPHORES["STAR635P"]
PLAN = Exposure(0.0, 0.0, 20e-9, (100, 100), 50e-6, 1, 10e-6, 0.15)
# Decided after a fifth of the dwelltime: 4 photons are needed by then.
RULE = RescueRule((LowerThreshold(0.2, 4),))
STEPS = RescueRule(
    (LowerThreshold(0.2, 1), LowerThreshold(0.3, 3), LowerThreshold(0.6, 5), LowerThreshold(0.9, 9))
)
RULES = {
    "one step": RULE,
    "four steps": STEPS,
    "upper alone": RescueRule(upper=6),
    "both": dataclasses.replace(STEPS, upper=14),
    "upper below a lower one": dataclasses.replace(STEPS, upper=4),
    "upper of one": dataclasses.replace(RULE, upper=1),
}


def stripe():
    """A dense stripe, and single fluorophores beside it."""
    density = np.full((140, 140), 0.003, np.float32)
    density[60:80] = 4.0
    return Sample("stripe", "a stripe", density, 20e-9)


def exposed(rule):
    sample = stripe()
    plan = dataclasses.replace(PLAN, rescue=rule)
    return expose(sample, plan, DYE, Optics(), np.random.default_rng(0)), sample


def photon_by_photon(rule, photons, pixels, rng):
    """Pixels as the photons arrive in them: dwelltime, counts, and which threshold it was."""
    most = int(photons + 10 * np.sqrt(photons) + 20)
    arrivals = np.cumsum(rng.exponential(1 / photons, (pixels, most)), axis=1)
    dwelled, left = np.ones(pixels), np.full(pixels, -1)
    if rule.upper is not None:
        dwelled = np.minimum(dwelled, arrivals[:, rule.upper - 1])
    for k, step in enumerate(rule.lower):
        short = (arrivals <= step.time).sum(axis=1) < step.counts
        here = short & (dwelled > step.time)
        dwelled[here], left[here] = step.time, k
    return dwelled, (arrivals <= dwelled[:, np.newaxis]).sum(axis=1), left


PIXELS = 100_000


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
@pytest.mark.parametrize("photons", [0.3, 4.0, 12.0, 25.0])
def test_it_is_what_comes_photon_by_photon(rule, photons):
    dwelled, counts, left = photon_by_photon(rule, photons, PIXELS, np.random.default_rng(1))
    there = np.full(PIXELS, photons)
    assert rule.dwelled(there[:1]) == pytest.approx(dwelled.mean(), abs=3e-3)
    for k, share in enumerate(rule.left(there[:1])):
        assert share[0] == pytest.approx((left == k).mean(), abs=6e-3)
    drawn = rule.counts(there, 1, np.random.default_rng(2))
    assert drawn.mean() == pytest.approx(counts.mean(), abs=0.05)
    # Not the mean alone: each number of counts is as frequent.
    frequent = [np.bincount(n, minlength=80)[:80] / PIXELS for n in (drawn, counts)]
    np.testing.assert_allclose(*frequent, atol=8e-3)
    if rule.upper is not None:
        assert drawn.max() <= rule.upper


def test_one_step_is_what_poisson_says():
    photons = np.array([0.0, 1.0, 10.0, 20.0, 100.0])
    left = poisson.cdf(3, photons / 5)
    np.testing.assert_allclose(RULE.left(photons)[0], left, atol=1e-12)
    np.testing.assert_allclose(RULE.dwelled(photons), 1 - 0.8 * left, atol=1e-4)


rules = st.builds(
    lambda steps, upper: RescueRule(tuple(LowerThreshold(t, c) for t, c in sorted(steps)), upper),
    st.lists(st.tuples(st.floats(0.01, 0.99), st.integers(1, 60)), max_size=4),
    st.none() | st.integers(1, 80),
)


@given(rules)
def test_shares_are_shares(rule):
    photons = np.concatenate([[0.0], np.geomspace(1e-3, 1e5, 60)])
    dwelled = rule.dwelled(photons)
    assert ((dwelled >= 0) & (dwelled <= 1)).all()
    left = rule.left(photons)
    assert left.shape == ((len(rule.lower), 61) if rule.lower else (0,))
    assert (left >= 0).all()
    assert (left.sum(axis=0) <= 1 + 1e-9).all()
    if rule.lower:
        # Nothing comes: it is left at the first one.
        assert dwelled[0] == pytest.approx(min(step.time for step in rule.lower), abs=1e-6)


@given(rules)
def test_more_photons_are_waited_for_longer_without_an_upper_threshold(rule):
    rule = dataclasses.replace(rule, upper=None)
    assert (np.diff(rule.dwelled(np.linspace(0, 500, 100))) >= -1e-9).all()


def test_each_pass_decides_anew():
    photons = np.full(PIXELS, 30.0)
    counts = STEPS.counts(photons, 3, np.random.default_rng(3))
    once = STEPS.counts(photons / 3, 1, np.random.default_rng(4))
    assert counts.mean() == pytest.approx(3 * once.mean(), rel=0.01)
    assert counts.var() == pytest.approx(3 * once.var(), rel=0.03)


# --- what Imspector sets by itself --------------------------------------------------------


@given(st.floats(15.0, 200.0), st.floats(0.5, 60.0))
def test_of_pixels_with_the_signal_level_as_many_as_the_strength_says_are_left(level, strength):
    lower = automatic(level, strength)
    shares = RescueRule(lower).left(np.array([level]))
    assert [step.counts for step in lower] == [1, 2, 5, 10][: len(lower)]
    assert all(0 < step.time < 1 for step in lower)
    np.testing.assert_allclose(shares[:, 0], strength / 400, atol=1e-6)


def test_a_structure_too_dim_to_tell_is_not_left():
    assert automatic(3.0, 5.0) == ()


def test_times_are_those_that_imspector_has_for_its_signal_level_and_strength():
    yaml = pytest.importorskip("yaml")
    if not REAL.exists():
        pytest.skip(f"{REAL.name} is not here")
    tree = yaml.safe_load(REAL.read_text(encoding="utf-8"))
    channels = [c["rescue"] for c in tree["ExpControl"]["measurement"]["channels"]]
    (real,) = [r for r in channels if r["LTh_auto"] and r["LTh_num_times"] == 4]
    lower = automatic(real["signal_level"], real["strength"])
    assert [step.counts for step in lower] == real["LTh_thresholds"]
    # Percent of the dwelltime, to one decimal.
    assert [step.time * 100 for step in lower] == pytest.approx(real["LTh_times"], abs=0.051)


# --- the image ------------------------------------------------------------------------------


def test_background_is_left_and_structure_is_not():
    plain, _ = exposed(None)
    rescued, _ = exposed(RULE)
    inside, outside = np.s_[45:55], np.s_[:25]
    assert rescued[inside].mean() == pytest.approx(plain[inside].mean(), rel=0.02)
    assert rescued[outside].mean() == pytest.approx(0.2 * plain[outside].mean(), rel=0.2)


def test_what_is_not_illuminated_does_not_bleach():
    _, plain = exposed(None)
    _, rescued = exposed(RULE)
    far, middle = np.s_[25:35, 40:100], np.s_[69:71, 40:100]
    lost = [-np.log(sample.survival[far].mean()) for sample in (plain, rescued)]
    assert lost[1] == pytest.approx(0.2 * lost[0], rel=0.05)
    assert rescued.survival[middle].mean() == pytest.approx(plain.survival[middle].mean(), abs=0.02)


def test_what_needs_no_more_counts_has_no_more_and_bleaches_less():
    _, plain = exposed(None)
    capped, sample = exposed(RescueRule(upper=10))
    middle = np.s_[69:71, 40:100]
    assert capped.max() == 10
    assert sample.survival[middle].mean() > plain.survival[middle].mean()


def test_line_steps_have_a_threshold_each():
    plan = dataclasses.replace(PLAN, line_steps=3, rescue=RescueRule(upper=5))
    counts = expose(stripe(), plan, DYE, Optics(), np.random.default_rng(0))
    assert counts[45:55].max() == 15


def test_a_threshold_at_the_end_of_the_dwelltime_changes_nothing():
    one, sample = exposed(None)
    other, same = exposed(RescueRule((LowerThreshold(1 - 1e-12, 1),)))
    np.testing.assert_array_equal(one, other)
    np.testing.assert_allclose(sample.survival, same.survival, rtol=1e-6)


CHANNEL = "ExpControl/measurement/channels/0/rescue"
ON = {"rescue_mode": 4}
TOLD = {
    **ON,
    "LTh_auto": False,
    "LTh_thresholds": [4, 9, 12, 1],
    "LTh_times": [20.0, 50.0, 100.0, 90.0],
}


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({}, None),
        (ON, None),
        ({"signal_level": 20.0, "strength": 4.0}, None),
        (ON | {"signal_level": 20.0, "strength": 4.0}, RescueRule(automatic(20.0, 4.0))),
        # As many as are told, and none of them while they are automatic.
        (TOLD | {"LTh_num_times": 1}, RULE),
        (TOLD | {"LTh_num_times": 2}, RescueRule((*RULE.lower, LowerThreshold(0.5, 9)))),
        # At the end of the dwelltime it is too late.
        (TOLD | {"LTh_num_times": 3}, RescueRule((*RULE.lower, LowerThreshold(0.5, 9)))),
        (TOLD | {"LTh_num_times": 0}, None),
        (TOLD | {"LTh_num_times": 1, "LTh_auto": True}, None),
        (TOLD | {"LTh_num_times": 1, "rescue_mode": 0}, None),
        (TOLD | {"LTh_num_times": 1, "LTh_thresholds": [0] * 4}, None),
        (ON | {"UTh_auto": False, "UTh_threshold": 30}, RescueRule(upper=30)),
        (ON | {"UTh_auto": True, "UTh_threshold": 30}, None),
        (ON | {"UTh_auto": False, "UTh_threshold": 0}, None),
        (
            TOLD | {"LTh_num_times": 1, "UTh_auto": False, "UTh_threshold": 30},
            dataclasses.replace(RULE, upper=30),
        ),
    ],
)
def test_it_is_on_when_the_parameters_say_so(changes, rule):
    start = measurement_parameters(LASERS, ["Ch1"])
    tree = ParameterTree(start, couple)
    for name, value in changes.items():
        tree.set(f"{CHANNEL}/{name}", value)
    (channel,) = plan_scan(tree.get(""), start, LASERS).channels
    assert channel.rescue == rescue_of(tree.get(CHANNEL.removesuffix("/rescue"))) == rule


def test_lower_thresholds_of_more_counts_than_are_reckoned_with_are_refused():
    tree = ParameterTree(measurement_parameters(LASERS, ["Ch1"]), couple)
    most = [1, MOST_LOWER_COUNTS, 0, 0]
    tree.set(f"{CHANNEL}/LTh_thresholds", most)
    for wrong in ([1, MOST_LOWER_COUNTS + 1, 0, 0], [-1, 0, 0, 0]):
        with pytest.raises(ParameterError, match=f"outside 0 ... {MOST_LOWER_COUNTS} counts"):
            tree.set(f"{CHANNEL}/LTh_thresholds", wrong)
    with pytest.raises(ParameterError, match=f"outside 0 ... {MOST_LOWER_COUNTS} counts"):
        tree.set(f"{CHANNEL}/LTh_thresholds/3", MOST_LOWER_COUNTS + 1)
    assert tree.get(f"{CHANNEL}/LTh_thresholds") == most
