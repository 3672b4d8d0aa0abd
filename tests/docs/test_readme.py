"""What the README and the pages say can be done as it is said."""

import itertools
import re
import shlex
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from stedopt_bluesky.cli import app
from stedopt_bluesky.config import load_config
from tests.commands import parsed

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    *sorted(p for p in (ROOT / "docs").rglob("*.md") if not {"_build", "generated"} & set(p.parts)),
]
COMMANDS = typer.main.get_command(app).commands


def ids(path):
    return str(path.relative_to(ROOT))


def fenced(text, *languages):
    names = "|".join(languages)
    return re.findall(rf"^```(?:{names})\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def shell_lines(text):
    for block in fenced(text, "sh", "console"):
        yield from (line.removeprefix("$ ") for line in block.splitlines())


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_links_to_files_lead_somewhere(page):
    text = page.read_text("utf-8")
    for target in re.findall(r"\]\(([^)#\s]+)", text):
        if not target.startswith(("http", "<")):
            assert (page.parent / target).exists(), target
    for target in re.findall(r"\{doc\}`(?:[^`<]*<)?([^`>]+)>?`", text):
        assert (page.parent / f"{target}.md").exists(), target


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_commands_and_options_exist(page):
    for line in shell_lines(page.read_text("utf-8")):
        # A number for the shell's variables; what stands behind the command is the shell's own.
        words = shlex.split(re.sub(r"\$\w+", "1", line), comments=True)
        if "stedopt" in words[:1]:
            parsed(itertools.takewhile(lambda word: word not in (">", "|", "&"), words[1:]))


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_make_targets_exist(page):
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    for name in re.findall(r"(?:^|`)make ([a-z]+)", page.read_text("utf-8"), re.MULTILINE):
        assert name in targets, name


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_python_is_python_and_configurations_are_accepted(page, tmp_path):
    text = page.read_text("utf-8")
    for block in fenced(text, "python"):
        compile(block, str(page), "exec")
    for block in fenced(text, "toml"):
        # A piece of a file belongs to the preset that the page begins with.
        preset = re.search(r'^preset = "\w+"$', text, re.MULTILINE)[0]
        (tmp_path / "page.toml").write_text(block if preset in block else f"{preset}\n{block}")
        load_config(tmp_path / "page.toml")


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_no_path_of_somebodys_machine(page):
    assert not re.search(r"/(home|Users|work|root)/\w", page.read_text("utf-8"))


def test_the_readme_begins_with_the_two_commands():
    text = (ROOT / "README.md").read_text("utf-8")
    assert text.index("docs/_static/run.png") < text.index("make demo") < text.index("make test")
    assert text.index("make test") < text.index("## ")


def test_the_picture_is_small():
    assert 10_000 < (ROOT / "docs" / "_static" / "run.png").stat().st_size <= 300_000


def every_command(commands, path=()):
    """Paths of all commands and of what holds them."""
    for name, command in commands.items():
        yield (*path, name), command
        yield from every_command(getattr(command, "commands", {}), (*path, name))


def test_every_command_has_help():
    for path, command in every_command(COMMANDS):
        shown = CliRunner().invoke(app, [*path, "--help"])
        assert shown.exit_code == 0, path
        assert command.help, path
