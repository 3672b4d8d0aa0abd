"""``stedopt serve networks``, and what every service of this program does."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import signal
import socket
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from stedopt_bluesky.cli.interrupts import calling
from stedopt_bluesky.cli.output import console, stdout, warn
from stedopt_bluesky.config import ConfigError

if TYPE_CHECKING:
    import uvicorn

    from stedopt_bluesky.networks.preference import PreferenceScorer
    from stedopt_bluesky.networks.rater import QualityRater

NONE = "none"
# How long requests in progress may take to end after Ctrl-C, s: a large one takes half of it.
_GRACE_S = 20
# Largest body that can be asked for, MiB: several are in memory at once.
_MOST_MIB = 1024


def serve_networks(quality: str, preference: str, host: str, port: int, max_body_mib: int) -> None:
    """Serve networks until SIGINT or SIGTERM.

    Raises
    ------
    ConfigError, WeightsError
        When a network cannot be used, or the address cannot be listened on.
    """
    if quality == preference == NONE:
        raise ConfigError("quality = 'none': at least one of quality and preference is needed")
    check_port(port)
    if not 1 <= max_body_mib <= _MOST_MIB:
        raise ConfigError(f"max-body-mib = {max_body_mib}: 1 to {_MOST_MIB}")
    from stedopt_bluesky.config.keys import key_from

    key, made = key_from(os.environ)
    with listening(host, port) as listener:
        server = _server(quality, preference, key, max_body_mib)
        with calling(partial(end, server), signal.SIGINT, signal.SIGTERM):
            tell(listener, host, key if made else "")
            server.run(sockets=[listener])


def check_port(port: int) -> None:
    """Refuse a number that is no port.

    Raises
    ------
    ConfigError
        With what is allowed.
    """
    if not 0 <= port <= 65535:
        raise ConfigError(f"port = {port}: 0 to 65535")


def _server(quality: str, preference: str, key: str, max_body_mib: int) -> uvicorn.Server:
    with console.status("loading the networks ..."):
        from stedopt_bluesky.web.networks_service import Offer, networks_app

        offer = Offer(_rater(quality), _scorer(preference), key, max_body_mib * 2**20)

    return quiet_server(networks_app(offer))


def quiet_server(app: Any) -> uvicorn.Server:
    """Make a server that tells nothing of its requests and ends as it is told to."""
    import uvicorn

    class Server(uvicorn.Server):
        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            # Uvicorn raises them anew when it has ended, which would be an exit code of failure.
            yield

    return Server(
        uvicorn.Config(
            app,
            # No line per request: there may be many a second, and headers hold the key.
            access_log=False,
            log_level="warning",
            server_header=False,
            timeout_graceful_shutdown=_GRACE_S,
        )
    )


def _rater(reference: str) -> QualityRater | None:
    if reference == NONE:
        return None
    from stedopt_bluesky.networks.rater import QualityRater, use_threads

    use_threads()
    return QualityRater.named(reference)


def _scorer(reference: str) -> PreferenceScorer | None:
    if reference == NONE:
        return None
    from stedopt_bluesky.networks.preference import PreferenceScorer

    return PreferenceScorer.named(reference)


@contextlib.contextmanager
def listening(host: str, port: int) -> Iterator[socket.socket]:
    """Listen on an address before the networks are loaded, which takes seconds."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(
            f"host = {host!r}, port = {port}: cannot listen there ({reason})"
        ) from None
    with listener:
        yield listener


def end(server: uvicorn.Server, number: int) -> None:
    """End a service in good order, as a signal asks for; SIGINT twice, at once."""
    if server.should_exit and number == signal.SIGINT:
        server.force_exit = True
    server.should_exit = True


def tell(listener: socket.socket, host: str, made_key: str) -> None:
    """Say where it listens, and the key when it was made here."""
    port = listener.getsockname()[1]
    if not is_loopback(host):
        warn(
            f"host = {host!r}: other computers can reach this service; the key and the images are "
            "not encrypted: put a proxy with TLS before it"
        )
    if made_key:
        console.print(
            f"API key: {made_key}\n"
            "It was made for this session; set STEDOPT_API_KEY to use one of your own.",
            soft_wrap=True,
            markup=False,
        )
    console.print("serving until Ctrl-C")
    shown = f"[{host}]" if ":" in host else host
    stdout.print(f"http://{shown}:{port}", markup=False)
    stdout.file.flush()


def is_loopback(host: str) -> bool:
    """Whether an address can be reached from this computer only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name: whoever may resolve it
        return False
