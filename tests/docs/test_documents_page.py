"""The reference of documents names what a run really records, with its unit."""

import re
from pathlib import Path

import pytest

from stedopt_bluesky.config import preset
from stedopt_bluesky.records import CatalogFolder, RunRecord, find_run
from stedopt_bluesky.session import connect_application, open_session

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "documents.md"


@pytest.fixture(scope="module")
def record(tmp_path_factory):
    """One image of a small sample."""
    config = preset("classical").updated(
        {"microscope.field_um": 10.0, "overview.size_um": 10.0, "overview.minimum_foreground": 0.0}
    )
    folder = CatalogFolder.create_or_open(tmp_path_factory.mktemp("catalog"))
    with open_session(config, connect_application(config), folder) as session:
        (uid,) = session.run_engine(session.optimize(images=1))
    return RunRecord.read(find_run(folder, uid))


def rows(text):
    """Rows of the tables under a heading: keys, meaning, unit."""
    for row in re.findall(r"^\| (`.*) \|$", text, re.MULTILINE):
        first, *cells = (cell.strip() for cell in row.split(" |"))
        for key in re.findall(r"`(\w+)`", first):
            yield key, cells


@pytest.mark.parametrize("stream", ["overview", "decision", "primary"])
def test_every_data_key_is_on_the_page_and_no_other(record, stream):
    section = PAGE.read_text("utf-8").split(f"## Stream `{stream}`")[1].split("\n## ")[0]
    described = {key: cells[-1] for key, cells in rows(section)}
    recorded = record.descriptors[stream][0]["data_keys"]
    assert set(described) == set(recorded)
    for key, data_key in recorded.items():
        assert ("external" in described[key]) == ("external" in data_key), key
        if unit := data_key.get("units"):
            assert described[key] == unit, key


def test_every_data_key_of_an_uncaging_run_is_on_the_page(tmp_path):
    config = preset("uncaging").updated(
        {
            "microscope.field_um": 20.0,
            "overview.size_um": 20.0,
            "uncaging.cells": 1,
            "calcium.response_frames": 2,
        }
    )
    folder = CatalogFolder.create_or_open(tmp_path / "catalog")
    with open_session(config, connect_application(config), folder) as session:
        (uid,) = session.run_engine(session.optimize(images=1))
    recorded = RunRecord.read(find_run(folder, uid)).descriptors["primary"][0]["data_keys"]
    text = PAGE.read_text("utf-8")
    always = text.split("## Stream `primary`")[1].split("\n## ")[0]
    described = {
        key: cells[-1]
        for section in (always, text.split("## Of an uncaging run")[1].split("\n## ")[0])
        for key, cells in rows(section)
    }
    # Another STED image than the page's, and other objectives.
    assert {k for k in recorded if not k.startswith("objective_")} - {"microscope_sted2"} == {
        k for k in described if not k.startswith("objective_")
    }
    for key, cells in described.items():
        if unit := recorded.get(key, {}).get("units"):
            assert cells == unit, key


def test_every_key_of_the_start_document_is_on_the_page(record):
    section = PAGE.read_text("utf-8").split("## Start document")[1].split("\n## ")[0]
    bluesky = {"uid", "time", "scan_id", "versions", "plan_type"}
    assert {key for key, _ in rows(section)} == (set(record.start) - bluesky) | {
        "resumes",
        "replays",
        "networks",
        "comment",
    }


def test_the_folder_is_as_the_page_shows_it(record):
    folder = record.path.parents[2]
    assert re.fullmatch(r"journal/\d{4}/[\w-]+\.jsonl", str(record.path.relative_to(folder)))
    assert (folder / "catalog.toml").is_file()
    assert list((folder / "arrays").glob("????/??/??/*.h5"))


def test_every_data_key_of_a_replay_is_on_the_page(record):
    from stedopt_bluesky.devices.replayed import ReplayedImage
    from stedopt_bluesky.twin.recorded import Given

    section = PAGE.read_text("utf-8").split("## Of a replay on recorded images")[1]
    described = {key: cells[-1] for key, cells in rows(section.split("\n## ")[0])}
    data_keys = ReplayedImage(given=Given, name="replayed").describe()
    assert set(described) == set(data_keys)
    assert described["replayed_distance_steps"] == data_keys["replayed_distance_steps"]["units"]
