"""Stored runs replayed on the microscope that answers with their images."""

import contextlib
import copy
import dataclasses
import threading

import numpy as np
import pytest
from bluesky import RunEngine

from stedopt_bluesky.acquisition import Region
from stedopt_bluesky.config import ConfigError, preset
from stedopt_bluesky.devices.expert_surveyor import ExpertSurveyor, Places
from stedopt_bluesky.records import CatalogFolder, RunRecord, find_run
from stedopt_bluesky.records.replay import REPLAYS, compare_runs
from stedopt_bluesky.records.resume import RESUMES, read_chain
from stedopt_bluesky.session import (
    config_of,
    connect_application,
    make_station,
    networks_of,
    open_session,
    places_left,
)
from stedopt_bluesky.session.address import address_of
from stedopt_bluesky.session.asking import make_expert_survey
from stedopt_bluesky.session.hardware import make_instrument
from stedopt_bluesky.session.otherwise import otherwise
from stedopt_bluesky.session.recorded import _position_of, make_replay
from tests.waiting import wait_for

SMALL = {
    "images": 4,
    "seed": 3,
    "microscope.field_um": 20.0,
    "overview.size_um": 20.0,
    "imaging.region_size_um": 1.28,
}
CHANNELS = {
    "objectives": [
        {"name": "snr"},
        {"name": "orange_snr"},
        {"name": "orange_photobleaching"},
        {"name": "light_dose_mJ", "weight": 0.1},
    ],
}
SIZES = {
    "parameters": [
        {"name": "pixel_size_nm", "values": [20.0, 40.0]},
        {"name": "region_size_um", "values": [0.96, 1.92]},
        {"name": "frames", "values": [1, 3]},
    ],
    "imaging.region_size_um": 1.92,
    "objectives": [{"name": "snr"}, {"name": "light_dose_mJ"}],
}
DETECTION = {
    "parameters": [
        {"name": "gate_delay_ns", "values": [0.5, 1.5]},
        {"name": "pinhole_um", "values": [40.0, 60.0]},
        {"name": "rescue_upper_threshold", "values": [3, 6]},
    ],
    "rescue": {"mode": 4},
    "objectives": [{"name": "snr"}, {"name": "photobleaching"}],
}
FIELDS = {"stage.columns": 2, "overview.most_regions": 2}
BY_HAND = {
    "regions": [{"x_um": 1.0, "y_um": 2.0}, {"x_um": -3.0, "y_um": 2.0, "stage_x_um": 4.0}],
    "time_lapse.images_per_region": 2,
    "imaging.sted_images": 2,
}
INTERLOCK = {"microscope.interlock_path": "Interlock/closed"}
KINDS = {
    "plain": ("classical", {}),
    "two channels": ("two_colour", CHANNELS),
    "sizes": ("classical", SIZES),
    "detection": ("classical", DETECTION),
    "fields": ("classical", FIELDS),
    "by hand, twice": ("classical", BY_HAND),
    "interlock": ("classical", INTERLOCK),
    "random": ("classical", {"bandit.strategy": "random", "choice.rule": "random"}),
    "nsga2": ("classical", {"bandit.strategy": "nsga2", "bandit.population": 2}),
}


def engine():
    return RunEngine({}, context_managers=[])


def image(config, folder, **optimize):
    with open_session(config, connect_application(config), folder, run_engine=engine()) as session:
        (uid,) = session.run_engine(session.optimize(**optimize))
    return RunRecord.read(find_run(folder, uid))


@contextlib.contextmanager
def replaying(replay, folder):
    with open_session(
        replay.config,
        replay.application,
        folder,
        history=replay.history,
        prior=replay.prior,
        networks=replay.networks,
        light_before=replay.light_before,
        run_engine=engine(),
        given=replay.given,
    ) as session:
        yield session


def run_again(chain, folder, asked=None, others=()):
    replay = make_replay(chain, folder, asked, others)
    with replaying(replay, folder) as session:
        places = replay.places
        (uid,) = session.run_engine(
            session.optimize(regions=places.regions, fields_um=places.fields_um, md=replay.metadata)
        )
    return RunRecord.read(find_run(folder, uid))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return CatalogFolder.create_or_open(tmp_path_factory.mktemp("catalog"))


@pytest.fixture(scope="module")
def plain(folder):
    return image(preset("classical").updated(SMALL), folder)


def assert_all_the_same(record, again, decisions):
    """Bit for bit, without `compare_runs`: images, objectives, choices, clouds and overviews."""
    for key in record.array_keys:
        then, now = record.arrays(key), again.arrays(key)
        assert len(then) == len(now)
        for a, b in zip(then, now, strict=True):
            assert (a.dtype, a.tobytes()) == (b.dtype, b.tobytes()), key
    assert str(again.observations) == str(record.observations)
    assert [e["data"]["decision_index"] for e in again.events("decision")] == decisions
    given = [e["data"] for e in again.events("primary")]
    assert {g["replayed_run"] for g in given} == {record.uid}
    assert [g["replayed_seq_num"] for g in given] == list(range(1, len(given) + 1))
    assert {g["replayed_distance_steps"] for g in given} == {0}
    assert {g["replayed_use"] for g in given} == {1}


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_is_replayed_bit_for_bit(kind, tmp_path):
    name, changes = KINDS[kind]
    folder = CatalogFolder.create_or_open(tmp_path / "cat")
    record = image(preset(name).updated({**SMALL, **changes}), folder)
    again = run_again(read_chain(folder, record.uid), folder)

    decisions = [e["data"]["decision_index"] for e in record.events("decision")]
    assert len(decisions) == 4
    assert_all_the_same(record, again, decisions)
    assert {e["data"]["replayed_same_place"] for e in again.events("primary")} == {1}
    assert compare_runs(record, again).same
    assert (again.start[REPLAYS], again.start["microscope"]) == (record.uid, "recorded")
    assert "replayed_run" not in record.events("primary")[0]["data"]


def test_places_that_were_given_in_python(tmp_path):
    folder = CatalogFolder.create_or_open(tmp_path / "cat")
    regions = [Region(x, -1.0, 1.28, stage_y_um=2.0) for x in (0.0, 2.0, 4.0)]
    config = preset("classical").updated({**SMALL, "images": 3})
    record = image(config, folder, regions=regions)
    again = run_again(read_chain(folder, record.uid), folder)
    decisions = [e["data"]["decision_index"] for e in record.events("decision")]
    assert_all_the_same(record, again, decisions)
    assert "overview" not in again.streams


def test_places_that_a_person_chose(tmp_path):
    """Not those that would be laid over the overview."""
    folder = CatalogFolder.create_or_open(tmp_path / "cat")
    config = preset("classical").updated({**SMALL, "images": 3, "expert.asks": ("regions",)})
    survey = make_expert_survey(config, ExpertSurveyor(name="regions"))
    chosen = [Region(x, 2.0, 1.28) for x in (5.0, 1.5, -3.0)]

    def sit():
        wait_for(lambda: survey.surveyor.question)
        survey.surveyor.place(1, Places(tuple(chosen), "AD"))

    person = threading.Thread(target=sit, daemon=True)
    person.start()
    application = connect_application(config)
    with open_session(config, application, folder, run_engine=engine()) as session:
        (uid,) = session.run_engine(session.optimize(lay=survey))
    person.join(20)
    record = RunRecord.read(find_run(folder, uid))
    again = run_again(read_chain(folder, uid), folder)
    for run in (record, again):
        taken = [e["data"] for e in run.events("primary")]
        assert [(d["region_x_um"], d["region_y_um"]) for d in taken] == [
            (r.x_um, r.y_um) for r in chosen
        ]
    assert {e["data"]["replayed_same_place"] for e in again.events("primary")} == {1}
    assert str(again.observations) == str(record.observations)


def test_a_run_that_goes_on_with_another(tmp_path):
    folder = CatalogFolder.create_or_open(tmp_path / "cat")
    config = preset("classical").updated({**SMALL, "images": 2})
    first = image(config, folder)
    chain = read_chain(folder, first.uid)
    application = connect_application(config)
    with open_session(
        config, application, folder, history=chain.history, run_engine=engine()
    ) as session:
        places = places_left(chain, config)
        (uid,) = session.run_engine(
            session.optimize(2, regions=places.regions, md={RESUMES: first.uid})
        )
    record = RunRecord.read(find_run(folder, uid))
    again = run_again(read_chain(folder, uid), folder)
    decisions = [e["data"]["decision_index"] for e in record.events("decision")]
    assert_all_the_same(record, again, decisions)
    assert [e["data"]["decision_iteration"] for e in again.events("decision")] == [2, 3]
    assert RESUMES not in again.start


def test_a_run_that_ended_early_and_lost_a_region(tmp_path):
    """A region whose images were lost has a decision and no Event: the next one has its turn."""
    folder = CatalogFolder.create_or_open(tmp_path / "cat")
    record = image(preset("classical").updated(SMALL), folder)
    lost = record.events("primary")[1]
    path = record.path
    lines = path.read_text("utf-8").splitlines(keepends=True)
    kept = [line for line in lines if lost["uid"] not in line]
    assert len(kept) == len(lines) - 1
    path.write_text("".join(kept), "utf-8")
    shorter = RunRecord.read(path)
    assert len(shorter.observations) == 3
    again = run_again(read_chain(folder, record.uid), folder)
    first = again.events("primary")[0]["data"]
    assert (first["replayed_seq_num"], first["replayed_distance_steps"]) == (1, 0)
    assert 2 not in [e["data"]["replayed_seq_num"] for e in again.events("primary")]
    # Nothing tells that the learning was the same: an Event was taken from its history.
    assert compare_runs(shorter, again).images == 3


def test_a_run_of_an_imspector(plain, folder):
    """Its lasers and detectors have other numbers and names; nothing is connected to."""
    microscope = {
        "microscope.kind": "specpy",
        "microscope.host": "gone.invalid",
        "microscope.interlock_path": "Door/shut",
        "microscope.real_time": True,
        "time_lapse.interval_s": 3600.0,
        "detection.detector": "APD red",
        "excitation.laser": 9,
        "depletion.laser": 12,
    }
    record = with_documents(plain, **microscope)
    assert address_of(config_of(record)).kind == "specpy"
    again = run_again(dataclasses.replace(read_chain(folder, plain.uid), records=(record,)), folder)
    decisions = [e["data"]["decision_index"] for e in plain.events("decision")]
    assert_all_the_same(plain, again, decisions)
    assert again.start["microscope"] == "recorded"


# --- another strategy -------------------------------------------------------------------


def test_another_strategy_gets_the_nearest_images(plain, folder):
    own = config_of(plain)
    again = run_again(read_chain(folder, plain.uid), folder, otherwise(own, strategy="grid_search"))
    space = own.space
    events, then = again.events("primary"), plain.events("primary")
    recorded = [e["data"]["image_configuration_index"] for e in then]
    images = plain.arrays("microscope_sted1")
    uses = [0] * len(then)
    for event, got in zip(events, again.arrays("microscope_sted1"), strict=True):
        data = event["data"]
        wanted = data["image_configuration_index"]
        distances = [sum(map(abs, space.steps(wanted, r).values())) for r in recorded]
        number = data["replayed_seq_num"] - 1
        uses[number] += 1
        assert data["replayed_distance_steps"] == distances[number] == min(distances)
        assert data["replayed_use"] == uses[number]
        assert np.array_equal(got, images[number])
        # What was asked for stands in the Event, not what the image was taken with.
        assert {n: data[n] for n in space.names} == space.configuration(wanted)
    assert [e["data"]["image_configuration_index"] for e in events] == [0] * 4
    assert again.start["stedopt"]["config"]["bandit"]["strategy"] == "grid_search"


def test_images_of_another_run_are_given_too(plain, folder):
    own = config_of(plain)
    other = image(own.updated({"bandit.strategy": "grid_search", "images": 2}), folder)
    asked = otherwise(own, strategy="grid_search")
    again = run_again(read_chain(folder, plain.uid), folder, asked, [other])
    given = [
        (d["replayed_run"], d["replayed_seq_num"], d["replayed_distance_steps"], d["replayed_use"])
        for d in (e["data"] for e in again.events("primary"))
    ]
    # Grid search asks four times for the first configuration, which the other run has twice.
    imaged = [e["data"]["image_configuration_index"] for e in plain.events("primary")]
    assert 0 not in imaged
    assert given == [(other.uid, n, 0, use) for use in (1, 2) for n in (1, 2)]


def test_another_run_does_not_change_an_exact_replay(plain, folder):
    other = image(config_of(plain).updated({"sample.name": "tubulin"}), folder)
    again = run_again(read_chain(folder, plain.uid), folder, None, [other])
    decisions = [e["data"]["decision_index"] for e in plain.events("decision")]
    assert_all_the_same(plain, again, decisions)


# --- what cannot be replayed so ---------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"imaging.sted_images": 2}, "imaging.sted_images differs"),
        (SIZES, "parameters differs"),
    ],
)
def test_another_run_that_does_not_fit(plain, folder, changes, told):
    other = image(config_of(plain).updated({**changes, "images": 1}), folder)
    with pytest.raises(ConfigError, match=told):
        make_replay(read_chain(folder, plain.uid), folder, None, [other])


def with_documents(record, keep=lambda name, doc: True, **config):
    documents = []
    for name, doc in record.documents:
        if name == "start" and config:
            stedopt = doc["stedopt"]
            changed = config_of(record).updated(config).model_dump(mode="json", exclude_none=True)
            doc = {**doc, "stedopt": {**stedopt, "config": changed}}  # noqa: PLW2901
        if keep(name, doc):  # copied: the run is that of other tests, too
            documents.append((name, copy.deepcopy(doc)))
    return dataclasses.replace(record, documents=tuple(documents))


def test_a_run_without_images(plain, folder):
    chain = read_chain(folder, plain.uid)
    none = with_documents(plain, lambda name, _: name != "event")
    with pytest.raises(ConfigError, match="has no image to replay"):
        make_replay(dataclasses.replace(chain, records=(none,)), folder)


def test_a_run_that_was_rated_by_a_callback(plain, folder):
    chain = read_chain(folder, plain.uid)
    objectives = [{"name": "quality"}, {"name": "photobleaching"}]
    rated = with_documents(plain, objectives=objectives)
    for _, event in rated.all_events:
        event["data"].setdefault("objective_quality", 0.5)
    with pytest.raises(ConfigError, match="was rated by a callback"):
        make_replay(dataclasses.replace(chain, records=(rated,)), folder)


def test_an_uncaging_run(folder):
    config = preset("uncaging").updated({"images": 1, "uncaging.cells": 1})
    from stedopt_bluesky.records.resume import RunChain

    data = config.model_dump(mode="json", exclude_none=True)
    start = {"uid": "u" * 8, "time": 0.0, "stedopt": {"config": data}}
    record = RunRecord(folder.path, (("start", start),))
    with pytest.raises(ConfigError, match="uncages"):
        make_replay(RunChain((record,)), folder)


# --- which configuration Imspector's parameters are -------------------------------------

# Values that differ, for all that can be optimised on a microscope without uncaging.
VALUES = {
    "excitation_power_uW": (4.0, 8.0, 20.0),
    "depletion_power_mW": (50.0, 150.0, 300.0),
    "dwelltime_us": (5.0, 10.0, 50.0),
    "line_steps": (1, 2, 5),
    "frames": (1, 2, 4),
    "pixel_size_nm": (15.0, 20.0, 25.0),
    "region_size_um": (1.2, 1.8, 2.4),
    "pinhole_um": (40.0, 60.0, 80.0),
    "focus_um": (-1.0, 0.0, 1.0),
    "gate_delay_ns": (0.5, 1.0, 2.0),
    "gate_width_ns": (4.0, 8.0, 10.0),
    "spectral_min_nm": (640.0, 650.0, 660.0),
    "spectral_max_nm": (680.0, 700.0, 720.0),
    "orange_excitation_power_uW": (2.0, 4.0, 8.0),
    "orange_gate_delay_ns": (0.5, 1.0, 2.0),
    "orange_gate_width_ns": (4.0, 8.0, 10.0),
    "orange_spectral_min_nm": (570.0, 575.0, 580.0),
    "orange_spectral_max_nm": (600.0, 610.0, 620.0),
}
# Each channel has these.
RESCUE = {
    "mode": (1, 2, 4),
    "probe_mode": (1, 2, 3),
    "signal_level": (1.0, 2.0, 3.0),
    "strength": (1.0, 2.0, 3.0),
    "lower_thresholds": (1, 2, 4),
    **{f"lower_threshold_{k}": (k, 10 + k, 20 + k) for k in range(1, 5)},
    **{f"lower_time_percent_{k}": (10.0 * k, 10.0 * k + 1, 10.0 * k + 2) for k in range(1, 5)},
    "upper_threshold": (5, 10, 20),
}
VALUES |= {
    f"{of}rescue_{name}": values for of in ("", "orange_") for name, values in RESCUE.items()
}


class Named:
    """As much of a configuration as the reading asks for: one parameter of a two-colour run."""

    def __init__(self, config, space):
        self._config, self.space = config, space

    def __getattr__(self, name):
        return getattr(self._config, name)


@pytest.fixture(scope="module")
def two_colours(folder):
    config = preset("two_colour").updated({**SMALL, **CHANNELS})
    instrument = make_instrument(config, connect_application(config))
    station = make_station(config, instrument, folder.arrays)
    yield config, instrument, station
    instrument.close()


@pytest.mark.parametrize("name", VALUES)
def test_the_configuration_is_read_from_imspectors_parameters(two_colours, name):
    from stedopt_bluesky.parameters import Parameter, ParameterSpace

    config, instrument, station = two_colours
    space = ParameterSpace([Parameter(name, "", VALUES[name])])
    position = _position_of(Named(config, space))
    for number in (2, 0, 1):
        station.settings[name].put(VALUES[name][number])
        assert position({"sted": instrument.parameters("sted")}) == (number,)


def test_all_that_can_be_optimised_is_read(two_colours):
    """Each setting of a station without uncaging is tried above."""
    _, _, station = two_colours
    assert set(VALUES) == set(station.settings)


def test_the_networks_are_the_runs_own(plain, folder):
    chain = read_chain(folder, plain.uid)
    replay = make_replay(chain, folder)
    assert replay.networks == networks_of(plain, config_of(plain), folder)
