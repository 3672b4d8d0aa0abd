"""Which microscope, and what is under its objective."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from stedopt_bluesky.config.sections import Positive, Section


class SampleConfig(Section):
    """What is under the objective."""

    name: str = Field(
        "actin",
        min_length=1,
        description="Name of the sample. On the twin: a generated structure (actin, tubulin, "
        "synapses, pores; dendrites with [uncaging]) or the path of a 2-D image (TIFF, .npy, .npz, "
        ".msr or .obf) whose counts become the fluorophores; FILE#NAME or FILE#2: one of several "
        "images in it.",
    )
    structure: str = Field("", description="Imaged structure, to search by; empty: the name.")
    pixel_size_nm: Positive | None = Field(
        None,
        description="Pixel size of an image file, nm; left out: as the file tells it, or else 20.",
    )


class LabelConfig(Section):
    """A further dye of the twin's sample, on a structure of its own."""

    sample: str = Field(
        min_length=1, description="What it labels: a structure or a file, as sample.name."
    )
    fluorophore: str = Field(description="The dye.")


class MicroscopeConfig(Section):
    """Which microscope."""

    kind: Literal["twin", "specpy"] = Field(
        "twin", description="'twin': the digital twin; 'specpy': a running Imspector."
    )
    host: str = Field(
        "",
        description="specpy: computer that Imspector runs on; empty: this one. twin: "
        "127.0.0.1:PORT of 'stedopt serve twin'; empty: a twin of this program's own.",
    )
    connect_patience_s: Annotated[float, Field(ge=0, le=3600)] = Field(
        0.0,
        description="How long a connection that is refused is tried again, s, at most 3600; "
        "0: not at all. For an Imspector, or a served twin, that is still being started.",
    )
    interlock_path: str = Field(
        "",
        description="Path in Imspector's status tree that tells of the interlock, on the twin "
        "Interlock/closed; empty: nothing is asked.",
    )
    interlock_closed: bool = Field(
        True, description="What that path holds while the interlock is closed."
    )
    fluorophore: str = Field("STAR635P", description="Dye of the twin's sample (twin only).")
    field_um: Annotated[float, Field(gt=0, le=200)] = Field(
        80.0, description="Side of the twin's sample, µm, at most 200 (twin only)."
    )
    real_time: bool = Field(
        False, description="Scans take as long as on the microscope (twin only)."
    )
    labels: tuple[LabelConfig, ...] = Field(
        (), strict=False, description="Further dyes of the twin's sample (twin only)."
    )
