"""Stacks of the twin: order of the axes, units, copies; against a real measurement."""

import pathlib

import numpy as np
import pytest

from stedopt_bluesky.twin import TwinApplication, make_sample

DATA = pathlib.Path(__file__).parents[2].parent / "shared" / "data"
REAL = DATA / "imspector" / "dummy_1channel.msr"

# The paths that the project reads or sets, and their siblings.
PATHS = [
    "ExpControl/measurement/channels/0/detsel/detector",
    "ExpControl/measurement/channels/0/detsel/spectral_range",
    "ExpControl/measurement/channels/0/dwelltime",
    "ExpControl/measurement/channels/0/gating/active",
    "ExpControl/measurement/channels/0/gating/delay",
    "ExpControl/measurement/channels/0/gating/width",
    "ExpControl/measurement/channels/0/lasers/0",
    "ExpControl/measurement/channels/0/name",
    "ExpControl/measurement/channels/0/rescue",
    "ExpControl/measurement/lasers/0/power",
    "ExpControl/measurement/line_steps/active",
    "ExpControl/measurement/line_steps/repetitions",
    "ExpControl/measurement/line_steps/step_active",
    "ExpControl/measurement/line_steps/step_duration",
    "ExpControl/measurement/line_steps/total",
    "ExpControl/measurement/pixel_steps/repetitions",
    "ExpControl/measurement/pixel_steps/step_active",
    "ExpControl/measurement/pixel_steps/step_duration",
    "ExpControl/measurement/pixel_steps/total",
    "ExpControl/scan/range/coarse_x",
    "ExpControl/scan/range/coarse_y",
    "ExpControl/scan/range/coarse_z",
    "ExpControl/scan/range/scanmode",
    "ExpControl/scan/range/t",
    "ExpControl/scan/range/x",
    "ExpControl/scan/range/y",
    "Interlock/is_active",
    "Measurement/axes/scan_axes",
    "OlympusIX/scanrange/z",
    "OlympusIX/stage/pos_x",
    "Pinhole/pinhole_size",
    "spec_version",
]


@pytest.fixture(scope="module")
def stack():
    app = TwinApplication(make_sample("actin", 0, 3e-6))
    measurement = app.create_measurement()
    measurement.set_parameters("ExpControl/scan/range/x", {"psz": 5e-8, "len": 1e-6, "off": 2e-7})
    measurement.set_parameters("ExpControl/scan/range/y", {"psz": 5e-8, "len": 6e-7})
    app.run(measurement)
    return measurement.stack(0)


@pytest.fixture(scope="module")
def real():
    """Keep the file with its stack, which cannot be read once it is closed."""
    specpy = pytest.importorskip("specpy")
    if not REAL.exists():
        pytest.skip("no real measurement here")
    file = specpy.File(str(REAL), specpy.File.Read)
    stack = file.read(0)
    stack.data()
    return stack, file


def kinds(value):
    """Return the types of a JSON value's leaves."""
    if isinstance(value, dict):
        return {key: kinds(v) for key, v in value.items()}
    if isinstance(value, list):
        return [kinds(v) for v in value]
    return type(value)


def test_axes(stack):
    assert stack.name() == "Ch1 {0}"
    assert stack.data().shape == (1, 1, 12, 20)
    assert stack.shape() == [20, 12, 1, 1]
    assert stack.lengths() == pytest.approx([1e-6, 6e-7, 1.0, 1.0])
    assert stack.offsets() == pytest.approx([2e-7 - 5e-7, -3e-7, 0.0, 0.0])
    assert stack.labels() == ["ExpControl X", "ExpControl Y", "None", "None"]


def test_what_is_returned_is_a_copy(stack):
    before = stack.data().copy()
    stack.data()[:] = -1
    stack.shape().clear()
    stack.parameters("doc").clear()
    np.testing.assert_array_equal(stack.data(), before)
    assert len(stack.shape()) == 4
    assert stack.parameters("doc/ExpControl/scan/range/x/res") == 20


def test_a_wrong_path(stack):
    with pytest.raises(RuntimeError, match=r"^No property 'doc/nothing'$"):
        stack.parameters("doc/nothing")


def test_surface_of_a_real_stack(stack, real):
    real, _ = real
    assert stack.data().dtype == real.data().dtype
    assert stack.data().ndim == real.data().ndim
    for any_stack in (stack, real):
        assert list(any_stack.data().shape) == any_stack.shape()[::-1]
        assert any_stack.data().flags.c_contiguous
        # In metres; the corner is half a field away from the offset.
        range_ = any_stack.parameters("doc/ExpControl/scan/range")
        for i, axis in enumerate("xy"):
            length = any_stack.lengths()[i]
            assert length == pytest.approx(range_[axis]["len"])
            assert length == pytest.approx(any_stack.shape()[i] * range_[axis]["psz"])
            assert any_stack.offsets()[i] == pytest.approx(range_[axis]["off"] - length / 2)
        assert any_stack.lengths()[2:] == [1.0, 1.0]
        assert any_stack.offsets()[2:] == [0.0, 0.0]
    assert stack.labels() == real.labels()
    assert stack.name() == real.name()
    for method in ("name", "shape", "lengths", "offsets", "labels"):
        assert kinds(getattr(stack, method)()) == kinds(getattr(real, method)())


@pytest.mark.parametrize("path", PATHS)
def test_types_of_a_real_tree(stack, real, path):
    assert kinds(stack.parameters(f"doc/{path}")) == kinds(real[0].parameters(f"doc/{path}"))


def test_every_parameter_of_the_twin_is_one_of_the_real_tree(stack, real):
    """The twin's tree is a part of the real one: nothing is invented, no type differs."""

    def missing(twin, real, path):
        if isinstance(twin, dict):
            return [m for k in twin for m in missing(twin[k], real.get(k), f"{path}/{k}")]
        if isinstance(twin, list) and twin and isinstance(twin[0], dict):
            return missing(twin[0], real[0], f"{path}/0")
        return [] if kinds(twin) == kinds(real) else [path]

    assert missing(stack.parameters("doc"), real[0].parameters("doc"), "") == []
    assert missing(stack.parameters("hwr"), real[0].parameters("hwr"), "") == []


def test_a_wrong_path_of_a_real_stack(real):
    with pytest.raises(RuntimeError, match=r"^No property 'doc/nothing'$"):
        real[0].parameters("doc/nothing")
