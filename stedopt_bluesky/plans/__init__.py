"""Bluesky plans: how a run goes.

``optimize_sted`` is imported when it is asked for: the regions of a stored run are laid
without Bluesky and its devices, half a second sooner.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stedopt_bluesky.plans.optimize import optimize_sted

__all__ = ["optimize_sted"]


def __getattr__(name: str) -> Any:
    if name == "optimize_sted":
        from stedopt_bluesky.plans.optimize import optimize_sted

        return optimize_sted
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
