"""What a Tiled server may be told to serve: frames in HDF5 files of the catalogue's own arrays.

Tiled 0.2.20 serves any file that a client registers whose address begins as that of its folder
does, ``..`` or not, and what links and HDF5 files lead to; and it deletes the files of what is not
``external``, wherever they are. Of files elsewhere it lets the runs in, and serves nothing. A key
to write runs into a catalogue is no key to the server's disk.
"""

from __future__ import annotations

import asyncio
import json
import unicodedata
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlparse

from stedopt_bluesky.records.assets import served_path, tiled_address
from stedopt_bluesky.records.folder import CatalogError
from stedopt_bluesky.web.roles import App, Receive, Scope, Send, answer_json

# Paths by which files become known; the data of tables and arrays come by others.
_PATHS = ("/api/v1/register/", "/api/v1/data_source/", "/api/v1/metadata/")
_UPDATES = _PATHS[1]
# What a client may say of data that Tiled is to store by itself.
_STORED_PARAMETERS = frozenset({"table_name"})
MAX_BODY_BYTES = 16 * 2**20


class Registrations:
    """ASGI application that lets no file be registered but what `served_path` allows.

    Parameters
    ----------
    app : callable
        The Tiled server, as ASGI application.
    arrays : Path
        The catalogue's folder of arrays.
    """

    def __init__(self, app: App, arrays: Path) -> None:
        self._app = app
        self._arrays = arrays

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer 400 or 413."""
        writes = scope["type"] == "http" and scope["method"] in ("POST", "PUT", "PATCH")
        if not (writes and scope["path"].startswith(_PATHS)):
            await self._app(scope, receive, send)
            return
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] != "http.request":  # the client is gone
                return
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if len(body) > MAX_BODY_BYTES:
                await answer_json(send, 413, f"the body is larger than {MAX_BODY_BYTES:,} bytes")
                return
        # In a thread: a file is opened for it, which may be on a slow disk.
        if reason := await asyncio.to_thread(self._refused, body, scope["path"]):
            await answer_json(send, 400, reason)
            return
        waiting = [{"type": "http.request", "body": body, "more_body": False}]

        async def again() -> Any:
            return waiting.pop() if waiting else await receive()

        await self._app(scope, again, send)

    def _refused(self, body: bytes, path: str) -> str:
        if not body:
            return ""
        try:
            asked = json.loads(body)
            _check_key(asked.get("id"))
            for source in _sources(asked):
                if source.get("management") == "external":
                    self._check_external(source)
                else:
                    _check_stored(source, updates=path.startswith(_UPDATES))
        except (CatalogError, OSError) as error:
            return f"refused: {error}"
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return "refused: not the JSON of a node and its data sources"
        return ""

    def _check_external(self, source: dict[str, Any]) -> None:
        """Check data in files that the client names."""
        if not source["assets"]:
            # Some of Tiled's readers take addresses from the parameters then.
            raise CatalogError("data in files of which none is named")
        for asset in source["assets"]:
            uri = asset["data_uri"]
            path = _path_of(uri)
            # Tiled itself serves nothing of another computer's files, unless they have no part.
            if asset["parameter"] is None or self._is_within(path):
                self._check_own(source, uri)

    def _is_within(self, path: Path) -> bool:
        """Whether a path is in the catalogue's folder, in which Tiled serves what it finds."""
        catalogue = self._arrays.parent
        return path.is_relative_to(catalogue) or Path(unquote(str(path))).is_relative_to(catalogue)

    def _check_own(self, source: dict[str, Any], uri: str) -> None:
        resource = {
            "data_key": str(source.get("mimetype")),
            "mimetype": source.get("mimetype"),
            "uri": uri,
            "parameters": source["parameters"],
        }
        path = served_path(resource, self._arrays)
        # Tiled opens what the address says, as it stands.
        if uri != tiled_address(path):
            raise CatalogError(f"{uri!r} is not how this server names {path}")


def _path_of(uri: str) -> Path:
    """Path that Tiled makes of an address, which must be the only one that it can be read as.

    Raises
    ------
    CatalogError
        When it is no address of a file, or one that is written in another way than Tiled does:
        urlparse drops tabs, ends of lines, queries and leading spaces, and takes any case.
    """
    from tiled.utils import path_from_uri

    path = urlparse(uri).path
    decoded = unquote(path)
    parts = PurePosixPath(decoded).parts
    if (
        uri != f"file://localhost{PurePosixPath(path)}"
        or path.startswith("//")
        or ".." in parts
        or len(parts) != len(PurePosixPath(path).parts)
        or any(c == "\\" or unicodedata.category(c).startswith("C") for c in decoded)
    ):
        raise CatalogError(f"{uri!r} is not the plain address of a file, file://localhost/...")
    return path_from_uri(uri)


def _check_stored(source: dict[str, Any], *, updates: bool) -> None:
    """Check data that Tiled is to store where it likes."""
    if updates or source.get("assets") or set(source.get("parameters", ())) - _STORED_PARAMETERS:
        # Tiled 0.2.20 would delete such files along with the node.
        raise CatalogError("where Tiled stores data by itself, no client says")


def _check_key(key: object) -> None:
    # Tiled 0.2.20 makes the path of what it stores of the keys.
    if key is not None and (key in (".", "..") or set(str(key)) & set("/\\")):
        raise CatalogError(f"{key!r} cannot be the key of a node")


def _sources(body: Any) -> Iterator[dict[str, Any]]:
    yield from body.get("data_sources") or ()
    if body.get("data_source"):
        yield body["data_source"]
