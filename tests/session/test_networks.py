"""Networks of a run: the right ones, checked before the microscope moves, kept and named."""

import json
import shutil

import numpy as np
import pytest
from bluesky import RunEngine

from stedopt_bluesky.acquisition import Choice, Region
from stedopt_bluesky.config import ConfigError, preset
from stedopt_bluesky.networks.quality import QualityNetwork
from stedopt_bluesky.networks.tensors import tensors_of
from stedopt_bluesky.networks.weights import (
    ObjectiveScale,
    WeightsInfo,
    Whitening,
    find_weights,
    load_weights,
    save_weights,
)
from stedopt_bluesky.records import CatalogFolder, RunRecord, journal_paths, rerun_decisions
from stedopt_bluesky.session import (
    check_complete,
    config_of,
    connect_application,
    make_choose,
    make_strategy,
    networks_of,
    open_networks,
    open_session,
)
from stedopt_bluesky.twin import TwinApplication

SMALL = {
    "images": 2,
    "microscope.field_um": 12.0,
    "overview.size_um": 12.0,
    "imaging.region_size_um": 1.28,
}
REGIONS = [Region(x_um, 0.0, 1.28) for x_um in (-2.6, 0.0, 2.6)]


def demo(**changes):
    return preset("demo").updated({**SMALL, **changes})


@pytest.fixture
def quality_file(tmp_path):
    info = WeightsInfo("quality", "mine", "3", "actin", 20.0, Whitening("anscombe", 3.0, 2.0))
    return save_weights(tmp_path / "q.safetensors", tensors_of(QualityNetwork()), info).path


@pytest.fixture
def preference_file(tmp_path):
    """A network that looks at quality alone, with whatever objectives and units are given."""

    def make(*objectives, file="p.safetensors"):
        n = len(objectives)
        first = np.zeros((10, n), np.float32)
        first[0, 0] = 1
        second, last = np.zeros((10, 10), np.float32), np.zeros((1, 10), np.float32)
        second[0, 0] = last[0, 0] = 1
        tensors = {
            "f1.weight": first,
            "f1.bias": np.full(10, 5, np.float32),  # above 0: ReLU lets everything pass
            "f2.weight": second,
            "f2.bias": np.zeros(10, np.float32),
            "out.weight": last,
            "out.bias": np.zeros(1, np.float32),
        }
        scales = tuple(ObjectiveScale(name, unit, 0.0, 1.0) for name, unit in objectives)
        info = WeightsInfo("preference", "likes quality", "1", objectives=scales)
        return save_weights(tmp_path / file, tensors, info).path

    return make


def run(config, folder, **options):
    engine = RunEngine({}, context_managers=[])
    with open_session(
        config, connect_application(config), folder, run_engine=engine, **options
    ) as session:
        (uid,) = engine(session.optimize(regions=REGIONS[: config.images]))
    return uid


def record_of(folder, uid):
    catalog = CatalogFolder.open(folder)
    return RunRecord.read(next(p for p in journal_paths(catalog) if p.stem == uid)), catalog


def test_the_demonstration_is_fully_automated(tmp_path):
    config = demo()
    record, catalog = record_of(tmp_path / "cat", run(config, tmp_path / "cat"))
    quality, preference = (
        load_weights(find_weights(name, kind), kind)
        for kind, name in (("quality", "actin"), ("preference", "quality-bleaching-time"))
    )
    assert record.start["networks"] == {
        "quality": quality.identity,
        "preference": preference.identity,
    }
    assert {e["data"]["decision_chosen_by"] for e in record.events("decision")} == {
        "preference_network"
    }
    scores = [values["quality"] for _, values in record.observations]
    assert len(scores) == 2
    assert all(0 <= score <= 1 for score in scores)
    kept = {path.stem for path in catalog.networks.iterdir()}
    assert kept == {quality.sha256, preference.sha256}
    json.dumps(record.start["networks"])


@pytest.mark.parametrize(
    ("sample", "structure", "network"),
    [
        ("actin", "", "actin"),
        ("tubulin", "", "tubulin"),
        ("synapses", "", "general"),
        ("synapses", "tubulin", "tubulin"),
    ],
)
def test_auto_takes_the_network_of_the_structure(sample, structure, network):
    config = demo(**{"sample.name": sample, "sample.structure": structure})
    assert open_networks(config).quality.weights.info.name == network


@pytest.mark.parametrize("name", ["demo", "fixed_far_red", "live_far_red"])
def test_the_presets_find_their_networks(name):
    config = preset(name)
    networks = open_networks(config)
    known = {o.name for o in networks.preference.objectives}
    assert known == {o.name for o in config.objectives}
    assert set(networks.identities) == {"quality", "preference"}


def test_without_quality_no_quality_network_is_loaded():
    assert open_networks(preset("classical")).weights == {}


def test_a_quality_network_that_nothing_needs_is_refused():
    with pytest.raises(ConfigError, match=r"quality\.network = 'actin': only with an objective"):
        open_networks(preset("classical").updated({"quality.network": "actin"}))


def test_a_missing_network_is_refused_before_the_microscope_is_touched(tmp_path):
    for field, says in (
        ("quality.network", "quality.network = 'nothing': quality network 'nothing': no such file"),
        ("choice.network", "choice.network = 'nothing': preference network 'nothing': no such"),
    ):
        config = demo(**{field: "nothing"})
        application = connect_application(config)
        with (
            pytest.raises(ConfigError, match=says),
            open_session(config, application, tmp_path / "cat"),
        ):
            pass
        assert isinstance(application, TwinApplication)
        assert application.measurement_names() == []
        assert application.emission_log == []
        assert not (tmp_path / "cat").exists()


def test_a_close_name_is_suggested():
    with pytest.raises(ConfigError, match=r"shipped are .*did you mean 'actin'"):
        open_networks(demo(**{"quality.network": "aktin"}))


def test_a_network_of_the_wrong_kind_is_refused(quality_file, preference_file):
    with pytest.raises(ConfigError, match="holds a quality network, a preference network is"):
        open_networks(demo(**{"choice.network": str(quality_file)}))
    other = preference_file(("quality", ""))
    with pytest.raises(ConfigError, match="holds a preference network, a quality network is"):
        open_networks(demo(**{"quality.network": str(other)}))


def test_a_wrong_unit_is_refused(preference_file):
    path = preference_file(("quality", ""), ("photobleaching", ""), ("imaging_time_s", "ms"))
    with pytest.raises(ConfigError, match=r"imaging_time_s in 'ms', here it is in 's'"):
        open_networks(demo(**{"choice.network": str(path)}))


def test_an_objective_that_is_not_rated_or_not_known_is_refused(preference_file):
    with pytest.raises(ConfigError, match=r"chooses by quality, snr; add snr"):
        open_networks(
            demo(**{"choice.network": str(preference_file(("quality", ""), ("snr", "")))})
        )
    alone = str(preference_file(("quality", "")))
    with pytest.raises(
        ConfigError, match=r"objectives\.1\.weight = 1 \(photobleaching\): 0, watched"
    ):
        open_networks(demo(**{"choice.network": alone}))
    watched = [{"name": "quality"}, {"name": "photobleaching", "weight": 0.0}]
    networks = open_networks(demo(**{"choice.network": alone, "objectives": watched}))
    assert [o.name for o in networks.preference.objectives] == ["quality"]


def test_objectives_that_no_shipped_network_knows_are_refused():
    with pytest.raises(ConfigError, match=r"no shipped network chooses by frc, quality; there are"):
        open_networks(demo(objectives=[{"name": "quality"}, {"name": "frc"}]))


def test_pixels_of_another_size_are_refused():
    with pytest.raises(ConfigError, match=r"imaging\.pixel_size_nm = 40: 15 to 27 nm"):
        open_networks(demo(**{"imaging.pixel_size_nm": 40.0}))
    assert open_networks(demo(**{"imaging.pixel_size_nm": 25.0})).quality is not None


def test_every_pixel_size_of_the_grid_is_one_that_the_network_knows():
    sizes = [{"name": "pixel_size_nm", "values": [16.0, 20.0, 40.0]}]
    with pytest.raises(
        ConfigError,
        match=r"parameters\.0\.values \(pixel_size_nm\) = 40: 15 to 27 nm with the quality network",
    ):
        open_networks(demo(parameters=sizes))
    sizes = [{"name": "pixel_size_nm", "low": 16.0, "high": 26.0, "points": 3}]
    assert open_networks(demo(parameters=sizes)).quality is not None


def test_objectives_of_images_that_are_not_taken_are_refused():
    for name, says in (
        (
            "quality_last",
            "objectives.0.name = 'quality_last': needs imaging.sted_images of at least",
        ),
        ("sted_photobleaching", "needs imaging.sted_images of at least 2, it is 1"),
        ("response_size_ratio", "needs Ca²⁺ frames"),
    ):
        with pytest.raises(ConfigError, match=says):
            connect_application(preset("classical").updated({"objectives": [{"name": name}]}))


def test_a_callback_takes_a_networks_place(tmp_path):
    seen = []

    def rate(images):
        seen.append(images)
        return {"quality": 0.25, "photobleaching": 0.5, "imaging_time_s": 1.0}

    config = demo()
    uid = run(config, tmp_path / "cat", rate=rate, choose=lambda options: Choice(7, "Ada"))
    record, _ = record_of(tmp_path / "cat", uid)
    assert "networks" not in record.start
    # Nobody goes on with it by networks, unsaid.
    for changes, says in (
        ({}, "was rated and chosen from by a callback, no network"),
        ({"choice.rule": "weighted"}, "was rated by a callback"),
    ):
        told = config.updated(changes)
        with pytest.raises(ConfigError, match=says):
            check_complete(record, told, networks_of(record, told))
    assert [index for index, _ in record.observations] == [7, 7]
    assert {values["quality"] for _, values in record.observations} == {0.25}
    assert len(seen) == 2


def test_a_rating_that_fails_marks_the_image_invalid_and_the_run_goes_on(tmp_path, monkeypatch):
    from stedopt_bluesky.networks.rater import QualityRater

    monkeypatch.setattr(QualityRater, "__call__", lambda self, image: float("nan"))
    config = demo()
    record, _ = record_of(tmp_path / "cat", run(config, tmp_path / "cat"))
    assert record.stop["exit_status"] == "success"
    for event, (_, values) in zip(record.events("primary"), record.observations, strict=True):
        assert np.isnan(values["quality"])
        assert np.isfinite(values["photobleaching"])
        assert "quality" in event["data"]["invalid_because"]


def test_a_run_is_replayed_by_the_networks_it_had(tmp_path, quality_file, preference_file):
    names = [("quality", ""), ("photobleaching", ""), ("imaging_time_s", "s")]
    path = preference_file(*names)
    config = demo(**{"quality.network": str(quality_file), "choice.network": str(path)})
    record, catalog = record_of(tmp_path / "cat", run(config, tmp_path / "cat"))
    sha256 = record.start["networks"]["preference"]["sha256"]
    # The file becomes another network; the catalogue has kept the old one.
    shutil.copy(preference_file(names[1], names[0], names[2], file="other.safetensors"), path)
    networks = networks_of(record, config_of(record), catalog)
    assert networks.preference.weights.sha256 == sha256
    decisions = rerun_decisions(
        record,
        lambda _: make_strategy(config),
        make_choose(config, networks.preference),
        compare_clouds=True,
    )
    assert len(decisions) == 2
    assert all(d.same for d in decisions)
    shutil.rmtree(catalog.networks)
    with pytest.raises(
        ConfigError, match=r"its preference network 'likes quality' .* is not there"
    ):
        networks_of(record, config_of(record), catalog)
