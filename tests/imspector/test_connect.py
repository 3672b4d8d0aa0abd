"""Without an Imspector: an error at once that says what to start, never another microscope."""

import sys
import time
import types

import pytest

from stedopt_bluesky.imspector.connect import NoImspectorError, connect


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
