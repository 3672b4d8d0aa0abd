import contextlib
import json
import re

import numpy as np
import pytest

from stedopt_bluesky.cli import experimenting, performing
from stedopt_bluesky.config import preset
from stedopt_bluesky.experiments import building
from stedopt_bluesky.experiments.dataset import ReplayDataset

# Regions of 64 × 64 pixels in a field of 20 µm: an image takes 20 ms.
SMALL = {
    "microscope.field_um": 20.0,
    "overview.size_um": 20.0,
    "imaging.region_size_um": 1.28,
}


@pytest.fixture(autouse=True)
def _elsewhere(monkeypatch, tmp_path):
    """Files without a name go to the working folder."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def small(monkeypatch):
    """The twin's sample in small."""
    make = building.twin_config
    monkeypatch.setattr(building, "twin_config", lambda *a: make(*a).updated(SMALL))


@pytest.fixture(scope="session")
def dataset(tmp_path_factory):
    """Twenty ratings at each of four powers, the third the best; 19 of 20 there above 0.6."""
    config = preset("classical").updated(
        {
            "parameters": [{"name": "excitation_power_uW", "low": 1, "high": 7, "points": 4}],
            "objectives": [{"name": "snr"}, {"name": "photobleaching", "weight": 0}],
        }
    )
    from stedopt_bluesky.session import objectives_of, weights_of

    levels = np.array([0.1, 0.4, 0.8, 0.3])
    snr = levels[:, None] + np.linspace(-0.05, 0.05, 20)
    path = tmp_path_factory.mktemp("replay") / "made.npz"
    ReplayDataset(
        space=config.space,
        objectives=objectives_of(config),
        weights=weights_of(config),
        configurations=np.repeat(np.arange(4), 20),
        ratings=np.column_stack([snr.ravel(), np.full(80, 0.5)]),
        examples=np.empty((0, 0, 0), np.int16),
        pixel_size_nm=20.0,
        origin={"runs": {"abcdef0123": 80}},
    ).save(path)
    return path


FEW = ("--trials", 4, "--images", 20, "--workers", 1)


def test_replay_of_a_dataset(stedopt_json, dataset, tmp_path):
    shown, result = stedopt_json("experiment", "replay", "--dataset", dataset, *FEW)

    assert result.exit_code == 0, result.stderr
    assert (shown["trials"], shown["images"], shown["seed"]) == (4, 20, 0)
    assert shown["objective"]["name"] == "utility"
    assert [c["relevant"] for c in shown["configurations"]] == [False, False, True, False]
    assert [c["failure_rate"] for c in shown["configurations"]] == [1, 1, 0.05, 1]
    assert list(shown["strategies"]) == ["kernel_ts", "grid_search", "random"]
    grid = shown["strategies"]["grid_search"]
    assert grid["images_per_configuration"] == [5, 5, 5, 5]
    assert grid["regret"][:10] == list(range(1, 11))  # five images at each of the bad powers
    assert 15 <= grid["regret"][-1] <= 16
    ts = shown["strategies"]["kernel_ts"]
    assert ts["regret"][-1] < grid["regret"][-1]
    assert ts["relevant_share"] > 0.4
    picture = dataset.with_suffix(".png")
    assert shown["figure"] == str(picture)
    assert picture.read_bytes().startswith(b"\x89PNG")


def without_time(shown):
    return {k: v for k, v in shown.items() if k not in ("trials_s", "figure")}


def test_the_same_numbers_on_two_processes_and_on_a_cluster(stedopt_json, dataset):
    distributed = pytest.importorskip("distributed")
    command = ("experiment", "replay", "--dataset", dataset, "--trials", 3, "--images", 9)
    serial, _ = stedopt_json(*command, "--workers", 1)
    processes, _ = stedopt_json(*command, "--workers", 2)
    with distributed.LocalCluster(
        n_workers=1,
        processes=False,
        dashboard_address="127.0.0.1:0",
        protocol="tcp://",
        host="127.0.0.1",
    ) as cluster:
        distant, result = stedopt_json(*command, "--dask", cluster.scheduler_address)
    assert result.exit_code == 0, result.stderr
    assert without_time(serial) == without_time(processes) == without_time(distant)


def test_replay_in_words(stedopt, dataset, tmp_path):
    picture = tmp_path / "a.png"
    command = ("--strategy", "random", "--strategy", "kernel_ucb", "--figure", picture)
    result = stedopt("experiment", "replay", "--dataset", dataset, *FEW, *command)

    assert result.exit_code == 0, result.stderr
    assert "4 trials × 20 images" in result.stdout
    assert re.search(r"^random +\d+\.\d", result.stdout, re.MULTILINE)
    assert re.search(r"^5 +\* +0\.8 +5% ", result.stdout, re.MULTILINE)
    assert "failure  utility below 0.755" in result.stdout
    assert "made.npz (images of abcdef01)" in result.stdout
    assert picture.exists()


def test_the_dataset_is_imaged_once(stedopt_json, small, tmp_path, monkeypatch):
    command = ("experiment", "replay", *FEW, "--queue", 2, "--objective", "snr")
    first, result = stedopt_json(*command)
    assert result.exit_code == 0, result.stderr
    path = tmp_path / "stedopt-replay.npz"
    assert first["dataset"] == str(path)
    assert [c["images"] for c in first["configurations"]] == [2] * 12

    monkeypatch.setattr(building, "image_on_twin", None)
    again, result = stedopt_json(*command)
    assert result.exit_code == 0, result.stderr
    assert without_time(again) == without_time(first)

    _, result = stedopt_json(*command, "--dataset", path)
    assert result.exit_code == 0


@pytest.fixture
def refused(stedopt):
    def call(*arguments):
        result = stedopt("experiment", *arguments)
        assert result.exit_code == 2, result.stderr
        assert result.stdout == ""
        assert len(result.stderr.splitlines()) == 1
        return result.stderr

    return call


def test_a_dataset_of_other_images_is_refused(refused, dataset, tmp_path):
    asked = ("replay", "--dataset", dataset, "--sample", "tubulin")
    assert (
        "holds images of abcdef01, not 39 images a power of tubulin on the twin; name another "
        "file, or remove this one"
    ) in refused(*asked)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--trials", 0), "trials = 0: at least 1"),
        (("--images", 0), "images = 0: at least 1"),
        (("--repeats", 0), "repeats = 0: at least 1"),
        (("--workers", 0), "workers = 0: at least 1"),
        (("--seed", -1), "seed = -1: at least 0"),
        (("--queue", 1), "queue = 1: at least 2"),
        (("--threshold", "nan"), "threshold = nan: a finite number"),
        (("--strategy", "kernel-ts"), "strategy = 'kernel-ts': allowed are kernel_ts"),
        (("--dask", "here:1"), "dask = 'here:1': tcp://HOST:PORT"),
        (("--dask", "tcp://a:1", "--workers", 2), "workers = 2: not together with dask"),
        (("--from", "ab", "--queue", 3), "queue = 3: not together with from"),
        (("--from", "ab"), "there is no catalogue at"),
        (("--dataset", "a.txt"), "dataset = 'a.txt': the name of a file *.npz"),
        (("--figure", "a.txt"), "figure = 'a.txt': the name of a PNG file"),
        (("--sample", "atcin"), "sample.name = 'atcin': no such file"),
    ],
)
def test_replay_says_in_one_line_what_is_wrong(refused, arguments, message, tmp_path):
    assert message in refused("replay", *arguments)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--objective", "frc"), "objective = 'frc': allowed are utility, snr"),
        (("--relevant", 5), "relevant = 5: 1 to 4"),
    ],
)
def test_what_a_dataset_does_not_allow(refused, dataset, arguments, message):
    assert message in refused("replay", "--dataset", dataset, *arguments)


@pytest.fixture(scope="session")
def replayable(stedopt_json, tmp_path_factory):
    """A stored run of a grid search: three images at each of two powers."""
    folder = tmp_path_factory.mktemp("replayable")
    config = folder / "grid.toml"
    config.write_text(
        'preset = "classical"\nimages = 6\n[microscope]\nfield_um = 20.0\n'
        "[overview]\nsize_um = 20.0\n"
        '[imaging]\nregion_size_um = 1.28\n[bandit]\nstrategy = "grid_search"\nrepeats = 1\n'
        '[[parameters]]\nname = "excitation_power_uW"\nlow = 2.0\nhigh = 8.0\npoints = 2\n'
        '[[objectives]]\nname = "photobleaching"\n'
    )
    catalog = folder / "catalog"
    with pytest.MonkeyPatch.context() as monkeypatch:
        # Tiled is slow, and not needed.
        monkeypatch.setattr(performing, "fed", lambda *_: contextlib.nullcontext())
        run, result = stedopt_json("run", config, "--catalog", catalog)
    assert result.exit_code == 0, result.stderr
    return catalog, run


def test_replay_of_stored_runs(stedopt_json, replayable, tmp_path):
    catalog, run = replayable
    source = ("--from", run["uid"][:8], "--catalog", catalog)
    command = ("experiment", "replay", *FEW, "--objective", "photobleaching", *source)
    shown, result = stedopt_json(*command, "--dataset", "kept.npz")

    assert result.exit_code == 0, result.stderr
    assert shown["origin"] == {"runs": {run["uid"]: 6}}
    measured = [image["objectives"]["photobleaching"] for image in run["images"]]
    expected = [np.mean(measured[g::2]) for g in (0, 1)]
    assert [c["mean"] for c in shown["configurations"]] == pytest.approx(expected)
    kept, result = stedopt_json(*command[:-4], "--dataset", "kept.npz")
    assert result.exit_code == 0, result.stderr
    assert without_time(kept) == without_time(shown)

    shown, _ = stedopt_json(*command)
    assert shown["dataset"] is None
    # Not over the picture of the twin's dataset.
    assert (tmp_path / f"stedopt-replay-{run['uid'][:8]}.png").exists()
    assert not (tmp_path / "stedopt-replay.png").exists()


def test_too_few_stored_images(refused, stored):
    uid = stored.finished["uid"]
    message = refused("replay", "--from", uid, "--catalog", stored.catalog)
    assert re.search(r"from: 0 images at .*: at least 2 are needed of each", message)


def test_interrupted(stedopt, dataset, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(experimenting, "run_serially", interrupt)
    result = stedopt("experiment", "replay", "--dataset", dataset, *FEW)
    assert result.exit_code == 130
    assert result.stderr.splitlines() == ["error: interrupted by the user (Ctrl-C)"]


def test_compare_by_hand(stedopt_json, stored):
    """Against the numbers that the runs themselves told."""
    shown, result = stedopt_json(
        "experiment", "compare", "--group-by", "sample", "--catalog", stored.catalog,
        "--threshold", "photobleaching=0.1", "--threshold", "snr=0.3",
    )  # fmt: skip

    assert result.exit_code == 0, result.stderr
    assert shown["images"] == 3
    runs = {
        "tubulin": stored.finished["images"],
        "actin": stored.aborted["images"] + stored.resumed["images"],
    }
    assert set(shown["groups"]) == set(runs)
    for name, images in runs.items():
        failed = [
            not (i["objectives"]["photobleaching"] <= 0.1 and i["objectives"]["snr"] >= 0.3)
            for i in images[:3]
        ]
        assert shown["groups"][name]["regret"] == np.cumsum(failed).tolist()
    assert shown["groups"]["actin"]["runs"] == [stored.resumed["uid"]]
    assert "the shortest run has 3 images, the longest 4" in result.stderr


def test_compare_in_words(stedopt, stored, tmp_path):
    picture = tmp_path / "compared.png"
    where = ("--catalog", stored.catalog, "--figure", picture)
    uids = (stored.finished["uid"][:8], stored.resumed["uid"][:8])
    result = stedopt("experiment", "compare", *uids, "--group-by", "uid", *where)

    assert result.exit_code == 0, result.stderr
    assert "Groups of runs, 3 images each" in result.stdout
    for uid in uids:
        assert re.search(rf"^{uid} +1 ", result.stdout, re.MULTILINE)
    assert "failure  photobleaching above 0.6" in result.stdout
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--group-by", "day"), "group-by = 'day': allowed are strategy, preset, sample, uid"),
        (("--threshold", "snr"), "threshold = 'snr': NAME=VALUE, as photobleaching=0.6"),
        (("--threshold", "snr=inf"), "threshold = 'snr=inf': NAME=VALUE"),
        (("--threshold", "quality=1"), "threshold = quality: not an objective of all runs"),
        (("--preset", "nowhere"), "is left to compare"),
        (("--seed", -1), "seed = -1: at least 0"),
        (("--figure", "a.txt"), "figure = 'a.txt': the name of a PNG file"),
        (("zzz",), "no run in"),
    ],
)
def test_compare_says_in_one_line_what_is_wrong(refused, stored, arguments, message):
    assert message in refused("compare", *arguments, "--catalog", stored.catalog)


@pytest.mark.parametrize("command", ["replay", "compare"])
def test_help_has_examples(stedopt, command):
    result = stedopt("experiment", command, "--help")
    assert result.exit_code == 0
    assert "Examples:" in result.stdout


def test_numbers_are_json(dataset, stedopt):
    result = stedopt("experiment", "replay", "--dataset", dataset, *FEW, "--json")
    assert "NaN" not in result.stdout
    json.loads(result.stdout)
