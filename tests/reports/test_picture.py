"""Pictures are saved where they are asked for; an interval lies around its curve."""

import numpy as np
from matplotlib.colors import same_color
from matplotlib.figure import Figure

from stedopt_bluesky.reports.picture import draw_curve, save_png


def test_it_is_a_png_in_a_folder_that_was_missing(tmp_path):
    path = tmp_path / "deep" / "down" / "run.png"
    save_png(Figure(), path)
    assert path.read_bytes().startswith(b"\x89PNG")


def test_the_interval_is_around_the_curve_and_of_its_colour():
    ax = Figure().subplots()
    t = np.arange(1, 5)
    curve = np.array([0.0, 1.0, 1.5, 1.75])
    draw_curve(ax, t, curve, curve - 0.5, curve + 0.25, number=12, label="random")
    (line,), (band,) = ax.lines, ax.collections
    np.testing.assert_array_equal(line.get_xydata(), np.column_stack([t, curve]))
    assert line.get_label() == "random"
    assert same_color(line.get_color(), "C2")
    assert same_color(band.get_facecolor()[0, :3], "C2")
    corners = band.get_paths()[0].get_extents()
    assert (corners.y0, corners.y1) == (-0.5, 2.0)
