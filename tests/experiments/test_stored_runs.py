import numpy as np
import pytest

from stedopt_bluesky.config import ConfigError
from stedopt_bluesky.experiments.stored_runs import Selection, select_runs, thresholds_for
from stedopt_bluesky.records.folder import CatalogError, CatalogFolder

RATINGS = [(0.1, 0.7), (0.2, 0.6), (float("nan"), 0.5), (0.9, 0.4)]


@pytest.fixture(scope="module")
def stored(recorder, tmp_path_factory):
    """Two runs of actin and one of tubulin, whose objectives are in another order."""
    path = tmp_path_factory.mktemp("compared") / "catalog"
    more = [{"name": "photobleaching"}, {"name": "snr"}, {"name": "frc", "weight": 0.0}]
    rated = [(bleaching, snr, 0.5) for snr, bleaching in RATINGS]
    records = [
        recorder(path, RATINGS),
        recorder(path, RATINGS[:2], **{"bandit.strategy": "random"}),
        recorder(path, rated[:3], **{"sample.name": "tubulin", "objectives": more}),
    ]
    return CatalogFolder.open(path), records


def chosen(stored, group_by="strategy", **selection):
    left_out = []
    runs, objectives = select_runs(stored[0], Selection(**selection), group_by, left_out.append)
    return runs, objectives, left_out


def test_all_runs_of_a_catalogue(stored):
    runs, objectives, left_out = chosen(stored)

    assert [r.uid for r in runs] == [r.uid for r in stored[1]]
    assert [r.group for r in runs] == ["kernel_ts", "random", "kernel_ts"]
    assert [o.name for o in objectives] == ["snr", "photobleaching"]
    np.testing.assert_array_equal(runs[0].values, RATINGS)
    np.testing.assert_array_equal(runs[2].values, RATINGS[:3])
    assert left_out == []


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        ({"strategy": "random"}, [1]),
        ({"sample": "tubulin"}, [2]),
        ({"sample": "actin", "strategy": "kernel_ts"}, [0]),
        ({"preset": "classical"}, [0, 1, 2]),
    ],
)
def test_runs_are_selected(stored, selection, expected):
    runs, _, _ = chosen(stored, **selection)
    assert [r.uid for r in runs] == [stored[1][i].uid for i in expected]


@pytest.mark.parametrize(
    ("group_by", "groups"),
    [("sample", ["actin", "actin", "tubulin"]), ("preset", ["classical"] * 3)],
)
def test_runs_are_grouped(stored, group_by, groups):
    assert [r.group for r in chosen(stored, group_by)[0]] == groups


def test_runs_by_uid_in_the_order_given(stored):
    uids = [r.uid for r in stored[1]]
    runs, _, _ = chosen(stored, "uid", uids=(uids[2][:12], uids[0], uids[2]))
    assert [r.uid for r in runs] == [uids[2], uids[0]]
    assert [r.group for r in runs] == [uids[2][:8], uids[0][:8]]


def test_short_runs_are_left_out_by_name(stored):
    runs, _, left_out = chosen(stored, images=3)
    assert [len(r.values) for r in runs] == [3, 3]
    assert left_out == [f"run {stored[1][1].uid[:8]} has 2 images"]


def test_a_resumed_run_counts_once_with_all_its_images(recorder, tmp_path, stored):
    from stedopt_bluesky.records.resume import RESUMES

    path = tmp_path / "catalog"
    first = recorder(path, RATINGS[:3])
    second = recorder(path, RATINGS[3:])
    journal = second.path
    text = journal.read_text("utf-8")
    name = f'"plan_name":"optimize_sted","{RESUMES}":"{first.uid}"'
    changed = text.replace('"plan_name":"optimize_sted"', name, 1)
    assert changed != text
    journal.write_text(changed, "utf-8")

    (run,), _, _ = chosen((CatalogFolder.open(path), None))
    assert run.uid == second.uid
    np.testing.assert_array_equal(run.values, RATINGS)


def test_a_damaged_run_is_left_out_unless_it_was_named(recorder, tmp_path):
    path = tmp_path / "catalog"
    good, bad = recorder(path, RATINGS[:2]), recorder(path, RATINGS[:2])
    lines = bad.path.read_bytes().splitlines(keepends=True)
    bad.path.write_bytes(b"".join([*lines[:3], b"garbage\n", *lines[3:]]))
    stored = (CatalogFolder.open(path), None)

    runs, _, left_out = chosen(stored)
    assert [r.uid for r in runs] == [good.uid]
    assert len(left_out) == 1
    with pytest.raises(CatalogError):
        chosen(stored, uids=(bad.uid,))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"group_by": "smaple"}, r"group-by = 'smaple': .*did you mean 'sample'"),
        ({"images": 0}, "images = 0: at least 1"),
        ({"images": 99}, "no run of .* is left to compare"),
        ({"preset": "other"}, "no run of .* is left to compare"),
        ({"uids": ("zzz",)}, "no run in .* begins with 'zzz'"),
    ],
)
def test_what_cannot_be_compared(stored, arguments, message):
    with pytest.raises((ConfigError, CatalogError), match=message):
        chosen(stored, **arguments)


def test_thresholds(stored):
    _, objectives, _ = chosen(stored)
    assert thresholds_for(objectives, {}) == {"photobleaching": 0.6}
    assert thresholds_for(objectives, {"snr": 0.5}) == {"snr": 0.5}
    with pytest.raises(ConfigError, match="threshold = frc: not an objective of all runs"):
        thresholds_for(objectives, {"frc": 0.5})
    with pytest.raises(ConfigError, match="threshold: give one of snr, as NAME=VALUE"):
        thresholds_for(objectives[:1], {})
