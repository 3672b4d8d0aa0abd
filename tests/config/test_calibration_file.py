"""Measured powers in CSV files: what is read, what is refused, and how configurations take them."""

import math
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stedopt_bluesky.config import ConfigError, commented_toml, load_config, parse_config, preset
from stedopt_bluesky.config.calibration_file import (
    MAX_LASERS,
    MAX_ROWS,
    CalibrationFileError,
    MeasuredPoints,
    points_of,
    read_points,
)

HEADER = "laser,percent,power,unit\n"
TWO = HEADER + "excitation,0,0,uW\nexcitation,100,44,uW\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("calibration")


def read(folder, content):
    path = folder / "powers.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_points(path)


def refused(folder, content):
    """Message of a refused file, without the file's name that it begins with."""
    with pytest.raises(CalibrationFileError) as error:
        read(folder, content)
    message = str(error.value)
    assert isinstance(error.value, ConfigError)
    assert message.startswith(f"{folder / 'powers.csv'}: ")
    assert len(message.splitlines()) == 1
    return message.removeprefix(f"{folder / 'powers.csv'}: ")


# --- what is read -----------------------------------------------------------------------


def test_rows_in_any_order_with_comments_and_blank_lines(folder):
    points = read(
        folder,
        "# power meter at the back aperture\n\n"
        "unit,note,Power , percent,laser\n"
        "uW,,44.0,100,excitation\n"
        "mW,warm,352,100,775 nm\n"
        ",,,,\n"
        '"# again, after lunch",,,,\n'
        "  # and once more\n"
        "µW,,1.6e0,5,Excitation\n"
        "mW,,0,0,775\n"
        "\N{GREEK SMALL LETTER MU}W,,-0.0,0,excitation\n",
    )
    assert points == {
        "excitation": MeasuredPoints((0.0, 5.0, 100.0), (0.0, 1.6, 44.0), "µW"),
        "775": MeasuredPoints((0.0, 100.0), (0.0, 352.0), "mW"),
    }
    assert math.copysign(1, points["excitation"].power[0]) == 1


def test_repeated_measurements_are_averaged(folder):
    rows = "depletion,0,0,mW\ndepletion,50,99,mW\ndepletion,100,300,mW\ndepletion,50.0,102,mW\n"
    assert read(folder, HEADER + rows)["depletion"].power == (0.0, 100.5, 300.0)


def test_settings_that_differ_by_rounding_are_one(folder):
    rows = f"a,0,0,mW\na,0.3,1,mW\na,{0.1 + 0.2!r},3,mW\n"
    assert read(folder, HEADER + rows)["a"] == MeasuredPoints((0.0, 0.3), (0.0, 2.0), "mW")


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbf" + TWO.encode(),  # Windows' Notepad, Excel's "CSV UTF-8"
        TWO.replace("\n", "\r\n").encode(),
        TWO.replace("\n", "\r").encode(),
        TWO.replace(",", ";").encode(),
        # German Excel
        b"\xef\xbb\xbflaser;percent;power;unit\r\nexcitation;0,0;0,0;uW\r\nexcitation;1e2;44,0;uW\r\n;;;\r\n",
        TWO.replace("excitation", '"excitation"').encode(),
        TWO.rstrip().encode(),
    ],
)  # fmt: skip
def test_what_spreadsheets_write_is_understood(folder, content):
    assert read(folder, content) == {"excitation": MeasuredPoints((0.0, 100.0), (0.0, 44.0), "µW")}


def test_powers_in_the_other_unit():
    assert MeasuredPoints((0.0, 1.0), (0.0, 1.5), "mW").power_in("µW") == (0.0, 1500.0)
    assert MeasuredPoints((0.0, 1.0), (0.0, 1500.0), "µW").power_in("mW") == (0.0, 1.5)
    assert MeasuredPoints((0.0, 1.0), (0.0, 1.5), "mW").power_in("mW") == (0.0, 1.5)


# --- what is refused --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "no column laser; it has no header; needed are laser, percent, power, unit"),
        ("laser,percent,power\na,0,1\n", "no column unit; it has laser, percent, power; needed"),
        ("laser,percent,power,unit,power\n", "column power is there 2 times: once"),
        (TWO.replace(",", "\t"), "tabs between the columns: commas or semicolons"),
        (HEADER, "no measurement: at least two of each laser"),
        (TWO + "excitation,5,x,uW\n", "line 4, power = 'x': a number from 0 to 1,000,000,000"),
        (TWO + "excitation,5,,uW\n", "line 4, power = '': a number"),
        (TWO + "excitation,5,1_0,uW\n", "line 4, power = '1_0': a number"),
        (TWO + 'excitation,5,"1,6",uW\n', "line 4, power = '1,6': a number"),
        (TWO + "excitation,5,nan,uW\n", "line 4, power = 'nan': a number"),
        (TWO + "excitation,5,inf,uW\n", "line 4, power = 'inf': a number"),
        (TWO + "excitation,5,-1,uW\n", "line 4, power = '-1': a number from 0"),
        (TWO + "excitation,5,2e9,uW\n", "line 4, power = '2e9': a number from 0 to 1,000,000,000"),
        ("# x\n\n" + TWO + "excitation,101,50,uW\n", "line 6, percent = '101': a number from 0 to"),
        (TWO + "excitation,-1,0,uW\n", "line 4, percent = '-1': a number from 0 to 100"),
        (TWO + "excitation,5 %,1,uW\n", "line 4, percent = '5 %': a number from 0 to 100"),
        (TWO + "excitation,NaN,1,uW\n", "line 4, percent = 'NaN': a number from 0 to 100"),
        (TWO + "excitation,5,1,W\n", "line 4, unit = 'W': allowed are µW, uW, mW"),
        (TWO + "excitation,5,1,mw\n", "line 4, unit = 'mw': allowed are µW, uW, mW"),
        (
            TWO + "excitation,5,1,mW\n",
            "line 4, unit = 'mW': 'µW', as in line 2; one unit for each laser (excitation)",
        ),
        (TWO + ",5,1,uW\n", "line 4, laser = '': a name as excitation, or a wavelength as 640"),
        (TWO + f"{'x' * 41},5,1,uW\n", "line 4, laser = 'xxx"),
        (TWO + "a\x1b[2J,5,1,uW\n", "line 4, laser = 'a\\x1b[2J': a name of at most 40 letters"),
        (TWO + "excitation,5,1\n", "line 4 has 3 cells: 4, as the header"),
        (
            TWO + "excitation,5,1,6,uW\n",
            "line 4 has 5 cells: 4, as the header; decimal commas need semicolons between the",
        ),
        (TWO + 'excitation,5,"1,uW\n', "line 4: no row of a CSV file"),
        (
            TWO.replace(",", ";") + "excitation;5,5;1.6;uW\n",
            "line 4, power = '1.6': decimal commas or decimal points, not both in one file",
        ),
        (
            TWO.replace(",", ";") + "excitation;5;1.234,5;uW\n",
            "line 4, power = '1.234,5': decimal commas or decimal points",
        ),
        (
            HEADER + "a,0,1,mW\na,20,3.1,mW\na,10,3.2,mW\n",
            "laser a: power at 20 % = 3.1 mW (line 3): above 3.2 mW, that at 10 % (line 4); "
            "powers increase strictly with percent",
        ),
        (
            HEADER + "a,0,1,mW\na,20,1,mW\na,20,1,mW\n",
            "laser a: power at 20 % = 1 mW (mean of 2 measurements, first in line 3): above 1 mW",
        ),
        # As far from each other as rounding alone puts equal means.
        (
            HEADER + f"a,0,0.15,mW\na,20,{(0.1 + 0.2) / 2!r},mW\n",
            "laser a: power at 20 % = 0.15 mW",
        ),
        (HEADER + "a,10,1,mW\n", "laser a: only 10 % was measured (line 2): at least two points"),
        (TWO + "depletion,5,1,mW\ndepletion,5,2,mW\n", "laser depletion: only 5 % was measured"),
        (TWO.encode("utf-16"), "expected a CSV file in UTF-8; byte 0 is not"),
        (TWO.replace("u", "µ").encode("cp1252"), "expected a CSV file in UTF-8; byte"),
        (b"\x89PNG\r\n\x1a\n\xff", "expected a CSV file in UTF-8"),
        (b"\0" * 100, "no column laser"),
        ("x" * 200_000, "the header: no row of a CSV file (field larger than"),
        (
            HEADER + "".join(f"l{i},0,0,mW\n" for i in range(MAX_LASERS + 1)),
            "line 18, laser = 'l16': at most 16 lasers in a file",
        ),
        (HEADER + "a,0,0,mW\n" * (MAX_ROWS + 1), "line 10002: more than 10,000 measurements"),
    ],
    ids=lambda value: repr(value[:40]),
)
def test_a_file_that_cannot_be_used_is_refused_in_one_line(folder, content, says):
    assert refused(folder, content).startswith(says)


def test_what_is_no_file_is_refused(tmp_path):
    for path, says in [
        (tmp_path / "none.csv", "no such file: expected a CSV file"),
        (tmp_path, "a folder: expected a CSV file"),
    ]:
        with pytest.raises(CalibrationFileError) as error:
            read_points(str(path))
        assert str(error.value) == f"{path}: {says}"


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="may read everything")
def test_a_file_that_may_not_be_read_is_refused(tmp_path):
    path = tmp_path / "closed.csv"
    path.write_text(TWO)
    path.chmod(0)
    with pytest.raises(CalibrationFileError, match="Permission denied: expected a CSV file"):
        read_points(path)


cell = st.one_of(
    st.sampled_from(["excitation", "640", "uW", "mW", "0", "50", "100", "-1", "nan", "#", ""]),
    st.floats().map(repr),
    st.text(max_size=5),
)


@given(
    st.lists(st.lists(cell, min_size=3, max_size=5), max_size=6),
    st.sampled_from([",", ";"]),
    st.sampled_from([HEADER, HEADER.replace(",", ";"), ""]),
)
def test_any_file_is_taken_or_refused_in_one_line(folder, rows, separator, header):
    text = header + "\n".join(separator.join(row) for row in rows)
    path = folder / "powers.csv"
    path.write_text(text, "utf-8", errors="surrogatepass")
    message, points = f"{path}: taken", {}
    try:
        points = read_points(path)
    except CalibrationFileError as error:
        message = str(error)
    assert message.startswith(f"{path}: ")
    assert len(message.splitlines()) == 1
    for percent, power, unit in points.values():
        assert sorted(set(percent)) == list(percent)
        assert sorted(set(power)) == list(power)
        assert len(percent) == len(power) >= 2
        assert unit in ("µW", "mW")


@given(st.binary(max_size=60))
def test_any_bytes_are_refused_in_one_line(folder, content):
    refused(folder, content)


# --- configurations ---------------------------------------------------------------------

POWERS = """# at the back aperture
laser,percent,power,unit
640,5,0.0016,mW
640,0,0,mW
640,100,0.044,mW
depletion,0,0,mW
depletion,100,352,mW
"""


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """Function that writes a configuration beside the measured points, and reads it."""
    monkeypatch.chdir("/")  # the path counts from the configuration, not from here
    (tmp_path / "measured").mkdir()
    (tmp_path / "measured" / "powers.csv").write_text(POWERS)

    def load(text):
        (tmp_path / "mine.toml").write_text(text, "utf-8")
        return load_config(tmp_path / "mine.toml")

    return load


BOTH = """
preset = "live_far_red"
[excitation]
calibration_file = "measured/powers.csv"
[depletion]
calibration_file = 'measured/powers.csv'
"""


def test_a_configuration_takes_the_points_and_needs_the_file_no_more(mine, tmp_path):
    config = mine(BOTH)
    assert config.excitation.calibration_percent == (0.0, 5.0, 100.0)
    assert config.excitation.calibration_power_uW == pytest.approx((0.0, 1.6, 44.0))
    assert config.depletion.calibration_power_mW == (0.0, 352.0)
    assert config.excitation.power_limit_uW == preset("live_far_red").excitation.power_limit_uW
    (tmp_path / "measured" / "powers.csv").unlink()
    # As a start document holds it, as a file of its own, and changed by the command line.
    assert parse_config(config.model_dump(mode="json", exclude_none=True)) == config
    assert mine(commented_toml(config)) == config
    assert config.updated({"images": config.images}) == config


def test_an_absolute_path(mine, tmp_path):
    config = mine(BOTH.replace("'measured", f"'{tmp_path / 'measured'}"))
    assert config.depletion.calibration_power_mW == (0.0, 352.0)


def test_a_configuration_without_a_preset(mine):
    config = mine(
        "[excitation]\ncalibration_file = 'measured/powers.csv'\n"
        '[[parameters]]\nname = "dwelltime_us"\nvalues = [5, 10]\n[[objectives]]\nname = "snr"\n'
    )
    assert config.excitation.calibration_percent == (0.0, 5.0, 100.0)
    assert config.depletion.calibration_percent == (0.0, 100.0)


def test_an_empty_name_is_none(mine):
    text = "preset = 'demo'\n[excitation]\ncalibration_file = ''\ncalibration_percent = [0, 50]\n"
    assert mine(text).excitation.calibration_percent == (0, 50)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (
            "calibration_percent = [0, 100]",
            "excitation.calibration_file = 'measured/powers.csv': not together with "
            "excitation.calibration_percent; leave out one",
        ),
        ("calibration_power_uW = [0, 100]", "not together with excitation.calibration_power_uW"),
        ("wavelength_nm = 561", "powers.csv': no laser excitation or 561; it has 640, depletion"),
        (
            "power_limit_uW = 45",
            "excitation.power_limit_uW = 45: at most 44, the highest calibrated power",
        ),
        ("wavelength_nm = 'x'", "no laser excitation or x; it has 640, depletion"),
    ],
)
def test_what_does_not_go_with_the_file_is_refused(mine, tmp_path, changes, says):
    text = BOTH.replace("[depletion]", f"{changes}\n[depletion]")
    with pytest.raises(ConfigError) as error:
        mine(text)
    assert str(error.value).startswith(f"{tmp_path / 'mine.toml'}: ")
    assert says in str(error.value)
    assert len(str(error.value).splitlines()) == 1


def test_a_wrong_file_is_refused_with_the_field_that_names_it(mine, tmp_path):
    with pytest.raises(ConfigError) as error:
        mine("preset = 'demo'\n[depletion]\ncalibration_file = 'nope.csv'\n")
    assert str(error.value) == (
        f"{tmp_path / 'mine.toml'}: depletion.calibration_file = 'nope.csv': "
        f"{tmp_path / 'nope.csv'}: no such file: expected a CSV file"
    )


@pytest.mark.parametrize("value", ["5", "true", "['a.csv']"])
def test_a_name_that_is_no_text_is_refused(mine, value):
    with pytest.raises(ConfigError, match=r"depletion.calibration_file = .*: text, in quotes"):
        mine(f"preset = 'demo'\n[depletion]\ncalibration_file = {value}\n")


def test_a_path_that_no_file_can_have_is_refused(mine):
    with pytest.raises(ConfigError, match=r"no such file: expected a CSV file"):
        mine('preset = "demo"\n[depletion]\ncalibration_file = "a\\u0000.csv"\n')


def test_a_section_that_is_no_table_is_refused_as_ever(mine):
    with pytest.raises(ConfigError, match="excitation = 4: a table of fields"):
        mine("preset = 'demo'\nexcitation = 4\n")


def test_only_a_file_can_name_a_file():
    """Elsewhere the name would stand beside points that are not its own."""
    with pytest.raises(ConfigError) as error:
        preset().updated({"excitation.calibration_file": "powers.csv"})
    assert str(error.value) == (
        "excitation.calibration_file = 'powers.csv': only in a configuration file, "
        "with which it is read"
    )


def test_a_laser_that_is_there_under_two_names():
    points = {"excitation": "a", "640": "b", "x": "c"}
    assert points_of(points, ("depletion", "x")) == "c"
    with pytest.raises(ValueError, match="excitation and 640 are the same one here: only one"):
        points_of(points, ("excitation", "640"))
