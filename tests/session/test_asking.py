"""A session that asks a person for everything; what was said is found again, and gone on with."""

import contextlib
import json
import math
import threading

import pytest
from bluesky import RunEngine

from stedopt_bluesky.config import preset
from stedopt_bluesky.devices.expert_rater import HandRating
from stedopt_bluesky.devices.expert_surveyor import Places
from stedopt_bluesky.records import RunRecord, find_run, journal_paths
from stedopt_bluesky.records.folder import CatalogError
from stedopt_bluesky.records.training_data import clouds_of, rated_images_of
from stedopt_bluesky.session import connect_application, continuation_of, open_session
from stedopt_bluesky.session.asking import make_asked, patience_of, scored_of
from stedopt_bluesky.session.networks import open_networks
from tests.waiting import wait_for

SMALL = {
    "images": 4,
    "seed": 3,
    "microscope.field_um": 30.0,
    "overview.size_um": 30.0,
    "imaging.region_size_um": 1.28,
    "objectives": [{"name": "quality"}, {"name": "photobleaching"}, {"name": "imaging_time_s"}],
    "expert.asks": ("choice", "rating", "regions"),
}


def small(**changes):
    return preset("classical").updated({**SMALL, **changes})


class Person:
    """Answers: regions first, then for each image a choice and a rating."""

    def __init__(self, asked, images, *, ratings=(0.5,) * 9, regions=slice(2, 6)):
        self.asked, self.images, self.ratings, self.regions = asked, images, ratings, regions
        self.thread = threading.Thread(target=self._sit, daemon=True)

    def _sit(self):
        lay, expert, rater = self.asked.lay, self.asked.choose.expert, self.asked.rate.rater
        wait_for(lambda: lay.surveyor.question or expert.question)
        if lay.surveyor.question:
            field, proposed = lay.surveyor.question
            places = Places(tuple(proposed[self.regions]), "AD", shown="page")
            lay.surveyor.place(field.number, places)
        for number in range(self.images):
            wait_for(lambda: expert.question)
            options, suggestion = expert.question
            expert.choose(options.iteration, suggestion.index, "AD")
            wait_for(lambda: rater.question)
            images, _ = rater.question
            rating = self.ratings[number]
            said = HandRating({} if rating is None else {"quality": rating}, "AD")
            rater.rate(images.iteration, said)


@contextlib.contextmanager
def asking(config, folder, **settings):
    """A session that asks, and what it asks."""
    networks = settings.pop("networks", None) or open_networks(config)
    asked = make_asked(config, networks)
    with open_session(
        config, connect_application(config), folder, run_engine=RunEngine({}, context_managers=[]),
        rate=asked.rate, choose=asked.choose, networks=networks, **settings,
    ) as session:  # fmt: skip
        yield session, asked


@pytest.fixture(scope="module")
def sat(tmp_path_factory):
    """A run of two images of four, which a person ended by having no more regions."""
    folder = tmp_path_factory.mktemp("sat") / "cat"
    with asking(small(), folder) as (session, asked):
        person = Person(asked, 2, ratings=(0.73, None), regions=slice(2, 4))
        person.thread.start()
        (uid,) = session.run_engine(session.optimize(lay=asked.lay))
        person.thread.join(20)
        yield session.folder, RunRecord.read(find_run(session.folder, uid))


def test_what_is_asked_is_what_the_configuration_says():
    config = small(**{"expert.asks": ("rating",), "expert.if_late": "wait", "expert.undo_s": 2.0})
    asked = make_asked(config, open_networks(config))
    assert (asked.choose, asked.lay) == (None, None)
    assert asked.rate.rater.scored == scored_of(config) == ("quality",)
    assert asked.rate.suggested_by
    patience = patience_of(config)
    assert (patience.timeout_s, patience.undo_s, patience.stops_if_late) == (math.inf, 2.0, False)
    assert patience_of(small(**{"expert.if_late": "stop", "expert.timeout_s": 5.0})).stops_if_late


def test_all_that_a_person_said_is_in_the_record(sat):
    _, record = sat
    assert len(record.events("regions")) == 1
    ratings = [e["data"] for e in record.events("rating")]
    assert ratings[0]["rating_quality_percent"] == 73
    assert all(0 <= r["rating_suggested_quality_percent"] <= 100 for r in ratings)
    qualities = [e["data"]["objective_quality"] for e in record.events("primary")]
    assert qualities[0] == 0.73
    assert math.isnan(qualities[1])
    assert record.start["networks"]["quality"]["name"]  # it has suggested


def test_the_quality_network_learns_from_the_person_and_no_other(sat):
    _, record = sat
    rated = rated_images_of([record])
    assert rated.ratings.tolist() == [0.73]
    assert rated_images_of([record], rated_by={"AD"}).ratings.tolist() == [0.73]
    with pytest.raises(CatalogError, match=r"no image was rated by BC in .*; there it was AD"):
        rated_images_of([record], rated_by={"BC"})


def test_the_preference_network_learns_from_the_person(sat):
    _, record = sat
    assert len(clouds_of([record], chosen_by={"AD"})) == 2


def test_it_goes_on_with_the_regions_that_the_person_chose(tmp_path):
    with asking(small(), tmp_path / "cat") as (session, asked):
        person = Person(asked, 4, regions=slice(2, 6))
        person.thread.start()
        engine = session.run_engine

        def two_are_enough(name, doc):
            if name == "event" and doc["data"].get("image_iteration") == 1:
                threading.Thread(target=engine.abort, daemon=True).start()

        engine.subscribe(two_are_enough)
        with contextlib.suppress(Exception):
            engine(session.optimize(lay=asked.lay))
        folder = session.folder
    (path,) = journal_paths(folder)
    record = RunRecord.read(path)
    places = json.loads(record.events("regions")[0]["data"]["regions_places"])
    chosen = [(place["x_um"], place["y_um"]) for place in places]
    decided = len(record.events("decision"))
    earlier = continuation_of(folder, record.uid, None)
    left = [(region.x_um, region.y_um) for region in earlier.places.regions]
    assert left == chosen[decided:]


def test_it_asks_again_where_nobody_had_answered(tmp_path):
    with asking(small(), tmp_path / "cat") as (session, asked):
        engine = session.run_engine

        def leave():
            wait_for(lambda: asked.lay.surveyor.question)
            engine.abort()

        leaving = threading.Thread(target=leave, daemon=True)
        leaving.start()
        with contextlib.suppress(Exception):
            engine(session.optimize(lay=asked.lay))
        leaving.join(20)
        folder = session.folder
    (path,) = journal_paths(folder)
    earlier = continuation_of(folder, RunRecord.read(path).uid, None)
    assert earlier.places.regions is None
    assert earlier.places.fields_um == ((0.0, 0.0),)
