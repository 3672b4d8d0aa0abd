"""Keys with roles in front of a Tiled server: some may read, some may write, all others nothing."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from enum import StrEnum
from typing import Any
from urllib.parse import parse_qsl, urlencode

from stedopt_bluesky.config.keys import is_same

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_READING = frozenset({"GET", "HEAD", "OPTIONS"})
# What is read by POST, as the names of many columns do not fit into an address (Tiled 0.2.20).
_READ_BY_POST = (
    "/api/v1/table/partition/",
    "/api/v1/table/full/",
    "/api/v1/container/full/",
    "/api/v1/awkward/buffers/",
)
# That it lives, and what a client must know before it shows its key.
_OPEN = frozenset({"/healthz", "/api/v1", "/api/v1/"})


class Role(StrEnum):
    """What a key allows."""

    read = "read"
    write = "write"


class Roles:
    """ASGI application that lets through what a key allows, with the server's own key.

    Parameters
    ----------
    app : callable
        The Tiled server, as ASGI application.
    keys : mapping of str to Role
        The keys and what each allows.
    own_key : str
        The server's, which nobody is told.
    """

    def __init__(self, app: App, keys: Mapping[str, Role], own_key: str) -> None:
        self._app = app
        self._keys = dict(keys)
        self._own_key = own_key

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer 401 or 403."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["path"] in _OPEN and scope.get("method") in _READING:
            await self._app(_with_key(scope, ""), receive, send)
            return
        role = self._role(_given(scope))
        if role is None:
            await _refuse(scope, send, 401, "a key is needed: Authorization: Apikey KEY")
        elif role is Role.read and not _reads(scope):
            await _refuse(scope, send, 403, "this key may read only")
        else:
            await self._app(_with_key(scope, self._own_key), receive, send)

    def _role(self, given: str) -> Role | None:
        found = None
        for key, role in self._keys.items():  # all of them: the time must not tell which
            if is_same(given, key):
                found = role
        return found if given else None


def _given(scope: Scope) -> str:
    """Key that a request brings, in its header or its address."""
    for name, value in scope["headers"]:
        if name == b"authorization":
            scheme, _, key = value.decode("latin-1").partition(" ")
            if scheme.lower() == "apikey":
                return str(key.strip())
    query = parse_qsl(scope.get("query_string", b"").decode("latin-1"))
    return next((value for name, value in query if name == "api_key"), "")


def _reads(scope: Scope) -> bool:
    if scope["type"] != "http":  # a stream of what comes
        return True
    return scope["method"] in _READING or (
        scope["method"] == "POST" and scope["path"].startswith(_READ_BY_POST)
    )


def _with_key(scope: Scope, key: str) -> Scope:
    """Request with the server's key, or none, in place of what it brought."""
    unwanted = (b"authorization", b"cookie")
    headers = [(name, value) for name, value in scope["headers"] if name not in unwanted]
    if key:
        headers.append((b"authorization", f"Apikey {key}".encode("latin-1")))
    query = parse_qsl(scope.get("query_string", b"").decode("latin-1"), keep_blank_values=True)
    kept = urlencode([(name, value) for name, value in query if name != "api_key"])
    return {**scope, "headers": headers, "query_string": kept.encode("latin-1")}


async def _refuse(scope: Scope, send: Send, status: int, why: str) -> None:
    if scope["type"] != "http":
        await send({"type": "websocket.close", "code": 1008, "reason": why})
        return
    await answer_json(send, status, why, [(b"www-authenticate", b"Apikey")])


async def answer_json(
    send: Send, status: int, why: str, more: Sequence[tuple[bytes, bytes]] = ()
) -> None:
    """Answer a request with the reason why it is refused, as Tiled does."""
    body = json.dumps({"detail": why}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        *more,
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
