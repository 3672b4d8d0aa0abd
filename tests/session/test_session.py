import contextlib
import json
import os

import numpy as np
import pytest
import tifffile
from bluesky import RunEngine

from stedopt_bluesky.acquisition import Region
from stedopt_bluesky.config import ConfigError, parse_config, preset
from stedopt_bluesky.imspector.connect import NoImspectorError
from stedopt_bluesky.records import CatalogError, CatalogFolder, RunRecord, find_run
from stedopt_bluesky.records.replay import rerun_decisions
from stedopt_bluesky.records.resume import RESUMES, read_chain
from stedopt_bluesky.session import (
    config_of,
    connect_application,
    make_choose,
    make_strategy,
    objectives_of,
    open_session,
    places_left,
    weights_of,
)

SMALL = {
    "images": 2,
    "seed": 3,
    "operator": "AD",
    "microscope.field_um": 30.0,
    "overview.size_um": 30.0,
    "imaging.region_size_um": 1.28,
}


def small(**changes):
    return preset("classical").updated({**SMALL, **changes})


def engine():
    return RunEngine({}, context_managers=[])


@pytest.fixture
def opened(tmp_path):
    """A session that is open, and its application."""
    config = small()
    application = connect_application(config)
    with open_session(config, application, tmp_path / "cat", run_engine=engine()) as session:
        yield session, application


# --- what cannot be connected to --------------------------------------------------------


def image(tmp_path, name, array):
    path = tmp_path / name
    tifffile.imwrite(path, array) if path.suffix == ".tif" else np.save(path, array)
    return str(path)


def bad_samples(tmp_path):
    counts = np.random.default_rng(0).poisson(5.0, (40, 40)).astype(np.uint16)
    text = tmp_path / "notes.tif"
    text.write_text("not an image")
    return {
        "nowhere.tif": "no such file; allowed are the structures actin, tubulin, synapses, pores",
        "collagen": "no such file",
        str(tmp_path): "is a folder",
        str(text): "cannot be read",
        image(tmp_path, "stack.tif", np.stack([counts] * 5)): "2-D image",
        image(tmp_path, "rgb.tif", np.stack([counts.astype(np.uint8)] * 3, axis=-1)): "2-D image",
        image(tmp_path, "empty.npy", np.zeros((0, 0))): "2-D image",
        image(tmp_path, "black.npy", np.zeros((40, 40))): "same count 0",
        image(tmp_path, "nan.npy", np.full((40, 40), np.nan)): "finite",
    }


def test_a_sample_that_is_none_is_refused_in_one_line(tmp_path):
    for name, words in bad_samples(tmp_path).items():
        with pytest.raises(ConfigError) as caught:
            connect_application(small(**{"sample.name": name}))
        message = str(caught.value)
        assert message.startswith("sample.name = "), message
        assert words in message
        assert "\n" not in message


@pytest.mark.parametrize("name", ["pixels.npy", "pixels.tif"])
def test_an_image_becomes_the_sample(tmp_path, name):
    counts = np.random.default_rng(0).poisson(5.0, (40, 40)).astype(np.uint16)
    config = small(**{"sample.name": image(tmp_path, name, counts)})
    with open_session(config, connect_application(config), tmp_path / "cat") as session:
        assert session.metadata["sample"] == "pixels"


def two_channels(tmp_path, size_um=0.025):
    """An OME-TIFF with a confocal and a STED image, which tells its pixel size."""
    counts = np.random.default_rng(0).poisson(5.0, (2, 40, 40)).astype(np.uint16)
    metadata = {"axes": "CYX", "Channel": {"Name": ["confocal", "STED"]}}
    metadata |= {"PhysicalSizeX": size_um, "PhysicalSizeY": size_um}
    path = tmp_path / "axons.ome.tif"
    tifffile.imwrite(path, counts, ome=True, photometric="minisblack", metadata=metadata)
    return str(path)


def test_one_image_of_a_file_becomes_the_sample_with_the_files_pixel_size(tmp_path):
    path = two_channels(tmp_path)
    with pytest.raises(
        ConfigError, match=r"sample\.name = .*holds 2 images \('confocal', 'STED'\)"
    ):
        connect_application(small(**{"sample.name": path}))
    config = small(**{"sample.name": f"{path}#STED"})
    assert connect_application(config)._bench.labels[0].sample.pixel_size_m == pytest.approx(25e-9)
    with open_session(config, connect_application(config), tmp_path / "cat") as session:
        assert session.metadata["sample"] == "axons"


def test_a_pixel_size_that_the_file_contradicts_is_refused(tmp_path):
    name = f"{two_channels(tmp_path)}#STED"
    with pytest.raises(ConfigError) as caught:
        connect_application(small(**{"sample.name": name, "sample.pixel_size_nm": 20.0}))
    message = str(caught.value)
    assert message.startswith(f"sample.pixel_size_nm = 20: {name}: has pixels of 25 nm")
    assert "\n" not in message
    agreed = small(**{"sample.name": name, "sample.pixel_size_nm": 25.0})
    assert connect_application(agreed)._bench.labels[0].sample.pixel_size_m == pytest.approx(25e-9)


def test_an_unknown_dye_and_an_unknown_objective():
    with pytest.raises(ConfigError, match=r"microscope.fluorophore = 'STAR635': .*did you mean"):
        connect_application(small(**{"microscope.fluorophore": "STAR635"}))
    config = small(objectives=[{"name": "snr"}, {"name": "fwhm"}])
    with pytest.raises(ConfigError, match=r"objectives.1.name = 'fwhm': allowed are snr, "):
        connect_application(config)


def test_a_field_that_the_sample_cannot_have():
    with pytest.raises(ConfigError, match=r"microscope.field_um = 200: 0.02 to 160 µm"):
        connect_application(small(**{"microscope.field_um": 200.0}))


def test_a_noise_bound_below_the_lower_one():
    config = small(objectives=[{"name": "resolution_nm", "noise_upper_bound": 0.01}])
    with pytest.raises(ConfigError, match=r"objectives.0.noise_upper_bound = 0.01: at least 0.1"):
        objectives_of(config)


def test_no_imspector_says_what_to_start():
    pytest.importorskip("specpy")
    with pytest.raises(NoImspectorError, match="start Imspector"):
        connect_application(small(**{"microscope.kind": "specpy"}))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"excitation.laser": 12}, "excitation.laser = 12: Imspector has no such laser"),
        ({"depletion.laser": 5}, "depletion.laser = 5: .* excitation"),
    ],
)
def test_a_laser_that_is_not_there_leaves_nothing_behind(tmp_path, changes, words):
    def open_one():
        config = small(**changes)
        with open_session(config, connect_application(config), tmp_path / "cat"):
            pass

    with pytest.raises(ConfigError, match=words):
        open_one()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_no_catalogue_closes_the_microscope(tmp_path):
    (tmp_path / "letter.txt").write_text("dear all")
    application = connect_application(small())
    with (
        pytest.raises(CatalogError, match="neither empty nor a catalogue"),
        open_session(small(), application, tmp_path),
    ):
        pass
    assert application.measurement_names() == []
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


# --- what is wired ----------------------------------------------------------------------


def test_objectives_come_with_the_configurations_noise_bounds():
    objectives = {o.name: o for o in objectives_of(small())}
    assert list(objectives) == ["snr", "resolution_nm", "photobleaching", "imaging_time_s"]
    assert objectives["snr"].noise_bounds[1] == 0.3  # as the preset says
    assert weights_of(small()) == {
        "snr": 1.0,
        "resolution_nm": 2.0,
        "photobleaching": 1.0,
        "imaging_time_s": 0.1,
    }


@pytest.mark.parametrize("names", [["snr"], ["imaging_time_s"], ["photobleaching", "frc"]])
def test_any_objectives_will_do(names):
    config = small(objectives=[{"name": name} for name in names])
    strategy = make_strategy(config)
    strategy.ingest(3, dict.fromkeys(names, 0.5))
    options = strategy.suggest()
    assert options.objectives == tuple(names)
    assert make_choose(config)(options).index in range(768)


def test_a_strategy_begins_with_what_was_seen_before():
    values = {"snr": 0.5, "resolution_nm": 80.0, "photobleaching": 0.2, "imaging_time_s": 0.1}
    history = [(4, values), (9, {**values, "snr": float("nan")})]

    taught, by_hand = make_strategy(small(), history), make_strategy(small())
    for index, observed in history:
        by_hand.ingest(index, observed)

    assert taught.iteration == 2
    np.testing.assert_array_equal(taught.suggest().values, by_hand.suggest().values)


def test_who_chooses_is_who_the_configuration_names():
    options = make_strategy(small()).suggest()
    assert make_choose(small())(options).chosen_by == "weighted_rule"
    random = make_choose(small(**{"choice.rule": "random"}))(options)
    assert random.chosen_by == "random_choice"


def test_devices_start_with_the_configurations_values(tmp_path):
    config = small(**{"imaging.depletion_power_mW": 77.0, "imaging.line_steps": 3})
    with open_session(config, connect_application(config), tmp_path / "cat") as session:
        station = session.station
        assert station.depletion.power.get() == 77.0
        assert station.scanner.line_steps.get() == 3
        assert station.scanner.size_um.get() == 1.28
        assert station.depletion.limits == (0.0, config.depletion.power_limit_mW)


def test_a_path_and_a_folder_are_the_same(tmp_path):
    for folder in (tmp_path / "cat", os.fspath(tmp_path / "cat"), CatalogFolder(tmp_path / "cat")):
        with open_session(small(), connect_application(small()), folder) as session:
            assert session.folder.path == tmp_path / "cat"


# --- the start document -----------------------------------------------------------------


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    config = small()
    folder = tmp_path_factory.mktemp("start") / "cat"
    starts = []
    with open_session(config, connect_application(config), folder, run_engine=engine()) as session:
        session.run_engine.subscribe(lambda _, doc: starts.append(doc), "start")
        session.run_engine(session.optimize(images=1, md={"note": "first light"}))
    return starts[0]


def test_the_start_document_tells_who_what_and_with_which_seed(start):
    expected = {
        "plan_name": "optimize_sted",
        "sample": "actin",
        "structure": "actin",
        "preset": "classical",
        "operator": "AD",
        "seed": 3,
        "microscope": "twin",
        "images_planned": 1,
        "parameters": ["excitation_power_uW", "depletion_power_mW", "dwelltime_us"],
        "objectives": ["snr", "resolution_nm", "photobleaching", "imaging_time_s"],
        "note": "first light",
    }
    assert {key: start[key] for key in expected} == expected
    assert RESUMES not in start


def test_the_start_document_holds_the_whole_configuration(start):
    """It survives JSON and gives the same configuration, so that a run is understood alone."""
    stored = json.loads(json.dumps(start["stedopt"]["config"]))
    assert parse_config(stored) == small()


def test_the_start_document_holds_imspectors_version(start):
    assert start["imspector"] == {"version": start["imspector"]["version"]}
    assert start["imspector"]["version"].startswith("16.3")


@pytest.mark.parametrize(
    ("name", "structure", "expected"),
    [
        ("mouse 3.1", "", "mouse 3.1"),
        ("a/b/axon 2.tiff", "actin", "axon 2"),
        ("a/b/axon 2.msr#STED {0}", "actin", "axon 2"),
    ],
)
def test_a_sample_is_named_by_its_file_or_as_it_is(name, structure, expected):
    from stedopt_bluesky.session.metadata import start_metadata

    config = small(**{"sample.name": name, "sample.structure": structure})
    application = connect_application(small())
    metadata = start_metadata(config, application)
    assert (metadata["sample"], metadata["structure"]) == (expected, structure or expected)


# --- lasers, subscriptions, more than one run -------------------------------------------


def lasers_of(session):
    return [
        session.instrument.power(configuration, laser)
        for configuration in ("confocal", "sted", "overview")
        for laser in ("excitation", "depletion")
    ]


@pytest.mark.parametrize("error", [None, ValueError, KeyboardInterrupt, SystemExit])
def test_lasers_are_off_and_the_measurement_closed_however_a_session_is_left(tmp_path, error):
    application = connect_application(small())
    seen = []
    with pytest.raises(error) if error else contextlib.nullcontext():  # noqa: SIM117
        with open_session(small(), application, tmp_path / "cat") as session:
            session.station.excitation.set(5.0)
            session.station.depletion.set(100.0)
            assert lasers_of(session).count(0.0) < 6
            close = application.close

            def closing(measurement):
                seen.extend(lasers_of(session))
                close(measurement)

            application.close = closing
            if error:
                raise error
    assert seen == [0.0] * 6
    assert application.measurement_names() == []
    assert not any(application.emitting.values())


def test_an_engine_of_ones_own_is_left_without_subscriptions(tmp_path):
    own = engine()
    config = small(images=1)
    with open_session(config, connect_application(config), tmp_path / "cat", run_engine=own) as s:
        own(s.optimize())
    documents = []
    own.subscribe(lambda name, _: documents.append(name))
    own(iter([]))  # would reach a journal that is closed

    assert len(list((tmp_path / "cat" / "journal").rglob("*.jsonl"))) == 1


def test_a_second_run_of_a_session_is_linked_and_can_be_replayed(opened):
    session, _ = opened
    (first,) = session.run_engine(session.optimize())
    (second,) = session.run_engine(session.optimize())

    chain = read_chain(session.folder, second)
    assert [record.uid for record in chain.records] == [first, second]
    assert [e["data"]["image_iteration"] for e in chain.last.events("primary")] == [2, 3]
    decisions = rerun_decisions(
        chain.last,
        lambda _: make_strategy(session.config, chain.history_before_last),
        make_choose(session.config),
        compare_clouds=True,
    )
    assert len(decisions) == 2
    assert all(decision.same for decision in decisions)


# --- from a stored run ------------------------------------------------------------------


def test_the_configuration_of_a_stored_run(opened):
    session, _ = opened
    (uid,) = session.run_engine(session.optimize(images=1))
    record = RunRecord.read(find_run(session.folder, uid))
    assert config_of(record) == session.config


def test_a_run_of_another_program_has_no_configuration(tmp_path):
    record = RunRecord(tmp_path / "x.jsonl", (("start", {"uid": "abcdefgh", "time": 0.0}),))
    with pytest.raises(ConfigError, match="run abcdefgh was not made by stedopt"):
        config_of(record)


def test_a_configuration_that_is_not_understood_names_the_run(tmp_path):
    start = {"uid": "abcdefgh-1", "time": 0.0, "stedopt": {"config": {"colour": "red"}}}
    with pytest.raises(ConfigError, match=r"^run abcdefgh: "):
        config_of(RunRecord(tmp_path / "x.jsonl", (("start", start),)))


def places(record):
    return [(e["data"]["region_x_um"], e["data"]["region_y_um"]) for e in record.events("primary")]


def test_the_regions_left_are_those_that_a_longer_run_would_have_imaged(opened, tmp_path):
    session, _ = opened
    (uid,) = session.run_engine(session.optimize(images=2))
    with open_session(
        session.config, connect_application(session.config), tmp_path / "b", run_engine=engine()
    ) as other:
        (longer,) = other.run_engine(other.optimize(images=4))
    record = RunRecord.read(find_run(other.folder, longer))

    left = places_left(read_chain(session.folder, uid), session.config).regions

    assert [(r.x_um, r.y_um) for r in left[:2]] == places(record)[2:]


def test_a_second_overview_starts_its_own_regions(opened):
    session, _ = opened
    session.run_engine(session.optimize(images=2))
    (second,) = session.run_engine(session.optimize(images=1))
    chain = read_chain(session.folder, second)

    left = places_left(chain, session.config).regions

    assert chain.regions_used == 1
    assert (left[0].x_um, left[0].y_um) != places(chain.last)[0]


def test_regions_by_hand_cannot_be_gone_on_with(opened):
    session, _ = opened
    regions = [Region(0, 0, 1.28), Region(3, 0, 1.28)]
    (uid,) = session.run_engine(session.optimize(regions=regions))
    with pytest.raises(ConfigError, match="was given its regions by hand"):
        places_left(read_chain(session.folder, uid), session.config)


def test_a_run_without_overview_has_all_regions_before_it(opened):
    session, _ = opened
    (uid,) = session.run_engine(session.optimize(images=1))
    record = read_chain(session.folder, uid).last
    only_start = RunRecord(record.path, record.documents[:1])
    chain = read_chain(session.folder, uid)
    left = places_left(type(chain)((only_start,)), session.config)
    assert (left.regions, left.fields_um) == (None, ((0.0, 0.0),))
