"""Documents of a run from a Tiled server, fetched in a thread: whoever looks on does not wait.

They are Tiled's reconstruction: events have other uids than those that were published, and come
as far as the server has been fed. What an event is, its descriptor and ``seq_num`` tell.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable

from stedopt_bluesky.errors import in_one_line
from stedopt_bluesky.records.folder import CatalogError
from stedopt_bluesky.records.ingest import TiledDownError
from stedopt_bluesky.records.journal import Document
from stedopt_bluesky.records.schemas import why_invalid

# Images' addresses are of no use to whoever looks on.
_TAKEN = ("start", "descriptor", "event", "stop")
# A server is asked again after this time at first, and at most, s.
FIRST_WAIT_S, LAST_WAIT_S = 1.0, 15.0


class StoredElsewhere:
    """Fetches the documents of runs from a Tiled server.

    Parameters
    ----------
    uri : str
        Address of the server, ``http://HOST:PORT``.
    api_key : str
        With which it may be read.
    say : callable
        Told, in a line, why nothing can be had.
    """

    def __init__(self, uri: str, api_key: str, say: Callable[[str], None]) -> None:
        self._uri = uri
        self._api_key = api_key
        self._say = say
        # With the run's uid: what of the run before comes late is none of the next one.
        self._fetched: queue.SimpleQueue[tuple[str, str, Document]] = queue.SimpleQueue()
        self._run = ""
        self._asked_at = 0.0
        self._wait_s = FIRST_WAIT_S
        self._thread: threading.Thread | None = None
        self._told = ""

    def __repr__(self) -> str:
        # Without the key, which must not come into any log.
        return f"StoredElsewhere({self._uri!r})"

    def renew(self) -> None:
        """Ask again soon: more is missing."""
        self._wait_s = FIRST_WAIT_S

    def ask(self, run: str) -> None:
        """Have the documents of a run fetched, unless that was done a moment ago."""
        if self._thread is not None and self._thread.is_alive():
            return
        if run != self._run:
            self._run = run
            self._wait_s = FIRST_WAIT_S
        elif time.monotonic() - self._asked_at < self._wait_s:
            return
        else:
            self._wait_s = min(2 * self._wait_s, LAST_WAIT_S)
        self._asked_at = time.monotonic()
        self._thread = threading.Thread(
            target=self._fetch, args=(run,), daemon=True, name="reading the catalogue"
        )
        self._thread.start()

    def take(self, run: str) -> list[tuple[str, Document]]:
        """What has been fetched of a run since; what there is of others is let go."""
        found = []
        with contextlib.suppress(queue.Empty):
            while True:
                of, name, doc = self._fetched.get_nowait()
                if of == run:
                    found.append((name, doc))
        return found

    def _fetch(self, run: str) -> None:
        from stedopt_bluesky.records.following import connected

        try:
            client = connected(self._uri, self._api_key)
            with contextlib.closing(client.context):
                if run not in client:
                    raise TiledDownError(f"{self._uri} does not have run {run[:8]} yet")
                for name, doc in client[run].documents():
                    # Of a run under way Tiled tells an empty stop document.
                    if name in _TAKEN and not why_invalid(name, dict(doc)):
                        self._fetched.put((run, name, dict(doc)))
        except (TiledDownError, CatalogError) as error:
            self._tell(str(error))
        except Exception as error:  # whatever Tiled and its server have against it
            self._tell(f"{self._uri}: {in_one_line(error)}")

    def _tell(self, why: str) -> None:
        if why != self._told:
            self._told = why
            self._say(why)
