"""A real Tiled server in a process of its own, to be killed and started again at the same port."""

import contextlib
import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request

from stedopt_bluesky.records.tiled_server import prepare_storage, tiled_configuration
from tests.waiting import free_ports

KEY = "akeyofthistestonly0123456789"


class TiledProcess:
    """Serves the databases of a catalogue's folder on loopback."""

    def __init__(self, folder, workspace):
        (self.port,) = free_ports(1)
        self.uri = f"http://127.0.0.1:{self.port}"
        self._config = workspace / "tiled.json"  # JSON is YAML
        self._log = workspace / "tiled.log"
        prepare_storage(folder)
        self._config.write_text(json.dumps(tiled_configuration(folder, KEY)))
        self._process = None

    def start(self):
        """Start it, and wait until it answers."""
        command = [
            *(sys.executable, "-m", "tiled", "serve", "config", str(self._config)),
            *("--host", "127.0.0.1", "--port", str(self.port)),
        ]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command, stdout=log, stderr=log, env={**os.environ, "TILED_API_KEY": ""}
            )
        end = time.monotonic() + 60
        while True:
            with (
                contextlib.suppress(urllib.error.URLError, OSError),
                urllib.request.urlopen(f"{self.uri}/healthz", timeout=1),  # noqa: S310
            ):
                return
            assert self._process.poll() is None, self._log.read_text()[-2000:]
            assert time.monotonic() < end, "Tiled does not answer"
            time.sleep(0.1)

    def kill(self):
        """End it as a power cut would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
