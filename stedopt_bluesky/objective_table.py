"""The objectives' names, units, directions and ranges, without what computes them.

Light to import: whoever reads what a run has come to needs no mathematics for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from stedopt_bluesky.acquisition import Objective

# Lower noise bound 0.001 and upper bounds: the published program's start values (Durand et al.,
# Nat. Commun. 9:5247, 2018), where nothing else is said.
_OBJECTIVES = (
    # 1: the STED image stands out from its background as much as its confocal is bright.
    Objective("snr", "", "maximise", range=(0.0, 1.0), noise_bounds=(0.001, 2.0)),
    Objective("photobleaching", "", "minimise", range=(0.0, 1.0), noise_bounds=(0.001, 0.1)),
    # A share of the signal as the photobleaching, and bounded as it.
    Objective("sted_photobleaching", "", "minimise", range=(0.0, 1.0), noise_bounds=(0.001, 0.1)),
    # 1: what the clearest lines of real images of the actin lattice reach.
    Objective("autocorrelation", "", "maximise", range=(0.0, 1.0), noise_bounds=(0.001, 0.3)),
    Objective("frc", "", "maximise", range=(0.0, 1.0), noise_bounds=(0.001, 0.1)),
    # From what the strongest depletion gives (three pixels of 20 nm) to near the confocal.
    # Noise: on repeated images of 10 photons at the peak the value scatters by 5-20 nm;
    # the program's 5 nm is for the FWHM of fitted lines. Its lower bound of 0.001 for
    # objectives from 0 to 1 is about 0.1 nm over this range.
    Objective("resolution_nm", "nm", "minimise", range=(60.0, 200.0), noise_bounds=(0.1, 20.0)),
    # Range and lower bound as the resolution's; the upper bound is the program's.
    Objective("fwhm_nm", "nm", "minimise", range=(60.0, 200.0), noise_bounds=(0.1, 5.0)),
    Objective("quality", "", "maximise", range=(0.0, 1.0), noise_bounds=(0.001, 0.1)),
    Objective("quality_last", "", "maximise", range=(0.0, 1.0), noise_bounds=(0.001, 0.1)),
    # 0-5 s: 224² pixels at the longest dwelltime of the presets, 100 µs.
    Objective("imaging_time_s", "s", "minimise", range=(0.0, 5.0), modelled=False),
    # 1800 mJ: these 5 s with the highest depletion power of the presets, 360 mW.
    Objective("light_dose_mJ", "mJ", "minimise", range=(0.0, 1800.0), modelled=False),
    # The wanted response is strong, but local. Upper bound: the paper's for all objectives
    # that it names no other for.
    Objective("response_size_ratio", "", "minimise", range=(0.0, 1.0), noise_bounds=(0.001, 0.3)),
    # 10: about what a spine's Ca²⁺ indicator gains at most. Upper bound: the paper's for the
    # maximal Ca²⁺ intensity; lower: 0.001 of the range.
    Objective("df_over_f_peak", "", "maximise", range=(0.0, 10.0), noise_bounds=(0.01, 3.0)),
)

OBJECTIVE_TABLE: Mapping[str, Objective] = MappingProxyType(
    {objective.name: objective for objective in _OBJECTIVES}
)

# What is of all channels together.
OF_ALL_CHANNELS = ("imaging_time_s", "light_dose_mJ")


def known_objective(name: str) -> Objective | None:
    """Objective of a name, also of one of a further channel (``"orange_quality"``); else None."""
    known = [n for n in OBJECTIVE_TABLE if name == n or _is_of_channel(name, n)]
    # The longest: photobleaching is the end of sted_photobleaching too.
    return OBJECTIVE_TABLE[max(known, key=len)] if known else None


def _is_of_channel(name: str, own: str) -> bool:
    return own not in OF_ALL_CHANNELS and name.endswith(f"_{own}")
