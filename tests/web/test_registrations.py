"""What a client with the key to write may have served: frames of the catalogue's own arrays."""

import asyncio
import json
import threading

import h5py
import numpy as np
import pytest

from stedopt_bluesky.records.assets import served_path
from stedopt_bluesky.web import registrations
from stedopt_bluesky.web.registrations import MAX_BODY_BYTES, Registrations


@pytest.fixture
def arrays(tmp_path):
    folder = tmp_path / "catalogue" / "arrays"
    folder.mkdir(parents=True)
    (tmp_path / "secret").write_text("secret")
    for path in (folder / "own.h5", tmp_path / "other.h5"):
        with h5py.File(path, "w") as file:
            file["frames"] = np.zeros((2, 3, 3))
            file["link"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "frames")
            file.create_dataset(
                "raw", shape=(6,), dtype="u1", external=[(str(tmp_path / "secret"), 0, 6)]
            )
    (folder / "link.h5").symlink_to(tmp_path / "other.h5")
    return folder


def asked(arrays, body, path="/api/v1/register/", parts=1):
    """Ask, and give the status and what the server behind has had of the body."""
    had, sent = [], []

    async def app(scope, receive, send):
        had.append((await receive())["body"])
        await send({"type": "http.response.start", "status": 200, "headers": []})

    step = -(-len(body) // parts) or 1
    waiting = [body[i : i + step] for i in range(0, len(body), step)] or [b""]

    async def receive():
        part = waiting.pop(0)
        return {"type": "http.request", "body": part, "more_body": bool(waiting)}

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": path, "headers": []}
    asyncio.run(Registrations(app, arrays)(scope, receive, send))
    return sent[0]["status"], (had or [None])[0]


def node(uri, mimetype="application/x-hdf5", **parameters):
    source = {
        "mimetype": mimetype,
        "management": "external",
        "parameters": {"dataset": "frames", **parameters},
        "assets": [{"data_uri": uri, "is_directory": False, "parameter": "data_uris", "num": 0}],
    }
    return {"structure_family": "array", "metadata": {}, "data_sources": [source]}


@pytest.mark.parametrize("parts", [1, 7])
def test_own_frames_pass_unchanged(arrays, parts):
    body = json.dumps(node(f"file://localhost{arrays}/own.h5")).encode()
    assert asked(arrays, body, parts=parts) == (200, body)


@pytest.mark.parametrize(
    ("address", "more"),
    [
        ("{arrays}/../../other.h5", {}),
        ("{arrays}/../../secret", {}),
        ("{arrays}/%2e%2e/%2e%2e/other.h5", {}),
        ("{arrays}/link.h5", {}),
        ("{arrays}/../arrays/own.h5", {}),
        ("{arrays}/own.h5", {"dataset": "link"}),
        ("{arrays}/own.h5", {"dataset": "raw"}),
        ("{arrays}/own.h5", {"dataset": "/"}),
        ("{arrays}/own.h5", {"dataset": 7}),
        ("{arrays}/own.h5", {"mimetype": "text/csv"}),
        ("{arrays}/", {"template": "../../other.h5"}),
    ],
)
def test_nothing_else_is_registered(arrays, address, more):
    uri = "file://localhost" + address.format(arrays=arrays, outside=arrays.parent.parent)
    whole = node(uri, **more)
    one = {"data_source": whole["data_sources"][0]}
    for path, body in (
        ("/api/v1/register/a", whole),
        ("/api/v1/metadata/a", whole),
        ("/api/v1/data_source/a", one),
    ):
        status, had = asked(arrays, json.dumps(body).encode(), path)
        assert (status, had) == (400, None)


@pytest.mark.parametrize("management", ["external", "writable", "immutable", "locked"])
@pytest.mark.parametrize("parameter", ["data_uris", None])
@pytest.mark.parametrize(
    "address",
    [
        "FILE://localhost{outside}/secret",
        " file://localhost{outside}/secret",
        "\x1ffile://localhost{outside}/secret",
        "fi\tle://localhost{outside}/secret",
        "file://localhost{outside}/cata\tlogue/arrays/.\t./.\t./secret",
        "file://localhost{outside}/cata\nlogue/arrays/own.h5",
        "file://localhost{outside}/x/.\r./catalogue/arrays/own.h5",
        "file://localhost/{outside}/secret",
        "file://localhost//{outside}/catalogue/arrays/own.h5",
        "file://localhost///{outside}/catalogue/arrays/own.h5",
        "file://localhost/./{outside}/catalogue/arrays/own.h5",
        "file://localhost{outside}/catalogue/arrays/own.h5?a",
        "file://localhost{outside}/catalogue/arrays/own.h5#a",
        "file://localhost{outside}/elsewhere?/../catalogue/arrays/own.h5",
        "file://localhost{outside}/catalogue/%61rrays/own.h5",
        "file://localhost{outside}/catalogue%2farrays/own.h5",
        "file://localhost{outside}/elsewhere/%2e%2e/secret",
        "file://localhost{outside}/elsewhere%00",
        "file://localhost{outside}/elsewhere\\..\\secret",
        "file://localhost{outside}/catalogue/tiled/data/x",
        "file://microscope{outside}/secret",
        "file://{outside}/secret",
        "file:{outside}/secret",
        "{outside}/secret",
        "duckdb://{outside}/catalogue/tiled/tables.duckdb",
        "http://localhost/secret",
        7,
        None,
    ],
)
def test_an_address_that_could_be_read_in_two_ways_is_refused(
    arrays, address, management, parameter
):
    uri = address
    if isinstance(address, str):
        uri = address.format(outside=arrays.parent.parent)
    whole = node(uri, mimetype="text/csv")
    (source,) = whole["data_sources"]
    source["management"] = management
    source["assets"][0]["parameter"] = parameter
    for path, body in (
        ("/api/v1/register/a", whole),
        ("/api/v1/metadata/a", whole),
        ("/api/v1/data_source/a", {"data_source": source}),
    ):
        assert asked(arrays, json.dumps(body).encode(), path) == (400, None)


@pytest.mark.parametrize("where", ["{arrays}/own.h5", "/on/the/microscope/arrays/x.h5"])
@pytest.mark.parametrize("management", ["writable", "immutable", "locked", None])
def test_files_that_tiled_would_delete_are_its_own_alone(arrays, where, management):
    body = node("file://localhost" + where.format(arrays=arrays))
    assert asked(arrays, json.dumps(body).encode())[0] == 200
    (source,) = body["data_sources"]
    source["management"] = management
    assert asked(arrays, json.dumps(body).encode()) == (400, None)
    del source["management"]  # Tiled takes it for its own
    assert asked(arrays, json.dumps(body).encode()) == (400, None)


@pytest.mark.parametrize("management", ["external", "writable"])
def test_parameters_name_no_file(arrays, management):
    body = node("", mimetype="multipart/related;type=image/tiff")
    (source,) = body["data_sources"]
    source |= {
        "management": management,
        "assets": [],
        "parameters": {"data_uris": [f"file://localhost{arrays.parent.parent}/secret"]},
    }
    assert asked(arrays, json.dumps(body).encode()) == (400, None)


def test_what_tiled_stores_itself_passes_and_is_not_turned_into_something_else(arrays):
    source = {"mimetype": "application/x-tiled-sql-table", "management": "writable", "assets": []}
    for parameters in ({}, {"table_name": "some_table"}):
        source["parameters"] = parameters
        body = json.dumps({"data_sources": [source]}).encode()
        assert asked(arrays, body, "/api/v1/metadata/a") == (200, body)
        body = json.dumps({"data_source": {**source, "id": 1}}).encode()
        assert asked(arrays, body, "/api/v1/data_source/a") == (400, None)


@pytest.mark.parametrize(("key", "status"), [
    ("..", 400), (".", 400), ("a/../../b", 400), ("a\\b", 400), ("a..b", 200), (None, 200),
])  # fmt: skip
def test_keys_lead_nowhere(arrays, key, status):
    body = json.dumps({"id": key, "structure_family": "container", "metadata": {}}).encode()
    assert asked(arrays, body, "/api/v1/metadata/a")[0] == status


@pytest.mark.parametrize("name", ["with a space.h5", "with%20percent.h5", "mit Umlaut ä.h5"])
def test_other_names_of_files_are_plain(arrays, name):
    with h5py.File(arrays / name, "w") as file:
        file["frames"] = np.zeros((2, 3, 3))
    for folder in (arrays, "/on/the/microscope/arrays"):
        body = json.dumps(node(f"file://localhost{folder}/{name}")).encode()
        assert asked(arrays, body) == (200, body)


@pytest.mark.parametrize(
    "body",
    [b"{", b"[]", b"7", b"\xff", b"[" * 100_000, b'{"data_sources": 7}',
     b'{"data_sources": [7]}', b'{"data_sources": [{"management": "external", "assets": [{}]}]}'],
)  # fmt: skip
def test_what_is_no_registration(arrays, body):
    assert asked(arrays, body) == (400, None)


def test_no_file_is_opened_where_the_server_answers(arrays, monkeypatch):
    threads = []
    monkeypatch.setattr(
        registrations,
        "served_path",
        lambda *given: threads.append(threading.current_thread()) or served_path(*given),
    )
    body = json.dumps(node(f"file://localhost{arrays}/own.h5")).encode()
    assert asked(arrays, body) == (200, body)
    (thread,) = threads
    assert thread is not threading.main_thread()


def test_runs_of_another_computer_pass_without_their_images(arrays):
    body = node("file://localhost/on/the/microscope/arrays/x.h5")
    assert asked(arrays, json.dumps(body).encode())[0] == 200
    body["data_sources"][0]["assets"][0]["parameter"] = None  # Tiled would not look at it
    assert asked(arrays, json.dumps(body).encode())[0] == 400


def test_a_body_without_end_is_not_kept(arrays):
    assert asked(arrays, bytes(MAX_BODY_BYTES + 1), parts=9) == (413, None)


def test_runs_and_their_values_pass(arrays):
    for path in ("/api/v1/metadata/", "/api/v1/table/partition/run"):
        body = b'{"structure_family": "container", "metadata": {"start": {}}}'
        assert asked(arrays, body, path) == (200, body)
