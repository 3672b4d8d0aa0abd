import pytest

from stedopt_bluesky.cli.showing import check_figure
from stedopt_bluesky.config import ConfigError

pytestmark = pytest.mark.usefixtures("pictures")


def test_show_tells_what_the_run_told(stedopt_json, stored):
    shown, result = stedopt_json("show", stored.finished["uid"][:8], "--catalog", stored.catalog)

    assert result.exit_code == 0
    varying = ("figure", "commands")
    assert {k: v for k, v in shown.items() if k not in varying} == {
        k: v for k, v in stored.finished.items() if k not in varying
    }
    assert shown["figure"] is None


def test_show_in_words(stedopt, stored):
    result = stedopt("show", stored.aborted["uid"], "--catalog", stored.catalog)

    assert result.exit_code == 0
    assert "2 of 4 images, abort, interrupted by the user (Ctrl-C)" in result.stdout
    assert f"resume {stored.aborted['uid'][:8]} --catalog" in result.stdout
    assert "The best 2 of 2 images" in result.stdout


def test_show_draws_the_picture(stedopt_json, stored, tmp_path):
    picture = tmp_path / "new folder" / "run.PNG"
    where = ("--catalog", stored.catalog, "--figure", picture)
    shown, result = stedopt_json("show", stored.finished["uid"], *where)

    assert result.exit_code == 0
    assert shown["figure"] == str(picture)
    assert picture.read_bytes().startswith(b"\x89PNG")


def only_overview(copied, journal):
    """A run that was killed before its first image."""
    path = journal(copied.catalog, copied.finished["uid"])
    lines = path.read_bytes().splitlines(keepends=True)
    overview = next(i for i, line in enumerate(lines) if line.startswith(b'["event",'))
    path.write_bytes(b"".join(lines[: overview + 1]))
    return path


def test_a_run_without_an_image(stedopt, stedopt_json, copied, journal, tmp_path):
    only_overview(copied, journal)
    where = (copied.finished["uid"], "--catalog", copied.catalog)

    shown, result = stedopt_json("show", *where)
    assert result.exit_code == 0
    assert (shown["exit_status"], shown["images"], shown["best"]) == ("interrupted", [], [])
    assert shown["commands"]["continue"].split()[-3:-2] != ["--images"]
    words = stedopt("show", *where)
    assert "0 of 3 images, interrupted" in words.stdout

    refused = stedopt("show", *where, "--figure", tmp_path / "x.png")
    assert refused.exit_code == 2
    assert "has no image to draw" in refused.stderr
    assert not (tmp_path / "x.png").exists()


def test_a_damaged_journal_is_told_in_one_line(stedopt, copied, journal):
    path = journal(copied.catalog, copied.finished["uid"])
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:3], b"garbage\n", *lines[3:]]))

    result = stedopt("show", copied.finished["uid"], "--catalog", copied.catalog)

    assert result.exit_code == 2
    assert "is damaged in line 4" in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_missing_images_do_not_hide_the_numbers(tamper, stedopt_json, copied, journal, tmp_path):
    tamper(
        journal(copied.catalog, copied.aborted["uid"]),
        lambda name, doc, _: (
            name == "stream_resource" and doc.update(uri="file://localhost/gone/x.h5") is None
        ),
    )
    where = ("--catalog", copied.catalog, "--figure", tmp_path / "x.png")
    shown, result = stedopt_json("show", copied.aborted["uid"], *where)

    assert result.exit_code == 0
    assert len(shown["images"]) == 2
    assert shown["figure"] is None
    assert "was not saved" in result.stderr


def test_a_run_of_another_program(tamper, stedopt, copied, journal):
    path = journal(copied.catalog, copied.finished["uid"])
    tamper(path, lambda name, doc, _: name == "start" and doc.pop("stedopt"))

    for command in ("show", "replay", "resume"):
        result = stedopt(command, copied.finished["uid"], "--catalog", copied.catalog)
        assert result.exit_code == 2
        assert "was not made by stedopt" in result.stderr


@pytest.mark.parametrize("name", ["run.png", "a/b/run.PNG"])
def test_a_figure_that_can_be_saved(tmp_path, name):
    check_figure(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_figure_that_is_a_folder(tmp_path):
    (tmp_path / "x.png").mkdir()
    with pytest.raises(ConfigError, match="is a folder"):
        check_figure(tmp_path / "x.png")


def test_an_earlier_run_that_is_gone_is_named(stedopt, copied, journal):
    journal(copied.catalog, copied.aborted["uid"]).unlink()
    for command in ("replay", "resume"):
        result = stedopt(command, copied.resumed["uid"], "--catalog", copied.catalog)
        assert result.exit_code == 2
        assert f"goes on with run {copied.aborted['uid']}" in result.stderr
    shown = stedopt("show", copied.resumed["uid"], "--catalog", copied.catalog)
    assert shown.exit_code == 0
    assert "not possible: no regions" in shown.stdout
