"""Images of one field of a stored run with what is known of them, ready to be exported."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from stedopt_bluesky.config.uncaging import CalciumConfig
from stedopt_bluesky.records.folder import CatalogError
from stedopt_bluesky.records.journal import Document
from stedopt_bluesky.records.run_record import RunRecord

# What a field's images are of: the whole field, a region, or the Ca²⁺ frames of a region.
OVERVIEW, REGION, CALCIUM = "overview", "region", "calcium"
# Numbers that both formats know; images of this program are int16.
DTYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64")
# What an Event says of the STED image, each with its unit in the name.
_STED_SETTINGS = (
    "excitation_power_uW",
    "depletion_power_mW",
    "dwelltime_us",
    "line_steps",
    "frames",
)


@dataclass(frozen=True, eq=False)
class Channel:
    """One image of a field, or its frames, and the settings that it was taken with.

    Parameters
    ----------
    name : str
        ``"confocal1"``, ``"sted1"``, ..., ``"overview"``, ``"calcium"``; of a further channel its
        name before it: ``"orange_sted1"``.
    image : ndarray, shape (Y, X) or (T, Y, X)
        Photon counts; of frames one after the other.
    settings : mapping of str to number
        What is known of ``excitation_power_uW``, ``excitation_wavelength_nm``,
        ``depletion_power_mW``, ``depletion_wavelength_nm``, ``dwelltime_us``, ``line_steps``
        and ``frames``.

    Raises
    ------
    ValueError
        When it is neither an image nor frames, or its numbers are of no type that can be
        exported.
    """

    name: str
    image: npt.NDArray[Any] = field(repr=False)
    settings: Mapping[str, float]

    def __post_init__(self) -> None:
        if self.image.ndim not in (2, 3) or self.image.size == 0:
            raise ValueError(f"{self.name}: expected a 2-D image or frames, got {self.image.shape}")
        if self.image.dtype.name not in DTYPES:
            raise ValueError(
                f"{self.name}: holds {self.image.dtype}; allowed are {', '.join(DTYPES)}"
            )

    @property
    def is_sted(self) -> bool:
        """Whether it is a STED image."""
        return _split(self.name)[1].startswith("sted")

    @property
    def exposure_s(self) -> float | None:
        """Time that the beam spent on the pixels of an image, s; None where it is not known.

        Of frames: on those of one frame.
        """
        if "dwelltime_us" not in self.settings:
            return None
        scans = self.settings.get("line_steps", 1) * self.settings.get("frames", 1)
        return self.settings["dwelltime_us"] * 1e-6 * scans * math.prod(self.image.shape[-2:])


@dataclass(frozen=True, eq=False)
class FieldImages:
    """The images of one field: those of a region, its Ca²⁺ frames, or the overview.

    Parameters
    ----------
    name : str
        For a file, without ending.
    channels : sequence of Channel
        In the order in which they were taken; all of one shape.
    pixel_size_nm : float
        Side of a pixel, nm.
    x_um, y_um : float
        Centre, relative to the centre of the field where the stage stood at the start, µm.
    time : float
        When it was recorded, in s since 1970 (UTC).
    run : mapping of str to plain data
        What is known of the run.
    region : mapping of str to plain data
        What is known of the region: its number, its objectives.
    frame_s : float, optional
        Time from one frame to the next, s, where the images are frames.

    Raises
    ------
    ValueError
        When there is no image, the shapes differ, or frames have no time.
    """

    name: str
    channels: Sequence[Channel]
    pixel_size_nm: float
    x_um: float
    y_um: float
    time: float
    run: Mapping[str, Any]
    region: Mapping[str, Any]
    frame_s: float | None = None

    def __post_init__(self) -> None:
        shapes = {channel.image.shape for channel in self.channels}
        if len(shapes) != 1:
            raise ValueError(f"{self.name}: expected images of one shape, got {sorted(shapes)}")
        if (self.frames is None) != (self.frame_s is None):
            raise ValueError(f"{self.name}: frames and the time between them go together")

    @property
    def frames(self) -> int | None:
        """Number of frames; None where the images are none."""
        shape = self.channels[0].image.shape
        return shape[0] if len(shape) == 3 else None

    @property
    def corner_um(self) -> tuple[float, float]:
        """Corner (x, y) of the first pixel, as `x_um` and `y_um` count, µm."""
        height, width = self.channels[0].image.shape[-2:]
        half_um = self.pixel_size_nm / 2000
        return self.x_um - width * half_um, self.y_um - height * half_um

    @property
    def taken(self) -> str:
        """When it was recorded, in ISO 8601 (UTC)."""
        return _iso(self.time)

    @property
    def facts(self) -> dict[str, Any]:
        """All that is known of the images, as plain data for JSON; each number's unit is named."""
        return {
            "run": dict(self.run),
            "region": dict(self.region),
            "taken": self.taken,
            "pixel_size_nm": self.pixel_size_nm,
            "centre_um": [self.x_um, self.y_um],
            **({} if self.frame_s is None else {"frame_s": self.frame_s}),
            "channels": [
                {"name": c.name, **c.settings, "exposure_s": c.exposure_s} for c in self.channels
            ],
        }


@dataclass(frozen=True)
class FieldReader:
    """Reads the fields of a run one by one; what cannot be read is told, not raised.

    Parameters
    ----------
    record : RunRecord
        The run.
    """

    record: RunRecord

    @property
    def fields(self) -> list[tuple[str, Document]]:
        """What it is and its Event, of each field: overviews, and one region after another."""
        fields = [(OVERVIEW, event) for event in self._events(OVERVIEW)]
        kinds = [CALCIUM, REGION] if self._calcium_keys else [REGION]
        return fields + [(kind, event) for event in self._events(self._primary) for kind in kinds]

    def _events(self, stream: str) -> list[Document]:
        return self.record.events(stream) if stream in self.record.descriptors else []

    def name(self, kind: str, event: Document) -> str:
        """Name for a file: the run's, a number, and what it is, so that they sort as taken."""
        run = self.record.uid[:8]
        number = event["seq_num"]
        if kind == OVERVIEW:
            # That of the last region before it.
            number = sum(r["time"] < event["time"] for r in self._events(self._primary))
        return f"{run}-{number:04d}-{kind}"

    def read(self, kind: str, event: Document) -> tuple[FieldImages | None, list[str]]:
        """Read what there is of a field.

        Returns
        -------
        FieldImages or None
            None where there is no image of it at all.
        list of str
            What is missing, one line each.

        Raises
        ------
        CatalogError
            When the run does not tell the size of a pixel, or the time between frames.
        """
        channels, missing = [], []
        name = self.name(kind, event)
        for channel, keys in self._keys_of(kind).items():
            try:
                image = self._image(keys, event)
                channels.append(Channel(channel, image, self._settings(channel, event)))
            except ValueError as error:
                missing.append(f"{name}, {channel}: {error}")
        if not channels:
            return None, missing or [f"{name}: no images"]
        return self._field(kind, event, name, channels), missing

    def _image(self, keys: Sequence[str], event: Document) -> npt.NDArray[Any]:
        """Read an image; frames that are stored in several arrays one after the other."""
        arrays = [self.record.array(key, event) for key in keys]
        return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)

    def _field(
        self, kind: str, event: Document, name: str, channels: Sequence[Channel]
    ) -> FieldImages:
        data = event["data"]
        region = {} if kind == OVERVIEW else self._region(event)
        if kind == CALCIUM:
            region["pulse_after_frame"] = self._configured(CALCIUM, "baseline_frames")
            region["pulse_ms"] = self._configured("uncaging", "pulse_ms")
        return FieldImages(
            name=name,
            channels=channels,
            pixel_size_nm=self._pixel_size_nm(kind, event),
            x_um=float(data.get("region_x_um", 0.0) + data.get("stage_x_um", 0.0)),
            y_um=float(data.get("region_y_um", 0.0) + data.get("stage_y_um", 0.0)),
            time=event["time"],
            run=self._run,
            region=region,
            frame_s=self._frame_s() if kind == CALCIUM else None,
        )

    def _frame_s(self) -> float:
        rate_hz = self._configured(CALCIUM, "frame_rate_Hz")
        if not isinstance(rate_hz, int | float) or not rate_hz > 0:
            raise CatalogError(
                f"run {self.record.uid} does not tell how fast Ca²⁺ frames were: {rate_hz!r}"
            )
        return 1 / rate_hz

    @property
    def _primary(self) -> str:
        return self.record.keys.image_stream

    def _keys_of(self, kind: str) -> dict[str, list[str]]:
        """Data keys of each image of a field, by its name, in the order in which they are taken."""
        if kind == CALCIUM:
            return {CALCIUM: self._calcium_keys}
        if kind == OVERVIEW:
            return {OVERVIEW: self._array_keys(OVERVIEW, 2)}
        keys = self._array_keys(self._primary, 2)
        return {key.removeprefix("microscope_"): [key] for key in keys}

    @property
    def _calcium_keys(self) -> list[str]:
        """Data keys of the frames before and after the pulse; none where there was none."""
        return self._array_keys(self._primary, 3)

    def _array_keys(self, stream: str, rank: int) -> list[str]:
        return [
            key
            for key, found in self.record.array_keys.items()
            if found == stream
            and len(self.record.descriptors[stream][0]["data_keys"][key].get("shape", ())) == rank
        ]

    def _configured(self, section: str, name: str) -> Any:
        """Value in the run's configuration; None where there is none."""
        config = (self.record.start.get("stedopt") or {}).get("config") or {}
        return (config.get(section) or {}).get(name)

    def _settings(self, channel: str, event: Document) -> dict[str, float]:
        """Settings of an image: as the Event has them, else as the configuration does."""
        colour, shot = _split(channel)
        own = self._colour(colour)
        prefix = f"{colour}_" if colour else ""
        data = event["data"]
        if shot.startswith("sted"):
            found = {key: data.get(prefix + key, data.get(key)) for key in _STED_SETTINGS}
            found["depletion_wavelength_nm"] = self._wavelength_nm("depletion", own)
        else:
            section, name = (OVERVIEW, "") if shot == OVERVIEW else ("imaging", "confocal_")
            found = {
                key: own.get(name + key, self._configured(section, name + key))
                for key in ("excitation_power_uW", "dwelltime_us")
            }
        if shot == CALCIUM:
            found = self._calcium_settings()
        laser = "excitation"
        if shot in (OVERVIEW, CALCIUM) and self._configured("uncaging", "enabled"):
            laser = "calcium"  # spines are seen by the indicator
        found["excitation_wavelength_nm"] = self._wavelength_nm(laser, own)
        return {key: value for key, value in found.items() if value is not None}

    def _calcium_settings(self) -> dict[str, Any]:
        section = (self.record.start["stedopt"]["config"]).get(CALCIUM)
        try:
            calcium = CalciumConfig.model_validate(section)
        except ValueError:  # of a version that had other fields
            return {"excitation_power_uW": self._configured(CALCIUM, "power_uW")}
        return {
            "excitation_power_uW": calcium.power_uW,
            "dwelltime_us": calcium.dwelltime_us,
        }

    def _colour(self, name: str) -> Mapping[str, Any]:
        """Section of a further channel in the run's configuration."""
        config = (self.record.start.get("stedopt") or {}).get("config") or {}
        named = [c for c in config.get("channels", ()) if name and c.get("name") == name]
        return named[0] if named else {}

    def _wavelength_nm(self, laser: str, colour: Mapping[str, Any]) -> Any:
        """Wavelength of a channel's laser; the first channel's where it has none of its own."""
        return (colour.get(laser) or {}).get("wavelength_nm") or self._configured(
            laser, "wavelength_nm"
        )

    def _pixel_size_nm(self, kind: str, event: Document) -> float:
        if kind == REGION:
            found = self.record.pixel_size_nm(event)
        else:
            found = self._configured(kind, "pixel_size_nm")
        if not (isinstance(found, int | float) and math.isfinite(found) and found > 0):
            raise CatalogError(
                f"run {self.record.uid} does not tell the pixel size of {kind}: {found!r}"
            )
        return float(found)

    @property
    def _run(self) -> dict[str, Any]:
        start = self.record.start
        names = ("sample", "structure", "preset", "operator", "seed", "microscope")
        found = {
            "uid": self.record.uid,
            "begun": _iso(start["time"]),
            **{name: start.get(name) for name in names},
            "stedopt_version": (start.get("stedopt") or {}).get("version"),
            "imspector_version": (start.get("imspector") or {}).get("version"),
        }
        return {key: value for key, value in found.items() if value not in (None, "")}

    def _region(self, event: Document) -> dict[str, Any]:
        data, prefix = event["data"], self.record.keys.objective_prefix
        objectives = {
            # JSON has no word for a NaN.
            key.removeprefix(prefix): float(value) if math.isfinite(value) else None
            for key, value in data.items()
            if key.startswith(prefix)
        }
        found = {
            "number": event["seq_num"],
            "configuration_index": data.get(self.record.keys.image_configuration_index),
            "parameters": {
                name: data[name] for name in self.record.start.get("parameters", ()) if name in data
            },
            "objectives": objectives,
            "invalid_because": data.get("invalid_because"),
        }
        return {key: value for key, value in found.items() if value not in (None, "", {})}


def _iso(time: float) -> str:
    return datetime.fromtimestamp(time, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _split(channel: str) -> tuple[str, str]:
    """Split the name of an image into its channel's, ``""`` for the first one, and the shot's."""
    colour, _, shot = channel.rpartition("_")
    return colour, shot


def stacked(channels: Sequence[Channel]) -> npt.NDArray[Any]:
    """Images as one array of shape (C, Y, X), of a type that holds them all exactly.

    Of frames: of shape (C, T, Y, X).
    """
    return np.stack([channel.image for channel in channels])
