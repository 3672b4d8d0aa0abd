"""One BLAS thread for the bandit's small matrices.

A decision is a pure function of history, seed and iteration; another number of
threads sums in another order and changes its last bits. One thread is also the
fastest here: with two threads on a busy two-core machine, decisions on 768
configurations took 160 ms and more instead of a few.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from threadpoolctl import ThreadpoolController

P = ParamSpec("P")
T = TypeVar("T")


@functools.cache
def _controller() -> ThreadpoolController:
    # Looking for the loaded libraries takes milliseconds, limiting them microseconds.
    return ThreadpoolController()


def one_blas_thread(function: Callable[P, T]) -> Callable[P, T]:
    """Run a function with one BLAS thread, whatever the process is set to."""

    @functools.wraps(function)
    def limited(*args: P.args, **kwargs: P.kwargs) -> T:
        with _controller().limit(limits=1, user_api="blas"):
            return function(*args, **kwargs)

    return limited
