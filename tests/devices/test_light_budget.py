"""What is booked never exceeds a limit, and what is refused is not booked."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stedopt_bluesky.devices.light_budget import (
    LightBudget,
    LightLimitError,
    LightLimits,
    RegionSpentError,
)

# Regions at whole numbers touch one another.
SIZE_UM = 1.0
doses = st.floats(0, 50)
places = st.tuples(st.integers(0, 2), st.integers(0, 1))


@given(st.lists(st.tuples(places, doses), max_size=60), st.floats(1, 60), st.floats(1, 200))
def test_sums_stay_within_their_limits(exposures, region_mJ, run_mJ):
    budget = LightBudget(LightLimits(region_dose_mJ=region_mJ, run_dose_mJ=run_mJ))
    got = {}
    for place, dose in exposures:
        try:
            budget.spend(place, SIZE_UM, 1.0, dose)
        except RegionSpentError:
            refused = got.get(place, 0.0) + dose > region_mJ
        except LightLimitError:
            refused = sum(got.values()) + dose > run_mJ * (1 - 1e-12)
        else:
            got[place] = got.get(place, 0.0) + dose
            refused = True
        assert refused, "for a reason"
    assert all(dose <= region_mJ for dose in got.values())
    assert sum(got.values()) <= run_mJ * (1 + 1e-12)


def test_however_many_regions_none_is_forgotten():
    budget = LightBudget(LightLimits(region_dose_mJ=15))
    for number in range(1000):
        budget.spend((number, 0), SIZE_UM, 1.0, 10 + number / 1000)
    assert len(budget.exposures) == 1000
    for number in (0, 255, 256, 511, 512, 999):
        with pytest.raises(RegionSpentError, match=f"10 mJ more on {10 + number / 1000:.3g} mJ"):
            budget.spend((number, 0), SIZE_UM, 1.0, 10)
    assert len(budget.exposures) == 1000


def test_a_new_run_has_a_new_sum_and_old_regions():
    budget = LightBudget(LightLimits(region_dose_mJ=15, run_dose_mJ=15))
    budget.spend((0, 0), SIZE_UM, 1.0, 10)
    with pytest.raises(LightLimitError, match=r"light of the run: 10 mJ more on 10 mJ, at most 15"):
        budget.spend((1, 0), SIZE_UM, 1.0, 10)
    budget.begin_run()
    budget.spend((1, 0), SIZE_UM, 1.0, 10)
    budget.begin_run()
    with pytest.raises(RegionSpentError, match=r"region at \(0.0001, 0\) µm: 10 mJ more on"):
        budget.spend((0.0001, 0), SIZE_UM, 1.0, 10)


@pytest.mark.parametrize("image_s", [5.1, math.inf, math.nan])
def test_an_image_that_takes_too_long_is_refused(image_s):
    budget = LightBudget(LightLimits(sted_image_s=5.0))
    budget.spend((0, 0), SIZE_UM, 5.0, 1e6)
    with pytest.raises(LightLimitError, match=r"at most 5 s is allowed \(limits.sted_image_s\)"):
        budget.spend((0, 0), SIZE_UM, image_s, 0.0)


def test_a_dose_that_is_no_number_is_refused():
    budget = LightBudget(LightLimits())
    with pytest.raises(RegionSpentError):
        budget.spend((0, 0), SIZE_UM, 1.0, math.nan)


def test_what_a_region_got_before_counts():
    budget = LightBudget(LightLimits(region_dose_mJ=3.0))
    budget.remember((1.0, 2.0), SIZE_UM, 1.5)
    budget.remember((1.0004, 2.0), SIZE_UM, 1.0)
    budget.begin_run()
    with pytest.raises(RegionSpentError, match=r"1 mJ more on 2\.5 mJ"):
        budget.spend((1.0, 2.0), SIZE_UM, 1.0, 1.0)
    budget.spend((1.0, 2.0), SIZE_UM, 1.0, 0.5)
    budget.spend((5.0, 2.0), SIZE_UM, 1.0, 3.0)


def test_regions_that_overlap_share_their_light():
    budget = LightBudget(LightLimits(region_dose_mJ=3.0))
    budget.spend((0.0, 0.0), 4.0, 1.0, 2.0)
    with pytest.raises(RegionSpentError):
        budget.spend((3.9, 3.9), 4.0, 1.0, 2.0)
    budget.spend((4.0, 3.9), 4.0, 1.0, 2.0)
