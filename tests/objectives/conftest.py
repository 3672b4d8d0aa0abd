"""Synthetic images of known answer, and the real ones where they are at hand."""

from __future__ import annotations

import pathlib
from collections.abc import Callable

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from tifffile import imread

FWHM_PER_SIGMA = 2.0 * np.sqrt(2.0 * np.log(2.0))

PsfImage = Callable[..., np.ndarray]


@pytest.fixture
def points_image() -> PsfImage:
    """Sparse emitters behind a Gaussian PSF: expected photon counts, or Poisson counts."""

    def make(
        fwhm_px: float, photons: float | None = None, *, size: int = 224, seed: int = 0
    ) -> np.ndarray:
        rng = np.random.default_rng(seed)
        emitters = (rng.random((size, size)) < 0.01).astype(float)
        image = gaussian_filter(emitters, fwhm_px / FWHM_PER_SIGMA, mode="wrap")
        image /= np.percentile(image, 99.5)
        return image if photons is None else rng.poisson(image * photons + 0.5)

    return make


@pytest.fixture(params=["actin_1.tiff", "actin_2.tiff", "3.tif", "tubulin.tiff"])
def real_image(request: pytest.FixtureRequest) -> np.ndarray:
    """One of four real STED images, 224 × 224 pixels of 20 nm, photon counts."""
    path = pathlib.Path(__file__).parents[2].parent / "shared" / "data" / "actin" / request.param
    if not path.exists():
        pytest.skip(f"no {request.param}")
    return imread(path)
