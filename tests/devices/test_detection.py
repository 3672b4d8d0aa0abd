"""How a channel detects."""

import pytest
from ophyd.utils import LimitError

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


def test_the_pinhole(two_channels):
    where = {"instrument": two_channels, "configurations": (STED,)}
    Pinhole(**where, name="pinhole").pinhole_um.put(40.0)
    assert two_channels.value(STED, "pinhole_um") == pytest.approx(40.0)


@pytest.fixture
def rescue(two_channels):
    return Rescue(
        instrument=two_channels,
        configurations=(STED,),
        channel=1,
        prefix="orange_",
        name="orange_rescue",
    )


@pytest.mark.parametrize(
    ("setting", "value", "key", "expected"),
    [
        ("mode", 4, "rescue_mode", 4),
        ("probe_mode", 2, "probe_mode", 2),
        ("signal_level", 20.0, "signal_level", 20.0),
        ("strength", 5.0, "strength", 5.0),
        ("lower_thresholds", 3, "LTh_num_times", 3),
        ("lower_threshold_1", 2, "LTh_thresholds", [2, 0, 0, 0]),
        ("lower_threshold_2", 5, "LTh_thresholds", [0, 5, 0, 0]),
        ("lower_threshold_3", 7, "LTh_thresholds", [0, 0, 7, 0]),
        ("lower_threshold_4", 9, "LTh_thresholds", [0, 0, 0, 9]),
        ("lower_time_percent_1", 2.5, "LTh_times", [2.5, 0.0, 0.0, 0.0]),
        ("lower_time_percent_2", 5.0, "LTh_times", [0.0, 5.0, 0.0, 0.0]),
        ("lower_time_percent_3", 7.0, "LTh_times", [0.0, 0.0, 7.0, 0.0]),
        ("lower_time_percent_4", 99.9, "LTh_times", [0.0, 0.0, 0.0, 99.9]),
        ("upper_threshold", 30, "UTh_threshold", 30),
    ],
)
def test_rescue_is_that_of_the_channel(rescue, two_channels, setting, value, key, expected):
    first, before = (channel["rescue"] for channel in channels(two_channels, STED))
    signal = getattr(rescue, f"rescue_{setting}")
    assert signal.name == f"orange_rescue_{setting}"
    signal.put(value)
    automatic = {
        "LTh_auto": not setting.startswith("lower_"),
        "UTh_auto": not setting.startswith("upper_"),
    }
    after = [channel["rescue"] for channel in channels(two_channels, STED)]
    assert after == [first, before | automatic | {key: expected}]
    assert type(signal.get()) is type(value)


def test_settings_of_rescue_begin_as_imspector_has_them(two_channels):
    path = f"{CHANNELS}/0/rescue/LTh_times"
    two_channels.configuration(STED).set_parameters(path, [21.9, 29.3, 53.1, 86.8])
    rescue = Rescue(instrument=two_channels, configurations=(STED,), name="rescue")
    assert rescue.rescue_lower_time_percent_3.get() == 53.1
    # What is read is not written.
    assert channels(two_channels, STED)[0]["rescue"]["LTh_auto"] is True


@pytest.mark.parametrize(
    ("setting", "value", "says"),
    [
        ("lower_thresholds", 5, "= 5: a whole number from 0 to 4"),
        ("lower_threshold_2", 1.5, "= 1.5 counts: a whole number from 1 to 65535 counts"),
        ("lower_time_percent_1", 100.1, "= 100.1 %: 0.1 to 99.9 %"),
        ("upper_threshold", -1, "= -1 counts"),
    ],
)
def test_nothing_is_written_outside_rescues_limits(rescue, two_channels, setting, value, says):
    before = channels(two_channels, STED)
    with pytest.raises(LimitError, match=f"orange_rescue_{setting} {says}"):
        getattr(rescue, f"rescue_{setting}").put(value)
    assert channels(two_channels, STED) == before


@pytest.mark.parametrize("followed", ["signal_level", "strength"])
def test_lower_thresholds_are_read_back_when_imspector_sets_them_anew(
    rescue, two_channels, followed
):
    """Imspector makes them of signal level and strength; what it has made is what is told."""
    rescue.rescue_lower_thresholds.put(2)
    rescue.rescue_lower_threshold_1.put(7)
    path = f"{CHANNELS}/1/rescue"
    made = {
        "LTh_num_times": 4,
        "LTh_thresholds": [1, 2, 5, 10],
        "LTh_times": [21.9, 29.3, 53.1, 86.8],
    }
    # In Imspector's place, which does so by itself: the twin leaves its tree as it is.
    for name, value in made.items():
        two_channels.configuration(STED).set_parameters(f"{path}/{name}", value)
    assert rescue.rescue_lower_threshold_1.get() == 7

    getattr(rescue, f"rescue_{followed}").put(20.0)

    held = channels(two_channels, STED)[1]["rescue"]
    assert held["LTh_auto"] is True
    assert {name: held[name] for name in made} == made
    assert rescue.rescue_lower_thresholds.get() == held["LTh_num_times"]
    for k in range(4):
        threshold = getattr(rescue, f"rescue_lower_threshold_{k + 1}")
        time_percent = getattr(rescue, f"rescue_lower_time_percent_{k + 1}")
        assert threshold.get() == held["LTh_thresholds"][k]
        assert time_percent.get() == pytest.approx(held["LTh_times"][k])
