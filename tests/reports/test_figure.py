import numpy as np
import pytest
from matplotlib import image as png

from stedopt_bluesky.records import CatalogError, RunRecord
from stedopt_bluesky.reports.figure import _moving_average, save_figure

NAN = float("nan")
SIZE = (990, 1430, 4)  # 9 × 13 inches at 110 dots per inch


def saved(record, report, path):
    save_figure(record, report, path)
    picture = png.imread(path)
    assert picture.shape == SIZE
    # Not a blank page: ink in each quarter.
    half_y, half_x = SIZE[0] // 2, SIZE[1] // 2
    for rows in (slice(None, half_y), slice(half_y, None)):
        for columns in (slice(None, half_x), slice(half_x, None)):
            assert picture[rows, columns, :3].std() > 0.03
    return picture


def test_the_picture_of_a_run(recorded, tmp_path):
    saved(*recorded, tmp_path / "made" / "on the way" / "run.png")


@pytest.mark.parametrize("images", [1, 2])
def test_few_images(recorder, tmp_path, images):
    saved(*recorder(tmp_path / "cat", images), tmp_path / "run.png")


@pytest.mark.filterwarnings(
    "error", "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)
@pytest.mark.parametrize("valid", [0, 2])
def test_invalid_objectives_leave_gaps_and_warn_of_nothing(recorder, tmp_path, valid):
    rated = iter(range(100))

    def rate(images):
        return {"snr": 0.5, "photobleaching": 0.5} if next(rated) < valid else {}

    objectives = [{"name": "snr"}, {"name": "photobleaching"}]
    record, report = recorder(tmp_path / "cat", 4, rate=rate, objectives=objectives)
    assert sum(not np.isnan(row.utility) for row in report.rows) == valid
    saved(record, report, tmp_path / "run.png")


def test_one_parameter_and_one_known_objective(recorder, tmp_path):
    record, report = recorder(
        tmp_path / "cat",
        2,
        parameters=[{"name": "dwelltime_us", "values": [5.0, 10.0]}],
        objectives=[{"name": "imaging_time_s"}],
        **{"imaging.region_size_um": 0.5},
    )
    save_figure(record, report, tmp_path / "run.png")
    assert png.imread(tmp_path / "run.png").shape == SIZE


def test_several_sted_images(recorder, tmp_path):
    saved(*recorder(tmp_path / "cat", 2, **{"imaging.sted_images": 2}), tmp_path / "run.png")


def test_a_run_without_an_image_is_refused(recorded, tmp_path, make_report):
    record, _ = recorded
    with pytest.raises(ValueError, match="run 57dc0000-0000 has no image to draw"):
        save_figure(record, make_report([]), tmp_path / "run.png")
    assert list(tmp_path.iterdir()) == []


def test_images_that_are_gone_are_told(recorded, tmp_path):
    record, report = recorded
    documents = tuple(
        (name, {**doc, "uri": "file://localhost/gone.h5"} if name == "stream_resource" else doc)
        for name, doc in record.documents
    )
    with pytest.raises(CatalogError, match=r"gone.h5' is outside of the catalogue's arrays"):
        save_figure(RunRecord(record.path, documents), report, tmp_path / "run.png")


def test_the_moving_average_leaves_out_what_is_invalid():
    values = np.array([1.0, NAN, 3.0, 4.0, NAN, NAN, NAN, NAN, NAN, 10.0])
    expected = [2.0, 8 / 3, 8 / 3, 3.5, 3.5, 4.0, NAN, 10.0, 10.0, 10.0]
    np.testing.assert_allclose(_moving_average(values), expected)
    assert len(_moving_average(np.array([]))) == 0
