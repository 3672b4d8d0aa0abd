"""Sections [uncaging] and [calcium]: what goes together, and one line for what does not."""

import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from stedopt_bluesky.config import ConfigError, load_config, parse_config, preset
from stedopt_bluesky.config.checks import MOST_PIXELS_OF_A_SCAN
from stedopt_bluesky.config.files import commented_toml
from stedopt_bluesky.config.places import SpineConfig
from stedopt_bluesky.config.spines_file import read_spines
from stedopt_bluesky.session.places import spines_of


@pytest.fixture(scope="module")
def config():
    return preset("uncaging")


def test_the_preset_is_the_papers_experiment(config):
    power, distance = config.space

    assert (power.values[0], power.values[-1]) == (7.3, 42.0)
    assert (distance.values[0], distance.values[-1]) == (0.5, 3.0)
    assert config.uncaging.pulse_ms == 30
    assert (config.calcium.baseline_frames, config.calcium.response_frames) == (25, 75)
    assert config.images == 80


def test_frames_follow_one_another_at_the_frame_rate(config):
    calcium = config.calcium
    line_s = (calcium.pixels * calcium.dwelltime_us + calcium.line_overhead_us) * 1e-6

    assert line_s * calcium.pixels == pytest.approx(1 / calcium.frame_rate_Hz)
    # The head in the middle of a tile.
    assert calcium.pixels % 8 == 0
    assert calcium.pixels // 8 % 2 == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"uncaging.enabled": False}, "uncaging.enabled = false: true with parameter uncaging_po"),
        ({"imaging.sted_images": 1}, "imaging.sted_images = 1: 2 with uncaging.enabled"),
        ({"uncaging.laser": 5}, "uncaging.laser = 5: another one than excitation.laser"),
        ({"calcium.laser": 0}, "uncaging.laser = 0: another one than calcium.laser"),
        (
            {"uncaging.power_limit_uW": 30.0},
            r"parameters.0.high \(uncaging_power_uW\) = 42: at most 30 µW",
        ),
        ({"uncaging.power_uW": 43.0}, r"uncaging.power_uW = 43: at most 42 µW"),
        ({"uncaging.energy_limit_uJ": 1.0}, r"uncaging.energy_limit_uJ = 1: at least 1.26 µJ"),
        ({"uncaging.pulse_ms": 40.0}, r"uncaging.energy_limit_uJ = 1.5: at least 1.68 µJ"),
        ({"calcium.power_uW": 16.0}, "calcium.power_uW = 16: at most 15 µW"),
        ({"overview.excitation_power_uW": 16.0}, r"overview.excitation_power_uW = 16: at most 15"),
        ({"calcium.frame_rate_Hz": 40.0}, r"calcium.frame_rate_Hz = 40: 0.0694 to 26 Hz with 120"),
        ({"calcium.band_low_nm": 560.0}, "calcium.band_low_nm = 560: below band_high_nm"),
        ({"calcium.size_um": 1.0, "calcium.pixel_size_nm": 200.0}, "calcium.size_um = 1: at leas"),
        ({"overview.pixel_size_nm": 250.0}, "overview.pixel_size_nm = 250: at most 200 nm"),
        ({"overview.margin_um": 1.0}, "overview.margin_um = 1: 0 with uncaging"),
        ({"overview.minimum_signal": 2.0}, "overview.minimum_signal = 2: 0 with uncaging"),
        ({"calcium.calibration_power_uW": [0.0, 10.0]}, "calcium.power_limit_uW = 15: at most 10"),
        ({"limits.region_dose_mJ": 10.0}, "limits.region_dose_mJ = 10: at least"),
    ],
)
def test_what_does_not_go_together_is_told_in_one_line(config, changes, message):
    with pytest.raises(ConfigError, match=f"^{message}") as told:
        config.updated(changes)
    assert "\n" not in str(told.value)


def test_calcium_frames_that_are_too_many_pixels_are_refused(config):
    largest = {
        "calcium.size_um": 50.0,
        "calcium.pixel_size_nm": 20.0,
        "calcium.frame_rate_Hz": 0.1,
        "calcium.baseline_frames": 21,
        "calcium.response_frames": 21,
    }
    assert config.updated(largest).calcium.pixels == 2500
    assert MOST_PIXELS_OF_A_SCAN // 2500**2 == 21
    for field in ("baseline_frames", "response_frames"):
        with pytest.raises(
            ConfigError,
            match=rf"^calcium\.{field} = 22: at most 21 of 2500 × 2500 pixels, 134,217,728 pixels",
        ):
            config.updated({**largest, f"calcium.{field}": 22})


@pytest.mark.parametrize("section", ["uncaging", "calcium"])
def test_its_lasers_are_checked_as_every_excitation_laser(config, section):
    for changes, says in (
        ({"calibration_power_uW": [0.0, 60.0, 50.0]}, "calibration_power_uW = .* increasing"),
        ({"calibration_power_uW": [0.0, 30.0, 60.0]}, "calibration_power_uW = .*: one per cali"),
        ({"calibration_percent": [0.0, 101.0]}, "calibration_percent = .*: each from 0 to 100 %"),
        ({"calibration_file": "powers.csv"}, "calibration_file = .*: only in a configuration fil"),
        ({"power_limit_uW": 50.1}, r"power_limit_uW = 50\.1: at most 50, the highest"),
        ({"laser": 16}, "laser = 16: at most 15"),
    ):
        with pytest.raises(ConfigError, match=rf"^{section}\.{says}"):
            config.updated({f"{section}.{field}": value for field, value in changes.items()})


def test_a_distance_beyond_the_range_is_refused(config):
    data = config.model_dump(exclude_none=True)
    data["parameters"][1]["high"] = 6.0
    with pytest.raises(ConfigError, match=r"parameters\.1\.high \(.*\) = 6: at most 5 µm"):
        parse_config(data)


def test_the_commented_file_gives_the_configuration_again(config, tmp_path):
    path = tmp_path / "uncaging.toml"
    path.write_text(commented_toml(config), "utf-8")

    assert load_config(path) == config


def test_powers_of_the_uncaging_laser_come_from_a_file(tmp_path):
    (tmp_path / "powers.csv").write_text(
        "laser,percent,power,unit\nuncaging,0,0,uW\nuncaging,100,60,uW\n"
    )
    path = tmp_path / "mine.toml"
    path.write_text('preset = "uncaging"\n[uncaging]\ncalibration_file = "powers.csv"\n')

    assert load_config(path).uncaging.calibration_power_uW == (0.0, 60.0)


# --- a list of spines --------------------------------------------------------------------


def written(tmp_path, text):
    path = tmp_path / "spines.csv"
    path.write_text(text, "utf-8")
    return path


def test_a_list_of_spines_is_read_in_its_order(tmp_path):
    path = written(
        tmp_path, "# mine\nname,x_um,y_um,axis_x,axis_y\n\na,1,2,0,-3\nb,-4.5,0,0.6,0.8\n"
    )
    first, second = read_spines(path)
    assert first == {"x_um": 1, "y_um": 2, "axis_x": 0, "axis_y": -3}
    assert second == {"x_um": -4.5, "y_um": 0, "axis_x": 0.6, "axis_y": 0.8}


def test_the_configuration_keeps_the_list_and_needs_the_file_no_more(tmp_path):
    written(tmp_path, "x_um,y_um,axis_x,axis_y\n1,2,0,-3\n")
    path = tmp_path / "mine.toml"
    path.write_text('preset = "uncaging"\n[uncaging]\nspines_file = "spines.csv"\n', "utf-8")
    config = load_config(path)
    assert config.uncaging.spines_file == ""
    (spine,) = spines_of(config).given
    assert (spine.x_um, spine.y_um, spine.axis_x, spine.axis_y) == (1, 2, 0, -1)
    assert spine.size_um == config.imaging.region_size_um
    # Nothing in a file says that there is no dendrite.
    assert spine.free_um == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x_um,y_um,axis_x\n1,2,3\n", "line 1, column 'axis_y' is missing"),
        ("x_um,y_um,axis_x,axis_y\n", "0 rows; 1 to 10,000 are allowed"),
        ("x_um,y_um,axis_x,axis_y\n1,2,0,0\n", "line 2, axis_x = 0: with axis_y = 0 a vector of"),
        ("x_um,y_um,axis_x,axis_y\n1,2,inf,0\n", "line 2, axis_x = 'inf': a finite number"),
        ("# x\nx_um,y_um,axis_x,axis_y\n1,b,1,0\n", "line 3, y_um = 'b': a finite number"),
    ],
)
def test_a_list_that_cannot_be_used_names_the_line(tmp_path, text, message):
    written(tmp_path, text)
    path = tmp_path / "mine.toml"
    path.write_text('preset = "uncaging"\n[uncaging]\nspines_file = "spines.csv"\n', "utf-8")
    with pytest.raises(ConfigError, match=rf"spines_file = 'spines.csv': .*{message}") as refused:
        load_config(path)
    assert "\n" not in str(refused.value)


def test_spines_of_several_fields_say_where_the_stage_is(tmp_path):
    path = written(
        tmp_path, "x_um,y_um,axis_x,axis_y,stage_x_um,stage_y_um\n1,2,0,-3,80,0\n4,5,1,0,0,0\n"
    )
    first, second = read_spines(path)
    assert (first["stage_x_um"], second["stage_x_um"]) == (80, 0)
    written(tmp_path, "x_um,y_um,axis_x,axis_y,stage_x_um\n1,2,0,-3,80\n")
    with pytest.raises(ValueError, match="line 1, column 'stage_y_um' is missing"):
        read_spines(path)


SPINE = {"x_um": 1.0, "y_um": 2.0, "axis_x": 0.0, "axis_y": -3.0}


@pytest.mark.parametrize(
    ("axis", "says"),
    [
        ((0.0, 0.0), "axis_x = 0: with axis_y = 0 a vector of finite length, not 0"),
        ((0.0, -0.0), "axis_x = 0: with axis_y = -0 a vector of finite length, not 0"),
        ((5e-324, 5e-324), "axis_x = 5e-324: with axis_y = "),
        ((1.7e308, 1.7e308), r"axis_x = 1.7e\+308: with axis_y = 1.7e\+308 a vector of finite"),
        ((math.inf, 0.0), "axis_x = inf: a finite number"),
        ((0.0, -math.inf), "axis_y = -inf: a finite number"),
        ((math.nan, 1.0), "axis_x = nan: a finite number"),
    ],
)
def test_an_axis_that_is_no_direction_is_refused(config, axis, says):
    spine = {**SPINE, "axis_x": axis[0], "axis_y": axis[1]}
    with pytest.raises(ConfigError, match=rf"^uncaging\.spines\.0\.{says}"):
        config.updated({"uncaging.spines": [spine]})


finite = st.floats(allow_nan=False, allow_infinity=False)


@given(finite, finite)
def test_the_axis_of_any_spine_that_is_taken_is_a_unit_vector(axis_x, axis_y):
    try:
        spine = SpineConfig(x_um=0.0, y_um=0.0, axis_x=axis_x, axis_y=axis_y)
    except ValueError:
        assume(False)
    assert math.hypot(*spine.axis) == pytest.approx(1, abs=1e-9)
    assert spine.axis[0] * axis_y == pytest.approx(spine.axis[1] * axis_x, rel=1e-9)
