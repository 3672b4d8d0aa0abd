"""Calibrations from a CSV file: percent to power and back to the same percent."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stedopt_bluesky.imspector.calibration import PowerCalibration
from stedopt_bluesky.imspector.calibration_file import CalibrationFileError, read_calibrations


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return tmp_path_factory.mktemp("calibration") / "powers.csv"


@st.composite
def measured(draw):
    """Rows of one laser in any order, its settings at least 0.1 % apart, its powers 1e-5."""
    steps = draw(st.lists(st.integers(0, 1000), min_size=2, max_size=12, unique=True))
    rises = draw(st.lists(st.floats(1e-5, 1), min_size=len(steps), max_size=len(steps)))
    scale = draw(st.floats(1e-3, 1e3))
    powers, power = [], 0.0
    for rise in rises:
        power += rise
        powers.append(scale * power)
    rows = list(zip((step / 10 for step in sorted(steps)), powers, strict=True))
    return draw(st.permutations(rows)), draw(st.sampled_from(["uW", "µW", "mW"]))


@given(measured(), st.floats(0, 1), st.booleans())
def test_percent_to_power_and_back(file, measured, share, german):
    rows, unit = measured
    text = "laser,percent,power,unit\n"
    text += "".join(f"640,{percent!r},{power!r},{unit}\n" for percent, power in rows)
    file.write_text(text.replace(",", ";").replace(".", ",") if german else text, "utf-8")
    calibration = read_calibrations(file)["640"]

    assert calibration == PowerCalibration(
        *zip(*sorted(rows), strict=True), "mW" if unit == "mW" else "µW"
    )
    low, high = calibration.percent[0], calibration.percent[-1]
    for percent in (*calibration.percent, min(low + share * (high - low), high)):
        assert calibration.to_percent(calibration.to_power(percent)) == pytest.approx(
            percent, rel=0, abs=1e-6
        )
    for percent, power in rows:
        assert calibration.to_power(percent) == power
        assert calibration.to_percent(power) == percent
    for beyond in (low - 0.1, high + 0.1):
        with pytest.raises(ValueError, match="outside the calibration"):
            calibration.to_power(beyond)


def test_a_wrong_file_is_refused(file):
    file.write_text("laser,percent,power,unit\n640,0,0,mW\n640,100,0,mW\n")
    with pytest.raises(CalibrationFileError, match=r"powers.csv: laser 640: power at 100 % = 0 mW"):
        read_calibrations(file)
