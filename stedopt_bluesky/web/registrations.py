"""What a Tiled server may be told to serve: frames in HDF5 files of the catalogue's own arrays.

Tiled 0.2.20 serves any file that a client registers whose address begins as that of its folder
does, ``..`` or not, and what links and HDF5 files lead to. Of files elsewhere it lets the runs in,
and serves nothing. A key to write runs into a catalogue is
no key to read the server's disk.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path, PurePath
from typing import Any
from urllib.parse import unquote

from stedopt_bluesky.records.assets import served_path, tiled_address
from stedopt_bluesky.records.folder import CatalogError
from stedopt_bluesky.web.roles import App, Receive, Scope, Send, answer_json

# Paths by which files become known; the data of tables and arrays come by others.
_PATHS = ("/api/v1/register/", "/api/v1/data_source/", "/api/v1/metadata/")
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
        if reason := self._refused(body):
            await answer_json(send, 400, reason)
            return
        waiting = [{"type": "http.request", "body": body, "more_body": False}]

        async def again() -> Any:
            return waiting.pop() if waiting else await receive()

        await self._app(scope, again, send)

    def _refused(self, body: bytes) -> str:
        if not body:
            return ""
        try:
            for source in _sources(json.loads(body)):
                for asset in source.get("assets", ()):
                    uri = str(asset["data_uri"])
                    outside = bool(asset["parameter"]) and self._is_elsewhere(uri)
                    files = source.get("management") == "external" or uri.startswith("file:")
                    if files and not outside:
                        self._check(source, uri)
        except (CatalogError, OSError) as error:
            return f"refused: {error}"
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return "refused: not the JSON of a node and its data sources"
        return ""

    def _is_elsewhere(self, uri: str) -> bool:
        """Whether Tiled itself will serve nothing of it: what another computer has, say."""
        path = PurePath("/", unquote(uri.removeprefix("file://localhost/")))
        return (
            uri.startswith("file://localhost/")
            and ".." not in path.parts
            and not path.is_relative_to(self._arrays)
        )

    def _check(self, source: dict[str, Any], uri: str) -> None:
        resource = {
            "data_key": str(source.get("mimetype")),
            "mimetype": source.get("mimetype"),
            "uri": uri,
            "parameters": source["parameters"],
        }
        path = served_path(resource, self._arrays)
        # Tiled opens what the address says, as it stands.
        if uri.removeprefix("file://localhost") != tiled_address(path).removeprefix(
            "file://localhost"
        ):
            raise CatalogError(f"{uri!r} is not how this server names {path}")


def _sources(body: Any) -> Iterator[dict[str, Any]]:
    yield from body.get("data_sources") or ()
    if body.get("data_source"):
        yield body["data_source"]
