"""Each unit's command, started as systemd would start it, asked with its key, and stopped."""

import contextlib
import os
import re
import shutil
import subprocess

import httpx
import pytest

from tests.facility.conftest import TOML
from tests.facility.units import ROOT, Host, stop
from tests.postgres import running_postgres
from tests.waiting import free_ports, wait_for

# Each starts programs that take seconds of processor time to be loaded.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def answered(url, key="", **more):
    headers = {"authorization": f"Apikey {key}"} if key else {}
    with contextlib.suppress(httpx.TransportError):
        return httpx.request(more.pop("method", "GET"), url, headers=headers, timeout=30, **more)


@pytest.fixture
def host(tmp_path, keys, imaged, free_port):
    """A server with the keys and, but for databases, the catalogue."""
    host = Host(tmp_path / "host", {8000: free_port, 8765: free_port})
    shutil.copytree(keys, host.etc, dirs_exist_ok=True)
    ignore = shutil.ignore_patterns("tiled", "locks")
    shutil.copytree(imaged, host.state / "catalogue", ignore=ignore)
    return host


def key(host, name):
    return (host.etc / name).read_text()


def images_of(address, host, uid):
    from tiled.client import from_uri

    client = from_uri(address, api_key=key(host, "read.key"))
    with contextlib.closing(client.context):
        run = client[uid]
        return run["primary"]["microscope_sted1"][:].shape if run.metadata.get("stop") else None


def check_catalog(unit, host, uid, port):
    """Serve, with keys that allow what they say; feed; end."""
    address = f"http://127.0.0.1:{port}"
    run = f"{address}/api/v1/metadata/{uid}"
    reader = key(host, "read.key")
    with unit.started() as process:
        wait_for(lambda: answered(f"{address}/healthz"), 300, process=process)
        assert answered(run).status_code == 401
        wait_for(lambda: answered(run, reader).status_code == 200, 300, process=process)
        assert answered(run, reader, method="DELETE").status_code == 403
        wait_for(lambda: images_of(address, host, uid) == (2, 64, 64), 300, process=process)
        code, stdout, stderr = stop(process)
    assert code == 0, stderr
    assert stdout.strip() == address
    for name in ("read.key", "write.key", "database.password"):
        assert key(host, name) not in stdout + stderr


def test_the_catalogue(host, uid, free_port):
    host.install("stedopt-catalog.service")
    check_catalog(host.unit("stedopt-catalog.service"), host, uid, free_port)
    assert (host.state / "catalogue" / "tiled" / "catalog.db").exists()


GUIDE = (ROOT / "docs" / "how-to" / "deploy.md").read_text("utf-8")


def run_psql(host, block, address):
    """Run commands of the guide up to a psql, which asks another server: what that told."""
    block = block.replace("/etc/stedopt", str(host.etc)).replace("/opt/stedopt/source", str(ROOT))
    psql = f"{block}psql -q -t -v ON_ERROR_STOP=1 {address}"
    return subprocess.run(["bash", "-euc", psql], check=True, capture_output=True).stdout


def make_database(host, address):
    """Make account and database as the guide says, on a server of another port."""
    (block,) = re.findall(r"^(\{\n[^`]*?\| )runuser -u postgres -- psql -q$", GUIDE, re.M)
    run_psql(host, block, address)
    uri = host.etc / "database.uri"
    uri.chmod(0o600)
    port = address.rpartition(":")[2].partition("/")[0]
    uri.write_text(uri.read_text().replace("@127.0.0.1/", f"@127.0.0.1:{port}/"))


@pytest.mark.campaign
def test_the_databases_password_is_changed_as_the_guide_says(host):
    (block,) = re.findall(r"^:class: password\n\n([^`]*?\| )runuser [^\n]*psql -q$", GUIDE, re.M)
    stored = "echo \"SELECT rolpassword FROM pg_authid WHERE rolname = 'stedopt'\" | "
    with running_postgres() as address:
        make_database(host, address)
        keys = {path.name: path.read_text() for path in host.etc.iterdir()}
        before = run_psql(host, stored, address)
        run_psql(host, block, address)
        assert len({run_psql(host, stored, address), before, b""}) == 3
    changed = {path.name for path in host.etc.iterdir() if path.read_text() != keys[path.name]}
    assert changed == {"database.password", "database.uri"}
    assert key(host, "database.password") in key(host, "database.uri")


@pytest.mark.campaign
def test_the_catalogue_in_postgresql(host, uid, free_port):
    drop_in = "stedopt-catalog.service.d/postgresql.conf"
    host.install("stedopt-catalog.service", drop_ins=[drop_in])
    with running_postgres() as address:
        make_database(host, address)
        check_catalog(host.unit("stedopt-catalog.service"), host, uid, free_port)
    assert not (host.state / "catalogue" / "tiled" / "catalog.db").exists()


def test_without_its_key_the_catalogue_is_not_served(host):
    host.install("stedopt-catalog.service")
    (host.etc / "write.key").write_text("short")
    code, stdout, stderr = host.unit("stedopt-catalog.service").run()
    # Which the unit names as what a new start does not mend.
    assert host.unit("stedopt-catalog.service").get("RestartPreventExitStatus") == str(code) == "2"
    assert "STEDOPT_API_KEY: 16 to 256 letters" in stderr
    assert not stdout


def test_an_instrument_feeds_a_server_that_has_its_images_elsewhere(
    host, uid, free_port, tmp_path, keys
):
    server = Host(tmp_path / "server", {8000: free_port})
    shutil.copytree(keys, server.etc, dirs_exist_ok=True)
    server.install("stedopt-catalog.service")
    (server.etc / "stedopt.env").write_text("STEDOPT_FEED=--no-feed\n")
    # As the server's folder is before its first run, with the instrument's images mounted.
    catalogue = server.state / "catalogue"
    catalogue.mkdir()
    shutil.copy(host.state / "catalogue" / "catalog.toml", catalogue)
    shutil.copytree(host.state / "catalogue" / "arrays", catalogue / "arrays")

    host.install("stedopt-ingest.service")
    (host.etc / "stedopt.env").write_text(f"# Of this server\nSTEDOPT_SERVER_FOLDER={catalogue}\n")
    address = f"http://127.0.0.1:{free_port}"
    with (
        server.unit("stedopt-catalog.service").started() as serving,
        host.unit("stedopt-ingest.service").started() as feeding,
    ):
        wait_for(lambda: answered(f"{address}/healthz"), 300, process=serving)
        run = f"{address}/api/v1/metadata/{uid}"
        wait_for(
            lambda: answered(run, key(host, "read.key")).status_code == 200, 300, process=feeding
        )
        wait_for(lambda: images_of(address, host, uid) == (2, 64, 64), 300, process=feeding)
        code, stdout, stderr = stop(feeding)
        assert code == 0, stderr
        assert f"run {uid[:8]} is in" in stdout
        assert key(host, "write.key") not in stdout + stderr
        assert stop(serving)[0] == 0


def test_the_nightly_check(host):
    host.install("stedopt-verify.service")
    code, stdout, stderr = host.unit("stedopt-verify.service").run()
    assert code == 0, stderr
    assert "1 run: 1 whole" in stdout
    for path in host.state.glob("catalogue/arrays/**/*"):
        if path.is_file():
            os.truncate(path, path.stat().st_size // 2)
    code, stdout, _ = host.unit("stedopt-verify.service").run()
    assert code == 1
    assert "1 run: 1 wrong" in stdout


def test_the_networks(host, free_port):
    host.install("stedopt-networks.service")
    address = f"http://127.0.0.1:{free_port}"
    with host.unit("stedopt-networks.service").started() as process:
        wait_for(lambda: answered(f"{address}/health"), 300, process=process)
        pairs = {"pair_set": [[0.2, 0.9], [0.8, 0.1]], "type": "float32"}
        asked = {"method": "POST", "json": pairs}
        assert answered(f"{address}/preference", **asked).status_code == 401
        answer = answered(f"{address}/preference", key(host, "networks.key"), **asked)
        assert answer.json()["good_pair"] in (0, 1)
        code, stdout, stderr = stop(process)
    assert code == 0, stderr
    assert key(host, "networks.key") not in stdout + stderr


def test_an_alert_is_a_mail(host, tmp_path):
    host.install("stedopt-alert@.service")
    mail = tmp_path / "mail"
    (host.etc / "stedopt.env").write_text(
        f"STEDOPT_ALERT_TO=sted@example.org\nSTEDOPT_SENDMAIL=tee {mail}\n"
    )
    unit = host.unit("stedopt-alert@.service", instance="stedopt-verify.service")
    code, _, stderr = unit.run()
    assert code == 0, stderr
    head, _, body = mail.read_text().partition("\n\n")
    assert head.startswith("To: sted@example.org\nSubject: stedopt-verify.service has failed on ")
    assert body.strip()


def test_an_alert_of_what_is_no_unit_is_refused(host):
    host.install("stedopt-alert@.service")
    code, _, stderr = host.unit("stedopt-alert@.service", instance="x;y").run()
    assert code == 2
    assert "the name of a unit" in stderr


def test_the_queue(host, tmp_path):
    queueserver = pytest.importorskip("tests.test_queueserver", exc_type=ImportError)
    if not all(map(shutil.which, ("redis-server", "redis-cli", "setsid"))):
        pytest.skip("no Redis here")
    redis, control, info = free_ports(3)
    (host.etc / "microscope.toml").write_text(TOML)
    (host.etc / "stedopt.env").write_text(
        f"STEDOPT_CONFIG={host.etc}/microscope.toml\nSTEDOPT_REDIS_PORT={redis}\n"
        f"STEDOPT_CONTROL_PORT={control}\nSTEDOPT_INFO_PORT={info}\n"
    )
    host.install("stedopt-queue.service")
    unit = host.unit("stedopt-queue.service")
    with unit.started() as process:
        folder = host.state / "queue"
        wait_for((folder / "redis.pid").exists, 300, process=process)
        client = queueserver.Queue(
            control, (folder / "public.key").read_text().strip(), host.state / "catalogue"
        )
        try:
            wait_for(client.answers, 300, process=process)
            client.open()
            record = client.perform("optimize", images=1, sample="of the unit")
            assert record.start["sample"] == "of the unit"
            client.close()
            wait_for(client.answers, 300, process=process)
        finally:
            code, _, stderr = stop(process)
        # What the unit names as success.
        assert str(code) == unit.get("SuccessExitStatus") == "143", stderr
        assert not (folder / "redis.pid").exists()
    assert (folder / "private.key").stat().st_mode & 0o077 == 0
