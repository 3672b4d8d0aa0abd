"""The microscope that uncages: frames, pulse and frames between two STED images; duty checks."""

import dataclasses

import numpy as np
import pytest
from ophyd.utils import LimitError

from stedopt_bluesky.acquisition import Region, Spine
from stedopt_bluesky.config import preset
from stedopt_bluesky.devices.light_budget import LightLimitError
from stedopt_bluesky.devices.overview import OVERVIEW
from stedopt_bluesky.devices.uncaging import CALCIUM, UNCAGING, PulseRefusedError
from stedopt_bluesky.session import connect_application, make_instrument, make_station
from stedopt_bluesky.twin.calcium import DECAY_S
from stedopt_bluesky.twin.fluorophores import FLUOROPHORES
from stedopt_bluesky.twin.specimens import dendrites_with_indicator

SMALL = {
    "seed": 4,
    "microscope.field_um": 24.0,
    "overview.size_um": 24.0,
    "uncaging.cells": 1,
    "imaging.region_size_um": 1.0,
    "calcium.baseline_frames": 3,
    "calcium.response_frames": 4,
}
WAIT_S = 30.0


@pytest.fixture(scope="module")
def config():
    return preset("uncaging").updated(SMALL)


@pytest.fixture
def application(config):
    return connect_application(config)


@pytest.fixture
def instrument(config, application):
    instrument = make_instrument(config, application)
    yield instrument
    instrument.close()


@pytest.fixture
def station(config, instrument, tmp_path):
    return make_station(config, instrument, tmp_path / "arrays")


@pytest.fixture
def spine(config):
    """A spine of the twin's, with an axis that is free."""
    _, indicator = dendrites_with_indicator(config.seed, 24e-6, 1, FLUOROPHORES["STAR635P"])
    true = indicator.activity.dendrites.spines[8]
    return Spine(
        true.x_m * 1e6, true.y_m * 1e6, config.imaging.region_size_um, true.axis_x, true.axis_y, 3.0
    )


def at(station, spine, power_uW=20.0, distance_um=0.5):
    for setting, value in station.place(spine):
        setting.put(value)
    station.spot.power.put(power_uW)
    station.spot.distance_um.put(distance_um)


def trigger(station):
    station.microscope.stage()
    try:
        station.microscope.trigger().wait(WAIT_S)
        return {key: r["value"] for key, r in station.microscope.read().items()}
    finally:
        station.microscope.unstage()


def scanned(application):
    """Configurations in the order of scanning, each once in a row."""
    names = [record.configuration for record in application.emission_log]
    return [n for i, n in enumerate(names) if i == 0 or names[i - 1] != n]


def test_the_pulse_is_between_the_frames_and_these_between_the_sted_images(
    station, application, spine
):
    at(station, spine)
    trigger(station)

    order = ["confocal", "sted", CALCIUM, UNCAGING, CALCIUM, "sted", "confocal"]
    assert scanned(application) == order
    images = station.microscope.images
    assert len(images.sted) == 2
    assert images.calcium.baseline.shape == (3, 120, 120)
    assert images.calcium.response.shape == (4, 120, 120)


def test_the_pulse_has_its_power_time_and_place(station, application, spine):
    at(station, spine, 33.0, 1.5)
    read = trigger(station)

    (pulse,) = [r for r in application.emission_log if r.laser == "LAS0"]
    assert (pulse.configuration, pulse.power_W) == (UNCAGING, pytest.approx(33e-6))
    assert pulse.duration_s == pytest.approx(0.03, abs=5e-4)
    assert read["microscope_uncaging_energy_uJ"] == pytest.approx(0.99)
    response = application_activity(application).responses[0]
    assert response.calcium_nM.max() > 0
    parameters = station.microscope._instrument.parameters(UNCAGING)
    scan = parameters["ExpControl"]["scan"]["range"]
    for axis, head, along in (("x", spine.x_um, spine.axis_x), ("y", spine.y_um, spine.axis_y)):
        assert scan[axis]["off"] == pytest.approx((head + 1.5 * along) * 1e-6)


def application_activity(application):
    return application._bench.labels[1].activity


def test_frames_come_four_a_second(station, application, spine):
    at(station, spine)
    trigger(station)

    frames = [r for r in application.emission_log if r.configuration == CALCIUM]
    assert len(frames) == 7
    assert [r.duration_s for r in frames] == pytest.approx([0.25] * 7, rel=1e-6)
    assert {r.laser for r in frames} == {"LAS1"}


def test_a_strong_pulse_is_seen_in_the_frames(station, spine):
    at(station, spine, 42.0, 0.5)
    trigger(station)

    frames = station.microscope.images.calcium
    middle = np.s_[:, 40:80, 40:80]
    before, after = frames.baseline[middle].mean(), frames.response[middle].mean(axis=(1, 2))
    assert after[:2].mean() > 2 * before
    # It decays from the second frame on.
    assert after[3] < after[1]
    assert (after[3] - before) / (after[1] - before) > np.exp(-0.5 / DECAY_S) / 2


def test_the_lasers_are_off_afterwards_and_the_405_nm_one_after_the_pulse(
    station, instrument, application, spine
):
    at(station, spine)
    trigger(station)

    assert not any(application.emitting.values())
    for configuration in (CALCIUM, UNCAGING, "sted", "confocal"):
        for laser in instrument.lasers:
            assert instrument.power(configuration, laser) == 0


# --- refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "distance_um", "message"),
    [
        ({"free_um": 1.0}, 1.5, r"1.5 µm from the head: the axis is free up to 1 µm"),
        ({}, 3.5, r"3.5 µm from the head: the axis is free up to 3 µm; beyond may be a dendrite"),
        ({"x_um": 11.0, "axis_x": 1.0, "axis_y": 0.0}, 2.0, r"at \(13, .*the field ends 12 µm"),
    ],
    ids=["dendrite", "too far", "outside"],
)
def test_a_spot_that_is_not_known_to_be_free_is_refused_before_any_light(
    station, application, spine, change, distance_um, message
):
    at(station, dataclasses.replace(spine, **change), 20.0, distance_um)
    with pytest.raises(PulseRefusedError, match=message):
        trigger(station)
    assert application.emission_log == []


def test_a_pulse_of_too_much_energy_is_refused(config, instrument, application, spine, tmp_path):
    station = make_station(config, instrument, tmp_path)
    station.microscope._pulse_settings = dataclasses.replace(
        station.microscope._pulse_settings, energy_limit_uJ=0.5
    )
    at(station, spine, 20.0)
    with pytest.raises(LightLimitError, match=r"a pulse of 0.6 µJ: at most 0.5 µJ"):
        trigger(station)
    assert application.emission_log == []


def test_a_spot_that_was_never_set_is_refused(station, application):
    with pytest.raises(PulseRefusedError, match="nan"):
        trigger(station)
    assert application.emission_log == []


def test_power_and_distance_have_limits(station):
    with pytest.raises(LimitError, match=r"uncaging_power_uW = 42\.1 µW: 0 to 42 µW"):
        station.spot.power.put(42.1)
    with pytest.raises(LimitError, match=r"uncaging_distance_um = 0\.2 µm: 0\.3 to 5 µm"):
        station.spot.distance_um.put(0.2)


def test_a_region_that_is_no_spine_is_refused(station):
    with pytest.raises(ValueError, match=r"region at \(1, 2\) µm: only spines are uncaged"):
        station.place(Region(1.0, 2.0, 1.0))


def test_the_light_of_frames_and_pulse_is_reckoned(config, station, spine):
    at(station, spine, 20.0)
    read = trigger(station)

    calcium, imaging = config.calcium, config.imaging
    frames_s = 7 * 120**2 * calcium.dwelltime_us * 1e-6
    confocal_s = 2 * imaging.pixels**2 * imaging.confocal_dwelltime_us * 1e-6
    sted_s = 2 * imaging.pixels**2 * imaging.dwelltime_us * 1e-6
    assert read["microscope_exposure_s"] == pytest.approx(frames_s + confocal_s + sted_s + 0.03)
    dose = (
        calcium.power_uW * frames_s
        + imaging.confocal_excitation_power_uW * confocal_s
        + imaging.excitation_power_uW * sted_s
        + 0.6
    )
    assert read["microscope_excitation_dose_uJ"] == pytest.approx(dose)


@pytest.mark.parametrize("distance_um", [1.0, 5.0])
def test_frames_and_pulse_count_where_they_fall(config, station, spine, distance_um):
    """The STED images are 1 µm wide, the frames 9.6, and the spot may lie farther still."""
    far = dataclasses.replace(spine, free_um=6.0)
    at(station, far, 20.0)
    station.spot.distance_um.put(distance_um)
    read = trigger(station)
    lit_um = max(config.calcium.size_um, 2 * distance_um + 0.1)
    assert config.imaging.region_size_um < read["microscope_lit_um"] == pytest.approx(lit_um)
    dose_mJ = read["microscope_excitation_dose_uJ"] * 1e-3 + read["microscope_depletion_dose_mJ"]
    budget = station.microscope.budget
    # Beside it, with frames that overlap: the same place.
    beside_um = (spine.x_um + lit_um * 0.9, spine.y_um)
    assert budget._before(beside_um, lit_um) == pytest.approx(dose_mJ)
    assert budget._before((spine.x_um + lit_um * 1.1, spine.y_um), lit_um) == 0.0


def test_frames_of_another_size_get_no_light(station, instrument, spine, application):
    at(station, spine)
    station.microscope.stage()
    try:
        instrument.set_field(CALCIUM, 4.8, 80.0)
        with pytest.raises(ValueError, match="calcium image of 60 × 60 pixels: 120 × 120 in this"):
            station.microscope.trigger().wait(WAIT_S)
    finally:
        station.microscope.unstage()
    assert application.emission_log == []


def test_what_was_uncaged_is_stored_without_asking_imspector_again(
    station, instrument, spine, monkeypatch
):
    """The pulse cannot be taken back: a connection lost after it costs nothing."""
    at(station, spine)
    microscope, expose = station.microscope, station.microscope._expose

    def lost(*_, **__):
        raise RuntimeError("Connection refused")

    def exposing():
        images = expose()
        for name in ("image_shape", "value", "frames"):
            monkeypatch.setattr(instrument, name, lost)
        return images

    monkeypatch.setattr(microscope, "_expose", exposing)
    microscope.stage()
    try:
        microscope.trigger().wait(WAIT_S)
        assert microscope.images.calcium is not None
        assert list(microscope.collect_asset_docs())
    finally:
        monkeypatch.undo()
        microscope.unstage()


def test_what_is_stored_is_described(station, spine):
    at(station, spine)
    station.microscope.stage()
    try:
        described = station.microscope.describe()
    finally:
        station.microscope.unstage()
    assert described["microscope_baseline"]["shape"] == [3, 120, 120]
    assert described["microscope_response"]["shape"] == [4, 120, 120]
    assert described["microscope_uncaging_energy_uJ"]["units"] == "µJ"
    spot = station.spot.describe()
    assert spot["uncaging_distance_um"]["units"] == "µm"


def test_a_scan_that_is_stopped_before_the_pulse_gives_none(
    station, instrument, application, spine, monkeypatch
):
    at(station, spine)
    scans = station.microscope._scans
    acquire = scans.acquire_frames

    def stopped(configuration, deadline_s):
        frames = acquire(configuration, deadline_s)
        if configuration == CALCIUM:
            scans.stop()
        return frames

    monkeypatch.setattr(scans, "acquire_frames", stopped)
    trigger(station)

    assert station.microscope.images is None
    assert scanned(application) == ["confocal", "sted", CALCIUM]
    assert instrument.power(UNCAGING, "uncaging") == 0


def test_a_pulse_that_fails_leaves_its_laser_off(station, instrument, spine, monkeypatch):
    at(station, spine)
    scans = station.microscope._scans
    acquire = scans.acquire

    def failing(configuration, deadline_s, frames=1):
        if configuration == UNCAGING:
            assert instrument.power(UNCAGING, "uncaging") == pytest.approx(20.0)
            raise RuntimeError("no image")
        return acquire(configuration, deadline_s, frames)

    monkeypatch.setattr(scans, "acquire", failing)
    station.microscope.stage()
    try:
        with pytest.raises(RuntimeError, match="no image"):
            station.microscope.trigger().wait(WAIT_S)
        assert instrument.power(UNCAGING, "uncaging") == 0
    finally:
        station.microscope.unstage()


def test_after_a_pause_no_pulse_is_given(station, spine, application):
    """The RunEngine pauses the microscope while the images before the pulse are taken."""
    at(station, spine)
    microscope = station.microscope
    microscope.stage()
    shoot, shots = microscope._shoot, []

    def pausing(shot, configuration):
        shots.append(shot)
        if len(shots) == 2:
            microscope.pause()
        return shoot(shot, configuration)

    microscope._shoot = pausing
    microscope.trigger().wait(WAIT_S)
    assert microscope.images is None
    assert not [r for r in application.emission_log if r.laser == "LAS0"]
    # The next exposure is another one.
    microscope._shoot = shoot
    microscope.trigger().wait(WAIT_S)
    microscope.unstage()
    assert microscope.images.calcium is not None
    assert len([r for r in application.emission_log if r.laser == "LAS0"]) == 1


def test_the_first_channels_band_is_not_the_indicators(config, application, tmp_path):
    banded = config.updated(
        {"detection.spectral_min_nm": 650.0, "detection.spectral_max_nm": 720.0}
    )
    instrument = make_instrument(banded, application)
    make_station(banded, instrument, tmp_path / "arrays")
    for configuration in (OVERVIEW, CALCIUM):
        assert instrument.value(configuration, "spectral_min_nm") == 500.0
    assert instrument.value("sted", "spectral_min_nm") == 650.0
    instrument.close()
