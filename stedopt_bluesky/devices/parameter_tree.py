"""Imspector's parameters as a text in documents."""

from __future__ import annotations

import json
import math
from typing import Any


def as_text(tree: Any) -> str:
    """Write a parameter tree as JSON; what JSON has no word for becomes ``null``.

    It belongs into descriptors: a catalogue searches start documents through, which a tree of
    50 kB in each would make slow. A value of another type than JSON's is written as text.
    """
    return json.dumps(without_nan(tree), default=str, allow_nan=False)


def without_nan(tree: Any) -> Any:
    """Return a tree in which numbers that are not finite are None, as JSON has no word for them."""
    if isinstance(tree, dict):
        return {str(key): without_nan(value) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return [without_nan(value) for value in tree]
    if isinstance(tree, float) and not math.isfinite(tree):
        return None
    return tree
