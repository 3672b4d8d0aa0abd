"""The objectives by name, and the rating of a region's images by some of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from types import MappingProxyType

from stedopt_bluesky.acquisition import ImageSet, Objective
from stedopt_bluesky.objectives.frc import fourier_ring_correlation
from stedopt_bluesky.objectives.imaging_time import imaging_time_s
from stedopt_bluesky.objectives.photobleaching import photobleaching_fraction
from stedopt_bluesky.objectives.prepared import PreparedImages
from stedopt_bluesky.objectives.resolution import resolution_nm
from stedopt_bluesky.objectives.snr import signal_ratio


@dataclass(frozen=True)
class ObjectiveFunction:
    """An objective and how it is computed from images.

    Parameters
    ----------
    objective : Objective
        Name, unit, direction, range and noise bounds.
    evaluate : callable
        Takes `PreparedImages` and returns the value in the objective's unit, NaN when the
        images give no valid value.
    """

    objective: Objective
    evaluate: Callable[[PreparedImages], float]

    def __call__(self, images: ImageSet) -> float:
        """Value of the objective for one region's images, NaN when invalid."""
        return self.evaluate(PreparedImages(images))


def _snr(images: PreparedImages) -> float:
    return signal_ratio(
        images.sted,
        images.confocal1,
        sted_fg=images.sted_foreground,
        confocal1_fg=images.confocal1_foreground,
    )


def _photobleaching(images: PreparedImages) -> float:
    return photobleaching_fraction(
        images.confocal1, images.confocal2, confocal1_fg=images.confocal1_foreground
    )


def _resolution_nm(images: PreparedImages) -> float:
    return resolution_nm(images.sted, images.images.pixel_size_nm)


def _frc(images: PreparedImages) -> float:
    return fourier_ring_correlation(images.sted)


def _imaging_time_s(images: PreparedImages) -> float:
    height, width = images.sted.shape
    return imaging_time_s(images.images.dwelltime_us, images.images.line_steps, (height, width))


# Lower noise bound 0.001 and upper bounds: the published program's start values (Durand et al.,
# Nat. Commun. 9:5247, 2018), but for the resolution, which it did not have.
_FUNCTIONS = (
    ObjectiveFunction(
        # 1: the STED image stands out from its background as much as its confocal is bright.
        Objective("snr", "", "maximise", range=(0.0, 1.0), noise_bounds=(0.001, 2.0)),
        _snr,
    ),
    ObjectiveFunction(
        Objective("photobleaching", "", "minimise", range=(0.0, 1.0), noise_bounds=(0.001, 0.1)),
        _photobleaching,
    ),
    ObjectiveFunction(
        # From what the strongest depletion gives (three pixels of 20 nm) to near the confocal.
        # Noise: on repeated images of 10 photons at the peak the value scatters by 5-20 nm;
        # the program's 5 nm is for the FWHM of fitted lines. Its lower bound of 0.001 for
        # objectives from 0 to 1 is about 0.1 nm over this range.
        Objective("resolution_nm", "nm", "minimise", range=(60.0, 200.0), noise_bounds=(0.1, 20.0)),
        _resolution_nm,
    ),
    ObjectiveFunction(
        Objective("frc", "", "maximise", range=(0.0, 1.0), noise_bounds=(0.001, 0.1)),
        _frc,
    ),
    ObjectiveFunction(
        # 0-5 s: 224² pixels at the longest dwelltime of the presets, 100 µs.
        Objective("imaging_time_s", "s", "minimise", range=(0.0, 5.0), modelled=False),
        _imaging_time_s,
    ),
)

OBJECTIVES: Mapping[str, ObjectiveFunction] = MappingProxyType(
    {function.objective.name: function for function in _FUNCTIONS}
)


def objective_functions(names: Sequence[str]) -> dict[str, ObjectiveFunction]:
    """Look objectives up by name; a name given twice is looked up once.

    Raises
    ------
    ValueError
        When a name is unknown; the message names it, the closest and the allowed ones.
    """
    for name in names:
        if name not in OBJECTIVES:
            close = get_close_matches(str(name), OBJECTIVES, n=1)
            hint = f"did you mean {close[0]!r}? " if close else ""
            raise ValueError(
                f"unknown objective {name!r}; {hint}allowed are: {', '.join(OBJECTIVES)}"
            )
    return {name: OBJECTIVES[name] for name in names}


def make_rater(names: Sequence[str]) -> Callable[[ImageSet], dict[str, float]]:
    """Make the function that rates a region's images by the named objectives.

    Parameters
    ----------
    names : sequence of str
        Names in `OBJECTIVES`.

    Returns
    -------
    callable
        Takes an `ImageSet`, returns name → value in the order of ``names``, NaN for an
        objective that the images give no valid value of. The masks that several objectives
        need are computed once. It raises ValueError when the images do not fit one another.

    Raises
    ------
    ValueError
        When a name is unknown, at once and not only when the first image is there.
    """
    functions = objective_functions(names)

    def rate_images(images: ImageSet) -> dict[str, float]:
        prepared = PreparedImages(images)
        return {name: function.evaluate(prepared) for name, function in functions.items()}

    return rate_images


def rate(images: ImageSet, names: Sequence[str]) -> dict[str, float]:
    """Rate one region's images by the named objectives; see `make_rater`.

    Parameters
    ----------
    images : ImageSet
        The images of one region.
    names : sequence of str
        Names in `OBJECTIVES`.

    Returns
    -------
    dict of str to float
        Value of each objective in its unit, NaN where invalid.

    Raises
    ------
    ValueError
        When a name is unknown or the images do not fit one another.
    """
    return make_rater(names)(images)
