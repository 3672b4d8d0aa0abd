"""Who may see the page: a browser that has opened a link that works once."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Mapping
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from stedopt_bluesky.web.roles import App, Receive, Scope, Send

LINK = "link"
_BYTES = 24
_SLASHES = "/\\"
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_REFUSED = (
    "<!doctype html><html lang=en><title>stedopt</title><body style='font-family: sans-serif'>"
    "<h1>A link is needed</h1><p>{why}</p>"
    "<p>Each link works once. The terminal of the run shows the next one.</p></body></html>"
)


class Links:
    """Links that work once, and the browsers that have used one.

    Parameters
    ----------
    used : callable, optional
        Called after a link was used, when there may be a next one.
    """

    def __init__(self, used: Callable[[], object] = lambda: None) -> None:
        self._used = used
        # Of what is secret the digests alone: a look-up's time tells nothing of them.
        self._waiting: set[bytes] = set()
        self._browsers: set[bytes] = set()

    @property
    def were_used(self) -> bool:
        """Whether a browser has used one."""
        return bool(self._browsers)

    def new(self) -> str:
        """Make a link's secret."""
        secret = secrets.token_urlsafe(_BYTES)
        self._waiting.add(_digest(secret))
        return secret

    def use(self, secret: str) -> str | None:
        """Exchange a link's secret for a browser's own; None when it is none, or was used."""
        try:
            self._waiting.remove(_digest(secret))
        except KeyError:
            return None
        browser = secrets.token_urlsafe(_BYTES)
        self._browsers.add(_digest(browser))
        self._used()
        return browser

    def knows(self, browser: str) -> bool:
        """Whether this is the secret of a browser that has used a link."""
        return _digest(browser) in self._browsers


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


class OnlyByLink:
    """ASGI application that lets through who has used a link, by a cookie.

    What another page makes the browser ask is refused: names of this computer that are none
    (DNS rebinding), and requests that come from elsewhere than the page.

    Parameters
    ----------
    app : callable
        The page.
    links : Links
        The links.
    port : int
        Where it listens; part of the cookie's name, since cookies know no ports.
    hosts : sequence of str
        Names by which it may be asked.
    """

    def __init__(
        self, app: App, links: Links, port: int, hosts: tuple[str, ...] = _LOOPBACK
    ) -> None:
        self._app = app
        self._links = links
        self._cookie = f"stedopt-{port}"
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, exchange a link, or refuse."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        headers = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]
        }
        if why := self._foreign(headers):
            await _refuse(scope, send, 403, why)
            return
        query = parse_qsl(scope.get("query_string", b"").decode("latin-1"), keep_blank_values=True)
        secret = dict(query).get(LINK)
        if secret is not None and scope["type"] == "http" and scope["method"] == "GET":
            await self._exchange(scope, send, secret, [pair for pair in query if pair[0] != LINK])
        elif self._links.knows(self._browser(headers)):
            await self._app(scope, receive, send)
        else:
            await _refuse(scope, send, 401, "This browser has not opened one.")

    def _foreign(self, headers: Mapping[str, str]) -> str:
        """Why a request is none of the page's own; empty where it is."""
        host, origin = headers.get("host", ""), headers.get("origin")
        try:
            known = urlsplit(f"//{host}").hostname in self._hosts
            own = origin is None or urlsplit(origin).netloc == host
        except ValueError:  # no address at all
            return "This is no address of the page."
        if not known:
            return "This computer is not known by that name."
        return "" if own else "Another page has asked."

    def _browser(self, headers: Mapping[str, str]) -> str:
        try:
            morsel = SimpleCookie(headers.get("cookie", "")).get(self._cookie)
        except CookieError:
            return ""
        return morsel.value if morsel is not None else ""

    async def _exchange(
        self, scope: Scope, send: Send, secret: str, query: list[tuple[str, str]]
    ) -> None:
        browser = self._links.use(secret)
        if browser is None:
            await _refuse(scope, send, 401, "This link is none, or was used.")
            return
        # One slash: two, or a backslash, would name another computer.
        where = f"/{quote(scope['path'].lstrip(_SLASHES))}"
        where += f"?{urlencode(query)}" if query else ""
        cookie = f"{self._cookie}={browser}; Path=/; HttpOnly; SameSite=Strict"
        headers = [
            (b"location", where.encode("ascii")),
            (b"set-cookie", cookie.encode("latin-1")),
            (b"referrer-policy", b"no-referrer"),
            (b"content-length", b"0"),
        ]
        await send({"type": "http.response.start", "status": 303, "headers": headers})
        await send({"type": "http.response.body", "body": b""})


async def _refuse(scope: Scope, send: Send, status: int, why: str) -> None:
    if scope["type"] != "http":
        await send({"type": "websocket.close", "code": 1008, "reason": why})
        return
    body = _REFUSED.format(why=why).encode()
    headers = [
        (b"content-type", b"text/html; charset=utf-8"),
        (b"content-length", str(len(body)).encode()),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
