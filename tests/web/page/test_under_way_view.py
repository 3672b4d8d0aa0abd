"""What is said of the run under way."""

import pytest

from stedopt_bluesky.reports.live_run import LiveRun
from stedopt_bluesky.web.page.under_way_view import state_in_words

START = {"uid": "0123456789", "time": 1.0}


@pytest.mark.parametrize(
    ("documents", "under_way", "words"),
    [
        ([], False, "No run is under way."),
        ([("start", START)], True, "Run 01234567 is under way."),
        (
            [("start", START)],
            False,
            "No run is under way. The last one, 01234567, has no end: its program died.",
        ),
        (
            [("start", START), ("stop", {"exit_status": "abort", "reason": "Ctrl-C\n"})],
            True,
            "No run is under way. The last one, 01234567, has ended: abort, Ctrl-C",
        ),
    ],
)
def test_it_is_under_way_has_ended_or_died(documents, under_way, words):
    run = LiveRun()
    for name, doc in documents:
        run.take(name, doc)
    assert state_in_words(run, under_way=under_way) == words
