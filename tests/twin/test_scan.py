"""From parameters to a scan."""

import pytest

from stedopt_bluesky.twin.instrument import LASERS
from stedopt_bluesky.twin.parameters import couple, measurement_parameters
from stedopt_bluesky.twin.scan import plan_scan
from stedopt_bluesky.twin.value_tree import ParameterTree

START = measurement_parameters(LASERS, ["Ch1"])
MEASUREMENT = "ExpControl/measurement"
LASER = f"{MEASUREMENT}/channels/0/lasers"


def plan(changes):
    tree = ParameterTree(START, couple)
    for path, value in changes.items():
        tree.set(path, value)
    return plan_scan(tree.get(""), START, LASERS)


def test_the_scan_of_a_new_measurement():
    scan = plan({})
    assert (scan.x_m, scan.y_m, scan.pixel_size_m, scan.shape) == (0, 0, 2e-8, (500, 500))
    assert (scan.dwelltime_s, scan.line_steps, scan.frames) == (1e-5, 1, 1)
    (channel,) = scan.channels
    assert (channel.name, dict(channel.powers_W)) == ("Ch1", {})
    assert (channel.excitation_W, channel.depletion_W) == (0, 0)


@pytest.mark.parametrize(
    ("changes", "dwelltime_s", "line_steps"),
    [
        ({f"{MEASUREMENT}/pixel_steps/step_duration": [3e-5] * 8}, 3e-5, 1),
        ({f"{MEASUREMENT}/line_steps/step_duration": [4] + [1] * 7}, 1e-5, 4),
        (
            {
                f"{MEASUREMENT}/line_steps/step_duration": [4] + [1] * 7,
                f"{MEASUREMENT}/line_steps/repetitions": 3,
            },
            1e-5,
            12,
        ),
        ({f"{MEASUREMENT}/line_steps/step_active": [True] * 2 + [False] * 6}, 1e-5, 2),
        ({f"{MEASUREMENT}/line_steps": {"active": False, "repetitions": 5}}, 1e-5, 1),
    ],
)
def test_steps(changes, dwelltime_s, line_steps):
    scan = plan(changes)
    assert (scan.dwelltime_s, scan.line_steps) == (pytest.approx(dwelltime_s), line_steps)


def test_powers_at_the_back_aperture():
    scan = plan(
        {
            f"{LASER}/5": {"active": True, "power": {"calibrated": 10.0}},
            f"{LASER}/6": {"active": True, "power": {"calibrated": 25.0}},
            f"{LASER}/4": {"active": False, "power": {"calibrated": 50.0}},
            f"{LASER}/1": {"active": True, "power": {"calibrated": 0.0}},
        }
    )
    assert scan.channels[0].powers_W == pytest.approx({"LAS5": 5e-6, "LAS6": 0.1})
    assert scan.channels[0].excitation_W == pytest.approx(5e-6)
    assert scan.channels[0].depletion_W == pytest.approx(0.1)


def test_the_order_of_a_channels_lasers_does_not_matter():
    tree = ParameterTree(START, couple).get("")
    lasers = tree["ExpControl"]["measurement"]["channels"][0]["lasers"]
    lasers.reverse()
    lasers[0] |= {"active": True, "power": {**lasers[0]["power"], "calibrated": 25.0}}
    scan = plan_scan(tree, START, LASERS)
    assert scan.channels[0].powers_W == pytest.approx({"LAS6": 0.1})


def test_the_first_lines_are_the_upper_part_of_the_field():
    scan = plan({"ExpControl/scan/range/y/off": 1e-6})
    whole = scan.exposure(scan.channels[0], 500)
    part = scan.exposure(scan.channels[0], 100)
    assert (whole.y_m, whole.shape) == (pytest.approx(1e-6), (500, 500))
    assert part.shape == (100, 500)
    # Same upper edge: centre minus half the height.
    assert part.y_m - 50 * 2e-8 == pytest.approx(whole.y_m - 250 * 2e-8)
    assert part.x_m == whole.x_m


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"Measurement/axes/scan_axes": ["ExpControl X", "ExpControl Y", "ExpControl T"] * 1
          + ["ExpControl T"]}, "not simulated"),
        ({"Measurement/axes/scan_axes": ["None"] * 4}, "not simulated"),
        ({"ExpControl/scan/range/x/psz": 2.1e-8}, "square"),
        ({f"{MEASUREMENT}/pixel_steps/step_active": [False] * 8}, "pixel_steps"),
        (
            {
                "Measurement/axes/scan_axes": [
                    "ExpControl X", "ExpControl Y", "None", "ExpControl T",
                ],
                "ExpControl/scan/range/t/res": 10_000,
            },
            "too large",
        ),
    ],
)  # fmt: skip
def test_what_is_not_simulated(changes, match):
    with pytest.raises(RuntimeError, match=match):
        plan(changes)


def test_a_rounded_pixel_size_is_square_enough():
    assert plan({"ExpControl/scan/range/x/psz": 2.000001e-8}).shape == (500, 500)


def test_the_light_of_a_channel_is_detected_as_its_parameters_say():
    (channel,) = plan({}).channels
    assert (channel.detection.low_nm, channel.detection.high_nm) == pytest.approx((650, 720))
    assert channel.detection.gate_s is None
    gated = {f"{MEASUREMENT}/channels/0/gating/active": True, "Pinhole/pinhole_size": 4e-5}
    (channel,) = plan(gated).channels
    assert channel.detection.gate_s == (0.75e-9, 8e-9)
    assert channel.detection.pinhole_m == 4e-5


def test_a_detector_that_there_is_not():
    with pytest.raises(RuntimeError, match="no detector 'DET7'"):
        plan({f"{MEASUREMENT}/channels/0/detsel/detector": "DET7"})


Z = "OlympusIX/scanrange/z"
STAGE = "ExpControl/scan/range/coarse_x/g_off"


@pytest.mark.parametrize(
    ("changes", "defocus_m"),
    [
        ({}, 0.0),
        ({f"{Z}/off": 0.2e-6}, 0.2e-6),
        # The cover glass is tilted by 1 mrad along x: the sample rises by 1 µm per mm.
        ({STAGE: 1.5e-3 + 1e-3}, -1e-6),
        ({STAGE: 1.5e-3 + 1e-3, f"{Z}/z-stabilizer/enabled": True}, 0.0),
        ({STAGE: 1.5e-3 + 1e-3, f"{Z}/z-stabilizer/enabled": True, f"{Z}/off": 1e-7}, 1e-7),
    ],
)
def test_the_stage_leaves_the_focus_and_the_autofocus_keeps_it(changes, defocus_m):
    (channel,) = plan(changes).channels
    assert channel.detection.defocus_m == pytest.approx(defocus_m, abs=1e-12)
