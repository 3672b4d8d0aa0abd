"""A decision: one of the options or a failure, and the cloud kept to the bit."""

import threading

import event_model
import h5py
import numpy as np
import pytest
from bluesky import plan_stubs as bps
from bluesky import preprocessors as bpp
from bluesky.simulators import check_limits
from bluesky.utils import FailedStatus

from stedopt_bluesky.acquisition import Choice, Options
from stedopt_bluesky.devices.decision import Decision
from stedopt_bluesky.devices.image_store import checksum_of

WAIT_S = 20.0  # a bound against hanging
GRID = np.arange(6.0)[:, None]


def cloud(iteration, shape=(6, 2)):
    values = np.random.default_rng(iteration).normal(size=shape)
    values.flat[0] = np.nan
    return Options(values, GRID, iteration, ("snr", "photobleaching"), ("depletion_power_mW",))


def take(index, by="expert"):
    return lambda options: Choice(index, by)


@pytest.fixture
def decision(tmp_path):
    decision = Decision(configurations=6, objectives=2, folder=tmp_path, name="decision")
    decision.stage()
    yield decision
    decision.unstage()


def test_decisions_and_their_clouds_are_events(tmp_path, run_engine, documents):
    decision = Decision(configurations=6, objectives=2, folder=tmp_path, name="decision")

    @bpp.stage_decorator([decision])
    @bpp.run_decorator()
    def plan():
        for iteration, index in enumerate([3, 0, 5]):
            yield from bps.abs_set(decision, cloud(iteration), choose=take(index), wait=True)
            yield from bps.create("decision")
            yield from bps.read(decision)
            yield from bps.save()

    run_engine(plan())
    for name, doc in documents:
        event_model.schema_validators[event_model.DocumentNames[name]].validate(doc)
    assert [doc["data"] for name, doc in documents if name == "event"] == [
        {
            "decision_iteration": n,
            "decision_index": index,
            "decision_chosen_by": "expert",
            "decision_took_s": 0.0,
            "decision_suggested_index": -1,
            "decision_suggested_by": "",
            "decision_taken_back": 0,
            "decision_shown": "",
            "decision_arrays_blake2b": checksum_of({"decision_cloud": cloud(n).values}),
        }
        for n, index in enumerate([3, 0, 5])
    ]
    data = [doc["indices"]["start"] for name, doc in documents if name == "stream_datum"]
    assert data == [0, 1, 2]
    (resource,) = [doc for name, doc in documents if name == "stream_resource"]
    with h5py.File(resource["uri"].removeprefix("file://localhost")) as file:
        stored = file["decision_cloud"]
        assert stored.shape == (3, 6, 2)
        for n in range(3):
            assert stored[n].tobytes() == cloud(n).values.tobytes()


@pytest.mark.parametrize("index", [-1, 6, 10**9])
def test_a_choice_that_is_none_of_the_options_fails_the_status(decision, index):
    status = decision.set(cloud(0), choose=take(index, "preference_network"))
    with pytest.raises(
        IndexError, match=rf"preference_network chose option {index}: 0 to 5 are there"
    ):
        status.wait(WAIT_S)
    assert decision.chosen_by.get() == ""
    assert list(decision.collect_asset_docs()) == []


@pytest.mark.parametrize("index", [1.5, "1", None, np.float64(2)])
def test_a_choice_that_is_no_whole_number_fails_the_status(decision, index):
    with pytest.raises(TypeError, match="integer"):
        decision.set(cloud(0), choose=take(index)).wait(WAIT_S)
    assert list(decision.collect_asset_docs()) == []


def test_numpys_whole_numbers_are_whole_numbers(decision):
    decision.set(cloud(0), choose=take(np.int64(4))).wait(WAIT_S)
    assert decision.index.get() == 4
    assert type(decision.index.get()) is int


def test_who_fails_to_choose_fails_the_status(decision):
    def choose(options):
        raise RuntimeError("the expert went home")

    with pytest.raises(RuntimeError, match="the expert went home"):
        decision.set(cloud(0), choose=choose).wait(WAIT_S)


def test_a_failure_ends_the_plan_with_its_reason(tmp_path, run_engine):
    decision = Decision(configurations=6, objectives=2, folder=tmp_path, name="decision")

    @bpp.stage_decorator([decision])
    def plan():
        yield from bps.abs_set(decision, cloud(0), choose=take(6), wait=True)

    with pytest.raises(FailedStatus) as failed:
        run_engine(plan())
    assert "expert chose option 6: 0 to 5 are there" in str(failed.value.__cause__)


def test_a_person_may_take_their_time(decision):
    go = threading.Event()

    def choose(options):
        go.wait(WAIT_S)
        return Choice(2, "expert")

    status = decision.set(cloud(0), choose=choose)
    assert not status.done
    go.set()
    status.wait(WAIT_S)
    assert decision.index.get() == 2


@pytest.mark.parametrize("shape", [(5, 2), (6, 3), (12,)])
def test_a_cloud_of_another_size_is_refused(decision, shape):
    with pytest.raises(ValueError, match=r"expected a cloud of options of shape \(6, 2\), got \("):
        decision.set(cloud(0, shape), choose=take(0))
    with pytest.raises(ValueError, match="expected a cloud"):
        check_limits(bps.abs_set(decision, cloud(0, shape), choose=take(0)))


def test_clouds_in_any_order_of_memory_are_stored_alike(decision, tmp_path):
    options = cloud(0)
    turned = Options(
        np.asfortranarray(options.values), GRID, 0, options.objectives, options.parameters
    )
    decision.set(turned, choose=take(0)).wait(WAIT_S)
    decision.unstage()
    (path,) = tmp_path.rglob("*.h5")
    with h5py.File(path) as file:
        assert file["decision_cloud"][0].tobytes() == options.values.tobytes()


def test_deciding_needs_a_stage(tmp_path):
    decision = Decision(configurations=6, objectives=2, folder=tmp_path, name="decision")
    with pytest.raises(ValueError, match="not open"):
        decision.set(cloud(0), choose=take(0)).wait(WAIT_S)


def test_a_stage_that_fails_can_be_tried_again(tmp_path):
    folder = tmp_path / "arrays"
    folder.write_text("a file where a folder should be")
    decision = Decision(configurations=6, objectives=2, folder=folder, name="decision")
    with pytest.raises(OSError, match="arrays"):
        decision.stage()
    folder.unlink()
    decision.stage()
    decision.set(cloud(0), choose=take(0)).wait(WAIT_S)
    assert decision.get_index() == 0
    decision.unstage()


def test_the_description(decision):
    described = decision.describe()
    assert described["decision_cloud"]["shape"] == [6, 2]
    assert described["decision_cloud"]["dtype_numpy"] == "<f8"
    assert described["decision_chosen_by"]["dtype"] == "string"
    assert "decision_rewindable" not in described
