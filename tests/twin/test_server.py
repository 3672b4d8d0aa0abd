"""A served twin is the twin: the same surface, the same images, the same words."""

import contextlib
import json
import socket
import threading

import numpy as np
import pytest

from stedopt_bluesky.imspector import api
from stedopt_bluesky.imspector.api import MeasurementSignal, ValueTreeRoot
from stedopt_bluesky.twin import TwinApplication, make_sample
from stedopt_bluesky.twin.line import NoTwinError
from stedopt_bluesky.twin.remote import (
    RemoteConfiguration,
    RemoteMeasurement,
    RemoteStack,
    RemoteTwin,
)
from stedopt_bluesky.twin.server import CALLS, MAX_CONNECTIONS, TwinServer

KEY = "a-key-of-the-tests"
WAIT_S = 20.0  # a bound against hanging
END = MeasurementSignal.end_measurement
LASER = "ExpControl/measurement/channels/0/lasers/5"
RANGE = "ExpControl/scan/range"


@pytest.fixture(scope="module")
def pristine():
    return make_sample("actin", 0, 6e-6)


@pytest.fixture
def twin(pristine):
    pristine.survival[:] = 1
    return TwinApplication(pristine, seed=3)


@pytest.fixture
def served(twin):
    with TwinServer(twin, KEY, about={"sample.name": "actin"}) as server:
        yield server


@pytest.fixture
def client(served):
    client = RemoteTwin("127.0.0.1", served.port, KEY)
    yield client
    client.hang_up()


def set_up(measurement, pixels=40, dwelltime_s=1e-5):
    for axis in "xy":
        measurement.set_parameters(f"{RANGE}/{axis}", {"psz": 5e-8, "len": pixels * 5e-8})
    steps = "ExpControl/measurement/pixel_steps/step_duration"
    measurement.set_parameters(steps, [dwelltime_s, *measurement.parameters(steps)[1:]])
    measurement.set_parameters(LASER, {"active": True, "power": {"calibrated": 20.0}})
    return measurement


# --- the same surface -------------------------------------------------------------------


def test_it_has_the_vendors_surface(client):
    measurement = set_up(client.create_measurement())
    client.run(measurement)
    configuration = measurement.active_configuration()
    for thing, protocol in (
        (client, api.Application),
        (measurement, api.Measurement),
        (configuration, api.Configuration),
        (configuration.stack(0), api.Stack),
        (client.value_at("", ValueTreeRoot.Status), api.Value),
    ):
        assert isinstance(thing, protocol)


def test_all_that_may_be_called_can_be_called():
    kinds = {
        "application": RemoteTwin,
        "measurement": RemoteMeasurement,
        "configuration": RemoteConfiguration,
        "stack": RemoteStack,
    }
    elsewhere = {"get_value", "set_value"}  # of `value_at`
    for kind, of in kinds.items():
        assert [n for n in CALLS[kind] if not hasattr(of, n) and n not in elsewhere] == []


def test_it_images_what_the_twin_images(client, pristine):
    measurement = set_up(client.create_measurement())
    assert client.run(measurement) == api.MeasurementResult.Success
    stack = measurement.stack(0)
    served, log = stack.data(), client.emission_log

    pristine.survival[:] = 1
    twin = TwinApplication(pristine, seed=3)
    own = set_up(twin.create_measurement())
    twin.run(own)

    np.testing.assert_array_equal(served, own.stack(0).data())
    assert served.dtype == np.int16
    served[:] = 0  # its own to write to
    assert measurement.parameters("") == own.parameters("")
    assert (stack.name(), stack.shape(), stack.labels()) == (
        own.stack(0).name(),
        own.stack(0).shape(),
        own.stack(0).labels(),
    )
    assert (stack.lengths(), stack.offsets()) == (own.stack(0).lengths(), own.stack(0).offsets())
    assert stack.parameters("doc") == own.stack(0).parameters("doc")
    assert [(r.laser, r.power_W) for r in log] == [(r.laser, r.power_W) for r in twin.emission_log]
    assert client.scan_time_s == twin.scan_time_s
    assert set(client.emitting.values()) == {0.0}
    assert client.device_drivers() == twin.device_drivers()
    assert client.version() == twin.version()


def test_measurements_and_configurations(client, twin):
    measurement = client.create_measurement()
    first = measurement.active_configuration()
    first.set_name("confocal")
    second = measurement.clone(first)
    second.set_name("sted")
    assert measurement.configuration_names() == ["confocal", "sted"]
    assert measurement.configuration("sted") == second != first
    assert len({first, measurement.configuration(0), second}) == 2
    measurement.activate(first)
    assert measurement.active_configuration() == first
    measurement.remove(second)
    assert measurement.number_of_configurations() == 1
    other = client.clone_measurement(measurement)
    assert client.active_measurement() == other != measurement
    client.activate(measurement)
    assert client.measurement_names() == twin.measurement_names()
    client.close(other)
    with pytest.raises(RuntimeError, match=r"there no longer|is closed"):
        other.name()


def test_values_are_taken_as_the_twin_takes_them(client):
    measurement = client.create_measurement()
    offset = client.value_at(f"{RANGE}/x/off")
    offset.set(np.float64(1e-6))
    assert offset.get() == 1e-6 == measurement.parameters(f"{RANGE}/x/off")
    assert offset.path() == f"{RANGE}/x/off"
    with pytest.raises(RuntimeError, match="unsupported value type set"):
        offset.set({1})
    with pytest.raises(RuntimeError, match="no value tree 7"):
        client.value_at("", 7)


@pytest.mark.parametrize(
    "mistake",
    [
        lambda app: app.measurement("nowhere"),
        lambda app: app.active_measurement(),
        lambda app: app.create_measurement().parameters("ExpControl/nothing"),
        lambda app: app.create_measurement().configuration(5),
        lambda app: app.create_measurement().stack(0),
        lambda app: app.value_at("nothing", ValueTreeRoot.Status).get(),
        lambda app: app.create_measurement().set_parameters(LASER, {"active": 3}),
        lambda app: app.connect_measurement_cb(print, 99),
        lambda app: app.connect_measurement_cb(3, END),
    ],
)
def test_what_is_refused_is_refused_in_the_same_words(client, pristine, mistake):
    with pytest.raises(RuntimeError) as own:
        mistake(TwinApplication(pristine))
    with pytest.raises(RuntimeError) as served:
        mistake(client)
    assert str(served.value) == str(own.value)


# --- signals, and several clients -------------------------------------------------------


def test_signals_come_in_the_twins_order(client, twin):
    heard = {"served": [], "own": []}
    ended = threading.Event()
    for signal in MeasurementSignal:
        client.connect_measurement_cb(lambda s=signal: heard["served"].append(s), signal)
        twin.connect_measurement_cb(lambda s=signal: heard["own"].append(s), signal)
    client.connect_end(ended.set, 0)
    client.start(set_up(client.create_measurement()))
    assert ended.wait(WAIT_S)
    assert heard["served"] == heard["own"]
    assert heard["own"][-1] is END


def test_a_callback_may_call_back_and_be_disconnected(client):
    named, heard = [], threading.Event()

    def look():
        named.append(client.measurement_names())
        heard.set()

    assert client.connect_measurement_cb(look, END)
    assert not client.connect_measurement_cb(look, END)
    measurement = set_up(client.create_measurement())
    client.run(measurement)
    assert heard.wait(WAIT_S)
    assert client.disconnect_measurement_cb(look, END)
    assert not client.disconnect_measurement_cb(look, END)
    assert named == [[measurement.name()]]


def test_a_second_client_stops_the_firsts_scan(pristine):
    slow = TwinApplication(pristine, real_time=True)
    with TwinServer(slow, KEY) as server:
        first, second = (RemoteTwin("127.0.0.1", server.port, KEY) for _ in range(2))
        measurement = set_up(first.create_measurement(), dwelltime_s=0.01)  # 16 s
        results = []
        begun = threading.Event()
        first.connect_measurement_cb(begun.set, MeasurementSignal.beg_step)
        thread = threading.Thread(target=lambda: results.append(first.run(measurement)))
        thread.start()
        assert begun.wait(WAIT_S)
        second.pause(second.active_measurement())
        thread.join(WAIT_S)
        assert results == [api.MeasurementResult.Cancelled]
        assert second.active_measurement().parameters(f"{LASER}/power/calibrated") == 20.0


def test_whoever_goes_away_leaves_the_scan_to_go_on(served, twin):
    client = RemoteTwin("127.0.0.1", served.port, KEY)
    ended = threading.Event()
    twin.connect_measurement_cb(ended.set, END)
    client.start(set_up(client.create_measurement()))
    client.hang_up()
    assert ended.wait(WAIT_S)
    assert twin.active_measurement().parameters(f"{LASER}/active") is True


def test_a_twin_that_ends_is_an_error_of_the_vendors_kind(twin):
    with TwinServer(twin, KEY) as server:
        client = RemoteTwin("127.0.0.1", server.port, KEY)
        client.create_measurement()
    with pytest.raises(RuntimeError, match=f"twin at 127.0.0.1:{server.port}"):
        client.measurement_names()
    with pytest.raises(NoTwinError, match="no twin answers"):
        client.measurement_names()


# --- who is let in ----------------------------------------------------------------------


def test_it_listens_on_this_computer_only(served):
    assert served.address == f"127.0.0.1:{served.port}"
    assert served._listener.getsockname()[0] == "127.0.0.1"


@pytest.mark.parametrize("key", ["", "wrong", KEY[:-1], f"{KEY}x", "ä" * 16])
def test_a_wrong_key_is_refused(served, key):
    with pytest.raises(NoTwinError, match="key is missing or wrong"):
        RemoteTwin("127.0.0.1", served.port, key)


@pytest.mark.parametrize(
    "line",
    [
        b"GET / HTTP/1.1\r\n",
        b"[]\n",
        b'"key"\n',
        b"\xff\n",
        b"[" * 900 + b"\n",
        b"x" * 5000,
        b'{"key": ["a-key-of-the-tests"]}\n',
        b'{"bytes": -1}\n',
        b'{"bytes": 1e9}\n',
        json.dumps({"key": KEY, "protocol": 1, "role": "calls", "bytes": 1}).encode() + b"\nx",
        json.dumps({"key": KEY, "protocol": 2, "role": "calls"}).encode() + b"\n",
        json.dumps({"key": KEY, "protocol": 1, "role": "root"}).encode() + b"\n",
    ],
)
def test_strangers_get_no_answer_and_do_no_harm(served, client, line):
    where = ("127.0.0.1", served.port)
    with contextlib.suppress(OSError), socket.create_connection(where, WAIT_S) as stranger:
        stranger.sendall(line)
        stranger.shutdown(socket.SHUT_WR)
        assert b"result" not in stranger.makefile("rb").read()
    assert client.measurement_names() == []


def test_only_so_many_are_let_in(served):
    where = ("127.0.0.1", served.port)
    with contextlib.ExitStack() as crowd:
        for _ in range(MAX_CONNECTIONS):
            crowd.enter_context(socket.create_connection(where, WAIT_S))
        with pytest.raises(NoTwinError):
            RemoteTwin(*where, KEY)


@pytest.mark.parametrize(
    "message",
    [
        {"call": "_run"},
        {"call": "__class__"},
        {"call": "connect_measurement_cb", "arguments": [1, 13]},
        {"call": ["version"]},
        {"call": "version", "of": "0"},
        {"call": "version", "of": 77},
        {"call": "version", "arguments": {}},
        {"call": "version", "arguments": [1]},
        {"call": "start", "arguments": ["Measurement 1"]},
        {"call": "start", "arguments": [0]},
        {"call": "set_value", "arguments": []},
        {},
    ],
)
def test_nothing_else_can_be_called(client, message):
    client.create_measurement()
    wire, _ = client._line.dial("calls")
    with contextlib.closing(wire):
        wire.send(message)
        answer, _ = wire.receive()
        assert list(answer) == ["error"]
        wire.send({"call": "version"})  # the connection is none the worse for it
        assert "result" in wire.receive()[0]
