"""Pages of the list of runs."""

import pytest
from event_model import compose_run

from stedopt_bluesky.records import CatalogFolder, Condition, RunQuery
from stedopt_bluesky.records.journal import Journal
from stedopt_bluesky.web.page.listed_runs import (
    ON_A_PAGE,
    comparison_address,
    list_page,
    run_address,
)

HOSTILE = "<img src=x onerror=alert(1)>\x1b[31m\u202e"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Sixty runs, of which every third has a hostile operator."""
    folder = CatalogFolder.create_or_open(tmp_path_factory.mktemp("listed") / "cat")
    journal = Journal(folder, fsync=False)
    for number in range(60):
        run = compose_run(
            uid=f"run-{number:02d}",
            time=1_700_000_000.0 + number,
            metadata={"sample": "actin", "operator": HOSTILE if number % 3 == 0 else "Ada"},
        )
        journal("start", run.start_doc)
        journal("stop", run.compose_stop(exit_status="fail" if number == 7 else "success"))
    return folder


def test_pages_are_the_newest_first_and_hold_each_run_once(folder):
    told = []
    first = list_page(folder, RunQuery(), 1, lambda done, total: told.append((done, total)))
    assert told[-1] == (60, 60)
    assert (first.page, first.pages, first.total) == (1, 3, 60)
    assert first.rows[0].uid == "run-59"
    pages = [first, *(list_page(folder, RunQuery(), page) for page in (2, 3))]
    uids = [row.uid for page in pages for row in page.rows]
    assert uids == [f"run-{number:02d}" for number in reversed(range(60))]
    assert len(first.rows) == ON_A_PAGE


@pytest.mark.parametrize(("asked", "given"), [(-1, 1), (0, 1), (99, 3), (10**30, 3)])
def test_a_page_that_is_none_is_the_nearest(folder, asked, given):
    listed = list_page(folder, RunQuery(), asked)
    assert listed.page == given
    assert listed.rows


def test_texts_of_documents_are_shown_as_they_are_but_in_one_plain_line(folder):
    listed = list_page(folder, RunQuery(operator=HOSTILE), 1)
    assert listed.total == 20
    assert listed.rows[0].texts[listed.columns.index("operator")] == (
        "<img src=x onerror=alert(1)>[31m"
    )


def test_a_question_may_find_nothing(folder):
    listed = list_page(folder, RunQuery(sample="tubulin"), 2)
    assert (listed.rows, listed.page, listed.pages, listed.total) == ([], 1, 1, 0)


def test_what_is_asked_for_has_a_column(folder):
    where = (
        Condition.parse("snr > 1"),
        Condition.parse("best.snr > 1"),
        Condition.parse("images<5"),
    )
    listed = list_page(folder, RunQuery(where=where), 1)
    assert listed.columns[-3:] == ["snr", "best snr", "reason"]


def test_what_runs_have_is_offered(folder):
    offered = list_page(folder, RunQuery(), 1).offered
    assert offered["sample"] == ["actin"]
    assert offered["operator"] == [HOSTILE, "Ada"]
    assert offered["preset"] == []


def test_a_name_that_is_no_part_of_an_address_is_quoted():
    assert run_address("a/../b?c#d") == "/runs/a%2F..%2Fb%3Fc%23d"
    assert comparison_address("a b", "c") == "/compare/a%20b/c"
