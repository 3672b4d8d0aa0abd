import pytest
from event_model import pack_event_page

from stedopt_bluesky.records.reached import LAST_IMAGES, Reached, network_names

START = {
    "parameters": ["dwelltime_us"],
    "stedopt": {"config": {"imaging": {"line_steps": 2, "dwelltime_us": 20.0}}},
}


def reached(rows, *, page=False):
    """What is summed up from rows of data of the primary stream."""
    found = Reached()
    found("start", START)
    found("descriptor", {"uid": "d", "name": "primary"})
    found("descriptor", {"uid": "other", "name": "decision"})
    found("event", {"descriptor": "other", "data": {"objective_snr": 99.0}})
    events = [
        {
            "descriptor": "d",
            "data": data,
            "seq_num": n,
            "time": 0.0,
            "timestamps": dict.fromkeys(data, 0.0),
            "uid": str(n),
        }
        for n, data in enumerate(rows, start=1)
    ]
    for name, doc in (
        [("event_page", pack_event_page(*events))]
        if page
        else [("event", event) for event in events]
    ):
        found(name, doc)
    return found.summary()


@pytest.mark.parametrize("page", [False, True])
def test_the_last_ten_images_and_the_best_one(page):
    """Twelve images: of the first two only the best is remembered."""
    rows = [
        {
            "objective_snr": 9.0 if n == 0 else n / 10,
            "objective_photobleaching": n / 20,
            "dwelltime_us": 10.0 + n,
            "line_steps": 2,
            "microscope_exposure_s": 1.5,
            "invalid_because": "",
        }
        for n in range(LAST_IMAGES + 2)
    ]
    assert reached(rows, page=page) == {
        "images": 12,
        "networks": "",
        "exposure_s": 18.0,
        # Medians of 2 ... 11.
        "reached": {"snr": pytest.approx(0.65), "photobleaching": pytest.approx(0.325)},
        "best": {"snr": 9.0, "photobleaching": 0.0},
        "used": {"dwelltime_us": 16.5, "line_steps": 2.0},
    }


def test_what_is_invalid_counts_not():
    nan = float("nan")
    rows = [{"objective_snr": v, "objective_fwhm_nm": nan} for v in (nan, 0.2, 0.4)]
    found = reached(rows)
    assert found["images"] == 3
    assert found["reached"] == {"snr": pytest.approx(0.3)}
    assert found["best"] == {"snr": 0.4}


def test_a_run_without_images():
    none = {"images": 0, "exposure_s": 0.0, "networks": "", "reached": {}, "best": {}, "used": {}}
    assert reached([]) == none


@pytest.mark.parametrize(
    ("networks", "said"),
    [
        ({"quality": {"name": "fcn", "version": "1", "sha256": "ab12"}}, "fcn\nab12"),
        ({"quality": {"name": "fcn"}, "preference": {"sha256": "ab12"}}, "fcn\nab12"),
        # Of other programs.
        ({"quality": "fcn", "other": {"name": 3}}, ""),
        (["fcn"], ""),
        (None, ""),
    ],
)
def test_what_networks_are_found_by(networks, said):
    assert network_names(networks) == said
