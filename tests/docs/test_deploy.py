"""The guide to a facility: its commands are run as they stand, or at least exist."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from stedopt_bluesky.config import load_config
from tests.commands import parsed
from tests.facility.units import FACILITY, ROOT, SYSTEMD
from tests.small import small_toml

RESTORED = "/var/tmp/restored"  # noqa: S108  the guide's, replaced
GUIDE = (ROOT / "docs" / "how-to" / "deploy.md").read_text("utf-8")


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", GUIDE, re.S | re.M)


def commands():
    """Every command line of `stedopt` in the guide and in the files for Windows."""
    windows = [path.read_text("utf-8") for path in (FACILITY / "windows").glob("*.cmd")]
    lines = "\n".join([*blocks("sh"), *blocks("bat"), *windows]).splitlines()
    lines += re.findall(r"`(stedopt [^`]+)`", GUIDE.replace("\n", " "))
    for line in lines:
        # At its beginning, or as what a task of Windows does.
        found = re.search(
            r"(?:^|/TR \")(?:C:\\stedopt\\venv\\Scripts\\)?stedopt(?:\.exe)? ([^\"]*)", line
        )
        if found:
            yield re.sub(r" > .*", "", found[1])


def test_the_guide_has_commands():
    assert len(list(commands())) > 8
    assert r"catalog verify --catalog D:\stedopt-data" in commands()  # in a task of Windows


@pytest.mark.parametrize("line", dict.fromkeys(commands()))
def test_every_command_is_one_that_the_program_has(line):
    parsed(shlex.split(line, posix=False))


def test_every_file_and_unit_that_it_names_is_there():
    for name in re.findall(r"profiles/facility/([\w./-]+\w)", GUIDE):
        assert (FACILITY / name).exists() or name.startswith("secrets"), name
    for name in re.findall(r"stedopt-\w+@?\.(?:service|timer)", GUIDE):
        assert (SYSTEMD / name).exists(), name
    installed = {path.name for path in SYSTEMD.iterdir() if path.is_file()}
    assert installed == set(re.findall(r"^\| `(stedopt-\S+)` \| \w", GUIDE, re.M)) | {
        "stedopt-verify.service"
    }


def test_the_ports_are_those_of_the_units():
    table = GUIDE[GUIDE.index("## Ports") : GUIDE.index("## Keys")]
    told = set(re.findall(r"\d{3,5}", " ".join(re.findall(r"^\| ([\d, ]+) \|", table, re.M))))
    texts = [path.read_text("utf-8") for path in SYSTEMD.glob("*.service")]
    texts.append((FACILITY.parent / "queueserver" / "start.sh").read_text("utf-8"))
    used = set(re.findall(r"--port (\d+)|_PORT:-(\d+)", "\n".join(texts)))
    assert {port for pair in used for port in pair if port} <= told


def test_every_setting_is_used():
    used = "".join(path.read_text("utf-8") for path in SYSTEMD.glob("*.service"))
    used += (FACILITY / "alert.sh").read_text("utf-8")
    used += (FACILITY.parent / "queueserver" / "start.sh").read_text("utf-8")
    lines = (FACILITY / "stedopt.env").read_text("utf-8").splitlines()
    names = [line.partition("=")[0] for line in lines if line and line[0] != "#"]
    assert len(names) > 5
    for name in names:
        assert name in used or name == "SSL_CERT_FILE", name


def test_the_configurations_section(tmp_path):
    (section,) = re.findall(r"^```\{code-block\} toml\n(.*?)^```$", GUIDE, re.S | re.M)
    (tmp_path / "mine.toml").write_text(f'preset = "demo"\n{section}', "utf-8")
    assert load_config(tmp_path / "mine.toml").catalog.server_folder == "/srv/sted1"


@pytest.mark.skipif(not shutil.which("envsubst"), reason="no envsubst here")
def test_the_proxys_configuration_is_filled_in(tmp_path):
    (block,) = [block for block in blocks("sh") if "envsubst" in block]
    block = re.sub(r"^nginx.*$", "", block, flags=re.M)
    block = block.replace("/etc/nginx/conf.d/stedopt.conf", str(tmp_path / "stedopt.conf"))
    subprocess.run(["bash", "-euc", block], cwd=ROOT, check=True)
    filled = (tmp_path / "stedopt.conf").read_text()
    assert "${STEDOPT" not in filled
    assert "server 127.0.0.1:8000;" in filled
    assert "proxy_set_header Host              $http_host;" in filled


def run_block(words, replaced, folder):
    """Run a block of the guide with other paths: what it told."""
    (block,) = [block for block in blocks("sh") if words in block]
    for there, here in replaced.items():
        block = block.replace(there, str(here))
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    ended = subprocess.run(
        ["bash", "-euc", block], cwd=folder, env={**os.environ, "PATH": path},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.fixture
def places(tmp_path):
    """The guide's folders, and those that stand for them here."""
    (tmp_path / "backup").mkdir()
    return {
        "/var/lib/stedopt/catalogue": tmp_path / "catalogue",
        "/backup": tmp_path / "backup",
        RESTORED: tmp_path / "restored",
    }


needs_rsync = pytest.mark.skipif(not shutil.which("rsync"), reason="no rsync here")


@needs_rsync
def test_a_backup_completes_what_was_growing_and_keeps_what_it_replaces(tmp_path, places):
    there, backup = tmp_path / "catalogue", tmp_path / "backup"
    journal, images = there / "journal" / "2026" / "a.jsonl", there / "arrays" / "a.h5"
    left_out = [there / name for name in ("tiled/catalog.db", "locks/a.lock", "runs.sqlite")]
    for path in (journal, images, *left_out):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"first ")
    run_block("rsync -a --backup ", places, tmp_path)
    with journal.open("ab") as file:
        file.write(b"second")
    before = images.stat().st_mtime
    images.write_bytes(b"wrong ")  # damage, of the same size
    os.utime(images, (before + 60, before + 60))
    run_block("rsync -a --backup ", places, tmp_path)

    copies = {path: backup / path.relative_to(tmp_path) for path in (journal, images, *left_out)}
    assert copies[journal].read_bytes() == b"first second"
    (replaced,) = (backup / "replaced").iterdir()
    assert (replaced / images.relative_to(there)).read_bytes() == b"first "
    assert not any(copies[path].exists() for path in left_out)


def test_both_pages_have_the_same_backup():
    page = (ROOT / "docs" / "how-to" / "keep_a_catalogue.md").read_text("utf-8")
    (line,) = re.findall(r"^rsync .*--backup.*$", GUIDE, re.M)
    for there, here in (
        ("/var/lib/stedopt/catalogue/", "stedopt-data/"),
        ("/backup/catalogue/", "/backup/stedopt-data/"),
    ):
        line = line.replace(there, here)
    assert line in page.splitlines()


def test_a_key_is_changed_as_it_says(tmp_path):
    keys = tmp_path / "keys"
    subprocess.run([FACILITY / "make_keys.sh", keys], check=True, capture_output=True)
    before = {path.name: path.read_text() for path in keys.iterdir()}
    restarted = tmp_path / "restarted"
    run_block(
        "rm /etc/stedopt/read.key",
        {
            "/opt/stedopt/source": ROOT,
            "/etc/stedopt": keys,
            "systemctl ": f"echo >{restarted} ",
        },
        tmp_path,
    )
    after = {path.name: path.read_text() for path in keys.iterdir()}
    assert {name for name in before if before[name] != after[name]} == {"read.key"}
    assert (keys / "read.key").stat().st_mode & 0o777 == 0o600
    assert restarted.read_text() == "restart stedopt-catalog.service\n"


@pytest.mark.slow
@pytest.mark.timeout(600)
@needs_rsync
def test_a_backup_is_restored_as_it_says(tmp_path, places):
    program = [Path(sys.executable).parent / "stedopt"]
    (tmp_path / "small.toml").write_text(small_toml("[catalog]\nbackground = false\n", images=2))
    subprocess.run(
        [*program, "run", "small.toml", "--catalog", "catalogue"],
        cwd=tmp_path, check=True, capture_output=True,
    )  # fmt: skip
    run_block("rsync -a --backup ", places, tmp_path)
    shutil.rmtree(tmp_path / "catalogue")
    told = run_block(f"verify --catalog {RESTORED}", places, tmp_path)
    assert "1 run: 1 whole" in told
    assert "1 run taken in" in told
    assert "optimize" in told or "actin" in told
