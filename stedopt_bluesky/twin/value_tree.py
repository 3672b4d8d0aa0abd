"""A parameter tree that answers and refuses as Imspector's does.

A tree is JSON: nested dictionaries and lists with bool, int, float and str as
leaves. A path names a node by its keys joined with ``/``; a list element is
named by its number. Setting a dictionary changes the keys given and leaves the
others; a list is set as a whole and keeps its length.

The wording of the errors is what public programs for Imspector 16.3 parse: one
line ``Invalid argument for parameter 'X'`` per level, then ``No parameter 'Y'``.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from stedopt_bluesky.imspector.api import ParameterValue

# Given the values before and after a change, completes the latter in place
# (derived parameters) or raises ParameterError.
Coupling = Callable[[Mapping[str, Any], dict[str, Any]], None]


class ParameterError(RuntimeError):
    """A parameter that does not exist, or a value that it does not take.

    Parameters
    ----------
    steps : sequence of str
        The keys from the root to the node concerned.
    reason : str, optional
        What is wrong with the value; without it the last key does not exist.
    """

    def __init__(self, steps: tuple[str, ...], reason: str | None = None) -> None:
        lines = [f"Invalid argument for parameter '{step}'" for step in steps]
        if reason is not None:
            text = "\n".join(
                [*lines[:-1], f"{lines[-1] if lines else 'Invalid argument'}: {reason}"]
            )
        elif len(steps) == 1:
            text = f"Internal error: Unknown device or parameter '{steps[0]}'"
        else:
            text = "\n".join([*lines[:-1], f"No parameter '{steps[-1]}'"])
        super().__init__(text)


class ParameterTree:
    """Nested parameters, read and changed by path, safe to use from several threads.

    Parameters
    ----------
    content : mapping
        The parameters at the start; copied.
    coupling : callable, optional
        Completes a change: ``coupling(before, after)`` works on ``after`` in place and
        raises `ParameterError` to refuse it.
    read_only : bool
        Refuse every change.
    """

    def __init__(
        self,
        content: Mapping[str, Any],
        coupling: Coupling | None = None,
        *,
        read_only: bool = False,
    ) -> None:
        self._content: dict[str, Any] = copied(content)
        self._coupling = coupling
        self._read_only = read_only
        self._lock = threading.Lock()

    def get(self, path: str) -> ParameterValue:
        """Return a copy of the node at ``path`` (``""``: everything).

        Raises
        ------
        ParameterError
            When there is no such node.
        """
        # A change swaps the content for a new one and never edits it: no lock to read.
        return copied(_node(self._content, split(path)))

    def set(self, path: str, value: ParameterValue) -> None:
        """Change the node at ``path``; all of it or, when refused, nothing.

        Raises
        ------
        ParameterError
            When there is no such node, or its type, length or range does not allow the value.
        """
        steps = split(path)
        with self._lock:
            before = self._content
            _node(before, steps)
            if self._read_only:
                raise ParameterError(steps, "it is read only")
            after = copied(before)
            accepted = _accepted(_node(after, steps), as_json(value, steps), steps)
            after = _replaced(after, steps, accepted)
            if self._coupling is not None:
                self._coupling(before, after)
            self._content = after


class TreeValue:
    """A node of a tree by its path, SpecPy's ``Value``.

    Parameters
    ----------
    tree : callable
        Gives the tree at the time of the access: the measurement tree is always that of
        the measurement and configuration that are active then.
    path : str
        Path of the node.
    """

    def __init__(self, tree: Callable[[], ParameterTree], path: str) -> None:
        self._tree = tree
        self._path = path

    def path(self) -> str:
        """Return the node's path."""
        return self._path

    def get(self) -> ParameterValue:
        """Return a copy of the node (RuntimeError when there is none)."""
        return self._tree().get(self._path)

    def set(self, v: ParameterValue) -> None:
        """Change the node (RuntimeError when refused; nothing is changed then)."""
        self._tree().set(self._path, v)


def split(path: str) -> tuple[str, ...]:
    """Return the keys of a path; a trailing slash is allowed, a leading one is a wrong key."""
    return tuple(path.removesuffix("/").split("/")) if path else ()


def copied(value: Any) -> Any:
    """Copy a JSON value (an order of magnitude faster than `copy.deepcopy`)."""
    if isinstance(value, Mapping):
        return {key: copied(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [copied(v) for v in value]
    return value


def as_json(value: Any, steps: tuple[str, ...] = ()) -> Any:
    """Turn a Python value into JSON as SpecPy does (seen with 2026.20).

    Tuples and numpy arrays become lists, numpy numbers become Python's; a numpy bool
    becomes an int, which no bool parameter accepts.

    Raises
    ------
    ParameterError
        When JSON has no such value: a set, a key that is not a string, an array of no axes.
    """
    if value is None or isinstance(value, bool | int | float | str):
        # A plain float for a numpy one, which is a subclass.
        return float(value) if isinstance(value, np.floating) else value
    if isinstance(value, np.bool_ | np.number):
        return int(value) if isinstance(value, np.bool_) else value.item()
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {key: as_json(v, (*steps, key)) for key, v in value.items()}
    if isinstance(value, list | tuple) or (isinstance(value, np.ndarray) and value.ndim):
        return [as_json(v, (*steps, str(i))) for i, v in enumerate(value)]
    raise ParameterError(steps, f"unsupported value type {type(value).__name__}")


def _index(node: list[Any], step: str) -> int | None:
    return int(step) if step.isdecimal() and int(step) < len(node) else None


def _node(root: Any, steps: tuple[str, ...]) -> Any:
    """Return the node itself, not a copy."""
    node = root
    for depth, step in enumerate(steps):
        if isinstance(node, dict) and step in node:
            node = node[step]
        elif isinstance(node, list) and (index := _index(node, step)) is not None:
            node = node[index]
        else:
            raise ParameterError(steps[: depth + 1])
    return node


def _replaced(root: Any, steps: tuple[str, ...], value: Any) -> Any:
    """Put ``value`` at the node in place and return the root (``value`` at the root itself)."""
    if not steps:
        return value
    parent = _node(root, steps[:-1])
    parent[int(steps[-1]) if isinstance(parent, list) else steps[-1]] = value
    return root


def _accepted(old: Any, new: Any, steps: tuple[str, ...]) -> Any:
    """Return what a node holding ``old`` holds after ``new`` was set; the types decide."""
    if isinstance(old, dict):
        return _accepted_dict(old, new, steps)
    if isinstance(old, list):
        if not isinstance(new, list) or len(new) != len(old):
            raise ParameterError(steps, f"a list of {len(old)} is needed, got {_shown(new)}")
        return [
            _accepted(o, n, (*steps, str(i))) for i, (o, n) in enumerate(zip(old, new, strict=True))
        ]
    return _accepted_leaf(old, new, steps)


def _accepted_dict(old: dict[str, Any], new: Any, steps: tuple[str, ...]) -> dict[str, Any]:
    if not isinstance(new, dict):
        raise ParameterError(steps, f"a dictionary is needed, got {_shown(new)}")
    merged = dict(old)
    for key, value in new.items():
        if key not in old:
            raise ParameterError((*steps, key))
        merged[key] = _accepted(old[key], value, (*steps, key))
    return merged


def _accepted_leaf(old: Any, new: Any, steps: tuple[str, ...]) -> Any:
    kind = type(old)
    number = isinstance(new, int | float) and not isinstance(new, bool)
    if kind is float and number:
        # OverflowError: an int beyond the range of a double.
        try:
            if math.isfinite(new):
                return float(new)
        except OverflowError:
            pass
        raise ParameterError(steps, f"a finite number is needed, got {_shown(new)}")
    if kind is int and number and (isinstance(new, int) or new.is_integer()):
        return int(new)
    if kind is type(new) and kind in (bool, str):
        return new
    names = {float: "a number", int: "an integer", bool: "a bool", str: "a string"}
    raise ParameterError(steps, f"{names[kind]} is needed, got {_shown(new)}")


def _shown(value: Any) -> str:
    """Return a value for an error message, cut where it would fill the screen."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
