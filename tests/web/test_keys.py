import pytest

from stedopt_bluesky.web.keys import is_allowed

KEY = "0123456789abcdef"


@pytest.mark.parametrize(
    ("headers", "allowed"),
    [
        ({"authorization": f"Apikey {KEY}"}, True),
        ({"authorization": f"apikey {KEY}"}, True),
        ({"x-api-key": KEY}, True),
        ({}, False),
        ({"authorization": KEY}, False),
        ({"authorization": f"Bearer {KEY}"}, False),
        ({"authorization": "Apikey "}, False),
        ({"authorization": f"Apikey {KEY}0"}, False),
        ({"x-api-key": KEY[:-1]}, False),
        ({"x-api-key": "ä"}, False),
        ({"x-api-key": "wrong", "authorization": f"Apikey {KEY}"}, False),
    ],
)
def test_who_is_let_in(headers, allowed):
    assert is_allowed(headers, KEY) is allowed
