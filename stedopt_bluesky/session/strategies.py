"""What draws the options: the strategy of a configuration."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from stedopt_bluesky.acquisition import Objective, PriorObservation
from stedopt_bluesky.config import LEARN_FROM_PRIOR, ConfigError, ExperimentConfig
from stedopt_bluesky.parameters import ParameterSpace
from stedopt_bluesky.session.decisions import objectives_of

if TYPE_CHECKING:
    from stedopt_bluesky.bandit.strategy import Strategy
    from stedopt_bluesky.config.channels import ChannelConfig

Observation = tuple[int, Mapping[str, float]]


def make_strategy(
    config: ExperimentConfig,
    history: Iterable[Observation] = (),
    prior: Sequence[PriorObservation] = (),
) -> Strategy:
    """Make the strategy of a configuration, taught the observations of earlier images.

    Parameters
    ----------
    config : ExperimentConfig
        Grid, objectives, seed and the bandit's settings.
    history : iterable of (index, objectives by name)
        In the order of imaging.
    prior : sequence of PriorObservation
        What earlier experiments measured; the models begin with it.

    Raises
    ------
    ConfigError
        When the strategy cannot be used with these objectives or this prior, or needs a
        package that is not installed.
    """
    name = config.bandit.strategy
    if prior and name not in LEARN_FROM_PRIOR:
        raise ConfigError(
            f"bandit.strategy = {name!r}: with [prior] allowed are {', '.join(LEARN_FROM_PRIOR)}; "
            "the others do not learn from it"
        )
    try:
        strategy = _FACTORIES[name](config, objectives_of(config), prior)
    except ConfigError:
        raise
    except ValueError as error:  # what only the strategy knows: bounds beside one another
        raise ConfigError(f"bandit: {error}") from None
    for index, values in history:
        strategy.ingest(index, values)
    return strategy


def _kernel_ts(
    config: ExperimentConfig, objectives: Sequence[Objective], prior: Sequence[PriorObservation]
) -> Strategy:
    from stedopt_bluesky.bandit import KernelTS

    return KernelTS(
        config.space,
        objectives,
        config.seed,
        deterministic=_known(config, objectives),
        **_kernel_settings(config, prior),
    )


def _kernel_ucb(
    config: ExperimentConfig, objectives: Sequence[Objective], prior: Sequence[PriorObservation]
) -> Strategy:
    from stedopt_bluesky.bandit.kernel_ucb import KernelUCB

    modelled = [objective.name for objective in objectives if objective.modelled]
    if len(modelled) != 1:
        raise ConfigError(
            "bandit.strategy = 'kernel_ucb': allowed with exactly one modelled objective "
            "(imaging_time_s and light_dose_mJ may stand beside it), got "
            f"{', '.join(modelled) or 'none'}"
        )
    return KernelUCB(
        config.space,
        objectives,
        config.seed,
        deterministic=_known(config, objectives),
        **_kernel_settings(config, prior),
    )


def _botorch(
    config: ExperimentConfig, objectives: Sequence[Objective], _: Sequence[PriorObservation]
) -> Strategy:
    from stedopt_bluesky.bandit.botorch_ts import BoTorchTS

    known = _known(config, objectives)
    try:
        return BoTorchTS(config.space, objectives, config.seed, deterministic=known)
    except ImportError as error:  # an optional extra; its message says how to install it
        raise ConfigError(f"bandit.strategy = 'botorch': {error}") from None


def _nsga2(
    config: ExperimentConfig, objectives: Sequence[Objective], _: Sequence[PriorObservation]
) -> Strategy:
    from stedopt_bluesky.bandit.nsga2 import NSGA2

    return NSGA2(
        config.space,
        objectives,
        config.seed,
        population=config.bandit.population,
        deterministic=_known(config, objectives),
        **_repeats(config),
    )


def _grid_search(
    config: ExperimentConfig, objectives: Sequence[Objective], _: Sequence[PriorObservation]
) -> Strategy:
    from stedopt_bluesky.bandit.baselines import GridSearch

    return GridSearch(
        config.space, objectives, deterministic=_known(config, objectives), **_repeats(config)
    )


def _random(
    config: ExperimentConfig, objectives: Sequence[Objective], _: Sequence[PriorObservation]
) -> Strategy:
    from stedopt_bluesky.bandit import RandomPolicy

    return RandomPolicy(
        config.space, objectives, config.seed, deterministic=_known(config, objectives)
    )


Factory = Callable[[ExperimentConfig, Sequence[Objective], Sequence[PriorObservation]], "Strategy"]

# By their names in the configuration. Each imports its own room: pymoo and BoTorch are slow.
_FACTORIES: dict[str, Factory] = {
    "kernel_ts": _kernel_ts,
    "kernel_ucb": _kernel_ucb,
    "botorch": _botorch,
    "nsga2": _nsga2,
    "grid_search": _grid_search,
    "random": _random,
}


def _kernel_settings(config: ExperimentConfig, prior: Sequence[PriorObservation]) -> dict[str, Any]:
    """Settings that every strategy with kernel regression shares."""
    bandit = config.bandit
    settings = {
        "bandwidth": bandit.bandwidth,
        "adaptation": bandit.adaptation,
        "border_observations": bandit.border_observations,
        "prior": tuple(prior),
    }
    # Left out, each strategy has its own.
    chosen = {"norm_bound": bandit.norm_bound, "exploration": bandit.exploration}
    return settings | {name: value for name, value in chosen.items() if value is not None}


def _repeats(config: ExperimentConfig) -> dict[str, int]:
    """Images per configuration; left out, the strategy's own number holds."""
    repeats = config.bandit.repeats
    return {} if repeats is None else {"repeats": repeats}


def _known(config: ExperimentConfig, objectives: Sequence[Objective]) -> dict[str, Any]:
    """Values of the objectives that are not modelled, each of shape (G,)."""
    columns = {"imaging_time_s": _imaging_times, "light_dose_mJ": _light_doses}
    return {o.name: columns[o.name](config) for o in objectives if not o.modelled}


def _imaging_times(config: ExperimentConfig) -> Any:
    """Imaging time of every configuration, s, shape (G,)."""
    from stedopt_bluesky.objectives import imaging_times_s

    shape = (config.imaging.pixels, config.imaging.pixels)
    times_s = imaging_times_s(config.space, shape, **_scan_of(config))
    # One after the other, as the images' own times are added.
    return sum(times_s for _ in (None, *config.channels))


def _light_doses(config: ExperimentConfig) -> Any:
    """Light dose of every configuration, all channels together, mJ, shape (G,)."""
    from stedopt_bluesky.objectives import light_doses_mJ

    imaging = config.imaging
    told = config.fixed_parameters

    def doses(channel: ChannelConfig | None) -> Any:
        prefix = f"{channel.name}_" if channel else ""
        excitation = f"{prefix}excitation_power_uW"
        own = f"{prefix}depletion_power_mW"
        follows = channel is not None and channel.depletion_power_mW is None
        depletion = "depletion_power_mW" if follows else own
        return light_doses_mJ(
            _renamed(
                config.space,
                {excitation: "excitation_power_uW", depletion: "depletion_power_mW"},
            ),
            (imaging.pixels, imaging.pixels),
            excitation_power_uW=told.get(excitation),
            depletion_power_mW=told.get(depletion),
            **_scan_of(config),
            sted_images=imaging.sted_images,
        )

    return sum(doses(channel) for channel in (None, *config.channels))


def _scan_of(config: ExperimentConfig) -> dict[str, float]:
    """Return what the time of an image depends on, as it is where it is not optimised."""
    names = {"dwelltime_us", "line_steps", "frames", "pixel_size_nm", "region_size_um"}
    return config.imaging.model_dump(include=names)


def _renamed(space: ParameterSpace, names: Mapping[str, str]) -> ParameterSpace:
    """Return a grid whose powers are those of one channel, by the first one's names."""
    powers = {"excitation_power_uW", "depletion_power_mW"}
    return ParameterSpace(
        [
            dataclasses.replace(
                p, name=names.get(p.name, f"other {p.name}" if p.name in powers else p.name)
            )
            for p in space
        ]
    )
