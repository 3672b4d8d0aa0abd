"""Objectives: photon counts in, one number out.

`rate` computes named objectives of one region's `ImageSet`; `make_rater` makes that a
callback. The functions of arrays behind them stand one per file.
"""

from stedopt_bluesky.objectives.autocorrelation import (
    autocorrelation_amplitude,
    autocorrelation_of_lines,
    filament_lines,
)
from stedopt_bluesky.objectives.calcium import (
    df_over_f_peak,
    is_local,
    response_size_ratio,
    tile_response,
)
from stedopt_bluesky.objectives.foreground import otsu_foreground, otsu_threshold, sted_foreground
from stedopt_bluesky.objectives.frc import FrcCurve, fourier_ring_correlation, frc_curve
from stedopt_bluesky.objectives.fwhm import cross_lines, fit_gaussian, fwhm_nm
from stedopt_bluesky.objectives.imaging_time import imaging_time_s, imaging_times_s
from stedopt_bluesky.objectives.light_dose import light_dose_mJ, light_doses_mJ
from stedopt_bluesky.objectives.line_profiles import line_profile
from stedopt_bluesky.objectives.photobleaching import (
    photobleaching_fraction,
    sted_photobleaching_fraction,
)
from stedopt_bluesky.objectives.prepared import PreparedImages
from stedopt_bluesky.objectives.quality import Score
from stedopt_bluesky.objectives.rating import make_rater, rate
from stedopt_bluesky.objectives.registry import (
    OBJECTIVES,
    ObjectiveFunction,
    all_objectives,
    objective_functions,
)
from stedopt_bluesky.objectives.resolution import decorrelation_curves, resolution_nm
from stedopt_bluesky.objectives.snr import signal_ratio

__all__ = [
    "OBJECTIVES",
    "FrcCurve",
    "ObjectiveFunction",
    "PreparedImages",
    "Score",
    "all_objectives",
    "autocorrelation_amplitude",
    "autocorrelation_of_lines",
    "cross_lines",
    "decorrelation_curves",
    "df_over_f_peak",
    "filament_lines",
    "fit_gaussian",
    "fourier_ring_correlation",
    "frc_curve",
    "fwhm_nm",
    "imaging_time_s",
    "imaging_times_s",
    "is_local",
    "light_dose_mJ",
    "light_doses_mJ",
    "line_profile",
    "make_rater",
    "objective_functions",
    "otsu_foreground",
    "otsu_threshold",
    "photobleaching_fraction",
    "rate",
    "resolution_nm",
    "response_size_ratio",
    "signal_ratio",
    "sted_foreground",
    "sted_photobleaching_fraction",
    "tile_response",
]
