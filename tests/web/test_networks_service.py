"""The service over real HTTP for what it is for, and in this process for what it must refuse."""

import io
import json
import socket
import threading
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait

import httpx
import numpy as np
import pytest
import uvicorn
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from stedopt_bluesky.networks.rater import Rated
from stedopt_bluesky.web import bodies, networks_service
from stedopt_bluesky.web.networks_service import Offer, networks_app
from tests.networks.random_weights import spots

NPY = {"content-type": "application/x-npy"}
LIMIT = 300_000


def served(app):
    """Run an application on a real server in a thread; give its address and how to end it."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", access_log=False))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()

    def end():
        server.should_exit = True
        thread.join(20)
        listener.close()
        assert not thread.is_alive()

    return f"http://127.0.0.1:{listener.getsockname()[1]}", end


@pytest.fixture(scope="module")
def http(rater, scorer, key):
    """Client of a real server."""
    address, end = served(networks_app(Offer(rater, scorer, key, LIMIT)))
    headers = {"authorization": f"Apikey {key}"}
    with httpx.Client(base_url=address, headers=headers, timeout=30) as client:
        yield client
    end()


@pytest.fixture(scope="module")
def local(rater, scorer, key):
    """Client without a network; what the service does not foresee is an answer of 500."""
    app = networks_app(Offer(rater, scorer, key, LIMIT))
    with TestClient(app, raise_server_exceptions=False, headers={"x-api-key": key}) as client:
        yield client


def npy(array):
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def published(image):
    """An image as the published program's clients send it."""
    return ((image.astype(np.float64) + 32768) / 65535).tolist()


def test_the_published_json(http, rater):
    image = spots(0)
    for path in ("/", "/quality"):
        for sent in (image.tolist(), published(image)):
            answer = http.post(path, json={"img": sent, "img-type": "float32"})
            assert answer.status_code == 200, answer.text
            assert answer.json() == {"score": pytest.approx(rater(image), abs=1e-5)}


def test_the_published_json_of_pairs(http, scorer):
    pairs = np.random.default_rng(0).uniform(size=(12, 2)).astype(np.float32)
    best = int(np.argmax(scorer.scores(pairs)))
    for path in ("/", "/preference"):
        answer = http.post(path, json={"pair_set": pairs.tolist(), "type": "float32"})
        assert answer.json() == {"good_pair": best}


def test_one_image_and_several_as_npy(http, rater):
    images = np.stack([spots(0), spots(1), spots(2)])
    expected = pytest.approx([rater(image) for image in images], abs=1e-5)

    assert http.post("/quality", content=npy(images), headers=NPY).json() == {"scores": expected}
    one = http.post("/quality", content=npy(images[0]), headers=NPY).json()
    assert one["scores"] == pytest.approx([rater(images[0])], abs=1e-5)
    none = http.post("/quality", content=npy(images[:0]), headers=NPY)
    assert none.json() == {"scores": []}


def test_score_maps_as_npy(http, rater):
    images = np.stack([spots(0), np.zeros((64, 64), np.int16)])
    answer = http.post(
        "/quality", content=npy(images), headers={**NPY, "accept": NPY["content-type"]}
    )

    assert answer.headers["content-type"] == "application/x-npy"
    maps = np.load(io.BytesIO(answer.content), allow_pickle=False)
    assert maps.shape == images.shape
    np.testing.assert_allclose(maps[0], rater.rate([images[0]])[0].map, atol=1e-5)
    assert np.isnan(maps[1]).all()


def test_an_image_without_a_score_says_why(http):
    image = np.stack([np.zeros((40, 40)), np.full((40, 40), np.nan), spots(0, 40)])
    told = http.post("/quality", content=npy(image), headers=NPY).json()
    assert told["scores"][:2] == [None, None]
    assert told["scores"][2] > 0
    assert told["reasons"][0] == "the image is constant"
    assert "not a finite count" in told["reasons"][1]
    for empty in ([], [[]], [[7]]):
        answer = http.post("/", json={"img": empty, "img-type": "int16"}).json()
        assert answer["score"] is None
        assert answer["reason"]


def test_options_as_npy(http, scorer):
    cloud = np.random.default_rng(1).uniform(size=(50, 2))
    scores = scorer.scores(cloud)
    cloud[int(np.argmax(scores))] = np.nan  # not on offer any more
    scores = scorer.scores(cloud)
    told = http.post("/preference", content=npy(cloud), headers=NPY).json()

    assert told["index"] == int(np.nanargmax(scores))
    assert [s is None for s in told["scores"]] == np.isnan(scores).tolist()
    assert told["scores"][told["index"]] == pytest.approx(np.nanmax(scores))


def test_which_networks_answer(http, rater, scorer):
    told = http.get("/networks").json()
    assert told["quality"]["sha256"] == rater.weights.sha256
    assert told["quality"]["pixel_size_nm"] == 20
    assert told["preference"]["name"] == scorer.weights.info.name
    assert [o["name"] for o in told["preference"]["objectives"]] == ["quality", "photobleaching"]


def test_a_body_without_a_length_is_cut_off_while_it_is_read(http):
    sent = 0

    def endless():
        nonlocal sent
        for _ in range(10_000):  # 100 MB, if anybody reads that much
            sent += 10_000
            yield bytes(10_000)

    try:
        answer = http.post("/quality", content=endless(), headers=NPY)
        assert answer.status_code == 413
    except httpx.WriteError:  # the connection was closed before the answer was read
        pass
    assert sent < 50_000_000
    assert http.get("/health").status_code == 200


def test_a_body_that_says_it_is_too_large_is_not_read(local):
    answer = local.post("/quality", content=bytes(LIMIT + 1), headers=NPY)
    assert answer.status_code == 413
    assert answer.json() == {"error": "the body is larger than 300,000 bytes"}


def test_a_body_that_takes_too_long(monkeypatch, key, rater):
    monkeypatch.setattr(bodies, "BODY_TIMEOUT_S", 0.2)
    address, end = served(networks_app(Offer(rater, None, key)))
    host, port = address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        head = f"POST / HTTP/1.1\r\nhost: x\r\nx-api-key: {key}\r\ncontent-length: 100\r\n\r\n{{"
        connection.sendall(head.encode())
        assert b" 408 " in connection.recv(4096)
    end()


@pytest.mark.parametrize("path", ["/", "/quality", "/preference", "/networks", "/nowhere"])
def test_without_the_key_nothing_is_answered(local, key, path):
    for headers in ({"x-api-key": ""}, {"x-api-key": key[:-1]}, {"x-api-key": f"{key}0"}):
        answer = local.request("POST", path, headers=headers, content=b"{")
        assert answer.status_code == 401
        assert answer.json() == {"error": "the API key is missing or wrong"}
        assert key not in answer.text


def test_health_needs_no_key(local):
    answer = local.get("/health", headers={"x-api-key": ""})
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


IMG = b'{"img-type": "int16", "img": '


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        ("/", b"", "no JSON"),
        ("/", b"[]", "an object is needed"),
        ("/", b"{}", "either img or pair_set"),
        ("/", b'{"img": [], "pair_set": []}', "either img or pair_set"),
        ("/", b'{"img": [[1, 2]]}', "needs"),
        ("/", IMG + b"[[1, 2], [3]]}", "all rows"),
        ("/", IMG + b'[["a"]]}', "a JSON text is no number"),
        ("/", IMG + b"[[null]]}", "a JSON null is no number"),
        ("/", IMG + b"[[NaN]]}", "holds NaN"),
        ("/", IMG + b"[[1e999]]}", "does not fit"),
        ("/", IMG + b"[[99999]]}", "does not fit int16"),
        ("/", IMG + b"[" * 90_000, "nested too deep"),
        ("/", IMG + b"[[[1]]]}", "a JSON list is no number"),
        ("/", IMG + b"7}", "a list of lists"),
        ("/", b'{"img": [[1]], "img-type": "object"}', "type 'object'"),
        ("/", b'{"img": [[1]], "img-type": ["int16"]}', "must be text"),
        ("/quality", b"{}", "needs"),
        ("/preference", b"{}", "needs"),
        ("/preference", b'{"type": "float32", "pair_set": []}', "2 columns"),
        ("/preference", b'{"type": "float32", "pair_set": [[1, 2, 3]]}', "2 columns"),
    ],
)
def test_json_that_cannot_be_understood(local, path, body, message):
    answer = local.post(path, content=body)
    assert answer.status_code == 422, answer.text
    assert set(answer.json()) == {"error"}
    assert message in answer.json()["error"]
    assert "\n" not in answer.json()["error"]


def pickled():
    stream = io.BytesIO()
    np.save(stream, np.array([{}], dtype=object), allow_pickle=True)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        ("/quality", b"junk", "no .npy file"),
        ("/quality", pickled(), "holds object"),
        ("/quality", npy(np.zeros((2, 2), complex)), "holds complex"),
        ("/quality", npy(np.zeros(5)), "(Y, X) or (N, Y, X)"),
        ("/quality", npy(np.zeros((2000, 1, 1))), "at most 1024"),
        ("/quality", npy(np.zeros((9, 9)))[:-1], "bytes of data"),
        ("/preference", npy(np.zeros((4, 3))), "2 columns quality, photobleaching"),
        ("/preference", npy(np.full((4, 2), np.nan)), "no option is on offer"),
        ("/preference", npy(np.full((4, 2), np.inf)), "infinite"),
    ],
)
def test_arrays_that_cannot_be_understood(local, path, body, message):
    answer = local.post(path, content=body, headers=NPY)
    assert answer.status_code == 422, answer.text
    assert message in answer.json()["error"]


def test_other_wrong_requests_are_told_in_json_too(local):
    for method, path, headers, status in [
        ("GET", "/quality", {}, 405),
        ("POST", "/nowhere", {}, 404),
        ("POST", "/", {"content-encoding": "gzip"}, 415),
    ]:
        answer = local.request(method, path, headers=headers)
        assert answer.status_code == status
        assert set(answer.json()) == {"error"}


def test_a_network_that_is_not_served(rater, scorer, key):
    image = {"img": spots(0).tolist(), "img-type": "int16"}
    pairs = {"pair_set": [[0.1, 0.2]], "type": "float32"}
    for offer, asked in [(Offer(None, scorer, key), image), (Offer(rater, None, key), pairs)]:
        with TestClient(networks_app(offer), headers={"x-api-key": key}) as client:
            answer = client.post("/", json=asked)
            assert answer.status_code == 404
            assert "is served: start with --" in answer.json()["error"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=12,
)
KEYS = st.sampled_from(["img", "img-type", "pair_set", "type"])
TYPES = st.sampled_from(["int16", "float32", "float64", "object", "U5", "<f4", ""])


@settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.sampled_from(["/", "/quality", "/preference"]),
    st.dictionaries(KEYS, JSON | TYPES | st.lists(st.lists(st.floats(0, 9), max_size=3))),
)
def test_no_json_brings_the_service_down(local, path, asked):
    answer = local.post(path, content=json.dumps(asked).encode())  # NaN included
    assert answer.status_code in {200, 422}, (asked, answer.text)
    if answer.status_code == 200:
        assert set(answer.json()) & {"score", "good_pair"}


class Gate:
    """A rater that waits until it is let go on."""

    def __init__(self, rater):
        self.weights = rater.weights
        self.entered, self.go_on = threading.Semaphore(0), threading.Event()
        self.at_once = self.most = 0

    def rate(self, images):
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        self.entered.release()
        assert self.go_on.wait(30)
        self.at_once -= 1
        blank = np.zeros((1, 1), np.float32)
        return [Rated(0.5, blank, blank.astype(bool)) for _ in images]


def test_others_are_answered_while_one_is_computed_and_too_many_are_refused(
    rater, key, monkeypatch
):
    monkeypatch.setattr(networks_service, "MAX_REQUESTS", 3)
    gate = Gate(rater)
    address, end = served(networks_app(Offer(gate, None, key)))
    client = httpx.Client(base_url=address, headers={"x-api-key": key}, timeout=30)
    image = {"img": [[1, 2]], "img-type": "int16"}
    with client, ThreadPoolExecutor(4) as pool:
        first = pool.submit(client.post, "/", json=image)
        assert gate.entered.acquire(timeout=30)
        assert client.get("/health").status_code == 200
        waiting = [pool.submit(client.post, "/", json=image) for _ in range(3)]
        # Two may wait beside the one that is computed; the one too many is refused at once.
        (first_done,), _ = wait(waiting, timeout=30, return_when=FIRST_COMPLETED)
        refused = first_done.result()
        assert refused.status_code == 503
        assert refused.json() == {"error": "too many requests wait"}
        gate.go_on.set()
        answers = [first.result(), *(one.result() for one in waiting)]
    end()
    assert sorted(a.status_code for a in answers) == [200, 200, 200, 503]
    assert gate.most == 1


def test_what_nobody_foresaw_is_an_answer_too(rater, key):
    class Broken:
        weights = rater.weights

        def rate(self, images):
            raise ZeroDivisionError(images)

    app = networks_app(Offer(Broken(), None, key))
    with TestClient(app, raise_server_exceptions=False, headers={"x-api-key": key}) as client:
        answer = client.post("/", json={"img": [[1]], "img-type": "int16"})
        assert answer.status_code == 500
        assert set(answer.json()) == {"error"}
        assert client.get("/health").status_code == 200
