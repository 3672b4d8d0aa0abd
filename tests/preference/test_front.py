"""The options that no other one is better than."""

import numpy as np

from stedopt_bluesky.acquisition import Objective, Options
from stedopt_bluesky.preference.front import on_front

SNR = Objective("snr", "", "maximise", (0.0, 2.0))
TIME = Objective("imaging_time_s", "s", "minimise", (0.0, 9.0))


def test_those_that_none_is_better_than():
    values = np.array([[1.0, 3.0], [0.5, 1.0], [0.5, 2.0], [np.nan, 0.1], [0.5, 1.0]])
    options = Options(values, values[:, :1], 0, ("snr", "imaging_time_s"), ("dwelltime_us",))
    # Equals do not exclude one another; what is not a number is not on it.
    assert list(on_front(options, (SNR, TIME))) == [0, 1, 4]
