"""Conformance: the protocols of `imspector.api`, the real ``specpy`` and the twin."""

import inspect
import re
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stedopt_bluesky.imspector import api
from stedopt_bluesky.twin import TwinApplication, make_sample
from stedopt_bluesky.twin.value_tree import as_json

PROTOCOLS = {
    "Value": api.Value,
    "Stack": api.Stack,
    "Configuration": api.Configuration,
    "Measurement": api.Measurement,
    "Application": api.Application,
}
ENUMS = {
    "MeasurementSignal": api.MeasurementSignal,
    "MeasurementResult": api.MeasurementResult,
    "ValueTree": api.ValueTreeRoot,
}


def methods(protocol):
    return [
        name
        for name, member in vars(protocol).items()
        if inspect.isfunction(member) and not name.startswith("_")
    ]


METHODS = [(kind, name) for kind, protocol in PROTOCOLS.items() for name in methods(protocol)]


def arities(function):
    """Numbers of positional arguments (without self) that a Python function takes."""
    parameters = list(inspect.signature(function).parameters.values())
    if parameters and parameters[0].name == "self":
        parameters = parameters[1:]
    positional = [p for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    required = sum(p.default is p.empty for p in positional)
    return set(range(required, len(positional) + 1))


def vendor_overloads(function, name):
    """Names and defaults of the arguments per overload, from the docstring that SWIG writes."""
    overloads = []
    for arguments in re.findall(rf"^{name}\((.*)\)(?: ->.*)?$", function.__doc__, re.MULTILINE):
        # No template argument of SpecPy's has a comma in it.
        overloads.append([part.strip() for part in arguments.split(",")][1:])
    return overloads


def vendor_arities(function, name):
    found = set()
    for arguments in vendor_overloads(function, name):
        required = sum("=" not in argument for argument in arguments)
        found |= set(range(required, len(arguments) + 1))
    return found


@pytest.fixture(scope="module")
def specpy():
    return pytest.importorskip("specpy")


@pytest.fixture(scope="module")
def twin():
    app = TwinApplication(make_sample("actin", 0, 2e-6))
    measurement = app.create_measurement()
    for axis in "xy":
        measurement.set_parameters(f"ExpControl/scan/range/{axis}/len", 2e-7)
    app.run(measurement)
    return {
        "Application": app,
        "Measurement": measurement,
        "Configuration": measurement.active_configuration(),
        "Stack": measurement.stack(0),
        "Value": app.value_at("ExpControl", api.ValueTreeRoot.Measurement),
    }


def test_the_parser_reads_swig(specpy):
    # Written out from the documentation of specpy 2026.20.
    app = specpy.Application
    assert vendor_arities(app.value_at, "value_at") == {0, 1, 2}
    assert vendor_arities(app.connect_measurement_cb, "connect_measurement_cb") == {2, 3}
    assert vendor_arities(app.host, "host") == {0}
    assert vendor_arities(app.pause, "pause") == {0, 1}


@pytest.mark.parametrize(("kind", "name"), METHODS)
def test_specpy_has_every_method_of_the_protocols(specpy, kind, name):
    function = getattr(getattr(specpy, kind), name, None)
    assert callable(function), f"specpy.{kind}.{name} does not exist"
    ours = arities(getattr(PROTOCOLS[kind], name))
    overloads = vendor_arities(function, name)
    if not overloads:
        # Inherited and documented by the base class with another self.
        overloads = vendor_arities(getattr(specpy.Object, name), name)
    assert ours <= overloads, f"specpy.{kind}.{name}{function.__doc__}"


@pytest.mark.parametrize(
    ("kind", "name"),
    # By index or by name: two overloads of the vendor's, one method here.
    [(kind, name) for kind, name in METHODS if name not in ("stack", "configuration")],
)
def test_specpy_calls_the_arguments_the_same(specpy, kind, name):
    ours = list(inspect.signature(getattr(PROTOCOLS[kind], name)).parameters)[1:]
    theirs = [
        [argument.split("=")[0].split()[-1] for argument in arguments]
        for arguments in vendor_overloads(getattr(getattr(specpy, kind), name), name)
    ]
    assert not ours or ours in [names[: len(ours)] for names in theirs]


@pytest.mark.parametrize("name", ENUMS)
def test_enum_values(specpy, name):
    for member in ENUMS[name]:
        assert getattr(getattr(specpy, name), member.name) == member.value


@pytest.mark.parametrize("kind", PROTOCOLS)
def test_the_twin_satisfies_the_protocols(twin, kind):
    assert isinstance(twin[kind], PROTOCOLS[kind])


@pytest.mark.parametrize(("kind", "name"), METHODS)
def test_the_twin_takes_the_same_arguments(twin, kind, name):
    ours, protocol = getattr(type(twin[kind]), name), getattr(PROTOCOLS[kind], name)
    assert arities(protocol) <= arities(ours)
    names = list(inspect.signature(protocol).parameters)
    assert list(inspect.signature(ours).parameters)[: len(names)] == names


@pytest.mark.parametrize("kind", PROTOCOLS)
def test_the_twin_takes_nothing_that_specpy_would_not(specpy, twin, kind):
    """Code that runs on the twin must run on the microscope."""
    for name, function in inspect.getmembers(type(twin[kind]), inspect.isfunction):
        theirs = getattr(getattr(specpy, kind), name, None)
        if name.startswith("_") or theirs is None:
            continue
        allowed = vendor_arities(theirs, name) or vendor_arities(getattr(specpy.Object, name), name)
        assert arities(function) <= allowed, f"{kind}.{name}"


def test_a_measurement_callback_gets_no_argument(specpy):
    """SpecPy's callbacks are ``void ()``: its own test function calls one with nothing."""
    assert "Shared_Slot< void () >" in specpy.test_call_callable.__doc__
    got = []
    specpy.test_call_callable(lambda *args: got.append(args))
    assert got == [()]


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**31), 2**31 - 1) | st.sampled_from("abc"),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.tuples(inner, inner)
            | st.dictionaries(st.sampled_from(["x", "y", "z"]), inner)
        ),
        max_leaves=8,
    )
)
def test_values_become_json_as_in_specpy(value):
    specpy = pytest.importorskip("specpy")
    convert = specpy.test_to_json_value_string
    assert convert(as_json(value)) == convert(value)


@pytest.mark.parametrize(
    "value",
    [np.float64(1.5), np.float32(0.5), np.int64(3), np.int8(-3), np.True_, np.arange(3)],
    ids=repr,
)
def test_numpy_becomes_json_as_in_specpy(specpy, value):
    convert = specpy.test_to_json_value_string
    converted = as_json(value)
    assert type(converted) in (float, int, list)
    assert convert(converted) == convert(value)


@pytest.mark.parametrize(
    "value", [{1, 2}, {1: 2}, np.array(3.0), pytest.param(object(), id="object")], ids=repr
)
def test_what_specpy_cannot_send_the_twin_refuses(specpy, value):
    with pytest.raises(RuntimeError):
        specpy.test_to_json_value_string(value)
    with pytest.raises(RuntimeError, match="unsupported"):
        as_json(value, ("x",))


def test_without_imspector_get_application_fails_fast(specpy):
    begin = time.monotonic()
    try:
        specpy.get_application()
    except RuntimeError:
        assert time.monotonic() - begin < 5
    else:
        pytest.skip("an Imspector answers here")
