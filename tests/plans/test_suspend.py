"""An open interlock suspends the run; it goes on when a person says so, and not before."""

import pytest
from bluesky.utils import RunEngineInterrupted

from stedopt_bluesky.imspector.api import MeasurementSignal

IMAGES = 3
PATH = {"microscope.interlock_path": "Interlock/closed"}


@pytest.fixture
def bench(make_bench):
    return make_bench(**PATH)


def opens_at(bench, exposure):
    """Open the interlock while the n-th scan (1: the overview) goes on."""
    scans = iter(range(1, 100))

    def open_it():
        if next(scans) == exposure:
            bench.application.set_interlock(False)

    bench.application.connect_measurement_cb(open_it, MeasurementSignal.beg_step)


def suspended(bench, plan=None):
    with pytest.raises(RunEngineInterrupted):
        bench.engine.resume() if plan is None else bench.engine(plan)
    assert bench.engine.state == "paused"
    assert bench.lasers_are_off()
    assert bench.session.station.microscope.suspended.startswith("suspended: the interlock is open")


def test_it_suspends_in_an_image_and_goes_on_with_the_next_region(bench):
    opens_at(bench, 3)  # the STED image of the first region
    suspended(bench, bench.session.optimize())
    scanned = len(bench.application.emission_log)

    suspended(bench)  # still open: resuming is of no use
    assert len(bench.application.emission_log) == scanned
    bench.application.set_interlock(True)
    assert len(bench.application.emission_log) == scanned  # nor does closing it resume
    bench.engine.resume()

    (stop,) = bench.of("stop")
    assert stop["exit_status"] == "success"
    # One decision more than images: the spoilt image's.
    assert stop["num_events"] == {"overview": 1, "decision": IMAGES + 1, "primary": IMAGES}
    places = [(e["data"]["region_x_um"], e["data"]["region_y_um"]) for e in bench.events("primary")]
    assert len(set(places)) == IMAGES
    assert bench.session.station.microscope.suspended == ""
    # Every confocal image had its light again, though all lasers were at zero meanwhile.
    for images in bench.imaged:
        assert images.confocal1.max() > 0
        assert images.confocal2.max() > 0


@pytest.mark.parametrize("exposure", [1, 2, 4])
def test_it_suspends_in_any_scan(bench, exposure):
    opens_at(bench, exposure)
    suspended(bench, bench.session.optimize())
    bench.application.set_interlock(True)
    bench.engine.resume()
    (stop,) = bench.of("stop")
    assert (stop["exit_status"], stop["num_events"]["primary"]) == ("success", IMAGES)
    assert stop["num_events"]["overview"] == 1


def test_it_suspends_before_anything_is_scanned(bench):
    bench.application.set_interlock(False)
    suspended(bench, bench.session.optimize())
    assert bench.application.emission_log == []
    bench.application.set_interlock(True)
    bench.engine.resume()
    (stop,) = bench.of("stop")
    assert stop["num_events"] == {"overview": 1, "decision": IMAGES, "primary": IMAGES}


def test_a_suspended_run_can_be_aborted(bench):
    opens_at(bench, 5)
    suspended(bench, bench.session.optimize())
    bench.engine.abort(reason="the door stays open")
    (stop,) = bench.of("stop")
    assert (stop["exit_status"], stop["reason"]) == ("abort", "the door stays open")
    assert stop["num_events"]["primary"] == 1
    assert bench.lasers_are_off()


def test_it_opens_between_two_images(bench):
    def rate(images):
        bench.application.set_interlock(len(bench.imaged) != 1)
        return bench.session.rate(images)

    from stedopt_bluesky.plans import optimize_sted

    session = bench.session
    plan = optimize_sted(
        session.station,
        session.strategy,
        session.config.space,
        rate=rate,
        choose=session.choose,
        images=IMAGES,
    )
    suspended(bench, plan)
    assert len(bench.events("primary")) == 2
    bench.application.set_interlock(True)
    bench.engine.resume()
    # Nothing was lost: no decision was made, no region exposed.
    (stop,) = bench.of("stop")
    assert stop["num_events"] == {"overview": 1, "decision": IMAGES, "primary": IMAGES}
