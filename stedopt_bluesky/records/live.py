"""Documents over ZMQ while a run is under way, or replayed: for those who look on.

A message is ``PUBLISHER:NUMBER NAME DOCUMENT``: who sent it and as which of its documents, the
document's name, and the document in msgpack. Bluesky's ``RemoteDispatcher`` takes it, with
`deserialize`. Nothing is pickled, and nothing that comes is unpickled; arrays are lists, since
msgpack_numpy would unpickle those of objects. A subscriber that is too slow loses documents, and
is told how many: what must not be lost is in the journal.

There is no key and no encryption: both ends are on this computer, and stay there.
"""

from __future__ import annotations

import contextlib
import logging
import re
import threading
import time
import uuid
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgpack
import numpy as np
import zmq

from stedopt_bluesky.records.journal import Document
from stedopt_bluesky.records.schemas import why_invalid

_log = logging.getLogger(__name__)

# Documents hold no images; a start document with all of Imspector's parameters has some 100 kB.
MOST_BYTES = 16 * 2**20
# Documents that wait for a subscriber; a slower one loses those that come then.
HIGH_WATER_MARK = 10_000
# How long closing waits for the last documents to be taken, ms.
_LINGER_MS = 1000
# Publishers whose numbers a subscriber remembers.
_MOST_PUBLISHERS = 64
# A subscriber looks so often whether it is to stop, ms.
_LOOK_EVERY_MS = 50
_LOOPBACK = ("127.0.0.1", "localhost")
_TOKEN = re.compile(rb"([0-9a-f]{32}):([0-9]{1,18})")


class LiveError(ValueError):
    """An address, a document or a message that cannot be used."""


@dataclass(frozen=True)
class Received:
    """A document that has come.

    Parameters
    ----------
    name : str
        What it is: ``"start"``, ``"event"`` and so on.
    doc : dict
        The document.
    missed : int
        How many of the same publisher's documents, before this one, have not come: the
        subscriber came later, was too slow, or refused them.
    """

    name: str
    doc: Document
    missed: int


def live_address(text: str) -> str:
    """Return ``tcp://127.0.0.1:PORT`` of ``PORT`` or ``HOST:PORT``.

    Raises
    ------
    LiveError
        When it is none of this computer's own.
    """
    host, _, port = text.removeprefix("tcp://").rpartition(":")
    if host not in ("", *_LOOPBACK) or not re.fullmatch("[0-9]{1,5}", port) or int(port) >= 2**16:
        raise LiveError(
            f"address = {text!r}: 127.0.0.1:PORT, PORT from 0 (any that is free) to 65535; "
            "documents go to this computer alone, from another one come through SSH"
        )
    return f"tcp://127.0.0.1:{int(port)}"


class Publisher:
    """Callback that publishes documents; it never waits and never raises.

    Use it in one thread, as the RunEngine does.

    Parameters
    ----------
    address : str
        ``127.0.0.1:PORT``; port 0: any that is free.
    to_proxy : bool
        Whether ``bluesky-0MQ-proxy`` is there already, with this as its in-address; otherwise
        subscribers connect to this publisher itself.
    high_water_mark : int
        Documents that wait for each subscriber; a slower one loses those that come then.

    Raises
    ------
    LiveError
        When the address is none of this computer's own, or is taken.
    """

    def __init__(
        self,
        address: str = "127.0.0.1:0",
        *,
        to_proxy: bool = False,
        high_water_mark: int = HIGH_WATER_MARK,
    ) -> None:
        wanted = live_address(address)
        self._id = uuid.uuid4().hex
        self._count = 0
        self._subscribers = 0
        self._broken = False
        # Told of subscribers, which a plain PUB socket is not; it drops as that does.
        self._socket: Any = zmq.Context.instance().socket(zmq.XPUB)
        self._socket.setsockopt(zmq.XPUB_VERBOSER, 1)
        self._socket.setsockopt(zmq.SNDHWM, high_water_mark)
        self._socket.setsockopt(zmq.LINGER, _LINGER_MS)
        try:
            if to_proxy:
                self._socket.connect(wanted)
            else:
                self._socket.bind(wanted)
        except zmq.ZMQError as error:
            self._socket.close()
            raise LiveError(f"address = {address!r}: {error.strerror or error}") from None
        self.address = str(self._socket.getsockopt_string(zmq.LAST_ENDPOINT)).removeprefix("tcp://")

    def __call__(self, name: str, doc: Mapping[str, Any]) -> None:
        """Publish one document; one that cannot be is left out, and its number with it."""
        number, self._count = self._count, self._count + 1
        try:
            message = b"%s:%d %s %s" % (self._id.encode(), number, name.encode(), serialize(doc))
        except LiveError as error:
            _log.warning("the %s document %s is not published: %s", name, doc.get("uid"), error)
            return
        try:
            self._hear(0)
            self._socket.send(message, zmq.NOBLOCK)
        except zmq.Again:  # nobody can take it now
            pass
        except zmq.ZMQError as error:  # closed, say: the run goes on, whoever looks on
            if not self._broken:
                _log.warning("documents are not published: %s", error.strerror or error)
            self._broken = True

    def wait_for_subscriber(self, patience_s: float) -> bool:
        """Wait until somebody listens; False when nobody does in that time, s.

        Behind a proxy, the proxy listens.
        """
        until = time.monotonic() + patience_s
        while not self._subscribers and (left_s := until - time.monotonic()) > 0:
            self._hear(min(_LOOK_EVERY_MS, int(left_s * 1000) + 1))
        return self._subscribers > 0

    def _hear(self, wait_ms: int) -> None:
        """Take in who has come and gone, as a first byte of 1 or 0."""
        while self._socket.poll(wait_ms):
            told = self._socket.recv()
            self._subscribers += {b"\x01": 1, b"\x00": -1}.get(told[:1], 0)
            wait_ms = 0

    def close(self) -> None:
        """Send what waits, for a second at most, and close."""
        self._socket.close()

    def __enter__(self) -> Publisher:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def subscribe(
    address: str,
    *,
    stop: threading.Event | None = None,
    refused: Callable[[str], None] = _log.warning,
) -> Iterator[Received]:
    """Receive documents as they come, until asked to stop.

    Parameters
    ----------
    address : str
        ``127.0.0.1:PORT`` of a `Publisher`, or the out-address of a ``bluesky-0MQ-proxy``.
    stop : threading.Event, optional
        Set it to end.
    refused : callable
        Told, in a line, of a message that is no document.

    Yields
    ------
    Received

    Raises
    ------
    LiveError
        When the address is none of this computer's own.
    """
    wanted = live_address(address)
    return _received(wanted, stop or threading.Event(), refused)


def _received(
    address: str, stop: threading.Event, refused: Callable[[str], None]
) -> Iterator[Received]:
    last: OrderedDict[str, int] = OrderedDict()
    socket: Any = zmq.Context.instance().socket(zmq.SUB)
    with contextlib.ExitStack() as always:
        always.callback(socket.close)
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.RCVHWM, HIGH_WATER_MARK)
        socket.setsockopt(zmq.MAXMSGSIZE, MOST_BYTES + 1024)
        socket.setsockopt(zmq.SUBSCRIBE, b"")
        broken = always.enter_context(_disconnections(socket))
        socket.connect(address)
        while not stop.is_set():
            if not socket.poll(_LOOK_EVERY_MS):
                # What has come was taken; whoever sent too large a message was cut off, and ZMQ
                # does not come back to it by itself.
                if broken.poll(0):
                    broken.recv_multipart()
                    with contextlib.suppress(zmq.ZMQError):
                        socket.disconnect(address)
                    socket.connect(address)
                continue
            frames = socket.recv_multipart()
            try:
                if len(frames) != 1:
                    raise LiveError(f"a message of {len(frames)} parts")
                publisher, number, name, doc = decode(frames[0])
                before = last.get(publisher, -1)
                if number <= before:
                    raise LiveError(f"document {number} comes after document {before}")
            except LiveError as error:
                refused(f"a message was refused: {error}")
                continue
            last[publisher] = number
            last.move_to_end(publisher)
            if len(last) > _MOST_PUBLISHERS:
                last.popitem(last=False)
            yield Received(name, doc, number - before - 1)


@contextlib.contextmanager
def _disconnections(socket: Any) -> Iterator[Any]:
    """Socket on which a message comes when the other end is lost."""
    try:
        yield socket.get_monitor_socket(zmq.EVENT_DISCONNECTED)
    finally:
        socket.disable_monitor()


def decode(message: bytes) -> tuple[str, int, str, Document]:
    """Take a message apart: publisher, number, name and document.

    Raises
    ------
    LiveError
        When it is none, or the document is not valid by event-model's schema.
    """
    from event_model import DocumentNames

    parts = message.split(b" ", 2)
    token = _TOKEN.fullmatch(parts[0])
    if len(parts) != 3 or token is None:
        raise LiveError(f"not of this program: {message[:40]!r}")
    name = parts[1].decode("ascii", "replace")
    if name not in DocumentNames.__members__:
        raise LiveError(f"no document is called {name[:40]!r}")
    doc = deserialize(parts[2])
    if reason := why_invalid(name, doc):
        raise LiveError(f"{name}: {reason}")
    return token[1].decode(), int(token[2]), name, doc


def serialize(doc: Mapping[str, Any]) -> bytes:
    """Turn a document into msgpack; numpy's numbers and arrays become plain ones.

    Raises
    ------
    LiveError
        When it holds what JSON has no word for, or is too large.
    """
    try:
        packed = msgpack.packb(doc, default=_plain)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise LiveError(str(error)) from None
    if len(packed) > MOST_BYTES:
        raise LiveError(f"{len(packed)} bytes: at most {MOST_BYTES}")
    return bytes(packed)


def deserialize(packed: bytes) -> Document:
    """Turn msgpack into a document; also for ``RemoteDispatcher(..., deserializer=deserialize)``.

    Raises
    ------
    LiveError
        When it is too large, no mapping, or holds what JSON has no word for.
    """
    if len(packed) > MOST_BYTES:
        raise LiveError(f"{len(packed)} bytes: at most {MOST_BYTES}")
    try:
        doc = msgpack.unpackb(packed, raw=False, strict_map_key=True, ext_hook=_refuse)
    except LiveError:
        raise
    except Exception as error:  # msgpack has a dozen, not all of one family
        raise LiveError(f"no msgpack: {type(error).__name__} {error}") from None
    if not isinstance(doc, dict):
        raise LiveError(f"a document is a mapping, not {type(doc).__name__}")
    waiting: list[Any] = [doc]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            if not all(isinstance(key, str) for key in value):
                raise LiveError("a key that is no text")
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)
        elif not isinstance(value, str | int | float | bool | None):
            raise LiveError(f"a value of type {type(value).__name__}")
    return doc


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic) and value.dtype.kind in "biufU":
        return value.tolist()
    raise TypeError(f"a value of type {type(value).__name__}")


def _refuse(code: int, _: bytes) -> Any:
    raise LiveError(f"an extension of msgpack, {code}")
