"""``stedopt serve page`` as a program: what it says, and how it ends."""

import re
import signal
import socket

import httpx
import pytest

from tests.cli.services import end, serving
from tests.small import empty_catalogue

LINK = re.compile(r"http://127\.0\.0\.1:\d+/\?link=\S+")


@pytest.fixture
def folder(tmp_path):
    return empty_catalogue(tmp_path / "cat").path


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_tells_its_address_and_links_and_ends_in_good_order(folder, number):
    with serving("page", "--catalog", folder) as (process, address):
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+", address)
        line = process.stderr.readline()
        (link,) = LINK.findall(line)
        assert link.startswith(address)
        # Who has used no link sees nothing of the catalogue, at no address.
        for place in ("/", "/runs", "/runs/empty", "/compare/empty/empty"):
            answer = httpx.get(address + place)
            assert answer.status_code == 401
            assert "A link is needed" in answer.text
        with httpx.Client() as browser:
            assert browser.get(link, follow_redirects=True).status_code == 200
            for place in ("/runs", "/runs/empty", "/compare/empty/empty"):
                answer = browser.get(address + place)
                assert answer.status_code == 200
                assert '<html lang="en' in answer.text
        code, stdout, stderr = end(process, number)
    assert code == 0
    assert stdout == ""
    # The next link, after one was used.
    assert len(LINK.findall(stderr)) == 1
    assert LINK.findall(stderr) != [link]
    assert "Traceback" not in stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--port", -1), "port = -1: 0 to 65535"),
        (("--port", 70000), "port = 70000: 0 to 65535"),
        (("--catalog", "nowhere"), "there is no catalogue at"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(stedopt, folder, monkeypatch, arguments, words):
    monkeypatch.chdir(folder.parent)
    monkeypatch.setenv("STEDOPT_CATALOG", str(folder))
    result = stedopt("serve", "page", *arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert words in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_a_folder_that_is_no_catalogue_is_refused_and_left_alone(stedopt, tmp_path):
    (tmp_path / "mine").mkdir()
    result = stedopt("serve", "page", "--catalog", tmp_path / "mine")
    assert result.exit_code == 2
    assert "is not a catalogue" in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert list((tmp_path / "mine").iterdir()) == []


def test_a_port_that_is_taken_is_refused(stedopt, folder):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = stedopt("serve", "page", "--catalog", folder, "--port", port)
    assert result.exit_code == 2
    assert f"error: port = {port}: cannot listen there (" in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_help_says_what_it_is_for(stedopt):
    result = stedopt("serve", "page", "--help")
    assert result.exit_code == 0
    for words in ("two side by side", "works once", "ssh -L", "--catalog", "--port"):
        assert words in " ".join(result.stdout.split())
