import itertools
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stedopt_bluesky.config import ConfigError, ExperimentConfig, parse_config, preset
from stedopt_bluesky.records import RunRecord
from stedopt_bluesky.session.reduced import reduced

DEPLETION = {"name": "depletion_power_mW", "low": 10.0, "high": 100.0, "points": 10}


def experiment(*parameters):
    return preset("classical").updated(
        {"parameters": list(parameters), "objectives": [{"name": "snr"}]}
    )


def run(config, indices, uid="abcdefgh-0001"):
    """A stored run that chose these rows of its grid, image by image."""
    events = [
        ("event", {"descriptor": "d", "seq_num": i + 1, "data": data})
        for i, index in enumerate(indices)
        for data in [{"image_configuration_index": index, "objective_snr": 0.5}]
    ]
    start = {"uid": uid, "time": 0.0, "stedopt": {"config": config.model_dump(mode="json")}}
    descriptor = {"uid": "d", "name": "primary", "data_keys": {}}
    return RunRecord(Path("x.jsonl"), (("start", start), ("descriptor", descriptor), *events))


def laid(config):
    return [parameter.values for parameter in config.space]


# --- what is chosen most ----------------------------------------------------------------


def test_the_interval_that_holds_half_of_the_last_half_of_the_choices():
    config = experiment(DEPLETION)
    early, late = [9] * 8, [0, 3, 4, 4, 5, 7, 8, 9]  # 4 of 8: positions 3 to 5

    (values,) = laid(reduced(config, run(config, early + late)))

    assert values == pytest.approx(np.linspace(40, 60, 10))


def test_the_other_settings_stay():
    config = experiment(DEPLETION)
    smaller = reduced(config, run(config, [4, 5]))
    rest = {"parameters"}
    assert smaller.model_dump(exclude=rest) == config.model_dump(exclude=rest)


@pytest.mark.parametrize(
    ("index", "low", "high"),
    [(4, 40, 60), (0, 10, 20), (9, 90, 100)],
    ids=["inside", "low", "high"],
)
def test_a_single_value_is_widened_by_its_neighbours(index, low, high):
    config = experiment(DEPLETION)
    (values,) = laid(reduced(config, run(config, [index] * 6)))
    assert (values[0], values[-1], len(values)) == (low, high, 10)


def test_a_parameter_with_one_value_keeps_it():
    fixed = {"name": "dwelltime_us", "low": 20.0, "high": 20.0, "points": 1}
    config = experiment(fixed, DEPLETION)
    assert laid(reduced(config, run(config, [3, 4])))[0] == (20.0,)


def test_all_choices_count_when_it_is_said_so():
    config = experiment(DEPLETION)
    record = run(config, [0, 1, 8, 9])
    assert laid(reduced(config, record, share=1, last=99)) == laid(config)
    (last,) = laid(reduced(config, record, share=1))
    assert (last[0], last[-1]) == (90, 100)
    (last,) = laid(reduced(config, record, share=1, last=1))
    assert (last[0], last[-1]) == (90, 100)  # 100, widened


def test_two_bunches_do_not_give_what_lies_between():
    """The central half would begin in one bunch and end in the other."""
    config = experiment(DEPLETION)
    (values,) = laid(reduced(config, run(config, [0] * 4 + [1] * 4 + [8] * 5 + [9] * 4), last=17))
    assert (values[0], values[-1]) == (90, 100)


def test_several_runs_are_taken_together():
    config = experiment(DEPLETION)
    records = [run(config, [2]), run(config, [5], uid="abcdefgh-0002")]
    (values,) = laid(reduced(config, records, share=1))
    assert (values[0], values[-1]) == (30, 60)


def test_a_run_with_another_grid():
    """Coarser, and wider: neighbours in its grid, cut to the experiment's range."""
    wide = experiment({**DEPLETION, "low": 0.0, "high": 200.0, "points": 5})  # 0, 50, 100, ...
    config = experiment(DEPLETION)
    (values,) = laid(reduced(config, run(wide, [2] * 4)))
    assert (values[0], values[-1]) == (50, 100)


# --- how it is laid out anew ------------------------------------------------------------


def test_log_spacing_is_kept():
    config = experiment({**DEPLETION, "low": 1.0, "high": 100.0, "points": 5, "spacing": "log"})
    smaller = reduced(config, run(config, [1, 3] * 4), share=1)
    assert laid(smaller)[0] == pytest.approx(np.geomspace(10**0.5, 10**1.5, 5))
    assert smaller.parameters[0].spacing == "log"


def test_listed_values_and_line_steps_stay_what_they_are():
    listed = {"name": "depletion_power_mW", "values": [1.0, 2.0, 5.0, 7.0, 50.0]}
    steps = {"name": "line_steps", "low": 1.0, "high": 8.0, "points": 8}
    config = experiment(listed, steps)
    rows = [config.space.index((5.0, 3.0)), config.space.index((7.0, 6.0))]

    smaller = reduced(config, run(config, rows * 2), share=1)

    assert laid(smaller) == [(5.0, 7.0), (3.0, 4.0, 5.0, 6.0)]


# --- properties -------------------------------------------------------------------------


@st.composite
def experiments(draw):
    spacing = draw(st.sampled_from(["linear", "log", "values", "line_steps"]))
    points = draw(st.integers(1, 9))
    if spacing == "line_steps":
        low = draw(st.integers(1, 20))
        high = low + (points - 1) * draw(st.integers(1, 5))
        entry = {"name": "line_steps", "low": float(low), "high": float(high), "points": points}
    elif spacing == "values":
        values = draw(st.sets(st.integers(1, 300), min_size=points, max_size=points))
        entry = {"name": "depletion_power_mW", "values": [float(v) for v in sorted(values)]}
    else:
        low = draw(st.floats(0.1, 100))
        high = low if points == 1 else low + draw(st.floats(1, 200))
        ends = {"low": low, "high": high, "points": points, "spacing": spacing}
        entry = {"name": "depletion_power_mW", **ends}
    dwelltime = {
        "name": "dwelltime_us",
        "low": 5.0,
        "high": 50.0,
        "points": draw(st.integers(2, 5)),
    }
    return experiment(entry, dwelltime)


@settings(max_examples=80, deadline=None)
@given(st.data(), experiments(), st.floats(0.01, 1))
def test_it_is_always_a_valid_configuration_inside_the_old_one(data, config, share):
    indices = data.draw(st.lists(st.integers(0, config.space.size - 1), min_size=1, max_size=30))
    smaller = reduced(config, run(config, indices), share=share)

    assert parse_config(smaller.model_dump(exclude_none=True)) == smaller
    for old, new in zip(config.space, smaller.space, strict=True):
        assert (new.name, new.unit) == (old.name, old.unit)
        assert old.values[0] <= new.values[0]
        assert new.values[-1] <= old.values[-1]
        assert min(2, len(old.values)) <= len(new.values) <= len(old.values)
        if new.name == "line_steps":
            assert set(new.values) <= set(old.values)


@settings(max_examples=80, deadline=None)
@given(st.lists(st.integers(0, 9), min_size=1, max_size=20), st.integers(1, 20))
def test_no_shorter_interval_holds_the_share(indices, twentieths):
    """Against all intervals of the grid, one by one."""
    config, share = experiment(DEPLETION), twentieths / 20
    (values,) = laid(reduced(config, run(config, indices), share=share, last=len(indices)))
    grid = config.space.grid[:, 0]
    chosen = grid[indices]

    need = math.ceil(twentieths * len(indices) / 20)
    enough = [
        b - a
        for a, b in itertools.combinations_with_replacement(grid, 2)
        if np.sum((a <= chosen) & (chosen <= b)) >= need
    ]
    assert np.sum((values[0] <= chosen) & (chosen <= values[-1])) >= need
    assert (
        values[-1] - values[0] <= max(min(enough), 20.0) + 1e-9
    )  # 20: a value and both neighbours


@given(st.lists(st.integers(0, 9), min_size=4, max_size=12))
def test_again_and_again_it_never_grows(indices):
    config = experiment(DEPLETION)
    once = reduced(config, run(config, indices))
    twice = reduced(once, run(once, indices))
    (a,), (b,) = laid(once), laid(twice)
    assert a[0] <= b[0] < b[-1] <= a[-1]


# --- what is refused --------------------------------------------------------------------


def refusals():
    config = experiment(DEPLETION)
    record = run(config, [1, 2])
    other = experiment({"name": "dwelltime_us", "low": 5.0, "high": 50.0, "points": 3})
    low = experiment({**DEPLETION, "high": 30.0, "points": 3})
    gone = RunRecord(Path("x.jsonl"), (("start", {"uid": "abcdefgh-1", "time": 0.0}),))
    return [
        (config, record, {"share": 0.0}, "share = 0: above 0, at most 1"),
        (config, record, {"share": 1.5}, "share = 1.5: above 0, at most 1"),
        (config, record, {"share": math.nan}, "share = nan: above 0, at most 1"),
        (config, record, {"last": 0}, "last = 0: at least 1 image"),
        (config, run(config, []), {}, "run abcdefgh has no image: nothing was chosen"),
        (config, [], {}, "at least one run is needed"),
        (
            other,
            record,
            {},
            "run abcdefgh optimised depletion_power_mW; "
            "expected the same as in this experiment, dwelltime_us",
        ),
        (
            low,
            run(config, [7, 8]),
            {"share": 1},
            "depletion_power_mW: run abcdefgh chose 80 to 100",
        ),
        (config, gone, {}, "run abcdefgh-1 was not made by stedopt"),
    ]


@pytest.mark.parametrize(("config", "record", "options", "words"), refusals())
def test_what_cannot_be_reduced_to_is_told_in_one_line(config, record, options, words):
    with pytest.raises(ConfigError) as caught:
        reduced(config, record, **options)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_it_gives_a_configuration():
    config = experiment(DEPLETION)
    assert isinstance(reduced(config, run(config, [1])), ExperimentConfig)
