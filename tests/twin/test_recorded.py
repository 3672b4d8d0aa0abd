import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stedopt_bluesky.imspector.api import Application, MeasurementResult
from stedopt_bluesky.twin.recorded import (
    Given,
    RecordedImages,
    RecordedOverview,
    RecordedRegion,
    Turns,
    recorded_application,
)

SIDE = 8
PSZ = "ExpControl/scan/range/{axis}/psz"
RES = "ExpControl/scan/range/{axis}/res"
OFF = "ExpControl/scan/range/{axis}/off"
PIXEL_STEPS = "ExpControl/measurement/pixel_steps/step_duration"


def image(number, side=SIDE):
    return np.random.default_rng(number).integers(0, 999, (side, side)).astype(np.int16)


def region(number, dwell, x_um=0.0, source="own", side=SIDE):
    """Dwelltimes of the grid are 1, 2, 3 ... µs."""
    scans = ("confocal", 0), ("sted", 1), ("sted", 2), ("confocal", 3)
    return RecordedRegion(
        source,
        number,
        (dwell - 1,),
        x_um * 1e-6,
        0.0,
        tuple((name, (image((number, i), side),)) for name, i in scans),
    )


def position(parameters):
    return (round(parameters["sted"]["ExpControl"]["measurement"]["pixel_steps"]
                  ["step_duration"][0] * 1e6) - 1,)  # fmt: skip


class Bench:
    """An application with three configurations, driven as SpecPy is."""

    def __init__(self, regions, overviews=()):
        self.images = RecordedImages(regions, overviews, overview="overview", position=position)
        self.application = recorded_application(self.images)
        self.measurement = self.application.create_measurement()
        first = self.measurement.active_configuration()
        first.set_name("confocal")
        for name in ("sted", "overview"):
            self.measurement.clone(first).set_name(name)
        self.field("confocal")
        self.field("sted")

    def field(self, name, side=SIDE, x_um=0.0):
        configuration = self.measurement.configuration(name)
        for axis in "xy":
            configuration.set_parameters(PSZ.format(axis=axis), 20e-9)
            configuration.set_parameters(f"ExpControl/scan/range/{axis}/len", side * 20e-9)
        configuration.set_parameters(OFF.format(axis="x"), x_um * 1e-6)

    def dwell(self, us):
        sted = self.measurement.configuration("sted")
        steps = list(sted.parameters(PIXEL_STEPS))
        sted.set_parameters(PIXEL_STEPS, [us * 1e-6, *steps[1:]])

    def move(self, x_um, side=SIDE):
        self.field("confocal", side, x_um)
        self.field("sted", side, x_um)

    def scan(self, name):
        self.measurement.activate(self.measurement.configuration(name))
        assert self.application.run(self.measurement) == MeasurementResult.Success
        return self.measurement.configuration(name).stack(0).data()[0, 0]

    def visit(self):
        return [self.scan(name) for name in ("confocal", "sted", "sted", "confocal")]


def same(images, recorded):
    return all(
        np.array_equal(a, b) for a, (_, (b,)) in zip(images, recorded.scans, strict=True)
    )  # fmt: skip


def test_it_is_an_imspector():
    assert isinstance(Bench([region(1, 1)]).application, Application)


def test_scans_are_answered_bit_for_bit_in_their_order():
    regions = [region(1, 2), region(2, 3, x_um=1.0), region(3, 2, x_um=2.0)]
    bench = Bench(regions)
    for recorded, dwell in zip(regions, (2, 3, 2), strict=True):
        bench.dwell(dwell)
        bench.move(recorded.x_m * 1e6)
        assert same(bench.visit(), recorded)
        assert bench.images.given == Given("own", recorded.number, 0, True, 1)


def test_the_place_is_preferred_then_the_order():
    regions = [region(1, 2, 5.0), region(2, 2, 7.0), region(3, 2, 6.0)]
    bench = Bench(regions)
    bench.dwell(2)
    numbers = []
    for x_um in (6.0, 0.0, 0.0, 7.0):
        bench.move(x_um)
        bench.visit()
        numbers.append((bench.images.given.number, bench.images.given.use))
    # Each once; then again, that of the place first.
    assert numbers == [(3, 1), (1, 1), (2, 1), (2, 2)]


def test_the_nearest_configuration_is_given_and_how_far_it_is():
    bench = Bench([region(1, 2), region(2, 7), region(3, 9, side=16)])
    for dwell, number, distance in ((1, 1, 1), (4, 1, 2), (5, 2, 2), (9, 2, 2)):
        bench.dwell(dwell)
        bench.visit()
        assert (bench.images.given.number, bench.images.given.distance) == (number, distance)


def test_what_is_replayed_comes_before_other_runs():
    bench = Bench([region(1, 5), region(1, 2, source="other"), region(2, 2)])
    bench.dwell(2)
    given = []
    for _ in range(3):
        bench.visit()
        given.append((bench.images.given.source, bench.images.given.use))
    assert given == [("own", 1), ("other", 1), ("own", 2)]


def test_a_visit_that_was_broken_off_begins_anew():
    regions = [region(1, 1), region(2, 1, 1.0)]
    bench = Bench(regions)
    bench.scan("confocal")
    bench.scan("sted")
    bench.move(1.0)
    assert same(bench.visit(), regions[1])


def test_a_place_that_is_imaged_twice():
    regions = [region(1, 1), region(2, 1)]
    bench = Bench(regions)
    assert same(bench.visit(), regions[0])
    assert same(bench.visit(), regions[1])


def test_frames_add_up_to_what_was_recorded():
    bench = Bench([region(1, 1)])
    bench.scan("confocal")
    sted = bench.measurement.configuration("sted")
    sted.set_parameters(
        "Measurement/axes/scan_axes", ["ExpControl X", "ExpControl Y", "ExpControl T", "None"]
    )
    sted.set_parameters("ExpControl/scan/range/t/res", 3)
    bench.scan("sted")
    data = sted.stack(0).data().reshape(-1, SIDE, SIDE)
    assert len(data) == 3
    assert np.array_equal(data.sum(axis=0), image((1, 1)))


def test_overviews_are_found_by_their_place_and_in_turn():
    overviews = [RecordedOverview(x, 0.0, image(i, 4)) for i, x in enumerate((0, 0, 10e-6))]
    bench = Bench([region(1, 1)], overviews)
    for x_um, number in ((10.0, 2), (0.0, 0), (0.0, 1), (0.0, 0)):
        bench.field("overview", 4, x_um)
        assert np.array_equal(bench.scan("overview"), image(number, 4))


@pytest.mark.parametrize(
    ("prepare", "scan", "told"),
    [
        (lambda b: b.field("overview", 4, 3.0), "overview", "no overview of 4 × 4 pixels"),
        (lambda b: b.field("overview", 5), "overview", "no overview of 5 × 5 pixels"),
        (lambda b: b.move(0.0, 9), "confocal", "no image of 9 × 9 pixels"),
        (lambda b: None, "sted", "a sted scan was not recorded here"),
    ],
)
def test_what_was_not_recorded_does_not_begin(prepare, scan, told):
    bench = Bench([region(1, 1)], [RecordedOverview(0.0, 0.0, image(1, 4))])
    prepare(bench)
    bench.measurement.activate(bench.measurement.configuration(scan))
    with pytest.raises(RuntimeError, match=told):
        bench.application.start(bench.measurement)
    assert bench.application.emission_log == []


def test_images_of_another_size_than_the_first_are_refused():
    odd = region(1, 1)
    scans = (odd.scans[0], ("sted", (image(1, 3),)), *odd.scans[2:])
    bench = Bench([RecordedRegion("own", 1, (0,), 0.0, 0.0, scans)])
    bench.scan("confocal")
    bench.measurement.activate(bench.measurement.configuration("sted"))
    with pytest.raises(RuntimeError, match="3 × 3 pixels was recorded, the scan has 8 × 8"):
        bench.application.start(bench.measurement)


@given(st.lists(st.integers(1, 6), min_size=1, max_size=12), st.lists(st.integers(1, 6)))
@settings(deadline=None)
def test_the_rule_by_hand(recorded, asked):
    """Of the nearest configurations the least used is given, and the first of equals."""
    bench = Bench([region(i, dwell) for i, dwell in enumerate(recorded)])
    uses = dict.fromkeys(range(len(recorded)), 0)
    for dwell in asked:
        bench.dwell(dwell)
        nearest = min(abs(r - dwell) for r in recorded)
        expected = min(
            (i for i, r in enumerate(recorded) if abs(r - dwell) == nearest),
            key=lambda i: (uses[i], i),
        )
        uses[expected] += 1
        # The first scan of a region tells which; a region that is not gone on with is left.
        bench.scan("confocal")
        assert (bench.images.given.number, bench.images.given.use) == (expected, uses[expected])


@given(st.integers(1, 9), st.integers(0, 40))
@settings(deadline=None)
def test_turns_are_a_queue_that_begins_again(count, takes):
    turns = Turns(count)
    assert [turns.take() for _ in range(takes)] == [i % count for i in range(takes)]
    assert sum(turns.uses(i) for i in range(count)) == takes
