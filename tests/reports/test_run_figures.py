"""Figures of a report: what they are drawn from, and that they are pictures."""

import io

import numpy as np
import pytest
from matplotlib import image as mpl_image

from stedopt_bluesky.config import preset
from stedopt_bluesky.parameters import Parameter, ParameterSpace
from stedopt_bluesky.reports.run_figures import (
    Posterior,
    figures_of,
    missed_utility,
    slice_rows,
    tens_of,
)

NAN = float("nan")


@pytest.mark.parametrize(
    ("images", "tens"),
    [
        (1, [(0, 1)]),
        (10, [(0, 10)]),
        (14, [(0, 14)]),  # four are too few for a box of their own
        (15, [(0, 10), (10, 15)]),
        (34, [(0, 10), (10, 20), (20, 34)]),
    ],
)
def test_tens_of_images(images, tens):
    assert [(ten.start, ten.stop) for ten in tens_of(images)] == tens


def test_an_image_without_a_utility_is_as_bad_as_the_worst_one():
    assert list(missed_utility(np.array([0.5, NAN, 1.0, 0.0]))) == [0.5, 1.0, 0.0, 1.0]
    assert list(missed_utility(np.array([NAN, NAN]))) == [0.0, 0.0]


def test_a_slice_changes_one_parameter():
    axes = [Parameter.linear(name, "", 0, 3, n) for name, n in (("a", 4), ("b", 2), ("c", 3))]
    space = ParameterSpace(axes)
    at = 17
    for column, parameter in enumerate(space):
        rows = space.grid[slice_rows(space, at, column)]
        assert list(rows[:, column]) == list(parameter.values)
        others = np.delete(rows, column, axis=1)
        assert (others == np.delete(space.grid[at], column)).all()


def test_figures_are_pictures(recorded):
    record, report = recorded
    space = preset("classical").space
    moments = np.ones((2, space.size, len(report.objectives)))
    figures = figures_of(record, report, Posterior(space, *moments))
    assert list(figures) == [
        "evolution", "tens", "parameters", "regret", "posterior", "gallery",
    ]  # fmt: skip
    for caption, png in figures.values():
        assert caption.endswith(".")
        pixels = mpl_image.imread(io.BytesIO(png), format="png")
        assert pixels.shape[0] > 200
        assert pixels[..., :3].std() > 0.01  # not one colour


def test_without_models_there_is_no_posterior(recorded):
    assert "posterior" not in figures_of(*recorded)
