"""``stedopt serve catalog``: a real server, real clients, keys that allow what they say."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import httpx
import pytest
from databroker.queries import Key

from stedopt_bluesky.records import CatalogFolder
from stedopt_bluesky.records.background import BackgroundIngestion
from stedopt_bluesky.records.following import Target
from tests.cli.services import end, serving

READER, WRITER = "areaderskeyofthetests", "awriterskeyofthetests"


def client_of(address, key):
    from tiled.client import from_uri

    client = from_uri(address, api_key=key)
    return contextlib.closing(client.context), client


def wait_for(condition, seconds=60):
    finish = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < finish, "it has not come"
        time.sleep(0.1)


@pytest.fixture(scope="module")
def served(stored, tmp_path_factory):
    """A server of a copy of the stored catalogue: its folder and address."""
    folder = tmp_path_factory.mktemp("served") / "my catalogue"
    shutil.copytree(stored.catalog, folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STEDOPT_READ_KEY", READER)
        with serving("catalog", "--catalog", folder, key=WRITER) as (process, address):
            assert address.startswith("http://127.0.0.1:"), process.stderr.read()
            yield CatalogFolder.open(folder), address
            code, _, told = end(process, signal.SIGTERM)
            assert code == 0, told
            assert WRITER not in told
            assert READER not in told


def test_a_reader_finds_all_runs_and_reads_them(served, stored):
    _, address = served
    closing, client = client_of(address, READER)
    uids = {run["uid"] for run in (stored.finished, stored.aborted, stored.resumed)}
    with closing:
        wait_for(lambda: {u for u, run in client.items() if run.metadata.get("stop")} == uids)
        (found,) = client.search(Key("sample") == "tubulin").values()
        assert found.metadata["start"]["uid"] == stored.finished["uid"]
        assert found["primary"]["microscope_sted1"][:].shape == (3, 64, 64)
        table = found["primary"].read(["dwelltime_us", "objective_snr"])
        assert len(table["dwelltime_us"]) == 3


def test_a_reader_writes_nothing(served, stored):
    _, address = served
    uid = stored.finished["uid"]
    headers = {"authorization": f"Apikey {READER}"}
    with httpx.Client(base_url=f"{address}/api/v1", headers=headers) as http:
        assert http.get("/metadata/").status_code == 200
        for method, path in (
            ("DELETE", f"/metadata/{uid}"),
            ("PUT", f"/metadata/{uid}"),
            ("PATCH", f"/metadata/{uid}"),
            ("POST", "/metadata/"),
            ("POST", "/register/"),
        ):
            assert http.request(method, path, json={}).status_code == 403
    for key in ("x", "x" * 20):
        answer = httpx.get(
            f"{address}/api/v1/metadata/", headers={"authorization": f"Apikey {key}"}
        )
        assert answer.status_code == 401


@pytest.mark.parametrize("there", ["{outside}/secret.csv", "{arrays}/../../secret.csv"])
def test_no_key_reads_the_disk_of_the_server(served, there):
    folder, address = served
    (folder.path.parent / "secret.csv").write_text("a,b\n1,secret\n")
    uri = "file://localhost" + there.format(outside=folder.path.parent, arrays=folder.arrays)
    source = {
        "structure_family": "table",
        "structure": {"arrow_schema": "x", "npartitions": 1, "columns": ["a", "b"]},
        "mimetype": "text/csv",
        "parameters": {},
        "management": "external",
        "assets": [{"data_uri": uri, "is_directory": False, "parameter": "data_uris", "num": 0}],
    }
    node = {"structure_family": "table", "metadata": {}, "specs": [], "data_sources": [source]}
    headers = {"authorization": f"Apikey {WRITER}"}
    with httpx.Client(base_url=f"{address}/api/v1", headers=headers, timeout=60) as http:
        answer = http.post("/register/", json=node)
        if ".." in there:
            assert answer.status_code == 400
            return
        uid = answer.json()["id"]
        for path, query in (
            (f"/asset/bytes/{uid}", {"id": 1}),
            (f"/table/partition/{uid}", {"partition": 0, "format": "text/csv"}),
        ):
            answer = http.get(path, params=query)
            assert answer.status_code in (403, 404, 500)
            assert "secret" not in answer.text
    # Anew: a connection on which the server has failed is closed.
    url, query = f"{address}/api/v1/metadata/{uid}", {"external_only": False}
    assert httpx.delete(url, params=query, headers=headers, timeout=60).is_success


def test_new_runs_come_in_by_themselves(served, stedopt_json, toml):
    folder, address = served
    with BackgroundIngestion(Target(folder)) as beside:  # as `stedopt run` has it
        run, result = stedopt_json("run", toml, "--images", 1, "--catalog", folder.path)
        assert result.exit_code == 0, result.stderr
        assert "could not be brought" not in result.stderr
        assert beside.finish(30) == ""
    closing, client = client_of(address, READER)
    with closing:
        wait_for(lambda: run["uid"] in set(client))


def test_a_second_server_of_the_same_catalogue_is_refused(served, stedopt):
    folder, _ = served
    result = stedopt("serve", "catalog", "--catalog", folder.path, "--port", 0)
    assert result.exit_code == 2
    assert "is open elsewhere" in result.stderr


@pytest.mark.parametrize(
    ("variables", "says"),
    [
        ({"STEDOPT_READ_KEY": "short"}, "STEDOPT_READ_KEY: 16 to 256 letters"),
        ({"STEDOPT_READ_KEY": WRITER, "STEDOPT_API_KEY": WRITER}, "another key than"),
        ({"STEDOPT_READ_KEY": "with-a-dash-in-it"}, "STEDOPT_READ_KEY: letters and digits only"),
        ({"STEDOPT_CATALOG_DATABASE": "mysql://x:secret@y/z"}, "postgresql://USER:PASSWORD@HOST"),
    ],
)
def test_what_cannot_be_served_is_told_in_one_line(stedopt, tmp_path, monkeypatch, variables, says):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    result = stedopt("serve", "catalog", "--catalog", tmp_path / "cat", "--port", 0)
    assert result.exit_code == 2
    assert says in result.stderr
    assert "secret" not in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


# --- PostgreSQL -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def postgres(tmp_path_factory):
    """Address of an empty database of a server of our own, where PostgreSQL is installed."""
    places = [shutil.which("initdb"), *sorted(map(str, _debian()))]
    initdb = next((place for place in places if place), None)
    if initdb is None:
        pytest.skip("no PostgreSQL here")
    as_user = []
    if os.geteuid() == 0:  # it refuses to be root
        if not shutil.which("runuser") or not _user("postgres"):
            pytest.skip("PostgreSQL does not run as root, and there is no user postgres")
        as_user = ["runuser", "-u", "postgres", "--"]
    # Not below pytest's folder, which is for this user alone.
    data = Path(tempfile.mkdtemp(prefix="stedopt-postgres-"))
    if as_user:
        shutil.chown(data, "postgres", "postgres")
    binaries = os.path.dirname(os.path.realpath(initdb))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]

    def run(program, *arguments):
        return [*as_user, os.path.join(binaries, program), *map(str, arguments)]

    subprocess.run(
        run("initdb", "-D", data, "-U", "sted", "-A", "trust", "--no-sync"),
        check=True, capture_output=True,
    )  # fmt: skip
    options = ["-c", "listen_addresses=127.0.0.1", "-c", f"unix_socket_directories={data}"]
    server = subprocess.Popen(
        run("postgres", "-D", data, "-p", port, *options), stderr=subprocess.DEVNULL
    )
    try:

        def there():
            with socket.socket() as trying:
                return trying.connect_ex(("127.0.0.1", port)) == 0

        wait_for(there)
        yield f"postgresql://sted:unused@127.0.0.1:{port}/postgres"
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(20)
        shutil.rmtree(data, ignore_errors=True)


def _debian():
    return Path("/usr/lib/postgresql").glob("*/bin/initdb")


def _user(name):
    import pwd

    with contextlib.suppress(KeyError):
        return pwd.getpwnam(name)


@pytest.mark.slow
def test_a_facility_has_it_in_postgresql(postgres, stored, tmp_path, monkeypatch):
    folder = tmp_path / "catalogue"
    shutil.copytree(stored.catalog, folder, ignore=shutil.ignore_patterns("tiled"))
    monkeypatch.setenv("STEDOPT_CATALOG_DATABASE", postgres)
    monkeypatch.setenv("STEDOPT_READ_KEY", READER)
    uids = {run["uid"] for run in (stored.finished, stored.aborted, stored.resumed)}
    with serving("catalog", "--catalog", folder, key=WRITER) as (process, address):
        assert address, process.stderr.read()
        closing, client = client_of(address, READER)
        with closing:
            wait_for(lambda: {u for u, run in client.items() if run.metadata.get("stop")} == uids)
            (found,) = client.search(Key("sample") == "tubulin").values()
            assert found["primary"]["microscope_sted1"][:].shape == (3, 64, 64)
            table = found["primary"].read(["dwelltime_us"])
            assert len(table["dwelltime_us"]) == 3
        assert not (folder / "tiled" / "catalog.db").exists()
