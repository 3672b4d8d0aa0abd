"""The catalogue that databroker and Tiled serve, filled from the journals.

Tiled runs inside this process, without a port. Everything it stores (``DIR/tiled``) follows
from the journals and the arrays and is built again when it is missing or was moved.
Measured with Tiled 0.2.20 on two cores: opening takes 4.5 s for the first time in a process
(imports) and 0.3 s after that; one run of 60 images takes 0.8 s to ingest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy.typing as npt
from filelock import BaseFileLock

from stedopt_bluesky.records import locks
from stedopt_bluesky.records.folder import CatalogError, CatalogFolder
from stedopt_bluesky.records.ingest import Ingester, TiledDownError, relocation
from stedopt_bluesky.records.journal import journal_paths
from stedopt_bluesky.records.query import RunQuery
from stedopt_bluesky.records.runs import RunSummary
from stedopt_bluesky.records.tiled_server import (
    is_filled,
    is_there,
    make_storage,
    mark_filled,
    own_structure_clients,
    prepare_storage,
    serve,
    set_aside,
)

if TYPE_CHECKING:
    import pandas as pd
    from bluesky_tiled_plugins.clients.bluesky_run import BlueskyRunV3
    from bluesky_tiled_plugins.clients.catalog_of_bluesky_runs import CatalogOfBlueskyRuns
    from databroker.v1 import Broker
    from tiled.client.context import Context

Ingested = Literal["inserted", "unchanged", "live"]

# DuckDB lets one process at a time have its file; who comes second waits this long.
WAIT_S = 10.0


class Catalog:
    """The Tiled catalogue of a folder, open in this process only: ``with Catalog(folder) as c:``.

    Parameters
    ----------
    folder : CatalogFolder
        Made with ``CatalogFolder.create_or_open``.
    wait_s : float
        How long to wait for another process that has the catalogue open, in seconds.
    fill : bool
        Whether a catalogue that is new or was moved is filled when it is opened; left to who
        opens it otherwise.

    Raises
    ------
    CatalogError
        On entering, when another process keeps the catalogue for longer than that.
    """

    def __init__(self, folder: CatalogFolder, *, wait_s: float = WAIT_S, fill: bool = True) -> None:
        self.folder = folder
        self._wait_s = wait_s
        self._fill = fill
        self._lock: BaseFileLock | None = None
        self._context: Context | None = None
        self._client: CatalogOfBlueskyRuns | None = None

    def __enter__(self) -> Catalog:
        self.open()
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def open(self) -> None:
        """Open; what ``with`` does. Fills a catalogue that is new or was moved."""
        if self._lock is not None:
            raise CatalogError(f"the catalogue {self.folder.path} is open already")
        self._lock = lock_databases(self.folder, self._wait_s)
        try:
            prepare_storage(self.folder)
            self._context, self._client = serve(self.folder)
            if self._fill and not is_filled(self.folder):
                self.sync()
        except BaseException:
            self.close()
            raise

    def rebuild(
        self, advance: Callable[[int], object] = lambda count: None
    ) -> dict[str, Ingested | CatalogError]:
        """Open with databases made anew from the journals; what a damaged database needs.

        The old ones lie aside meanwhile (``DIR/tiled.before``). When this fails or is
        interrupted, they are back.

        Parameters
        ----------
        advance : callable, optional
            Called with 1 after each run.

        Returns
        -------
        dict of str to str or CatalogError
            As :meth:`sync`.

        Raises
        ------
        CatalogError
            When another process has the catalogue open, or when the old databases hold a run
            that cannot be taken in any more.
        """
        if self._lock is not None:
            raise CatalogError(f"the catalogue {self.folder.path} is open already")
        self._lock = lock_databases(self.folder, self._wait_s)
        try:
            known = self._known()
            with set_aside(self.folder):
                try:
                    return self._fill_anew(known, advance)
                except BaseException:
                    self._disconnect()  # before the old databases take the place of these
                    raise
        except BaseException:
            self.close()
            raise

    def _fill_anew(
        self, known: set[str], advance: Callable[[int], object]
    ) -> dict[str, Ingested | CatalogError]:
        make_storage(self.folder)
        self._context, self._client = serve(self.folder)
        results = self._bring_in(journal_paths(self.folder), advance)
        # A run under way is taken in when it ends.
        taken_in = {uid for uid, result in results.items() if not isinstance(result, CatalogError)}
        if lost := sorted(known - taken_in):
            reason = results.get(lost[0], "its journal is not there")
            raise CatalogError(
                f"{len(lost)} run{'s' if len(lost) > 1 else ''} of the databases would be lost, "
                f"which are as before: run {lost[0]}: {reason}"
            )
        mark_filled(self.folder)
        return results

    def _known(self) -> set[str]:
        """Uids of the runs of the databases that are there; none where they cannot be read."""
        if not is_there(self.folder):
            return set()
        try:
            self._context, self._client = serve(self.folder)
            return set(self._client)
        except Exception:  # whatever is the matter is why they are made anew
            return set()
        finally:
            self._disconnect()

    def close(self) -> None:
        """Close; safe to call twice."""
        self._disconnect()
        if self._lock is not None:
            locks.let_go(self._lock)
        self._lock = None

    def _disconnect(self) -> None:
        if self._context is not None:
            self._context.close()
        self._context = self._client = None

    @property
    def client(self) -> CatalogOfBlueskyRuns:
        """The catalogue as ``tiled.client`` gives it, which is what databroker 2 gives too.

        ``client["<uid>"]``, ``client[-1]``, ``client.search(databroker.queries.Key("sample") ==
        "neuron")``.
        """
        if self._client is None:
            raise CatalogError(f"the catalogue {self.folder.path} is not open")
        return self._client

    @property
    def _opened(self) -> Context:
        if self._context is None:
            raise CatalogError(f"the catalogue {self.folder.path} is not open")
        return self._context

    @property
    def broker(self) -> Broker:
        """The catalogue with databroker 1's face: ``broker[-1].table()``, ``broker(sample=…)``."""
        from tiled.client import from_context

        # bluesky-tiled-plugins 2.0.12 switches, on the way to a run's old face, the class of
        # all runs that share the client's table of classes: so this one gets its own.
        return from_context(self._opened, structure_clients=own_structure_clients()).v1

    def ingester(self) -> Ingester:
        """Make what takes runs in from their journals; one under way is left until it ends."""
        return Ingester(self.folder, self.client, relocation(self.folder), follow=False)

    def sync(
        self,
        journals: Sequence[Path] | None = None,
        advance: Callable[[int], object] = lambda count: None,
    ) -> dict[str, Ingested | CatalogError]:
        """Take runs in from their journals, oldest first, so that ``client[-1]`` is the newest.

        Doing it again changes nothing. What went wrong with one is in its place, and hinders no
        other: its journal is damaged, or Tiled refuses it (images in a format that it does not
        know, for example). A run that was left open is closed in its journal first
        (:func:`~stedopt_bluesky.records.recovery.close_broken_run`).

        Parameters
        ----------
        journals : sequence of Path, optional
            Of which runs; left out: of all.
        advance : callable, optional
            Called with 1 after each run that was not in.

        Returns
        -------
        dict of str to {"inserted", "unchanged", "live"} or CatalogError
            What was done, by the uid of the run; ``"live"``: nothing, a living process is still
            writing the journal.
        """
        if journals is not None:
            return self._bring_in(journals, advance)
        results = self._bring_in(journal_paths(self.folder), advance)
        mark_filled(self.folder)
        return results

    def _bring_in(
        self, journals: Sequence[Path], advance: Callable[[int], object]
    ) -> dict[str, Ingested | CatalogError]:
        ingester = self.ingester()
        try:
            ingester.step(journals, advance)
        except TiledDownError as error:
            raise CatalogError(f"{self.folder.path} cannot be fed from: {error}") from error
        done, refused = set(ingester.progress.runs), ingester.progress.refused
        results: dict[str, Ingested | CatalogError] = {}
        for uid in (path.stem for path in journals):
            if uid in refused:
                results[uid] = CatalogError(f"run {uid} cannot be taken in: {refused[uid]}")
            elif uid in done:
                results[uid] = "inserted"
            else:
                results[uid] = "unchanged" if ingester.is_in(uid) else "live"
        return results

    def runs(self, query: RunQuery = RunQuery()) -> list[RunSummary]:  # noqa: B008  frozen
        """Summarise the ingested runs that match, newest first.

        Raises
        ------
        CatalogError
            When it asks for runs without a stop document.
        """
        summaries = [
            RunSummary.of_closed(run.metadata["start"], run.metadata["stop"])
            for run in query.search(self.client).values()
            if run.metadata.get("stop")
        ]
        return sorted(summaries, key=lambda s: (s.time, s.uid), reverse=True)

    def run(self, uid_prefix: str) -> BlueskyRunV3:
        """Run whose uid begins with ``uid_prefix``, as ``tiled.client`` gives it.

        Raises
        ------
        CatalogError
            When no ingested run, or more than one, begins so.
        """
        from databroker.queries import PartialUID

        found = self.client.search(PartialUID(uid_prefix)).values().head(2)
        if len(found) == 1:
            return found[0]
        how_many = "more than one run begins" if found else "no ingested run begins"
        raise CatalogError(f"{how_many} with {uid_prefix!r} in {self.folder.path}")

    def images(self, uid: str, key: str) -> npt.NDArray[Any]:
        """Read the images of a run through Tiled, shape (N, Y, X).

        Parameters
        ----------
        uid : str
            The run's uid, or its beginning.
        key : str
            Data key, for example ``"microscope_sted1"``.

        Raises
        ------
        CatalogError
            When there is no such run or no such key in it.
        """
        run = self.run(uid)
        for stream in run:
            if key in run[stream].base:
                return _read(run[stream].base[key])
        raise CatalogError(f"run {uid} has no images {key!r}; its streams are {', '.join(run)}")

    def table(self, uid: str, stream: str) -> pd.DataFrame:
        """Read the scalars of a stream through Tiled, one row per event, by ``seq_num``.

        Parameters
        ----------
        uid : str
            The run's uid, or its beginning.
        stream : str
            Name of the stream, for example ``"primary"``.

        Raises
        ------
        CatalogError
            When there is no such run or no such stream in it, or it has no scalars.
        """
        run = self.run(uid)
        if stream not in set(run) or "internal" not in run[stream].base:
            raise CatalogError(f"run {uid} has no table {stream!r}; its streams are {list(run)}")
        table = _read(run[stream].base["internal"])
        stamps = [name for name in table.columns if name.startswith("ts_")]
        return table.drop(columns=stamps).set_index("seq_num").sort_index()


def _read(node: Any) -> Any:
    """Read a node in this thread: dask would start threads of its own and leave them behind."""
    import dask

    with dask.config.set(scheduler="synchronous"):
        return node.read()


def lock_databases(folder: CatalogFolder, wait_s: float) -> BaseFileLock:
    """Have a folder's databases for oneself; :func:`~stedopt_bluesky.records.locks.let_go` ends it.

    Parameters
    ----------
    folder : CatalogFolder
        Whose.
    wait_s : float
        How long to wait for another process that has them, s.

    Raises
    ------
    CatalogError
        When it keeps them for longer, or the lock cannot be written.
    """
    try:
        lock = locks.hold(folder.locks / "catalog.lock", wait_s)
    except OSError as error:
        raise CatalogError(f"the catalogue {folder.path} cannot be opened: {error}") from error
    if lock is None:
        raise CatalogError(
            f"the catalogue {folder.path} is open elsewhere (waited {wait_s:g} s); "
            "close it there first"
        )
    return lock
