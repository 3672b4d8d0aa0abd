"""The networks of a run: which rates the images, which chooses, and that they are the right ones.

All is checked before the microscope does anything. A run's start document names each network by
name, version and SHA-256, and the catalogue keeps its file: whoever resumes or replays the run has
the very same networks, whatever has become of the files since.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stedopt_bluesky.acquisition import Objective
from stedopt_bluesky.config import ConfigError, ExperimentConfig
from stedopt_bluesky.networks.weights import (
    Kind,
    Weights,
    WeightsError,
    find_weights,
    load_weights,
    shipped_names,
)
from stedopt_bluesky.session.decisions import needs_of, objectives_of

if TYPE_CHECKING:
    from stedopt_bluesky.networks.preference import PreferenceScorer
    from stedopt_bluesky.networks.rater import QualityRater
    from stedopt_bluesky.records.folder import CatalogFolder
    from stedopt_bluesky.records.run_record import RunRecord

AUTO = "auto"
GENERAL = "general"
# A network knows structures by their size in pixels: those of 20 nm pass for 15 to 27 nm.
PIXEL_SIZE_FACTOR = 4 / 3


@dataclass(frozen=True)
class Networks:
    """The networks that a run uses; None where it uses none of the kind.

    Parameters
    ----------
    quality : QualityRater or None
        Rates the quality of images.
    preference : PreferenceScorer or None
        Ranks the options of a cloud.
    """

    quality: QualityRater | None = None
    preference: PreferenceScorer | None = None

    @property
    def weights(self) -> dict[Kind, Weights]:
        """Weights of those that are used."""
        used: dict[Kind, Weights] = {}
        if self.quality is not None:
            used["quality"] = self.quality.weights
        if self.preference is not None:
            used["preference"] = self.preference.weights
        return used

    @property
    def identities(self) -> dict[str, dict[str, str]]:
        """What the start document says of them."""
        return {kind: weights.identity for kind, weights in self.weights.items()}


def open_networks(
    config: ExperimentConfig, *, rates: bool = True, chooses: bool = True
) -> Networks:
    """Load the networks that a configuration needs, and check that they fit it.

    Parameters
    ----------
    config : ExperimentConfig
        Names them.
    rates, chooses : bool
        False where somebody else does it: then that network is not needed.

    Raises
    ------
    ConfigError
        When one is missing, damaged, or does not go with the objectives, their units or the
        pixel size.
    """
    quality = preference = None
    needed = "score" in needs_of(config)
    if not needed and config.quality.network != AUTO:
        raise ConfigError(
            f"quality.network = {config.quality.network!r}: only with an objective that it rates, "
            "quality or quality_last"
        )
    if rates and needed:
        quality = _quality(config, _found(config, "quality", _quality_reference(config)))
    if chooses and config.choice.rule == "network":
        preference = _preference(
            config, _found(config, "preference", _preference_reference(config))
        )
    return Networks(quality, preference)


def networks_of(
    record: RunRecord, config: ExperimentConfig, folder: CatalogFolder | None = None
) -> Networks:
    """Load the very networks that a stored run used.

    Parameters
    ----------
    record : RunRecord
        The run; its start document tells their hashes.
    config : ExperimentConfig
        The run's.
    folder : CatalogFolder, optional
        The run's catalogue, which keeps the files. Without it, and for files that are not there
        any more, the network that the configuration names is taken if it is still the same.

    Raises
    ------
    ConfigError
        When a network is not there, or has become another one.
    """
    told = record.start.get("networks") or {}
    loaded = {
        kind: _again(record, config, folder, kind, told[kind]) for kind in _KINDS if kind in told
    }
    return Networks(
        _quality(config, loaded["quality"]) if "quality" in loaded else None,
        _preference(config, loaded["preference"]) if "preference" in loaded else None,
    )


def check_complete(record: RunRecord, config: ExperimentConfig, networks: Networks) -> None:
    """Refuse to go on with a run that was rated, or chosen from, by a callback.

    A network in its place would go on with somebody else's ratings or choices, unsaid.

    Raises
    ------
    ConfigError
        When the run's networks are not all that its configuration needs.
    """
    missing = []
    if "score" in needs_of(config) and networks.quality is None:
        missing.append("rated")
    if config.choice.rule == "network" and networks.preference is None:
        missing.append("chosen from")
    if missing:
        raise ConfigError(
            f"run {record.uid[:8]} was {' and '.join(missing)} by a callback, no network: go on "
            "with it in Python, open_session(..., rate=..., choose=...)"
        )


_KINDS: tuple[Kind, ...] = ("quality", "preference")
_FIELDS: Mapping[Kind, str] = {"quality": "quality.network", "preference": "choice.network"}


def _again(
    record: RunRecord,
    config: ExperimentConfig,
    folder: CatalogFolder | None,
    kind: Kind,
    identity: Mapping[str, Any],
) -> Weights:
    from stedopt_bluesky.records.networks import kept_network

    sha256 = str(identity.get("sha256", ""))
    kept = kept_network(folder, sha256) if folder is not None else None
    if kept is not None:
        weights = _load(kind, str(kept))
    else:
        reference = (_quality_reference if kind == "quality" else _preference_reference)(config)
        weights = _found(config, kind, reference)
    if weights.sha256 != sha256:
        raise ConfigError(
            f"run {record.uid[:8]}: its {kind} network {identity.get('name')!r} "
            f"({sha256[:12]}) is not there any more; {weights.path} is another one "
            f"({weights.sha256[:12]})"
        )
    return weights


def _quality_reference(config: ExperimentConfig) -> str:
    """Network for the sample's structure; the general one where there is none of its own."""
    if config.quality.network != AUTO:
        return config.quality.network
    structure = config.sample.structure or config.sample.name
    if config.channels:  # one network rates the structures of all channels
        return GENERAL
    return structure if structure in shipped_names("quality") else GENERAL


def _preference_reference(config: ExperimentConfig) -> str:
    """Shipped network that knows just the objectives that count."""
    if config.choice.network != AUTO:
        return config.choice.network
    counting = {o.name for o in config.objectives if o.weight > 0}
    known: dict[str, set[str]] = {}
    for name in shipped_names("preference"):
        weights = _load("preference", name)
        known[name] = {o.name for o in weights.info.objectives}
        if known[name] == counting:
            return name
    listed = "; ".join(f"{name!r} ({', '.join(sorted(names))})" for name, names in known.items())
    raise ConfigError(
        f"choice.network = 'auto': no shipped network chooses by {', '.join(sorted(counting))}; "
        f"there are {listed}; name a file of your own, or take choice.rule = 'weighted'"
    )


def _found(config: ExperimentConfig, kind: Kind, reference: str) -> Weights:
    try:
        return load_weights(find_weights(reference, kind), kind)
    except WeightsError as error:
        field = _FIELDS[kind]
        section, name = field.split(".")
        value = getattr(getattr(config, section), name)
        raise ConfigError(f"{field} = {value!r}: {error}") from None


def _load(kind: Kind, reference: str) -> Weights:
    try:
        return load_weights(find_weights(reference, kind), kind)
    except WeightsError as error:
        raise ConfigError(str(error)) from None


def _quality(config: ExperimentConfig, weights: Weights) -> QualityRater:
    from stedopt_bluesky.networks.rater import QualityRater, use_threads

    trained = weights.info.pixel_size_nm
    low, high = trained / PIXEL_SIZE_FACTOR, trained * PIXEL_SIZE_FACTOR
    for field, used in _pixel_sizes_nm(config):
        if trained and not low <= used <= high:
            raise ConfigError(
                f"{field} = {used:g}: {low:.0f} to {high:.0f} nm with the quality network "
                f"{weights.info.name!r}, which was trained on pixels of {trained:g} nm"
            )
    use_threads()
    try:
        return QualityRater(weights)
    except WeightsError as error:
        raise ConfigError(f"quality.network: {error}") from None


def _pixel_sizes_nm(config: ExperimentConfig) -> list[tuple[str, float]]:
    """Smallest and largest pixel size of the images, nm, each with the field that says it."""
    for i, entry in enumerate(config.parameters):
        if entry.name == "pixel_size_nm":
            return [(f"parameters.{i}.{field} ({entry.name})", v) for field, v in entry.ends]
    return [("imaging.pixel_size_nm", config.imaging.pixel_size_nm)]


def _preference(config: ExperimentConfig, weights: Weights) -> PreferenceScorer:
    from stedopt_bluesky.networks.preference import PreferenceScorer

    check_units(config, objectives_of(config), weights)
    try:
        return PreferenceScorer(weights)
    except WeightsError as error:
        raise ConfigError(f"choice.network: {error}") from None


def check_units(
    config: ExperimentConfig, objectives: tuple[Objective, ...], weights: Weights
) -> None:
    """Refuse a preference network that does not know the run's objectives as they are measured.

    Raises
    ------
    ConfigError
        When it needs an objective that is not rated, was trained with another unit, or does not
        know one that has a weight.
    """
    network = f"the preference network {weights.info.name!r}"
    rated = {o.name: o for o in objectives}
    known = {entry.name: entry for entry in weights.info.objectives}
    for name, entry in known.items():
        if name not in rated:
            raise ConfigError(f"objectives: {network} chooses by {', '.join(known)}; add {name}")
        if entry.unit != rated[name].unit:
            raise ConfigError(
                f"choice.network: {network} was trained with {name} in "
                f"{entry.unit or 'no unit'!r}, here it is in {rated[name].unit or 'no unit'!r}"
            )
    for i, objective in enumerate(config.objectives):
        if objective.weight > 0 and objective.name not in known:
            raise ConfigError(
                f"objectives.{i}.weight = {objective.weight:g} ({objective.name}): 0, watched "
                f"only: {network} chooses by {', '.join(known)}"
            )
