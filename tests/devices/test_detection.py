"""How a channel detects."""

import pytest

from stedopt_bluesky.devices.detection import Detection, Pinhole, Rescue
from stedopt_bluesky.devices.microscope import CONFOCAL, STED
from stedopt_bluesky.imspector.instrument import Instrument
from stedopt_bluesky.twin import TwinApplication

CHANNELS = "ExpControl/measurement/channels"


@pytest.fixture
def two_channels(sample, laser_lines):
    application = TwinApplication(sample, channels=("red", "orange"))
    return Instrument(application, laser_lines, (CONFOCAL, STED), channels=2)


@pytest.fixture
def detection(two_channels):
    return Detection(
        instrument=two_channels,
        configurations=(STED,),
        channel=1,
        prefix="orange_",
        name="orange_detection",
    )


def channels(instrument, configuration):
    return instrument.configuration(configuration).parameters(CHANNELS)


def test_settings_are_those_of_the_channel(detection, two_channels):
    detection.spectral_min_nm.put(580.0)
    detection.spectral_max_nm.put(630.0)
    first, second = channels(two_channels, STED)
    assert second["detsel"]["spectral_range"]["min"] == pytest.approx(580e-9)
    assert second["detsel"]["spectral_range"]["max"] == pytest.approx(630e-9)
    assert first["detsel"]["spectral_range"]["min"] == 650e-9
    assert detection.spectral_min_nm.name == "orange_spectral_min_nm"


@pytest.mark.parametrize(
    ("setting", "key"), [("gate_delay_ns", "delay"), ("gate_width_ns", "width")]
)
def test_a_gate_that_is_set_is_on(detection, two_channels, setting, key):
    getattr(detection, setting).put(1.5)
    first, second = channels(two_channels, STED)
    assert second["gating"][key] == pytest.approx(1.5e-9)
    assert second["gating"]["active"] is True
    assert first["gating"]["active"] is False
    # The confocal images, which are the reference, stay as they are.
    assert not any(channel["gating"]["active"] for channel in channels(two_channels, CONFOCAL))


def test_what_is_fixed_is_so_in_the_other_images_too(detection, two_channels):
    detection.fix({"gate_delay_ns": 1.5, "spectral_min_nm": 580.0}, also=(CONFOCAL,))
    detection.use_detector("DET2", also=(CONFOCAL,))
    for configuration in (CONFOCAL, STED):
        first, second = channels(two_channels, configuration)
        assert second["gating"]["active"] is True
        assert second["gating"]["delay"] == pytest.approx(1.5e-9)
        assert second["detsel"]["spectral_range"]["min"] == pytest.approx(580e-9)
        assert second["detsel"]["detector"] == "DET2"
        assert first["gating"]["active"] is False
    # What is set afterwards is set where it may change.
    detection.gate_delay_ns.put(2.0)
    delays = [channels(two_channels, name)[1]["gating"]["delay"] for name in (CONFOCAL, STED)]
    assert delays == pytest.approx([1.5e-9, 2e-9])


def test_the_band_alone_switches_no_gate_on(detection, two_channels):
    detection.spectral_min_nm.put(580.0)
    assert channels(two_channels, STED)[1]["gating"]["active"] is False


def test_the_detector_is_chosen_by_its_name(detection, two_channels):
    detection.use_detector("DET2")
    assert [c["detsel"]["detector"] for c in channels(two_channels, STED)] == ["DET0", "DET2"]


def test_pinhole_and_rescue(two_channels):
    where = {"instrument": two_channels, "configurations": (STED,)}
    Pinhole(**where, name="pinhole").pinhole_um.put(40.0)
    assert two_channels.value(STED, "pinhole_um") == pytest.approx(40.0)
    rescue = Rescue(**where, name="rescue")
    rescue.rescue_mode.put(4)
    rescue.rescue_signal_level.put(20.0)
    assert two_channels.value(STED, "rescue_mode") == 4
    assert two_channels.value(STED, "rescue_signal_level") == 20.0
