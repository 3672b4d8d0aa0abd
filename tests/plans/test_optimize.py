import itertools
import re
import threading

import numpy as np
import pytest
from bluesky import RunEngine
from bluesky.callbacks import CallbackBase
from bluesky.simulators import check_limits
from bluesky.utils import RunEngineInterrupted
from event_model import DocumentNames, schema_validators

from stedopt_bluesky.acquisition import Choice, ImageSet, Region
from stedopt_bluesky.devices.microscope import Microscope
from stedopt_bluesky.objectives import rate as rate_anew
from stedopt_bluesky.parameters import Parameter, ParameterSpace
from stedopt_bluesky.plans.optimize import NotEnoughRegionsError
from stedopt_bluesky.records import RunRecord, find_run
from stedopt_bluesky.session import make_strategy
from stedopt_bluesky.twin.photophysics import expose_labels

IMAGES = 3
EXPOSURES_PER_REGION = {"confocal": 2, "sted": 1}


def record_of(bench):
    (start,) = bench.of("start")
    return RunRecord.read(find_run(bench.session.folder, start["uid"]))


def stop_of(bench):
    (stop,) = bench.of("stop")
    return stop


# --- what a run leaves behind -----------------------------------------------------------


def test_streams_and_their_events(done):
    stop = stop_of(done)
    assert stop["exit_status"] == "success"
    assert stop["num_events"] == {"overview": 1, "decision": IMAGES, "primary": IMAGES}


def test_a_decision_precedes_each_image(done):
    order = [done.stream_of(event) for event in done.of("event")]
    assert order == ["overview", *["decision", "primary"] * IMAGES]


def test_all_documents_are_valid(done):
    for name, doc in done.documents:
        schema_validators[DocumentNames[name]].validate(doc)


def test_no_image_is_inline(done):
    for event in done.of("event"):
        assert all(np.ndim(value) == 0 for value in event["data"].values())


def test_stored_images_are_those_that_the_microscope_had(done):
    record = record_of(done)
    assert len(done.imaged) == IMAGES
    for key, of in (
        ("microscope_confocal1", lambda images: images.confocal1),
        ("microscope_sted1", lambda images: images.sted[0]),
        ("microscope_confocal2", lambda images: images.confocal2),
    ):
        np.testing.assert_array_equal(record.images(key), [of(images) for images in done.imaged])
    np.testing.assert_array_equal(
        record.images("overview_image")[0], done.session.station.overview.image
    )


def test_frames_are_numbered_as_their_events(done):
    assert [e["data"]["microscope_frame_index"] for e in done.events("primary")] == [0, 1, 2]
    assert [e["data"]["image_iteration"] for e in done.events("primary")] == [0, 1, 2]
    assert [e["data"]["decision_iteration"] for e in done.events("decision")] == [0, 1, 2]


def test_parameters_are_the_chosen_row_of_the_grid(done):
    space = done.session.config.space
    for decision, image in zip(done.events("decision"), done.events("primary"), strict=True):
        index = image["data"]["image_configuration_index"]
        assert index == decision["data"]["decision_index"]
        assert [image["data"][name] for name in space.names] == list(space.grid[index])


def test_objectives_are_those_of_the_stored_images(done):
    record = record_of(done)
    names = record.objectives
    for event, confocal1, sted, confocal2 in zip(
        done.events("primary"),
        record.images("microscope_confocal1"),
        record.images("microscope_sted1"),
        record.images("microscope_confocal2"),
        strict=True,
    ):
        data = event["data"]
        images = ImageSet(confocal1, (sted,), confocal2, 20.0, data["dwelltime_us"], 1)
        again = rate_anew(images, names)
        assert {name: data[f"objective_{name}"] for name in names} == pytest.approx(
            again, rel=0, abs=0, nan_ok=True
        )


def test_each_region_is_exposed_once_and_none_twice(done):
    for configuration, times in EXPOSURES_PER_REGION.items():
        assert done.exposures(configuration) == times * IMAGES
    assert done.exposures("overview") == 1
    places = [(e["data"]["region_x_um"], e["data"]["region_y_um"]) for e in done.events("primary")]
    assert len(set(places)) == IMAGES


def test_lasers_are_off_afterwards(done):
    assert done.lasers_are_off()


def test_the_plan_returns_the_uid_of_the_run(bench):
    returned = []

    def plan():
        returned.append((yield from bench.session.optimize(images=1)))

    bench.engine(plan())
    assert returned == [bench.of("start")[0]["uid"]]


# --- decisions --------------------------------------------------------------------------


def decisions(bench):
    record = record_of(bench)
    return [e["data"]["decision_index"] for e in record.events("decision")], record.clouds


def test_the_same_seed_gives_the_same_decisions_and_clouds(done, make_bench):
    again = make_bench()
    again.engine(again.session.optimize())

    first, second = decisions(done), decisions(again)

    assert first[0] == second[0]
    np.testing.assert_array_equal(first[1], second[1])


def test_another_seed_gives_other_clouds(done, make_bench):
    other = make_bench(seed=6)
    other.engine(other.session.optimize(images=1))

    assert not np.array_equal(decisions(done)[1][0], decisions(other)[1][0])


def test_the_cloud_that_is_stored_is_the_one_chosen_from(done):
    strategy = make_strategy(done.session.config)
    np.testing.assert_array_equal(decisions(done)[1][0], strategy.suggest().values)


class Watching:
    """A strategy that hands everything on and remembers what it was taught."""

    def __init__(self, strategy):
        self.strategy, self.taught = strategy, []

    def suggest(self):
        return self.strategy.suggest()

    def ingest(self, index, values):
        self.taught.append((index, dict(values)))
        self.strategy.ingest(index, values)


def test_the_strategy_learns_what_the_events_say(bench):
    strategy = Watching(bench.session.strategy)
    bench.engine(bench.plan(strategy=strategy))

    assert strategy.taught == [
        (
            e["data"]["image_configuration_index"],
            {k.removeprefix("objective_"): v for k, v in e["data"].items() if "objective_" in k},
        )
        for e in bench.events("primary")
    ]


def test_an_invalid_objective_is_kept_and_not_learnt(bench):
    """NaN: the run goes on, the image counts, its model is not taught."""

    def rate(images):
        return {**bench.session.rate(images), "snr": float("nan")}

    bench.engine(bench.plan(rate=rate))

    assert stop_of(bench)["exit_status"] == "success"
    assert all(np.isnan(e["data"]["objective_snr"]) for e in bench.events("primary"))
    strategy = bench.session.strategy
    assert strategy.iteration == IMAGES
    untaught = make_strategy(bench.session.config)
    for name, same in (("snr", True), ("photobleaching", False)):
        mean, prior = (s.models[name].posterior()[0] for s in (strategy, untaught))
        assert np.array_equal(mean, prior) == same


# --- failures ---------------------------------------------------------------------------


def test_a_choice_that_fails_ends_the_run_in_plain_words(bench):
    choices = itertools.count()

    def choose(options):
        if next(choices) == 2:
            raise ConnectionError("the expert has gone home")
        return Choice(7, "expert")

    with pytest.raises(ConnectionError):
        bench.engine(bench.plan(choose=choose))

    stop = stop_of(bench)
    assert (stop["exit_status"], stop["reason"]) == ("fail", "the expert has gone home")
    assert stop["num_events"] == {"overview": 1, "decision": 2, "primary": 2}
    assert len(record_of(bench).images("microscope_sted1")) == 2
    assert bench.lasers_are_off()


def test_a_choice_that_is_none_of_the_options_ends_the_run(bench):
    with pytest.raises(IndexError):
        bench.engine(bench.plan(choose=lambda options: Choice(768, "expert")))

    assert stop_of(bench)["reason"] == "expert chose option 768: 0 to 767 are there"
    assert bench.exposures("sted") == 0


def test_images_that_cannot_be_rated_are_invalid_and_the_run_goes_on(bench, caplog):
    def rate(images):
        raise ZeroDivisionError("no foreground")

    bench.engine(bench.plan(rate=rate))

    assert stop_of(bench)["exit_status"] == "success"
    assert np.isnan([e["data"]["objective_snr"] for e in bench.events("primary")]).all()
    assert bench.session.strategy.iteration == IMAGES
    assert "no foreground" in caplog.text


# Scan 1 is the overview; 2-4 and 5-7 are those of the first and the second region.
@pytest.mark.parametrize(
    ("scan", "events"), [(1, {}), (6, {"overview": 1, "decision": 2, "primary": 1})]
)
def test_a_scan_that_fails_ends_the_run(bench, monkeypatch, scan, events):
    scans, start = itertools.count(1), bench.application.start

    def start_or_fail(measurement):
        if next(scans) == scan:
            raise RuntimeError("AOTF timeout")
        start(measurement)

    monkeypatch.setattr(bench.application, "start", start_or_fail)
    with pytest.raises(RuntimeError):
        bench.engine(bench.session.optimize())

    stop = stop_of(bench)
    assert stop["exit_status"] == "fail"
    assert stop["reason"].endswith("scan: cannot be started: AOTF timeout")
    assert {name: count for name, count in stop["num_events"].items() if count} == events
    assert bench.lasers_are_off()


def test_a_strategy_that_fails_ends_the_run(bench):
    class Broken(Watching):
        def ingest(self, index, values):
            raise np.linalg.LinAlgError("not positive definite")

    with pytest.raises(np.linalg.LinAlgError):
        bench.engine(bench.plan(strategy=Broken(bench.session.strategy)))

    stop = stop_of(bench)
    assert (stop["exit_status"], stop["reason"]) == ("fail", "not positive definite")
    assert stop["num_events"]["primary"] == 1
    assert bench.lasers_are_off()


def test_fewer_regions_than_images_found(bench):
    with pytest.raises(NotEnoughRegionsError):
        bench.engine(bench.plan(images=5000))

    stop = stop_of(bench)
    assert stop["exit_status"] == "fail"
    assert stop["reason"].startswith("images = 5000: only ")
    assert "lower overview.minimum_foreground" in stop["reason"]
    assert stop["num_events"] == {"overview": 1}
    assert bench.lasers_are_off()


# --- looking at the plan without running it ---------------------------------------------


@pytest.mark.parametrize("regions", [None, [Region(x, 0.0, 1.28) for x in (-3, 0, 3)]])
def test_check_limits_runs_nothing_and_teaches_nothing(bench, regions):
    before = bench.session.strategy.suggest().values

    check_limits(bench.plan(regions=regions))

    assert bench.documents == []
    assert bench.application.emission_log == []
    assert bench.session.strategy.iteration == 0
    np.testing.assert_array_equal(bench.session.strategy.suggest().values, before)


def test_check_limits_refuses_what_the_devices_refuse(bench):
    space = ParameterSpace([Parameter("excitation_power_uW", "µW", (1.0, 30.5))])
    with pytest.raises(ValueError, match=r"excitation_power_uW = 30.5 µW"):
        check_limits(bench.plan(space=space))


def test_check_limits_after_a_run_does_not_use_its_overview(bench):
    bench.engine(bench.session.optimize(images=1))
    check_limits(bench.plan(images=5000))  # would raise if it laid regions


# --- regions by hand, one's own RunEngine -----------------------------------------------


def test_regions_given_by_hand_are_imaged_in_order_without_an_overview(bench):
    regions = [Region(x, y, 1.28) for x, y in ((4.0, -2.0), (0.0, 0.0), (-4.5, 3.0), (9, 9))]
    bench.engine(bench.plan(regions=regions))

    places = [(e["data"]["region_x_um"], e["data"]["region_y_um"]) for e in bench.events("primary")]
    assert places == [(4.0, -2.0), (0.0, 0.0), (-4.5, 3.0)]
    assert stop_of(bench)["num_events"] == {"decision": IMAGES, "primary": IMAGES}
    assert bench.exposures("overview") == 0


def test_with_a_run_engine_and_callbacks_of_ones_own(bench):
    class Depletion(CallbackBase):
        seen: list = []  # noqa: RUF012

        def event(self, doc):
            if "depletion_power_mW" in doc["data"]:
                self.seen.append(doc["data"]["depletion_power_mW"])

    engine = RunEngine({"beamline": "cellar"}, context_managers=[])
    depletion, starts = Depletion(), []
    engine.subscribe(lambda _, doc: starts.append(doc), "start")

    (uid,) = engine(bench.plan(md={"sample": "mine"}), depletion)

    (start,) = starts
    assert (start["uid"], start["sample"], start["beamline"]) == (uid, "mine", "cellar")
    assert start["plan_name"] == "optimize_sted"
    assert start["images_planned"] == IMAGES
    assert len(depletion.seen) == IMAGES


# --- pause, resume, stop, abort ---------------------------------------------------------


class DoesAt:
    """Photophysics that does something more at the n-th exposure (from 1)."""

    def __init__(self, n, what):
        self.n, self.what, self.count = n, what, itertools.count(1)

    def __call__(self, *args):
        if next(self.count) == self.n:
            self.what()
        return expose_labels(*args)


def pausing_at(bench, iteration, *, defer):
    """Chooser that asks for a pause while it makes its n-th choice, as Ctrl-C would."""

    def choose(options):
        if options.iteration == iteration:
            bench.engine.request_pause(defer=defer)
        return bench.session.choose(options)

    return choose


def paused_at_checkpoint(bench):
    with pytest.raises(RunEngineInterrupted):
        bench.engine(bench.plan(choose=pausing_at(bench, 0, defer=True)))
    assert bench.engine.state == "paused"
    assert bench.powers("sted") == [0.0, 0.0]
    assert len(bench.events("primary")) == 1  # the image in progress was finished


def test_a_pause_at_a_checkpoint_repeats_nothing(bench, done):
    paused_at_checkpoint(bench)
    bench.engine.resume()

    assert stop_of(bench)["num_events"] == {"overview": 1, "decision": IMAGES, "primary": IMAGES}
    for configuration, times in EXPOSURES_PER_REGION.items():
        assert bench.exposures(configuration) == times * IMAGES
    record = record_of(bench)
    np.testing.assert_array_equal(
        record.images("microscope_sted1"), [images.sted[0] for images in bench.imaged]
    )
    # Nothing differs from the run that was not paused, powers and noise included.
    np.testing.assert_array_equal(
        record.images("microscope_sted1"), record_of(done).images("microscope_sted1")
    )


def test_stop_at_a_checkpoint_is_a_success_of_fewer_images(bench):
    paused_at_checkpoint(bench)
    bench.engine.stop()

    stop = stop_of(bench)
    assert stop["exit_status"] == "success"
    assert stop["num_events"]["primary"] == 1
    assert bench.lasers_are_off()


def test_abort_at_a_checkpoint_keeps_its_reason(bench):
    paused_at_checkpoint(bench)
    bench.engine.abort(reason="sample dried out")

    stop = stop_of(bench)
    assert (stop["exit_status"], stop["reason"]) == ("abort", "sample dried out")
    assert bench.lasers_are_off()


def test_halt_leaves_the_lasers_off(bench):
    paused_at_checkpoint(bench)
    bench.engine.halt()

    assert stop_of(bench)["exit_status"] == "abort"
    assert bench.lasers_are_off()


def test_a_pause_at_once_during_a_decision_asks_again_and_records_it_once(bench):
    """Nothing was exposed yet: the plan goes back to the checkpoint before the decision."""
    asked = []

    def choose(options):
        asked.append(options.iteration)
        if asked == [0, 1]:
            bench.engine.request_pause(defer=False)
        return bench.session.choose(options)

    with pytest.raises(RunEngineInterrupted):
        bench.engine(bench.plan(choose=choose))
    bench.engine.resume()

    assert asked == [0, 1, 1, 2]
    assert stop_of(bench)["num_events"] == {"overview": 1, "decision": IMAGES, "primary": IMAGES}
    assert [e["data"]["decision_iteration"] for e in bench.events("decision")] == [0, 1, 2]
    assert len(record_of(bench).clouds) == IMAGES


def paused_at_once(make_bench, exposure, **changes):
    """A bench whose plan was paused during the n-th exposure (1: the overview)."""
    bench = make_bench(
        expose=DoesAt(exposure, lambda: bench.engine.request_pause(defer=False)), **changes
    )
    with pytest.raises(RunEngineInterrupted):
        bench.engine(bench.session.optimize())
    assert bench.engine.state == "paused"
    return bench


def test_a_pause_at_once_during_the_overview_does_not_repeat_it(make_bench, done):
    bench = paused_at_once(make_bench, 1)
    bench.engine.resume()

    assert bench.exposures("overview") == 1
    assert stop_of(bench)["num_events"] == {"overview": 1, "decision": IMAGES, "primary": IMAGES}
    np.testing.assert_array_equal(
        record_of(bench).images("microscope_sted1"), record_of(done).images("microscope_sted1")
    )


@pytest.mark.parametrize("exposure", [5, 6, 7])  # of the second region
def test_a_pause_at_once_during_an_exposure_goes_on_with_the_next_region(make_bench, exposure):
    """An exposure is never repeated: the image is lost, its region is not imaged again."""
    bench = paused_at_once(make_bench, exposure)
    assert bench.powers("sted") == [0.0, 0.0]
    bench.engine.resume()

    stop = stop_of(bench)
    assert stop["exit_status"] == "success"
    assert stop["num_events"] == {"overview": 1, "decision": IMAGES + 1, "primary": IMAGES}
    assert [e["data"]["image_iteration"] for e in bench.events("primary")] == [0, 1, 2]
    assert [e["data"]["decision_iteration"] for e in bench.events("decision")] == [0, 1, 1, 2]
    assert bench.exposures("sted") <= IMAGES + 1
    record = record_of(bench)
    np.testing.assert_array_equal(
        record.images("microscope_sted1"), [images.sted[0] for images in bench.imaged]
    )
    assert len(record.clouds) == IMAGES + 1
    places = [(e["data"]["region_x_um"], e["data"]["region_y_um"]) for e in bench.events("primary")]
    assert len(set(places)) == IMAGES
    assert bench.lasers_are_off()


def test_a_pause_while_images_are_rated_loses_nothing(bench):
    ratings = itertools.count()

    def rate(images):
        if next(ratings) == 1:
            bench.engine.request_pause(defer=False)
        return bench.session.rate(images)

    with pytest.raises(RunEngineInterrupted):
        bench.engine(bench.plan(rate=rate))
    bench.engine.resume()

    assert stop_of(bench)["num_events"] == {"overview": 1, "decision": IMAGES, "primary": IMAGES}
    assert bench.exposures("sted") == IMAGES
    for event, images in zip(bench.events("primary"), bench.imaged, strict=True):
        assert event["data"]["objective_photobleaching"] == pytest.approx(
            bench.session.rate(images)["photobleaching"], rel=0, abs=0
        )


def test_regions_that_were_lost_to_pauses_are_told(make_bench):
    bench = make_bench(expose=DoesAt(2, lambda: bench.engine.request_pause(defer=False)))
    with pytest.raises(RunEngineInterrupted):
        bench.engine(bench.plan(images=1, regions=[Region(0, 0, 1.28)]))
    with pytest.raises(NotEnoughRegionsError):
        bench.engine.resume()

    stop = stop_of(bench)
    assert stop["reason"] == (
        "images = 1: 0 were taken, the other regions were lost (pauses, bad images) or may get "
        "no more light"
    )


# --- light ------------------------------------------------------------------------------

# What the configuration that gets the most light may need: 64² pixels of 100 µs with 360 mW.
MOST_MJ = 148.0


def doses_mJ(bench):  # noqa: N802
    data = [event["data"] for event in bench.events("primary")]
    return [
        d["microscope_excitation_dose_uJ"] * 1e-3 + d["microscope_depletion_dose_mJ"] for d in data
    ]


def test_a_region_that_must_not_get_more_light_is_left_out(make_bench):
    bench = make_bench(**{"limits.region_dose_mJ": MOST_MJ})
    _, depletion_mW, dwelltime_us = bench.session.config.space.grid.T
    # About a fifth of it, whatever the strategy has learnt: four images of a region.
    index = int(np.argmin(np.abs(depletion_mW * dwelltime_us * 1e-6 * 64**2 - MOST_MJ / 4.8)))
    places = [Region(0, 0, 1.28)] * 6 + [Region(3, 3, 1.28)] * 3
    choice = Choice(index, "expert")
    bench.engine(bench.plan(images=7, regions=places, choose=lambda _: choice))
    assert stop_of(bench)["num_events"]["primary"] == 7
    of_region = {}
    for event, dose in zip(bench.events("primary"), doses_mJ(bench), strict=True):
        place = event["data"]["region_x_um"]
        of_region[place] = of_region.get(place, 0.0) + dose
    assert all(dose <= MOST_MJ for dose in of_region.values())
    # Two were left out, or the test would say nothing.
    assert len(bench.events("decision")) == 9


def test_a_run_ends_before_it_exceeds_its_light(make_bench):
    bench = make_bench(**{"limits.run_dose_mJ": MOST_MJ, "images": 20})
    with pytest.raises(Exception, match=r"light of the run: .* at most 148 mJ is allowed"):
        bench.engine(bench.session.optimize())
    stop = stop_of(bench)
    assert stop["exit_status"] == "fail"
    assert re.match(r"light of the run: .* mJ more on .* mJ, at most 148 mJ", stop["reason"])
    taken = stop["num_events"]["primary"]
    assert 1 <= taken < 20
    assert sum(doses_mJ(bench)) <= MOST_MJ
    assert bench.exposures("sted") == taken
    assert bench.lasers_are_off()


def test_the_engine_may_rewind_again_after_an_aborted_exposure(make_bench):
    bench = paused_at_once(make_bench, 6)
    bench.engine.abort(reason="enough")

    assert bench.engine.rewindable
    assert stop_of(bench)["reason"] == "enough"
    assert bench.lasers_are_off()


def test_abort_from_another_thread_during_an_exposure(make_bench):
    aborts = []

    def abort():
        # From a thread of its own: the twin's must go on for the scan to end.
        aborts.append(threading.Thread(target=bench.engine.abort, args=("fire alarm",)))
        aborts[0].start()

    bench = make_bench(expose=DoesAt(3, abort))
    with pytest.raises(RunEngineInterrupted):
        bench.engine(bench.session.optimize())
    aborts[0].join()

    stop = stop_of(bench)
    assert (stop["exit_status"], stop["reason"]) == ("abort", "fire alarm")
    assert bench.lasers_are_off()


def test_the_devices_serve_another_run_afterwards(bench):
    with pytest.raises(ZeroDivisionError):
        bench.engine(bench.plan(choose=lambda options: 1 / 0))
    bench.engine(bench.plan(images=1))

    assert [stop["exit_status"] for stop in bench.of("stop")] == ["fail", "success"]
    assert isinstance(bench.session.station.microscope, Microscope)
