"""Clouds with choices, and images with ratings, out of stored runs."""

import json
from typing import get_args

import numpy as np
import pytest

from stedopt_bluesky.acquisition import Options
from stedopt_bluesky.config import preset
from stedopt_bluesky.config.sections import ChoiceConfig
from stedopt_bluesky.networks.datasets import DatasetError
from stedopt_bluesky.records.folder import CatalogError
from stedopt_bluesky.records.journal import journal_paths
from stedopt_bluesky.records.run_record import DocumentKeys, RunRecord
from stedopt_bluesky.records.training_data import PROGRAMS, clouds_of, rated_images_of
from stedopt_bluesky.session import make_choose


@pytest.fixture
def records(folder, small):
    """Function that stores runs and reads them; a run is given as its start document's changes."""

    def store(*runs):
        uids = [small["record_run"](folder, **run)[0] for run in runs or ({},)]
        paths = {path.stem: path for path in journal_paths(folder)}
        return [RunRecord.read(paths[uid]) for uid in uids]

    return store


def changed(record, change):
    """A record whose documents went through ``change(name, document)``."""
    documents = json.loads(json.dumps(record.documents))
    for name, doc in documents:
        change(name, doc)
    return RunRecord(record.path, tuple((name, doc) for name, doc in documents), record.keys)


def chosen_by(who):
    def change(name, doc):
        if name == "event" and "decision_chosen_by" in doc["data"]:
            doc["data"]["decision_chosen_by"] = who

    return change


def unit_of(objective, unit):
    def change(name, doc):
        if name == "descriptor" and f"objective_{objective}" in doc["data_keys"]:
            doc["data_keys"][f"objective_{objective}"]["units"] = unit

    return change


# --- clouds -------------------------------------------------------------------------------------


def test_clouds_and_choices_are_those_of_the_run(records, small):
    (record,) = records()
    clouds = clouds_of([record])
    strategy, expected = small["Strategy"](7), []
    for n in range(4):
        options = strategy.suggest()
        expected.append(options.values)
        np.testing.assert_array_equal(clouds.values[n], options.values)
        assert clouds.chosen[n] == small["choose"](options).index
        values = (np.nan if n % 3 == 2 else 0.1 * (n + 1) / 3, -0.0 if n == 0 else 0.2 * n)
        observed = dict(zip(small["objectives"], values, strict=True))
        strategy.ingest(int(clouds.chosen[n]), observed)
    assert len(clouds) == len(expected) == 4
    assert (clouds.objectives, clouds.units) == (small["objectives"], ("", ""))


def test_runs_are_put_together_in_their_order(records):
    first, second = records({"seed": 1}, {"seed": 2})
    both = clouds_of([first, second])
    assert len(both) == 8
    np.testing.assert_array_equal(both.values[5], clouds_of([second]).values[1])


def test_columns_can_be_picked(records):
    (record,) = records()
    whole, part = clouds_of([record]), clouds_of([record], objectives=["photobleaching"])
    assert (part.objectives, part.units) == (("photobleaching",), ("",))
    np.testing.assert_array_equal(part.values[2], whole.values[2][:, 1:])
    with pytest.raises(CatalogError, match="has no objective 'snr'; it has quality, photobleach"):
        clouds_of([record], objectives=["snr"])


def test_persons_come_first(records):
    by_person, by_rule, by_chance = (
        changed(record, chosen_by(who))
        for record, who in zip(
            records({"seed": 1}, {"seed": 2}, {"seed": 3}),
            ("AD", "weighted_rule", "random_choice"),
            strict=True,
        )
    )
    everybody = [by_person, by_rule, by_chance]
    assert clouds_of(everybody).fingerprint() == clouds_of([by_person]).fingerprint()
    others = [by_rule, by_chance]
    assert clouds_of(others).fingerprint() == clouds_of([by_rule]).fingerprint()
    named = clouds_of(everybody, chosen_by=["random_choice", "AD"])
    assert (
        named.fingerprint()
        == clouds_of([by_person, by_chance], chosen_by=["AD", "random_choice"]).fingerprint()
    )


def test_where_nobody_chose_it_is_said_who_did(records):
    record = changed(*records(), chosen_by("random_choice"))
    with pytest.raises(CatalogError, match=r"by anybody in 1 runs .*there it was random_choice"):
        clouds_of([record])
    with pytest.raises(CatalogError, match=r"chosen from by AD in 1 runs \("):
        clouds_of([record], chosen_by=["AD"])
    with pytest.raises(CatalogError, match="there it was nobody"):
        clouds_of([])
    keys = DocumentKeys(decision_stream="elsewhere")
    with pytest.raises(CatalogError, match="there it was nobody"):
        clouds_of([RunRecord(record.path, record.documents, keys)])


def test_units_are_those_of_the_run(records):
    (record,) = records()
    percent = changed(record, unit_of("photobleaching", "%"))
    assert clouds_of([percent]).units == ("", "%")
    with pytest.raises(CatalogError, match=r"photobleaching \(%\), run .* \(no unit\): the same"):
        clouds_of([record, percent])


def test_a_unit_that_nobody_knows_is_refused(records):
    def renamed(name, doc):
        if name == "start":
            doc["stedopt"]["config"]["objectives"][0] = {"name": "sharpness"}

    (record,) = records()
    with pytest.raises(CatalogError, match="does not tell the unit of 'sharpness'"):
        clouds_of([changed(record, renamed)])

    def described(name, doc):
        if name == "descriptor" and doc["name"] == "primary":
            doc["data_keys"]["objective_sharpness"] = {"units": "1/nm"}

    assert clouds_of([changed(changed(record, renamed), described)]).units == ("1/nm", "")


def test_a_cloud_of_one_option_teaches_nothing(records, monkeypatch):
    (record,) = records()
    stored = record.arrays("decision_cloud")
    single = np.full_like(stored[1], np.nan)
    single[3] = 0.5
    monkeypatch.setattr(RunRecord, "arrays", lambda *_: [stored[0], single, *stored[2:]])
    assert len(clouds_of([record])) == 3
    monkeypatch.setattr(RunRecord, "arrays", lambda *_: [single] * 4)
    with pytest.raises(CatalogError, match="no cloud of options was chosen from"):
        clouds_of([record])


def test_bad_clouds_are_told(records, monkeypatch):
    (record,) = records()

    def outside(name, doc):
        if name == "event" and "decision_index" in doc["data"]:
            doc["data"]["decision_index"] = 9

    with pytest.raises(DatasetError, match="cloud 0: chosen = 9"):
        clouds_of([changed(record, outside)])

    def lacking(name, doc):
        if name == "event":
            doc["data"].pop("decision_chosen_by", None)

    with pytest.raises(CatalogError, match=r"decision 1 of run .* has no 'decision_chosen_by'"):
        clouds_of([changed(record, lacking)])
    monkeypatch.setattr(RunRecord, "arrays", lambda *_: [np.zeros((9, 3))] * 4)
    with pytest.raises(CatalogError, match=r"decision 1 of run .* shape \(9, 3\): \(options, 2\)"):
        clouds_of([record])


def test_every_rule_is_a_program_and_no_person():
    """A rule that is none of them would be taken for somebody whose choices are learnt from."""
    told = set()
    values, grid = np.array([[0.5, 1.0], [0.25, 2.0]]), np.array([[1.0], [2.0]])
    names = ("df_over_f_peak", "response_size_ratio")
    options = Options(values, grid, 0, names, ("uncaging_power_uW",))
    for rule in get_args(ChoiceConfig.model_fields["rule"].annotation):
        if rule == "network":
            continue
        config = preset("uncaging").updated({"choice.rule": rule})
        told.add(make_choose(config)(options).chosen_by)
    assert len(told) == 4
    assert told < PROGRAMS


# --- rated images -------------------------------------------------------------------------------


def test_images_are_the_first_sted_images_with_their_valid_ratings(records, small):
    first, second = records({"structure": "actin"}, {"images": 2})
    rated = rated_images_of([first, second])
    # The third quality of the first run is invalid.
    assert rated.ratings.tolist() == [0.1 * (n + 1) / 3 for n in (0, 1, 3, 0, 1)]
    for image, n in zip(rated.images, (0, 1, 3, 0, 1), strict=True):
        np.testing.assert_array_equal(image, small["expected_image"]("microscope_sted1", n))
    assert rated.structures == ("actin",) * 3 + ("",) * 2
    assert rated.specimens == (first.uid,) * 3 + (second.uid,) * 2
    assert rated.names[2] == f"image 4 of run {first.uid}"


def test_persons_ratings_come_first(records):
    by_network, by_person = records({}, {})
    by_network = changed(
        by_network,
        lambda name, doc: name == "start" and doc.update(networks={"quality": {"name": "actin"}}),
    )
    told = rated_images_of([by_network, by_person])
    assert set(told.specimens) == {by_person.uid}
    assert set(rated_images_of([by_network]).specimens) == {by_network.uid}


def test_another_objective_may_rate(records):
    rated = rated_images_of(records(), "photobleaching")
    assert rated.ratings.tolist() == [0.2 * n for n in range(4)]


def test_where_no_image_is_rated_it_is_said(records):
    runs = records()
    with pytest.raises(CatalogError, match="no image has a valid objective 'frc' in 1 runs"):
        rated_images_of(runs, "frc")
    with pytest.raises(CatalogError, match=r"in 0 runs \(\)"):
        rated_images_of([])


def test_a_rating_that_is_none_is_told(records):
    def in_percent(name, doc):
        if name == "event" and "objective_quality" in doc["data"]:
            doc["data"]["objective_quality"] = 70.0

    with pytest.raises(DatasetError, match=r"image 1 of run .*: quality = 70: from 0 to 1"):
        rated_images_of([changed(*records(), in_percent)])
