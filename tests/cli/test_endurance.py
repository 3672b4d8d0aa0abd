"""A run killed twice and gone on with: nothing is lost, and it is decided as without the kills.

:mod:`tests.benchmarks.endurance_kills` does the same a hundred times.
"""

import pytest

from tests.benchmarks.endurance_kills import Counts, chain

# With this one both runs are killed after their first scan of an image.
SEED = 2


@pytest.mark.campaign
@pytest.mark.timeout(600)  # 40 s on two cores; a loaded machine may need many times that
def test_nothing_is_lost_in_a_chain_of_killed_runs(tmp_path):
    counts = Counts()

    chain(2, SEED, tmp_path, counts, fed=False)

    assert counts.kills == 2
    assert counts.not_begun == 0
    assert counts.decisions_due > 0, "the twin has seen images"
    assert counts.nothing_lost, counts
