"""Open a session: devices, strategy, journal and RunEngine, wired from one configuration."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from stedopt_bluesky.acquisition import PriorObservation, Region
from stedopt_bluesky.config import ConfigError, ExperimentConfig
from stedopt_bluesky.session.deciding import Deciding, decide, same_networks
from stedopt_bluesky.session.hardware import open_instrument, watched
from stedopt_bluesky.session.memory import return_large_arrays
from stedopt_bluesky.session.metadata import start_metadata
from stedopt_bluesky.session.networks import Networks
from stedopt_bluesky.session.places import places_of, spines_of, tiles_of
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
    from stedopt_bluesky.plans.acquire import Rater
    from stedopt_bluesky.plans.asking import Chooser
    from stedopt_bluesky.plans.placing_by_hand import ExpertSurvey
    from stedopt_bluesky.plans.survey import Lay
    from stedopt_bluesky.records.folder import CatalogFolder

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
        "expert",
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
    rate: Rater
    choose: Chooser
    run_engine: RunEngine
    instrument: Instrument
    folder: CatalogFolder
    metadata: Mapping[str, Any]
    _last: LastRun = field(repr=False)
    _deciding: Deciding = field(repr=False)

    def optimize(
        self,
        images: int | None = None,
        *,
        regions: Sequence[Region] | None = None,
        fields_um: Sequence[tuple[float, float]] | None = None,
        lay: Lay | ExpertSurvey | None = None,
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
        lay : Lay or ExpertSurvey, optional
            Lays these regions, or spines, in place of what the configuration says.
        md : mapping, optional
            Added to the start document.
        """
        from bluesky.preprocessors import subs_wrapper

        from stedopt_bluesky.plans import optimize_sted
        from stedopt_bluesky.plans.uncaging import optimize_uncaging
        from stedopt_bluesky.records.resume import RESUMES

        config = self.config
        plan = (
            partial(optimize_uncaging, sites=lay or spines_of(config))
            if config.uncaging.enabled
            else partial(optimize_sted, lay=lay or tiles_of(config))
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
        config = config or self.config
        check_wired_alike(self.config, config)
        was = self._deciding
        if prior is None:
            prior = was.prior if config.prior == self.config.prior else None
        if networks is None and same_networks(self.config, config):
            networks = was.networks
        own_choose = choose or was.own_choose
        deciding = decide(config, self.folder, prior, networks, was.own_rate, own_choose)
        return _session(
            config,
            deciding,
            make_strategy(config, history, deciding.prior),
            self.station,
            self.instrument,
            self.run_engine,
            self.folder,
            reduced_from=reduced_from,
            last=LastRun(self._last.seen),
        )

    @property
    def runs_seen(self) -> frozenset[str]:
        """Uids of the optimisations whose light the microscope's budget knows of."""
        return frozenset(self._last.seen)

    def remember_runs(self, uids: Iterable[str]) -> None:
        """Count further runs among those whose light the microscope's budget knows of."""
        self._last.seen.update(uids)


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
    rate: Rater | None = None,
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
        an :class:`~stedopt_bluesky.plans.rating_by_hand.ExpertRating` or an
        :class:`~stedopt_bluesky.plans.asking.ExpertChoice` asks without holding up the plan. A
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

    return_large_arrays()
    places_of(config)  # regions that cannot be imaged are told before the microscope is set up
    with contextlib.ExitStack() as closing:
        watchdog = closing.enter_context(watched(config, folder))
        deciding = decide(config, folder, prior, networks, rate, choose)
        strategy = make_strategy(config, history, deciding.prior)
        instrument = closing.enter_context(open_instrument(config, application, watchdog))
        if not isinstance(folder, CatalogFolder):
            folder = CatalogFolder.create_or_open(folder)
        station = make_station(config, instrument, folder.arrays, stage_origin_um, given)
        for exposure in light_before:
            station.microscope.budget.remember(*exposure)
        engine = run_engine or RunEngine({})
        journal = Journal(folder)
        closing.callback(journal.close)
        closing.callback(engine.unsubscribe, engine.subscribe(journal))
        closing.enter_context(published(config, folder, engine))
        yield _session(
            config,
            deciding,
            strategy,
            station,
            instrument,
            engine,
            folder,
            reduced_from=reduced_from,
            last=LastRun(),
        )


def _session(
    config: ExperimentConfig,
    deciding: Deciding,
    strategy: Strategy,
    station: Station,
    instrument: Instrument,
    engine: RunEngine,
    folder: CatalogFolder,
    *,
    reduced_from: str,
    last: LastRun,
) -> Session:
    """Put a session together, and keep the networks that it uses."""
    from stedopt_bluesky.records.networks import keep_network

    for weights in deciding.networks.weights.values():
        keep_network(folder, weights)
    return Session(
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
            instrument.application,
            prior=deciding.prior,
            reduced_from=reduced_from,
            networks=deciding.networks.identities,
            stage_origin_um=station.stage.origin_um,
        ),
        _last=last,
        _deciding=deciding,
    )
