"""Open a session: devices, optimiser and journal, from one configuration.

STEDOPT_CONFIG   a TOML file or the name of a preset; left out: the preset "demo"
STEDOPT_CATALOG  folder of the catalogue; left out: stedopt-data
"""

import atexit
import contextlib
import os
from pathlib import Path

from stedopt_bluesky.config import load_config, preset
from stedopt_bluesky.session import connect_application, open_session

_named = os.environ.get("STEDOPT_CONFIG", "demo")
_catalog = os.environ.get("STEDOPT_CATALOG", "stedopt-data")
config = load_config(_named) if Path(_named).suffix == ".toml" else preset(_named)

# Closed when IPython ends, however it ends short of being killed: the lasers go off.
_closing = contextlib.ExitStack()
atexit.register(_closing.close)
session = _closing.enter_context(open_session(config, connect_application(config), _catalog))
