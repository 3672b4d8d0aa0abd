"""``stedopt serve catalog``."""

from __future__ import annotations

import contextlib
import os
import signal
from functools import partial
from pathlib import Path
from urllib.parse import unquote

from stedopt_bluesky.cli.interrupts import calling
from stedopt_bluesky.cli.output import console, fail
from stedopt_bluesky.cli.serving import end, listening, quiet_server, tell
from stedopt_bluesky.config import ConfigError
from stedopt_bluesky.config.keys import ApiKeyError, key_from

READ_VARIABLE = "STEDOPT_READ_KEY"
DATABASE_VARIABLE = "STEDOPT_CATALOG_DATABASE"


def serve_catalog(catalog: Path, host: str, port: int, *, feed: bool) -> None:
    """Serve a catalogue until SIGINT or SIGTERM, and feed it from its journals.

    Raises
    ------
    ConfigError, CatalogError
        When the catalogue is none or open elsewhere, a key cannot be used, or the address cannot
        be listened on.
    """
    if not 0 <= port <= 65535:
        raise ConfigError(f"port = {port}: 0 to 65535")
    from stedopt_bluesky.records.background import BackgroundIngestion
    from stedopt_bluesky.records.folder import CatalogFolder
    from stedopt_bluesky.records.following import Target
    from stedopt_bluesky.web.catalog_service import catalog_app, served_alone
    from stedopt_bluesky.web.roles import Role

    folder = CatalogFolder.create_or_open(catalog)
    database = os.environ.get(DATABASE_VARIABLE, "")
    if database and not database.startswith("postgresql://"):
        raise ConfigError(f"{DATABASE_VARIABLE}: postgresql://USER:PASSWORD@HOST/NAME")
    keys, made = _keys()
    with contextlib.ExitStack() as closing:
        listener = closing.enter_context(listening(host, port))
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        if not database:
            closing.enter_context(served_alone(folder, address))
        with console.status("opening the catalogue ..."):
            try:
                app = catalog_app(folder, {key: Role(role) for role, key in keys.items()}, database)
            except Exception as error:  # whatever SQLAlchemy and its drivers raise
                reason = " ".join(str(error).split()) or type(error).__name__
                # Drivers name what they were given.
                for secret in _secrets(database):
                    reason = reason.replace(secret, "...")
                fail(f"the catalogue cannot be served: {reason}", code=2)
        server = quiet_server(app)
        with calling(partial(end, server), signal.SIGINT, signal.SIGTERM):
            tell(listener, host, "")
            for role in made:
                variable = READ_VARIABLE if role == "read" else "STEDOPT_API_KEY"
                console.print(
                    f"key to {role}: {keys[role]} (made for this session; set {variable} to use "
                    "one of your own)",
                    soft_wrap=True,
                    markup=False,
                )
            if feed:
                target = Target(folder, address, keys["write"])
                closing.callback(BackgroundIngestion(target).kill)
            server.run(sockets=[listener])


def _secrets(database: str) -> list[str]:
    """Parts of a database's address that must not be shown, the longest first."""
    account, at, _ = database.partition("://")[2].rpartition("@")
    password = account.partition(":")[2]
    return [text for text in (account + at, password, unquote(password)) if len(text) > 1]


def _keys() -> tuple[dict[str, str], list[str]]:
    """Keys by what they allow, and which of them were made here."""
    keys, made = {}, []
    for role, variable in (("write", "STEDOPT_API_KEY"), ("read", READ_VARIABLE)):
        told = os.environ.get(variable)
        try:
            keys[role], new = key_from({} if told is None else {"STEDOPT_API_KEY": told})
        except ApiKeyError as error:
            raise ConfigError(str(error).replace("STEDOPT_API_KEY", variable)) from None
        if not (keys[role].isascii() and keys[role].isalnum()):
            # Tiled 0.2.20's client would show no key at all.
            raise ConfigError(f"{variable}: letters and digits only")
        if new:
            made.append(role)
    if keys["read"] == keys["write"]:
        raise ConfigError(f"{READ_VARIABLE}: another key than STEDOPT_API_KEY, which may write")
    return keys, made
