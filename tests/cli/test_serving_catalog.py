"""``stedopt serve catalog``: a real server, real clients, keys that allow what they say."""

import asyncio
import contextlib
import dataclasses
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import h5py
import httpx
import numpy as np
import pytest
from databroker.queries import Key
from tiled.structures.array import ArrayStructure
from tiled.structures.table import TableStructure

from stedopt_bluesky.cli import serving_catalog
from stedopt_bluesky.cli.serving import listening
from stedopt_bluesky.config import ConfigError
from stedopt_bluesky.records import (
    Catalog,
    CatalogFolder,
    Condition,
    RunQuery,
    list_runs,
    locks,
)
from stedopt_bluesky.records.background import BackgroundIngestion
from stedopt_bluesky.records.following import Target
from stedopt_bluesky.records.tiled_server import is_filled, own_api_key
from stedopt_bluesky.web.catalog_service import catalog_app
from stedopt_bluesky.web.roles import Role
from tests.cli.services import end, serving
from tests.postgres import running_postgres
from tests.small import empty_catalogue
from tests.waiting import wait_for

READER, WRITER = "areaderskeyofthetests", "awriterskeyofthetests"
# Of the columns a, of integers, and b, of texts, as Tiled has it in a table's structure.
ARROW_SCHEMA = TableStructure.from_dict({"a": [1], "b": ["x"]}).arrow_schema


def client_of(address, key):
    from tiled.client import from_uri

    client = from_uri(address, api_key=key)
    return contextlib.closing(client.context), client


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


def node_of(family, structure, mimetype, uri, **parameters):
    """What a client registers to have a file served."""
    source = {
        "structure_family": family,
        "structure": dataclasses.asdict(structure),
        "mimetype": mimetype,
        "parameters": parameters,
        "management": "external",
        "assets": [{"data_uri": uri, "is_directory": False, "parameter": "data_uris", "num": 0}],
    }
    return {"structure_family": family, "metadata": {}, "specs": [], "data_sources": [source]}


def test_no_key_reads_the_disk_of_the_server(tmp_path):
    """A file elsewhere can be registered, and not be read; one of the catalogue's can."""
    folder = empty_catalogue(tmp_path / "cat")
    folder.arrays.mkdir(exist_ok=True)
    secret = np.full((2, 3, 3), 777)
    (tmp_path / "secret.csv").write_text("a,b\n777,secret\n")
    for path in (folder.arrays / "own.h5", tmp_path / "secret.h5"):
        with h5py.File(path, "w") as file:
            file["frames"] = secret
    images = ("array", ArrayStructure.from_array(secret), "application/x-hdf5")
    table = ("table", TableStructure.from_dict({"a": [777], "b": ["secret"]}), "text/csv")
    headers = {"authorization": f"Apikey {WRITER}"}

    def ask(method, path, **more):
        # Each anew: a connection on which the server has failed is closed.
        url = f"{address}/api/v1/{path}"
        return httpx.request(method, url, headers=headers, timeout=60, **more)

    def read(uid, kind):
        if kind == "table":
            return ask("GET", f"table/partition/{uid}?partition=0&format=text/csv")
        return ask("GET", f"array/full/{uid}?slice=0&format=text/csv")

    arguments = ("catalog", "--no-feed", "--catalog", folder.path)
    with serving(*arguments, key=WRITER) as (process, address):
        assert address, process.stderr.read()
        for what, place, parameters in (
            (images, f"{folder.arrays}/own.h5", {"dataset": "frames"}),
            (images, f"{tmp_path}/secret.h5", {"dataset": "frames"}),
            (table, f"{tmp_path}/secret.csv", {}),
        ):
            uri = f"file://localhost{place}"
            answer = ask("POST", "register/", json=node_of(*what, uri, **parameters))
            uid = answer.json()["id"]
            told = ask("GET", f"metadata/{uid}", params={"include_data_sources": True}).json()
            ((asset,),) = (s["assets"] for s in told["data"]["attributes"]["data_sources"])
            assert asset["data_uri"] == uri
            for raw in ("bytes", "manifest"):
                answer = ask("GET", f"asset/{raw}/{uid}", params={"id": asset["id"]})
                assert answer.status_code == 403
            answer = read(uid, what[0])
            if place.endswith("own.h5"):
                assert (answer.status_code, "777" in answer.text) == (200, True)
            else:
                # Tiled 0.2.20 says why in its log alone.
                assert (answer.status_code, "777" in answer.text) == (500, False)
            assert ask("DELETE", f"metadata/{uid}", params={"external_only": False}).is_success
            around = uri.replace(str(tmp_path), f"{folder.arrays}/../..")
            answer = ask("POST", "register/", json=node_of(*what, around, **parameters))
            assert answer.status_code == 400
        code, _, told = end(process, signal.SIGTERM)
    assert code == 0
    refused = re.findall(r"RuntimeError: Refusing to serve file://localhost(\S+) because", told)
    assert set(refused) == {f"{tmp_path}/secret.h5", f"{tmp_path}/secret.csv"}


def secret_table(uri, **more):
    source = {
        "structure_family": "table",
        "structure": {"arrow_schema": ARROW_SCHEMA, "npartitions": 1, "columns": ["a", "b"]},
        "mimetype": "text/csv",
        "parameters": {},
        "management": "external",
        "assets": [{"data_uri": uri, "is_directory": False, "parameter": "data_uris", "num": 0}],
        **more,
    }
    return {"structure_family": "table", "metadata": {}, "specs": [], "data_sources": [source]}


@pytest.mark.parametrize(
    "there",
    [
        "file://localhost{outside}/my cata\tlogue/arrays/.\t./.\t./secret.csv",
        "file://localhost//{outside}/my catalogue/arrays/.\t./.\t./secret.csv",
        "FILE://localhost{outside}/my catalogue/arrays/../../secret.csv",
    ],
)
@pytest.mark.parametrize("management", ["external", "immutable"])
def test_no_spelling_of_an_address_reads_the_disk_of_the_server(served, there, management):
    """By each of the ways by which Tiled takes addresses, and as it takes them."""
    folder, address = served
    outside = folder.path.parent
    (outside / "secret.csv").write_text("a,b\n1,secret\n")
    node = secret_table(there.format(outside=outside), management=management)
    harmless = secret_table(f"file://localhost{outside}/elsewhere.csv")
    headers = {"authorization": f"Apikey {WRITER}"}
    with httpx.Client(base_url=f"{address}/api/v1", headers=headers, timeout=60) as http:
        known = http.post("/register/", json=harmless).json()
        source = {**node["data_sources"][0], "id": known["data_sources"][0]["id"]}
        for method, path, body in (
            ("POST", "/register/", node),
            ("POST", "/metadata/", node),
            ("PUT", f"/data_source/{known['id']}", {"data_source": source}),
        ):
            answer = http.request(method, path, json=body)
            if answer.is_success:  # then at least it must not be read
                uid = known["id"] if method == "PUT" else answer.json()["id"]
                query = {"partition": 0, "format": "text/csv"}
                assert "secret" not in http.get(f"/table/partition/{uid}", params=query).text
            assert answer.status_code == 400, (method, path)
        http.delete(f"/metadata/{known['id']}").raise_for_status()


def test_no_key_deletes_or_writes_elsewhere_on_the_disk_of_the_server(served):
    folder, address = served
    outside = folder.path.parent
    precious = outside / "precious.csv"
    precious.write_text("a,b\n1,2\n")
    headers = {"authorization": f"Apikey {WRITER}"}
    with httpx.Client(base_url=f"{address}/api/v1", headers=headers, timeout=60) as http:
        known = http.post("/register/", json=secret_table(f"file://localhost{precious}")).json()
        (source,) = secret_table(f"file://localhost{precious}", management="writable")[
            "data_sources"
        ]
        body = {"data_source": {**source, "id": known["data_sources"][0]["id"]}}
        assert http.put(f"/data_source/{known['id']}", json=body).status_code == 400
        query = {"external_only": False}
        http.delete(f"/metadata/{known['id']}", params=query).raise_for_status()
        assert precious.exists()
        stored = secret_table("", assets=[], management="writable")
        assert http.post("/metadata/", json={**stored, "id": ".."}).status_code == 400


def test_no_key_has_files_opened_by_a_validation(served, stored):
    """Tiled's plugin for it looks into files wherever they are, and writes by a GET."""
    _, address = served
    uid = stored.finished["uid"]
    for key in (READER, WRITER):
        headers = {"authorization": f"Apikey {key}"}
        with httpx.Client(base_url=address, headers=headers, timeout=60) as http:
            wait_for(lambda http=http: http.get(f"/api/v1/metadata/{uid}").is_success)
            answer = http.get(f"/custom/validate/{uid}", params={"fix": True})
            assert answer.status_code == 404


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


BY_PROFILE = """
from databroker import Broker, from_profile
client = from_profile("sted")
db = Broker.named("sted")
(header,) = db(sample="tubulin")
print(header.start["uid"], len(header.table("primary")), len(client))
"""


def test_databroker_finds_it_by_a_profile(served, stored, tmp_path):
    folder, address = served
    (tmp_path / "profile.yml").write_text(f"sted:\n  uri: {address}\n")
    runs = len(list_runs(folder))
    closing, client = client_of(address, READER)
    with closing:
        wait_for(lambda: len(list(client.search(Key("stop.exit_status") != "none"))) == runs)
    done = subprocess.run(
        [sys.executable, "-c", BY_PROFILE],
        env={**os.environ, "TILED_PROFILES": str(tmp_path), "TILED_API_KEY": READER},
        capture_output=True, text=True, check=False, timeout=200,
    )  # fmt: skip
    assert done.stdout.split() == [stored.finished["uid"], "3", str(runs)], done.stderr


@pytest.mark.parametrize(
    ("variables", "says"),
    [
        ({"STEDOPT_READ_KEY": "short"}, "STEDOPT_READ_KEY: 16 to 256 letters"),
        ({"STEDOPT_READ_KEY": WRITER, "STEDOPT_API_KEY": WRITER}, "another key than"),
        ({"STEDOPT_READ_KEY": "with-a-dash-in-it"}, "STEDOPT_READ_KEY: letters and digits only"),
        ({"STEDOPT_API_KEY_FILE": "/not/there"}, "'/not/there': cannot be read"),
        ({"STEDOPT_READ_KEY_FILE": "/not/there"}, "STEDOPT_READ_KEY_FILE = '/not/there'"),
        ({"STEDOPT_CATALOG_DATABASE_FILE": "/not/there"}, "STEDOPT_CATALOG_DATABASE_FILE ="),
        ({"STEDOPT_CATALOG_DATABASE": "mysql://x:secret@y/z"}, "postgresql://USER:PASSWORD@HOST"),
    ],
)
def test_what_cannot_be_served_is_told_in_one_line(stedopt, tmp_path, monkeypatch, variables, says):
    monkeypatch.delenv("STEDOPT_READ_KEY", raising=False)  # of the server above
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    result = stedopt("serve", "catalog", "--catalog", tmp_path / "cat", "--port", 0)
    assert result.exit_code == 2
    assert says in result.stderr
    assert "secret" not in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "0.0.0.0", "localhost", "::1", "::"],  # noqa: S104
)
def test_the_server_feeds_itself_whatever_it_listens_on(host):
    with contextlib.ExitStack() as closing:
        try:
            listener = closing.enter_context(listening(host, 0))
        except ConfigError:
            pytest.skip(f"{host} cannot be listened on here")
        address = urlsplit(serving_catalog._own_address(listener))
        assert address.hostname == ("::1" if ":" in host else "127.0.0.1")
        closing.enter_context(socket.create_connection((address.hostname, address.port)))


def test_databases_are_filled_when_they_are_filled(tmp_path):
    """Served without being fed they are empty, and nobody takes them for filled."""
    folder = empty_catalogue(tmp_path / "cat")
    with serving("catalog", "--no-feed", "--catalog", folder.path, key=WRITER) as (
        process,
        address,
    ):
        assert address, process.stderr.read()
        assert not is_filled(folder)
        ingestion = BackgroundIngestion(Target(folder))
        wait_for(lambda: "open elsewhere" in ingestion.down)
        ingestion.kill()
    with Catalog(folder) as catalog:
        assert list(catalog.client) == ["empty"]
        assert is_filled(folder)


@pytest.mark.skipif(not Path("/proc").exists(), reason="finds the feeding process in /proc")
def test_the_end_of_what_feeds_is_told(tmp_path):
    folder = empty_catalogue(tmp_path / "cat")
    feeding = folder.locks / "feed.lock"
    with serving("catalog", "--catalog", folder.path, key=WRITER) as (process, address):
        assert address, process.stderr.read()
        wait_for(lambda: is_filled(folder))
        assert locks.is_held(feeding)
        (child,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        os.kill(int(child), signal.SIGKILL)
        wait_for(lambda: not locks.is_held(feeding))
        told = ""
        while "has ended" not in told:
            line = process.stderr.readline()
            assert line, told
            told += line
        assert "warning: the catalogue is not fed: the process that feeds" in told
        assert end(process, signal.SIGTERM)[0] == 0


# --- PostgreSQL -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def postgres():
    """Address of an empty database of a server of our own, where PostgreSQL is installed."""
    with running_postgres() as address:
        yield address


def _asked_alike(folder, client):
    """PostgreSQL answers as the journals do."""
    finished = list_runs(CatalogFolder.open(folder), RunQuery(sample="tubulin"))[0]
    photobleaching = finished.reached["photobleaching"]
    for query, count in (
        (RunQuery(sample="tubulin", preset="classical", operator="Ada"), 1),
        (RunQuery(exit_status="success", since="2026-01-01"), 2),
        (RunQuery(parameter="dwelltime_us", objective="snr"), 3),
        (RunQuery(network="nosuch"), 0),
        (RunQuery(uid_prefix=finished.uid[:9]), 1),
        (RunQuery(where=(Condition("images", "=", 3),)), 1),
        (RunQuery(where=(Condition("images", "<", 3),)), 2),
        (RunQuery(where=(Condition("reached.photobleaching", "=", photobleaching),)), 1),
        (RunQuery(where=(Condition("used.dwelltime_us", ">", 0.5),)), 3),
        (RunQuery(where=(Condition("best.nothing", ">", 0.0),)), 0),
    ):
        assert len(list_runs(CatalogFolder.open(folder), query)) == count, query
        assert len(query.search(client).keys()) == count, query


@pytest.mark.parametrize("where", ["127.0.0.1:1/none", "127.0.0.1:port/none", "/none?x=%"])
def test_a_database_that_cannot_be_used_is_told_without_its_password(
    stedopt, tmp_path, monkeypatch, where
):
    database = f"postgresql://sted:s3cr%2Ft@{where}"
    monkeypatch.setenv("STEDOPT_CATALOG_DATABASE", database)
    monkeypatch.setenv("STEDOPT_API_KEY", WRITER)
    monkeypatch.setenv("STEDOPT_READ_KEY", READER)
    result = stedopt("serve", "catalog", "--catalog", tmp_path / "cat", "--port", 0)
    assert result.exit_code == 2
    (line,) = result.stderr.strip().splitlines()
    assert line.startswith("error: the catalogue cannot be served: ")
    assert not any(secret in line for secret in ("s3cr", WRITER, READER))


def test_what_was_given_stands_in_no_error():
    database = "postgresql://sted:s3cr%2Ft@db/x"
    own, key = own_api_key(), "k" * 20
    text = f"no {database}\nand s3cr%2Ft, s3cr/t, {own}, {key}"
    assert serving_catalog._without_secrets(text, database, [key]) == (
        "no ... and ..., ..., ..., ..."
    )
    assert serving_catalog._without_secrets("as it is", "", [key]) == "as it is"


def test_the_tables_are_made_where_there_are_none(postgres, tmp_path):
    folder = CatalogFolder.create_or_open(tmp_path / "cat")
    for _ in range(2):  # the second time they are there
        catalog_app(folder, {WRITER: Role.write}, postgres)
    assert not (folder.tiled / "catalog.db").exists()
    # Documents stay in the rows of runs.
    assert asyncio.run(_options_of_nodes(postgres)) == ["toast_tuple_target=8160"]


async def _options_of_nodes(address):
    connection = await asyncpg.connect(address)
    try:
        return await connection.fetchval("SELECT reloptions FROM pg_class WHERE relname = 'nodes'")
    finally:
        await connection.close()


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
            _asked_alike(folder, client)
        assert not (folder / "tiled" / "catalog.db").exists()
