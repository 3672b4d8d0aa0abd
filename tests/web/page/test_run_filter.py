"""What is written above the list of runs is a question, or a line that says what is wrong."""

import pytest

from stedopt_bluesky.records import Condition, RunQuery
from stedopt_bluesky.web.page.run_filter import FIELDS, page_of, query_of


def test_nothing_asks_for_all_runs():
    assert query_of({}) == (RunQuery(), {})
    assert query_of(dict.fromkeys(FIELDS, "  ")) == (RunQuery(), {})
    assert query_of({"page": "3", "link": "x"}) == (RunQuery(), {})


def test_all_fields_ask_at_once():
    texts = {
        "sample": " actin ", "structure": "actin", "preset": "demo", "operator": "Ada",
        "status": "interrupted", "where": "snr >= 0.5, dwelltime_us < 20",
    }  # fmt: skip
    query, errors = query_of(texts)
    assert errors == {}
    assert query == RunQuery(
        sample="actin",
        structure="actin",
        preset="demo",
        operator="Ada",
        exit_status="interrupted",
        where=(Condition("reached.snr", ">=", 0.5), Condition("used.dwelltime_us", "<", 20.0)),
    )


@pytest.mark.parametrize(
    ("field", "text", "words"),
    [
        ("where", "snr", "where = 'snr': a name, <, <=, >, >= or =, and a number"),
        ("where", "snr > 1,", "where = ''"),
        ("where", "snt > 1", "did you mean 'snr'?"),
        ("where", "snr; DROP TABLE runs", "a name, <"),
        ("status", "done", "status = 'done': success, abort, fail"),
    ],
)
def test_what_is_wrong_is_told_at_its_field_and_the_others_are_understood(field, text, words):
    query, errors = query_of({"sample": "actin", field: text})
    assert list(errors) == [field]
    assert words in errors[field]
    assert "\n" not in errors[field]
    assert query == RunQuery(sample="actin")


def test_a_text_that_no_database_takes_is_replaced():
    query, errors = query_of({"sample": "actin\ud800"})
    assert (query.sample, errors) == ("actin?", {})


@pytest.mark.parametrize(
    ("text", "page"),
    [("3", 3), ("", 1), ("0", 1), ("-2", 1), ("2.5", 1), ("two", 1), ("9" * 5000, 1), ("²", 1)],
)
def test_a_page_is_a_number_from_one(text, page):
    assert page_of(text) == page
