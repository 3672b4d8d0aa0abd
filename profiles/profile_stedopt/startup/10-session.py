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
from stedopt_bluesky.devices.expert import Expert
from stedopt_bluesky.reports.asked_here import AskedHere
from stedopt_bluesky.session import (
    check_catalog,
    connect_application,
    objectives_of,
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

# Whoever chooses from the cloud where a plan is told to ask: see 30-plans.py. You are asked in the
# cell or at the prompt that started it; in RE Manager's worker nobody sits.
expert = Expert(name="expert")
asking = AskedHere(expert, objectives_of(config), name=config.operator)

# RE Manager runs its plans with the RunEngine that it finds under this name.
RE = RunEngine({}, during_task=None if is_re_worker_active() else asking)

# Closed when the program ends, however it ends short of being killed: the lasers go off. RE
# Manager's worker is a process of `multiprocessing`, which leaves without `atexit`.
_closing = contextlib.ExitStack()
atexit.register(_closing.close)
multiprocessing.util.Finalize(None, _closing.close, exitpriority=10)
session = _closing.enter_context(
    open_session(config, connect_application(config), _catalog, run_engine=RE)
)
folder = session.folder
