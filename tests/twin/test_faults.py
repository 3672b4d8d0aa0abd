"""After every fault: dark, nothing lost, the run closed with a reason, and gone on with."""

import re

import pytest

import stedopt_bluesky.devices.microscope as microscope_module
from stedopt_bluesky.twin import TwinApplication
from stedopt_bluesky.twin.faults import FAULTS, FaultyApplication
from tests.benchmarks.faults import (
    FIRST_FIELD,
    IMAGES,
    OF_THE_STAGE,
    SECOND_OVERVIEW,
    full,
    lost,
    refused,
    served_late,
    trial,
    whole_before,
)

# What the run survives, when the fault comes in an image.
GOES_ON = {
    "end signal late",
    "end signal twice",
    "activation refused",
    "stack missing",
    "stack of another shape",
    "stack with NaN",
    "image of zeros",
    "image saturated",
}
# What ends it, and the reason that the stop document gives.
ENDS = {
    "dies in a scan": "Connection refused",
    "dies between scans": "Connection refused",
    "connection lost in a scan": "s, and cannot be told to stop it: connect: Connection refused",
    "connection lost between scans": "Connection refused",
    "end signal lost": "scan: Imspector did not report its end within",
    "start refused": "scan: cannot be started: Hardware is not ready",
    "setting refused": "Invalid argument for parameter 'ExpControl'",
    "autofocus lost": "the autofocus is off: the focus was lost",
    "stage not there": "the stage was sent to x = 1515.0 µm and stands at 1535.0 µm",
    "power misreported": "and reports .* %: switched off again, no scan may begin",
}


def test_every_fault_is_expected_here():
    assert set(FAULTS) == GOES_ON | set(ENDS)
    assert not GOES_ON & set(ENDS)


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    monkeypatch.setattr(microscope_module, "_DEADLINE_MARGIN_S", 0.3)


# The last scan of the second image, the first and the middle one of the third; twenty moments of
# each are in benchmarks.faults.
@pytest.mark.parametrize(
    "scan",
    [
        pytest.param(6, marks=pytest.mark.campaign),
        pytest.param(7, marks=pytest.mark.campaign),
        8,
    ],
)
@pytest.mark.parametrize("fault", sorted(set(FAULTS) - set(OF_THE_STAGE)))
def test_a_fault_in_an_image(fault, scan, tmp_path):
    outcome = trial(fault, scan, tmp_path / "catalog")
    assert outcome.dark
    assert outcome.zeroed
    assert outcome.kept == outcome.taken >= outcome.whole
    assert outcome.resumed == IMAGES
    # A setting is refused where one is made: after the last scan of an image.
    if fault in GOES_ON or (fault == "setting refused" and scan != 6):
        assert outcome.status == "success"
        assert outcome.taken == IMAGES
    else:
        assert outcome.status == "fail"
        assert outcome.taken < IMAGES
        assert re.search(ENDS[fault], outcome.reason)


def test_a_setting_that_is_refused_between_two_images_ends_the_run(tmp_path):
    outcome = trial("setting refused", 6, tmp_path / "catalog")
    assert (outcome.dark, outcome.zeroed, outcome.status) == (True, True, "fail")
    assert outcome.kept == outcome.taken < IMAGES
    assert re.search(ENDS["setting refused"], outcome.reason)
    assert outcome.resumed == IMAGES


# The second overview, and the last scan of the first image after it.
@pytest.mark.parametrize("scan", [SECOND_OVERVIEW, SECOND_OVERVIEW + 3])
@pytest.mark.parametrize("fault", OF_THE_STAGE)
def test_a_fault_of_the_stage(fault, scan, tmp_path):
    outcome = trial(fault, scan, tmp_path / "catalog")
    assert outcome.dark
    assert outcome.zeroed
    assert outcome.kept == outcome.taken == FIRST_FIELD + (scan > SECOND_OVERVIEW)
    assert outcome.status == "fail"
    assert outcome.reason == ENDS[fault]
    assert outcome.resumed == IMAGES


UNSEEN = {"image of zeros", "image saturated", *OF_THE_STAGE}


@pytest.mark.parametrize("fault", sorted(set(FAULTS) - UNSEEN))
def test_a_fault_in_the_overview(fault, tmp_path):
    outcome = trial(fault, 0, tmp_path / "catalog")
    assert outcome.dark
    assert outcome.zeroed
    assert outcome.resumed == IMAGES
    assert outcome.taken in (0, IMAGES)
    assert bool(outcome.reason) == (outcome.status == "fail") == (outcome.taken == 0)


def test_an_overview_that_shows_nothing_is_taken_again(tmp_path):
    outcome = trial("image of zeros", 0, tmp_path / "catalog")
    assert (outcome.status, outcome.taken) == ("fail", 0)
    assert "every pixel of the overview has 0 counts" in outcome.reason
    assert outcome.resumed == IMAGES


def test_an_unknown_fault_is_refused(sample):
    with pytest.raises(ValueError, match="fault = 'fire': allowed are dies in a scan, "):
        FaultyApplication(TwinApplication(sample), "fire", 0)


# In the overview, in the first image, in the third, and in the second field.
@pytest.mark.slow
@pytest.mark.parametrize(
    "scan",
    [
        pytest.param(0, marks=pytest.mark.campaign),
        2,
        pytest.param(8, marks=pytest.mark.campaign),
        pytest.param(SECOND_OVERVIEW + 2, marks=pytest.mark.campaign),
    ],
)
def test_a_connection_to_a_served_twin_that_is_lost_and_comes_back(scan, tmp_path):
    outcome = lost(scan, 0.01, tmp_path / "catalog")
    assert outcome.dark
    assert outcome.zeroed
    assert outcome.kept == outcome.taken == whole_before(scan)
    assert outcome.status == "fail"
    assert outcome.reason
    assert outcome.resumed == IMAGES
    acted = (tmp_path / "catalog" / "watchdog.log").read_text("utf-8")
    assert "every scan was stopped and all lasers are at zero" in acted


@pytest.mark.parametrize("times", [1, 4])
def test_an_imspector_that_refuses_the_first_connections(times, tmp_path):
    outcome = refused(times, tmp_path / "catalog")
    assert (outcome.status, outcome.kept) == ("success", IMAGES)


def test_a_twin_that_is_served_a_little_later(tmp_path):
    outcome = served_late(0.5, tmp_path / "catalog")
    assert (outcome.status, outcome.kept) == ("success", IMAGES)
    assert outcome.dark


@pytest.mark.slow
@pytest.mark.parametrize("kibibytes", [66, pytest.param(120, marks=pytest.mark.campaign), 240])
def test_files_that_may_not_grow(kibibytes, tmp_path):
    outcome = full(kibibytes, tmp_path / "catalog")
    assert outcome.dark
    assert outcome.zeroed
    assert outcome.kept == outcome.expected < IMAGES
    assert "File too large" in outcome.reason
    assert outcome.resumed == IMAGES
