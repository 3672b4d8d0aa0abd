"""Documents over ZMQ while a run is under way, or replayed: for those who look on.

A message is ``PUBLISHER:NUMBER:RUN:INDEX NAME DOCUMENT``: who sent it and as which of its
documents, of which run and as which of that, the document's name, and the document in msgpack.
The index is also that of the document's record in the run's journal. Bluesky's
``RemoteDispatcher`` takes it, with `deserialize`. Nothing is pickled, and nothing that comes is
unpickled; arrays are lists, since msgpack_numpy would unpickle those of objects. A subscriber that
is too slow loses documents, and is told how many: what must not be lost is in the journal.

There is no key and no encryption: both ends are on this computer, and stay there.
"""

from __future__ import annotations

import logging
import re
import time
import uuid
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgpack
import numpy as np
import zmq

from stedopt_bluesky.config.live import loopback_port
from stedopt_bluesky.records.journal import BELONGS_TO, DOCUMENT_NAMES, Document
from stedopt_bluesky.records.schemas import why_invalid

_log = logging.getLogger(__name__)

# Documents hold no images; a start document with all of Imspector's parameters has some 100 kB.
MOST_BYTES = 16 * 2**20
# Documents that wait for a subscriber; a slower one loses those that come then.
HIGH_WATER_MARK = 10_000
# How long closing waits for the last documents to be taken, ms.
_LINGER_MS = 1000
# Whoever waits looks so often whether it is to stop, ms.
LOOK_EVERY_MS = 50
# Who comes and goes says so in a few bytes; of what else comes, no more is taken at a time, so
# that nobody can keep an acquisition.
_MOST_HEARD_BYTES, _MOST_HEARD = 1024, 100
_RUN = r"[A-Za-z0-9_.-]{0,128}"
_TOKEN = re.compile(rb"([0-9a-f]{32}):([0-9]{1,18}):(" + _RUN.encode() + rb"):([0-9]{1,18})")


class LiveError(ValueError):
    """An address, a document or a message that cannot be used."""


def live_address(text: str) -> str:
    """Return ``tcp://127.0.0.1:PORT`` of ``PORT`` or ``HOST:PORT``.

    Raises
    ------
    LiveError
        When it is none of this computer's own.
    """
    try:
        return f"tcp://127.0.0.1:{loopback_port(text)}"
    except ValueError as error:
        raise LiveError(f"address = {text!r}: {error}") from None


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

    Raises
    ------
    LiveError
        When the address is none of this computer's own, or is taken.
    """

    def __init__(self, address: str = "127.0.0.1:0", *, to_proxy: bool = False) -> None:
        wanted = live_address(address)
        self._id = uuid.uuid4().hex
        self._count = 0
        self._subscribers = 0
        self._broken = False
        # Run of each descriptor and resource, and how many documents each open run has had.
        self._runs: dict[str, str] = {}
        self._counts: dict[str, int] = {}
        # Told of subscribers, which a plain PUB socket is not; it drops as that does.
        self._socket: Any = zmq.Context.instance().socket(zmq.XPUB)
        self._socket.setsockopt(zmq.XPUB_VERBOSER, 1)
        self._socket.setsockopt(zmq.MAXMSGSIZE, _MOST_HEARD_BYTES)
        self._socket.setsockopt(zmq.SNDHWM, HIGH_WATER_MARK)
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
        run, index = self._number(name, doc)
        try:
            token = f"{self._id}:{number}:{run}:{index} {name} ".encode("ascii")
            message = token + serialize(doc)
        except (LiveError, UnicodeEncodeError) as error:
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

    def _number(self, name: str, doc: Mapping[str, Any]) -> tuple[str, int]:
        """Run that a document belongs to, and which of the run's documents it is."""
        uid = str(doc.get("uid", ""))
        if name == "start":
            run = uid if re.fullmatch(_RUN, uid) else ""
            self._runs[uid], self._counts[run] = run, 0
        else:
            run = self._runs.get(str(doc.get(BELONGS_TO.get(name, ""))), "")
        if name in ("descriptor", "resource"):
            self._runs[uid] = run
        index = self._counts.get(run, 0)
        self._counts[run] = index + 1
        if name == "stop":
            self._runs = {key: of for key, of in self._runs.items() if of != run}
            del self._counts[run]
        return run, index

    def wait_for_subscriber(self, patience_s: float) -> bool:
        """Wait until somebody listens; False when nobody does in that time, s.

        Behind a proxy, the proxy listens.
        """
        until = time.monotonic() + patience_s
        while not self._subscribers and (left_s := until - time.monotonic()) > 0:
            self._hear(min(LOOK_EVERY_MS, int(left_s * 1000) + 1))
        return self._subscribers > 0

    def _hear(self, wait_ms: int) -> None:
        """Take in who has come and gone, as a first byte of 1 or 0."""
        for _ in range(_MOST_HEARD):
            if not self._socket.poll(wait_ms):
                return
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


class Message(NamedTuple):
    """A message taken apart: who sent it, of which run it is, and the document."""

    publisher: str
    number: int
    run: str
    place: int
    name: str
    doc: Document


def decode(message: bytes) -> Message:
    """Take a message apart.

    Raises
    ------
    LiveError
        When it is none, or the document is not valid by event-model's schema.
    """
    parts = message.split(b" ", 2)
    token = _TOKEN.fullmatch(parts[0])
    if len(parts) != 3 or token is None:
        raise LiveError(f"not of this program: {message[:40]!r}")
    name = parts[1].decode("ascii", "replace")
    if name not in DOCUMENT_NAMES:
        raise LiveError(f"no document is called {name[:40]!r}")
    doc = deserialize(parts[2])
    if reason := why_invalid(name, doc):
        raise LiveError(f"{name}: {reason}")
    publisher, number, run, index = (part.decode("ascii") for part in token.groups())
    return Message(publisher, int(number), run, int(index), name, doc)


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
