"""The last gate before Imspector: SpecPy's surface, without what must not be written.

Whoever holds a `GuardedApplication`, device, plan or person at a console, reaches
Imspector through it alone. It lets pass the settings of
:data:`~stedopt_bluesky.imspector.paths.TABLE` and nothing else, powers up to each
laser's limit, and no scan while a laser is set above its limit, be it by another
program. What was written as a whole list or dictionary is looked at value by value.

Software limits complement the hardware interlock, they do not replace it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from stedopt_bluesky.imspector import paths
from stedopt_bluesky.imspector.api import (
    Application,
    Configuration,
    ParameterValue,
)
from stedopt_bluesky.imspector.interlock import NO_INTERLOCK, Interlock, InterlockOpenError
from stedopt_bluesky.imspector.paths import Layout
from stedopt_bluesky.imspector.pulse import PulseRule
from stedopt_bluesky.parameters import as_number

# Deeper than any tree of Imspector; more is no setting but a mistake.
_DEEPEST = 32


class PowerLimitError(ValueError):
    """A power that must not reach the microscope."""


class SettingRefusedError(ValueError):
    """A setting that this package does not write."""


class ScanBlockedError(RuntimeError):
    """A scan that must not begin: a laser is not as it should be."""


class Gate:
    """What may be written, and whether a scan may begin.

    Parameters
    ----------
    layout : Layout
        Of Imspector's parameter tree.
    limits_percent : mapping of laser's number to highest percent
        Lasers that are not in it stay at 0.
    interlock : Interlock
        Looked at before every scan.
    pulses : sequence of PulseRule
        Lasers that may only give a pulse.

    Raises
    ------
    ValueError
        When a limit is not from 0 to 100 %.
    """

    def __init__(
        self,
        layout: Layout,
        limits_percent: Mapping[int, float],
        interlock: Interlock = NO_INTERLOCK,
        pulses: Sequence[PulseRule] = (),
    ) -> None:
        for laser, limit in limits_percent.items():
            if not 0 <= limit <= 100:
                raise ValueError(f"laser {laser}: limit = {limit:g} %: 0 to 100 % is allowed")
        self.layout = layout
        self._limits = dict(limits_percent)
        self._interlock = interlock
        self._pulses = {rule.laser: rule for rule in pulses}
        # Why no scan may begin; empty: it may.
        self._blocked = ""
        # Names of configurations that stay what they are.
        self._names: frozenset[str] = frozenset()
        self._conditions: list[Callable[[], str]] = []

    def limit_percent(self, laser: int) -> float:
        """Highest power of a laser, % of its calibrated power."""
        return self._limits.get(laser, 0.0)

    def block(self, reason: str) -> None:
        """Refuse every scan from now on, with this reason; `""` allows them again."""
        self._blocked = reason

    def keep_names(self, names: Iterable[str]) -> None:
        """Let no configuration get one of these names any more, nor lose it."""
        self._names = frozenset(names)

    def check_rename(self, old: str, new: str) -> None:
        """Refuse to rename a configuration of the session, or another one to its name.

        Raises
        ------
        SettingRefusedError
            What a laser may do depends on the configuration's name.
        """
        if old != new and {old, new} & self._names:
            raise SettingRefusedError(
                f"configuration {old!r} cannot be called {new!r}: the session's configurations "
                "keep their names"
            )

    def require(self, condition: Callable[[], str]) -> None:
        """Ask a condition before every scan, and after it: it says why not, or ""."""
        self._conditions.append(condition)

    def why_not(self) -> str:
        """Say which condition is not fulfilled; "" when all are."""
        return next(filter(None, (condition() for condition in self._conditions)), "")

    def check_interlock(self, application: Application) -> None:
        """Refuse a scan while the interlock is open.

        Raises
        ------
        InterlockOpenError
            Also when the interlock cannot be read.
        """
        if why := self._interlock.why_open(application):
            raise InterlockOpenError(why)

    def checked(
        self, at: str, value: ParameterValue, current: ParameterValue, configuration: str
    ) -> ParameterValue:
        """Return what may be written at a path, as plain Python values.

        Parameters
        ----------
        at : str
            Path of a node of a configuration's tree.
        value : JSON value
            What is to be written there.
        current : JSON value
            What stands there; a value that stays as it is needs no leave, unless it is a power.
        configuration : str
            Name of the configuration.

        Raises
        ------
        PowerLimitError
            When a power is not a finite number from 0 to its laser's limit, or that of a laser
            that may only give a pulse is above 0 in another configuration than its own.
        SettingRefusedError
            When another value would change than those of the table. Nothing is written then.
        """
        # A copy that nobody else holds: what is checked is what is written.
        plain = _plain(value, at)
        base = _keys(at)
        standing = dict(_leaves(current, base))
        for keys, leaf in _leaves(plain, base):
            self._check_leaf(keys, leaf, standing, configuration)
        return plain

    def _check_leaf(
        self,
        keys: tuple[str, ...],
        leaf: ParameterValue,
        standing: Mapping[tuple[str, ...], ParameterValue],
        configuration: str,
    ) -> None:
        path = "/".join(keys)
        found = self.layout.find(path)
        row, laser = found if found is not None else (None, None)
        if row is not None and laser is not None and row.name.endswith("power_percent"):
            self._check_power(path, laser, leaf, configuration)
        elif keys in standing and _same(standing[keys], leaf):
            return
        elif row is None or not row.writable:
            raise SettingRefusedError(
                f"{path} = {leaf!r}: not a setting that stedopt writes; set it in Imspector"
            )

    def _check_power(self, path: str, laser: int, leaf: ParameterValue, configuration: str) -> None:
        limit, number = self.limit_percent(laser), as_number(leaf)
        # The comparison refuses NaN and infinity too: the limit is finite.
        if number is None or not 0 <= number <= limit:
            raise PowerLimitError(
                f"power of laser {laser} = {leaf!r} %: 0 to {limit:g} % is allowed ({path})"
            )
        rule = self._pulses.get(laser)
        if rule is not None and number > 0 and configuration != rule.configuration:
            raise PowerLimitError(
                f"power of laser {laser} = {leaf!r} % in configuration {configuration!r}: above 0 "
                f"only in {rule.configuration!r} ({path})"
            )

    def check_scan(self, configuration: Configuration) -> None:
        """Refuse a scan with a laser above its limit, whoever has set it.

        Raises
        ------
        ScanBlockedError
            With the laser and the power; also after `block`, and when a condition of
            `require` is not fulfilled.
        """
        if why := self._blocked or self.why_not():
            raise ScanBlockedError(f"no scan may begin: {why}")
        if configuration.parameters(paths.IGNORE_POWERS):
            raise ScanBlockedError(
                f"no scan may begin: Imspector ignores the powers that are set "
                f"({paths.IGNORE_POWERS})"
            )
        lists = list(laser_lists(configuration))
        for rule in self._pulses.values():
            if reason := rule.why_not(configuration, lists, self.layout):
                raise ScanBlockedError(f"no scan may begin: {reason}")
        for at, lasers in lists:
            for number, laser in enumerate(lasers):
                power, limit = laser["power"]["calibrated"], self.limit_percent(number)
                unit = laser["power"].get("units_used", "")
                if not 0 <= power <= limit and (laser["active"] or math.isnan(power)):
                    raise ScanBlockedError(
                        f"no scan may begin: {at}/{number} is on with {power:g} %, "
                        f"0 to {limit:g} % is allowed; another program has set it"
                    )
                if laser["active"] and unit not in ("", "%"):
                    raise ScanBlockedError(
                        f"no scan may begin: the power of {at}/{number} is in {unit!r}, not in %; "
                        "choose calibrated power in percent in Imspector"
                    )


def laser_lists(configuration: Configuration) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Yield each list of lasers of a configuration with its path: of the whole, of each channel."""
    yield paths.LASERS, configuration.parameters(paths.LASERS)
    for number, channel in enumerate(configuration.parameters(paths.CHANNELS)):
        yield f"{paths.CHANNELS}/{number}/lasers", channel["lasers"]


def _keys(path: str) -> tuple[str, ...]:
    # An empty key names the same node for all we know: the check must see what it stands for.
    return tuple(key for key in path.split("/") if key)


def _plain(value: Any, at: str, depth: int = 0) -> Any:
    """Copy a value into Python's own types, of which JSON has no others."""
    if depth > _DEEPEST:
        raise SettingRefusedError(f"{at}: nested more than {_DEEPEST} deep")
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, Mapping):
        if wrong := [key for key in value if type(key) is not str]:
            raise SettingRefusedError(f"{at}: {wrong[0]!r} is no name of a parameter")
        return {key: _plain(item, at, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, at, depth + 1) for item in value]
    if value is None or type(value) in (bool, int, float, str):
        return value
    if (number := as_number(value)) is not None:
        return number
    raise SettingRefusedError(f"{at}: {type(value).__name__} is no value of a parameter")


def _leaves(
    node: ParameterValue, keys: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], ParameterValue]]:
    if isinstance(node, dict):
        for key, item in node.items():
            yield from _leaves(item, (*keys, *_keys(key)))
    elif isinstance(node, list):
        for number, item in enumerate(node):
            yield from _leaves(item, (*keys, str(number)))
    else:
        yield keys, node


def _same(old: ParameterValue, new: ParameterValue) -> bool:
    if isinstance(old, bool) or isinstance(new, bool):
        return old is new
    # NaN stays NaN: it must not keep the rest of a list from being set back.
    return bool(old == new) or bool(_is_nan(old) and _is_nan(new))


def _is_nan(value: ParameterValue) -> bool:
    return isinstance(value, float) and math.isnan(value)
