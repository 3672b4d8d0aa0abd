"""Tiled's databases beside the journals, and made anew from them."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
from databroker.queries import FullText, Key
from event_model import compose_run

from stedopt_bluesky.records import locks
from stedopt_bluesky.records.catalog import Catalog
from stedopt_bluesky.records.databases import check_databases
from stedopt_bluesky.records.folder import CatalogError, CatalogFolder
from stedopt_bluesky.records.ingest import Ingester, relocation
from stedopt_bluesky.records.journal import Journal, find_run, journal_paths, read_journal


@pytest.fixture(scope="module")
def filled(tmp_path_factory, small):
    """A catalogue with two runs and its databases, closed."""
    folder = CatalogFolder.create_or_open(tmp_path_factory.mktemp("filled") / "my catalogue µ")
    uids = [small["record_run"](folder, n, seed=n, sample=f"s{n}")[0] for n in (2, 1)]
    with Catalog(folder):
        pass
    return folder, uids


@pytest.fixture
def copied(filled, tmp_path_factory):
    """The same, to be changed, and changed back: at another place the databases are made anew."""
    folder, uids = filled
    kept = shutil.copytree(folder.path, tmp_path_factory.mktemp("kept") / "copy")
    yield folder, uids
    shutil.rmtree(folder.path)
    shutil.move(kept, folder.path)


def answers(catalog, uid):
    """What queries give, of every kind."""
    return {
        "all": list(catalog.client),
        "sample": list(catalog.client.search(Key("sample") == "s2")),
        "text": sorted(catalog.client.search(FullText("neuron"))),
        "runs": catalog.runs(),
        "stop": catalog.run(uid).metadata["stop"],
        "table": catalog.table(uid, "primary").to_dict(),
        "images": catalog.images(uid, "microscope_sted1").tolist(),
    }


def same(first, second):
    np.testing.assert_equal(second, first)  # not-a-number equals itself


# --- compared ---------------------------------------------------------------------------


def test_databases_that_hold_everything(filled):
    folder, _ = filled
    seen = []
    with Catalog(folder) as catalog:
        for journals in (None, journal_paths(folder)[:1]):
            check = check_databases(catalog, journals, mend=True, advance=seen.append)
            assert (check.runs, check.problems, check.mended) == (
                len(journals or journal_paths(folder)),
                [],
                [],
            )
    assert sum(seen) == 3


def test_a_run_that_is_missing_is_told_and_taken_in(copied):
    folder, (uid, _) = copied
    with Catalog(folder) as catalog:
        catalog.client.delete_contents([uid], recursive=True, external_only=False)
        assert check_databases(catalog).problems == [f"run {uid}: is missing from the databases"]
        check = check_databases(catalog, mend=True)
        assert (check.problems, len(check.mended)) == ([], 1)
        assert check.mended[0].endswith("is missing from the databases; it was taken in")
        assert check_databases(catalog).problems == []
        assert len(catalog.table(uid, "primary")) == 2


def test_a_run_that_is_there_in_part_is_told_and_taken_in(copied):
    from bluesky_tiled_plugins import TiledWriter

    folder, (uid, _) = copied
    with Catalog(folder) as catalog:
        catalog.client.delete_contents([uid], recursive=True, external_only=False)
        writer, relocate = TiledWriter(catalog.client, batch_size=1), relocation(folder)
        for name, doc in list(read_journal(find_run(folder, uid)))[:-1]:
            writer(name, doc if name != "stream_resource" else relocate(doc))
        assert check_databases(catalog).problems == [f"run {uid}: is in the databases in part"]
        assert check_databases(catalog, mend=True).problems == []


def test_other_numbers_of_events_and_another_end_are_told(copied):
    from bluesky_tiled_plugins import TiledWriter

    folder, (uid, _) = copied
    path = find_run(folder, uid)
    documents = list(read_journal(path))
    last = max(n for n, (name, _) in enumerate(documents) if name == "event")
    with Catalog(folder) as catalog:
        catalog.client.delete_contents([uid], recursive=True, external_only=False)
        writer, relocate = TiledWriter(catalog.client), relocation(folder)
        for name, doc in documents[:last] + documents[last + 1 :]:
            writer(name, doc if name != "stream_resource" else relocate(doc))
        assert check_databases(catalog, mend=True).problems == [
            f"run {uid}: has 1 Events of 'primary' in the databases, 2 in the journal"
        ]
        documents[-1][1]["exit_status"] = "abort"
        path.write_text("".join(json.dumps(record) + "\n" for record in documents))
        assert check_databases(catalog, mend=True).problems == [
            f"run {uid}: has another stop document in the databases"
        ]


def test_a_damaged_journal_is_not_the_databases_affair(copied):
    folder, (uid, _) = copied
    path = find_run(folder, uid)
    path.write_bytes(b"#" + path.read_bytes())
    with Catalog(folder) as catalog:
        check = check_databases(catalog)
    assert (check.runs, check.problems) == (1, [])


def test_a_run_whose_journal_is_gone_is_told(copied):
    folder, (uid, _) = copied
    find_run(folder, uid).unlink()
    with Catalog(folder) as catalog:
        assert check_databases(catalog).problems == [
            f"run {uid}: is in the databases, and its journal is not there"
        ]


def test_a_run_under_way_is_not_looked_for(copied, filled):
    folder, (uid, _) = copied
    path = find_run(folder, uid)
    documents = list(read_journal(path))
    path.unlink()
    journal = Journal(folder, fsync=False)
    with Catalog(folder) as catalog:
        catalog.client.delete_contents([uid], recursive=True, external_only=False)
        journal("start", documents[0][1])
        check = check_databases(catalog, mend=True)
        journal.close()
        assert (check.runs, check.problems, check.mended) == (1, [], [])


# --- made anew --------------------------------------------------------------------------


def test_queries_give_the_same_before_and_after(copied):
    folder, (uid, _) = copied
    with Catalog(folder) as catalog:
        before = answers(catalog, uid)
    old = (folder.tiled / "catalog.db").read_bytes()
    seen = []
    rebuilt = Catalog(folder)
    results = rebuilt.rebuild(seen.append)
    try:
        same(before, answers(rebuilt, uid))
    finally:
        rebuilt.close()
    assert set(results.values()) == {"inserted"}
    assert len(seen) == 2
    assert (folder.tiled / "catalog.db").read_bytes() != old
    assert not folder.tiled_before.exists()
    with Catalog(folder) as catalog:
        same(before, answers(catalog, uid))


@pytest.mark.parametrize("after", [1, 2])
def test_interrupted_the_old_ones_are_back(copied, after):
    folder, (uid, _) = copied
    with Catalog(folder) as catalog:
        before = answers(catalog, uid)
    old = (folder.tiled / "catalog.db").read_bytes()
    seen = []

    def interrupt(count):
        seen.append(count)
        if len(seen) == after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Catalog(folder).rebuild(interrupt)

    assert (folder.tiled / "catalog.db").read_bytes() == old
    assert not folder.tiled_before.exists()
    assert not locks.is_held(folder.locks / "catalog.lock")
    with Catalog(folder) as catalog:
        same(before, answers(catalog, uid))


KILLED = """
import os, signal, sys
from stedopt_bluesky.records import Catalog, CatalogFolder
Catalog(CatalogFolder.open(sys.argv[1])).rebuild(lambda _: os.kill(os.getpid(), signal.SIGKILL))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows knows no kill -9")
def test_killed_the_old_ones_are_back_when_it_is_next_opened(copied):
    folder, (uid, _) = copied
    with Catalog(folder) as catalog:
        before = answers(catalog, uid)
    old = (folder.tiled / "catalog.db").read_bytes()
    done = subprocess.run([sys.executable, "-c", KILLED, str(folder.path)], check=False, timeout=60)
    assert done.returncode == -9
    assert folder.tiled_before.is_dir()
    with Catalog(folder) as catalog:
        assert (folder.tiled / "catalog.db").read_bytes() == old
        same(before, answers(catalog, uid))
    assert not folder.tiled_before.exists()


def test_damaged_databases_are_made_anew(copied):
    folder, (uid, _) = copied
    with Catalog(folder) as catalog:
        before = answers(catalog, uid)
    (folder.tiled / "catalog.db").write_bytes(b"no database at all" * 1000)
    rebuilt = Catalog(folder)
    rebuilt.rebuild()
    try:
        same(before, answers(rebuilt, uid))
    finally:
        rebuilt.close()


@pytest.mark.parametrize("damage", ["gone", "damaged"])
def test_a_run_that_only_the_old_ones_hold_is_not_lost(copied, damage):
    folder, (uid, _) = copied
    with Catalog(folder) as catalog:
        before = answers(catalog, uid)
    path = find_run(folder, uid)
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(b"#" + path.read_bytes())
    says = "its journal is not there" if damage == "gone" else "is damaged in line 1"
    with pytest.raises(CatalogError, match=rf"1 run.*would be lost.*{uid}: .*{says}"):
        Catalog(folder).rebuild()
    with Catalog(folder) as catalog:
        same(before, answers(catalog, uid))


def test_a_run_under_way_that_the_old_ones_hold_in_part_is_not_lost(copied):
    folder, (uid, other) = copied
    journal = Journal(folder, fsync=False)
    run = compose_run(uid="live")
    journal("start", run.start_doc)
    with Catalog(folder) as catalog:
        Ingester(folder, catalog.client, relocation(folder)).step()
        assert "live" in set(catalog.client)
    rebuilt = Catalog(folder)
    try:
        assert rebuilt.rebuild() == {uid: "inserted", other: "inserted", "live": "live"}
        journal("stop", run.compose_stop())
        assert rebuilt.sync()["live"] == "inserted"
    finally:
        rebuilt.close()


def test_it_is_refused_while_somebody_has_the_catalogue_open(filled):
    folder, _ = filled
    with Catalog(folder) as catalog:
        with pytest.raises(CatalogError, match="is open elsewhere"):
            Catalog(folder, wait_s=0).rebuild()
        with pytest.raises(CatalogError, match="is open already"):
            catalog.rebuild()
        assert len(catalog.client) == 2
