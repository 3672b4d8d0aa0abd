"""A quality network at work: photon counts in, scores and score maps out."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.utils.fusion import fuse_conv_bn_eval

from stedopt_bluesky.acquisition import Image, Invalid
from stedopt_bluesky.networks.mask import score_mask
from stedopt_bluesky.networks.quality import STRIDE, QualityNetwork, masked_mean
from stedopt_bluesky.networks.tensors import load_tensors
from stedopt_bluesky.networks.weights import Weights, WeightsError, find_weights, load_weights

FloatImage = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

# Images of one pass through the network: the largest intermediate result of four of 224² pixels
# has 26 MB. Larger ones go back to the system after each pass and are fetched anew: with 16 in
# a pass an image takes 23 ms in place of 16 ms.
BATCH = 4
# More threads than this cost more in waiting than they save on an image of 224² pixels.
MAX_THREADS = 4
# Nothing larger is imaged; a few of them already fill the memory of a small computer.
MAX_PIXELS = 4096**2


@dataclass(frozen=True, eq=False)
class Rated:
    """What a quality network says of one image.

    Parameters
    ----------
    score : float
        Between 0 and 1; `Invalid` with the reason where there is none.
    map : ndarray of float32, shape (Y, X)
        Score of each pixel, between 0 and 1; of no meaning outside the foreground.
    foreground : ndarray of bool, shape (Y, X)
        Over which the score is the mean.
    """

    score: float
    map: FloatImage
    foreground: Mask


def use_threads(threads: int | None = None) -> None:
    """Set torch's threads for the whole process.

    Parameters
    ----------
    threads : int, optional
        Left out: as many as there are cores, at most 4, and no more than the environment's
        OMP_NUM_THREADS allows.
    """
    affinity = getattr(os, "sched_getaffinity", None)  # not on macOS and Windows
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    allowed = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    most = int(allowed) if allowed.isdecimal() and int(allowed) else MAX_THREADS
    torch.set_num_threads(threads or min(cores, MAX_THREADS, most))


class QualityRater:
    """Rates images by a quality network; call it with one image for its score.

    The score of an image does not depend on which others are rated with it, to within
    rounding (1e-6).

    Parameters
    ----------
    weights : Weights
        Of a quality network.

    Raises
    ------
    WeightsError
        When the tensors are not those of the published layout.
    """

    def __init__(self, weights: Weights) -> None:
        assert weights.info.whitening is not None  # noqa: S101  a quality network has one
        self.weights = weights
        self._whiten = weights.info.whitening
        network = QualityNetwork().eval()
        load_tensors(network, weights.tensors, str(weights.path))
        self._network = _folded(network).to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @classmethod
    def named(cls, reference: str) -> QualityRater:
        """Rater by the name of a shipped network, or by its file."""
        return cls(load_weights(find_weights(reference, "quality"), "quality"))

    def __call__(self, image: Image) -> float:
        """Score of an image, between 0 and 1; `Invalid` with the reason where it has none."""
        return self.rate([image])[0].score

    def rate(self, images: Sequence[Image]) -> list[Rated]:
        """Rate images of any sizes.

        Parameters
        ----------
        images : sequence of ndarray, each of shape (Y, X)
            Photon counts.

        Returns
        -------
        list of Rated
            In the order of the images. The score is `Invalid` for an image that is empty, has
            a pixel that is not a finite count, is the same everywhere or too large.
        """
        results: list[Rated | None] = [None] * len(images)
        groups: dict[tuple[int, ...], list[tuple[int, FloatImage]]] = {}
        for i, image in enumerate(images):
            counts = np.asarray(image)
            reason = _unusable(counts)
            if reason:
                results[i] = _invalid(counts, reason)
                continue
            values = counts.astype(np.float32)
            groups.setdefault(values.shape, []).append((i, values))
        for shape, members in groups.items():
            for start in range(0, len(members), _per_pass(shape)):
                part = members[start : start + _per_pass(shape)]
                rated = self._rate_alike([values for _, values in part])
                for (i, _), result in zip(part, rated, strict=True):
                    results[i] = result
        return [result for result in results if result is not None]

    def _rate_alike(self, images: Sequence[FloatImage]) -> list[Rated]:
        """Rate images of one shape in one pass."""
        height, width = images[0].shape
        padded = np.stack([pad_to_stride(self._whiten(image)) for image in images])
        batch = torch.from_numpy(padded)[:, None].to(memory_format=torch.channels_last)
        with torch.inference_mode():
            maps = self._network(batch)[:, :height, :width]
            masks = np.stack([score_mask(image) for image in images])
            scores = masked_mean(maps, torch.from_numpy(masks).to(maps.dtype))
        return [
            Rated(float(score) if mask.any() else _NO_FOREGROUND, score_map, mask)
            for score, score_map, mask in zip(scores, maps.numpy(), masks, strict=True)
        ]


_NO_FOREGROUND = Invalid("the image has no foreground")


def pad_to_stride(image: FloatImage) -> FloatImage:
    """Continue an image by its mirror image to sides that are multiples of 32."""
    extra = [(0, -side % STRIDE) for side in image.shape]
    return np.pad(image, extra, mode="symmetric") if any(e for _, e in extra) else image


def _per_pass(shape: tuple[int, ...]) -> int:
    """Images of a shape in one pass: as many pixels as `BATCH` images of 224²."""
    return max(1, BATCH * 224**2 // max(1, shape[0] * shape[1]))


def _unusable(counts: npt.NDArray[np.generic]) -> str:
    """Say why an array cannot be rated; empty where it can."""
    if counts.ndim != 2:
        return f"not an image of shape (Y, X) but an array of shape {counts.shape}"
    if counts.dtype.kind not in "iuf":
        return f"the image holds {counts.dtype}, not counts"
    if not 0 < counts.size <= MAX_PIXELS:
        return f"the image has {counts.size} pixels; 1 to {MAX_PIXELS} can be rated"
    # NaN compares False. No detector counts a billion photons in a pixel.
    if not bool((np.abs(counts.astype(np.float64)) < 1e9).all()):
        return "a pixel of the image is not a finite count"
    return "the image is constant" if counts.min() == counts.max() else ""


def _invalid(counts: npt.NDArray[np.generic], reason: str) -> Rated:
    shape = counts.shape if counts.ndim == 2 else (0, 0)
    return Rated(Invalid(reason), np.zeros(shape, np.float32), np.zeros(shape, np.bool_))


def _folded(network: QualityNetwork) -> QualityNetwork:
    """Fold each normalisation into its convolution: the same function, a pass less per layer."""
    for number in range(1, 7):
        names = f"conv{number}", f"conv{number}_bn"
        convolution, normalisation = (network.get_submodule(name) for name in names)
        fused = fuse_conv_bn_eval(convolution, normalisation)  # type: ignore[arg-type,type-var]
        setattr(network, names[0], fused)
        setattr(network, names[1], torch.nn.Identity())
    return network


__all__ = ["QualityRater", "Rated", "WeightsError", "pad_to_stride", "use_threads"]
