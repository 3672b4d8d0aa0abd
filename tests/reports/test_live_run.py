"""The model of a live view: documents in any order and with gaps, rows out."""

import numpy as np
import pytest

from stedopt_bluesky.reports.live_run import plain_text
from tests.records.lookers import model_of, run_documents

DOCUMENTS = run_documents(6)


def test_a_run_from_its_beginning_to_its_end():
    run = model_of(DOCUMENTS[:4])
    assert (run.uid, run.told("sample"), run.told("operator")) == ("a-run", "actin", "Ada")
    assert run.parameters == ("depletion_power_mW", "dwelltime_us")
    assert run.objectives == ("snr", "resolution_nm")
    assert (run.images, run.images_planned, run.missing, run.exit_status) == (2, 6, 0, "")
    assert run.left_s == pytest.approx(40.0)  # four more, ten seconds each
    assert run.light_dose == (1.0, 4.0)
    run = model_of(DOCUMENTS)
    assert (run.images, run.exit_status, run.left_s) == (6, "success", None)
    assert run.numbers(2) == [5, 6]
    assert run.objective(1, "snr") == pytest.approx(0.1)
    assert np.isnan(run.objective(3, "snr"))
    np.testing.assert_array_equal(run.column("dwelltime_us"), [5.0] * 6)


@pytest.mark.parametrize("seed", range(5))
def test_the_order_of_documents_makes_no_difference(seed):
    documents = [*DOCUMENTS, *DOCUMENTS[2:5]]
    order = np.random.default_rng(seed).permutation(len(documents))
    documents = [documents[n] for n in order]
    run, whole = model_of(documents), model_of(DOCUMENTS)
    assert (run.images, run.missing, run.uid) == (6, 0, "a-run")
    for key, column in whole.table().items():
        np.testing.assert_array_equal(run.table()[key], column)


def test_what_has_not_come_is_counted():
    run = model_of([DOCUMENTS[5], DOCUMENTS[7]])
    assert (run.uid, run.images, run.missing) == ("", 6, 4)
    assert run.objectives == ("snr", "resolution_nm")  # the events tell
    assert run.parameters == ()
    assert run.images_planned is None
    assert model_of([DOCUMENTS[8]]).missing == 6


def test_events_of_other_streams_are_no_images():
    descriptor = {**DOCUMENTS[1][1], "uid": "d", "name": "decision"}
    event = {**DOCUMENTS[2][1], "descriptor": "d"}
    unknown = {**event, "descriptor": "e", "data": {"decision_index": 3}}
    assert model_of([("descriptor", descriptor), ("event", event), ("event", unknown)]).images == 0


def test_the_next_run_begins_anew():
    other = run_documents(2, uid="b-run", time_s=1_700_000_500.0)
    run = model_of([*DOCUMENTS, *other[:3]])
    assert (run.uid, run.images, run.exit_status) == ("b-run", 1, "")
    # Also where neither beginning nor end of the first one has come.
    run = model_of([*DOCUMENTS[3:5], *other[:3]])
    assert (run.uid, run.images) == ("b-run", 1)


def test_values_that_are_no_numbers_are_none():
    event = {**DOCUMENTS[2][1], "data": {"objective_snr": "high", "dwelltime_us": 10**400}}
    odd = {**DOCUMENTS[0][1], "images_planned": "many", "objectives": "snr", "parameters": 5}
    run = model_of([("start", odd), ("event", event)])
    assert run.images_planned is None
    assert np.isnan(run.objective(1, "snr"))
    assert np.isnan(run.value(1, "dwelltime_us"))
    assert run.left_s is None


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("actin", "actin"),
        ("\x1b[2Jgone", "[2Jgone"),
        ("a\r\nb\tc", "a b c"),
        ("\u202egnp.exe", "gnp.exe"),
        ("\x9b31m", "31m"),
        ("x" * 500, "x" * 120 + "…"),
        ("µm [red]no[/]", "µm [red]no[/]"),
        (5, "5"),
    ],
)
def test_texts_of_documents_give_no_orders_to_a_terminal(value, shown):
    assert plain_text(value) == shown
