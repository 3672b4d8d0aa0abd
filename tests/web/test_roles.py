"""Who may do what: every key, method and path; and nothing of a key goes on."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stedopt_bluesky.web.roles import Role, Roles

KEYS = {"reader-key": Role.read, "writer-key": Role.write}


def asked(method="GET", path="/api/v1/metadata/", headers=(), query=b"", kind="http"):
    """Ask, and give the status and what the server behind has seen."""
    seen, sent = [], []

    async def app(scope, receive, send):
        seen.append(scope)
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def send(message):
        sent.append(message)

    scope = {
        "type": kind,
        "method": method,
        "path": path,
        "headers": list(headers),
        "query_string": query,
    }
    asyncio.run(Roles(app, KEYS, "own-key")(scope, None, send))
    status = sent[0].get("status", sent[0].get("code"))
    return status, (seen or [None])[0]


def apikey(key):
    return [(b"authorization", f"Apikey {key}".encode())]


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"])
def test_who_may_do_what(method):
    reads = method in ("GET", "HEAD", "OPTIONS")
    assert asked(method, headers=apikey("writer-key"))[0] == 200
    assert asked(method, headers=apikey("reader-key"))[0] == (200 if reads else 403)
    assert asked(method)[0] == 401


def test_reading_many_columns_is_reading():
    path = "/api/v1/table/full/run/primary/internal"
    assert asked("POST", path, apikey("reader-key"))[0] == 200
    assert asked("DELETE", path, apikey("reader-key"))[0] == 403
    assert asked("POST", "/api/v1/metadata/x", apikey("reader-key"))[0] == 403
    assert asked("POST", "/api/v1/register/x", apikey("reader-key"))[0] == 403


@pytest.mark.parametrize(
    "headers",
    [
        apikey(""),
        apikey("reader-ke"),
        apikey("own-key"),
        [(b"authorization", b"Bearer reader-key")],
        [(b"cookie", b"tiled_api_key=own-key")],
    ],
)
def test_what_is_no_key(headers):
    assert asked(headers=headers)[0] == 401


@given(st.binary(max_size=80), st.binary(max_size=80))
def test_no_bytes_pass_for_a_key(header, query):
    status, seen = asked(headers=[(b"authorization", header)], query=query)
    assert (status, seen) == (401, None)


def test_the_key_of_an_address_counts_and_goes_no_further():
    query = b"fields=&api_key=reader-key&q=a%26b"
    status, seen = asked(query=query, headers=[(b"cookie", b"x=y"), (b"accept", b"*/*")])
    assert status == 200
    assert seen["query_string"] == b"fields=&q=a%26b"
    assert seen["headers"] == [(b"accept", b"*/*"), (b"authorization", b"Apikey own-key")]


def test_a_stream_needs_a_key_too():
    assert asked(kind="websocket")[0] == 1008
    assert asked(kind="websocket", headers=apikey("reader-key"))[0] == 200


def test_health_is_open_to_all():
    for path in ("/healthz", "/api/v1/"):
        status, seen = asked(path=path, headers=apikey("whatever"))
        assert (status, seen["headers"]) == (200, [])
        assert asked("POST", path)[0] == 401
