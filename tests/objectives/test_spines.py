"""Spines on an overview, against the twin that knows where they are."""

import dataclasses
import math

import numpy as np
import pytest

from stedopt_bluesky.acquisition import Spine
from stedopt_bluesky.objectives.spines import find_cells, find_spines, with_free_axis
from stedopt_bluesky.twin.exposure import Exposure, Optics
from stedopt_bluesky.twin.fluorophores import FLUOROPHORES
from stedopt_bluesky.twin.photophysics import LitLabel, expose_labels
from stedopt_bluesky.twin.specimens import dendrites_with_indicator

FIELD_UM, PIXEL_NM, POWER_W = 40.0, 100.0, 6e-6
# A candidate this near to a head is that spine.
SAME_UM = 0.4


def overview_of(seed):
    _, indicator = dendrites_with_indicator(seed, FIELD_UM * 1e-6, 1, FLUOROPHORES["STAR635P"])
    pixels = round(FIELD_UM * 1000 / PIXEL_NM)
    exposure = Exposure(0.0, 0.0, PIXEL_NM * 1e-9, (pixels, pixels), 10e-6, 1, POWER_W, 0.0)
    lit = LitLabel(indicator.sample, indicator.fluorophore, POWER_W, 0.0)
    image = expose_labels(exposure, [lit], Optics(), np.random.default_rng(seed))
    return image, indicator.activity.dendrites.spines


@pytest.fixture(scope="module")
def overviews():
    return [overview_of(seed) for seed in range(6)]


def test_most_spines_are_found_and_most_candidates_are_spines(overviews):
    found = right = true = 0
    for image, spines in overviews:
        candidates = find_spines(image, PIXEL_NM, 4.0)
        heads = np.array([(s.x_m * 1e6, s.y_m * 1e6) for s in spines])
        near = [np.hypot(*(heads - (c.x_um, c.y_um)).T) for c in candidates]
        right += len({int(d.argmin()) for d in near if d.min() < SAME_UM})
        found += len(candidates)
        true += len(spines)

    assert right / found > 0.85
    assert right / true > 0.6


def test_the_axes_lead_away_from_the_dendrite(overviews):
    angles = []
    for image, spines in overviews:
        for c in find_spines(image, PIXEL_NM, 4.0):
            for s in spines:
                if math.hypot(s.x_m * 1e6 - c.x_um, s.y_m * 1e6 - c.y_um) < 0.2:
                    along = s.axis_x * c.axis_x + s.axis_y * c.axis_y
                    angles.append(math.degrees(math.acos(min(1.0, along))))

    assert np.median(angles) < 20


def test_a_free_axis_meets_no_structure(overviews):
    image, _ = overviews[0]
    cells = find_cells(image, PIXEL_NM)
    spines = find_spines(image, PIXEL_NM, 4.0, cells)
    looked_at = with_free_axis(spines, cells, 3.0)
    free = [spine for spine in looked_at if spine.free_um == 3.0]

    assert len(looked_at) == len(spines)
    assert len(free) > len(spines) / 2
    for spine in free:
        assert cells.is_free(*spine.spot_um(1.0))
        assert cells.is_free(*spine.spot_um(3.0))
        # The other way there is the dendrite.
        assert not all(cells.is_free(*spine.spot_um(-d)) for d in np.arange(0.2, 3.0, 0.05))


def test_an_axis_into_the_dendrite_or_out_of_the_field_is_not_free(overviews):
    image, _ = overviews[0]
    cells = find_cells(image, PIXEL_NM)
    spines = find_spines(image, PIXEL_NM, 4.0, cells)
    inwards = [dataclasses.replace(s, axis_x=-s.axis_x, axis_y=-s.axis_y) for s in spines]
    at_the_edge = Spine(FIELD_UM / 2 - 1.5, FIELD_UM / 2 - 1.5, 4.0, 1.0, 0.0)

    assert all(spine.free_um < 3.0 for spine in with_free_axis(inwards, cells, 3.0))
    (edge,) = with_free_axis([at_the_edge], cells, 3.0)
    assert 1.3 < edge.free_um < 1.6


def test_nothing_is_free_outside_of_the_image(overviews):
    cells = find_cells(overviews[0][0], PIXEL_NM)
    assert not cells.is_free(FIELD_UM, 0.0)


@pytest.mark.parametrize(
    "image",
    [np.zeros((100, 100), np.int16), np.full((100, 100), 7, np.int16), np.zeros((3, 3), np.int16)],
)
def test_an_image_of_nothing_has_no_spines(image):
    assert find_spines(image, PIXEL_NM, 4.0) == []


def test_noise_alone_has_no_spines():
    image = np.random.default_rng(0).poisson(0.2, (400, 400)).astype(np.int16)
    assert len(find_spines(image, PIXEL_NM, 4.0)) == 0


def test_large_pixels_are_refused():
    with pytest.raises(ValueError, match=r"pixel_size_nm = 300: above 0, at most 200"):
        find_spines(np.zeros((10, 10), np.int16), 300.0, 4.0)
