import shutil
import subprocess
import sys

import h5py
import numpy as np
import pytest
from event_model import pack_event_page

from stedopt_bluesky.records import run_record
from stedopt_bluesky.records.assets import read_frames
from stedopt_bluesky.records.folder import CatalogError
from stedopt_bluesky.records.journal import append, find_run
from stedopt_bluesky.records.run_record import DocumentKeys, RunRecord


@pytest.fixture(scope="module")
def record(stored):
    folder, uid, _ = stored
    return RunRecord.read(find_run(folder, uid))


def rewritten(path, documents):
    with path.open("wb", buffering=0) as file:
        for name, doc in documents:
            append(file.fileno(), name, doc, fsync=False)
    return RunRecord.read(path)


def test_documents_and_metadata(record, stored):
    _, uid, documents = stored
    assert record.uid == uid
    assert [name for name, _ in record.documents] == [name for name, _ in documents]
    assert record.start["operator"] == "AD"
    assert record.stop["exit_status"] == "success"
    assert record.streams == ("decision", "primary")
    assert record.objectives == ("quality", "photobleaching")


def test_columns_are_bit_equal_and_in_order(record):
    table = record.table("primary")
    assert list(table)[:2] == ["seq_num", "time"]
    assert table["seq_num"].tolist() == [1, 2, 3, 4]
    assert np.all(np.diff(table["time"]) >= 0)
    quality = np.array([0.1 / 3, 0.2 / 3, np.nan, 0.1 * 4 / 3])
    assert table["objective_quality"].tobytes() == quality.tobytes()
    assert np.signbit(table["objective_photobleaching"][0])
    assert set(record.table("decision")["decision_chosen_by"]) == {"best_quality"}


def test_images_are_bit_equal_and_in_order(record, small):
    for key in ("microscope_confocal1", "microscope_sted1"):
        images = record.images(key)
        expected = np.stack([small["expected_image"](key, n) for n in range(4)])
        assert images.dtype == expected.dtype
        assert images.tobytes() == expected.tobytes()


def test_clouds_are_what_the_strategy_drew(record, small):
    strategy = small["Strategy"](7)
    for cloud, observation in zip(record.clouds, record.observations, strict=True):
        assert cloud.tobytes() == strategy.suggest().values.tobytes()
        strategy.ingest(*observation)


def test_images_follow_a_catalogue_that_was_moved(stored, tmp_path):
    folder, uid, _ = stored
    shutil.copytree(folder.path, tmp_path / "moved")
    path = find_run(folder, uid)
    moved = RunRecord.read(tmp_path / "moved" / path.relative_to(folder.path))
    here = RunRecord.read(path).images("microscope_sted1")
    assert moved.images("microscope_sted1").tobytes() == here.tobytes()


def test_images_of_a_run_in_progress_are_readable(folder, small, monkeypatch):
    seen, grows = [], []
    monkeypatch.setattr(
        run_record,
        "read_frames",
        lambda *given, growing: grows.append(growing) or read_frames(*given, growing=growing),
    )

    def look(n):
        if n == 2:
            [path] = folder.journal.glob("*/*.jsonl")
            seen.append(RunRecord.read(path))
            seen.append(seen[0].images("microscope_sted1"))

    small["record_run"](folder, 3, before_image=look)
    assert seen[0].stop is None
    assert seen[1].shape == (2, 6, 5)
    assert grows
    assert all(grows)
    grows.clear()
    # What was read then has no end, and nobody writes it any more: no writer is waited for.
    assert seen[0].images("microscope_sted1").shape == (2, 6, 5)
    assert grows
    assert not any(grows)


def test_pages_are_read_as_their_events(record, tmp_path):
    pages = [
        ("event_page", pack_event_page(doc)) if name == "event" else (name, doc)
        for name, doc in record.documents
    ]
    paged = rewritten(tmp_path / "pages.jsonl", pages)
    assert paged.table("primary")["time"].tolist() == record.table("primary")["time"].tolist()
    assert paged.observations[0] == record.observations[0]


def test_an_event_without_its_image_is_named(record, tmp_path):
    lost = [d for n, d in record.documents if n == "stream_datum"][-1]
    documents = [(n, d) for n, d in record.documents if d is not lost]
    with pytest.raises(CatalogError, match="event 4 of run"):
        rewritten(tmp_path / "lost.jsonl", documents).images("microscope_sted1")


def test_a_file_that_is_missing_or_short_is_named(stored, tmp_path):
    folder, uid, _ = stored
    # A copy whose addresses lead into itself.
    copy = tmp_path / "copy"
    shutil.copytree(folder.path, copy)
    path = copy / find_run(folder, uid).relative_to(folder.path)
    path.write_text(path.read_text().replace(folder.path.as_uri()[7:], copy.as_uri()[7:]))
    record = RunRecord.read(path)
    for file in (copy / "arrays").iterdir():
        with h5py.File(file, "a") as arrays:
            for dataset in arrays.values():
                dataset.resize(2, axis=0)
    with pytest.raises(CatalogError, match=r"2 frames of microscope_sted1.*tells of 4"):
        record.images("microscope_sted1")
    shutil.rmtree(copy / "arrays")
    with pytest.raises(CatalogError, match="microscope_sted1 cannot be read"):
        record.images("microscope_sted1")


def test_unknown_names_are_answered_with_the_known_ones(record):
    with pytest.raises(CatalogError, match="it has decision, primary"):
        record.table("baseline")
    with pytest.raises(CatalogError, match="it has decision_cloud, microscope_confocal1"):
        record.images("objective_quality")


def test_a_journal_must_begin_with_its_start(tmp_path):
    path = tmp_path / "empty.jsonl"
    path.touch()
    with pytest.raises(CatalogError, match="does not begin with a start"):
        RunRecord.read(path)


def test_a_run_of_another_plan_tells_no_objectives(tmp_path):
    path = tmp_path / "count.jsonl"
    record = rewritten(path, [("start", {"uid": "u", "time": 0.0, "plan_name": "count"})])
    assert record.observations == []
    with pytest.raises(CatalogError, match="does not tell its objectives"):
        _ = record.objectives


def test_other_names_of_keys_can_be_given(stored):
    folder, uid, _ = stored
    keys = DocumentKeys(objective_prefix="microscope_")
    with pytest.raises(CatalogError, match="has no 'microscope_quality'"):
        _ = RunRecord.read(find_run(folder, uid), keys).observations


def test_reading_a_record_imports_nothing_heavy(stored):
    folder, uid, _ = stored
    program = (
        "import sys, pathlib; from stedopt_bluesky.records import RunRecord, list_runs, "
        "CatalogFolder, Journal;"
        f"assert RunRecord.read(pathlib.Path({str(find_run(folder, uid))!r})).observations;"
        f"assert list_runs(CatalogFolder.open({str(folder.path)!r}));"
        "heavy = {'tiled', 'databroker', 'bluesky_tiled_plugins', 'bluesky', 'dask', 'pandas', "
        "'h5py'}; print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
