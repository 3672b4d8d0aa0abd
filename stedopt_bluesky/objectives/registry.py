"""The objectives by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from types import MappingProxyType

from stedopt_bluesky.acquisition import ImageSet, Objective
from stedopt_bluesky.objectives import from_images
from stedopt_bluesky.objectives.prepared import PreparedImages
from stedopt_bluesky.objectives.quality import Score

# What an objective may need beside the three images of every region.
SCORE, SECOND_STED, CALCIUM = "score", "second_sted", "calcium"


@dataclass(frozen=True)
class ObjectiveFunction:
    """An objective and how it is computed from images.

    Parameters
    ----------
    objective : Objective
        Name, unit, direction, range and noise bounds.
    evaluate : callable
        Takes `PreparedImages` and returns the value in the objective's unit, `Invalid` when the
        images give no valid value.
    needs : frozenset of {"score", "second_sted", "calcium"}
        What an experiment must have beside a STED image between two confocal ones: who scores
        images, a second STED image, Ca²⁺ frames. To be asked before the first image.
    """

    objective: Objective
    evaluate: Callable[[PreparedImages], float]
    needs: frozenset[str] = frozenset()

    def __call__(self, images: ImageSet, score: Score | None = None) -> float:
        """Value of the objective for one region's images, `Invalid` where there is none."""
        return self.evaluate(PreparedImages(images, score))


# Lower noise bound 0.001 and upper bounds: the published program's start values (Durand et al.,
# Nat. Commun. 9:5247, 2018), where nothing else is said.
_FUNCTIONS = (
    ObjectiveFunction(
        # 1: the STED image stands out from its background as much as its confocal is bright.
        Objective("snr", "", "maximise", range=(0.0, 1.0), noise_bounds=(0.001, 2.0)),
        from_images.snr,
    ),
    ObjectiveFunction(
        Objective("photobleaching", "", "minimise", range=(0.0, 1.0), noise_bounds=(0.001, 0.1)),
        from_images.photobleaching,
    ),
    ObjectiveFunction(
        # A share of the signal as the photobleaching, and bounded as it.
        Objective(
            "sted_photobleaching", "", "minimise", range=(0.0, 1.0), noise_bounds=(0.001, 0.1)
        ),
        from_images.sted_photobleaching,
        needs=frozenset({SECOND_STED}),
    ),
    ObjectiveFunction(
        # 1: what the clearest lines of real images of the actin lattice reach.
        Objective("autocorrelation", "", "maximise", range=(0.0, 1.0), noise_bounds=(0.001, 0.3)),
        from_images.autocorrelation,
    ),
    ObjectiveFunction(
        Objective("frc", "", "maximise", range=(0.0, 1.0), noise_bounds=(0.001, 0.1)),
        from_images.frc,
    ),
    ObjectiveFunction(
        # From what the strongest depletion gives (three pixels of 20 nm) to near the confocal.
        # Noise: on repeated images of 10 photons at the peak the value scatters by 5-20 nm;
        # the program's 5 nm is for the FWHM of fitted lines. Its lower bound of 0.001 for
        # objectives from 0 to 1 is about 0.1 nm over this range.
        Objective("resolution_nm", "nm", "minimise", range=(60.0, 200.0), noise_bounds=(0.1, 20.0)),
        from_images.resolution,
    ),
    ObjectiveFunction(
        # Range and lower bound as the resolution's; the upper bound is the program's.
        Objective("fwhm_nm", "nm", "minimise", range=(60.0, 200.0), noise_bounds=(0.1, 5.0)),
        from_images.fwhm,
    ),
    ObjectiveFunction(
        Objective("quality", "", "maximise", range=(0.0, 1.0), noise_bounds=(0.001, 0.1)),
        from_images.quality,
        needs=frozenset({SCORE}),
    ),
    ObjectiveFunction(
        Objective("quality_last", "", "maximise", range=(0.0, 1.0), noise_bounds=(0.001, 0.1)),
        from_images.last_quality,
        needs=frozenset({SCORE, SECOND_STED}),
    ),
    ObjectiveFunction(
        # 0-5 s: 224² pixels at the longest dwelltime of the presets, 100 µs.
        Objective("imaging_time_s", "s", "minimise", range=(0.0, 5.0), modelled=False),
        from_images.imaging_time,
    ),
    ObjectiveFunction(
        # 1800 mJ: these 5 s with the highest depletion power of the presets, 360 mW.
        Objective("light_dose_mJ", "mJ", "minimise", range=(0.0, 1800.0), modelled=False),
        from_images.light_dose,
    ),
    ObjectiveFunction(
        # The wanted response is strong, but local. Upper bound: the paper's for all objectives
        # that it names no other for.
        Objective(
            "response_size_ratio", "", "minimise", range=(0.0, 1.0), noise_bounds=(0.001, 0.3)
        ),
        from_images.response_size,
        needs=frozenset({CALCIUM}),
    ),
    ObjectiveFunction(
        # 10: about what a spine's Ca²⁺ indicator gains at most. Upper bound: the paper's for the
        # maximal Ca²⁺ intensity; lower: 0.001 of the range.
        Objective("df_over_f_peak", "", "maximise", range=(0.0, 10.0), noise_bounds=(0.01, 3.0)),
        from_images.response_peak,
        needs=frozenset({CALCIUM}),
    ),
)

OBJECTIVES: Mapping[str, ObjectiveFunction] = MappingProxyType(
    {function.objective.name: function for function in _FUNCTIONS}
)


# What is of all channels together.
_OF_ALL_CHANNELS = ("imaging_time_s", "light_dose_mJ")


def objective_functions(
    names: Sequence[str], channels: Sequence[str] = ()
) -> dict[str, ObjectiveFunction]:
    """Look objectives up by name; a name given twice is looked up once.

    Parameters
    ----------
    names : sequence of str
        Names in `OBJECTIVES`; of a further channel with its name before it, as
        ``"orange_quality"``.
    channels : sequence of str
        Names of the further channels.

    Raises
    ------
    ValueError
        When a name is unknown; the message names it, the closest and the allowed ones.
    """
    known = all_objectives(channels)
    for name in names:
        if name not in known:
            close = get_close_matches(str(name), known, n=1)
            hint = f"did you mean {close[0]!r}? " if close else ""
            raise ValueError(f"unknown objective {name!r}; {hint}allowed are: {', '.join(known)}")
    return {name: known[name] for name in names}


def all_objectives(channels: Sequence[str]) -> dict[str, ObjectiveFunction]:
    """Objectives by name: those of the first channel, and of each further one."""
    further = {
        f"{channel}_{name}": _of_channel(channel, function)
        for channel in channels
        for name, function in OBJECTIVES.items()
        if name not in _OF_ALL_CHANNELS
    }
    return {**OBJECTIVES, **further}


def _of_channel(channel: str, function: ObjectiveFunction) -> ObjectiveFunction:
    def evaluate(images: PreparedImages) -> float:
        return function.evaluate(images.of_channel(channel))

    objective = replace(function.objective, name=f"{channel}_{function.objective.name}")
    return replace(function, objective=objective, evaluate=evaluate)
