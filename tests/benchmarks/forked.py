"""Commands of ours, each in a process of its own that has everything imported already.

A program that is started anew imports for seconds before it does anything; where a hundred are
started to be killed, that would be most of the time. The processes are forked from one that has
nothing but the modules, no threads and no files.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path

# What `stedopt run`, `resume` and `catalog verify` import before and while they image.
MODULES = (
    "bluesky",
    "scipy.ndimage",
    "scipy.optimize",
    "stedopt_bluesky.bandit.thompson",
    "stedopt_bluesky.cli.main",
    "stedopt_bluesky.cli.running",
    "stedopt_bluesky.cli.showing",
    "stedopt_bluesky.cli.verifying",
    "stedopt_bluesky.objectives",
    "stedopt_bluesky.plans",
    "stedopt_bluesky.records",
    "stedopt_bluesky.records.background",
    "stedopt_bluesky.reports.progress",
    "stedopt_bluesky.reports.summary",
    "stedopt_bluesky.session",
    "stedopt_bluesky.session.hardware",
    "stedopt_bluesky.session.strategies",
    "stedopt_bluesky.session.watchdog",
    "stedopt_bluesky.twin.remote",
)

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(list(MODULES))


class Forked:
    """A command, ``stedopt ARGUMENTS --json``, under way; as `subprocess.Popen` has it.

    Parameters
    ----------
    arguments : sequence of object
        Of the command.
    environment : mapping
        Added to this process's.
    """

    def __init__(self, arguments: Sequence[object], environment: dict[str, str]) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="stedopt-said-")
        said = Path(self._folder.name)
        self._out, self._words = said / "out", said / "words"
        os.mkfifo(self._words)
        argv = [*map(str, arguments), "--json"]
        self._process = _context.Process(
            target=_perform, args=(argv, environment, str(self._out), str(self._words))
        )
        self._heard: list[str] = []
        # Until nobody has it open any more, what the command has started neither.
        self._hearing = threading.Thread(
            target=lambda: self._heard.append(self._words.read_text("utf-8", errors="replace")),
            # It waits for ever where the process could not be started.
            daemon=True,
        )
        self._hearing.start()
        self._process.start()

    @property
    def returncode(self) -> int | None:
        """How it ended; None: it has not."""
        return self._process.exitcode

    def poll(self) -> int | None:
        """As `returncode`."""
        return self.returncode

    def kill(self) -> None:
        """Send SIGKILL."""
        self._process.kill()

    def communicate(self, timeout: float = 300.0) -> tuple[str, str]:
        """Wait for its end, and that of what it started; what it wrote to either output."""
        self._process.join(timeout)
        self._hearing.join(timeout)
        if self._hearing.is_alive() or self.returncode is None:
            raise TimeoutError(f"it has not ended after {timeout:g} s")
        out = self._out.read_text("utf-8") if self._out.exists() else ""
        self._folder.cleanup()
        return out, "".join(self._heard)


def _perform(argv: list[str], environment: dict[str, str], out: str, words: str) -> None:
    """Be the command."""
    from stedopt_bluesky.cli.main import main

    for path, number in ((words, 2), (out, 1)):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)
        os.dup2(descriptor, number)
        os.close(descriptor)
    # Those that were inherited take either output for what it was when they were made.
    for name, number in (("stdout", 1), ("stderr", 2)):
        setattr(sys, name, os.fdopen(number, "w", encoding="utf-8", closefd=False))
    os.environ.update(environment)
    sys.argv = ["stedopt", *argv]
    main()
