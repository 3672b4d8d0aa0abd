import json
import shutil
import subprocess
import sys

import h5py
import numpy as np
import pytest
from databroker.queries import FullText, In, Key, PartialUID, TimeRange
from event_model import DocumentNames, compose_run, schema_validators

from stedopt_bluesky.records import locks
from stedopt_bluesky.records.catalog import Catalog
from stedopt_bluesky.records.folder import CatalogError, CatalogFolder
from stedopt_bluesky.records.ingest import Ingester, relocation
from stedopt_bluesky.records.journal import Journal, find_run, journal_paths
from stedopt_bluesky.records.query import RunQuery
from stedopt_bluesky.records.reached import Reached
from stedopt_bluesky.records.recovery import BROKEN_REASON
from stedopt_bluesky.records.run_record import RunRecord
from stedopt_bluesky.records.runs import list_runs

DAY = 86_400.0


def empty_run(folder, uid, time, **md):
    """Journal of a run without any event."""
    journal = Journal(folder, fsync=False)
    run = compose_run(uid=uid, time=time, metadata=md)
    journal("start", run.start_doc)
    journal("stop", run.compose_stop(time=time + 1))
    return find_run(folder, uid)


@pytest.fixture(scope="module")
def catalog(tmp_path_factory, small):
    """A catalogue, open, with an optimisation and three small runs of other days."""
    folder = CatalogFolder.create_or_open(tmp_path_factory.mktemp("catalog") / "my catalogue µ")
    small["record_run"](folder, 4)
    for n, uid in enumerate(("aaaaa-1", "aaaaa-2", "bbbbb-1")):
        empty_run(folder, uid, n * DAY, sample="neuron" if n else "bead", preset=f"p{n % 2}")
    with Catalog(folder) as catalog:
        yield catalog


@pytest.fixture(scope="module")
def uid(catalog):
    return list_runs(catalog.folder)[0].uid


def uids(found):
    return sorted(run.metadata["start"]["uid"] for run in found.values())


def test_a_new_catalogue_takes_in_the_journals_that_are_there(catalog):
    assert len(catalog.client) == 4


def test_how_many_there_are_is_known_at_once(folder):
    """Tiled's client remembers for a second how many there were."""
    empty_run(folder, "aaaaa-1", DAY)
    with Catalog(folder, fill=False) as catalog:
        client = catalog.client.new_variation()
        fed = Ingester(folder, client, relocation(folder))
        fed.step()
        assert len(client) == 1


def test_summaries_are_those_of_the_journals(catalog):
    assert catalog.runs() == list_runs(catalog.folder)


@pytest.mark.parametrize("key", ["microscope_confocal1", "microscope_sted1"])
def test_images_are_bit_equal(catalog, uid, small, key):
    images = catalog.images(uid[:8], key)
    expected = np.stack([small["expected_image"](key, n) for n in range(4)])
    assert images.dtype == expected.dtype
    assert images.tobytes() == expected.tobytes()


def test_clouds_are_bit_equal(catalog, uid):
    record = RunRecord.read(find_run(catalog.folder, uid))
    assert catalog.images(uid, "decision_cloud").tobytes() == record.clouds.tobytes()


def test_tables_are_bit_equal(catalog, uid):
    record = RunRecord.read(find_run(catalog.folder, uid))
    for stream in ("decision", "primary"):
        table, expected = catalog.table(uid, stream), record.table(stream)
        assert table.index.tolist() == expected.pop("seq_num").tolist()
        assert set(table.columns) == set(expected)
        for name, column in expected.items():
            stored = table[name].to_numpy()
            if column.dtype.kind == "U":
                assert stored.tolist() == column.tolist()
            else:
                assert stored.tobytes() == column.tobytes(), name


def test_databroker_and_tiled_find_the_same(catalog, uid):
    import tiled.queries

    client = catalog.client
    assert client[uid].metadata["start"]["uid"] == uid
    assert client[uid[:6]].metadata["start"]["uid"] == uid
    assert client[-1].metadata["start"]["uid"] == uid, "the newest"
    for query, expected in [
        (Key("sample") == "bead", ["aaaaa-1"]),
        (tiled.queries.Key("sample") == "bead", ["aaaaa-1"]),
        (PartialUID("aaaaa"), ["aaaaa-1", "aaaaa-2"]),
        (TimeRange(since=DAY, until=3 * DAY), ["aaaaa-2", "bbbbb-1"]),
        (TimeRange(since="2000"), [uid]),
        (In("preset", ["p1", "live_far_red"]), ["aaaaa-2", uid]),
        (Key("seed") == 7, [uid]),
        (Key("plan_name") == "optimize_sted", [uid]),
        (FullText("live_far_red"), [uid]),
    ]:
        assert uids(client.search(query)) == sorted(expected), query
    assert uids(client.search(Key("sample") == "neuron").search(PartialUID("aaaaa"))) == ["aaaaa-2"]


def test_databroker_1_reads_it_too(catalog, uid):
    header = catalog.broker[uid]
    assert header.start["sample"] == "neuron"
    table = header.table()
    assert len(table) == 4
    assert np.isnan(table["objective_quality"].iloc[2])
    assert [h.start["uid"] for h in catalog.broker(preset="live_far_red")] == [uid]
    assert catalog.client[uid]["primary"].base, "the other face is as it was"


def test_documents_come_out_and_fit_their_schemas(catalog, uid):
    record = RunRecord.read(find_run(catalog.folder, uid))
    served = [(name, json.loads(json.dumps(doc))) for name, doc in catalog.run(uid).documents()]
    assert served[0] == ("start", record.start)
    reached = Reached()
    for name, doc in record.documents:
        reached(name, doc)
    assert served[-1] == ("stop", {**record.stop, "summary": reached.summary()})
    for name in ("descriptor", "event", "stream_resource"):
        expected = [n for n, _ in record.documents].count(name)
        assert [n for n, _ in served].count(name) == expected
    for name, doc in served:
        schema_validators[DocumentNames[name]].validate(doc)


def test_ingesting_again_changes_nothing(catalog, uid):
    before = catalog.run(uid).metadata["stop"]
    assert set(catalog.sync().values()) == {"unchanged"}
    assert len(catalog.client) == 4
    assert catalog.run(uid).metadata["stop"] == before


def test_a_run_that_is_there_in_part_is_taken_in_anew(catalog, small):
    from bluesky_tiled_plugins import TiledWriter

    partial, _ = small["record_run"](catalog.folder, 1, seed=3)
    path = find_run(catalog.folder, partial)
    writer, relocate = TiledWriter(catalog.client, batch_size=1), relocation(catalog.folder)
    for name, doc in RunRecord.read(path).documents[:-1]:  # as a process killed meanwhile left it
        writer(name, doc if name != "stream_resource" else relocate(doc))
    assert "stop" not in catalog.run(partial).metadata

    assert catalog.sync([path]) == {path.stem: "inserted"}

    assert len(catalog.table(partial, "primary")) == 1
    assert catalog.images(partial, "microscope_sted1").shape == (1, 6, 5)
    catalog.client.delete_contents([partial], recursive=True, external_only=False)
    path.unlink()


def test_a_broken_run_is_closed_and_taken_in(catalog, small, uid):
    broken, _ = small["record_run"](catalog.folder, 2, seed=4)
    path = find_run(catalog.folder, broken)
    lines = path.read_bytes().splitlines(keepends=True)
    # The program died while it wrote the second image's event: its frames are there already.
    path.write_bytes(b"".join(lines[:-2]) + lines[-2][:40])

    assert catalog.sync([path]) == {path.stem: "inserted"}

    [summary] = catalog.runs(RunQuery(uid_prefix=broken))
    assert (summary.images, summary.exit_status, summary.reason) == (1, "fail", BROKEN_REASON)
    assert summary == list_runs(catalog.folder)[0]
    assert len(catalog.table(broken, "primary")) == 1
    first = small["expected_image"]("microscope_sted1", 0)
    assert catalog.images(broken, "microscope_sted1")[0].tobytes() == first.tobytes()
    catalog.client.delete_contents([broken], recursive=True, external_only=False)
    path.unlink()


def test_a_live_run_is_left_alone_and_a_damaged_one_hinders_nobody(catalog):
    journal = Journal(catalog.folder, fsync=False)
    run = compose_run(uid="live-1")
    journal("start", run.start_doc)
    live = find_run(catalog.folder, "live-1")
    damaged = live.with_name("damaged-1.jsonl")
    damaged.write_bytes(b"garbage\ngarbage\n")
    try:
        before = live.read_bytes()
        results = catalog.sync()
        assert results.pop("live-1") == "live"
        assert isinstance(results.pop("damaged-1"), CatalogError)
        assert set(results.values()) == {"unchanged"}
        assert live.read_bytes() == before
    finally:
        journal.close()
        live.unlink()
        damaged.unlink()


def test_what_tiled_refuses_is_told_and_hinders_nobody(catalog, uid):
    path = find_run(catalog.folder, uid)
    strange = path.with_name("aaaaa-0.jsonl")
    text = path.read_text().replace(uid, "aaaaa-0").replace("x-hdf5", "x-unheard-of")
    strange.write_text(text)
    try:
        results = catalog.sync()
        assert "aaaaa-0 cannot be taken in" in str(results.pop("aaaaa-0"))
        assert set(results.values()) == {"unchanged"}
        assert "aaaaa-0" not in {run.uid for run in catalog.runs()}
    finally:
        strange.unlink()
        catalog.client.delete_contents(["aaaaa-0"], recursive=True, external_only=False)


def test_unknown_runs_streams_and_images(catalog, uid):
    with pytest.raises(CatalogError, match="no ingested run begins with 'zzz'"):
        catalog.run("zzz")
    with pytest.raises(CatalogError, match="more than one run begins with 'aaaaa'"):
        catalog.run("aaaaa")
    with pytest.raises(CatalogError, match="no table 'baseline'"):
        catalog.table(uid, "baseline")
    with pytest.raises(CatalogError, match="no images 'x'"):
        catalog.images(uid, "x")


def test_one_at_a_time(catalog):
    with pytest.raises(CatalogError, match=r"is open elsewhere \(waited 0 s\)"):
        Catalog(catalog.folder, wait_s=0).open()
    with pytest.raises(CatalogError, match="is open already"):
        catalog.open()
    assert len(catalog.client) == 4, "and the one that is open stays open"


def test_a_catalogue_that_is_closed_says_so(folder):
    with pytest.raises(CatalogError, match="is not open"):
        _ = Catalog(folder).client


def test_a_second_catalogue_beside_it_and_one_that_was_moved(catalog, stored, tmp_path, small):
    """The databases of a moved catalogue point to its old place; they are made anew."""
    folder, uid, _ = stored
    with Catalog(folder) as second:
        assert [run.uid for run in second.runs()] == [uid]
        assert len(catalog.client) == 4, "and the first one still answers, with its own runs"
    moved = CatalogFolder.open(shutil.copytree(folder.path, tmp_path / "moved"))
    for file in moved.arrays.iterdir():  # other images, so that the source can be told
        with h5py.File(file, "a") as arrays:
            for dataset in arrays.values():
                dataset[:] = 1
    uris = moved.path.as_uri()[7:]
    path = find_run(moved, uid)
    path.write_text(path.read_text().replace(folder.path.as_uri()[7:], uris + "/gone"))
    with Catalog(moved) as third:
        assert np.all(third.images(uid, "microscope_sted1") == 1)
        assert len(third.table(uid, "primary")) == 4
    assert not locks.is_held(moved.locks / "catalog.lock")


PROGRAM = """
import sys, threading
from stedopt_bluesky.records import Catalog, CatalogFolder, journal_paths
folder = CatalogFolder.open(sys.argv[1])
before = set(threading.enumerate())
with Catalog(folder) as catalog:
    [path] = journal_paths(folder)
    assert catalog.sync([path]) == {path.stem: "unchanged"}
    catalog.images(path.stem, "microscope_sted1")
    catalog.table(path.stem, "primary")
left = [t.name for t in threading.enumerate() if t not in before and not t.daemon]
print("left:", left)
catalog.open()
print("open:", len(catalog.client), flush=True)
"""


def test_a_program_ends_whether_the_catalogue_is_closed_or_not(stored):
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "-c", PROGRAM, str(stored[0].path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["left: []", "open: 1"]
    assert done.stderr == ""
    assert journal_paths(stored[0])
