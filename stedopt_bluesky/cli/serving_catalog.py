"""``stedopt serve catalog``."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from urllib.parse import unquote

from stedopt_bluesky.cli.ingesting import tell_of_trouble
from stedopt_bluesky.cli.interrupts import calling
from stedopt_bluesky.cli.output import console, fail, warn
from stedopt_bluesky.cli.serving import check_port, end, listening, quiet_server, tell
from stedopt_bluesky.config import ConfigError
from stedopt_bluesky.config.keys import READ_VARIABLE, VARIABLE, key_from, secret_from

DATABASE_VARIABLE = "STEDOPT_CATALOG_DATABASE"


def serve_catalog(catalog: Path, host: str, port: int, *, feed: bool) -> None:
    """Serve a catalogue until SIGINT or SIGTERM, and feed it from its journals.

    Raises
    ------
    ConfigError, CatalogError
        When the catalogue is none or open elsewhere, a key cannot be used, or the address cannot
        be listened on.
    """
    check_port(port)
    from stedopt_bluesky.records.background import BackgroundIngestion
    from stedopt_bluesky.records.folder import CatalogFolder
    from stedopt_bluesky.records.following import Target
    from stedopt_bluesky.web.catalog_service import catalog_app, served_alone
    from stedopt_bluesky.web.roles import Role

    folder = CatalogFolder.create_or_open(catalog)
    database = secret_from(os.environ, DATABASE_VARIABLE) or ""
    if database and not database.startswith("postgresql://"):
        raise ConfigError(f"{DATABASE_VARIABLE}: postgresql://USER:PASSWORD@HOST/NAME")
    keys, made = _keys()
    with contextlib.ExitStack() as closing:
        listener = closing.enter_context(listening(host, port))
        if not database:
            closing.enter_context(served_alone(folder))
        with console.status("opening the catalogue ..."):
            try:
                app = catalog_app(folder, {key: Role(role) for role, key in keys.items()}, database)
            except Exception as error:  # whatever SQLAlchemy and its drivers raise
                why = _without_secrets(str(error) or type(error).__name__, database, keys.values())
                fail(f"the catalogue cannot be served: {why}", code=2)
        server = quiet_server(app)
        with calling(partial(end, server), signal.SIGINT, signal.SIGTERM):
            tell(listener, host, "")
            for role in made:
                variable = READ_VARIABLE if role == "read" else VARIABLE
                console.print(
                    f"key to {role}: {keys[role]} (made for this session; set {variable} to use "
                    "one of your own)",
                    soft_wrap=True,
                    markup=False,
                )
            if feed:
                target = Target(folder, _own_address(listener), keys["write"], own=not database)
                try:
                    closing.callback(BackgroundIngestion(target, tell_of_trouble).kill)
                except OSError as error:
                    warn(f"the catalogue is not fed: {error}")
            server.run(sockets=[listener])


def _own_address(listener: socket.socket) -> str:
    """Where this program itself reaches the server, whatever it listens on."""
    host, port = listener.getsockname()[:2]
    # What listens on all addresses has none of its own.
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def _without_secrets(text: str, database: str, keys: Iterable[str]) -> str:
    """One line of an error, in which Tiled or a driver may have put what it was given."""
    from stedopt_bluesky.records.tiled_server import own_api_key

    user = database.partition("://")[2].rpartition("@")[0]
    password = user.partition(":")[2]
    secrets = {database, password, unquote(password), own_api_key(), *keys} - {""}
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, "...")
    return " ".join(text.split())


def _keys() -> tuple[dict[str, str], list[str]]:
    """Keys by what they allow, and which of them were made here."""
    keys, made = {}, []
    for role, variable in (("write", VARIABLE), ("read", READ_VARIABLE)):
        keys[role], new = key_from(os.environ, variable)
        if not (keys[role].isascii() and keys[role].isalnum()):
            # Tiled 0.2.20's client would show no key at all.
            raise ConfigError(f"{variable}: letters and digits only")
        if new:
            made.append(role)
    if keys["read"] == keys["write"]:
        raise ConfigError(f"{READ_VARIABLE}: another key than {VARIABLE}, which may write")
    return keys, made
