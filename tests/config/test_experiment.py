"""What is refused: in one line, with the field, its value and what is allowed."""

import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stedopt_bluesky.config import MAX_CONFIGURATIONS, ConfigError, parse_config, preset
from stedopt_bluesky.config.parameters import PARAMETER_UNITS

DEMO = preset("classical")
# What pydantic would say, and a microscopist not understand.
JARGON = ("input", "valid", "tuple", "validation", "instance", "type=", "pydantic", "dict", "\n")


def depletion(**changes):
    entry = {"name": "depletion_power_mW", "low": 59.0, "high": 360.0, "points": 8, **changes}
    return {"parameters": [{k: v for k, v in entry.items() if v is not ...}]}


def dwelltimes(*values):
    return {"parameters": [{"name": "dwelltime_us", "values": list(values)}]}


NOT_NUMBERS = [math.nan, math.inf, -math.inf]

WRONG = [
    # how many, and the seed
    ({"images": 0}, "images = 0: at least 1"),
    ({"images": -3}, "images = -3: at least 1"),
    ({"images": 10**9}, "images = 1,000,000,000: at most 100,000"),
    ({"images": 1.5}, "images = 1.5: a whole number"),
    ({"images": "many"}, "images = 'many': a whole number"),
    ({"images": "60"}, "images = '60': a whole number"),
    ({"images": True}, "images = true: a whole number"),
    ({"seed": -1}, "seed = -1: at least 0"),
    ({"seed": 2**60}, "seed = 1,152,921,504,606,846,976: below 9,007,199,254,740,992"),
    # misspelt, at any depth
    ({"imagess": 3}, r"imagess = 3: unknown field; allowed are preset, .*did you mean 'images'"),
    ({"sample.nam": "x"}, r"sample.nam = 'x': unknown field; .*\(did you mean 'name'\?\)"),
    ({"excitation.power_limit": 5}, r"excitation.power_limit = 5: .*did you mean 'power_limit_uW'"),
    (
        depletion(hihg=3),
        r"parameters.0.hihg \(depletion_power_mW\) = 3: unknown field; .*mean 'high'",
    ),
    ({"objectives": [{"name": "snr", "wieght": 1}]}, r"objectives.0.wieght \(snr\) .*'weight'"),
    ({"float": 3}, "float = 3: unknown field; allowed are"),
    ({"smaple.name": "actin"}, r"smaple: unknown field; .*did you mean 'sample'"),
    ({"a\nb": 3}, "a b = 3: unknown field"),
    # a name that is not one
    ({"microscope.kind": "twinn"}, r"kind = 'twinn': allowed are twin, specpy .*mean 'twin'"),
    (
        {"choice.network": "mine.safetensors"},
        "choice.network = 'mine.*': only with rule = 'network'",
    ),
    ({"quality.network": ""}, "quality.network = '': not empty"),
    # light: 224² pixels of 100 µs with 360 mW and 26.8 µW, and two confocal images
    (
        {"limits.sted_image_s": 5.0},
        r"limits.sted_image_s = 5: at least 5\.02 s, the longest STED image of the grid",
    ),
    (
        {"limits.region_dose_mJ": 1806.0},
        r"limits.region_dose_mJ = 1806: at least 1810 mJ, the largest dose of the grid",
    ),
    ({"limits.run_dose_mJ": 100.0}, r"run_dose_mJ = 100: at least 1810 mJ, the largest dose of"),
    ({"limits.sted_image_s": 0.0}, "limits.sted_image_s = 0: above 0"),
    ({"choice.rule": "best"}, "choice.rule = 'best': allowed are network, weighted, random"),
    ({"bandit.strategy": 3}, "bandit.strategy = 3: allowed are kernel_ts, kernel_ucb"),
    ({"bandit.norm_bound": 3}, "bandit.norm_bound = 3: only with bandit.adaptation = 'published'"),
    ({"bandit.norm_bound": 150}, "bandit.norm_bound = 150: at most 50"),
    ({"bandit.exploration": 0}, "bandit.exploration = 0: above 0"),
    (
        {"prior.csv": "a.csv", "bandit.strategy": "random"},
        "bandit.strategy = 'random': with prior knowledge kernel_ts or kernel_ucb",
    ),
    ({"prior.weight": 1.5}, "prior.weight = 1.5: at most 1"),
    (depletion(name="dwel"), "parameters.0.name = 'dwel': allowed are excitation_power_uW, dep"),
    (depletion(spacing="lin"), r"parameters.0.spacing \(depl.* = 'lin': allowed are linear, log"),
    # above a laser's limit
    ({"imaging.excitation_power_uW": 31}, r"= 31: at most 30 µW \(excitation.power_limit_uW\)"),
    ({"imaging.confocal_excitation_power_uW": 31}, r"confocal_exci.* = 31: at most 30 µW"),
    ({"overview.excitation_power_uW": 31.0}, "overview.excitation_power_uW = 31: at most 30 µW"),
    ({"imaging.depletion_power_mW": 381}, r"= 381: at most 380 mW \(depletion.power_limit_mW\)"),
    (
        depletion(high=900.0),
        r"parameters.0.high \(depletion_power_mW\) = 900: at most 380 mW \(depletion.power_limit",
    ),
    (
        {"parameters": [{"name": "excitation_power_uW", "values": [1, 30.01]}]},
        r"parameters.0.values \(excitation_power_uW\) = 30.01: at most 30 µW",
    ),
    ({"depletion.power_limit_mW": 355}, r"parameters.1.high .* = 360: at most 355 mW"),
    # below what was calibrated
    (
        {"excitation.calibration_power_uW": [1.0, 50.0]},
        r"parameters.0.low \(exc.* = 0.65: 0, or at least 1 µW \(excitation.calibration_power_uW",
    ),
    # calibration
    (
        {"excitation.power_limit_uW": 500},
        r"excitation.power_limit_uW = 500: at most 50, the highest calibrated power",
    ),
    ({"excitation.power_limit_uW": -1}, "excitation.power_limit_uW = -1: above 0"),
    (
        {"excitation.calibration_percent": [0, 100, 50]},
        r"calibration_percent = \[0, 100, 50\]: at least two values, strictly increasing",
    ),
    ({"depletion.calibration_percent": [0]}, r"calibration_percent = \[0\]: at least two values"),
    ({"depletion.calibration_percent": [0, 101]}, r"= \[0, 101\]: each from 0 to 100 %"),
    ({"depletion.calibration_power_mW": []}, r"calibration_power_mW = \[\]: at least two values"),
    ({"depletion.calibration_power_mW": [5, 5]}, r"= \[5, 5\]: at least two values, strictly inc"),
    ({"depletion.calibration_power_mW": [-5, 400]}, r"= \[-5, 400\]: none below 0"),
    ({"depletion.calibration_power_mW": [0, 1, 400]}, "= .0, 1, 400.: one per calibration_per"),
    ({"depletion.calibration_power_mW": "x"}, "calibration_power_mW = 'x': a list, in brackets"),
    ({"depletion.calibration_power_mW": ["x", 1]}, "calibration_power_mW.0 = 'x': a number"),
    # lasers
    ({"excitation.laser": 16}, "excitation.laser = 16: at most 15"),
    ({"depletion.laser": 5}, "depletion.laser = 5: another one than excitation.laser"),
    # parameters and objectives
    ({"parameters": []}, r"parameters = \[\]: at least one$"),
    ({"objectives": []}, r"objectives = \[\]: at least one$"),
    ({"parameters": 5}, "parameters = 5: a list, in brackets"),
    ({"parameters": [5]}, "parameters.0 = 5: a table of fields"),
    ({"parameters": [{"low": 1.0}]}, "parameters.0.name: missing; it is needed"),
    (depletion(name=3), "parameters.0.name = 3: text, in quotes"),
    (depletion(low=400.0), r"parameters.0.low \(depletion_power_mW\) = 400: at most high, 360"),
    (depletion(low=-5.0), r"parameters.0.low .* = -5: at least 0 mW"),
    (depletion(low=True), r"parameters.0.low .* = true: a number"),
    (depletion(points=0), r"parameters.0.points .* = 0: at least 1"),
    (depletion(points=1), r"parameters.0.points .* = 1: at least 2 from 59 to 360"),
    (depletion(points=10**6), r"parameters.0.points .* = 1,000,000: at most 100,000"),
    (depletion(low=60.0, high=60.0), "points .* = 8: there are not so many numbers from 60.0 to 6"),
    (depletion(low=1.0, high=1.0 + 4e-16), "points .* = 8: there are not so many numbers"),
    (depletion(low=0.0, spacing="log"), "low .* = 0: above 0 where the spacing is log"),
    (depletion(low=...), r"parameters.0 \(depletion_power_mW\): low, high and points are needed"),
    (depletion(low=..., high=..., points=...), "parameters.0 .*: either low, high and points, or"),
    (depletion(values=[1.0, 2.0]), "parameters.0 .*: either low, high and points, or values"),
    (dwelltimes(), r"parameters.0.values \(dwelltime_us\) = \[\]: at least one, strictly incr"),
    (dwelltimes(5, 5), r"parameters.0.values .* = \[5, 5\]: at least one, strictly increasing"),
    (dwelltimes("5"), r"parameters.0.values.0 \(dwelltime_us\) = '5': a number"),
    (dwelltimes(0.1, 5), "parameters.0.values .* = 0.1: at least 1 µs"),
    (dwelltimes(1, 1001), "parameters.0.values .* = 1001: at most 1000 µs"),
    (
        {"parameters": [{"name": "line_steps", "values": [1, 2.5]}]},
        r"parameters.0.values \(line_steps\) = \[1, 2.5\]: whole numbers",
    ),
    (
        {"parameters": [{"name": "line_steps", "low": 1, "high": 4, "points": 3}]},
        r"parameters.0.points \(line_steps\) = 3: so many that all values are whole numbers",
    ),
    (
        {"parameters": depletion()["parameters"] * 2},
        "parameters: 'depletion_power_mW' is there twice: each name once",
    ),
    ({"objectives": [{"name": "snr"}] * 2}, "objectives: 'snr' is there twice: each name once"),
    ({"objectives": [{"name": 3}]}, "objectives.0.name = 3: text, in quotes"),
    ({"objectives": [{"name": "snr", "weight": -1}]}, r"objectives.0.weight \(snr\) = -1: at leas"),
    ({"objectives": [{"name": "snr", "weight": 0}]}, "objectives: weight = 0 for all: at least on"),
    (
        {"objectives": [{"name": "snr", "noise_upper_bound": 0}]},
        "noise_upper_bound .* = 0: above 0",
    ),
    # the rest
    ({"overview.size_um": 2}, "overview.size_um = 2: at least one region, 4.48 µm"),
    ({"overview.minimum_foreground": 2}, "overview.minimum_foreground = 2: at most 1"),
    ({"overview.minimum_signal": -1}, "overview.minimum_signal = -1: at least 0"),
    ({"overview.margin_um": -0.5}, "overview.margin_um = -0.5: at least 0"),
    ({"overview.margin_um": 37.8}, "overview.margin_um = 37.8: at most 37.76 µm, for one region"),
    ({"bandit.bandwidth": [1.0]}, r"bandit.bandwidth = \[1\]: one per parameter, 3"),
    ({"bandit.bandwidth": []}, r"bandit.bandwidth = \[\]: one per parameter, 3"),
    ({"bandit.bandwidth": [1.0, -1.0, 2.0]}, "bandit.bandwidth.1 = -1: above 0"),
    ({"bandit": 5}, "bandit = 5: a table of fields"),
    ({"bandit": [1]}, r"bandit = \[1\]: a table of fields"),
    ({"sample.name": ""}, "sample.name = '': not empty"),
    ({"sample.name": 4}, "sample.name = 4: text, in quotes"),
    ({"sample.name.x": 4}, "sample.name.x = 4: name has no fields"),
    ({"microscope.real_time": 1}, "microscope.real_time = 1: true or false"),
    ({"operator": ["a"]}, r"operator = \['a'\]: text, in quotes"),
]


def message_of(changes, base=DEMO):
    with pytest.raises(ConfigError) as refused:
        base.updated(changes)
    return str(refused.value)


@pytest.mark.parametrize(("changes", "says"), WRONG, ids=lambda value: str(value)[:60])
def test_wrong_input_is_refused_in_one_line(changes, says):
    message = message_of(changes)
    assert re.search(says, message), message
    assert not [word for word in JARGON if word in message.lower()], message


def test_a_grid_of_too_many_configurations_is_refused():
    changes = depletion(points=1000)["parameters"], dwelltimes(*range(1, 102))["parameters"]
    message = message_of({"parameters": [entry for entries in changes for entry in entries]})
    assert message == "parameters: the grid has 101,000 configurations: at most 100,000"


def test_the_largest_grid_is_allowed():
    config = DEMO.updated(depletion(points=MAX_CONFIGURATIONS))
    assert config.space.size == MAX_CONFIGURATIONS


def numbers_in(data, path=()):
    """Places of all numbers that may have a fraction, in a configuration."""
    items = data.items() if isinstance(data, dict) else enumerate(data)
    for key, value in items:
        if isinstance(value, dict | list | tuple):
            yield from numbers_in(value, (*path, key))
        elif isinstance(value, float):
            yield (*path, key)


NUMBERS = list(numbers_in(DEMO.updated({"bandit.bandwidth": [1.0, 2.0, 3.0]}).model_dump()))


@pytest.mark.parametrize("value", NOT_NUMBERS)
@pytest.mark.parametrize("path", NUMBERS, ids=lambda path: ".".join(map(str, path)))
def test_what_is_not_finite_is_refused_wherever_it_is(path, value):
    data = DEMO.updated({"bandit.bandwidth": [1.0, 2.0, 3.0]}).model_dump(
        mode="json", exclude_none=True
    )
    node = data
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = value
    with pytest.raises(ConfigError) as refused:
        parse_config(data, source="file.toml")
    field = ".".join(map(str, path))
    assert str(refused.value).startswith(f"file.toml: {field}")
    assert str(refused.value).endswith(f" = {value}: a finite number")


def test_all_numbers_were_tried():
    assert len(NUMBERS) > 25
    assert ("parameters", 2, "high") in NUMBERS
    assert ("excitation", "calibration_power_uW", 1) in NUMBERS


anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["actin", "log", "depletion_power_mW"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=4,
)
fields = st.sampled_from(
    [
        *DEMO.model_dump(),
        *(f"{s}.{f}" for s, v in DEMO.model_dump().items() if isinstance(v, dict) for f in v),
        "parameters.0",
        "nosuch",
    ]
)


@given(fields, anything)
def test_whatever_is_written_is_taken_or_refused_in_one_line(field, value):
    message = "taken: no message"
    try:
        DEMO.updated({field: value})
    except ConfigError as error:
        message = str(error)
    assert ": " in message
    assert len(message.splitlines()) == 1
    assert len(message) < 600


@given(st.text())
def test_a_field_of_any_name_is_refused_in_one_line(name):
    if name in DEMO.model_dump():
        return
    with pytest.raises(ConfigError) as refused:
        parse_config({**DEMO.model_dump(), name: 1})
    assert len(str(refused.value).splitlines()) == 1


def test_updated_changes_what_is_named_and_nothing_else():
    changed = DEMO.updated({"images": 7, "imaging.dwelltime_us": 33.0, "sample.structure": "ring"})
    expected = DEMO.model_dump()
    expected["images"] = 7
    expected["imaging"]["dwelltime_us"] = 33.0
    expected["sample"]["structure"] = "ring"
    assert changed.model_dump() == expected
    assert DEMO.images == 60


def test_an_entry_of_a_list_cannot_be_changed_alone():
    assert message_of({"parameters.0.points": 3}) == (
        "parameters.0.points = 3: parameters has no fields to be changed alone"
    )


def test_a_configuration_comes_back_from_the_start_document():
    config = DEMO.updated({"bandit.bandwidth": [1.0, 2.0, 3.0], "operator": "Ä\n"})
    assert parse_config(config.model_dump(mode="json", exclude_none=True)) == config


def test_the_source_of_an_error_is_told():
    with pytest.raises(ConfigError, match=r"^run 1234: images = 0: at least 1$"):
        parse_config({**DEMO.model_dump(), "images": 0}, source="run 1234")


def test_the_space_is_that_of_the_parameters():
    config = DEMO.updated(
        {
            "parameters": [
                {"name": "line_steps", "values": [1, 2, 4]},
                {"name": "dwelltime_us", "low": 1, "high": 100, "points": 3, "spacing": "log"},
            ]
        }
    )
    line_steps, dwelltime = config.space
    assert line_steps.values == (1.0, 2.0, 4.0)
    assert line_steps.unit == PARAMETER_UNITS["line_steps"]
    np.testing.assert_allclose(dwelltime.values, [1, 10, 100])
    assert (dwelltime.values[0], dwelltime.values[-1]) == (1.0, 100.0)


@given(
    st.sampled_from(["linear", "log"]),
    st.floats(1, 999),
    st.floats(1e-3, 900),
    st.integers(2, 60),
)
def test_the_ends_of_a_parameter_are_exact(spacing, low, length, points):
    """So that a grid up to the laser's limit is one up to the laser's limit."""
    high = min(low + length, 1000.0)
    entry = {"name": "dwelltime_us", "low": low, "high": high, "points": points, "spacing": spacing}
    values = DEMO.updated({"parameters": [entry]}).space.parameters[0].values
    assert (values[0], values[-1], len(values)) == (low, high, points)


def test_a_configuration_is_frozen():
    with pytest.raises(ValueError, match="frozen"):
        DEMO.images = 3
    with pytest.raises(ValueError, match="frozen"):
        DEMO.excitation.power_limit_uW = 1e9
