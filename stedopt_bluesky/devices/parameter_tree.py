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
    return json.dumps(_without_nan(tree), default=str, allow_nan=False)


def _without_nan(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {str(key): _without_nan(value) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return [_without_nan(value) for value in tree]
    if isinstance(tree, float) and not math.isfinite(tree):
        return None
    return tree
