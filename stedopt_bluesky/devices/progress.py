"""A Status that tells how far an acquisition is, for progress bars."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

from ophyd.status import Status

_log = logging.getLogger(__name__)


class AcquisitionStatus(Status):
    """Status of scans whose steps Imspector tells of.

    Bluesky's progress bar (``RE.waiting_hook = ProgressBarManager()``) watches it.

    Parameters
    ----------
    device : Device
        What acquires.
    expected_s : float
        Time that the scans should take, s.
    """

    def __init__(self, device: Any, expected_s: float) -> None:
        super().__init__(device)
        self._name = device.name
        self._expected_s = expected_s
        self._begun_s = time.monotonic()
        self._watchers: list[Callable[..., Any]] = []

    def watch(self, func: Callable[..., Any]) -> None:
        """Have ``func`` called at every step, with the keywords of ophyd's watchable statuses."""
        self._watchers.append(func)

    def step(self) -> None:
        """Tell those who watch how far it is: Imspector has reported a step of a scan."""
        elapsed_s = time.monotonic() - self._begun_s
        # Fly-back and settling are not expected: nearly there until it is.
        current_s = min(elapsed_s, 0.99 * self._expected_s)
        for watcher in list(self._watchers):
            self._tell(
                watcher,
                name=self._name,
                current=current_s,
                initial=0.0,
                target=self._expected_s,
                unit="s",
                precision=2,
                # Of the way that is left, as ophyd has it.
                fraction=1 - current_s / self._expected_s if self._expected_s else 0.0,
                time_elapsed=elapsed_s,
                time_remaining=self._expected_s - current_s,
            )

    def _tell(self, watcher: Callable[..., Any], **told: Any) -> None:
        try:
            watcher(**told)
        except Exception:
            # A picture of the progress must not cost the image.
            _log.exception("a watcher of the progress failed and is told no more")
            self._watchers.remove(watcher)
