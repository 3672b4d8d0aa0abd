import numpy as np
import pytest

from stedopt_bluesky.objectives.rings import fourier_rings

SHAPES = [(16, 16), (15, 15), (16, 15), (15, 16), (12, 30), (31, 8)]


def slow_rings(shape, n):
    """Ring of every pixel of the whole plane, -1 outside, pixel by pixel."""
    height, width = shape
    rings = np.full(shape, -1)
    for y in range(height):
        for x in range(width):
            signed_y = y if 2 * y <= height else y - height
            signed_x = x if 2 * x <= width else x - width
            # Squared whole numbers and one division: no rounding on a ring's border.
            numerator = (signed_y * width) ** 2 + (signed_x * height) ** 2
            for ring in range(n):
                # ring <= k · n < ring + 1 with k² = 4 · numerator / (height · width)²
                inner, outer = (r * height * width for r in (ring, ring + 1))
                if inner**2 <= 4 * n**2 * numerator < outer**2:
                    rings[y, x] = ring
    return rings


@pytest.mark.parametrize("shape", SHAPES)
def test_sums_are_those_of_the_whole_plane(shape):
    n = min(shape) // 2
    rings = slow_rings(shape, n)
    image = np.random.default_rng(0).normal(size=shape)
    power = np.abs(np.fft.fft2(image)) ** 2
    expected = [power[rings == r].sum() for r in range(n)]
    fast = fourier_rings(shape, n)
    np.testing.assert_allclose(fast.sum(np.abs(np.fft.rfft2(image)) ** 2), expected)
    np.testing.assert_array_equal(fast.pixels, [(rings == r).sum() for r in range(n)])


def test_floor_rings_of_a_square():
    # |k| in [0,1): 1 pixel; [1,2): (±1,0), (0,±1), (±1,±1): 8; [2,3): radius² 4, 5, 8: 16
    assert fourier_rings((64, 64), 32).pixels[:3].tolist() == [1, 8, 16]


def test_mean_frequency():
    # Of ring 1: four pixels at 1 and four at √2, of 32 to Nyquist.
    frequency = fourier_rings((64, 64), 32).frequency
    np.testing.assert_allclose(frequency[:2], [0, (1 + 2**0.5) / 2 / 32])
    # Finer rings than pixels: no pixel lies between 1/2 and 1, so the ring's middle is given.
    fine = fourier_rings((64, 64), 64)
    np.testing.assert_allclose(fine.frequency[:3], np.array([0, 1.5, 1 + 2**0.5]) / 64)
    assert fine.pixels[:3].tolist() == [1, 0, 8]


def test_kept_and_read_only():
    rings = fourier_rings((16, 16), 8)
    assert fourier_rings((16, 16), 8) is rings
    with pytest.raises(ValueError, match="read-only"):
        rings.pixels[0] = 1
