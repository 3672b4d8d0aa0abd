"""The line to a served twin: connections are kept, dropped when broken, and made anew."""

import pytest

from stedopt_bluesky.twin import TwinApplication
from stedopt_bluesky.twin.line import Line, NoTwinError, RefusedByTwinError
from stedopt_bluesky.twin.server import TwinServer

KEY = "a-key-of-the-tests"
VERSION = (0, "version", ())


@pytest.fixture
def twin(sample):
    return TwinApplication(sample)


@pytest.fixture
def server(twin):
    with TwinServer(twin, KEY, about={"sample.name": "actin"}) as server:
        yield server


@pytest.fixture
def line(server):
    line = Line("127.0.0.1", server.port, KEY)
    yield line
    line.hang_up()


def test_a_call_and_its_answer(line, twin):
    assert line.call(*VERSION) == ({"result": twin.version()}, b"")


def test_a_connection_is_kept_for_the_next_call(line):
    line.call(*VERSION)
    (first,) = line._idle
    line.call(*VERSION)
    assert line._idle == [first]


def test_what_the_twin_refuses_is_told_in_its_words_and_the_connection_kept(line):
    with pytest.raises(RuntimeError, match="no call of a application: 'nonsense'"):
        line.call(0, "nonsense", ())
    assert len(line._idle) == 1
    line.call(*VERSION)


def test_a_call_that_takes_too_long_drops_its_connection(sample):
    """Its answer, which nobody has read, must not be the next call's."""
    slow = TwinApplication(sample, real_time=True)
    with TwinServer(slow, KEY) as server:
        line = Line("127.0.0.1", server.port, KEY)
        measurement = line.call(0, "create_measurement", ())[0]["object"]
        with pytest.raises(RuntimeError, match=r"the twin at .*: timed out"):
            line.call(0, "run", (measurement,), patience_s=0.01)
        assert line._idle == []
        assert line.call(*VERSION)[0] == {"result": slow.version()}
        line.call(0, "pause", ())


def test_the_greeting_tells_what_the_twin_images(line):
    wire, about = line.dial("calls")
    wire.close()
    assert about == {"sample.name": "actin"}


def test_a_connection_that_was_lost_is_made_anew(line, server, twin):
    line.call(*VERSION)
    server.close()
    with pytest.raises(RuntimeError, match=f"the twin at {line.address}: "):
        line.call(*VERSION)
    with pytest.raises(NoTwinError, match="Connection refused"):
        line.call(*VERSION)
    with TwinServer(twin, KEY, server.port):
        assert "result" in line.call(*VERSION)[0]


def test_a_number_of_before_is_no_object_of_the_server_that_comes_back(line, server, twin):
    number = line.call(0, "create_measurement", ())[0]["object"]
    server.close()
    with TwinServer(twin, KEY, server.port):
        for _ in range(2):  # on the connection of before, and on a new one
            with pytest.raises(RuntimeError):
                line.call(number, "name", ())
        assert line.call(0, "active_measurement", ())[0]["object"] != number


def test_a_wrong_key(server):
    with pytest.raises(RefusedByTwinError, match="the key is missing or wrong"):
        Line("127.0.0.1", server.port, "wrong").dial("calls")
