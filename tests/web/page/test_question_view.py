"""What the page says beside the cloud."""

import math

import pytest

from stedopt_bluesky.devices.expert import Expert
from stedopt_bluesky.web.page.question_view import left_in_words


@pytest.mark.parametrize(
    ("left_s", "says"),
    [
        (math.inf, "It waits as long as you like."),
        (600.0, "10:00 left, then the rule chooses"),
        (64.2, "1:05 left, then the rule chooses"),
        (0.01, "0:01 left, then the rule chooses"),
    ],
)
def test_how_long_there_is_to_choose(left_s, says):
    expert = Expert(name="expert")
    expert.left_s, expert.then = left_s, "the rule chooses"
    assert left_in_words(expert) == says
