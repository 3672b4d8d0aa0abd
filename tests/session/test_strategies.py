"""Every strategy of a configuration: what it is made with, and what it refuses."""

import importlib.util

import numpy as np
import pytest

from stedopt_bluesky.acquisition import PriorObservation
from stedopt_bluesky.bandit import KernelTS, RandomPolicy
from stedopt_bluesky.bandit.baselines import GridSearch
from stedopt_bluesky.bandit.kernel_ucb import KernelUCB
from stedopt_bluesky.bandit.nsga2 import NSGA2
from stedopt_bluesky.bandit.strategy import Strategy
from stedopt_bluesky.config import ConfigError, preset
from stedopt_bluesky.objectives import imaging_time_s, light_dose_mJ
from stedopt_bluesky.session import make_choose, make_strategy, strategies

SMALL = {
    "seed": 3,
    "imaging.region_size_um": 1.28,
    "parameters": [
        {"name": "depletion_power_mW", "low": 60.0, "high": 300.0, "points": 6},
        {"name": "dwelltime_us", "low": 5.0, "high": 50.0, "points": 4},
    ],
}
ONE = [{"name": "snr"}, {"name": "imaging_time_s", "weight": 0.1}]
VALUES = {"snr": 0.5, "resolution_nm": 80.0, "photobleaching": 0.2, "imaging_time_s": 0.1}
CLASSES = {
    "kernel_ts": KernelTS,
    "kernel_ucb": KernelUCB,
    "nsga2": NSGA2,
    "grid_search": GridSearch,
    "random": RandomPolicy,
}


def small(strategy, **changes):
    if strategy == "kernel_ucb":
        changes = {"objectives": ONE, **changes}
    return preset("classical").updated({**SMALL, "bandit.strategy": strategy, **changes})


def history_of(config, images):
    """Observations as a run of this configuration would make them."""
    strategy, choose = make_strategy(config), make_choose(config)
    names = [o.name for o in config.objectives]
    history = []
    for t in range(images):
        index = choose(strategy.suggest()).index
        history.append((index, {name: VALUES[name] * (1 + t % 3) for name in names}))
        strategy.ingest(*history[-1])
    return history, strategy


@pytest.mark.parametrize("name", CLASSES)
def test_the_strategy_is_the_one_that_is_named(name):
    strategy = make_strategy(small(name))
    assert type(strategy) is CLASSES[name]
    assert isinstance(strategy, Strategy)
    assert strategy.space == small(name).space


@pytest.mark.parametrize("name", CLASSES)
def test_a_history_goes_on_as_it_would_have_gone(name):
    config = small(name, **{"bandit.repeats": 2, "bandit.population": 3})
    history, whole = history_of(config, 20)
    for cut in (0, 1, 7, 12, 20):
        resumed, choose = make_strategy(config, history[:cut]), make_choose(config)
        for index, values in history[cut:]:
            assert choose(resumed.suggest()).index == index
            resumed.ingest(index, values)
        assert resumed.suggest().values.tobytes() == whole.suggest().values.tobytes()
        assert resumed.suggest().imaged == whole.suggest().imaged


@pytest.mark.parametrize("name", CLASSES)
def test_the_imaging_time_is_known_to_all(name):
    options = make_strategy(small(name)).suggest()
    column = options.objectives.index("imaging_time_s")
    known = make_strategy(small("kernel_ts")).suggest().values[:, -1]
    offered = ~np.isnan(options.values[:, column])
    assert offered.any()
    np.testing.assert_array_equal(options.values[offered, column], known[offered])


def test_the_light_dose_is_known_with_powers_of_the_grid_and_fixed_ones():
    objectives = [{"name": "snr"}, {"name": "light_dose_mJ"}]
    config = small("kernel_ts", objectives=objectives, **{"imaging.sted_images": 2})
    options = make_strategy(config).suggest()
    doses = options.values[:, options.objectives.index("light_dose_mJ")]
    imaging = config.imaging
    names = ("excitation_power_uW", "depletion_power_mW", "dwelltime_us", "line_steps")
    fixed = {name: getattr(imaging, name) for name in names}
    for row, dose in enumerate(doses):
        settings = fixed | config.space.configuration(row)
        shape = (imaging.pixels, imaging.pixels)
        assert dose == light_dose_mJ(**settings, shape=shape, sted_images=2)


def test_light_dose_and_time_are_those_of_each_size():
    """The known columns are, bit for bit, what the images of that configuration are rated."""
    config = small(
        "kernel_ts",
        objectives=[{"name": "snr"}, {"name": "light_dose_mJ"}, {"name": "imaging_time_s"}],
        parameters=[
            {"name": "pixel_size_nm", "values": [16.0, 20.0, 30.0]},
            {"name": "region_size_um", "values": [0.64, 2.56]},
            {"name": "frames", "values": [1, 4]},
        ],
        **{"imaging.region_size_um": 2.56},
    )
    options = make_strategy(config).suggest()
    imaging = config.imaging
    for row, values in enumerate(options.values):
        settings = config.space.configuration(row)
        pixels = round(settings["region_size_um"] * 1000 / settings["pixel_size_nm"])
        shape, frames = (pixels, pixels), settings["frames"]
        scan = imaging.dwelltime_us, imaging.line_steps, shape
        powers = imaging.excitation_power_uW, imaging.depletion_power_mW
        assert values[1] == light_dose_mJ(*powers, *scan, frames=frames)
        assert values[2] == imaging_time_s(*scan, frames)


def test_repeats_and_population_are_the_configurations_or_the_papers():
    assert make_strategy(small("grid_search")).repeats == 5
    nsga2 = make_strategy(small("nsga2"))
    assert (nsga2.population, nsga2.repeats) == (10, 3)
    changed = {"bandit.repeats": 2, "bandit.population": 7}
    assert make_strategy(small("grid_search", **changed)).repeats == 2
    nsga2 = make_strategy(small("nsga2", **changed))
    assert (nsga2.population, nsga2.repeats) == (7, 2)


@pytest.mark.parametrize("name", ["kernel_ts", "kernel_ucb"])
@pytest.mark.parametrize(
    "changes",
    [
        {"bandit.norm_bound": 1.5, "bandit.adaptation": "published"},
        {"bandit.adaptation": "published"},
        {"bandit.bandwidth": [30.0, 4.0]},
    ],
)
def test_settings_of_the_kernel_reach_it(name, changes):
    history = [(4, dict.fromkeys(VALUES, 0.5) if name == "kernel_ts" else {"snr": 0.5})]
    plain = make_strategy(small(name), history).posterior()
    other = make_strategy(small(name, **changes), history).posterior()
    assert not np.allclose(plain[1][:, 0], other[1][:, 0])


@pytest.mark.parametrize(
    ("objectives", "names"),
    [
        (["snr", "photobleaching"], "snr, photobleaching"),
        (["snr", "resolution_nm", "imaging_time_s"], "snr, resolution_nm"),
        (["imaging_time_s"], "none"),
    ],
)
def test_kernel_ucb_says_what_it_needs(objectives, names):
    config = small("kernel_ucb", objectives=[{"name": name} for name in objectives])
    with pytest.raises(ConfigError) as caught:
        make_strategy(config)
    message = str(caught.value)
    assert message.startswith("bandit.strategy = 'kernel_ucb': allowed with exactly one modelled")
    assert message.endswith(f", got {names}")
    assert "\n" not in message


def test_botorch_that_is_not_installed_names_the_extra(monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name == "botorch" else find(name, *a)
    )
    with pytest.raises(ConfigError) as caught:
        make_strategy(small("botorch"))
    message = str(caught.value)
    assert message.startswith("bandit.strategy = 'botorch': ")
    assert message.endswith("not installed: pip install 'stedopt-bluesky[botorch]'")
    assert "\n" not in message


@pytest.mark.parametrize("name", ["botorch", "nsga2", "grid_search", "random"])
def test_earlier_experiments_are_not_silently_left_aside(name):
    prior = [PriorObservation({"depletion_power_mW": 60.0, "dwelltime_us": 5.0}, VALUES)]
    with pytest.raises(ConfigError) as caught:
        make_strategy(small(name), prior=prior)
    assert str(caught.value).startswith(
        f"bandit.strategy = '{name}': with [prior] allowed are kernel_ts, kernel_ucb"
    )


def test_all_that_the_configuration_allows_can_be_made():
    from typing import get_args

    from stedopt_bluesky.config.sections import StrategyName

    assert set(strategies._FACTORIES) == set(get_args(StrategyName))
    assert set(strategies.LEARN_FROM_PRIOR) <= set(strategies._FACTORIES)
