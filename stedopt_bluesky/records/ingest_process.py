"""The process that feeds the catalogue while a session images: ``python -m ...ingest_process``.

A process of its own: Tiled takes 5 s of processor time to be loaded and 1 to 30 ms an Event,
which in a thread of the session would be taken from the acquisition. It ends when its
standard input does, after all journals are in: also when the session has died. What happens is
told on standard output, a JSON object a line. Its key comes by the environment, so that it is in
no list of processes.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
import threading
from pathlib import Path

from stedopt_bluesky.config.keys import CATALOG_VARIABLE
from stedopt_bluesky.errors import in_one_line
from stedopt_bluesky.records.folder import CatalogFolder
from stedopt_bluesky.records.following import Target, Told, follow

# The acquisition has the processor first; on Windows the session starts it so.
_NICE = 15


def main() -> None:
    """Follow the journals of the folder that the argument names."""
    done = False
    try:
        done = _follow()
    except BaseException as error:  # told, whatever it is: nobody sees this process' errors
        _tell(Told("refused", why=in_one_line(error)))
    # Not by the interpreter's own end: what Tiled has started might keep it from coming.
    os._exit(0 if done else 1)


def _follow() -> bool:
    told = json.loads(sys.argv[1])
    target = Target(
        CatalogFolder.open(Path(told.pop("folder"))),
        api_key=os.environ.get(CATALOG_VARIABLE, ""),
        **told,
    )
    if hasattr(os, "nice"):
        os.nice(_NICE)
    finish = threading.Event()

    def wait_for_the_end() -> None:
        sys.stdin.buffer.read()
        finish.set()

    threading.Thread(target=wait_for_the_end, daemon=True).start()
    return follow(target, finish, _tell)


def _tell(told: Told) -> None:
    try:
        print(json.dumps(dataclasses.asdict(told)), flush=True)
    except OSError:  # nobody listens any more
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115


if __name__ == "__main__":
    main()
