"""Journals from somebody who means harm: refused in one line, wherever they are read."""

import json
import shutil

import pytest

from stedopt_bluesky.records import CatalogFolder, RunRecord, list_runs
from stedopt_bluesky.records import journal as journals
from stedopt_bluesky.records.folder import CatalogError
from stedopt_bluesky.records.ingest import relocation
from stedopt_bluesky.records.journal import Journal, decode, find_run, read_journal
from stedopt_bluesky.records.journal_check import check_journal
from stedopt_bluesky.records.verify import verify


@pytest.fixture
def copied(stored, tmp_path):
    folder, uid, _ = stored
    shutil.copytree(folder.path, tmp_path / "copy", ignore=shutil.ignore_patterns("tiled"))
    folder = CatalogFolder.open(tmp_path / "copy")
    return folder, find_run(folder, uid)


def edit(path, kind, change):
    records = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    for name, doc in records:
        if name == kind:
            change(doc)
    path.write_text("".join(json.dumps(record) + "\n" for record in records), "utf-8")


def pop(*keys):
    def change(doc):
        for key in keys[:-1]:
            doc = doc[key]
        doc.pop(keys[-1])

    return change


def put(**values):
    return lambda doc: doc.update(values)


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("start", put(uid="../../out")),
        ("start", put(uid=7)),
        ("start", put(time="now")),
        ("start", put(time=10**400)),
        ("descriptor", pop("data_keys")),
        ("descriptor", pop("name")),
        ("descriptor", put(name=["primary"])),
        ("descriptor", put(data_keys={"a": "b"})),
        ("event", pop("seq_num")),
        ("event", put(seq_num="../x")),
        ("event", put(data=[1])),
        ("event", put(descriptor="another")),
        ("stream_resource", pop("uri")),
        ("stream_resource", put(uri=7)),
        ("stream_resource", pop("parameters")),
        ("stream_datum", put(indices=None)),
        ("stream_datum", put(indices={"start": "a", "stop": "b"})),
        ("stream_datum", put(indices={"start": -5, "stop": -4})),
        ("stream_datum", put(stream_resource=[1])),
    ],
)
def test_documents_that_are_none_are_refused(copied, kind, change):
    folder, path = copied
    edit(path, kind, change)
    with pytest.raises(CatalogError, match=r"is damaged: line|uid") as refused:
        RunRecord.read(path)
    assert len(str(refused.value).splitlines()) == 1
    assert verify(folder).runs[0].problems
    assert len(list_runs(folder)) == 1


@pytest.mark.parametrize(
    "change",
    [put(sample=["a", {}], operator={"a": 1}, seed="x"), put(time=1e300), put(time=float("nan"))],
)
def test_the_list_of_runs_shows_what_it_can(copied, change):
    folder, path = copied
    edit(path, "start", change)
    (run,) = list_runs(folder)
    assert run.uid == path.stem
    assert 0 <= run.time < 1e12
    assert run.sample in (None, "neuron")


def test_frames_without_number_take_no_memory(copied):
    _, path = copied
    edit(
        path,
        "stream_datum",
        put(
            indices={"start": 0, "stop": 10**12},
            seq_nums={"start": 1, "stop": 10**12 + 1},
        ),
    )
    assert len(RunRecord.read(path).arrays("microscope_sted1")) == 4


def test_a_run_whose_uid_leads_elsewhere_is_not_read(copied):
    _, path = copied
    record = RunRecord.read(path)
    record.start["uid"] = "../../x"
    with pytest.raises(CatalogError, match="cannot be the name of a file"):
        RunRecord.read(_written(path, record))


def _written(path, record):
    path.write_text("".join(json.dumps(entry) + "\n" for entry in record.documents), "utf-8")
    return path


def test_a_line_without_end_is_not_kept(copied, monkeypatch):
    folder, path = copied
    for module in ("journal", "journal_check", "runs"):
        monkeypatch.setattr(f"stedopt_bluesky.records.{module}.MOST_RECORD_BYTES", 4096)
    first, rest = path.read_bytes().split(b"\n", 1)
    assert len(first) < 4096
    longest = []
    monkeypatch.setattr(journals, "decode", lambda line: longest.append(len(line)) or decode(line))
    path.write_bytes(first + b"\n" + b"x" * 100_000 + b"\n" + rest)
    with pytest.raises(CatalogError, match="damaged in line 2"):
        list(read_journal(path))
    assert max(longest) == 4097
    assert check_journal(path).problems == ["line 2 is damaged: no document can be read"]
    path.write_bytes(first + b"\n" + b"x" * 100_000)
    assert len(list_runs(folder)) == 1
    with pytest.raises(CatalogError, match="at most 4096"):
        Journal(folder)("start", {"uid": "a", "time": 0.0, "long": "x" * 5000})


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (put(uri="file://localhost/etc/passwd"), "outside of the catalogue's arrays"),
        (put(mimetype="text/csv"), "only application/x-hdf5 is served"),
        (lambda doc: doc["parameters"].update(template="../{}"), "has 'template'"),
        (put(root="/", resource_path="etc/passwd", spec="AD_HDF5"), "has 'resource_path'"),
        (lambda doc: doc["parameters"].update(dataset="/"), "no dataset"),
    ],
)
def test_tiled_is_not_told_of_other_files(copied, change, says):
    folder, path = copied
    (resource, *_) = [doc for name, doc in read_journal(path) if name == "stream_resource"]
    assert relocation(folder)(resource)["uri"].startswith(f"file://localhost{folder.arrays}")
    change(resource)
    with pytest.raises(CatalogError, match=says):
        relocation(folder)(resource)
