"""How each objective is computed from a region's images: which image goes where."""

from __future__ import annotations

import math

from stedopt_bluesky.acquisition import ImageSet, Invalid
from stedopt_bluesky.objectives.autocorrelation import autocorrelation_of_lines, filament_lines
from stedopt_bluesky.objectives.calcium import df_over_f_peak, response_size_ratio
from stedopt_bluesky.objectives.frc import fourier_ring_correlation
from stedopt_bluesky.objectives.fwhm import cross_lines, fwhm_nm
from stedopt_bluesky.objectives.imaging_time import imaging_time_s
from stedopt_bluesky.objectives.light_dose import light_dose_mJ
from stedopt_bluesky.objectives.photobleaching import (
    photobleaching_fraction,
    sted_photobleaching_fraction,
)
from stedopt_bluesky.objectives.prepared import PreparedImages
from stedopt_bluesky.objectives.resolution import resolution_nm
from stedopt_bluesky.objectives.snr import signal_ratio

NO_CALCIUM = "there are no Ca²⁺ frames"


def snr(images: PreparedImages) -> float:
    """Signal ratio of the STED image."""
    return signal_ratio(
        images.sted,
        images.confocal1,
        sted_fg=images.sted_foreground,
        confocal1_fg=images.confocal1_foreground,
    )


def photobleaching(images: PreparedImages) -> float:
    """Loss between the confocal images."""
    return photobleaching_fraction(
        images.confocal1, images.confocal2, confocal1_fg=images.confocal1_foreground
    )


def sted_photobleaching(images: PreparedImages) -> float:
    """Loss between the first and the last STED image."""
    if len(images.images.sted) < 2:
        return Invalid("there is no second STED image")
    return sted_photobleaching_fraction(
        images.sted, images.last_sted, first_fg=images.sted_foreground
    )


def autocorrelation(images: PreparedImages) -> float:
    """Autocorrelation along the lines of a person, else along the confocal image's filaments."""
    lines = images.images.lines or filament_lines(images.confocal1)
    return autocorrelation_of_lines(images.sted, lines)


def frc(images: PreparedImages) -> float:
    """Fourier ring correlation of the STED image."""
    return fourier_ring_correlation(images.sted)


def resolution(images: PreparedImages) -> float:
    """Resolution of the STED image, nm."""
    return resolution_nm(images.sted, images.images.pixel_size_nm)


def fwhm(images: PreparedImages) -> float:
    """Width across the lines of a person, else across the STED image's filaments, nm."""
    lines = images.images.lines or cross_lines(images.sted)
    return fwhm_nm(images.sted, lines, images.images.pixel_size_nm)


def quality(images: PreparedImages) -> float:
    """Score of the first STED image."""
    return images.quality


def last_quality(images: PreparedImages) -> float:
    """Score of the last STED image."""
    return images.last_quality


def imaging_time(images: PreparedImages) -> float:
    """Time of one STED image, all channels one after the other, s."""
    of = images.images
    height, width = images.sted.shape
    return sum(
        imaging_time_s(channel.dwelltime_us, channel.line_steps, (height, width), channel.frames)
        for channel in (of, *of.channels.values())
    )


def light_dose(images: PreparedImages) -> float:
    """Energy of all STED images of all channels, mJ."""
    of = images.images
    doses = [_light_dose(channel, images.sted.shape) for channel in (of, *of.channels.values())]
    invalid = [dose for dose in doses if isinstance(dose, Invalid)]
    return invalid[0] if invalid else sum(doses)


def _light_dose(of: ImageSet, shape: tuple[int, ...]) -> float:
    if math.isnan(of.excitation_power_uW) or math.isnan(of.depletion_power_mW):
        return Invalid("the lasers' powers are not known")
    height, width = shape
    return light_dose_mJ(
        of.excitation_power_uW,
        of.depletion_power_mW,
        of.dwelltime_us,
        of.line_steps,
        (height, width),
        len(of.sted),
        of.frames,
    )


def response_peak(images: PreparedImages) -> float:
    """Strongest ΔF/F after the uncaging pulse."""
    frames = images.images.calcium
    return Invalid(NO_CALCIUM) if frames is None else df_over_f_peak(frames)


def response_size(images: PreparedImages) -> float:
    """Share of the foreground that responds to the uncaging pulse."""
    frames = images.images.calcium
    return Invalid(NO_CALCIUM) if frames is None else response_size_ratio(frames)
