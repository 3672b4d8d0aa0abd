"""The run under way is looked on at in a thread."""

import pytest
from event_model import compose_run

from stedopt_bluesky.records import CatalogFolder
from stedopt_bluesky.records.journal import Journal
from stedopt_bluesky.web.page.looker import Looker
from tests.waiting import wait_for


@pytest.fixture
def folder(tmp_path):
    return CatalogFolder.create_or_open(tmp_path / "cat")


def test_it_goes_on_with_the_next_run(folder):
    journal = Journal(folder)
    with Looker(folder) as looker:
        wait_for(lambda: "waiting for the next one" in looker.said)
        assert not looker.is_under_way()
        for uid in ("first", "second"):
            run = compose_run(uid=uid)
            journal("start", run.start_doc)
            wait_for(lambda uid=uid: looker.followed.run.uid == uid)
            assert looker.is_under_way()
            journal("stop", run.compose_stop())
            wait_for(lambda: looker.followed.run.exit_status == "success")
    assert not looker.is_under_way()


def test_one_run_is_looked_on_at_and_no_other(folder):
    journal = Journal(folder)
    one = compose_run(uid="one")
    journal("start", one.start_doc)
    with Looker(folder, "one") as looker:
        wait_for(lambda: looker.followed.run.uid == "one")
        journal("stop", one.compose_stop())
        wait_for(lambda: looker.followed.run.exit_status)
        looker._thread.join(10)
        assert not looker._thread.is_alive()


def test_a_document_that_cannot_be_understood_is_told(folder):
    journal = Journal(folder)
    run = compose_run(uid="strange")
    journal("start", run.start_doc)
    journal("descriptor", {"uid": "d", "run_start": "strange"})
    journal("event", {"uid": "e", "descriptor": "d", "seq_num": 1, "time": 1.0})
    with Looker(folder, "strange") as looker:
        wait_for(lambda: looker.said.startswith("the run cannot be followed: "))
        looker._thread.join(10)
        assert not looker._thread.is_alive()
