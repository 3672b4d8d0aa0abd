"""Go on with a stored run: what the next one begins with, and its plan on an open session."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stedopt_bluesky.acquisition import PriorObservation
from stedopt_bluesky.config import ConfigError, ExperimentConfig
from stedopt_bluesky.session.networks import Networks, check_complete, networks_of
from stedopt_bluesky.session.opening import OPTIMISATIONS, Session, check_wired_alike
from stedopt_bluesky.session.places import Places
from stedopt_bluesky.session.stored import (
    config_of,
    light_of,
    places_left,
    prior_of,
    reduced_from,
    stage_origin_of,
)
from stedopt_bluesky.session.strategies import Observation

if TYPE_CHECKING:
    from bluesky.utils import MsgGenerator

    from stedopt_bluesky.plans.asking import Chooser
    from stedopt_bluesky.records.folder import CatalogFolder
    from stedopt_bluesky.records.resume import RunChain


@dataclass(frozen=True)
class Continuation:
    """What a run begins with that goes on with a stored one.

    Parameters
    ----------
    chain : RunChain
        The stored run, and those that it went on with.
    config : ExperimentConfig
        The stored run's, with as many images as are still to be taken.
    history : sequence of (index, objectives by name)
        What has been measured.
    places : Places
        Where is still to be imaged.
    md : mapping
        For the start document: names the stored run.
    prior : tuple of PriorObservation
        What the stored run began with.
    reduced_from : str
        Uid of the run from whose choices the grid was reduced, if it was.
    networks : Networks
        Those of the stored run.
    stage_origin_um : tuple of float or None
        Position (x, y) of the stage that counts as zero, µm; None where it is not told.
    """

    chain: RunChain
    config: ExperimentConfig
    history: Sequence[Observation]
    places: Places
    md: Mapping[str, Any]
    prior: tuple[PriorObservation, ...]
    reduced_from: str
    networks: Networks
    stage_origin_um: tuple[float, float] | None


def continuation_of(folder: CatalogFolder, uid: str, images: int | None = None) -> Continuation:
    """Read what a run has left to do; one that its program left open is closed first.

    Parameters
    ----------
    folder : CatalogFolder
        Where it is.
    uid : str
        Its uid, or the beginning of it.
    images : int, optional
        How many more; as many as it has not taken when left out.

    Raises
    ------
    ConfigError
        When it is no optimisation of this program, has all its images or too few regions left,
        or a network of it is not there any more.
    CatalogError
        When it is not there, damaged, or still being written.
    """
    from stedopt_bluesky.records.replay import REPLAYS
    from stedopt_bluesky.records.resume import RESUMES, close_for_resume, read_chain

    chain = read_chain(folder, uid)
    run = chain.last
    if REPLAYS in run.start:
        raise ConfigError(
            f"run {run.uid[:8]} was replayed from recorded images: there is no sample to go "
            f"on with; go on with run {str(run.start[REPLAYS])[:8]}"
        )
    config = config_of(run)
    plan = run.start.get("plan_name")
    if plan not in OPTIMISATIONS:
        raise ConfigError(f"run {run.uid[:8]}: plan {plan!r}; only an optimisation is gone on with")
    networks = networks_of(run, config, folder)
    check_complete(run, config, networks)
    close_for_resume(folder, run.uid)
    count = chain.images_left if images is None else images
    if count < 1 and images is None:
        raise ConfigError(f"run {run.uid[:8]} has all its images: say how many more, --images N")
    config = config.updated({"images": count})
    places = places_left(chain, config)
    places.check(count, run.uid[:8])
    return Continuation(
        chain=chain,
        config=config,
        history=chain.history,
        places=places,
        md={RESUMES: run.uid},
        prior=prior_of(run),
        reduced_from=reduced_from(run),
        networks=networks,
        stage_origin_um=stage_origin_of(run),
    )


def go_on(
    session: Session,
    earlier: Continuation,
    *,
    choose: Chooser | None = None,
    md: Mapping[str, Any] | None = None,
) -> MsgGenerator[str]:
    """Go on with a stored run on the microscope of an open session.

    While it runs, positions of the stage count from where those of the stored run do, and the
    light that its regions got before this session counts for their limit.

    Parameters
    ----------
    session : Session
        Its devices are used, not its strategy.
    earlier : Continuation
        From :func:`continuation_of`.
    choose : callable or ExpertChoice, optional
        Who chooses in place of what the configuration says.
    md : mapping, optional
        Added to the start document.

    Returns
    -------
    str
        The run's uid.

    Raises
    ------
    ConfigError
        When the stored run had another microscope, grid or objectives.
    """
    from stedopt_bluesky.records.resume import RunChain

    stage, budget = session.station.stage, session.station.microscope.budget
    here_um = stage.origin_um
    check_wired_alike(session.config, earlier.config)  # before anything changes
    unseen = tuple(r for r in earlier.chain.records if r.uid not in session.runs_seen)
    for exposure in light_of(RunChain(unseen), stage.first_origin_um) if unseen else ():
        budget.remember(*exposure)
    session.remember_runs(record.uid for record in unseen)
    try:
        if earlier.stage_origin_um is not None:
            stage.count_from(earlier.stage_origin_um)
        run = session.renewed(
            earlier.config,
            history=earlier.history,
            prior=earlier.prior,
            reduced_from=earlier.reduced_from,
            networks=earlier.networks,
            choose=choose,
        )
        return (
            yield from run.optimize(
                regions=earlier.places.regions,
                fields_um=earlier.places.fields_um,
                md={**earlier.md, **(md or {})},
            )
        )
    finally:
        stage.count_from(here_um)
