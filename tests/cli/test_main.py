import json
import tomllib

import numpy as np
import pytest
import tifffile

from stedopt_bluesky import __version__
from stedopt_bluesky.config import load_config, parse_config, preset, preset_names

COMMANDS = ("run", "resume", "runs", "show", "replay", "config")


def one_line(result):
    """The one line of an error on standard error; nothing else is written, anywhere."""
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("error: ")
    return lines[0]


# --- help -------------------------------------------------------------------------------


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_that_fits_80_columns(stedopt, command):
    result = stedopt(command, "--help")
    assert result.exit_code == 0
    assert "Usage: stedopt" in result.stdout.replace("root", "stedopt")
    assert "--json" in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 80


def test_help_names_every_command(stedopt):
    result = stedopt("--help")
    assert result.exit_code == 0
    for command in COMMANDS:
        assert f" {command} " in result.stdout


def test_without_a_command_help_is_shown(stedopt):
    result = stedopt()
    assert "Commands" in result.output
    assert "Traceback" not in result.output


def test_version(stedopt):
    assert stedopt("--version").stdout.strip() == __version__


# --- wrong input ------------------------------------------------------------------------


def files(tmp_path):
    """Files that are not what they are taken for."""
    (tmp_path / "a_file").write_text("hello")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("hello")
    (tmp_path / "broken.toml").write_text("images = = 3")
    (tmp_path / "misspelt.toml").write_text('preset = "demo"\nimagse = 3\n')
    (tmp_path / "limit.toml").write_text(
        '[[parameters]]\nname = "depletion_power_mW"\nvalues = [1.0, 500.0]\n'
        '[[objectives]]\nname = "snr"\n'
    )
    (tmp_path / "huge.toml").write_text(
        'preset = "demo"\n[[parameters]]\nname = "excitation_power_uW"\nlow = 1\nhigh = 2\n'
        'points = 1000\n[[parameters]]\nname = "depletion_power_mW"\nlow = 1\nhigh = 2\n'
        "points = 1000\n"
    )
    (tmp_path / "unknown.toml").write_text('preset = "nonsense"\n')
    (tmp_path / "fine.toml").write_text('preset = "demo"\n')
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    tifffile.imwrite(tmp_path / "rgb.tif", np.zeros((4, 4, 3), np.uint8))
    return tmp_path


WRONG = [
    (["run", "--images", "0"], ["images", "0", "at least 1"]),
    (["run", "--images", "-3"], ["images", "-3"]),
    (["run", "--images", "many"], ["--images", "integer"]),
    (["run", "--images", "2.5"], ["--images", "integer"]),
    (["run", "--seed", "-1"], ["seed", "-1"]),
    (["run", "--seed", "x"], ["--seed", "integer"]),
    (["run", "--preset", "dmeo"], ["preset = 'dmeo'", "demo"]),
    (["run", "--microscope", "leica"], ["microscope.kind", "leica", "twin"]),
    (["run", "--strategy", "grid"], ["bandit.strategy", "grid", "kernel_ts"]),
    (["run", "--sample", "nowhere.tif"], ["sample.name = 'nowhere.tif'", "no such file", "actin"]),
    (["run", "--sample", "{tmp}/other"], ["sample.name", "is a folder"]),
    (["run", "--sample", "{tmp}/a_file"], ["sample.name", ".npy"]),
    (["run", "--sample", "{tmp}/rgb.tif"], ["sample.name", "2-D"]),
    (["run", "--figure", "{tmp}/picture.xyz"], ["figure", "PNG"]),
    (["run", "--figure", "{tmp}/other.png/x.jpg"], ["figure", "PNG"]),
    (["run", "--figure", "{tmp}/a_file/x.png"], ["figure", "is a file"]),
    (["run", "{tmp}/nowhere.toml"], ["nowhere.toml", "TOML"]),
    (["run", "{tmp}/other"], ["other", "TOML"]),
    (["run", "{tmp}/broken.toml"], ["broken.toml", "not TOML"]),
    (["run", "{tmp}/binary.toml"], ["binary.toml", "not TOML"]),
    (["run", "{tmp}/misspelt.toml"], ["misspelt.toml", "imagse", "images"]),
    (["run", "{tmp}/unknown.toml"], ["unknown.toml", "preset = 'nonsense'", "demo"]),
    (["run", "{tmp}/limit.toml"], ["depletion_power_mW", "500", "380"]),
    (["run", "{tmp}/huge.toml"], ["1,000,000", "100,000"]),
    (["run", "{tmp}/fine.toml", "--preset", "demo"], ["preset = 'demo'", "file"]),
    (["run", "{tmp}/fine.toml", "more"], ["unexpected"]),
    (["run", "--imagse", "3"], ["--imagse", "run --help"]),
    (["walk"], ["walk"]),
    (["config", "dmeo"], ["preset = 'dmeo'", "demo"]),
    (["show"], ["UID"]),
    (["runs", "--since", "yesterday", "--catalog", "{stored}"], ["yesterday", "YYYY-MM-DD"]),
    (["runs", "--until", "2026-13-01", "--catalog", "{stored}"], ["2026-13-01"]),
    (["resume", "{aborted}", "--images", "0", "--catalog", "{stored}"], ["images", "at least 1"]),
    (["resume", "{aborted}", "--images", "5000", "--catalog", "{stored}"], ["5000", "regions"]),
    (["resume", "{finished}", "--catalog", "{stored}"], ["all its images", "--images N"]),
    (["show", "{finished}", "--figure", "x.pdf", "--catalog", "{stored}"], ["figure", "PNG"]),
]


@pytest.mark.parametrize(("arguments", "words"), WRONG, ids=lambda x: " ".join(x)[:60])
def test_wrong_input_is_told_in_one_line(stedopt, stored, tmp_path, monkeypatch, arguments, words):
    """Exit code 2, one line that names field, value and what is allowed, nothing made."""
    monkeypatch.chdir(tmp_path)
    names = {
        "tmp": files(tmp_path),
        "stored": stored.catalog,
        "finished": stored.finished["uid"],
        "aborted": stored.aborted["uid"],
    }
    before = sorted(tmp_path.rglob("*"))

    line = one_line(stedopt(*(a.format(**names) for a in arguments)))

    for word in words:
        assert word in line
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("where", "words"),
    [
        ("a_file", "is a file; a catalogue is a folder"),
        ("a_file/below", "is a file"),
        ("other", "is not a catalogue"),
        ("nowhere", "no such folder"),
    ],
)
@pytest.mark.parametrize("command", ["runs", "show abc", "replay abc", "resume abc"])
def test_what_is_no_catalogue_cannot_be_read(stedopt, tmp_path, command, where, words):
    folder = files(tmp_path) / where
    line = one_line(stedopt(*command.split(), "--catalog", folder))
    assert words in line or "no such folder" in line


@pytest.mark.parametrize(
    ("where", "words"),
    [("a_file", "is a file"), ("other", "neither empty nor a catalogue"), ("what?", "'?'")],
)
def test_what_cannot_become_a_catalogue_is_not_imaged_into(stedopt, toml, tmp_path, where, words):
    before = sorted(files(tmp_path).rglob("*"))
    assert words in one_line(stedopt("run", toml, "--catalog", tmp_path / where))
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("command", ["show", "replay", "resume"])
def test_unknown_and_ambiguous_uids(stedopt, stored, copied, journal, command):
    assert "no run" in one_line(stedopt(command, "zzz", "--catalog", stored.catalog))
    first = journal(copied.catalog, copied.finished["uid"])
    first.with_name(f"{copied.finished['uid']}-twin.jsonl").write_bytes(first.read_bytes())
    start = copied.finished["uid"][:8]
    line = one_line(stedopt(command, start, "--catalog", copied.catalog))
    assert f"2 runs in {copied.catalog} begin with {start!r}" in line


def test_the_catalogue_may_be_named_by_the_environment(stedopt_json, stored, monkeypatch):
    monkeypatch.setenv("STEDOPT_CATALOG", str(stored.catalog))
    runs, _ = stedopt_json("runs")
    assert len(runs) == 3


# --- config -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", preset_names())
def test_a_printed_preset_is_a_file_that_gives_the_preset(stedopt, tmp_path, name):
    result = stedopt("config", name)
    (tmp_path / "mine.toml").write_text(result.stdout, "utf-8")

    assert result.exit_code == 0
    assert load_config(tmp_path / "mine.toml") == preset(name)
    assert result.stdout.count("#") > len(tomllib.loads(result.stdout))  # commented
    assert "stedopt run mine.toml" in result.stderr


def test_a_preset_as_json(stedopt_json):
    config, _ = stedopt_json("config")
    assert parse_config(config) == preset("demo")


def test_the_presets_are_listed(stedopt, stedopt_json):
    assert stedopt("config", "--list").stdout.split() == list(preset_names())
    assert stedopt_json("config", "--list")[0] == list(preset_names())


def test_json_is_ascii_whatever_the_terminal(stedopt):
    for arguments in (("config", "--json"), ("config", "--list", "--json")):
        output = stedopt(*arguments).stdout
        assert output.isascii()
        json.loads(output)
