"""RESCue as a parameter of an experiment: from the configuration to the images of the twin."""

import pytest

from stedopt_bluesky.config import preset
from stedopt_bluesky.records import CatalogFolder, RunRecord, find_run
from stedopt_bluesky.session import connect_application, open_session

SMALL = {
    "microscope.field_um": 20.0,
    "overview.size_um": 20.0,
    "imaging.region_size_um": 1.28,
    "objectives": [{"name": "snr"}],
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Four images: the STED image of each pixel ends at the counts of the configuration."""
    config = preset("classical").updated(
        SMALL
        | {
            "rescue": {"mode": 4},
            "parameters": [{"name": "rescue_upper_threshold", "values": [2, 3, 4]}],
        }
    )
    folder = CatalogFolder.create_or_open(tmp_path_factory.mktemp("catalog"))
    with open_session(config, connect_application(config), folder) as session:
        (uid,) = session.run_engine(session.optimize(images=4))
    return RunRecord.read(find_run(folder, uid))


def test_each_image_has_the_threshold_of_its_configuration(run):
    thresholds = list(run.table("primary")["rescue_upper_threshold"])
    assert [image.max() for image in run.images("microscope_sted1")] == thresholds
    for shot in ("confocal1", "confocal2"):
        assert all(image.max() > 4 for image in run.images(f"microscope_{shot}"))


def test_the_event_has_the_parameter_and_the_descriptor_the_rest(run):
    (descriptor,) = run.descriptors["primary"]
    key = descriptor["data_keys"]["rescue_upper_threshold"]
    assert (key["units"], key["dtype"]) == ("counts", "integer")
    told = descriptor["configuration"]["rescue"]["data"]
    assert told["rescue_mode"] == 4
    assert told["rescue_lower_time_percent_4"] == 0.0
    assert "rescue_upper_threshold" not in told
