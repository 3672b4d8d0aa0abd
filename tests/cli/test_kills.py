"""`stedopt run` killed on a microscope that goes on without it: dark, nothing lost, gone on with.

:mod:`tests.benchmarks.kills` does the same at many moments.
"""

import signal

import pytest

from tests.benchmarks.kills import IMAGES, trial

# From a kill to the end of all light; a second scan would have begun by then.
SOON_S = 5.0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "after_s", "fed"),
    # From the first light of a run that has four seconds of light or more: in the overview or the
    # first image, and later. A loaded machine makes the run longer, and not these moments later.
    # What feeds the catalogue takes half of the time. test_interrupts has SIGINT, too.
    [
        pytest.param(signal.SIGKILL, 0.6, True, marks=pytest.mark.campaign),
        (signal.SIGKILL, 2.4, False),
        pytest.param(signal.SIGINT, 2.4, True, marks=pytest.mark.campaign),
    ],
)
def test_a_killed_run_leaves_it_dark_and_is_gone_on_with(tmp_path, number, after_s, fed):
    left = trial(number, after_s, tmp_path, fed=fed)

    assert left.zero_s < SOON_S
    assert left.light_s < SOON_S
    assert left.kept == left.taken < IMAGES
    assert left.images == IMAGES
    acted = "it has ended without a word: every scan was stopped and all lasers are at zero"
    assert (acted in left.words) == (number == signal.SIGKILL)
    assert left.code == (-9 if number == signal.SIGKILL else 128 + number)
    assert "Traceback" not in left.words
