"""`stedopt serve networks` in a process of its own, as its users start it."""

import io
import re
import signal
import socket

import httpx
import numpy as np
import pytest

from stedopt_bluesky.cli.serving import is_loopback
from stedopt_bluesky.networks.preference import PreferenceScorer
from stedopt_bluesky.networks.rater import QualityRater
from tests.cli.services import KEY, end, serving
from tests.networks.random_weights import save_preference, save_quality, spots


@pytest.fixture(scope="module")
def networks(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights")
    return (
        save_quality(folder / "quality.safetensors"),
        save_preference(folder / "preference.safetensors"),
    )


def test_networks_are_served_until_ctrl_c(networks):
    quality, preference = networks
    files = ("--quality", quality.path, "--preference", preference.path)
    with serving("networks", *files) as (process, address):
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+", address)
        with httpx.Client(base_url=address, headers={"x-api-key": KEY}, timeout=60) as client:
            assert client.get("/health").json() == {"status": "ok"}
            image = spots(0)
            answer = client.post("/", json={"img": image.tolist(), "img-type": "int16"})
            assert answer.json()["score"] == pytest.approx(QualityRater(quality)(image), abs=1e-5)
            cloud = np.random.default_rng(0).uniform(size=(9, 2))
            answer = client.post("/", json={"pair_set": cloud.tolist(), "type": "float64"})
            best = int(np.argmax(PreferenceScorer(preference).scores(cloud)))
            assert answer.json() == {"good_pair": best}
            stream = io.BytesIO()
            np.save(stream, image)
            kind = {"content-type": "application/x-npy"}
            answer = client.post("/quality", content=stream.getvalue(), headers=kind)
            assert len(answer.json()["scores"]) == 1
            assert client.post("/", headers={"x-api-key": "wrong"}).status_code == 401
            assert client.get("/networks").json()["quality"]["sha256"] == quality.sha256
        code, stdout, stderr = end(process, signal.SIGINT)
    assert code == 0
    assert stdout == ""
    assert stderr.splitlines() == ["serving until Ctrl-C"]


def test_a_key_is_made_and_told_once(networks):
    with serving("networks", "--quality", networks[0].path, "--preference", "none", key=None) as (
        process,
        address,
    ):
        with socket.create_connection(address.removeprefix("http://").split(":"), timeout=60):
            pass  # whoever goes away without a word is no trouble
        code, stdout, stderr = end(process, signal.SIGTERM)
    assert code == 0
    assert stdout == ""
    assert len(re.findall(r"^API key: [0-9a-f]{64}$", stderr, re.M)) == 1
    assert "Traceback" not in stderr


def test_a_request_in_progress_is_answered_before_the_end(networks):
    with serving("networks", "--quality", networks[0].path, "--preference", "none") as (
        process,
        address,
    ):
        host, port = address.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=60) as connection:
            body = b'{"img": [[1, 2]], "img-type": "int16"}'
            head = f"POST / HTTP/1.1\r\nhost: x\r\nx-api-key: {KEY}\r\nexpect: 100-continue\r\n"
            connection.sendall(f"{head}content-length: {len(body)}\r\n\r\n".encode())
            assert b"100 Continue" in connection.recv(4096)  # it waits for the body
            process.send_signal(signal.SIGTERM)
            connection.sendall(body)
            answer = connection.makefile("rb").read()
        assert b"200 OK" in answer
        assert b'"score"' in answer
        process.communicate(timeout=60)
        assert process.returncode == 0


def test_other_computers_are_let_in_only_with_a_warning(networks):
    files = ("--quality", networks[0].path, "--preference", "none")
    with serving("networks", *files, "--host", "0.0.0.0") as (process, address):  # noqa: S104
        assert address.startswith("http://0.0.0.0:")
        _, _, stderr = end(process, signal.SIGINT)
    assert stderr.startswith("warning: host = '0.0.0.0': other computers can reach this service")
    assert KEY not in stderr


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),  # noqa: S104
        ("::", False),
        ("192.168.0.2", False),
        ("lab.example.org", False),
        ("", False),
    ],
)
def test_which_addresses_are_this_computers_own(host, expected):
    assert is_loopback(host) is expected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--quality", "generl"), "quality network 'generl': no such file"),
        (("--preference", "nowhere"), "preference network 'nowhere': no such file"),
        (
            ("--quality", "none", "--preference", "none"),
            "at least one of quality and preference is needed",
        ),
        (("--port", -1), "port = -1: 0 to 65535"),
        (("--port", 70000), "port = 70000: 0 to 65535"),
        (("--host", "no.such.host.invalid", "--port", 0), "cannot listen there"),
        (("--max-body-mib", 0), "max-body-mib = 0: 1 to 1024"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(stedopt, monkeypatch, arguments, message):
    monkeypatch.setenv("STEDOPT_API_KEY", KEY)
    result = stedopt("serve", "networks", "--port", 0, *arguments)
    assert result.exit_code == 2, result.stderr
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1
    assert message in result.stderr


def test_a_port_that_is_taken(stedopt, monkeypatch):
    monkeypatch.setenv("STEDOPT_API_KEY", KEY)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = stedopt("serve", "networks", "--port", port)
    assert result.exit_code == 2
    assert f"host = '127.0.0.1', port = {port}: cannot listen there" in result.stderr


@pytest.mark.parametrize("key", ["", "short"])
def test_a_key_that_cannot_be_used(stedopt, monkeypatch, key):
    monkeypatch.setenv("STEDOPT_API_KEY", key)
    result = stedopt("serve", "networks", "--port", 0)
    assert result.exit_code == 2
    assert "STEDOPT_API_KEY: 16 to 256" in result.stderr
