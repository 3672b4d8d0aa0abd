"""The catalogue is fed beside the session, and the session does not wait for it."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

from stedopt_bluesky.config.keys import CATALOG_VARIABLE
from stedopt_bluesky.records.following import Target, Told


class BackgroundIngestion:
    """Feeds a catalogue from its journals, in a process of its own, from now on.

    As a context manager: left, it brings in what is there, by itself, and ends.

    Parameters
    ----------
    target : Target
        What is fed.
    tell : callable, optional
        Told what happens, in a thread of its own; also that its process has ended by itself.

    Raises
    ------
    OSError
        When no process can be started.
    """

    def __init__(self, target: Target, tell: Callable[[Told], object] = lambda told: None) -> None:
        self._tell = tell
        spec = {
            "folder": str(target.folder.path),
            "uri": target.uri,
            "server_folder": target.server_folder,
            "own": target.own,
        }
        # -P: the folder that the program was started in is no place to import from.
        module = "stedopt_bluesky.records.ingest_process"
        command = [sys.executable, "-P", "-m", module, json.dumps(spec)]
        # Apart, so that Ctrl-C and a terminal that is closed leave it to its work.
        apart: dict[str, Any] = {"start_new_session": True}
        if os.name == "nt":
            flags = ("CREATE_NEW_PROCESS_GROUP", "BELOW_NORMAL_PRIORITY_CLASS")
            apart = {"creationflags": sum(getattr(subprocess, flag, 0) for flag in flags)}
        self._process = subprocess.Popen(  # noqa: S603  our own program
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, CATALOG_VARIABLE: target.api_key},
            **apart,
        )
        self._lock = threading.Lock()
        self._runs: set[str] = set()
        self._refused: dict[str, str] = {}
        self._down = ""
        self._left = False
        self._hearing = threading.Thread(target=self._hear, daemon=True, name="ingestion's words")
        self._hearing.start()

    def __enter__(self) -> BackgroundIngestion:
        return self

    def __exit__(self, *_: object) -> None:
        self.leave()

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    @property
    def down(self) -> str:
        """Why the catalogue is not fed at the moment; ``""``: it is."""
        with self._lock:
            return self._down

    @property
    def refused(self) -> dict[str, str]:
        """Why a run could not be taken in, by uid; ``""`` is the whole catalogue."""
        with self._lock:
            return dict(self._refused)

    @property
    def runs(self) -> frozenset[str]:
        """Runs that it has brought in to their end, by uid."""
        with self._lock:
            return frozenset(self._runs)

    def leave(self) -> None:
        """Say that no more is to come; it brings in what is there by itself, and ends."""
        self._left = True
        pipe = self._process.stdin
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()

    def kill(self) -> None:
        """End it at once; what is not in yet, the next one brings in."""
        self._left = True
        self._process.kill()
        self._process.wait()
        self.leave()

    def finish(self, timeout_s: float | None = None) -> str:
        """Wait until all is in; why it is not, ``""`` when it is.

        Parameters
        ----------
        timeout_s : float, optional
            Longest to wait, s; it goes on by itself afterwards.
        """
        self.leave()
        try:
            code = self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return f"it is not done after {timeout_s:g} s"
        self._hearing.join()
        if self.refused.get(""):
            return self.refused[""]
        if code == 0:
            return ""
        return self.down or f"its process has ended with exit code {code}"

    def _hear(self) -> None:
        pipe = self._process.stdout
        if pipe is None:
            return
        with pipe:
            for line in pipe:
                try:
                    told = Told(**json.loads(line))
                except (ValueError, TypeError):
                    continue
                self._note(told)
        if not self._left and "" not in self.refused:
            self._note(Told("down", why="the process that feeds the catalogue has ended"))

    def _note(self, told: Told) -> None:
        with self._lock:
            if told.what == "in":
                self._runs.add(told.uid)
                self._refused.pop(told.uid, None)
            elif told.what == "refused":
                self._refused[told.uid] = told.why
            else:
                self._down = told.why if told.what == "down" else ""
        self._tell(told)
