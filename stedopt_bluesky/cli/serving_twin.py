"""``stedopt serve twin``."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stedopt_bluesky.cli.interrupts import calling
from stedopt_bluesky.cli.output import console, stdout
from stedopt_bluesky.cli.serving import check_port
from stedopt_bluesky.config import DEFAULT_PRESET, ConfigError, load_config, preset
from stedopt_bluesky.config.keys import VARIABLE, key_from


def serve_twin(
    config_file: Path | None, preset_name: str | None, changes: Mapping[str, Any], port: int
) -> None:
    """Serve the twin of a configuration until SIGINT or SIGTERM.

    Raises
    ------
    ConfigError
        When the twin cannot be made, or the port not be listened on.
    """
    check_port(port)
    if config_file and preset_name:
        raise ConfigError(f"preset = {preset_name!r}: not together with a file; say it in the file")
    key, made = key_from(os.environ)
    base = load_config(config_file) if config_file else preset(preset_name or DEFAULT_PRESET)
    config = base.updated(changes)
    sample = Path(config.sample.name)
    if sample.is_file():  # as `stedopt run` names it
        config = config.updated({"sample.name": str(sample.resolve())})
    with console.status("making the sample ..."):
        from stedopt_bluesky.session.twin import about_twin, start_twin
        from stedopt_bluesky.twin.server import TwinServer

        twin = start_twin(config)
    try:
        server = TwinServer(twin, key, port, about_twin(config))
    except OSError as error:
        raise ConfigError(f"port = {port}: cannot listen there ({error.strerror})") from None
    ended = threading.Event()
    with server, calling(lambda _: ended.set(), signal.SIGINT, signal.SIGTERM):
        if made:
            console.print(
                f"API key: {key}\nIt was made for this twin; its clients need it as {VARIABLE}.",
                soft_wrap=True,
                markup=False,
            )
        console.print("serving until Ctrl-C")
        stdout.print(server.address, markup=False)
        stdout.file.flush()
        # In pieces: a handler runs in this thread, which Windows does not wake up for it.
        while not ended.wait(0.5):
            pass
