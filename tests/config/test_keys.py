import pytest

from stedopt_bluesky.config.keys import ApiKeyError, is_same, key_from, secret_from

KEY = "0123456789abcdef"


def test_the_environments_key_is_taken():
    assert key_from({"STEDOPT_API_KEY": KEY}) == (KEY, False)
    assert key_from({"STEDOPT_API_KEY": "x", "STEDOPT_READ_KEY": KEY}, "STEDOPT_READ_KEY") == (
        KEY,
        False,
    )


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


def test_a_secret_is_in_the_variable_or_in_a_file(tmp_path):
    file = tmp_path / "key"
    file.write_text(f"{KEY}\n")
    assert secret_from({"X": KEY}, "X") == KEY
    assert secret_from({"X_FILE": str(file)}, "X") == KEY
    assert secret_from({"Y": KEY}, "X") is None
    assert key_from({"STEDOPT_API_KEY_FILE": str(file)}) == (KEY, False)


@pytest.mark.parametrize(
    ("content", "more", "says"),
    [
        (None, {}, "cannot be read"),
        (b" \n", {}, "it is empty"),
        (b"\xff\xfe" * 20, {}, "it is no text"),
        (KEY.encode(), {"X": KEY}, "X, X_FILE: one of the two, not both"),
    ],
)
def test_a_file_without_a_secret_is_refused_in_one_line(tmp_path, content, more, says):
    file = tmp_path / "key"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ApiKeyError, match=says) as refused:
        secret_from({"X_FILE": str(file), **more}, "X")
    assert KEY not in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("given", ["", KEY[:-1], f"{KEY}0", KEY.upper(), "ä" * 16, "\ud800"])
def test_another_key_is_not_the_same(given):
    assert not is_same(given, KEY)
    assert is_same(KEY, KEY)
