"""What takes long, read beside the page: its server answers all browsers meanwhile."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import TypeVar

Read = TypeVar("Read")
Progress = Callable[[int, int], object]

# How often progress is shown, s.
_SHOW_EVERY_S = 0.2


class _EndedError(Exception):
    """Nobody waits any more for what is read: the browser has gone, or the program ends."""


async def in_thread(read: Callable[[Progress], Read], show: Callable[[int, int], object]) -> Read:
    """Call a function in a thread, and show how far it is.

    Not by NiceGUI's `run.io_bound`: of the second page that a process serves, as a notebook
    does, that gives nothing.

    Parameters
    ----------
    read : callable
        Given what it tells how much is done of how much. That ends it when nobody waits any more,
        so that no program waits for it at its end.
    show : callable
        Told the same from the page's own thread, a few times a second.
    """
    told: list[tuple[int, int]] = []
    ended = threading.Event()

    def tell(done: int, total: int) -> None:
        if ended.is_set():
            raise _EndedError
        told[:] = [(done, total)]

    reading = asyncio.ensure_future(asyncio.to_thread(read, tell))
    # Looked at in any case: of one that nobody waits for asyncio would write a traceback.
    reading.add_done_callback(lambda done: done.cancelled() or done.exception())
    try:
        while not (await asyncio.wait({reading}, timeout=_SHOW_EVERY_S))[0]:
            if told:
                show(*told[0])
    finally:
        ended.set()
    return reading.result()
