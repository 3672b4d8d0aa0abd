"""Connect to a running Imspector. The only module that imports SpecPy."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from typing import cast

from stedopt_bluesky.imspector.api import Application

# How long after a connection was refused it is tried again, s.
_RETRY_S = 0.2


class NoImspectorError(RuntimeError):
    """No Imspector answers; the message says what to start."""


class NotAnsweringError(NoImspectorError):
    """Nothing listens there now: it may in a moment, while Imspector starts."""


def connect(host: str = "") -> Application:
    """Connect to Imspector through SpecPy.

    Parameters
    ----------
    host : str
        Name of the computer that Imspector runs on; empty: this one.

    Raises
    ------
    NotAnsweringError
        When no Imspector answers.
    NoImspectorError
        When SpecPy is not installed, or the computer is not known. The message says what to do.
    """
    try:
        import specpy
    except ImportError as error:
        raise NoImspectorError(
            f"SpecPy cannot be imported ({error}): pip install 'stedopt-bluesky[specpy]', "
            "or use --microscope twin"
        ) from None
    where = host or "this computer"
    if host:
        _check_resolves(host)
    try:
        application = specpy.get_application(host) if host else specpy.get_application()
    except RuntimeError as error:
        reason = str(error).split(" [", maxsplit=1)[0]
        raise NotAnsweringError(
            f"no Imspector answers on {where} ({reason}): start Imspector there, then its "
            "'Run Server' (as administrator the first time), or use --microscope twin"
        ) from None
    return cast(Application, application)


def connect_patiently(
    connect: Callable[[], Application], patience_s: float, tell: Callable[[str], None]
) -> Application:
    """Connect, and try again where nothing answers yet.

    Parameters
    ----------
    connect : callable
        Makes the connection.
    patience_s : float
        How long it is tried again, s; 0: it is not.
    tell : callable
        Told once, in a line, that it is tried again, and for how long.

    Raises
    ------
    NotAnsweringError
        When nothing answered all the time.
    Exception
        Whatever else ``connect`` raises, at once.
    """
    until: float | None = None
    while True:
        try:
            return connect()
        except NotAnsweringError as error:
            if patience_s <= 0:
                raise
            if until is None:
                # From the first refusal on: what it takes to load a client is no patience.
                until = time.monotonic() + patience_s
                tell(f"{error}; trying again for {patience_s:g} s")
            left_s = until - time.monotonic()
            if left_s <= 0:
                raise NotAnsweringError(f"{error} (tried for {patience_s:g} s)") from None
        time.sleep(min(_RETRY_S, left_s))


def _check_resolves(host: str) -> None:
    """Refuse an unknown host at once; SpecPy would take its time to."""
    try:
        socket.getaddrinfo(host, None)
    except (OSError, ValueError):  # ValueError: no name of a computer, "sted..lab"
        raise NoImspectorError(
            f"microscope.host = {host!r}: no computer of this name is known; "
            "give the name or address of the computer that Imspector runs on"
        ) from None
