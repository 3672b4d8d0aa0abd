"""The interlock, as Imspector's status tells it: a door, a cover, a key.

It is looked at, never set. The hardware cuts the light by itself; the program must not go
on as if nothing had happened, nor begin again before a person says so.
"""

from __future__ import annotations

from dataclasses import dataclass

from stedopt_bluesky.errors import in_one_line
from stedopt_bluesky.imspector.api import Application, ValueTreeRoot


class InterlockOpenError(RuntimeError):
    """An open interlock: nothing is scanned, and a person has to say when to go on."""


@dataclass(frozen=True)
class Interlock:
    """Where Imspector tells of the interlock.

    Parameters
    ----------
    path : str
        Of a node of Imspector's status tree; empty: there is none, and nothing is asked.
    closed : bool
        What the node holds while the interlock is closed.
    """

    path: str
    closed: bool = True

    def why_open(self, application: Application) -> str:
        """Say why nothing may be scanned; "" when the interlock is closed, or there is none.

        One that cannot be read counts as open.
        """
        try:
            if not self.path or self.is_closed(application):
                return ""
        except RuntimeError as error:
            return f"the interlock cannot be read ({self.path}): {in_one_line(error)}"
        return f"the interlock is open ({self.path})"

    def is_closed(self, application: Application) -> bool:
        """Whether Imspector says that it is closed.

        Raises
        ------
        RuntimeError
            When there is no such status, or it is neither true nor false.
        """
        state = application.value_at(self.path, ValueTreeRoot.Status).get()
        # Inputs of the hardware are numbers, 0 and 1.
        if not isinstance(state, bool | int | float) or state not in (0, 1):
            raise RuntimeError(f"{state!r} is neither true nor false")
        return bool(state) is self.closed


NO_INTERLOCK = Interlock("")
