"""Imaging a region: order, images, dose, and dark lasers however it ends."""

import json
import pathlib
import threading

import event_model
import h5py
import numpy as np
import pytest
from bluesky import plan_stubs as bps
from bluesky import preprocessors as bpp
from bluesky.utils import FailedStatus, RunEngineInterrupted
from ophyd.device import RedundantStaging

from stedopt_bluesky.devices import microscope as module
from stedopt_bluesky.devices.laser import Laser
from stedopt_bluesky.devices.microscope import (
    CONFOCAL,
    NO_PIXEL,
    STED,
    Light,
    Microscope,
    deadline_s,
)
from stedopt_bluesky.imspector.api import MeasurementSignal
from stedopt_bluesky.imspector.instrument import Instrument
from stedopt_bluesky.imspector.scan import ScanError
from stedopt_bluesky.records.assets import read_frames
from stedopt_bluesky.session import make_station
from stedopt_bluesky.twin import TwinApplication
from stedopt_bluesky.twin.exposure import LINE_FLYBACK_S

WAIT_S = 20.0  # a bound against hanging
PIXELS = 64 * 64


@pytest.fixture(params=[1, 3], ids=["1 STED image", "3 STED images"])
def images(request):
    return request.param


@pytest.fixture
def several(config, instrument, tmp_path, images):
    """A station that takes one or more STED images."""
    return make_station(
        config.updated({"imaging.sted_images": images}), instrument, tmp_path / "arrays"
    )


@pytest.fixture
def slow(config, sample, laser_lines, tmp_path):
    """A station on a twin that takes real time: the STED image four seconds."""
    application = TwinApplication(sample, real_time=True)
    instrument = Instrument(application, laser_lines, (CONFOCAL, STED, "overview"))
    station = make_station(config, instrument, tmp_path / "arrays")
    station.scanner.dwelltime_us.set(1000.0)
    yield station, instrument
    instrument.application.close(instrument.measurement)


def imaging(microscope, times=1, then=None):
    """Stage, image, record, unstage."""

    @bpp.stage_decorator([microscope])
    @bpp.run_decorator()
    def plan():
        for _ in range(times):
            yield from bps.trigger_and_read([microscope])
        if then is not None:
            yield from then()

    return plan()


def in_scan(instrument, configuration):
    """Event that is set while a configuration is scanned."""
    begun = threading.Event()

    def begin():
        if instrument.measurement.active_configuration().name() == configuration:
            begun.set()

    instrument.application.connect_measurement_cb(begin, MeasurementSignal.beg_step)
    return begun


# --- images -----------------------------------------------------------------------------


def test_confocal_then_sted_then_confocal(several, instrument, run_engine, images):
    several.depletion.set(100.0)
    several.excitation.set(20.0)
    run_engine(imaging(several.microscope))
    shots = {}
    for record in instrument.application._backend.emission_log:
        shots.setdefault(record.start_s, (record.configuration, {}))[1][record.laser] = (
            record.power_W
        )
    confocal = (CONFOCAL, {"LAS5": pytest.approx(5e-6)})
    sted = (STED, {"LAS5": pytest.approx(20e-6), "LAS6": pytest.approx(100e-3)})
    assert [shots[start] for start in sorted(shots)] == [confocal, *[sted] * images, confocal]


def test_one_datum_per_image_and_event(several, run_engine, documents, images):
    microscope = several.microscope
    taken = []

    @bpp.stage_decorator([microscope])
    @bpp.run_decorator()
    def plan():
        for _ in range(2):
            yield from bps.trigger_and_read([microscope])
            taken.append(microscope.images)

    run_engine(plan())
    for name, doc in documents:
        event_model.schema_validators[event_model.DocumentNames[name]].validate(doc)
    events = [doc for name, doc in documents if name == "event"]
    assert [event["data"]["microscope_frame_index"] for event in events] == [0, 1]
    keys = ["microscope_confocal1", *(f"microscope_sted{i + 1}" for i in range(images))]
    keys += ["microscope_confocal2"]
    resources = {doc["data_key"]: doc for name, doc in documents if name == "stream_resource"}
    assert list(resources) == keys
    data = [doc for name, doc in documents if name == "stream_datum"]
    assert len(data) == 2 * len(keys)
    for key, resource in resources.items():
        own = [doc for doc in data if doc["stream_resource"] == resource["uid"]]
        assert [doc["indices"] for doc in own] == [
            {"start": 0, "stop": 1},
            {"start": 1, "stop": 2},
        ]
        with h5py.File(pathlib.Path(resource["uri"].removeprefix("file://localhost"))) as file:
            for n, images_of_event in enumerate(taken):
                image = {
                    keys[0]: images_of_event.confocal1,
                    **dict(zip(keys[1:-1], images_of_event.sted, strict=True)),
                    keys[-1]: images_of_event.confocal2,
                }[key]
                np.testing.assert_array_equal(file[key][n], image)
                assert image.dtype == np.int16
                assert image.max() > 0


def test_no_image_is_inline(station, run_engine, documents):
    run_engine(imaging(station.microscope))
    (event,) = [doc for name, doc in documents if name == "event"]
    assert len(event["data"].pop("microscope_arrays_blake2b")) == 32
    assert {type(value) for value in event["data"].values()} == {int, float}
    (descriptor,) = [doc for name, doc in documents if name == "descriptor"]
    external = {k for k, v in descriptor["data_keys"].items() if v.get("external") == "STREAM:"}
    assert external == {"microscope_confocal1", "microscope_sted1", "microscope_confocal2"}
    assert descriptor["data_keys"]["microscope_sted1"]["shape"] == [64, 64]
    told = descriptor["configuration"]["microscope"]["data"]["microscope_imspector_parameters"]
    assert json.loads(told)["ExpControl"].keys() >= {"scan", "measurement"}


def test_dose_exposure_and_what_the_raters_get(several, config, images, run_engine, documents):
    several.excitation.set(12.0)
    several.depletion.set(150.0)
    several.scanner.dwelltime_us.set(25.0)
    several.scanner.line_steps.set(3)
    run_engine(imaging(several.microscope))
    (event,) = [doc["data"] for name, doc in documents if name == "event"]
    sted_s = images * PIXELS * 25e-6 * 3
    confocal_s = 2 * PIXELS * 10e-6
    assert event["microscope_exposure_s"] == pytest.approx(sted_s + confocal_s)
    # µW × s = µJ and mW × s = mJ.
    assert event["microscope_excitation_dose_uJ"] == pytest.approx(12 * sted_s + 5 * confocal_s)
    assert event["microscope_depletion_dose_mJ"] == pytest.approx(150 * sted_s)
    assert event["microscope_acquisition_s"] > 0
    imaged = several.microscope.images
    assert (imaged.pixel_size_nm, imaged.dwelltime_us, imaged.line_steps) == (20.0, 25.0, 3)
    assert (imaged.excitation_power_uW, imaged.depletion_power_mW) == (12.0, 150.0)
    assert len(imaged.sted) == images


def test_the_dose_is_what_the_lasers_emitted(several, instrument, run_engine, documents):
    """The twin logs power and time by itself, from what was in its parameter tree."""
    several.scanner.line_steps.set(2)
    run_engine(imaging(several.microscope))
    (event,) = [doc["data"] for name, doc in documents if name == "event"]
    energy_J = {"LAS5": 0.0, "LAS6": 0.0}
    exposure_s = {}
    for record in instrument.application._backend.emission_log:
        # Pixels' time: the beam flies back after each of 64 lines and each line step.
        passes = 64 * (2 if record.configuration == STED else 1)
        pixels_s = record.duration_s - passes * LINE_FLYBACK_S
        energy_J[record.laser] += record.power_W * pixels_s
        exposure_s[record.start_s] = pixels_s
    assert event["microscope_excitation_dose_uJ"] == pytest.approx(energy_J["LAS5"] * 1e6)
    assert event["microscope_depletion_dose_mJ"] == pytest.approx(energy_J["LAS6"] * 1e3)
    assert event["microscope_exposure_s"] == pytest.approx(sum(exposure_s.values()))


def test_descriptions_have_units(station, run_engine, documents):
    run_engine(imaging(station.microscope))
    (descriptor,) = [doc for name, doc in documents if name == "descriptor"]
    units = {k: v["units"] for k, v in descriptor["data_keys"].items() if v.get("units")}
    assert units == {
        "microscope_image_pixels": "pixels",
        "microscope_lit_um": "µm",
        "microscope_exposure_s": "s",
        "microscope_acquisition_s": "s",
        "microscope_excitation_dose_uJ": "µJ",
        "microscope_depletion_dose_mJ": "mJ",
    }


def test_the_confocal_images_have_their_own_settings(station, instrument, run_engine):
    """Whatever the configuration held, and whatever the STED image has."""
    instrument.set_value(CONFOCAL, "line_steps", 4)
    instrument.set_value(CONFOCAL, "dwelltime_us", 77.0)
    instrument.set_power(CONFOCAL, "excitation", 30.0)
    station.scanner.line_steps.set(2)
    station.scanner.dwelltime_us.set(50.0)
    run_engine(imaging(station.microscope))
    confocal = [
        r for r in instrument.application._backend.emission_log if r.configuration == CONFOCAL
    ]
    assert [r.duration_s for r in confocal] == pytest.approx(
        [64 * (64 * 10e-6 + LINE_FLYBACK_S)] * 2
    )
    assert [r.power_W for r in confocal] == pytest.approx([5e-6] * 2)


def test_the_devices_may_be_called_something_else(instrument, station, tmp_path):
    """A laser is known to the instrument by its line, not by the device's name."""
    excitation = Laser(
        instrument=instrument,
        line="excitation",
        configuration=STED,
        data_key="excitation_power_uW",
        name="las640",
    )
    excitation.set(10.0)
    microscope = Microscope(
        instrument=instrument,
        lights=[Light(excitation, station.depletion, 5.0)],
        scanner=station.scanner,
        stage=station.stage,
        confocal_dwelltime_us=10.0,
        sted_images=1,
        folder=tmp_path,
        name="sted",
    )
    microscope.stage()
    microscope.trigger().wait(WAIT_S)
    microscope.unstage()
    assert microscope.images.sted[0].max() > 0


# --- dark however it ends ---------------------------------------------------------------


def test_dark_after_unstage(station, instrument, run_engine, all_dark):
    run_engine(imaging(station.microscope, times=2))
    assert all_dark(instrument)


def test_dark_after_an_exception_in_the_plan(station, instrument, run_engine, all_dark):
    def fail():
        yield from bps.null()
        raise ValueError("out of oil")

    with pytest.raises(ValueError, match="out of oil"):
        run_engine(imaging(station.microscope, then=fail))
    assert all_dark(instrument)


def test_dark_after_an_exception_in_a_scan(slow, run_engine, all_dark):
    """The plan fails while the STED laser is on."""
    station, instrument = slow
    in_sted = in_scan(instrument, STED)

    @bpp.stage_decorator([station.microscope])
    def plan():
        yield from bps.trigger(station.microscope, group="image")
        assert in_sted.wait(WAIT_S)
        assert instrument.application._backend.emitting["LAS6"] > 0
        raise ValueError("out of oil")

    with pytest.raises(ValueError, match="out of oil"):
        run_engine(plan())
    assert all_dark(instrument)


def test_dark_after_an_abort_in_a_scan(slow, run_engine, all_dark, documents):
    station, instrument = slow
    in_sted = in_scan(instrument, STED)
    aborted = threading.Thread(
        target=lambda: in_sted.wait(WAIT_S) and run_engine.abort("enough"), daemon=True
    )
    aborted.start()
    with pytest.raises(RunEngineInterrupted):
        run_engine(imaging(station.microscope))
    aborted.join(WAIT_S)
    assert all_dark(instrument)
    assert [doc["exit_status"] for name, doc in documents if name == "stop"] == ["abort"]
    log = instrument.application._backend.emission_log
    assert log[-1].configuration == STED
    assert log[-1].duration_s < 3.0


@pytest.mark.parametrize("_attempt", range(10))
def test_dark_when_it_is_unstaged_right_after_the_trigger(station, instrument, all_dark, _attempt):
    """The acquisition sets the powers in its thread, perhaps after the lasers were zeroed."""
    station.microscope.stage()
    status = station.microscope.trigger()
    station.microscope.unstage()
    assert all_dark(instrument)
    assert status.done


def test_the_deadline_ends_the_plan(station, instrument, run_engine, all_dark, monkeypatch):
    monkeypatch.setattr(module, "_DEADLINE_MARGIN_S", 0.05)
    monkeypatch.setattr(module, "_DEADLINE_FACTOR", 0.0)
    monkeypatch.setattr(instrument.application, "connect_measurement_cb", lambda cb, to: True)
    with pytest.raises(FailedStatus) as failed:
        run_engine(imaging(station.microscope))
    assert isinstance(failed.value.__cause__, ScanError)
    assert "confocal scan: Imspector did not report its end within 0.05 s" in str(
        failed.value.__cause__
    )
    assert all_dark(instrument)


def test_an_image_that_takes_too_long_is_not_begun(config, instrument, tmp_path, run_engine):
    limited = config.updated({"limits.sted_image_s": 0.5})
    station = make_station(limited, instrument, tmp_path / "limited")
    station.scanner.dwelltime_us.put(1000.0)
    with pytest.raises(FailedStatus) as failed:
        run_engine(imaging(station.microscope))
    # 64² pixels.
    assert "a STED image of 4.1 s: at most 0.5 s is allowed" in str(failed.value.__cause__)
    assert instrument.application._backend.emission_log == []


def test_the_deadline_grows_with_the_scan():
    assert deadline_s(0.2) == pytest.approx(10 + 3 * 0.2)


# --- staging ----------------------------------------------------------------------------


def test_staging_twice_is_refused_and_does_no_harm(station, tmp_path):
    microscope = station.microscope
    microscope.stage()
    microscope.trigger().wait(WAIT_S)
    with pytest.raises(RedundantStaging):
        microscope.stage()
    assert len(list(tmp_path.rglob("*.h5"))) == 1
    assert len(list(microscope.collect_asset_docs())) == 6
    microscope.unstage()


def test_a_stage_that_fails_leaves_the_microscope_dark_and_ready(
    config, instrument, tmp_path, all_dark
):
    folder = tmp_path / "arrays"
    folder.write_text("a file where a folder should be")
    station = make_station(config, instrument, folder)
    with pytest.raises(OSError, match="arrays"):
        station.microscope.stage()
    assert all_dark(instrument)
    folder.unlink()
    station.microscope.stage()
    station.microscope.trigger().wait(WAIT_S)
    station.microscope.unstage()


def test_unstaging_does_everything_also_when_the_lasers_are_refused(
    station, instrument, monkeypatch, tmp_path
):
    microscope = station.microscope
    microscope.stage()
    microscope.trigger().wait(WAIT_S)
    disconnected = []
    disconnect = instrument.application.disconnect_measurement_cb
    monkeypatch.setattr(
        instrument.application,
        "disconnect_measurement_cb",
        lambda cb, _from: disconnected.append(disconnect(cb, _from)),
    )

    def refuse():
        raise RuntimeError("lasers may be on")

    with monkeypatch.context() as patch:
        patch.setattr(instrument, "lasers_off", refuse)
        with pytest.raises(RuntimeError, match="lasers may be on"):
            microscope.unstage()
    assert disconnected == [True, True]  # of the end and of the steps
    (path,) = tmp_path.rglob("*.h5")
    with h5py.File(path, "a"):  # nobody has it open
        pass
    microscope.stage()
    microscope.unstage()


def test_triggering_needs_a_stage(station, instrument):
    for _ in range(2):
        with pytest.raises(RuntimeError, match="microscope is not staged"):
            station.microscope.trigger()
        station.microscope.stage()
        station.microscope.unstage()
    assert instrument.application._backend.emission_log == []


def test_unstaging_what_is_not_staged_does_nothing(station, instrument, all_dark):
    station.microscope.unstage()
    station.microscope.unstage()
    assert all_dark(instrument)


def test_images_of_an_earlier_run_are_forgotten(station):
    microscope = station.microscope
    microscope.stage()
    microscope.trigger().wait(WAIT_S)
    microscope.unstage()
    assert microscope.images is not None
    microscope.stage()
    assert microscope.images is None
    microscope.unstage()


def test_images_of_the_region_before_are_not_those_of_one_that_failed(station, instrument):
    microscope = station.microscope
    microscope.stage()
    microscope.trigger().wait(WAIT_S)
    instrument.configuration(STED).set_parameters("ExpControl/scan/range/scanmode", "xz")
    with pytest.raises(ScanError, match="cannot be started"):
        microscope.trigger().wait(WAIT_S)
    assert microscope.images is None
    microscope.unstage()


def test_a_field_that_changes_during_a_run_is_refused(station, run_engine, application):
    """HDF5 knows one shape per file."""
    microscope = station.microscope

    @bpp.stage_decorator([microscope])
    @bpp.run_decorator()
    def plan():
        yield from bps.trigger_and_read([microscope])
        yield from bps.mv(station.scanner.size_um, 2.56)
        yield from bps.trigger_and_read([microscope])

    with pytest.raises(FailedStatus) as failed:
        run_engine(plan())
    assert str(failed.value.__cause__) == (
        "confocal image of 128 × 128 pixels: 64 × 64 in this run"
    )
    # Before any light: there are the first region's confocal images only.
    assert [r.configuration for r in application.emission_log].count(CONFOCAL) == 2


def test_frames_are_summed_and_count_as_light(several, config, images, run_engine, documents):
    several.scanner.frames.set(4)
    several.depletion.set(150.0)
    run_engine(imaging(several.microscope))
    (event,) = [doc["data"] for name, doc in documents if name == "event"]
    sted_s = images * PIXELS * config.imaging.dwelltime_us * 1e-6 * 4
    assert event["microscope_depletion_dose_mJ"] == pytest.approx(150 * sted_s)
    imaged = several.microscope.images
    assert imaged.frames == 4
    assert imaged.sted[0].shape == imaged.confocal1.shape


def test_an_image_smaller_than_the_largest_lies_in_a_corner(
    station, run_engine, documents, tmp_path
):
    """Sizes change from image to image; the file's arrays have room for the largest one."""
    scanner, microscope = station.scanner, station.microscope
    scanner.most_pixels = 64
    sizes = [(1.28, 20.0), (0.64, 20.0), (1.28, 80.0)]

    @bpp.stage_decorator([microscope])
    @bpp.run_decorator()
    def plan():
        for size_um, pixel_size_nm in sizes:
            yield from bps.mv(scanner.size_um, size_um, scanner.pixel_size_nm, pixel_size_nm)
            yield from bps.trigger_and_read([microscope, scanner])
            taken.append(microscope.images)

    taken = []
    run_engine(plan())
    events = [doc["data"] for name, doc in documents if name == "event"]
    assert [e["microscope_image_pixels"] for e in events] == [64, 32, 16]
    assert [images.pixel_size_nm for images in taken] == [20.0, 20.0, 80.0]
    (resource,) = [
        doc
        for name, doc in documents
        if name == "stream_resource" and doc["data_key"] == "microscope_sted1"
    ]
    stored = read_frames(resource, range(3))
    for array, images in zip(stored, taken, strict=True):
        pixels = len(images.sted[0])
        assert array.shape == (64, 64)
        np.testing.assert_array_equal(array[:pixels, :pixels], images.sted[0])
        assert (array[pixels:] == NO_PIXEL).all()
        assert (array[:, pixels:] == NO_PIXEL).all()


@pytest.mark.parametrize(
    ("configuration", "name", "value", "says"),
    [
        (STED, "dwelltime_us", 40.0, "sted scan: dwelltime_us is 40 in Imspector, 20 was set"),
        (STED, "line_steps", 2, "sted scan: line_steps is 2 in Imspector, 1 was set"),
        (STED, "frames", 7, "sted scan: frames is 7 in Imspector, 1 was set"),
        (CONFOCAL, "frames", 2, "confocal scan: frames is 2 in Imspector, 1 was set"),
        (CONFOCAL, "dwelltime_us", 99.0, "confocal scan: dwelltime_us is 99 in Imspector"),
    ],
)
def test_what_was_changed_in_imspectors_window_gets_no_light(
    station, application, configuration, name, value, says
):
    station.scanner.dwelltime_us.set(20.0)
    station.microscope.stage()
    try:
        if name == "frames":
            station.microscope._instrument.set_frames(configuration, value)
        else:
            station.microscope._instrument.set_value(configuration, name, value)
        with pytest.raises(ValueError, match=says):
            station.microscope.trigger().wait(WAIT_S)
    finally:
        station.microscope.unstage()
    assert application.emission_log == []


def test_images_of_a_region_that_differ_in_size_get_no_light(station, application):
    station.scanner.most_pixels = 64
    station.microscope.stage()
    try:
        station.microscope._instrument.set_field(STED, 0.64, 20.0)
        with pytest.raises(
            ValueError, match=r"image of .* pixels: 64 × 64 for this region in this"
        ):
            station.microscope.trigger().wait(WAIT_S)
    finally:
        station.microscope.unstage()
    assert application.emission_log == []


def test_light_counts_in_the_sample_wherever_positions_count_from(station, run_engine):
    """The stage stands still; its positions count from elsewhere for a run that is gone on with."""
    budget, stage, x_um = station.microscope.budget, station.stage, station.scanner.x_um
    x_um.set(2.0)
    station.scanner.y_um.set(0.0)
    run_engine(imaging(station.microscope))
    once_mJ = budget._before((2.0, 0.0), 1.0)
    assert once_mJ > 0
    here_um = stage.origin_um
    stage.count_from((here_um[0] - 30.0, here_um[1] + 4.0))
    assert (stage.stage_x_um.get(), stage.stage_y_um.get()) == (30.0, -4.0)
    run_engine(imaging(station.microscope))
    assert budget._before((2.0, 0.0), 1.0) == pytest.approx(2 * once_mJ)


def test_an_exposure_is_not_rewound(station):
    assert station.microscope.rewindable.get() is False
    assert station.microscope.rewindable.name not in station.microscope.read()
