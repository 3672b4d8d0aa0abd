"""The model of a live view: documents in any order and with gaps, rows out."""

import time

import numpy as np
import pytest

from stedopt_bluesky.reports.live_run import plain_text, reasons_in_short
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


def test_a_copy_stays_as_it_is_and_costs_no_more_with_more_images():
    documents = run_documents(20_000)
    run = model_of(documents[:1])
    copies = []
    for n in (5, 3, 4):  # the last of them in their midst
        run.take(*documents[1 + n])
        copies.append(run.copied())
    assert [copy.numbers() for copy in copies] == [[5], [3, 5], [3, 4, 5]]
    assert [copy.arrived(0) for copy in copies] == [[5], [5, 3], [5, 3, 4]]
    assert [copy.light_dose for copy in copies] == [(0.5, 2.0), (1.0, 4.0), (1.5, 6.0)]
    for copy in copies:
        column = copy.objective_column("snr")
        np.testing.assert_array_equal(column, copy.column("objective_snr"))
        assert len(column) == len(copy.numbers())
    for document in documents[1:-1]:
        run.take(*document)
    begun = time.process_time()
    for _ in range(100):
        copy = run.copied()
        assert (copy.images, copy.missing, copy.numbers(2)) == (20_000, 0, [19_999, 20_000])
        assert copy.left_s == 0.0
        assert copy.light_dose == (10_000.0, 40_000.0)
        copy.objective_column("snr")
    assert time.process_time() - begun < 0.5  # 0.01 s; with a walk over the images 6 s
    np.testing.assert_array_equal(copy.objective_column("snr"), copy.column("objective_snr"))


def test_an_objective_that_comes_later_is_invalid_before():
    late = {**DOCUMENTS[4][1], "data": {**DOCUMENTS[4][1]["data"], "objective_late": 2.0}}
    run = model_of([*DOCUMENTS[:4], ("event", late), DOCUMENTS[5]])
    np.testing.assert_array_equal(run.objective_column("late"), [np.nan, np.nan, 2.0, np.nan])
    assert np.isnan(run.objective_column("none")).all()


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


@pytest.mark.parametrize(
    ("told", "says"),
    [
        ("", ""),
        ("snr: no foreground", "snr: no foreground"),
        ("snr: no foreground; frc: too dark", "snr: no foreground; frc: too dark"),
        ("snr: not rated: it ended; frc: not rated: it ended", "not rated: it ended"),
    ],
)
def test_a_reason_that_all_objectives_have_is_told_once(told, says):
    assert reasons_in_short(told) == says
