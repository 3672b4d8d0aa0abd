"""The overview of a field, taken once and recorded, and what is laid over it."""

import numpy as np
import pytest
from bluesky import preprocessors as bpp
from bluesky.simulators import check_limits
from bluesky.utils import FailedStatus, RunEngineInterrupted
from ophyd.utils import LimitError

from stedopt_bluesky.acquisition import Region
from stedopt_bluesky.imspector.api import MeasurementSignal
from stedopt_bluesky.plans.survey import BlankOverviewError, survey, take_overview
from stedopt_bluesky.records import RunRecord, find_run

HERE = (0.0, 0.0)


class Laying:
    """Lays one region in the middle, and remembers over what."""

    size_um = 1.28

    def __init__(self):
        self.asked = []

    def __call__(self, overview, pixel_size_nm, stage_um):
        self.asked.append((overview, pixel_size_nm, stage_um))
        return [Region(1.0, -2.0, self.size_um)]

    def too_few(self, found):
        return f"only {found}"


def in_a_run(bench, *plans):
    """A run of nothing but these plans; what each has returned goes into `bench.returned`."""
    station = bench.session.station
    bench.returned = []

    @bpp.stage_decorator([station.overview, station.microscope])
    @bpp.run_decorator()
    def run():
        for plan in plans:
            bench.returned.append((yield from plan))

    return run()


def stored(bench):
    """Overviews as they lie in the file."""
    (start,) = bench.of("start")
    return RunRecord.read(find_run(bench.session.folder, start["uid"])).images("overview_image")


def test_the_overview_is_returned_and_recorded_with_its_place(bench):
    station = bench.session.station
    fields = HERE, (3.0, -1.0)
    bench.engine(in_a_run(bench, *(take_overview(station, at) for at in fields)))

    first, second = bench.returned
    shape = bench.session.instrument.image_shape("overview")
    assert (first.shape, first.dtype) == (shape, np.int16)
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(stored(bench), [first, second])
    places = [(e["data"]["stage_x_um"], e["data"]["stage_y_um"]) for e in bench.events("overview")]
    assert places == [*fields]
    assert bench.exposures("overview") == 2
    assert bench.lasers_are_off()


def test_regions_are_laid_over_the_image_that_was_taken(bench):
    lay = Laying()
    bench.engine(in_a_run(bench, survey(bench.session.station, (3.0, -1.0), lay)))

    ((image, pixel_size_nm, stage_um),) = lay.asked
    np.testing.assert_array_equal(image, stored(bench)[0])
    assert pixel_size_nm == bench.session.config.overview.pixel_size_nm
    assert stage_um == (3.0, -1.0)
    assert bench.returned == [[Region(1.0, -2.0, 1.28)]]


def test_a_plan_that_is_only_looked_at_takes_no_overview_and_lays_nothing(bench):
    lay = Laying()
    check_limits(in_a_run(bench, survey(bench.session.station, HERE, lay)))
    assert bench.returned == [None]
    assert lay.asked == []
    assert bench.documents == []
    assert bench.application.emission_log == []


def test_a_field_out_of_reach_is_refused_before_any_light(bench):
    with pytest.raises(LimitError, match="stage_x_um = 100000 µm"):
        bench.engine(in_a_run(bench, take_overview(bench.session.station, (1e5, 0.0))))
    assert bench.application.emission_log == []
    assert bench.events("overview") == []


def test_an_overview_without_a_difference_between_its_pixels_is_told(make_bench):
    bench = make_bench(expose=lambda exposure, *_: np.zeros(exposure.shape, np.int16))
    lay = Laying()
    with pytest.raises(BlankOverviewError, match="every pixel of the overview has 0 counts"):
        bench.engine(in_a_run(bench, survey(bench.session.station, HERE, lay)))
    assert lay.asked == []
    # Whoever looks for the reason finds the image.
    assert len(bench.events("overview")) == 1
    assert bench.lasers_are_off()


def test_a_scan_that_fails_is_not_taken_again(bench, monkeypatch):
    asked = []

    def refuse(measurement):
        asked.append(measurement)
        raise RuntimeError("AOTF timeout")

    monkeypatch.setattr(bench.application, "start", refuse)
    with pytest.raises(FailedStatus):
        bench.engine(in_a_run(bench, take_overview(bench.session.station, HERE)))
    assert len(asked) == 1
    assert bench.events("overview") == []


def test_an_overview_into_which_the_interlock_opened_is_taken_again(make_bench):
    bench = make_bench(**{"microscope.interlock_path": "Interlock/closed"})
    exposures = []

    def open_at_first():
        exposures.append(None)
        if len(exposures) == 1:
            bench.application.set_interlock(False)

    bench.application.connect_measurement_cb(open_at_first, MeasurementSignal.beg_step)
    with pytest.raises(RunEngineInterrupted):
        bench.engine(in_a_run(bench, take_overview(bench.session.station, HERE)))
    assert bench.events("overview") == []
    assert bench.lasers_are_off()
    bench.application.set_interlock(True)
    bench.engine.resume()

    assert len(exposures) == 2
    assert len(bench.events("overview")) == 1
    (image,) = bench.returned
    assert image.max() > image.min()
