"""Optimise a STED microscope's imaging parameters while it images, on Bluesky."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stedopt_bluesky.bandit import KernelRegression, KernelTS
    from stedopt_bluesky.parameters import Parameter, ParameterSpace
    from stedopt_bluesky.plans import optimize_sted
    from stedopt_bluesky.session import open_session

__version__ = "0.1.0"

__all__ = [
    "KernelRegression",
    "KernelTS",
    "Parameter",
    "ParameterSpace",
    "__version__",
    "open_session",
    "optimize_sted",
]

# Where the public names live. They are imported when first asked for: the command line
# must not wait for numpy, Bluesky and ophyd to print its help.
_HOMES = {
    "KernelRegression": "bandit",
    "KernelTS": "bandit",
    "Parameter": "parameters",
    "ParameterSpace": "parameters",
    "open_session": "session",
    "optimize_sted": "plans",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
