"""Real STED images, made worse in known ways: the objectives must notice."""

import numpy as np
from scipy.ndimage import gaussian_filter

from stedopt_bluesky.objectives import fourier_ring_correlation, resolution_nm, signal_ratio

PIXEL_NM = 20.0


def rated(sted, confocal):
    return {
        "snr": signal_ratio(sted, confocal),
        "resolution_nm": resolution_nm(sted, PIXEL_NM),
        "frc": fourier_ring_correlation(sted),
    }


def test_worse_images_are_rated_worse(real_image):
    rng = np.random.default_rng(0)
    # A confocal image of the same structure: FWHM 240 nm.
    confocal = rng.poisson(gaussian_filter(real_image.astype(float), 240 / 2.3548 / PIXEL_NM))
    good = rated(real_image, confocal)
    dim = rated(rng.binomial(real_image, 0.1), confocal)
    blurred = rated(rng.poisson(gaussian_filter(real_image.astype(float), 4)), confocal)
    for worse in (dim, blurred):
        assert worse["snr"] < good["snr"]
        assert worse["frc"] < good["frc"]
    assert blurred["resolution_nm"] > 1.2 * good["resolution_nm"]


def test_fewer_photons_resolve_no_more(real_image):
    rng = np.random.default_rng(0)
    dim = [resolution_nm(rng.binomial(real_image, 0.1), PIXEL_NM) for _ in range(9)]
    # Tubulin's filaments are wide and bright enough to be resolved as before.
    assert np.median(dim) > 0.95 * resolution_nm(real_image, PIXEL_NM)
