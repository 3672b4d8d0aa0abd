"""Without an Imspector: an error at once that says what to start, never another microscope."""

import sys
import time
import types

import pytest

from stedopt_bluesky.imspector.connect import (
    NoImspectorError,
    NotAnsweringError,
    connect,
    connect_patiently,
)


def test_without_imspector_the_error_says_what_to_start():
    pytest.importorskip("specpy")
    begin = time.monotonic()
    with pytest.raises(NoImspectorError) as refused:
        connect()
    assert time.monotonic() - begin < 1
    message = str(refused.value)
    assert message.startswith("no Imspector answers on this computer (")
    assert "start Imspector there, then its 'Run Server'" in message
    assert "--microscope twin" in message
    assert len(message.splitlines()) == 1


def test_without_specpy_the_error_says_how_to_install_it(monkeypatch):
    # None in sys.modules: importing it raises ImportError.
    monkeypatch.setitem(sys.modules, "specpy", None)
    with pytest.raises(
        NoImspectorError, match=r"pip install 'stedopt-bluesky\[specpy\]'"
    ) as refused:
        connect()
    assert len(str(refused.value).splitlines()) == 1


def test_an_unknown_host_is_refused_before_specpy_waits_for_it(monkeypatch):
    asked = []
    specpy = types.SimpleNamespace(get_application=lambda *host: asked.append(host))
    monkeypatch.setitem(sys.modules, "specpy", specpy)
    # RFC 2606: a name under .invalid never is one.
    with pytest.raises(NoImspectorError, match=r"microscope.host = 'sted.invalid': no computer"):
        connect("sted.invalid")
    assert asked == []


@pytest.mark.parametrize("host", ["a" * 300, "no..dots", "\x00", "ä" * 100])
def test_what_is_no_name_of_a_computer(host, monkeypatch):
    monkeypatch.setitem(sys.modules, "specpy", types.SimpleNamespace())
    with pytest.raises(NoImspectorError, match="no computer of this name"):
        connect(host)


@pytest.mark.parametrize(("host", "arguments"), [("", ()), ("127.0.0.1", ("127.0.0.1",))])
def test_what_answers_is_the_application(host, arguments, monkeypatch, application):
    asked = []

    def get_application(*host):
        asked.append(host)
        return application

    monkeypatch.setitem(
        sys.modules, "specpy", types.SimpleNamespace(get_application=get_application)
    )
    assert connect(host) is application
    assert asked == [arguments]


def test_specpys_own_traceback_is_left_out(monkeypatch):
    def get_application():
        raise RuntimeError("connect: Connection refused [system:111 at /build/asio.hpp:1]")

    monkeypatch.setitem(
        sys.modules, "specpy", types.SimpleNamespace(get_application=get_application)
    )
    with pytest.raises(NoImspectorError, match=r"\(connect: Connection refused\): start"):
        connect()


@pytest.fixture
def late(monkeypatch, application):
    """An Imspector that answers from the third time on that it is asked."""
    asked = []

    def get_application(*host):
        asked.append(host)
        if len(asked) < 3:
            raise RuntimeError("connect: Connection refused [system:111]")
        return application

    specpy = types.SimpleNamespace(get_application=get_application)
    monkeypatch.setitem(sys.modules, "specpy", specpy)
    return asked


def test_one_that_comes_later_is_waited_for_and_it_is_said_once(late, application):
    told = []
    assert connect_patiently(connect, 20.0, told.append) is application
    assert len(late) == 3
    (line,) = told
    assert line.startswith("no Imspector answers on this computer (connect: Connection refused): ")
    assert line.endswith("; trying again for 20 s")
    assert len(line.splitlines()) == 1


def test_one_that_never_comes_is_waited_for_so_long(monkeypatch):
    def get_application():
        raise RuntimeError("connect: Connection refused [system:111]")

    specpy = types.SimpleNamespace(get_application=get_application)
    monkeypatch.setitem(sys.modules, "specpy", specpy)
    told = []
    begin = time.monotonic()
    with pytest.raises(NotAnsweringError, match=r"no Imspector answers .* \(tried for 0.5 s\)$"):
        connect_patiently(connect, 0.5, told.append)
    assert 0.5 <= time.monotonic() - begin < 5
    assert len(told) == 1


def test_without_patience_it_is_asked_once(late):
    told = []
    with pytest.raises(NotAnsweringError, match=r"twin$"):
        connect_patiently(connect, 0.0, told.append)
    assert (len(late), told) == (1, [])


def test_what_will_not_change_is_not_waited_for(monkeypatch):
    monkeypatch.setitem(sys.modules, "specpy", None)
    begin = time.monotonic()
    with pytest.raises(NoImspectorError, match="SpecPy cannot be imported"):
        connect_patiently(connect, 60.0, print)
    assert time.monotonic() - begin < 5
