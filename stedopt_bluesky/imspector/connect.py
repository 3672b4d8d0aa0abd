"""Connect to a running Imspector. The only module that imports SpecPy."""

from __future__ import annotations

import socket
from typing import cast

from stedopt_bluesky.imspector.api import Application


class NoImspectorError(RuntimeError):
    """No Imspector answers; the message says what to start."""


def connect(host: str = "") -> Application:
    """Connect to Imspector through SpecPy.

    Parameters
    ----------
    host : str
        Name of the computer that Imspector runs on; empty: this one.

    Raises
    ------
    NoImspectorError
        When SpecPy is not installed, or no Imspector answers. The message says what to do.
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
        raise NoImspectorError(
            f"no Imspector answers on {where} ({reason}): start Imspector there, then its "
            "'Run Server' (as administrator the first time), or use --microscope twin"
        ) from None
    return cast(Application, application)


def _check_resolves(host: str) -> None:
    """Refuse an unknown host at once; SpecPy would take its time to."""
    try:
        socket.getaddrinfo(host, None)
    except (OSError, ValueError):  # ValueError: no name of a computer, "sted..lab"
        raise NoImspectorError(
            f"microscope.host = {host!r}: no computer of this name is known; "
            "give the name or address of the computer that Imspector runs on"
        ) from None
