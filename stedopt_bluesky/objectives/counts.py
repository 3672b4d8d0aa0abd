"""Photon counts as the objectives want them: float64, two axes, one shape; or why not.

The detectors deliver int16. Everything is converted to float64 first, so that no
sum, difference or square of counts can overflow.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from stedopt_bluesky.acquisition import Image, Invalid

FloatImage = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

# Up to here every whole number is a float64; no detector counts that many photons.
LARGEST_COUNT = 2.0**53

# What the reasons call the image that most objectives rate.
STED = "the STED image"


def as_counts(image: Image) -> FloatImage:
    """Image as float64.

    Parameters
    ----------
    image : ndarray, shape (Y, X)
        Photon counts of any real type.

    Raises
    ------
    ValueError
        When the array does not have two axes.
    """
    counts = np.asarray(image, dtype=np.float64)
    if counts.ndim != 2:
        raise ValueError(f"expected an image of shape (Y, X), got an array of shape {counts.shape}")
    return counts


def check_same_shape(images: Mapping[str, Image]) -> None:
    """Compare the shapes of the images of one region.

    Parameters
    ----------
    images : mapping of str to ndarray
        The images by the name that the message is to give them.

    Raises
    ------
    ValueError
        When the shapes differ; the message names every image and its shape.
    """
    shapes = {name: np.shape(image) for name, image in images.items()}
    if len(set(shapes.values())) > 1:
        named = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        raise ValueError(f"the images of one region must have one shape, got {named}")


def are_counts(image: FloatImage) -> bool:
    """Whether an image can be evaluated at all: not empty, every pixel a finite count.

    A pixel that is NaN, infinite or beyond ±2⁵³ makes the answer False. Negative
    values are let pass: a detector's offset correction may produce them.
    """
    if image.size == 0:
        return False
    # NaN compares False, so one expression refuses NaN, ±inf and absurd values.
    return bool(image.min() >= -LARGEST_COUNT and image.max() <= LARGEST_COUNT)


def has_contrast(image: FloatImage) -> bool:
    """Whether an image can be evaluated and is not the same count everywhere."""
    return are_counts(image) and bool(image.min() < image.max())


def no_counts(image: FloatImage, name: str) -> str:
    """Why an image cannot be evaluated at all; ``""`` where it can (see `are_counts`).

    Parameters
    ----------
    image : ndarray
        Photon counts.
    name : str
        What the reason is to call the image.
    """
    if image.size == 0:
        return f"{name} is empty"
    return "" if are_counts(image) else f"a pixel of {name} is not a finite count"


def no_contrast(image: FloatImage, name: str, smallest_side: int = 1) -> str:
    """Why an image shows nothing; ``""`` where it may show something.

    Parameters
    ----------
    image : ndarray, shape (Y, X)
        Photon counts.
    name : str
        What the reason is to call the image.
    smallest_side : int
        Pixels that an image must have along either axis.
    """
    if reason := no_counts(image, name):
        return reason
    if min(image.shape) < smallest_side:
        return f"{name} is smaller than {smallest_side} pixels"
    return "" if has_contrast(image) else f"{name} is constant"


def ratio(numerator: float, denominator: float, otherwise: str) -> float:
    """Quotient over a positive denominator.

    Parameters
    ----------
    numerator, denominator : float
        Finite.
    otherwise : str
        The reason for an invalid value where the denominator is not positive, or so small
        that the quotient is not finite.
    """
    if not denominator > 0:
        return Invalid(otherwise)
    quotient = float(numerator) / float(denominator)
    return quotient if math.isfinite(quotient) else Invalid(otherwise)
