"""The guide to a facility: its commands are run as they stand, or at least exist."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from stedopt_bluesky.cli import app
from stedopt_bluesky.config import load_config
from tests.facility.units import FACILITY, ROOT, SYSTEMD

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
        found = re.match(r"(?:C:\\stedopt\\venv\\Scripts\\)?stedopt(?:\.exe)? (.*)", line)
        if found:
            yield re.sub(r" > .*", "", found[1])


def test_the_guide_has_commands():
    assert len(list(commands())) > 8


@pytest.mark.parametrize("line", dict.fromkeys(commands()))
def test_every_command_is_one_that_the_program_has(line):
    context = typer.main.get_command(app).make_context("stedopt", shlex.split(line, posix=False))
    while rest := [*context._protected_args, *context.args]:
        name, found, arguments = context.command.resolve_command(context, rest)
        context = found.make_context(name, arguments, parent=context)
    assert not hasattr(context.command, "commands"), line


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


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.skipif(not shutil.which("rsync"), reason="no rsync here")
def test_a_backup_is_restored_as_it_says(tmp_path):
    program = [Path(sys.executable).parent / "stedopt"]
    (tmp_path / "small.toml").write_text(
        'preset = "classical"\nimages = 2\n[imaging]\nregion_size_um = 1.28\n'
        "[catalog]\nbackground = false\n"
    )
    subprocess.run(
        [*program, "run", "small.toml", "--catalog", "catalogue"],
        cwd=tmp_path, check=True, capture_output=True,
    )  # fmt: skip
    (tmp_path / "backup").mkdir()
    places = {
        "/var/lib/stedopt/catalogue": tmp_path / "catalogue",
        "/backup": tmp_path / "backup",
        RESTORED: tmp_path / "restored",
    }
    run_block("--ignore-existing", places, tmp_path)
    shutil.rmtree(tmp_path / "catalogue")
    told = run_block(f"verify --catalog {RESTORED}", places, tmp_path)
    assert "1 run: 1 whole" in told
    assert "1 run taken in" in told
    assert "optimize" in told or "actin" in told
