import json

import numpy as np
import pytest
from scipy.stats import kruskal

from stedopt_bluesky.acquisition import Objective
from stedopt_bluesky.experiments.comparison import ComparedRun, compare, normalised_hypervolume
from stedopt_bluesky.experiments.comparison_figure import save_comparison_figure

OBJECTIVES = (
    Objective("snr", "", "maximise", (0.0, 2.0)),
    Objective("photobleaching", "", "minimise", (0.0, 1.0)),
)
NAN = float("nan")


def run(uid, group, snr, bleaching):
    return ComparedRun(uid, group, np.column_stack([snr, bleaching]).astype(float))


def rising(uid, group, seed, images=12):
    rng = np.random.default_rng(seed)
    return run(uid, group, np.linspace(0, 1, images) + rng.random(images), rng.random(images))


def test_failures_by_hand():
    runs = [
        run("a", "ts", [1, 1, 1, 1], [0.7, 0.5, 0.9, 0.1]),
        run("b", "ts", [1, 1, 1, 1], [0.7, NAN, 0.1, 0.6]),
        run("c", "random", [1, 1, 1, 1, 0], [0.9, 0.9, 0.9, 0.9, 0.0]),
    ]
    report = compare(runs, OBJECTIVES, {"photobleaching": 0.6})
    random, ts = report.groups

    assert report.images == 4
    assert (ts.name, ts.uids) == ("ts", ("a", "b"))
    np.testing.assert_allclose(ts.regret, [1, 1.5, 2, 2])
    np.testing.assert_allclose(random.regret, [1, 2, 3, 4])
    assert random.exponent == pytest.approx(1)
    assert np.isnan(random.regret_low).all()
    assert (ts.regret_low[1], ts.regret_high[1]) == (1.0, 2.0)
    # Two images are too few for a test, not for medians.
    assert (report.count, ts.objectives["photobleaching"].first_median) == (2, 0.7)
    assert np.isnan(ts.objectives["photobleaching"].p_value)
    assert np.isnan(report.between["snr"]).all()
    json.dumps(report.as_json(), allow_nan=False)


def test_hypervolume_by_hand():
    """Two rectangles from the corner (0, 1): 0.5 × 0.8 and 1 × 0.5 in a box of 2 × 1."""
    values = np.array([[0.5, 0.2], [1.0, 0.5], [0.4, 0.6], [NAN, 0.0], [9.0, 1.5]])
    area = 0.5 * 0.8 + 1.0 * 0.5 - 0.5 * 0.5
    assert normalised_hypervolume(values, OBJECTIVES) == pytest.approx(area / 2)
    assert normalised_hypervolume(np.array([[2.0, 0.0]]), OBJECTIVES) == pytest.approx(1)
    assert normalised_hypervolume(np.array([[NAN, 0.0]]), OBJECTIVES) == 0


def test_first_against_last_and_between_groups():
    """Against scipy, on the pooled images of each group's runs."""
    runs = [rising(str(i), "ab"[i % 2], i) for i in range(4)]
    report = compare(runs, OBJECTIVES, {})

    assert report.count == 6
    of = {g: [r.values for r in runs if r.group == g] for g in "ab"}
    for group in report.groups:
        for m, objective in enumerate(OBJECTIVES):
            first = np.concatenate([v[:6, m] for v in of[group.name]])
            last = np.concatenate([v[-6:, m] for v in of[group.name]])
            result = group.objectives[objective.name]
            assert result.p_value == pytest.approx(kruskal(first, last).pvalue)
            assert result.last_median == pytest.approx(np.median(last))
    last = [np.concatenate([v[-6:, 0] for v in of[g]]) for g in "ab"]
    assert report.between["snr"] == pytest.approx(tuple(kruskal(*last)))
    assert report.groups[0].objectives["snr"].p_value < 0.01


def test_no_more_than_twenty_first_and_last_images():
    report = compare([rising("a", "ts", 0, images=90)], OBJECTIVES, {})
    assert report.count == 20
    assert np.isnan(report.between["snr"]).all()


def test_groups_whose_images_are_all_equal():
    runs = [run(u, u, np.ones(12), np.zeros(12)) for u in "ab"]
    report = compare(runs, OBJECTIVES, {})
    assert report.between["snr"] == (0.0, 1.0)
    assert report.groups[0].objectives["snr"].p_value == 1.0


@pytest.mark.parametrize("runs", [[], [run("a", "ts", [], [])]])
def test_nothing_to_compare(runs):
    with pytest.raises(ValueError, match="at least one"):
        compare(runs, OBJECTIVES, {})


@pytest.mark.parametrize("images", [1, 12])
def test_the_picture(tmp_path, images):
    runs = [rising(str(i), "ab"[i % 2], i, images) for i in range(3)]
    report = compare(runs, OBJECTIVES, {"photobleaching": 0.6, "snr": 0.5})
    save_comparison_figure(report, tmp_path / "new" / "a.png")
    assert (tmp_path / "new" / "a.png").read_bytes().startswith(b"\x89PNG")
