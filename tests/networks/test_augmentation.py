import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stedopt_bluesky.networks.augmentation import augmented

# The eight ways in which a square is laid onto itself.
TURNS = [(k, flip) for k in range(4) for flip in (False, True)]


def laid(array, k, flip):
    return np.rot90(array[:, ::-1] if flip else array, k)


def one(seed, size=(12, 12), **more):
    rng = np.random.default_rng(seed)
    image = rng.poisson(50, size).astype(np.float32) + np.arange(size[1])
    mask = image > 60
    options = {"intensity": 0.0, "rotation": "right_angles", **more}
    return image, mask, augmented(image, mask, rng, **options)


@given(st.integers(0, 10**6))
def test_right_angles_move_pixels_and_change_none(seed):
    image, mask, (turned, turned_mask) = one(seed)
    found = [laid for laid in TURNS if np.array_equal(laid_image(image, laid), turned)]
    assert found
    assert any(np.array_equal(laid_image(mask, laid), turned_mask) for laid in found)


def laid_image(array, turn):
    return laid(array, *turn)


def test_all_eight_are_drawn():
    image = np.arange(12.0, dtype=np.float32).reshape(3, 4)
    rng = np.random.default_rng(0)
    drawn = {augmented(image, image > 5, rng, 0.0, "right_angles")[0].tobytes() for _ in range(200)}
    assert len(drawn) == 8


@given(st.integers(0, 10**6), st.floats(0, 0.9))
def test_the_brightness_changes_by_as_much_as_is_asked(seed, intensity):
    image, _, (changed, _) = one(seed, intensity=intensity)
    factor = changed.sum() / image.sum()
    assert 1 - intensity - 1e-4 <= factor <= 1 + intensity + 1e-4


@given(st.integers(0, 10**6))
def test_any_angle_takes_pixels_of_the_image_and_no_others(seed):
    image, mask, (turned, turned_mask) = one(seed, (16, 16), rotation="arbitrary")
    assert turned.shape == turned_mask.shape == image.shape
    assert turned_mask.dtype == mask.dtype
    assert np.isin(turned, image).all()


@pytest.mark.parametrize("rotation", ["right_angles", "arbitrary"])
def test_the_same_seed_draws_the_same(rotation):
    (_, _, first), (_, _, second) = (one(7, rotation=rotation, intensity=0.1) for _ in range(2))
    np.testing.assert_array_equal(first[0], second[0])
    np.testing.assert_array_equal(first[1], second[1])


def test_the_image_itself_is_left_alone():
    image, mask = np.ones((4, 4), np.float32), np.eye(4, dtype=bool)
    image.flags.writeable = mask.flags.writeable = False
    augmented(image, mask, np.random.default_rng(0), 0.5, "arbitrary")
