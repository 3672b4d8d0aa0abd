"""``stedopt serve page``."""

from __future__ import annotations

import contextlib
import signal
import threading
from pathlib import Path

from stedopt_bluesky.cli.interrupts import calling
from stedopt_bluesky.cli.output import console, stdout
from stedopt_bluesky.cli.serving import check_port
from stedopt_bluesky.config import ConfigError


def serve_page(catalog: Path, port: int) -> None:
    """Serve the page of a catalogue until SIGINT or SIGTERM.

    Raises
    ------
    ConfigError, CatalogError
        When the catalogue is none, or the port not be listened on.
    """
    check_port(port)
    from stedopt_bluesky.records.folder import CatalogFolder

    folder = CatalogFolder.open(catalog)
    with console.status("starting ..."):
        from stedopt_bluesky.cli.asked import tell_link
        from stedopt_bluesky.web.page.desk import Desk
        from stedopt_bluesky.web.page.looker import Looker
        from stedopt_bluesky.web.page.server import PageServer

    ended = threading.Event()
    with (
        contextlib.ExitStack() as serving,
        calling(lambda _: ended.set(), signal.SIGINT, signal.SIGTERM),
    ):
        looker = serving.enter_context(Looker(folder))
        desk = Desk(folder=folder, looker=looker)
        try:
            server = serving.enter_context(PageServer(desk, tell_link, port))
        except OSError as error:
            raise ConfigError(f"port = {port}: cannot listen there ({error.strerror})") from None
        console.print("serving until Ctrl-C")
        stdout.print(f"http://127.0.0.1:{server.port}", markup=False)
        stdout.file.flush()
        # In pieces: a handler runs in this thread, which Windows does not wake up for it.
        while not ended.wait(0.5):
            pass
