"""The objectives by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from types import MappingProxyType

from stedopt_bluesky.acquisition import ImageSet, Objective
from stedopt_bluesky.objective_table import OBJECTIVE_TABLE, OF_ALL_CHANNELS
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


_FUNCTIONS = {
    "snr": from_images.snr,
    "photobleaching": from_images.photobleaching,
    "sted_photobleaching": from_images.sted_photobleaching,
    "autocorrelation": from_images.autocorrelation,
    "frc": from_images.frc,
    "resolution_nm": from_images.resolution,
    "fwhm_nm": from_images.fwhm,
    "quality": from_images.quality,
    "quality_last": from_images.last_quality,
    "imaging_time_s": from_images.imaging_time,
    "light_dose_mJ": from_images.light_dose,
    "response_size_ratio": from_images.response_size,
    "df_over_f_peak": from_images.response_peak,
}
_NEEDS = {
    "sted_photobleaching": frozenset({SECOND_STED}),
    "quality": frozenset({SCORE}),
    "quality_last": frozenset({SCORE, SECOND_STED}),
    "response_size_ratio": frozenset({CALCIUM}),
    "df_over_f_peak": frozenset({CALCIUM}),
}

OBJECTIVES: Mapping[str, ObjectiveFunction] = MappingProxyType(
    {
        name: ObjectiveFunction(objective, _FUNCTIONS[name], _NEEDS.get(name, frozenset()))
        for name, objective in OBJECTIVE_TABLE.items()
    }
)


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
        if name not in OF_ALL_CHANNELS
    }
    return {**OBJECTIVES, **further}


def _of_channel(channel: str, function: ObjectiveFunction) -> ObjectiveFunction:
    def evaluate(images: PreparedImages) -> float:
        return function.evaluate(images.of_channel(channel))

    objective = replace(function.objective, name=f"{channel}_{function.objective.name}")
    return replace(function, objective=objective, evaluate=evaluate)
