"""Only a browser that has used a link gets in, each link lets one in, and nobody from elsewhere."""

import asyncio
import re

import httpx
import pytest

from stedopt_bluesky.web.page.links import Links, OnlyByLink

PORT = 8123
OWN = f"http://127.0.0.1:{PORT}"


async def page(scope, receive, send):
    body = f"{scope['path']}?{scope['query_string'].decode()}".encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


class Browser:
    """One that keeps cookies."""

    def __init__(self, links, app=page):
        self._app = OnlyByLink(app, links, PORT)
        self.cookies = httpx.Cookies()

    def ask(self, path="/", *, base=OWN, method="GET", headers=None, cookies=None):
        async def request():
            transport = httpx.ASGITransport(self._app)
            async with httpx.AsyncClient(transport=transport, base_url=base) as client:
                client.cookies = self.cookies if cookies is None else cookies
                answer = await client.request(method, path, headers=headers)
                self.cookies = client.cookies
                return answer

        return asyncio.run(request())


@pytest.fixture
def links():
    return Links()


def test_a_link_lets_one_browser_in_for_good(links):
    secret = links.new()
    first, second = Browser(links), Browser(links)
    assert first.ask("/").status_code == 401
    answer = first.ask(f"/runs?link={secret}&of=today")
    assert (answer.status_code, answer.headers["location"]) == (303, "/runs?of=today")
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert secret not in cookie
    for _ in range(2):
        assert first.ask("/runs?of=today").text == "/runs?of=today"
    # Used.
    refused = second.ask(f"/?link={secret}")
    assert refused.status_code == 401
    assert "was used" in refused.text
    assert second.ask("/").status_code == 401
    assert second.ask(f"/?link={links.new()}").status_code == 303
    assert second.ask("/").status_code == 200
    assert first.ask("/").status_code == 200


def test_the_next_link_is_told_when_one_was_used():
    told = []
    links = Links(used=lambda: told.append(links.new()))
    browser = Browser(links)
    browser.ask("/?link=nosuch")
    assert told == []
    browser.ask(f"/?link={links.new()}")
    (secret,) = told
    assert Browser(links).ask(f"/?link={secret}").status_code == 303


@pytest.mark.parametrize(
    "cookie",
    [
        "",
        "stedopt-8123=",
        "stedopt-8123=x",
        "stedopt-8123=\x7f;;=",
        "stedopt-8124={secret}",
        "{secret}",
    ],
)
def test_a_cookie_that_is_none_lets_nobody_in(links, cookie):
    secret = links.use(links.new())
    headers = {"cookie": cookie.format(secret=secret)}
    assert Browser(links).ask("/", headers=headers).status_code == 401
    headers = {"cookie": f"other=1; stedopt-8123={secret}"}
    assert Browser(links).ask("/", headers=headers).status_code == 200


def test_a_secret_of_a_link_is_no_cookie_and_none_of_a_browser_a_link(links):
    secret = links.new()
    assert not links.knows(secret)
    assert links.use(links.use(secret)) is None


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "evil.example"}, 403),
        ({"host": f"evil.example:{PORT}"}, 403),
        ({"host": f"127.0.0.1.evil.example:{PORT}"}, 403),
        ({"host": ""}, 403),
        ({"host": "[::1"}, 403),
        ({"origin": "http://[::1"}, 403),
        ({"host": f"localhost:{PORT}"}, 200),
        ({"host": f"[::1]:{PORT}"}, 200),
        ({"origin": OWN}, 200),
        ({"origin": "http://127.0.0.1:9999"}, 403),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "null"}, 403),
    ],
)
def test_nobody_from_elsewhere_gets_in(links, headers, status):
    secret = links.use(links.new())
    asked = {"cookie": f"stedopt-{PORT}={secret}", **headers}
    for method in ("GET", "POST"):
        assert Browser(links).ask("/", headers=asked, method=method).status_code == status


def test_no_link_is_used_up_by_who_is_from_elsewhere(links):
    secret = links.new()
    assert (
        Browser(links).ask(f"/?link={secret}", headers={"host": "evil.example"}).status_code == 403
    )
    assert Browser(links).ask(f"/?link={secret}", method="POST").status_code == 401
    assert Browser(links).ask(f"/?link={secret}").status_code == 303


@pytest.mark.parametrize(
    "path",
    ["//evil.example/x", "/\\evil.example", "///evil.example", "/x\r\nset-cookie: a=b", "/µ"],
)
def test_a_link_leads_nowhere_else(links, path):
    """What comes after it in the address is a path of this page."""
    sent = []

    async def run():
        scope = {
            "type": "http", "method": "GET", "path": path,
            "headers": [(b"host", f"127.0.0.1:{PORT}".encode())],
            "query_string": f"link={links.new()}".encode(),
        }  # fmt: skip

        async def send(message):
            sent.append(message)

        await OnlyByLink(page, links, PORT)(scope, None, send)

    asyncio.run(run())
    location = dict(sent[0]["headers"])[b"location"].decode()
    assert re.fullmatch(r"/[A-Za-z0-9%.][A-Za-z0-9%./-]*", location), location


def test_a_websocket_needs_the_same(links):
    sent, reached = [], []

    async def app(scope, receive, send):
        reached.append(scope["path"])

    async def ask(headers):
        async def send(message):
            sent.append(message)

        own = [(b"host", f"127.0.0.1:{PORT}".encode())]
        scope = {
            "type": "websocket",
            "path": "/ws",
            "query_string": b"link=x",
            "headers": own + headers,
        }
        await OnlyByLink(app, links, PORT)(scope, None, send)

    asyncio.run(ask([]))
    cookie = (b"cookie", f"stedopt-{PORT}={links.use(links.new())}".encode())
    asyncio.run(ask([cookie, (b"origin", b"http://127.0.0.1:1")]))
    assert [message["type"] for message in sent] == ["websocket.close"] * 2
    assert reached == []
    asyncio.run(ask([cookie, (b"origin", OWN.encode())]))
    assert reached == ["/ws"]
