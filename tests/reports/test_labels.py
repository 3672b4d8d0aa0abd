import pytest

from stedopt_bluesky.config import PARAMETER_UNITS
from stedopt_bluesky.objectives import OBJECTIVES
from stedopt_bluesky.reports.labels import axis_label, heading


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("excitation_power_uW", "excitation power (µW)"),
        ("depletion_power_mW", "depletion power (mW)"),
        ("dwelltime_us", "dwelltime (µs)"),
        ("resolution_nm", "resolution (nm)"),
        ("imaging_time_s", "imaging time (s)"),
        ("light_dose_mJ", "light dose (mJ)"),
        ("line_steps", "line steps"),
        ("snr", "snr"),
        ("df_over_f_peak", "ΔF/F peak"),
        ("s", "s"),  # a name that is a unit is no unit without a name
    ],
)
def test_names_become_words_with_their_unit(name, label):
    assert axis_label(name) == label


def test_a_heading_has_one_word_a_line():
    assert heading("depletion_power_mW") == "depletion\npower\n(mW)"


@pytest.mark.parametrize("name", [*PARAMETER_UNITS, *OBJECTIVES])
def test_no_word_of_a_heading_is_wider_than_a_column(name):
    assert max(map(len, heading(name).splitlines())) <= 10
