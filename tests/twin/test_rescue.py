"""RESCue: less light where nothing is, the same image where something is."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stedopt_bluesky.twin.exposure import Exposure, Optics
from stedopt_bluesky.twin.fluorophores import FLUOROPHORES
from stedopt_bluesky.twin.instrument import LASERS
from stedopt_bluesky.twin.parameters import couple, measurement_parameters
from stedopt_bluesky.twin.photophysics import expose
from stedopt_bluesky.twin.rescue import RescueRule, rescue_of
from stedopt_bluesky.twin.samples import Sample
from stedopt_bluesky.twin.scan import plan_scan
from stedopt_bluesky.twin.value_tree import ParameterTree

DYE = FLUOROPHORES["STAR635P"]
PLAN = Exposure(0.0, 0.0, 20e-9, (100, 100), 50e-6, 1, 10e-6, 0.15)
RULE = RescueRule(signal_level=20.0, strength=4.0)


def stripe():
    """A dense stripe, and single fluorophores beside it."""
    density = np.full((140, 140), 0.003, np.float32)
    density[60:80] = 4.0
    return Sample("stripe", "a stripe", density, 20e-9)


def exposed(rule):
    sample = stripe()
    plan = dataclasses.replace(PLAN, rescue=rule)
    return expose(sample, plan, DYE, Optics(), np.random.default_rng(0)), sample


@given(st.floats(0.1, 100), st.floats(0.1, 20))
def test_more_photons_are_waited_for_longer(signal_level, strength):
    rule = RescueRule(signal_level, strength)
    dwelled = rule.dwelled(np.linspace(0, 10 * signal_level + 50, 60))
    assert dwelled[0] == pytest.approx(rule.probed)
    assert (np.diff(dwelled) >= -1e-12).all()
    assert (dwelled <= 1).all()


def test_what_is_left_early_is_what_poisson_says():
    # Decided after a fifth: 4 photons are needed by then.
    photons = np.array([10.0])
    rng = np.random.default_rng(1)
    left = (rng.poisson(10.0 / 5, 200_000) < 4).mean()
    assert RULE.dwelled(photons)[0] == pytest.approx(1 - left * 0.8, abs=3e-3)


def test_background_is_left_and_structure_is_not():
    plain, _ = exposed(None)
    rescued, _ = exposed(RULE)
    inside, outside = np.s_[45:55], np.s_[:25]
    assert rescued[inside].mean() == pytest.approx(plain[inside].mean(), rel=0.02)
    assert rescued[outside].mean() == pytest.approx(RULE.probed * plain[outside].mean(), rel=0.2)


def test_what_is_not_illuminated_does_not_bleach():
    _, plain = exposed(None)
    _, rescued = exposed(RULE)
    far, middle = np.s_[25:35, 40:100], np.s_[69:71, 40:100]
    lost = [-np.log(sample.survival[far].mean()) for sample in (plain, rescued)]
    assert lost[1] == pytest.approx(RULE.probed * lost[0], rel=0.05)
    assert rescued.survival[middle].mean() == pytest.approx(plain.survival[middle].mean(), abs=0.02)


def test_without_signal_to_wait_for_nothing_changes_but_the_noise():
    one, _ = exposed(None)
    other, _ = exposed(RescueRule(signal_level=1e-9, strength=1e-9))
    np.testing.assert_array_equal(one, other)


CHANNEL = "ExpControl/measurement/channels/0/rescue"


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({}, None),
        ({"rescue_mode": 4}, None),
        ({"rescue_mode": 4, "signal_level": 20.0, "strength": 4.0}, RULE),
        ({"signal_level": 20.0, "strength": 4.0}, None),
    ],
)
def test_it_is_on_when_the_parameters_say_so(changes, rule):
    start = measurement_parameters(LASERS, ["Ch1"])
    tree = ParameterTree(start, couple)
    for name, value in changes.items():
        tree.set(f"{CHANNEL}/{name}", value)
    (channel,) = plan_scan(tree.get(""), start, LASERS).channels
    assert channel.rescue == rescue_of(tree.get(CHANNEL.removesuffix("/rescue"))) == rule
