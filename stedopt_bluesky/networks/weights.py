"""Weights of networks in files: safetensors, with everything that using them needs to know.

A file holds tensors and one JSON text (key ``stedopt`` of the safetensors metadata): what the
network rates or ranks, in which units, how its input is whitened, what it was trained on. Nothing
is unpickled, nothing in a file runs. A network is told apart from others by the SHA-256 of its
file.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from difflib import get_close_matches
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from stedopt_bluesky.errors import in_one_line

Kind = Literal["quality", "preference"]
Tensors = Mapping[str, npt.NDArray[Any]]

# The metadata's entry that this program writes and reads.
METADATA_KEY = "stedopt"
SUFFIX = ".safetensors"
# The networks have 0.55 MB and 1 kB; what is larger than this is no network of these.
MAX_FILE_BYTES = 16 * 2**20


class WeightsError(ValueError):
    """Weights that cannot be used; the message is one line that names the file and the reason."""


@dataclass(frozen=True)
class Whitening:
    """What is done to photon counts before they enter a quality network.

    Parameters
    ----------
    kind : {"range", "standard", "anscombe"}
        ``"range"``: ``(counts - offset) / scale``, held between 0 and 1 (the published program);
        ``"standard"``: ``(counts - offset) / scale`` (the paper); ``"anscombe"``:
        ``(2 √(counts + 3/8) - offset) / scale``, which gives photon noise the same size at every
        brightness (Anscombe, Biometrika 35:246, 1948).
    offset : float
        What is taken off, in counts (after the root for ``"anscombe"``).
    scale : float
        What it is divided by, above 0.
    """

    kind: Literal["range", "standard", "anscombe"]
    offset: float
    scale: float

    def __post_init__(self) -> None:
        if self.kind not in {"range", "standard", "anscombe"}:
            raise ValueError(f"whitening = {self.kind!r}: range, standard or anscombe")
        if not (math.isfinite(self.offset) and math.isfinite(self.scale) and self.scale > 0):
            raise ValueError(
                f"whitening: offset {self.offset:g} and scale {self.scale:g} must be finite, "
                "the scale above 0"
            )

    def __call__(self, counts: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """Whiten photon counts of any shape."""
        values = np.asarray(counts, dtype=np.float32)
        if self.kind == "anscombe":
            # Below zero there are no photons: a detector's offset correction went too far.
            values = 2 * np.sqrt(np.maximum(values, 0) + np.float32(0.375))
        whitened = (values - np.float32(self.offset)) / np.float32(self.scale)
        return np.clip(whitened, 0, 1) if self.kind == "range" else whitened


@dataclass(frozen=True)
class ObjectiveScale:
    """One input of a preference network.

    Parameters
    ----------
    name, unit : str
        The objective, and the unit in which the network was trained.
    offset, scale : float
        The network sees ``(value - offset) / scale``, the scale above 0.
    """

    name: str
    unit: str
    offset: float
    scale: float

    def __post_init__(self) -> None:
        if not (isinstance(self.name, str) and isinstance(self.unit, str)):
            raise ValueError(f"objective {self.name!r} in {self.unit!r}: texts")
        if not (math.isfinite(self.offset) and math.isfinite(self.scale) and self.scale > 0):
            raise ValueError(
                f"objective {self.name}: offset {self.offset:g} and scale {self.scale:g} must be "
                "finite, the scale above 0"
            )


@dataclass(frozen=True)
class WeightsInfo:
    """What a file of weights says of its network.

    Parameters
    ----------
    kind : {"quality", "preference"}
        What the network does.
    name, version : str
        What it is called.
    structure : str
        What was imaged, for a quality network: ``"actin"``; ``"general"``: anything.
    pixel_size_nm : float
        Pixel size of the images it was trained on, in nm; 0 where it is not known.
    whitening : Whitening or None
        Of a quality network.
    objectives : tuple of ObjectiveScale
        Inputs of a preference network, in their order.
    training : mapping
        What it was trained on and how well it does, for people.
    licence, source : str
        Under which terms it may be used, and where it comes from.
    """

    kind: Kind
    name: str
    version: str
    structure: str = ""
    pixel_size_nm: float = 0.0
    whitening: Whitening | None = None
    objectives: tuple[ObjectiveScale, ...] = ()
    training: Mapping[str, Any] = field(default_factory=dict)
    licence: str = ""
    source: str = ""

    def __post_init__(self) -> None:
        if self.kind not in {"quality", "preference"}:
            raise ValueError(f"kind = {self.kind!r}: quality or preference")
        for name in ("name", "version", "structure", "licence", "source"):
            if not isinstance(getattr(self, name), str):
                raise ValueError(f"{name} = {getattr(self, name)!r}: text")
        if not isinstance(self.training, Mapping):
            raise ValueError(f"training = {self.training!r}: a table")
        if self.kind == "quality" and self.whitening is None:
            raise ValueError("a quality network needs its whitening")
        if self.kind == "preference" and not self.objectives:
            raise ValueError("a preference network needs its objectives")
        if not (math.isfinite(self.pixel_size_nm) and self.pixel_size_nm >= 0):
            raise ValueError(f"pixel_size_nm = {self.pixel_size_nm:g}: at least 0, finite")


@dataclass(frozen=True, eq=False)
class Weights:
    """A network as a file holds it.

    Parameters
    ----------
    info : WeightsInfo
        What it is.
    tensors : mapping of str to ndarray
        Its parameters, by the published names.
    sha256 : str
        Of the file, hexadecimal.
    path : Path
        The file.
    """

    info: WeightsInfo
    tensors: Tensors = field(repr=False)
    sha256: str
    path: Path

    @property
    def identity(self) -> dict[str, str]:
        """Name, version and hash: what a run's start document says of its network."""
        return {"name": self.info.name, "version": self.info.version, "sha256": self.sha256}


def shipped_names(kind: Kind) -> tuple[str, ...]:
    """Names of the networks of a kind that come with this package."""
    prefix = f"{kind}-"
    names = (p.name for p in _shipped().iterdir() if p.name.endswith(SUFFIX))
    return tuple(
        sorted(n.removesuffix(SUFFIX)[len(prefix) :] for n in names if n.startswith(prefix))
    )


def find_weights(reference: str, kind: Kind) -> Path:
    """Find a network by the name of a shipped one, or by its file.

    Raises
    ------
    WeightsError
        When there is neither; the message says which names there are.
    """
    names = shipped_names(kind)
    if reference in names:
        with resources.as_file(_shipped() / f"{kind}-{reference}{SUFFIX}") as path:
            return path
    path = Path(reference).expanduser()
    if path.is_file():
        return path
    close = get_close_matches(reference, names, n=1)
    hint = f" (did you mean {close[0]!r}?)" if close else ""
    raise WeightsError(
        f"{kind} network {reference!r}: no such file; shipped are {', '.join(names)}{hint}"
    )


def _shipped() -> Any:
    return resources.files("stedopt_bluesky.networks") / "shipped"


def load_weights(path: str | Path, kind: Kind | None) -> Weights:
    """Read a network; nothing in the file runs, and no more than 16 MiB are read.

    Parameters
    ----------
    path : str or Path
        A safetensors file that `save_weights` has written.
    kind : {"quality", "preference"} or None
        What the network must be; None: either.

    Raises
    ------
    WeightsError
        When the file is missing, too large, truncated, of another format or kind, or holds
        numbers that are not finite.
    """
    from safetensors.numpy import load

    path = Path(path)
    content = _read(path)
    try:
        text = _metadata(content)
        tensors = load(content)
    except Exception as error:  # safetensors has one error, JSON and Unicode have theirs
        reason = in_one_line(error)
        raise WeightsError(f"{path}: not a safetensors file, or a damaged one ({reason})") from None
    if text is None:
        raise WeightsError(
            f"{path}: a safetensors file without the metadata of a network of this program; "
            "published weights are brought in by `stedopt weights import`"
        )
    info = _info_of(path, text)
    if kind is not None and info.kind != kind:
        raise WeightsError(f"{path}: holds a {info.kind} network, a {kind} network is needed")
    for name, tensor in tensors.items():
        if tensor.dtype.kind == "f" and not np.isfinite(tensor).all():
            raise WeightsError(f"{path}: tensor {name} holds numbers that are not finite")
    return Weights(info, tensors, hashlib.sha256(content).hexdigest(), path)


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise WeightsError(f"{path}: {error.strerror or error}") from None
    if len(content) > MAX_FILE_BYTES:
        raise WeightsError(f"{path}: larger than {MAX_FILE_BYTES // 2**20} MiB, no such network")
    return content


def _metadata(content: bytes) -> str | None:
    """Metadata text of this program in a safetensors file: 8 bytes of length, then JSON."""
    length = int.from_bytes(content[:8], "little")
    if len(content) < 8 or length > len(content) - 8:
        raise ValueError("the header is longer than the file")
    header = json.loads(content[8 : 8 + length])
    text = (header.get("__metadata__") or {}).get(METADATA_KEY)
    return text if isinstance(text, str) else None


def _info_of(path: Path, text: str) -> WeightsInfo:
    try:
        data = json.loads(text)
        whitening = data.pop("whitening", None)
        objectives = data.pop("objectives", ())
        return WeightsInfo(
            **data,
            whitening=Whitening(**whitening) if whitening else None,
            objectives=tuple(ObjectiveScale(**entry) for entry in objectives),
        )
    except (AttributeError, TypeError, ValueError, OverflowError, RecursionError) as error:
        reason = in_one_line(error)[:200]
        raise WeightsError(f"{path}: its metadata cannot be understood ({reason})") from None


def save_weights(path: str | Path, tensors: Tensors, info: WeightsInfo) -> Weights:
    """Write a network; the file appears whole or not at all, the same numbers give the same file.

    Raises
    ------
    WeightsError
        When it cannot be written.
    """
    from safetensors.numpy import save

    path = Path(path)
    text = json.dumps(asdict(info), ensure_ascii=False, allow_nan=False, sort_keys=True)
    # Not ascontiguousarray, which makes an array of one number of a number without axes.
    ordered = {name: np.asarray(tensors[name], order="C") for name in sorted(tensors)}
    content = save(ordered, metadata={METADATA_KEY: text})
    part = path.with_name(f"{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(content)
        part.replace(path)
    except OSError as error:
        raise WeightsError(f"{path}: cannot be written: {error.strerror or error}") from None
    return Weights(info, ordered, hashlib.sha256(content).hexdigest(), path)
