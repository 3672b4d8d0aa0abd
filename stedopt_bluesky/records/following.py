"""Follow the journals of a folder with a catalogue, until there is no more to come."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from stedopt_bluesky.records.folder import CatalogError, CatalogFolder
from stedopt_bluesky.records.ingest import Ingester, TiledDownError, relocation

if TYPE_CHECKING:
    from bluesky_tiled_plugins.clients.catalog_of_bluesky_runs import CatalogOfBlueskyRuns

# How often the journals are looked at while nothing happens, s.
POLL_S = 0.5
# While a run is under way it works for a part of the time only: what it takes of processor
# and disk, the acquisition lacks.
_REST = 4.0
# How long after a failure a server is tried again at first, and at most, s.
FIRST_RETRY_S, LAST_RETRY_S = 0.5, 30.0
# How long a server that is not there is waited for when the end was asked for, s.
GRACE_S = 10.0


class FedElsewhereError(TiledDownError):
    """The folder's databases are served, and fed, by another process."""


@dataclass(frozen=True)
class Target:
    """The catalogue that is fed.

    Parameters
    ----------
    folder : CatalogFolder
        Whose journals.
    uri : str
        Address of a Tiled server; ``""``: the folder's own catalogue, in this process.
    api_key : str
        The server's, with the right to write.
    server_folder : str
        Where the server finds the folder, if not at the same path.
    """

    folder: CatalogFolder
    uri: str = ""
    api_key: str = ""
    server_folder: str = ""

    def __repr__(self) -> str:
        # Without the key, which must not come into any log.
        return f"Target({str(self.folder.path)!r}, {self.uri!r})"

    @contextlib.contextmanager
    def open(self) -> Iterator[tuple[CatalogOfBlueskyRuns, Callable[[], None]]]:
        """Open the catalogue: its client, and what is to be called once all journals are in.

        Raises
        ------
        TiledDownError
            When the server does not answer, or another process has the folder's own catalogue.
        CatalogError
            When the server refuses the key.
        """
        # One way of trying again is enough: ours, which tells of it.
        os.environ.setdefault("TILED_RETRY_ATTEMPTS", "2")
        if not self.uri:
            from stedopt_bluesky.records.catalog import Catalog

            catalog = Catalog(self.folder, wait_s=0.0, fill=False)
            try:
                catalog.open()
            except CatalogError as error:
                if self.folder.fed_elsewhere.exists():
                    raise FedElsewhereError(str(error)) from error
                raise TiledDownError(str(error)) from error
            with contextlib.closing(catalog):
                yield catalog.client, catalog.filled
            return
        client = connected(self.uri, self.api_key)
        with contextlib.closing(client.context):
            yield client, lambda: None


def connected(uri: str, api_key: str) -> CatalogOfBlueskyRuns:
    """Connect to a Tiled server; ``client.context`` is to be closed.

    Raises
    ------
    TiledDownError
        When it does not answer.
    CatalogError
        When it refuses the key.
    """
    import httpx
    from tiled.client import from_uri

    # One way of trying again is enough: ours, which tells of it.
    os.environ.setdefault("TILED_RETRY_ATTEMPTS", "2")
    try:
        return from_uri(uri, api_key=api_key or None)
    except httpx.HTTPStatusError as error:
        if error.response.status_code in (401, 403):
            raise CatalogError(f"{uri} refuses the key") from None
        raise TiledDownError(f"{uri}: {_one_line(error)}") from error
    except (httpx.TransportError, OSError) as error:
        raise TiledDownError(f"{uri} does not answer: {_one_line(error)}") from error


@dataclass(frozen=True)
class Told:
    """What is told of the catalogue's progress.

    Parameters
    ----------
    what : {"in", "refused", "down", "up"}
        A run is in; a run cannot be taken in; the server is not there; it is again.
    uid : str
        The run's.
    why : str
        Of what went wrong.
    """

    what: str
    uid: str = ""
    why: str = ""


def follow(
    target: Target,
    finish: threading.Event,
    tell: Callable[[Told], None],
    *,
    grace_s: float = GRACE_S,
) -> bool:
    """Keep a catalogue up with the journals until the end is asked for and all are in.

    However long the server is down, slow or started anew, nothing is lost: what it does not
    have is in the journals.

    Parameters
    ----------
    target : Target
        What is fed.
    finish : threading.Event
        Set when no more is to come.
    tell : callable
        Told what happens.
    grace_s : float
        How long a server that is not there is waited for at the end, s.

    Returns
    -------
    bool
        Whether all that was there is in; False when the server was not there at the end.

    Raises
    ------
    CatalogError
        When the server refuses the key.
    """
    retry_s = FIRST_RETRY_S
    down = False
    ending_since: float | None = None
    while True:
        try:
            with target.open() as (client, filled):
                ingester = Ingester(
                    target.folder, client, relocation(target.folder, target.server_folder)
                )
                if down:
                    tell(Told("up"))
                down, retry_s, ending_since = False, FIRST_RETRY_S, None
                _keep_up(ingester, finish, tell, filled)
                return True
        except FedElsewhereError:
            if finish.is_set():
                return True
        except TiledDownError as error:
            if not down:
                tell(Told("down", why=_one_line(error)))
            down = True
        if finish.is_set():
            ending_since = ending_since or time.monotonic()
            if time.monotonic() - ending_since >= grace_s:
                return False
            time.sleep(min(FIRST_RETRY_S, grace_s))
        else:
            finish.wait(retry_s)
            retry_s = min(2 * retry_s, LAST_RETRY_S)


def _keep_up(
    ingester: Ingester,
    finish: threading.Event,
    tell: Callable[[Told], None],
    filled: Callable[[], None],
) -> None:
    """Bring in what comes until there is no more and the end was asked for."""
    told_in = 0
    told_refused: dict[str, str] = {}
    while True:
        # Asked before: what was written until then is seen by this step.
        ending = finish.is_set()
        begun = time.monotonic()
        count = ingester.step()
        took_s = time.monotonic() - begun
        for uid in ingester.progress.runs[told_in:]:
            tell(Told("in", uid))
            told_in += 1
        for uid, why in ingester.progress.refused.items():
            if told_refused.get(uid) != why:
                told_refused[uid] = why
                tell(Told("refused", uid, why))
        if count == 0:
            filled()
            if ending:
                return
        if not ending:
            finish.wait(max(POLL_S, _REST * took_s if ingester.following else 0.0))


def once(target: Target, tell: Callable[[Told], None]) -> bool:
    """Bring in what is there now; see `follow`."""
    finish = threading.Event()
    finish.set()
    return follow(target, finish, tell)


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
