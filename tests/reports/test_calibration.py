"""How straight and how fine a calibration is, and its picture."""

import numpy as np
import pytest
from matplotlib import image as png

from stedopt_bluesky.imspector.calibration import PowerCalibration
from stedopt_bluesky.reports.calibration import (
    nonlinearity_percent,
    resolution,
    save_calibrations,
    slopes,
)

STRAIGHT = PowerCalibration((0.0, 100.0), (0.0, 50.0), "µW")
# At 50 % the straight line is at 45 mW; steps of 1 % are 1.2 mW, then 0.4 mW.
CONCAVE = PowerCalibration((0.0, 50.0, 100.0), (5.0, 65.0, 85.0), "mW")
SAGGING = PowerCalibration((10.0, 20.0, 30.0, 40.0), (0.0, 1.0, 2.5, 10.0), "mW")


def test_slopes_and_resolution():
    assert slopes(CONCAVE) == pytest.approx([1.2, 0.4])
    assert resolution(CONCAVE) == pytest.approx(0.12)
    assert resolution(STRAIGHT) == pytest.approx(0.05)


def test_nonlinearity():
    assert nonlinearity_percent(STRAIGHT) == 0.0
    assert nonlinearity_percent(CONCAVE) == pytest.approx(100 * 20 / 80)
    assert nonlinearity_percent(SAGGING) == pytest.approx(-100 * (20 / 3 - 2.5) / 10)


# Of what other tests have left behind nothing is told here.
@pytest.mark.filterwarnings(
    "error", "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)
@pytest.mark.parametrize("count", [1, 2, 3, 16])
def test_the_picture_has_a_panel_for_each_laser(tmp_path, count):
    names = ["excitation", "775", "$x_{", *(f"laser {i}" for i in range(13))][:count]
    calibrations = {
        name: (CONCAVE, STRAIGHT, SAGGING)[i % 3] for i, name in enumerate(names)
    }  # fmt: skip
    path = tmp_path / "made" / "on the way" / "$.png"
    save_calibrations(calibrations, path, title="$ µ.csv")
    picture = png.imread(path)
    columns, rows = min(count, 2), -(-count // 2)
    assert picture.shape == (495 * rows, 715 * columns, 4)
    for i in range(count):
        row, column = divmod(i, columns)
        panel = picture[495 * row : 495 * (row + 1), 715 * column : 715 * (column + 1), :3]
        assert panel.std() > 0.03
        assert np.any(np.all(np.isclose(panel, (0x1F / 255, 0x77 / 255, 0xB4 / 255), atol=0.01), 2))


def test_nothing_to_draw(tmp_path):
    with pytest.raises(ValueError, match="no calibration to draw: at least one"):
        save_calibrations({}, tmp_path / "x.png", title="")
