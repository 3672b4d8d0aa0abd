"""What the start document says of a run: everything needed to understand it alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from stedopt_bluesky import __version__
from stedopt_bluesky.acquisition import PriorObservation
from stedopt_bluesky.config import ExperimentConfig
from stedopt_bluesky.image_files import image_stem

if TYPE_CHECKING:
    from stedopt_bluesky.imspector.api import Application


def start_metadata(
    config: ExperimentConfig,
    application: Application,
    *,
    prior: Sequence[PriorObservation] = (),
    reduced_from: str = "",
    networks: Mapping[str, Mapping[str, str]] | None = None,
    stage_origin_um: tuple[float, float] = (0.0, 0.0),
) -> dict[str, Any]:
    """Compose what the start document says of a run: everything needed to understand it alone.

    Parameters
    ----------
    config : ExperimentConfig
        What the run was made from.
    application : Application
        Tells Imspector's version.
    prior : sequence of PriorObservation
        What the models begin with; kept whole, so that a replay needs no other file.
    reduced_from : str
        Uid of the run to whose chosen region the grid was reduced, if it was.
    networks : mapping of kind to name, version and SHA-256, optional
        The networks that rate and choose.
    stage_origin_um : tuple of float
        Position (x, y) of the stage that counts as zero, µm, in the stage's own coordinates.
    """
    sample = config.sample
    # A sample that is a file is known by the file's name without its ending.
    name = image_stem(sample.name) or sample.name
    return {
        "sample": name,
        "structure": sample.structure or name,
        "preset": config.preset,
        "operator": config.operator,
        "seed": config.seed,
        "microscope": config.microscope.kind,
        **({"networks": {kind: dict(told) for kind, told in networks.items()}} if networks else {}),
        "stedopt": {
            "version": __version__,
            "config": config.model_dump(mode="json", exclude_none=True),
            **({"prior_observations": [_plain(o) for o in prior]} if prior else {}),
            **({"reduced_from": reduced_from} if reduced_from else {}),
            "stage_origin_um": list(stage_origin_um),
        },
        "imspector": {"version": application.version()},
    }


def _plain(observation: PriorObservation) -> dict[str, Any]:
    """Plain data, of which JSON keeps every number exactly; `stored.prior_of` reads them."""
    return {
        "configuration": {name: float(v) for name, v in observation.configuration.items()},
        "values": {name: float(v) for name, v in observation.values.items()},
        "weight": float(observation.weight),
    }
