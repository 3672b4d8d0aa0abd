"""The twin for other processes: several clients at one microscope, as at one Imspector.

`TwinServer` listens on this computer's own address only and answers nobody who does not
bring the key. Each connection has a thread. A client that goes away changes nothing: a
scan that it has started goes on, lasers stay as they were set, as with a real Imspector.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import queue
import secrets
import socket
import threading
import weakref
from collections.abc import Mapping
from dataclasses import astuple
from functools import partial
from types import MappingProxyType
from typing import Any

from stedopt_bluesky.config.keys import is_same
from stedopt_bluesky.imspector.api import MeasurementSignal
from stedopt_bluesky.twin.application import TwinApplication
from stedopt_bluesky.twin.wire import (
    GREETING_S,
    HOST,
    MAX_GREETING,
    PROTOCOL,
    Message,
    Wire,
    described,
)

_log = logging.getLogger(__name__)

# More clients than anybody needs; whoever comes then is turned away.
MAX_CONNECTIONS = 64
# Signals that a client may leave unread before it is given up.
_MAX_UNREAD = 10_000

# What may be called, by the kind of object, and the kind of what it returns; "" is JSON.
CALLS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "application": {
            "version": "",
            "device_drivers": "",
            "measurement_names": "",
            "active_measurement": "measurement",
            "measurement": "measurement",
            "create_measurement": "measurement",
            "clone_measurement": "measurement",
            **dict.fromkeys(("activate", "start", "pause", "run", "close"), ""),
            # Not SpecPy's: nodes of a tree by path, and what a microscope does not show.
            **dict.fromkeys(("get_value", "set_value"), ""),
            **dict.fromkeys(("emitting", "emission_log", "scan_time_s", "set_interlock"), ""),
        },
        "measurement": {
            "configuration": "configuration",
            "active_configuration": "configuration",
            "clone": "configuration",
            "stack": "stack",
            **dict.fromkeys(("name", "number_of_configurations", "configuration_names"), ""),
            **dict.fromkeys(("activate", "remove", "parameters", "set_parameters"), ""),
            **dict.fromkeys(("number_of_stacks", "stack_names"), ""),
        },
        "configuration": {
            "stack": "stack",
            **dict.fromkeys(("name", "set_name", "parameters", "set_parameters"), ""),
            **dict.fromkeys(("number_of_stacks", "stack_names"), ""),
        },
        "stack": {
            "data": "array",
            **dict.fromkeys(("name", "shape", "lengths", "offsets", "labels", "parameters"), ""),
        },
    }
)
# Calls whose argument is an object of the twin, given by its number.
_OF_OBJECTS = frozenset(
    {"activate", "start", "pause", "run", "close", "clone", "clone_measurement", "remove"}
)


class _Objects:
    """The twin's objects by number; one that the twin has let go of has none any more."""

    def __init__(self, application: TwinApplication) -> None:
        self._application = application
        # A number of an earlier server at the same port must not be another object's here.
        self._numbers = itertools.count(1 + secrets.randbelow(2**48))
        self._lock = threading.Lock()
        self._found: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()
        self._known: weakref.WeakKeyDictionary[Any, tuple[int, str]] = weakref.WeakKeyDictionary()

    def number(self, thing: Any, kind: str) -> int:
        with self._lock:
            if thing not in self._known:
                number = next(self._numbers)
                self._found[number], self._known[thing] = thing, (number, kind)
            return self._known[thing][0]

    def get(self, number: object) -> tuple[Any, str]:
        """Return an object and its kind; 0 is the application."""
        if number == 0:
            return self._application, "application"
        with self._lock:
            thing = self._found.get(number) if type(number) is int else None
            if thing is None:
                raise RuntimeError("this measurement, configuration or stack is there no longer")
            return thing, self._known[thing][1]


class TwinServer:
    """Serves a twin from now on until it is closed.

    Parameters
    ----------
    application : TwinApplication
        What is served.
    key : str
        That clients must bring.
    port : int
        0: any that is free.
    about : mapping
        Told to every client that brings the key: what the twin images, in JSON.

    Raises
    ------
    OSError
        When the port cannot be listened on.
    """

    def __init__(
        self,
        application: TwinApplication,
        key: str,
        port: int = 0,
        about: Mapping[str, Any] | None = None,
    ) -> None:
        self._application = application
        self._key = key
        self._about = dict(about or {})
        self._objects = _Objects(application)
        self._lock = threading.Lock()
        self._wires: set[Wire] = set()
        self._listener = socket.create_server((HOST, port))
        self.port: int = self._listener.getsockname()[1]
        # Daemons: a program that ends does not wait for its clients.
        self._thread = threading.Thread(target=self._accept, name="twin server", daemon=True)
        self._thread.start()

    @property
    def address(self) -> str:
        """Where it listens, ``"127.0.0.1:PORT"``."""
        return f"{HOST}:{self.port}"

    def __enter__(self) -> TwinServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Listen no longer, and end all connections."""
        # A socket that is waited on is woken by this, not by closing it.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()
        with self._lock:
            wires = list(self._wires)
        for wire in wires:
            wire.close()

    def _accept(self) -> None:
        while True:
            try:
                connected, _ = self._listener.accept()
            except OSError:  # closed
                return
            wire = Wire(connected)
            with self._lock:
                welcome = len(self._wires) < MAX_CONNECTIONS
                if welcome:
                    self._wires.add(wire)
            if not welcome:
                wire.close()
                continue
            threading.Thread(
                target=self._attend, args=(wire,), name="twin client", daemon=True
            ).start()

    def _attend(self, wire: Wire) -> None:
        try:
            wire.patience(GREETING_S)
            role = self._greeted(wire)
            wire.patience(None)
            if role == "calls":
                self._answer_calls(wire)
            elif role == "signals":
                self._pass_signals_on(wire)
        except OSError:
            pass  # the client is gone
        except Exception:
            _log.exception("a client of the twin is given up")
        finally:
            wire.close()
            with self._lock:
                self._wires.discard(wire)

    def _greeted(self, wire: Wire) -> str:
        """Read the greeting; return what the connection is for, "" for a stranger."""
        # Of a stranger no raw bytes are read.
        greeting, _ = wire.receive(MAX_GREETING, 0)
        key, role = greeting.get("key"), greeting.get("role")
        if not isinstance(key, str) or not is_same(key, self._key):
            wire.send({"error": "the key is missing or wrong"})
            return ""
        if greeting.get("protocol") != PROTOCOL or role not in ("calls", "signals"):
            wire.send({"error": f"protocol {PROTOCOL} is spoken here; roles: calls, signals"})
            return ""
        if role == "calls":
            wire.send({"result": self._about})
        return str(role)

    def _answer_calls(self, wire: Wire) -> None:
        while True:
            message, _ = wire.receive()
            data = b""
            try:
                answer, data = self._answer(message)
            except RuntimeError as error:
                answer = {"error": str(error)}
            except Exception as error:  # a mistake of the client's: it is told, and goes on
                answer = {"error": f"{type(error).__name__}: {error}"}
            wire.send(answer, data)

    def _answer(self, message: Message) -> tuple[Message, bytes]:
        thing, kind = self._objects.get(message.get("of", 0))
        name, arguments = message.get("call"), message.get("arguments", [])
        returns = CALLS[kind].get(name) if isinstance(name, str) else None
        if not isinstance(name, str) or returns is None or not isinstance(arguments, list):
            raise RuntimeError(f"no call of a {kind}: {name!r}")
        if name in _OF_OBJECTS:
            arguments = [self._objects.get(number)[0] for number in arguments]
        result = self._called(thing, name, arguments)
        if returns == "array":
            shape, data = described(result)
            return {"array": shape}, data
        if returns:
            return {"object": self._objects.number(result, returns)}, b""
        return {"result": result}, b""

    def _called(self, thing: Any, name: str, arguments: list[Any]) -> Any:
        if name == "get_value":
            return self._application.value_at(*arguments).get()
        if name == "set_value":
            path, root, value = arguments
            return self._application.value_at(path, root).set(value)
        if name == "emission_log":
            return [astuple(record) for record in self._application.emission_log]
        attribute = getattr(thing, name)
        return attribute(*arguments) if callable(attribute) else attribute

    def _pass_signals_on(self, wire: Wire) -> None:
        """Tell a client of every signal; the scan does not wait until it has read them."""
        unread: queue.Queue[int] = queue.Queue(_MAX_UNREAD)

        def take(signal: int) -> None:
            try:
                unread.put_nowait(signal)
            except queue.Full:
                wire.close()

        callbacks = {signal: partial(take, int(signal)) for signal in MeasurementSignal}
        for signal, callback in callbacks.items():
            self._application.connect_measurement_cb(callback, signal)
        try:
            # Only now: whoever starts a scan after this hears of all of it.
            wire.send({"result": self._about})
            while True:
                wire.send({"signal": unread.get()})
        finally:
            for signal, callback in callbacks.items():
                self._application.disconnect_measurement_cb(callback, signal)
