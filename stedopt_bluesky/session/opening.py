"""Open a session: devices, strategy, journal and RunEngine, wired from one configuration."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stedopt_bluesky.acquisition import ImageSet, PriorObservation, Region
from stedopt_bluesky.config import ConfigError, ExperimentConfig
from stedopt_bluesky.session.address import address_of
from stedopt_bluesky.session.decisions import make_choose
from stedopt_bluesky.session.hardware import make_instrument
from stedopt_bluesky.session.metadata import start_metadata
from stedopt_bluesky.session.networks import Networks, open_networks
from stedopt_bluesky.session.places import places_of, spines_of, tiles_of
from stedopt_bluesky.session.prior import prior_observations
from stedopt_bluesky.session.publishing import published
from stedopt_bluesky.session.station import make_station
from stedopt_bluesky.session.strategies import Observation, make_strategy

if TYPE_CHECKING:
    from bluesky import RunEngine
    from bluesky.utils import MsgGenerator

    from stedopt_bluesky.bandit.strategy import Strategy
    from stedopt_bluesky.devices.replayed import Given
    from stedopt_bluesky.devices.station import Station
    from stedopt_bluesky.imspector.api import Application
    from stedopt_bluesky.imspector.instrument import Instrument
    from stedopt_bluesky.plans.asking import Chooser
    from stedopt_bluesky.records.folder import CatalogFolder
    from stedopt_bluesky.session.watchdog import Watchdog

# What a session is not wired from: another run on the same devices may have it otherwise.
UNWIRED = frozenset(
    {
        "images",
        "preset",
        "seed",
        "operator",
        "catalog",
        "live",
        "bandit",
        "prior",
        "choice",
        "quality",
        "regions",
        "rectangles",
        "time_lapse",
    }
)


@dataclass(frozen=True)
class Session:
    """A microscope, a strategy and a journal, ready for ``RE(session.optimize())``.

    Made by :func:`open_session`.

    Parameters
    ----------
    config : ExperimentConfig
        What everything was made from.
    station : Station
        The devices.
    strategy : Strategy
        Draws options and learns.
    rate, choose : callable
        Who rates the images and who chooses from the cloud of options.
    run_engine : RunEngine
        The journal is its first subscriber.
    instrument : Instrument
        Imspector's measurement, and the last gate before it.
    folder : CatalogFolder
        Where journal and images go.
    metadata : mapping
        Goes into the start document of every run.
    """

    config: ExperimentConfig
    station: Station
    strategy: Strategy
    rate: Callable[[ImageSet], Mapping[str, float]]
    choose: Chooser
    run_engine: RunEngine
    instrument: Instrument
    folder: CatalogFolder
    metadata: Mapping[str, Any]
    _last: LastRun = field(repr=False)
    _deciding: _Deciding = field(repr=False)

    def optimize(
        self,
        images: int | None = None,
        *,
        regions: Sequence[Region] | None = None,
        fields_um: Sequence[tuple[float, float]] | None = None,
        md: Mapping[str, Any] | None = None,
    ) -> MsgGenerator[str]:
        """Make the plan of this session: ``RE(session.optimize(images=20))``.

        A session has one strategy: a second run begins with what the first one has learnt,
        and its start document says so (``resumes``), so that its decisions can be replayed.
        Without ``regions`` and ``fields_um`` it images where the configuration says.

        Parameters
        ----------
        images : int, optional
            Regions to image; the configuration's number when left out.
        regions : sequence of Region, optional
            Where; one that is there twice is imaged twice.
        fields_um : sequence of tuple of float, optional
            Stage positions (x, y), µm; after the regions, regions are laid over an overview at
            each of them.
        md : mapping, optional
            Added to the start document.
        """
        from bluesky.preprocessors import subs_wrapper

        from stedopt_bluesky.plans import optimize_sted
        from stedopt_bluesky.plans.uncaging import optimize_uncaging
        from stedopt_bluesky.records.resume import RESUMES

        config = self.config
        plan = (
            partial(optimize_uncaging, sites=spines_of(config))
            if config.uncaging.enabled
            else partial(optimize_sted, lay=tiles_of(config))
        )
        earlier = {RESUMES: self._last.uid} if self._last.uid else {}
        if regions is None and fields_um is None:
            places = places_of(config)
            regions, fields_um = places.regions, places.fields_um
        run = plan(
            self.station,
            self.strategy,
            config.space,
            rate=self.rate,
            choose=self.choose,
            images=config.images if images is None else images,
            regions=regions,
            fields=fields_um,
            interval_s=config.time_lapse.interval_s,
            md={**self.metadata, **earlier, **(md or {})},
        )
        return subs_wrapper(run, {"start": [self._last]})

    def renewed(
        self,
        config: ExperimentConfig | None = None,
        *,
        history: Iterable[Observation] = (),
        prior: Sequence[PriorObservation] | None = None,
        reduced_from: str = "",
        networks: Networks | None = None,
        choose: Chooser | None = None,
    ) -> Session:
        """Make a session on the same devices whose strategy has learnt nothing of this one's runs.

        What regions have got of light is remembered: the sample is the same.

        Parameters
        ----------
        config : ExperimentConfig, optional
            Another one, with the same microscope, grid and objectives; this session's when
            left out.
        history, prior, reduced_from, networks
            As :func:`open_session` has them.
        choose : callable or ExpertChoice, optional
            Who chooses in place of what the configuration says.

        Raises
        ------
        ConfigError
            When the configuration differs from this session's in what its devices were made
            from, or the prior knowledge or a network cannot be used.
        """
        from stedopt_bluesky.records.networks import keep_network

        config = config or self.config
        check_wired_alike(self.config, config)
        was = self._deciding
        if prior is None:
            prior = was.prior if config.prior == self.config.prior else None
        if networks is None and _same_networks(self.config, config):
            networks = was.networks
        own_choose = choose or was.own_choose
        deciding = _decide(config, self.folder, prior, networks, was.own_rate, own_choose)
        for weights in deciding.networks.weights.values():
            keep_network(self.folder, weights)
        return dataclasses.replace(
            self,
            config=config,
            strategy=make_strategy(config, history, deciding.prior),
            rate=deciding.rate,
            choose=deciding.choose,
            metadata=start_metadata(
                config,
                self.instrument.application,
                self.instrument,
                prior=deciding.prior,
                reduced_from=reduced_from,
                networks=deciding.networks.identities,
                stage_origin_um=self.station.stage.origin_um,
            ),
            _last=LastRun(self._last.seen),
            _deciding=deciding,
        )

    @property
    def runs_seen(self) -> frozenset[str]:
        """Uids of the optimisations whose light the microscope's budget knows of."""
        return frozenset(self._last.seen)

    def remember_runs(self, uids: Iterable[str]) -> None:
        """Count further runs among those whose light the microscope's budget knows of."""
        self._last.seen.update(uids)


@dataclass(frozen=True)
class _Deciding:
    """Who rates and who chooses, and from what that was made."""

    prior: tuple[PriorObservation, ...]
    networks: Networks
    rate: Callable[[ImageSet], Mapping[str, float]]
    choose: Chooser
    own_rate: Callable[[ImageSet], Mapping[str, float]] | None
    own_choose: Chooser | None


def _decide(
    config: ExperimentConfig,
    folder: CatalogFolder | str | os.PathLike[str],
    prior: Sequence[PriorObservation] | None,
    networks: Networks | None,
    rate: Callable[[ImageSet], Mapping[str, float]] | None,
    choose: Chooser | None,
) -> _Deciding:
    """Make who rates and who chooses, as the configuration says where it is not given."""
    from stedopt_bluesky.objectives import make_rater

    if prior is None:
        prior = prior_observations(config, folder)
    if networks is None:
        networks = open_networks(config, rates=rate is None, chooses=choose is None)
    return _Deciding(
        prior=tuple(prior),
        networks=networks,
        rate=rate
        or make_rater(
            [objective.name for objective in config.objectives],
            networks.quality,
            [channel.name for channel in config.channels],
        ),
        choose=choose or make_choose(config, networks.preference),
        own_rate=rate,
        own_choose=choose,
    )


def _same_networks(a: ExperimentConfig, b: ExperimentConfig) -> bool:
    return a.quality == b.quality and a.choice == b.choice


def check_wired_alike(here: ExperimentConfig, other: ExperimentConfig) -> None:
    """Refuse a configuration that other devices would have to be made for.

    Raises
    ------
    ConfigError
        With the first field or section that differs.
    """
    for name in type(here).model_fields:
        if name not in UNWIRED and getattr(here, name) != getattr(other, name):
            raise ConfigError(
                f"{name}: it differs from that of the open session, whose devices were made from "
                "it; open a session with this configuration"
            )


# Names of the plans that optimise.
OPTIMISATIONS = ("optimize_sted", "optimize_uncaging")


class LastRun:
    """Callback that remembers which optimisation of a session began last.

    Parameters
    ----------
    seen : set of str, optional
        Uids of all that began; shared with the sessions that this one was renewed from.
    """

    def __init__(self, seen: set[str] | None = None) -> None:
        self.uid = ""
        self.seen = set() if seen is None else seen

    def __call__(self, name: str, doc: Mapping[str, Any]) -> None:
        """Observe one document."""
        if name == "start" and doc.get("plan_name") in OPTIMISATIONS:
            self.uid = str(doc["uid"])
            self.seen.add(self.uid)


@contextlib.contextmanager
def open_session(
    config: ExperimentConfig,
    application: Application,
    folder: CatalogFolder | str | os.PathLike[str],
    *,
    history: Iterable[Observation] = (),
    prior: Sequence[PriorObservation] | None = None,
    reduced_from: str = "",
    networks: Networks | None = None,
    stage_origin_um: tuple[float, float] | None = None,
    light_before: Iterable[tuple[tuple[float, float], float, float]] = (),
    rate: Callable[[ImageSet], Mapping[str, float]] | None = None,
    choose: Chooser | None = None,
    run_engine: RunEngine | None = None,
    given: Callable[[], Given] | None = None,
) -> Iterator[Session]:
    """Wire a session; on leaving, whatever happened, the lasers are off.

    A microscope that outlives this process is had by one session alone, and a watchdog
    process switches its lasers off when this process dies.

    Parameters
    ----------
    config : ExperimentConfig
        What is wired.
    application : Application
        From :func:`connect_application`.
    folder : CatalogFolder or path
        Where journal and images go. The catalogue at a path is made when there is none,
        last of all: a session that cannot be opened leaves nothing behind.
    history : iterable of (index, objectives by name)
        Observations of earlier images of this experiment, for the strategy to start from.
    prior : sequence of PriorObservation, optional
        Prior knowledge; read as section ``[prior]`` of the configuration says when left out.
        A run that goes on with another is given what that one's start document holds.
    reduced_from : str
        Uid of the run from whose choices the grid was :func:`reduced`; goes into the start
        document.
    networks : Networks, optional
        Of a run that is gone on with; loaded as the configuration names them when left out.
    stage_origin_um : tuple of float, optional
        Position (x, y) of the stage that counts as zero, µm, of a run that is gone on with; left
        out: where the stage stands.
    light_before : iterable of ((x, y), side, mJ)
        What regions got in earlier images of this experiment, by their place in the sample and
        the side of what was lit, µm: it counts for the limit of a region.
    rate, choose : callable, optional
        Who rates and who chooses in place of what the configuration says: a person, say, whom
        an :class:`~stedopt_bluesky.plans.asking.ExpertChoice` asks without holding up the plan. A
        network that is replaced so is not loaded, and the start document does not name it.
    run_engine : RunEngine, optional
        An existing one; a new one when left out.
    given : callable, optional
        Tells which recorded images the application has answered with, where it has no sample
        (see `make_replay`); goes into the Events.

    Yields
    ------
    Session

    Raises
    ------
    ConfigError
        When the microscope cannot be set up as the configuration says, or the prior
        knowledge or a network that it names cannot be used.
    CatalogError
        When the folder cannot be a catalogue.
    MicroscopeInUseError
        When another session has the microscope, or a person scans with it.
    WatchdogError
        When the watchdog cannot be started; nothing has been switched on then.
    """
    from bluesky import RunEngine

    from stedopt_bluesky.records.folder import CatalogFolder
    from stedopt_bluesky.records.journal import Journal
    from stedopt_bluesky.records.networks import keep_network

    places_of(config)  # regions that cannot be imaged are told before the microscope is set up
    with contextlib.ExitStack() as closing:
        watchdog = closing.enter_context(_watched(config, folder))
        deciding = _decide(config, folder, prior, networks, rate, choose)
        strategy = make_strategy(config, history, deciding.prior)
        instrument = closing.enter_context(_instrument(config, application, watchdog))
        if not isinstance(folder, CatalogFolder):
            folder = CatalogFolder.create_or_open(folder)
        for weights in deciding.networks.weights.values():
            keep_network(folder, weights)
        station = make_station(config, instrument, folder.arrays, stage_origin_um, given)
        for exposure in light_before:
            station.microscope.budget.remember(*exposure)
        engine = run_engine or RunEngine({})
        journal = Journal(folder)
        closing.callback(journal.close)
        closing.callback(engine.unsubscribe, engine.subscribe(journal))
        closing.enter_context(published(config, folder, engine))
        yield Session(
            config=config,
            station=station,
            strategy=strategy,
            rate=deciding.rate,
            choose=deciding.choose,
            run_engine=engine,
            instrument=instrument,
            folder=folder,
            metadata=start_metadata(
                config,
                application,
                instrument,
                prior=deciding.prior,
                reduced_from=reduced_from,
                networks=deciding.networks.identities,
                stage_origin_um=station.stage.origin_um,
            ),
            _last=LastRun(),
            _deciding=deciding,
        )


@contextlib.contextmanager
def _watched(
    config: ExperimentConfig, folder: CatalogFolder | str | os.PathLike[str]
) -> Iterator[Watchdog | None]:
    """Have the microscope for oneself, with a watchdog; None where both are of no use."""
    address = address_of(config)
    if address.is_private:
        yield None
        return
    from stedopt_bluesky.records.folder import CatalogFolder
    from stedopt_bluesky.session.occupancy import occupied
    from stedopt_bluesky.session.watchdog import Watchdog

    path = folder.path if isinstance(folder, CatalogFolder) else Path(folder)
    with occupied(address), Watchdog(address, path / "watchdog.log") as watchdog:
        yield watchdog


@contextlib.contextmanager
def _instrument(
    config: ExperimentConfig, application: Application, watchdog: Watchdog | None
) -> Iterator[Instrument]:
    """Make the instrument and close it; the watchdog is released when the lasers are off."""
    if watchdog is None:
        with contextlib.closing(make_instrument(config, application)) as instrument:
            yield instrument
        return
    watchdog.wait_until_ready()
    # The instrument arms the watchdog when it has made its measurement, and releases it when
    # that is dark and closed: a session that could not begin leaves other people's scans alone.
    with contextlib.closing(make_instrument(config, application, watchdog)) as instrument:
        instrument.application.gate.require(watchdog.why_not)
        yield instrument
