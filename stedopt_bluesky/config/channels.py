"""Channels of a multi-colour experiment, and how each of them detects."""

from __future__ import annotations

import re
from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator

from stedopt_bluesky.config.errors import FieldError
from stedopt_bluesky.config.lasers import DepletionConfig, ExcitationConfig
from stedopt_bluesky.config.sections import NotNegative, Positive, Section

Wavelength = Annotated[float, Field(ge=300, le=1000)]
GateTime = Annotated[float, Field(ge=0, le=25)]
Counts = Annotated[int, Field(ge=1, le=65535)]
Percent = Annotated[float, Field(ge=0.1, le=99.9)]

# Imspector has this many of RESCue's lower thresholds.
LOWER_THRESHOLDS = 4

# Names that data keys, parameters or objectives begin with already.
_TAKEN = (
    "confocal",
    "sted",
    "excitation",
    "depletion",
    "objective",
    "rescue",
    "uncaging",
    "image",
    "region",
)


class DetectionConfig(Section):
    """How a channel detects; what is left out is as Imspector has it."""

    detector: str = Field("", description="Imspector's name of the detector, as DET1.")
    spectral_min_nm: Wavelength | None = Field(
        None, description="Shortest wavelength of its band, nm, 300 to 1000."
    )
    spectral_max_nm: Wavelength | None = Field(
        None, description="Longest wavelength of its band, nm, 300 to 1000."
    )
    gate_delay_ns: GateTime | None = Field(
        None, description="Begin of the gate after the pulse, ns, 0 to 25; sets the gate on."
    )
    gate_width_ns: Annotated[float, Field(ge=0.1, le=25)] | None = Field(
        None, description="Width of the gate, ns, 0.1 to 25; sets the gate on."
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        low, high = self.spectral_min_nm, self.spectral_max_nm
        if low is not None and high is not None and not low < high:
            raise FieldError("spectral_min_nm", low, f"below spectral_max_nm, {high:g}")
        return self


class OpticsConfig(Section):
    """What all channels share; what is left out is as Imspector has it."""

    pinhole_um: Annotated[float, Field(ge=1, le=500)] | None = Field(
        None, description="Diameter of the pinhole, µm, 1 to 500."
    )
    focus_um: Annotated[float, Field(ge=-100, le=100)] | None = Field(
        None, description="Offset of the focus, µm, -100 to 100."
    )


class RescueConfig(Section):
    """RESCue or DyMIN in the STED images; what is left out is as Imspector has it."""

    mode: Annotated[int, Field(ge=0, le=10)] | None = Field(
        None, description="Imspector's rescue_mode; 0: off."
    )
    probe_mode: Annotated[int, Field(ge=0, le=10)] | None = Field(
        None, description="Imspector's probe_mode."
    )
    signal_level: Annotated[float, Field(ge=0, le=1e6)] | None = Field(
        None,
        description="Imspector's signal_level; its automatic thresholds follow it, to 1000000.",
    )
    strength: Annotated[float, Field(ge=0, le=1e3)] | None = Field(
        None, description="Imspector's strength; its automatic thresholds follow it, to 1000."
    )
    lower_thresholds: Annotated[int, Field(ge=0, le=LOWER_THRESHOLDS)] | None = Field(
        None,
        description="How many lower thresholds there are, 0 to 4; ends that Imspector sets them.",
    )
    lower_threshold_1: Counts | None = Field(
        None, description="Counts below which a pixel is left at the first time; 1 to 65535."
    )
    lower_threshold_2: Counts | None = Field(
        None, description="Counts below which a pixel is left at the second time; 1 to 65535."
    )
    lower_threshold_3: Counts | None = Field(
        None, description="Counts below which a pixel is left at the third time; 1 to 65535."
    )
    lower_threshold_4: Counts | None = Field(
        None, description="Counts below which a pixel is left at the fourth time; 1 to 65535."
    )
    lower_time_percent_1: Percent | None = Field(
        None, description="First time, percent of the pixel's dwelltime, 0.1 to 99.9."
    )
    lower_time_percent_2: Percent | None = Field(
        None, description="Second time, percent of the pixel's dwelltime, 0.1 to 99.9."
    )
    lower_time_percent_3: Percent | None = Field(
        None, description="Third time, percent of the pixel's dwelltime, 0.1 to 99.9."
    )
    lower_time_percent_4: Percent | None = Field(
        None, description="Fourth time, percent of the pixel's dwelltime, 0.1 to 99.9."
    )
    upper_threshold: Counts | None = Field(
        None,
        description="Counts at which a pixel is left; 1 to 65535; ends that Imspector sets it.",
    )


class ChannelConfig(Section):
    """A further channel, imaged together with the first one."""

    name: str = Field(
        description="Small letters and digits; stands before its parameters and objectives, as "
        "in orange_quality.",
    )
    excitation_power_uW: NotNegative = Field(
        10.0, description="STED excitation power, µW, unless optimised."
    )
    confocal_excitation_power_uW: Positive = Field(
        5.0, description="Excitation power of the confocal images, µW, fixed."
    )
    depletion_power_mW: NotNegative | None = Field(
        None,
        description="Depletion power, mW, unless optimised; left out: as the first channel's.",
    )
    excitation: ExcitationConfig | None = Field(
        None, description="Its excitation laser; left out: the first channel's."
    )
    depletion: DepletionConfig | None = Field(
        None, description="Its depletion laser; left out: the first channel's."
    )
    detection: DetectionConfig = DetectionConfig()
    rescue: RescueConfig = RescueConfig()

    @field_validator("name")
    @classmethod
    def _free(cls, name: str) -> str:
        if not re.fullmatch("[a-z][a-z0-9]*", name):
            raise ValueError("small letters and digits, a letter first")
        if name in _TAKEN:
            raise ValueError(f"another name than {', '.join(_TAKEN)}")
        return name

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.depletion is not None and self.depletion_power_mW is None:
            raise FieldError(
                "depletion_power_mW", None, "needed where the channel has a depletion laser"
            )
        return self
