"""Published networks into files of this program: torch's state dictionaries, read without running.

Both programs (Durand et al., Nat. Commun. 9:5247, 2018) keep their weights as a pickled torch
``state_dict``. It is read with ``weights_only=True``, which knows tensors and plain containers
and refuses everything else before it runs, and only up to 16 MiB.
"""

from __future__ import annotations

import hashlib
import json
import math
import warnings
import zipfile
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from stedopt_bluesky.errors import in_one_line
from stedopt_bluesky.networks.preference import PreferenceNetwork
from stedopt_bluesky.networks.quality import QualityNetwork
from stedopt_bluesky.networks.tensors import load_tensors, tensors_of
from stedopt_bluesky.networks.weights import (
    MAX_FILE_BYTES,
    ObjectiveScale,
    Weights,
    WeightsError,
    WeightsInfo,
    Whitening,
    save_weights,
)

Arrays = dict[str, npt.NDArray[Any]]

VERSION = "2018"  # the paper's year: the files have no version
# Largest counts of each structure's training images, and the share of them that becomes 1, in the
# published program.
MAX_COUNTS = {
    "actin": 997,
    "tubulin": 902,
    "lifeact": 812,
    "camkii": 732,
    "psd95": 490,
    "membrane": 1206,
}
FULL_SCALE = 0.8
PIXEL_SIZE_NM = 20.0
# In the published files, but in no path from the image to the score.
UNUSED = ("map56x56.weight", "map56x56.bias", "upscore2c.weight", "upscore4.weight")
# torch counts batches since version 0.4.1; older files have no such count. It is not used.
COUNT = "num_batches_tracked"

# What the published preference networks see, by their number of inputs. The third is a time per
# pixel in a unit that is stated nowhere; in seconds the network is blind to it. So its unit is
# one that no run has, and a run that measures its time in s refuses the network.
INPUTS = {
    2: (("quality", ""), ("photobleaching", "")),
    3: (("quality", ""), ("photobleaching", ""), ("imaging_time_s", "unknown")),
}
_NO_UNIT = (
    "the third objective is a time per pixel whose unit is not stated; in seconds the score hardly "
    "depends on it"
)


def import_quality(path: str | Path, structure: str, out: str | Path) -> Weights:
    """Convert a published quality network, ``params.net``.

    Parameters
    ----------
    path : str or Path
        The pickled state dictionary.
    structure : str
        What it rates, one of `MAX_COUNTS` in any case: its whitening depends on it.
    out : str or Path
        File to write.

    Returns
    -------
    Weights
        As written.

    Raises
    ------
    WeightsError
        When the structure is unknown, or the file is no such network; nothing in it has run.
    """
    path, known = Path(path), structure.lower()
    if known not in MAX_COUNTS:
        raise WeightsError(f"structure = {structure!r}: allowed are {', '.join(MAX_COUNTS)}")
    content = _read(path, MAX_FILE_BYTES)
    network = QualityNetwork()
    tensors = _state_dict(path, content)
    for name, blank in network.state_dict().items():
        if name in UNUSED or name.endswith(COUNT):
            tensors.setdefault(name, np.zeros_like(blank.numpy()))
    info = WeightsInfo(
        kind="quality",
        name=f"published-{known}",
        version=VERSION,
        structure=known,
        pixel_size_nm=PIXEL_SIZE_NM,
        whitening=Whitening("range", 0.0, FULL_SCALE * MAX_COUNTS[known]),
        training=_origin(path, content),
        licence="non-commercial use only",
        source="Durand et al., Nat. Commun. 9:5247 (2018), its quality network (STEDActinFCN)",
    )
    return save_weights(out, _fitted(network, tensors, path), info)


def import_preference(folder: str | Path, out: str | Path) -> Weights:
    """Convert a published preference network, a folder of ``weights.t7`` and ``config.json``.

    Parameters
    ----------
    folder : str or Path
        Its ``record.json``, which is a pickle in truth, is not opened.
    out : str or Path
        File to write.

    Returns
    -------
    Weights
        As written. Its inputs are quality, photobleaching and, with three of them, the time per
        pixel, whose unit is given as ``"unknown"``.

    Raises
    ------
    WeightsError
        When a file is missing or damaged, or it is no such network; nothing in it has run.
    """
    folder = Path(folder)
    path = folder / "weights.t7"
    content = _read(path, MAX_FILE_BYTES)
    tensors = _state_dict(path, content)
    first = tensors.get("f1.weight", np.empty(0))
    inputs = INPUTS.get(first.shape[1] if first.ndim == 2 else 0)
    if inputs is None:
        raise WeightsError(
            f"{path}: tensor f1.weight has shape {first.shape}, expected (10, 2) or (10, 3): "
            "another layout"
        )
    mean, deviation = _whitening(folder / "config.json")
    info = WeightsInfo(
        kind="preference",
        name=f"published-{len(inputs)}-objectives",
        version=VERSION,
        objectives=tuple(ObjectiveScale(name, unit, mean, deviation) for name, unit in inputs),
        training=_origin(path, content) | ({"note": _NO_UNIT} if len(inputs) == 3 else {}),
        licence="MIT",
        source="Durand et al., Nat. Commun. 9:5247 (2018), its preference network "
        "(PDKlab/STEDPreferenceSNN)",
    )
    return save_weights(out, _fitted(PreferenceNetwork(len(inputs)), tensors, path), info)


def _origin(path: Path, content: bytes) -> dict[str, Any]:
    return {
        "data": "images and choices of the paper's own runs",
        "imported_from": path.name,
        "imported_sha256": hashlib.sha256(content).hexdigest(),
    }


def _fitted(network: nn.Module, tensors: Arrays, path: Path) -> Arrays:
    """Tensors after a check of every name, shape and number."""
    load_tensors(network, tensors, str(path))
    fitted = tensors_of(network)
    for name, tensor in fitted.items():
        if not np.isfinite(tensor).all():
            raise WeightsError(f"{path}: tensor {name} holds numbers that are not finite")
    return fitted


def _state_dict(path: Path, content: bytes) -> Arrays:
    """Read tensors by name from a state dictionary of either of torch's formats."""
    try:
        if zipfile.is_zipfile(BytesIO(content)):
            with zipfile.ZipFile(BytesIO(content)) as archive:
                if sum(entry.file_size for entry in archive.infolist()) > MAX_FILE_BYTES:
                    raise ValueError(f"more than {MAX_FILE_BYTES // 2**20} MiB unpacked")
        with warnings.catch_warnings():
            # torch warns of some files before it refuses them: one line is enough.
            warnings.simplefilter("ignore")
            kept = torch.load(BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # unpickling has any error; torch's explain over many lines
        raise WeightsError(
            f"{path}: not a state dictionary of torch, a damaged one, or one that would run "
            f"something ({_first_line(error)})"
        ) from None
    if not isinstance(kept, Mapping):
        raise WeightsError(f"{path}: holds a {type(kept).__name__}, not a state dictionary")
    return {str(name): _array(path, str(name), tensor) for name, tensor in kept.items()}


def _array(path: Path, name: str, tensor: object) -> npt.NDArray[Any]:
    if not isinstance(tensor, torch.Tensor):
        raise WeightsError(f"{path}: {name} is a {type(tensor).__name__}, not a tensor")
    # A stored tensor may repeat few numbers many times: its size says nothing of the file's.
    if tensor.layout != torch.strided or tensor.nbytes > MAX_FILE_BYTES:
        raise WeightsError(f"{path}: tensor {name} is sparse or too large: another layout")
    kind = torch.int64 if name.endswith(COUNT) else torch.float32
    return tensor.detach().to(kind).contiguous().numpy()


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return " ".join(lines[0].split())[:200] if lines else type(error).__name__


def _read(path: Path, most: int) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(most + 1)
    except OSError as error:
        raise WeightsError(f"{path}: {error.strerror or error}") from None
    if len(content) > most:
        raise WeightsError(f"{path}: larger than {most / 2**20:g} MiB, no such network")
    return content


def _whitening(path: Path) -> tuple[float, float]:
    """Mean and standard deviation, one of each for all objectives, of a ``config.json``."""
    content = _read(path, 2**20)
    try:
        told = json.loads(content)
        mean, deviation = told["train_mean"], told["train_std"]
    except (ValueError, RecursionError, TypeError, KeyError) as error:
        reason = in_one_line(error)[:200]
        raise WeightsError(
            f"{path}: expected JSON with train_mean and train_std ({reason})"
        ) from None
    for name, value in (("train_mean", mean), ("train_std", deviation)):
        if isinstance(value, bool) or not isinstance(value, int | float) or not _finite(value):
            raise WeightsError(f"{path}: {name} = {str(value)[:50]!r}: a finite number")
    if not deviation > 0:
        raise WeightsError(f"{path}: train_std = {deviation:g}: above 0")
    return float(mean), float(deviation)


def _finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number of hundreds of digits
        return False
