"""``stedopt replay``: a stored run's documents again, and its decisions made anew."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from stedopt_bluesky.cli.output import console, print_json, stdout, warn
from stedopt_bluesky.cli.showing import check_figure
from stedopt_bluesky.config import ConfigError, ExperimentConfig, load_config

if TYPE_CHECKING:
    from stedopt_bluesky.records.folder import CatalogFolder
    from stedopt_bluesky.records.replay import DecisionComparison
    from stedopt_bluesky.records.resume import RunChain
    from stedopt_bluesky.records.run_record import RunRecord
    from stedopt_bluesky.reports.what_if import WhatIf

# So long somebody who is to look on has to come.
_SUBSCRIBER_PATIENCE_S = 60.0


@dataclass(frozen=True)
class Asked:
    """Who is to decide in place of the run's own strategy and network.

    Parameters
    ----------
    strategy, preference_network : str or None
        Their names; None: the run's own.
    config : Path or None
        File whose sections ``[bandit]`` and ``[choice]`` are taken.
    """

    strategy: str | None = None
    preference_network: str | None = None
    config: Path | None = None

    @property
    def anything(self) -> bool:
        """Whether something else is asked for than what the run had."""
        return any(x is not None for x in (self.strategy, self.preference_network, self.config))

    def changed(self, config: ExperimentConfig) -> ExperimentConfig:
        """Return the run's configuration with what is asked for."""
        from stedopt_bluesky.session.otherwise import otherwise

        return otherwise(
            config,
            strategy=self.strategy,
            preference_network=self.preference_network,
            other=load_config(self.config) if self.config else None,
        )


def choose_way(
    asked: Asked,
    *,
    figure: Path | None,
    emit: bool,
    speed: float | None,
    to: str | None,
    to_proxy: bool,
    microscope: bool,
    images_from: tuple[str, ...],
    into: Path | None,
    as_json: bool,
) -> Callable[[str, Path], None]:
    """Find out which of the ways of replaying is asked for.

    Returns
    -------
    callable
        Takes the run's uid and the catalogue's folder.

    Raises
    ------
    ConfigError
        When options do not go together.
    """
    emitting = emit or to is not None
    if emitting and (asked.anything or figure or as_json or microscope):
        raise ConfigError(
            "emit, to: not together with a strategy, network, config, figure, microscope or json"
        )
    if (images_from or into) and not microscope:
        raise ConfigError("from, into: only together with --microscope")
    if speed is not None and not emitting:
        raise ConfigError(f"speed = {speed:g}: only together with --emit or --to")
    if to_proxy and to is None:
        raise ConfigError("proxy: only together with an address, --to 127.0.0.1:PORT")
    if emitting:
        return partial(_emit_run, speed=speed, to=to, to_proxy=to_proxy)
    if microscope:
        return partial(
            _replay_microscope,
            asked=asked,
            images_from=images_from,
            into=into,
            figure=figure,
            as_json=as_json,
        )
    if asked.anything:
        return partial(_ask_others, asked=asked, figure=figure, as_json=as_json)
    if figure:
        raise ConfigError(
            f"figure = {str(figure)!r}: only with another strategy or network, or --microscope"
        )
    return partial(_replay_run, as_json=as_json)


def _replay_run(uid: str, catalog: Path, *, as_json: bool) -> None:
    """Re-emit a run's documents, checked against their schemas, and make its decisions anew.

    Raises
    ------
    CatalogError, ConfigError
        When the run is not there, damaged, or not one of this program's.
    """
    from stedopt_bluesky.records.replay import emit
    from stedopt_bluesky.session import config_of
    from stedopt_bluesky.session.otherwise import rerun_chain

    folder, chain = _read(uid, catalog)
    record = chain.last
    config = config_of(record)
    with console.status("re-emitting the documents ..."):
        # They were held against their definitions when they were read.
        emitted: list[str] = []
        emit(record, lambda name, _: emitted.append(name))
    with console.status("making the decisions anew ..."):
        decisions = rerun_chain(chain, config, config, folder)
    differing = [d for d in decisions if not d.same]
    if as_json:
        print_json(
            {
                "uid": record.uid,
                "documents": len(emitted),
                "decisions": len(decisions),
                "differing": len(differing),
                "differences": [{name: vars(d)[name] for name in _TOLD} for d in differing],
            }
        )
    else:
        lines = [
            f"{len(emitted)} documents re-emitted, all valid",
            f"{len(decisions)} decisions made anew, {len(differing)} differ",
            *(f"  {_difference(d)}" for d in differing),
        ]
        stdout.print("\n".join(lines), markup=False)
    if differing:
        raise typer.Exit(1)


# What is told of a decision that differs.
_TOLD = ("iteration", "recorded_index", "index", "recorded_by", "chosen_by", "same_cloud")


def _ask_others(
    uid: str, catalog: Path, *, asked: Asked, figure: Path | None, as_json: bool
) -> None:
    """Have another strategy or network decide on the same images, and compare.

    Raises
    ------
    CatalogError, ConfigError
        When the run cannot be used, or what is asked for cannot decide in it.
    """
    from stedopt_bluesky.session import config_of
    from stedopt_bluesky.session.otherwise import rerun_chain

    if figure:
        check_figure(figure)
    folder, chain = _read(uid, catalog)
    config = config_of(chain.last)
    changed = asked.changed(config)
    with console.status("making the decisions anew ..."):
        decisions = rerun_chain(chain, config, changed, folder)
    report = _compared(chain, config, changed, decisions)
    if figure and not report.rows:
        raise ConfigError(f"figure = {str(figure)!r}: run {report.uid[:8]} has no decision to draw")
    saved = _save(report, figure) if figure else None
    if as_json:
        print_json({**report.as_json(), "figure": str(saved.resolve()) if saved else None})
        return
    _print(report, saved)


def _emit_run(
    uid: str, catalog: Path, *, speed: float | None, to: str | None, to_proxy: bool
) -> None:
    """Emit a run's documents: to whoever subscribes, or a line of JSON each on standard output.

    Raises
    ------
    CatalogError, ConfigError
        When the run or the address cannot be used, or nobody subscribes.
    """
    from stedopt_bluesky.records.replay import emit

    if speed is not None and not 0 < speed < float("inf"):
        raise ConfigError(f"speed = {speed:g}: above 0; 1 is the run's own pace")
    _, chain = _read(uid, catalog)
    if to is None:
        emit(chain.last, _print_line, speed=speed)
        return
    from stedopt_bluesky.records.live import LiveError, Publisher

    try:
        publisher = Publisher(to, to_proxy=to_proxy)
    except LiveError as error:
        raise ConfigError(f"to: {error}") from None
    with publisher:
        console.print(f"publishing at {publisher.address}, as soon as somebody subscribes")
        if not publisher.wait_for_subscriber(_SUBSCRIBER_PATIENCE_S):
            raise ConfigError(
                f"to = {to!r}: nobody has subscribed within {_SUBSCRIBER_PATIENCE_S:g} s"
            )
        emit(chain.last, publisher, speed=speed)
    stdout.print(f"{len(chain.last.documents)} documents published")


def _replay_microscope(
    uid: str,
    catalog: Path,
    *,
    asked: Asked,
    images_from: tuple[str, ...],
    into: Path | None,
    figure: Path | None,
    as_json: bool,
) -> None:
    """Run a run's whole plan anew, on a microscope that answers with recorded images.

    Raises
    ------
    CatalogError, ConfigError
        When the run cannot be replayed so, or what is asked for cannot decide in it.
    """
    from stedopt_bluesky.cli.performing import Task, perform
    from stedopt_bluesky.records.folder import CatalogFolder
    from stedopt_bluesky.records.journal import find_run
    from stedopt_bluesky.records.replay import RunComparison, compare_runs
    from stedopt_bluesky.records.run_record import RunRecord
    from stedopt_bluesky.session import config_of
    from stedopt_bluesky.session.recorded import make_replay

    folder, chain = _read(uid, catalog)
    changed = asked.changed(config_of(chain.last))
    with console.status("reading the images ..."):
        others = [RunRecord.read(find_run(folder, other)) for other in images_from]
        replay = make_replay(chain, folder, changed, others)
    target = into or catalog
    # Who names another folder wants the run there, and not on the server of the replayed one.
    config = replay.config.updated({"catalog.uri": ""}) if into else replay.config
    found: list[RunComparison] = []

    def compared(new: str) -> tuple[tuple[str, str], dict[str, Any]]:
        record = RunRecord.read(find_run(CatalogFolder.open(target), new))
        comparison = compare_runs(chain.last, record)
        found.append(comparison)
        told = {"of": chain.last.uid, **vars(comparison), **_given(record)}
        text = (
            f"run {chain.last.uid[:8]}: {comparison.same_decisions} of {comparison.decisions} "
            f"decisions, {comparison.same_images} of {comparison.images} regions' images and "
            f"{comparison.same_objectives} of their objectives are the same"
        )
        return ("replayed", text), {"replayed": told}

    perform(
        Task(
            config,
            target,
            figure,
            as_json,
            history=replay.history,
            places=replay.places,
            md=replay.metadata,
            prior=replay.prior,
            reduced_from=replay.reduced_from,
            networks=replay.networks,
            light_before=replay.light_before,
            application=replay.application,
            given=replay.given,
            then=compared,
        )
    )
    if not asked.anything and not all(comparison.same for comparison in found):
        raise typer.Exit(1)


def _given(record: RunRecord) -> dict[str, Any]:
    """How far off the given images were."""
    data = [event["data"] for event in record.events(record.keys.image_stream)]
    steps = [event["replayed_distance_steps"] for event in data]
    return {
        "nearest_only": sum(s > 0 for s in steps),
        "mean_distance_steps": sum(steps) / len(steps) if steps else None,
        "given_again": sum(event["replayed_use"] > 1 for event in data),
    }


def _print_line(name: str, doc: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps([name, doc]) + "\n")
    sys.stdout.flush()


def _read(uid: str, catalog: Path) -> tuple[CatalogFolder, RunChain]:
    from stedopt_bluesky.records.folder import CatalogFolder
    from stedopt_bluesky.records.resume import read_chain

    folder = CatalogFolder.open(catalog)
    return folder, read_chain(folder, uid)


def _compared(
    chain: RunChain,
    config: ExperimentConfig,
    asked: ExperimentConfig,
    decisions: list[DecisionComparison],
) -> WhatIf:
    from stedopt_bluesky.reports.what_if import what_if
    from stedopt_bluesky.session import objectives_of, weights_of

    return what_if(
        decisions,
        config.space,
        objectives_of(config),
        weights_of(config),
        uid=chain.last.uid,
        recorded_with=_who(config),
        asked=_who(asked),
    )


def _who(config: ExperimentConfig) -> dict[str, str]:
    """Who decides, by the sections of a configuration."""
    told: dict[str, str] = {
        "bandit.strategy": config.bandit.strategy,
        "choice.rule": config.choice.rule,
    }
    if config.choice.rule == "network":
        told["choice.network"] = config.choice.network
    return told


def _save(report: WhatIf, path: Path) -> Path | None:
    from stedopt_bluesky.reports.what_if_figure import save_what_if

    with console.status("drawing the picture ..."):
        try:
            save_what_if(report, path)
        except OSError as error:
            warn(f"the picture {path} was not saved: {error}")
            return None
    return path


def _print(report: WhatIf, figure: Path | None) -> None:
    from stedopt_bluesky.reports.what_if_table import what_if_table

    if report.rows:
        stdout.print(what_if_table(report))
        stdout.print()
    lines = [
        ("recorded", ", ".join(report.recorded_with.values())),
        ("asked", ", ".join(report.asked.values())),
    ]
    if report.rows:
        regret = report.mean_regret
        lines += [
            ("agree", f"{report.agreeing} of {len(report.rows)} decisions, {report.share:.0%}"),
            ("distance", f"{report.mean_distance:.2g} steps on the grid, mean"),
            ("regret", "-" if math.isnan(regret) else f"{regret:+.3f} of the own utility, mean"),
        ]
    else:
        lines.append(("agree", "the run has no decision"))
    if figure:
        lines.append(("picture", str(figure)))
    for label, text in lines:
        stdout.print(f"{label:>10}  {text}", markup=False)


def _difference(decision: DecisionComparison) -> str:
    """Say in what a decision made anew differs from the recorded one."""
    recorded = f"option {decision.recorded_index} ({decision.recorded_by})"
    if decision.index == decision.recorded_index:
        return f"iteration {decision.iteration}: {recorded} again, but from another cloud"
    return (
        f"iteration {decision.iteration}: recorded {recorded}, "
        f"now option {decision.index} ({decision.chosen_by})"
    )
