"""Measurements and configurations of the twin."""

import threading

import pytest

from stedopt_bluesky.twin import MeasurementSignal, TwinApplication, make_sample

PSZ = "ExpControl/scan/range/x/psz"
DWELL = "ExpControl/measurement/pixel_steps/step_duration"


@pytest.fixture(scope="module")
def sample():
    return make_sample("actin", 0, 3e-6)


@pytest.fixture
def app(sample):
    return TwinApplication(sample)


@pytest.fixture
def measurement(app):
    measurement = app.create_measurement()
    for axis in "xy":
        measurement.set_parameters(f"ExpControl/scan/range/{axis}", {"len": 2e-7})
    return measurement


def test_a_new_measurement_has_one_configuration(measurement):
    assert measurement.number_of_configurations() == 1
    (name,) = measurement.configuration_names()
    assert measurement.configuration(0) is measurement.configuration(name)
    assert measurement.active_configuration() is measurement.configuration(0)
    assert measurement.number_of_stacks() == 0
    assert measurement.stack_names() == []


def test_clone_copies_and_activates(measurement):
    first = measurement.active_configuration()
    first.set_parameters(PSZ, 4e-8)
    second = measurement.clone(first)
    assert measurement.active_configuration() is second
    assert len(set(measurement.configuration_names())) == 2
    measurement.set_parameters(PSZ, 5e-8)
    assert [c.parameters(PSZ) for c in (first, second)] == [4e-8, 5e-8]
    assert measurement.parameters(PSZ) == 5e-8


def test_activate_chooses_what_parameters_means(measurement):
    first = measurement.active_configuration()
    second = measurement.clone(first)
    measurement.activate(first)
    measurement.set_parameters(PSZ, 3e-8)
    assert [c.parameters(PSZ) for c in (first, second)] == [3e-8, 2e-8]


def test_remove(measurement):
    first = measurement.active_configuration()
    second = measurement.clone(first)
    measurement.remove(second)
    assert measurement.active_configuration() is first
    with pytest.raises(RuntimeError, match="needs a configuration"):
        measurement.remove(first)
    # A number is not given twice: a stack's name tells its configuration.
    assert measurement.clone(first).name() != second.name()


def test_a_configuration_of_another_measurement_is_refused(app, measurement):
    other = app.create_measurement().active_configuration()
    for refused in (measurement.activate, measurement.clone, measurement.remove):
        with pytest.raises(RuntimeError, match="no configuration of measurement"):
            refused(other)


def test_rename(measurement):
    configuration = measurement.active_configuration()
    configuration.set_name("confocal")
    assert configuration.name() == "confocal"
    assert measurement.configuration("confocal") is configuration
    with pytest.raises(RuntimeError, match="needs a name"):
        configuration.set_name("")


@pytest.mark.parametrize("index", [5, -1, "nothing", True])
def test_what_is_not_there(measurement, index):
    with pytest.raises(RuntimeError, match="there is no configuration"):
        measurement.configuration(index)
    with pytest.raises(RuntimeError, match="there is no stack"):
        measurement.stack(index)
    with pytest.raises(RuntimeError, match="there is no stack"):
        measurement.active_configuration().stack(index)


def test_every_configuration_has_its_own_stacks(app, measurement):
    first = measurement.active_configuration()
    second = measurement.clone(first)
    app.run(measurement)
    assert (first.number_of_stacks(), second.number_of_stacks()) == (0, 1)
    measurement.activate(first)
    app.run(measurement)
    assert measurement.stack_names() == ["Ch1 {0}", "Ch1 {1}"]
    assert first.stack_names() == ["Ch1 {0}"]
    assert second.stack("Ch1 {1}") is second.stack(0) is measurement.stack("Ch1 {1}")


def test_running_again_replaces_the_data(app, measurement):
    app.run(measurement)
    stack, earlier = measurement.stack(0), measurement.stack(0).data()
    kept = earlier.copy()
    measurement.set_parameters("ExpControl/scan/range/y/len", 4e-7)
    app.run(measurement)
    assert measurement.stack(0) is stack
    assert stack.data().shape == (1, 1, 20, 10)
    assert (earlier == kept).all()


def test_while_running_the_configurations_stay_as_they_are(app, measurement):
    first = measurement.active_configuration()
    second = measurement.clone(first)
    refused, ended = [], threading.Event()

    def try_all():
        for action in (measurement.activate, measurement.clone, measurement.remove):
            with pytest.raises(RuntimeError, match="is running"):
                action(first)
            refused.append(action)

    app.connect_measurement_cb(try_all, MeasurementSignal.beg_step)
    app.connect_measurement_cb(ended.set, MeasurementSignal.end_measurement)
    app.start(measurement)
    assert ended.wait(20)
    assert len(refused) == 3
    measurement.activate(first)
    assert measurement.configuration(1) is second


def test_a_closed_measurement_refuses_all(app, measurement):
    configuration = measurement.active_configuration()
    app.close(measurement)
    assert measurement.closed
    for refused in (
        measurement.number_of_configurations,
        measurement.configuration_names,
        measurement.active_configuration,
        measurement.number_of_stacks,
        measurement.stack_names,
        lambda: measurement.configuration(0),
        lambda: measurement.stack(0),
        lambda: measurement.parameters(""),
        lambda: measurement.set_parameters(PSZ, 1e-8),
        lambda: measurement.activate(configuration),
        lambda: measurement.clone(configuration),
        lambda: measurement.remove(configuration),
    ):
        with pytest.raises(RuntimeError, match="is closed"):
            refused()
