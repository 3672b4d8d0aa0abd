"""``stedopt catalog verify`` and ``rebuild``, on runs of the whole program."""

import json
import re
from pathlib import Path

import h5py
import pytest

from stedopt_bluesky.records import Catalog, CatalogFolder, read_journal
from stedopt_bluesky.records import catalog as catalogs
from stedopt_bluesky.records import verify as records_verify
from stedopt_bluesky.records.assets import path_of


def file_of(catalog, journal, uid, key):
    for name, doc in read_journal(journal(catalog, uid)):
        if name == "stream_resource" and doc["data_key"] == key:
            return path_of(doc["uri"], Path(catalog).resolve() / "arrays")
    raise KeyError(key)


def flip(path, key):
    """Flip a bit of the first image."""
    with h5py.File(path) as file:
        place = file[key].id.get_chunk_info(0).byte_offset
    content = bytearray(path.read_bytes())
    content[place + 100] ^= 1
    path.write_bytes(content)


def test_what_the_program_stores_is_whole(stedopt, stedopt_json, copied):
    found, result = stedopt_json("catalog", "verify", "--catalog", copied.catalog)
    assert result.exit_code == 0
    assert found["whole"]
    assert {run["uid"] for run in found["runs"]} == {
        copied.finished["uid"], copied.aborted["uid"], copied.resumed["uid"]
    }  # fmt: skip
    for run in found["runs"]:
        assert (run["status"], run["unchecked"]) == ("whole", 0)
        assert run["arrays"] > run["events"] > 0
    assert (found["orphans"], found["left_over"], found["databases"]) == ([], [], None)

    words = stedopt("catalog", "verify", "--catalog", copied.catalog)
    assert words.stdout.splitlines()[0] == "3 runs: 3 whole"
    assert "read and compared with their checksums" in words.stdout


def test_a_flipped_bit_is_told_in_one_line(stedopt, stedopt_json, copied, journal):
    uid = copied.finished["uid"]
    flip(file_of(copied.catalog, journal, uid, "overview_image"), "overview_image")
    where = ("--catalog", copied.catalog)
    result = stedopt("catalog", "verify", *where)
    assert result.exit_code == 1
    first, *_ = result.stdout.splitlines()
    assert first == (
        f"{uid[:8]}  wrong: Event 1 of 'overview': overview_arrays_blake2b is not that of "
        "overview_image"
    )
    assert "3 runs: 2 whole, 1 wrong" in result.stdout
    assert stedopt("catalog", "verify", *where, "--quick").exit_code == 0
    assert stedopt("catalog", "verify", copied.aborted["uid"], *where).exit_code == 0
    found, result = stedopt_json("catalog", "verify", uid[:8], uid, *where)
    assert result.exit_code == 1
    assert [run["status"] for run in found["runs"]] == ["wrong"]


def test_a_torn_journal_is_mended(stedopt, copied, journal):
    uid = copied.finished["uid"]
    path = journal(copied.catalog, uid)
    path.write_bytes(path.read_bytes()[:-40])
    where = ("--catalog", copied.catalog)
    told = stedopt("catalog", "verify", uid, *where)
    assert told.exit_code == 1
    assert len(told.stdout.splitlines()) == 4
    mended = stedopt("catalog", "verify", uid, *where, "--mend")
    assert mended.exit_code == 0, mended.output
    assert mended.stdout.startswith(f"{uid[:8]}  mended: the torn record was cut off, the run was")
    assert stedopt("catalog", "verify", *where).exit_code == 0


def test_files_that_nobody_names_are_wrong_and_empty_ones_are_not(stedopt, copied):
    (copied.catalog / "arrays" / "empty.h5").write_bytes(b"")
    where = ("--catalog", copied.catalog)
    result = stedopt("catalog", "verify", *where)
    assert result.exit_code == 0
    assert "left over: arrays/empty.h5: no array was written into it" in result.stdout
    (copied.catalog / "arrays" / "notes.txt").write_text("[bold]x")
    result = stedopt("catalog", "verify", *where)
    assert result.exit_code == 1
    assert "wrong: arrays/notes.txt: no journal names it; it is no HDF5 file" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["verify", "zzz"], "no run in .* begins with 'zzz'"),
        (["verify", ""], "give the first characters of a run's uid"),
        (["verify", "--catalog", "nowhere"], "there is no catalogue at .*nowhere"),
        (["rebuild", "--catalog", "nowhere"], "there is no catalogue at .*nowhere"),
    ],
)
def test_wrong_requests_are_told_in_one_line(stedopt, stored, arguments, says):
    where = [] if "--catalog" in arguments else ["--catalog", stored.catalog]
    result = stedopt("catalog", *arguments, *where)
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert re.search(says, line)


def test_interrupted_it_says_so(stedopt, stored, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(records_verify, "check_journal", interrupt)
    result = stedopt("catalog", "verify", "--catalog", stored.catalog)
    assert result.exit_code == 130
    assert "interrupted by the user (Ctrl-C)" in result.stderr


def test_databases_are_compared_mended_and_made_anew(
    stedopt, stedopt_json, copied, journal, monkeypatch
):
    where = ("--catalog", copied.catalog)
    found, result = stedopt_json("catalog", "verify", "--databases", *where)
    assert result.exit_code == 0
    assert found["databases"]["runs"] == 0, "there are none, and none are made"
    assert not (copied.catalog / "tiled").exists()

    found, result = stedopt_json("catalog", "rebuild", *where)
    assert (result.exit_code, found["runs"], found["failed"]) == (0, 3, {})
    with Catalog(CatalogFolder.open(copied.catalog)) as catalog:
        before = catalog.runs()
        uid = copied.resumed["uid"]
        catalog.client.delete_contents([uid], recursive=True, external_only=False)
        busy = stedopt("catalog", "rebuild", *where)
        assert busy.exit_code == 2
        assert "is open elsewhere" in busy.stderr
        monkeypatch.setattr(
            catalogs.Catalog.__init__, "__kwdefaults__", {"wait_s": 0.0, "fill": True}
        )
        busy = stedopt("catalog", "verify", "--databases", *where)
        assert busy.exit_code == 1
        assert "3 runs: 3 whole" in busy.stdout
        assert "databases  wrong: not compared: the catalogue" in busy.stdout

    words = stedopt("catalog", "verify", "--databases", *where)
    assert words.exit_code == 1
    assert f"databases  wrong: run {uid}: is missing from the databases" in words.stdout
    words = stedopt("catalog", "verify", "--databases", "--mend", *where)
    assert words.exit_code == 0
    assert "it was taken in" in words.stdout
    with Catalog(CatalogFolder.open(copied.catalog)) as catalog:
        assert catalog.runs() == before

    for name in ("tables.duckdb", "catalog.db"):
        (copied.catalog / "tiled" / name).write_bytes(b"no database" * 1000)
        words = stedopt("catalog", "verify", "--databases", *where)
        assert words.exit_code == 1
        assert "Traceback" not in words.output
        told = [line for line in words.stdout.splitlines() if line.startswith("databases  wrong")]
        assert told, words.stdout
        assert all("cannot be" in line for line in told)
    (copied.catalog / "tiled" / "location.txt").write_text("elsewhere")
    words = stedopt("catalog", "verify", "--databases", *where)
    assert words.exit_code == 1
    assert "stedopt catalog rebuild" in words.stdout
    damaged = journal(copied.catalog, copied.finished["uid"])
    damaged.write_bytes(b"#" + damaged.read_bytes())
    result = stedopt("catalog", "rebuild", *where)
    assert result.exit_code == 1
    assert "is damaged in line 1" in result.stderr
    assert "2 runs taken in, 1 could not be taken in" in result.stdout


def test_json_is_one_document_also_when_something_is_wrong(stedopt, copied, journal):
    path = journal(copied.catalog, copied.finished["uid"])
    path.write_bytes(b"\xff\n" + path.read_bytes())
    result = stedopt("catalog", "verify", "--catalog", copied.catalog, "--json")
    assert result.exit_code == 1
    assert not json.loads(result.stdout)["whole"]


@pytest.mark.parametrize("command", ["verify", "rebuild"])
def test_help_fits_80_columns(stedopt, command):
    result = stedopt("catalog", command, "--help")
    assert result.exit_code == 0
    assert max(map(len, result.stdout.splitlines())) <= 80
    assert "--json" in result.stdout
