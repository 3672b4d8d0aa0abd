import pytest

from stedopt_bluesky.web.keys import ApiKeyError, is_allowed, key_from

KEY = "0123456789abcdef"


def test_the_environments_key_is_taken():
    assert key_from({"STEDOPT_API_KEY": KEY}) == (KEY, False)


def test_a_key_is_made_where_there_is_none():
    (first, made), (second, _) = key_from({}), key_from({})
    assert made
    assert len(first) == 64
    assert first != second


@pytest.mark.parametrize("key", ["", "short", "with blanks in it, many", "ä" * 20, "a" * 300])
def test_a_key_that_cannot_be_used_is_refused_and_not_told(key):
    with pytest.raises(ApiKeyError, match="16 to 256") as refused:
        key_from({"STEDOPT_API_KEY": key})
    assert not key or key not in str(refused.value)


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
