"""The page's server: in a thread beside the plan, on this computer alone."""

from __future__ import annotations

import socket
import threading
import time
import warnings
from collections.abc import Callable
from functools import cache
from types import TracebackType
from typing import TYPE_CHECKING

from stedopt_bluesky.web.page.links import LINK, Links, OnlyByLink

if TYPE_CHECKING:
    import uvicorn
    from fastapi import FastAPI

    from stedopt_bluesky.web.page.desk import Desk

# How long the server may take to start, s.
_START_S = 30.0
# So long browsers have at the end, s: they look some times a second, and draw an image.
_LAST_LOOK_S = 1.5
# How long a browser that does not answer is waited for, s; then its page begins anew, and what was
# pressed is lost. Of NiceGUI's own 3 s, one that draws a large cloud on a busy computer needs more.
_RECONNECT_S = 60.0


class _Shown:
    """What the page shows: NiceGUI has one application per process."""

    desk: Desk | None = None


@cache
def _application() -> FastAPI:
    """Make the page, once."""
    from fastapi import FastAPI
    from nicegui import ui

    from stedopt_bluesky.web.page.pages import register

    register(lambda: _Shown.desk)
    application = FastAPI(openapi_url=None)
    ui.run_with(
        application,
        title="stedopt",
        language="en-GB",
        show_welcome_message=False,
        reconnect_timeout=_RECONNECT_S,
    )
    return application


class PageServer:
    """Serves the page of one desk while entered; one at a time in a process.

    Parameters
    ----------
    desk : Desk
        What the page is about.
    tell : callable
        Told each link that works: at first, and the next one when one was used.
    port : int
        Where it listens on this computer; 0: any that is free.
    """

    def __init__(self, desk: Desk, tell: Callable[[str], object], port: int = 0) -> None:
        self._desk = desk
        self._tell = tell
        self._wanted = port
        self._links = Links(used=self._tell_next)
        self._socket: socket.socket | None = None
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None

    @property
    def port(self) -> int:
        """Where it listens."""
        if self._socket is None:
            raise RuntimeError("the page is not served")
        return int(self._socket.getsockname()[1])

    def show_the_end(self) -> None:
        """Give browsers the time to show what there is to be shown at last."""
        if self._links.were_used:
            time.sleep(_LAST_LOOK_S)

    def __enter__(self) -> PageServer:
        """Listen and serve.

        Raises
        ------
        OSError
            When the port is taken.
        RuntimeError
            When the server does not start, or another one is there in this process.
        """
        import uvicorn

        if _Shown.desk is not None:
            raise RuntimeError("this process serves a page already")
        self._socket = socket.create_server(("127.0.0.1", self._wanted))
        _Shown.desk = self._desk
        guarded = OnlyByLink(_application(), self._links, self.port)
        config = uvicorn.Config(guarded, log_level="critical", access_log=False, lifespan="on")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [self._socket]}, name="page", daemon=True
        )
        # NiceGUI looks at all objects for its server, and torch's tell that they are old.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            self._thread.start()
            self._wait_for(self._server, self._thread)
        self._tell_next()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        _Shown.desk = None
        if self._server is not None and self._thread is not None:
            self._server.should_exit = self._server.force_exit = True
            self._thread.join(5)
        if self._socket is not None:
            self._socket.close()

    def _wait_for(self, server: uvicorn.Server, thread: threading.Thread) -> None:
        until = time.monotonic() + _START_S
        while not server.started:
            if time.monotonic() > until or not thread.is_alive():
                self.__exit__(None, None, None)
                raise RuntimeError("the page's server has not started")
            time.sleep(0.01)

    def _tell_next(self) -> None:
        self._tell(f"http://127.0.0.1:{self.port}/?{LINK}={self._links.new()}")
