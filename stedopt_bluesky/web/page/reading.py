"""What takes long, read beside the page: its server answers all browsers meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

Read = TypeVar("Read")
Progress = Callable[[int, int], object]

# How often progress is shown, s.
_SHOW_EVERY_S = 0.2


async def in_thread(read: Callable[[Progress], Read], show: Callable[[int, int], object]) -> Read:
    """Call a function in a thread, and show how far it is.

    Not by NiceGUI's `run.io_bound`: of the second page that a process serves, as a notebook
    does, that gives nothing.

    Parameters
    ----------
    read : callable
        Given what it tells how much is done of how much.
    show : callable
        Told the same from the page's own thread, a few times a second.
    """
    told: list[tuple[int, int]] = []

    def tell(done: int, total: int) -> None:
        told[:] = [(done, total)]

    reading = asyncio.ensure_future(asyncio.to_thread(read, tell))
    while not (await asyncio.wait({reading}, timeout=_SHOW_EVERY_S))[0]:
        if told:
            show(*told[0])
    return reading.result()
