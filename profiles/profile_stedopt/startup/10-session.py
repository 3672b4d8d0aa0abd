"""Open a session: RunEngine, devices and journal, from one configuration.

STEDOPT_CONFIG   a TOML file or the name of a preset; left out: the preset "demo"
STEDOPT_CATALOG  folder of the catalogue; left out: stedopt-data

IPython, Jupyter and bluesky-queueserver run these files one after the other, in one namespace.
"""

import atexit
import contextlib
import multiprocessing.util
import os
from pathlib import Path

from bluesky import RunEngine

from stedopt_bluesky.config import load_config, preset
from stedopt_bluesky.session import (
    check_catalog,
    connect_application,
    open_session,
    with_absolute_paths,
)

try:
    from bluesky_queueserver import is_re_worker_active, parameter_annotation_decorator
except ImportError:  # an extra: without it these files serve IPython and Jupyter

    def is_re_worker_active():
        return False

    def parameter_annotation_decorator(_annotation):
        return lambda plan: plan


_named = os.environ.get("STEDOPT_CONFIG", "demo")
_catalog = os.environ.get("STEDOPT_CATALOG", "stedopt-data")
config = load_config(_named) if Path(_named).suffix == ".toml" else preset(_named)
config = with_absolute_paths(config)
check_catalog(config)

# RE Manager runs its plans with the RunEngine that it finds under this name.
RE = RunEngine({})

# Closed when the program ends, however it ends short of being killed: the lasers go off. RE
# Manager's worker is a process of `multiprocessing`, which leaves without `atexit`.
_closing = contextlib.ExitStack()
atexit.register(_closing.close)
multiprocessing.util.Finalize(None, _closing.close, exitpriority=10)
session = _closing.enter_context(
    open_session(config, connect_application(config), _catalog, run_engine=RE)
)
folder = session.folder
