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
    ("number", "after_s"),
    # Of a run of five seconds or more: in the overview or the first image, and later.
    [
        (signal.SIGKILL, 0.6),
        pytest.param(signal.SIGKILL, 2.4, marks=pytest.mark.campaign),
        (signal.SIGINT, 2.4),
    ],
)
def test_a_killed_run_leaves_it_dark_and_is_gone_on_with(tmp_path, number, after_s):
    left = trial(number, after_s, tmp_path)

    assert left.zero_s < SOON_S
    assert left.light_s < SOON_S
    assert left.kept == left.taken
    # On a slow machine the first moment is before the start document: nothing was begun.
    assert left.images == IMAGES or (after_s < 1 and left.images is None and left.taken == 0)
    acted = "it has ended without a word: every scan was stopped and all lasers are at zero"
    assert (acted in left.words) == (number == signal.SIGKILL)
    assert left.code == (-9 if number == signal.SIGKILL else 128 + number)
    assert "Traceback" not in left.words
