"""What takes long is read in a thread."""

import asyncio
import gc
import threading
import time

import pytest

from stedopt_bluesky.web.page.reading import in_thread


def test_the_loop_goes_on_meanwhile_and_is_shown_how_far_it_is():
    shown, turns = [], []

    def read(progress):
        for done in range(5):
            progress(done, 5)
            time.sleep(0.1)
        return threading.current_thread()

    async def both():
        reading = asyncio.ensure_future(in_thread(read, lambda *told: shown.append(told)))
        while not reading.done():
            turns.append(1)
            await asyncio.sleep(0.01)
        return await reading

    assert asyncio.run(both()) is not threading.current_thread()
    assert len(turns) > 10
    assert shown
    assert all(total == 5 for _, total in shown)


def test_an_error_comes_through():
    def read(_):
        raise ValueError("damaged")

    with pytest.raises(ValueError, match="damaged"):
        asyncio.run(in_thread(read, lambda done, total: None))


def test_nothing_is_read_on_when_nobody_waits_any_more(caplog):
    done = []

    def read(progress):
        try:
            for number in range(1000):
                progress(number, 1000)
                time.sleep(0.01)
        finally:
            done.append(number)

    async def leave():
        reading = asyncio.ensure_future(in_thread(read, lambda done, total: None))
        await asyncio.sleep(0.1)
        reading.cancel()
        await asyncio.wait({reading})
        await asyncio.sleep(0.1)

    asyncio.run(leave())  # it waits for its threads
    assert done[0] < 500
    gc.collect()
    assert caplog.records == []
