"""The containers of a facility: linted, and each command is one that the program has."""

import re
import shutil
import subprocess
import sys

import pytest
import yaml

from tests.commands import parsed
from tests.facility.units import FACILITY, ROOT

COMPOSE = FACILITY / "compose.yaml"
CONTAINERFILE = (FACILITY / "Containerfile").read_text("utf-8")


@pytest.fixture(scope="module")
def composed():
    return yaml.safe_load(COMPOSE.read_text("utf-8"))


@pytest.fixture(scope="module")
def services(composed):
    return composed["services"]


def test_it_is_what_the_compose_specification_allows(tmp_path):
    pytest.importorskip("check_jsonschema")
    check = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    ended = subprocess.run([*check, COMPOSE], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout
    wrong = tmp_path / "compose.yaml"
    wrong.write_text(COMPOSE.read_text("utf-8").replace("depends_on:", "depend_on:"), "utf-8")
    ended = subprocess.run([*check, wrong], capture_output=True, text=True, check=False)
    assert ended.returncode == 1


def test_a_compose_that_is_here_reads_it(tmp_path, monkeypatch):
    there = shutil.which("docker") and subprocess.run(
        ["docker", "compose", "version"], capture_output=True, check=False
    )
    if not there or there.returncode:
        pytest.skip("no docker compose here")
    monkeypatch.setenv("STEDOPT_ARRAYS", str(tmp_path))
    monkeypatch.setenv("STEDOPT_SERVER_NAME", "catalogue")
    subprocess.run(["docker", "compose", "-f", COMPOSE, "config", "--quiet"], check=True)


def test_every_command_of_the_program_is_one_that_it_has(services):
    commands = [s["command"] for s in services.values() if s.get("command", [""])[0] == "stedopt"]
    assert commands
    for command in commands:
        context = parsed(command[1:])
        assert context.command_path == "stedopt serve catalog"
        assert context.params["port"] == 8000
        assert context.params["feed"] is False
        with pytest.raises(Exception, match="No such option"):
            parsed([*command[1:], "--no-such-option"])


def test_only_the_proxy_can_be_reached(services):
    assert {name for name, service in services.items() if service.get("ports")} == {"proxy"}
    assert len(services["proxy"]["ports"]) == 1
    assert not any("network_mode" in service for service in services.values())
    assert "front" not in services["database"]["networks"]


def test_the_databases_network_has_no_way_out(composed, services):
    assert composed["networks"] == {"front": {}, "data": {"internal": True}}
    assert {name: service["networks"] for name, service in services.items()} == {
        "database": ["data"],
        "catalog": ["data", "front"],
        "proxy": ["front"],
    }


def test_the_hosts_files_are_read_only(services):
    mounted = {
        volume["target"]: volume.get("read_only")
        for service in services.values()
        for volume in service["volumes"]
        if isinstance(volume, dict)
    }
    assert mounted == {"/catalogue/arrays": True, "/etc/nginx/templates": True}
    named = [v for s in services.values() for v in s["volumes"] if isinstance(v, str)]
    assert sorted(named) == ["catalogue:/catalogue", "database:/var/lib/postgresql/data"]


def test_no_secret_stands_in_it(composed, services):
    text = COMPOSE.read_text("utf-8")
    assert not re.search(r"[0-9a-f]{16}", text)
    assert "postgresql://" not in text
    for service in services.values():
        for name, value in service.get("environment", {}).items():
            if re.search("KEY|PASSWORD|DATABASE|CERTIFICATE", name):
                file = re.fullmatch("/run/secrets/(.+)", value)
                assert file, name
                assert file[1] in service["secrets"]
        assert set(service.get("secrets", [])) <= set(composed["secrets"])
    assert all(set(secret) == {"file"} for secret in composed["secrets"].values())


def test_the_keys_are_those_that_the_script_makes(composed, tmp_path):
    subprocess.run(
        [FACILITY / "make_keys.sh", tmp_path, "--database-host", "database"],
        check=True, capture_output=True,
    )  # fmt: skip
    made = {path.name for path in tmp_path.iterdir()}
    assert set(composed["secrets"]) - {"tls.crt", "tls.key"} <= made
    password = (tmp_path / "database.password").read_text()
    uri = f"postgresql://stedopt:{password}@database/stedopt"
    assert (tmp_path / "database.uri").read_text() == uri


def test_images_are_of_a_version_and_nobody_is_root(services):
    names = [service["image"] for service in services.values()]
    names += re.findall(r"^FROM (\S+)", CONTAINERFILE, re.M)
    for name in names:
        assert re.fullmatch(r"[\w./-]+:\d+\.\d+[\w.-]*", name), name
    # That of the catalogue is the one of its Containerfile, below.
    users = {"database": "postgres", "catalog": None, "proxy": "nginx"}
    assert {name: service.get("user") for name, service in services.items()} == users
    for service in services.values():
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert service["cap_drop"] == ["ALL"]
        assert "healthcheck" in service
    (user,) = re.findall(r"^USER (\S+)", CONTAINERFILE, re.M)
    assert int(user.partition(":")[0]) >= 1000


def test_what_the_container_is_made_of_is_there():
    kept = (FACILITY / "Containerfile.dockerignore").read_text("utf-8")
    for line in re.findall(r"^COPY (.+) \S+$", CONTAINERFILE, re.M):
        for name in line.split():
            assert (ROOT / name).exists()
            assert f"!{name}\n" in kept


def test_a_new_volume_is_a_catalogue(tmp_path):
    (line,) = re.findall(r'python -c "(.+)"', CONTAINERFILE)
    where = tmp_path / "catalogue"
    where.mkdir()
    subprocess.run([sys.executable, "-c", line.replace("/catalogue", str(where))], check=True)
    assert (where / "catalog.toml").exists()
