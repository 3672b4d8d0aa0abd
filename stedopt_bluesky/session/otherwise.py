"""What if another strategy, or another network, had decided in a stored run."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from stedopt_bluesky.acquisition import Choice, Options
from stedopt_bluesky.config import ConfigError, ExperimentConfig
from stedopt_bluesky.session.decisions import make_choose, objectives_of
from stedopt_bluesky.session.networks import networks_of, open_networks
from stedopt_bluesky.session.stored import prior_of
from stedopt_bluesky.session.strategies import make_strategy

if TYPE_CHECKING:
    from stedopt_bluesky.networks.preference import PreferenceScorer
    from stedopt_bluesky.records.folder import CatalogFolder
    from stedopt_bluesky.records.replay import DecisionComparison
    from stedopt_bluesky.records.resume import RunChain

# Learns only what it has prescribed itself, not what another strategy had imaged.
_OWN_PRESCRIPTIONS_ONLY = "nsga2"


def otherwise(
    config: ExperimentConfig,
    *,
    strategy: str | None = None,
    preference_network: str | None = None,
    other: ExperimentConfig | None = None,
) -> ExperimentConfig:
    """Change who decides, and nothing else.

    Parameters
    ----------
    config : ExperimentConfig
        Of the stored run.
    strategy : str, optional
        Draws the options.
    preference_network : str, optional
        Chooses from them: a shipped one's name or a file.
    other : ExperimentConfig, optional
        Its sections ``[bandit]`` and ``[choice]`` are taken, before the two above.

    Raises
    ------
    ConfigError
        When ``other`` has another grid or other objectives, or what is asked for does not go
        with the run.
    """
    changes: dict[str, Any] = {}
    if other is not None:
        _check_same_questions(config, other)
        for section in ("bandit", "choice"):
            changes[section] = getattr(other, section).model_dump(exclude_none=True)
    if strategy is not None:
        changes["bandit.strategy"] = strategy
    if preference_network is not None:
        changes |= {"choice.rule": "network", "choice.network": preference_network}
    return config.updated(changes)


def _check_same_questions(config: ExperimentConfig, other: ExperimentConfig) -> None:
    if other.space.names != config.space.names:
        raise ConfigError(
            f"parameters = {', '.join(other.space.names)}: the run's, in its order: "
            f"{', '.join(config.space.names)}"
        )
    for i, (asked, own) in enumerate(zip(other.space, config.space, strict=True)):
        if asked != own:
            told, allowed = (
                f"{len(p.values)} values, {p.values[0]:g} to {p.values[-1]:g} {p.unit}".rstrip()
                for p in (asked, own)
            )
            raise ConfigError(f"parameters.{i} ({own.name}) = {told}: the run's, {allowed}")
    names, own_names = ([o.name for o in c.objectives] for c in (other, config))
    if names != own_names:
        raise ConfigError(
            f"objectives = {', '.join(names)}: the run's, in its order: {', '.join(own_names)}"
        )


def preference_of(
    chain: RunChain, config: ExperimentConfig, asked: ExperimentConfig, folder: CatalogFolder
) -> PreferenceScorer | None:
    """Preference network that chooses: the run's very own, or the one that is asked for.

    Raises
    ------
    ConfigError
        When it is not there, or does not go with the run's objectives.
    """
    if asked.choice == config.choice:
        return networks_of(chain.last, config, folder).preference
    return open_networks(asked, rates=False).preference


def choose_of(
    asked: ExperimentConfig, preference: PreferenceScorer | None
) -> Callable[[Options], Choice]:
    """Who chooses; a rule that cannot be used with the run's objectives is a wrong request."""
    try:
        return make_choose(asked, preference)
    except ConfigError:
        raise
    except ValueError as error:
        raise ConfigError(f"choice: {error}") from None


def rerun_chain(
    chain: RunChain, config: ExperimentConfig, asked: ExperimentConfig, folder: CatalogFolder
) -> list[DecisionComparison]:
    """Make the decisions of a chain's newest run anew, with the clouds compared.

    Parameters
    ----------
    chain : RunChain
        The run and those that it goes on with.
    config : ExperimentConfig
        The run's own.
    asked : ExperimentConfig
        Who decides anew; the run's own, or see `otherwise`.
    folder : CatalogFolder
        Keeps the run's networks.

    Raises
    ------
    ConfigError
        When what is asked for cannot decide in this run.
    CatalogError
        When the run's documents or arrays cannot be used.
    """
    from stedopt_bluesky.records.replay import rerun_decisions

    if asked != config and asked.bandit.strategy == _OWN_PRESCRIPTIONS_ONLY:
        raise ConfigError(
            f"bandit.strategy = {_OWN_PRESCRIPTIONS_ONLY!r}: it learns only from images that it "
            "has prescribed itself; replay the whole run with it, --microscope"
        )
    prior = prior_of(chain.last)
    choose = choose_of(asked, preference_of(chain, config, asked, folder))
    objectives_of(asked)
    return rerun_decisions(
        chain.last,
        lambda _: make_strategy(asked, chain.history_before_last, prior),
        choose,
        compare_clouds=True,
    )
