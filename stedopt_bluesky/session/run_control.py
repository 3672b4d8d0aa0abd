"""A plan that a RunEngine runs is paused, resumed and ended from any thread, by one at a time."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from bluesky import RunEngine

# How often who waits looks at what has changed, s. Python's handlers of signals run in the main
# thread, which therefore never waits longer.
_LOOK_EVERY_S = 0.1

# What the reason of an abort on the page begins with; then comes by whom.
ABORTED_BY = "aborted on the page by"

State = Literal["not begun", "running", "pausing", "paused", "ending", "ended"]


class RefusedError(RuntimeError):
    """What was asked for cannot be done now; says why, to who asked."""


@dataclass(frozen=True)
class _Ending:
    """How a plan is ended, and in whose words why."""

    how: Literal["stop", "abort"]
    reason: str


class RunControl:
    """Runs a plan, and does what is asked of it meanwhile, as the RunEngine's own methods do.

    The thread that runs the plan alone touches an engine that is paused. Others ask; of two that
    ask at once, one is refused. A signal's handler may not call this, but start a thread that does:
    it comes in between in the thread that may hold the lock.

    Parameters
    ----------
    engine : RunEngine
        From :func:`~stedopt_bluesky.cli.interrupts.make_engine`, say: it leaves signals alone.
    suspended : callable, optional
        Says why the plan has paused by itself; "": it has not. It is aborted then, for that reason.
    say : callable, optional
        Tells whoever sits at the terminal, in a line, what happens.
    """

    def __init__(
        self,
        engine: RunEngine,
        suspended: Callable[[], str] = str,
        say: Callable[[str], object] = lambda _: None,
    ) -> None:
        self._engine = engine
        self._suspended = suspended
        self._say = say
        # Why it is aborted at the next pause, whoever asked for that; set by handlers of signals.
        self.reason = ""
        self._lock = threading.Lock()
        self._ending: _Ending | None = None
        self._ender: threading.Thread | None = None
        self._paused_by = self._resumed_by = ""
        # Whether the thread that runs the plan looks after a paused engine; whether it is done.
        self._waiting = self._over = False
        self._changed = threading.Event()

    # --- the thread that runs the plan --------------------------------------------------

    def run(self, plan: Any, *subscribers: Any) -> str:
        """Run a plan to its end.

        Parameters
        ----------
        plan, *subscribers
            As the RunEngine takes them.

        Returns
        -------
        str
            Why it was aborted; "" when it was not.
        """
        from bluesky.utils import RunEngineInterrupted

        step: Callable[[], object] | None = partial(self._engine, plan, *subscribers)
        interrupted = False
        try:
            while step is not None:
                try:
                    step()
                    break
                except RunEngineInterrupted:
                    interrupted = True
                    step = self._next()
                    interrupted = self._ending is not None
        finally:
            self._over = True
        ending = self._ending
        return ending.reason if interrupted and ending and ending.how == "abort" else ""

    def _next(self) -> Callable[[], object] | None:
        """Wait for what is to be done with an engine that was interrupted; None: it has ended."""
        engine = self._engine
        with self._lock:
            self._waiting = True
        while self._ender is not None and self._ender.is_alive() and engine.state != "idle":
            self._ender.join(_LOOK_EVERY_S)  # it may be about to end the plan
        told = False
        while engine.state == "paused":
            with self._lock:
                if self._ending is None:
                    why = self.reason or self._suspended()
                    if why or not self._paused_by:
                        self._ending = _Ending("abort", why)
                    elif self._resumed_by:
                        return self._go_on()
                if self._ending is not None:
                    return partial(self._finish, self._ending)
            if not told:
                told = True
                self._say(f"paused on the page by {self._paused_by}; Ctrl-C ends the run")
            self._changed.wait(_LOOK_EVERY_S)
            self._changed.clear()
        return None if engine.state == "idle" else self._let_go

    def _go_on(self) -> Callable[[], object]:
        """Leave the engine to its plan; the lock is held."""
        self._say(f"resumed on the page by {self._resumed_by}")
        self._paused_by = self._resumed_by = ""
        self._waiting = False
        return self._engine.resume

    def _let_go(self) -> None:
        """Have an engine go on that was ended in the very moment in which it paused.

        It knows that it is to end, and waits to be let go on, which Bluesky does in the thread
        that ended it, if it was paused already when that was asked.
        """
        permit: Any = self._engine._run_permit
        self._engine.loop.call_soon_threadsafe(permit.set)
        while self._engine.state != "idle":
            time.sleep(_LOOK_EVERY_S)

    def _finish(self, ending: _Ending) -> None:
        from bluesky.utils import TransitionError

        self._say("closing the run, lasers off ...")
        with contextlib.suppress(TransitionError):  # the plan has ended meanwhile
            if ending.how == "stop":
                self._engine.stop()
            else:
                self._engine.abort(reason=ending.reason)

    # --- any other thread ---------------------------------------------------------------

    @property
    def state(self) -> State:
        """What the plan does."""
        if self._over:
            return "ended"
        if self._ending is not None or self.reason:
            return "ending"
        engine = str(self._engine.state)
        if engine == "idle":
            return "not begun"
        if engine == "paused" and self._waiting and not self._resumed_by:
            return "paused"
        return "pausing" if self._paused_by and not self._resumed_by else "running"

    @property
    def paused_by(self) -> str:
        """Who has it paused; "" when nobody has."""
        return self._paused_by

    def pause(self, who: str) -> None:
        """Have the plan pause when the image in progress is done, until `resume`.

        Raises
        ------
        RefusedError
            When it is paused already, is being ended, or does not run.
        """
        with self._lock:
            self._refuse_ended()
            if self._paused_by:
                raise RefusedError(f"{self._paused_by} has paused the run already")
            self._paused_by = who
        if not self.finish_image():
            self._paused_by = ""
            raise RefusedError("the run has ended, or has not begun")

    def finish_image(self) -> bool:
        """Have the engine pause when the image in progress is done; False when it cannot."""
        from bluesky.utils import TransitionError

        try:
            self._engine.request_pause(defer=True)
        except TransitionError:
            return False
        return True

    def resume(self, who: str) -> None:
        """Have a paused plan go on.

        Raises
        ------
        RefusedError
            When it is not paused, or is being ended.
        """
        with self._lock:
            self._refuse_ended()
            if self._resumed_by:
                raise RefusedError(f"{self._resumed_by} has resumed the run already")
            if self.state != "paused":
                raise RefusedError("the run is not paused")
            self._resumed_by = who
        self._changed.set()

    def stop(self) -> None:
        """Have the plan end at once, as a success.

        Raises
        ------
        RefusedError
            When it is being ended already, or does not run.
        """
        self._end_under_way(_Ending("stop", ""))

    def abort(self, reason: str) -> None:
        """Have the plan end at once, aborted for a reason.

        Raises
        ------
        RefusedError
            When it is being ended already, or does not run.
        """
        self._end_under_way(_Ending("abort", reason))

    def abort_whenever(self, reason: str) -> None:
        """Have the plan aborted at once, or as soon as it has begun, unless it is being ended."""
        with self._lock:
            if self._ending is None and not self._over:
                self.reason = reason
                self._end(_Ending("abort", reason))

    def _end_under_way(self, ending: _Ending) -> None:
        with self._lock:
            self._refuse_ended()
            if self.state == "not begun":
                raise RefusedError("the run has not begun")
            self._end(ending)

    def _refuse_ended(self) -> None:
        if self._over:
            raise RefusedError("the run has ended")
        why = self.reason or (self._ending and (self._ending.reason or "it was stopped"))
        if why:
            raise RefusedError(f"the run is being ended already: {why}")

    def _end(self, ending: _Ending) -> None:
        """End the plan, without waiting for that; the lock is held."""
        self._ending = ending
        self._ender = threading.Thread(target=self._end_running, args=(ending,), daemon=True)
        self._ender.start()
        self._changed.set()

    def _end_running(self, ending: _Ending) -> None:
        """End a plan that runs; of one that is paused who looks after it knows."""
        while not (self._over or self._waiting):
            if self._engine.state not in ("idle", "paused"):
                self._finish(ending)
                return
            time.sleep(_LOOK_EVERY_S / 5)
