"""Objectives: photon counts in, one number out.

`rate` computes named objectives of one region's `ImageSet`; `make_rater` makes that a
callback. The functions of arrays behind them stand one per file.
"""

from stedopt_bluesky.objectives.foreground import otsu_foreground, otsu_threshold, sted_foreground
from stedopt_bluesky.objectives.frc import FrcCurve, fourier_ring_correlation, frc_curve
from stedopt_bluesky.objectives.imaging_time import imaging_time_s, imaging_times_s
from stedopt_bluesky.objectives.photobleaching import photobleaching_fraction
from stedopt_bluesky.objectives.prepared import PreparedImages
from stedopt_bluesky.objectives.registry import (
    OBJECTIVES,
    ObjectiveFunction,
    make_rater,
    objective_functions,
    rate,
)
from stedopt_bluesky.objectives.resolution import decorrelation_curves, resolution_nm
from stedopt_bluesky.objectives.snr import signal_ratio

__all__ = [
    "OBJECTIVES",
    "FrcCurve",
    "ObjectiveFunction",
    "PreparedImages",
    "decorrelation_curves",
    "fourier_ring_correlation",
    "frc_curve",
    "imaging_time_s",
    "imaging_times_s",
    "make_rater",
    "objective_functions",
    "otsu_foreground",
    "otsu_threshold",
    "photobleaching_fraction",
    "rate",
    "resolution_nm",
    "signal_ratio",
    "sted_foreground",
]
