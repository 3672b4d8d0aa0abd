import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stedopt_bluesky.objectives.filaments import find_filaments, lines_across, lines_along
from stedopt_bluesky.objectives.line_profiles import leaves_image

ROWS, COLUMNS = np.mgrid[:160, :160] - 79.5


def straight(angle, width_px=8.0, shift=0.0):
    """A bright line through the middle at an angle from the x axis; Gaussian across."""
    distance = ROWS * math.cos(angle) - COLUMNS * math.sin(angle) - shift
    return 100 * np.exp(-0.5 * (distance / width_px) ** 2)


def angle_between(vectors, angle):
    """Angle between undirected vectors (y, x) and a direction, in rad."""
    cosine = np.abs(vectors @ np.array([math.sin(angle), math.cos(angle)]))
    return np.arccos(np.minimum(cosine, 1))


def direction(line):
    vector = np.array([line.y1 - line.y0, line.x1 - line.x0])
    return vector / np.hypot(*vector)


@given(st.floats(0, math.pi))
@settings(deadline=None, max_examples=25)
def test_the_direction_of_a_straight_filament(angle):
    filaments = find_filaments(straight(angle), 3)
    inside = np.abs(filaments.points - 80).max(axis=1) < 50  # away from the border
    assert inside.sum() > 60
    assert angle_between(filaments.along[inside], angle).max() < math.radians(3)
    assert angle_between(filaments.across[inside], angle + math.pi / 2).max() < math.radians(3)


def test_a_curved_filament_is_followed_around():
    radius = np.hypot(ROWS, COLUMNS)
    filaments = find_filaments(np.exp(-0.5 * ((radius - 50) / 4) ** 2), 2)
    outwards = (filaments.points - 79.5) / 50
    assert np.abs((outwards**2).sum(axis=1) - 1).max() < 0.1
    assert np.abs((filaments.along * outwards).sum(axis=1)).max() < math.sin(math.radians(8))


@given(st.floats(0, math.pi), st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=15)
def test_lines_lie_along_and_across_a_noisy_filament(angle, seed):
    image = np.random.default_rng(seed).poisson(straight(angle, 6.0) / 10 + 0.5)
    filaments = find_filaments(image, 3)
    for lines, of in ((lines_along, angle), (lines_across, angle + math.pi / 2)):
        found = lines(filaments, 40)
        assert 2 <= len(found) <= 12
        for line in found:
            assert not leaves_image(line, image.shape)
            assert math.hypot(line.y1 - line.y0, line.x1 - line.x0) == pytest.approx(39)
        # Most: one or the other begins on a spur of the skeleton.
        off = [angle_between(direction(line), of) for line in found]
        assert np.median(off) < math.radians(10)


def test_lines_along_stay_on_the_foreground():
    filaments = find_filaments(straight(0.4, 4.0), 3)
    for line in lines_along(filaments, 40):
        y, x = np.linspace((line.y0, line.x0), (line.y1, line.x1), 40).T
        assert filaments.foreground[y.round().astype(int), x.round().astype(int)].all()


def test_no_line_of_40_pixels_on_a_ring_of_30():
    ring = np.exp(-0.5 * ((np.hypot(ROWS, COLUMNS) - 15) / 2) ** 2)
    assert lines_along(find_filaments(ring, 2), 40) == ()


def test_lines_across_see_one_filament_each():
    alone = lines_across(find_filaments(straight(0, 3.0), 2), 31)
    beside = straight(0, 3.0) + straight(0, 3.0, shift=14)
    assert len(alone) >= 5
    assert lines_across(find_filaments(beside, 2), 31) == ()


def test_lines_are_spread_over_the_image():
    combed = sum(straight(0, 3.0, shift) for shift in (-60, -20, 20, 60))
    lines = lines_across(find_filaments(combed, 2), 31)
    assert len(lines) == 12
    middles = np.array([(line.y0 + line.y1) / 2 for line in lines])
    for shift in (-60, -20, 20, 60):
        assert np.abs(middles - 79.5 - shift).min() < 1


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((0, 0)),
        np.ones((1, 1)),
        np.eye(3),
        np.array([[0, 1]]),
        np.full((50, 50), 7),
        np.where(np.eye(50) > 0, np.nan, 1),
    ],
)
def test_no_filament_no_line(image):
    filaments = find_filaments(image, 2)
    assert filaments.foreground.shape == image.shape
    assert not filaments.foreground.any()
    assert filaments.points.shape == filaments.along.shape == filaments.across.shape == (0, 2)
    assert lines_along(filaments, 40) == lines_across(filaments, 31) == ()


def test_offset_and_scale_do_not_matter():
    image = np.random.default_rng(0).poisson(straight(0.3) / 10)
    found = find_filaments(image, 3)
    moved = find_filaments((200 * image - 30000).astype(np.int16), 3)
    np.testing.assert_array_equal(found.points, moved.points)
    np.testing.assert_allclose(found.along, moved.along, atol=1e-6)
