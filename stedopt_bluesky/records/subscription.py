"""The other end of :mod:`stedopt_bluesky.records.live`: documents received as they come."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import zmq

from stedopt_bluesky.records.journal import Document
from stedopt_bluesky.records.live import (
    HIGH_WATER_MARK,
    LOOK_EVERY_MS,
    MOST_BYTES,
    LiveError,
    decode,
    live_address,
)

_log = logging.getLogger(__name__)

# Publishers whose numbers a subscriber remembers.
_MOST_PUBLISHERS = 64
# A disconnection is an answer to a message that is too large, too.
_WATCHED = zmq.EVENT_DISCONNECTED | zmq.EVENT_HANDSHAKE_SUCCEEDED


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
    run : str
        Uid of its run; ``""`` when the publisher does not know.
    index : int
        Which of the run's documents it is, from 0.
    """

    name: str
    doc: Document
    missed: int
    run: str = ""
    index: int = 0


class Subscription:
    """Receives documents as they come; for one thread, to be closed.

    Parameters
    ----------
    address : str
        ``127.0.0.1:PORT`` of a `Publisher`, or the out-address of a ``bluesky-0MQ-proxy``.
    refused : callable
        Told, in a line, of a message that is no document.

    Raises
    ------
    LiveError
        When the address is none of this computer's own.
    """

    def __init__(self, address: str, *, refused: Callable[[str], None] = _log.warning) -> None:
        self._address = live_address(address)
        self._refused = refused
        self._last: OrderedDict[str, int] = OrderedDict()
        self.is_connected = False
        self._socket: Any = zmq.Context.instance().socket(zmq.SUB)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.setsockopt(zmq.RCVHWM, HIGH_WATER_MARK)
        self._socket.setsockopt(zmq.MAXMSGSIZE, MOST_BYTES + 1024)
        self._socket.setsockopt(zmq.SUBSCRIBE, b"")
        self._monitor: Any = self._socket.get_monitor_socket(_WATCHED)
        self._socket.connect(self._address)

    def __enter__(self) -> Subscription:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Receive no more; safe to call twice."""
        if not self._socket.closed:
            self._socket.disable_monitor()
            self._socket.close()

    def receive(self, wait_ms: int = 0) -> Received | None:
        """Receive the next document; None when none has come in that time, ms."""
        if not self._socket.poll(wait_ms):
            # What has come was taken.
            self._look_at_connection()
            return None
        self.is_connected = True
        frames = self._socket.recv_multipart()
        try:
            if len(frames) != 1:
                raise LiveError(f"a message of {len(frames)} parts")
            publisher, number, run, index, name, doc = decode(frames[0])
            before = self._last.get(publisher, -1)
            if number <= before:
                raise LiveError(f"document {number} comes after document {before}")
        except LiveError as error:
            self._refused(f"a message was refused: {error}")
            return None
        self._last[publisher] = number
        self._last.move_to_end(publisher)
        if len(self._last) > _MOST_PUBLISHERS:
            self._last.popitem(last=False)
        return Received(name, doc, number - before - 1, run, index)

    def _look_at_connection(self) -> None:
        """Take in whether the other end is there, and come back to one that has cut off."""
        from zmq.utils.monitor import recv_monitor_message

        while self._monitor.poll(0):
            event = recv_monitor_message(self._monitor)["event"]
            self.is_connected = event == zmq.EVENT_HANDSHAKE_SUCCEEDED
            if not self.is_connected:
                # Whoever sent too large a message was cut off, and ZMQ does not come back to it
                # by itself.
                with contextlib.suppress(zmq.ZMQError):
                    self._socket.disconnect(self._address)
                self._socket.connect(self._address)


def subscribe(
    address: str,
    *,
    stop: threading.Event | None = None,
    refused: Callable[[str], None] = _log.warning,
) -> Iterator[Received]:
    """Receive documents as they come, until asked to stop.

    Parameters
    ----------
    address, refused
        As :class:`Subscription` has them.
    stop : threading.Event, optional
        Set it to end.

    Yields
    ------
    Received

    Raises
    ------
    LiveError
        When the address is none of this computer's own.
    """
    live_address(address)  # told here, not when the first document is asked for
    return _received(address, stop or threading.Event(), refused)


def _received(
    address: str, stop: threading.Event, refused: Callable[[str], None]
) -> Iterator[Received]:
    with Subscription(address, refused=refused) as subscription:
        while not stop.is_set():
            received = subscription.receive(LOOK_EVERY_MS)
            if received is not None:
                yield received
