"""A run as the page shows it: what its documents tell, and what is made of them."""

import threading

import numpy as np
import pytest

from stedopt_bluesky.config import ConfigError
from stedopt_bluesky.preference.rule import utilities
from stedopt_bluesky.records import CatalogError, RunRecord, find_run
from stedopt_bluesky.records.journal import read_journal
from stedopt_bluesky.session import objectives_of, weights_of
from stedopt_bluesky.web.page.followed import Followed
from tests.records.lookers import run_documents


def fed(documents, **more):
    followed = Followed(**more)
    for name, doc in documents:
        followed(name, doc)
    return followed


def record_of(bench):
    return RunRecord.read(find_run(bench.session.folder, bench.followed.run.uid))


def test_nothing_is_known_before_the_start_document():
    followed = Followed()
    assert followed.start == {}
    assert followed.experiment is None
    assert followed.posterior() is None
    assert followed.images(1) is None
    assert followed.run.images == 0


def test_what_the_start_document_was_made_from(imaged):
    followed, config = imaged.followed, imaged.session.config
    assert followed.start["operator"] == "Ada"
    experiment = followed.experiment
    assert experiment.objectives == objectives_of(config)
    assert experiment.weights == weights_of(config)
    run = followed.run
    assert (run.images, run.exit_status) == (4, "success")
    record = record_of(imaged)
    values = [list(values.values()) for _, values in record.observations]
    np.testing.assert_array_equal(experiment.values(run), values)
    np.testing.assert_array_equal(
        experiment.utility(run),
        utilities(np.array(values), objectives_of(config), weights_of(config)),
    )
    assert experiment.size_um(run, 1) == 1.28


def test_the_shadow_expects_what_the_runs_own_strategy_does(imaged):
    posterior = imaged.followed.posterior()
    mean, std = imaged.session.strategy.posterior()
    np.testing.assert_array_equal(posterior.mean, mean)
    np.testing.assert_array_equal(posterior.std, std)
    assert posterior.space == imaged.session.config.space
    assert imaged.followed.posterior() is posterior  # nothing has come since


def test_it_learns_what_has_come_since(imaged):
    """Image by image, as all at once."""
    documents = list(read_journal(find_run(imaged.session.folder, imaged.followed.run.uid)))
    followed, expected = Followed(), []
    for name, doc in documents:
        followed(name, doc)
        if name in ("start", "event"):
            expected.append(followed.posterior())
    np.testing.assert_allclose(expected[-1].mean, imaged.followed.posterior().mean)
    assert len({id(one) for one in expected}) == 5  # before the first image, and after each


def test_an_image_that_comes_late_is_learnt_in_its_place(imaged):
    documents = list(read_journal(find_run(imaged.session.folder, imaged.followed.run.uid)))
    images = [
        n for n, (name, doc) in enumerate(documents) if "objective_snr" in doc.get("data", ())
    ]
    late = documents.pop(images[1])
    followed = fed(documents)
    followed.posterior()
    followed(*late)
    np.testing.assert_array_equal(followed.posterior().mean, imaged.followed.posterior().mean)


def test_a_run_that_goes_on_with_another_begins_with_what_that_one_learnt(make_bench):
    with make_bench(images=2) as bench:
        bench.engine(bench.session.optimize(), bench.observe)
        first = bench.followed.posterior()
        bench.engine(bench.session.optimize(), bench.observe)
        second = bench.followed.posterior()
        mean, _ = bench.session.strategy.posterior()
        record = record_of(bench)
        alone = fed(record.documents)
    np.testing.assert_array_equal(second.mean, mean)
    assert not np.array_equal(first.mean, second.mean)
    past = Followed.of_record(record, bench.session.folder)
    np.testing.assert_array_equal(past.posterior().mean, mean)
    with pytest.raises(CatalogError, match=r"it goes on with run .* which is not at hand"):
        alone.posterior()


def test_a_strategy_without_models_expects_nothing(make_bench):
    with make_bench(**{"images": 1, "bandit.strategy": "grid_search"}) as bench:
        bench.engine(bench.session.optimize(), bench.observe)
    assert bench.followed.posterior() is None
    assert bench.followed.run.images == 1


def test_the_last_images_are_kept_and_a_past_run_has_all(imaged):
    record = record_of(imaged)
    past = Followed.of_record(record, imaged.session.folder)
    assert imaged.followed.images(2) is None  # two are kept
    for number in (3, 4):
        kept, stored = imaged.followed.images(number), past.images(number)
        assert list(kept) == list(stored) == ["confocal1", "sted1", "confocal2"]
        for name, image in kept.items():
            np.testing.assert_array_equal(image, stored[name])
    assert past.images(1)["sted1"].shape == (64, 64)
    assert past.images(5) is None
    assert past.run.exit_status == "success"


def test_a_run_of_another_program_is_told_as_such():
    followed = fed(run_documents(3))
    for ask in (lambda: followed.experiment, followed.posterior):
        with pytest.raises(ConfigError, match="run a-run was not made by stedopt"):
            ask()
    assert followed.run.images == 3


@pytest.mark.parametrize("index", [float("nan"), -1, 10**9])
def test_an_event_that_tells_no_configuration_is_told_as_such(imaged, index):
    record = record_of(imaged)
    event = record.events("primary")[0]
    event = {**event, "data": {**event["data"], "image_configuration_index": index}}
    followed = fed([("start", record.start), ("event", event)])
    with pytest.raises(CatalogError, match=r"image 1 of run .* tells no configuration of its grid"):
        followed.posterior()


def test_a_run_that_begins_anew_is_understood_anew(imaged):
    record = record_of(imaged)
    followed = fed(run_documents(2))
    with pytest.raises(ConfigError):
        followed.experiment  # noqa: B018
    for name, doc in record.documents:
        followed(name, doc)
    assert followed.experiment.objectives
    np.testing.assert_array_equal(followed.posterior().mean, imaged.followed.posterior().mean)


def test_documents_come_while_others_look(imaged):
    """What comes costs no more than a moment: the models are reckoned beside it."""
    documents = run_documents(300)
    followed, problems = Followed(), []
    ended = threading.Event()

    def look():
        try:
            while not ended.is_set():
                run = followed.run
                assert len(run.objective_column("snr")) == len(run.numbers())
        except Exception as error:
            problems.append(error)

    lookers = [threading.Thread(target=look) for _ in range(2)]
    for looker in lookers:
        looker.start()
    for name, doc in documents:
        followed(name, doc)
    ended.set()
    for looker in lookers:
        looker.join(20)
    assert problems == []
    assert followed.run.images == 300
