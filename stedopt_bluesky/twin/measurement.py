"""Measurements and configurations of the twin, with SpecPy's surface."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import count
from typing import Any, TypeVar

from stedopt_bluesky.imspector.api import Configuration, ParameterValue
from stedopt_bluesky.twin.parameters import couple
from stedopt_bluesky.twin.scan import ScanPlan
from stedopt_bluesky.twin.stack import TwinStack
from stedopt_bluesky.twin.value_tree import ParameterTree

_Named = TypeVar("_Named", "TwinConfiguration", TwinStack)


class TwinConfiguration:
    """One set of parameters and the stacks acquired with it.

    Parameters
    ----------
    name : str
        Name, unique within the measurement.
    number : int
        Number within the measurement, part of the names of the stacks.
    parameters : mapping
        Parameters at the start; copied.
    """

    def __init__(self, name: str, number: int, parameters: Mapping[str, Any]) -> None:
        self.tree = ParameterTree(parameters, couple)
        self._name = name
        self._number = number
        self._stacks: tuple[TwinStack, ...] = ()

    def name(self) -> str:
        """Return the configuration's name."""
        return self._name

    def set_name(self, name: str) -> None:
        """Rename the configuration."""
        if not name:
            raise RuntimeError("a configuration needs a name")
        self._name = name

    def parameters(self, at: str) -> ParameterValue:
        """Return a copy of the parameters at a path (RuntimeError when there are none)."""
        return self.tree.get(at)

    def set_parameters(self, at: str, _from: ParameterValue) -> None:
        """Change the parameters at a path (RuntimeError when refused; nothing changes then)."""
        self.tree.set(at, _from)

    def number_of_stacks(self) -> int:
        """Return the number of stacks: one per channel, none before the first run."""
        return len(self._stacks)

    def stack_names(self) -> list[str]:
        """Return the names of the stacks."""
        return [stack.name() for stack in self._stacks]

    def stack(self, index: int | str) -> TwinStack:
        """Return a stack by number or name (RuntimeError when there is none)."""
        return _pick(self._stacks, index, "stack")

    def begin_stacks(self, plan: ScanPlan, parameters: Mapping[str, Any]) -> tuple[TwinStack, ...]:
        """Make a stack of zeros per channel; those of an earlier run are used again."""
        earlier = {stack.name(): stack for stack in self._stacks}
        stacks = []
        for channel in plan.channels:
            name = f"{channel.name} {{{self._number}}}"
            stack = earlier.get(name)
            if stack is None:
                stack = TwinStack(name, plan, parameters)
            else:
                stack.begin(plan, parameters)
            stacks.append(stack)
        self._stacks = tuple(stacks)
        return self._stacks


class TwinMeasurement:
    """An open measurement: at least one configuration, one of them active.

    Parameters
    ----------
    name : str
        Name, unique among the open measurements.
    parameters : mapping
        Parameters of the first configuration; copied.
    is_running : callable
        Whether this measurement is being run.
    """

    def __init__(
        self,
        name: str,
        parameters: Mapping[str, Any],
        is_running: Callable[[TwinMeasurement], bool],
    ) -> None:
        self._name = name
        self._is_running = is_running
        self._numbers = count()
        self._closed = False
        self._configurations: list[TwinConfiguration] = []
        self._active = self._added(parameters)

    def name(self) -> str:
        """Return the measurement's name."""
        return self._name

    @property
    def closed(self) -> bool:
        """Whether the measurement was closed."""
        return self._closed

    def mark_closed(self) -> None:
        """Refuse all further use."""
        self._closed = True

    def number_of_configurations(self) -> int:
        """Return the number of configurations."""
        return len(self._open())

    def configuration_names(self) -> list[str]:
        """Return the names of the configurations."""
        return [c.name() for c in self._open()]

    def configuration(self, index: int | str) -> TwinConfiguration:
        """Return a configuration by number or name (RuntimeError when there is none)."""
        return _pick(self._open(), index, "configuration")

    def active_configuration(self) -> TwinConfiguration:
        """Return the configuration that is run next."""
        self._open()
        return self._active

    def activate(self, that: Configuration) -> None:
        """Make a configuration the active one.

        Raises
        ------
        RuntimeError
            When it belongs to another measurement, or while the measurement runs.
        """
        own = self._own(that)
        self._check_idle("activate another configuration")
        self._active = own

    def clone(self, that: Configuration) -> TwinConfiguration:
        """Copy a configuration's parameters into a new one, activate and return that."""
        own = self._own(that)
        self._check_idle("clone a configuration")
        self._active = self._added(own.parameters(""))
        return self._active

    def remove(self, that: Configuration) -> None:
        """Remove a configuration with its stacks; never the last one."""
        own = self._own(that)
        self._check_idle("remove a configuration")
        if len(self._configurations) == 1:
            raise RuntimeError(f"measurement {self._name!r} needs a configuration")
        self._configurations.remove(own)
        if self._active is own:
            self._active = self._configurations[-1]

    def parameters(self, at: str) -> ParameterValue:
        """Return a copy of the active configuration's parameters at a path."""
        return self.active_configuration().parameters(at)

    def set_parameters(self, at: str, _from: ParameterValue) -> None:
        """Change the active configuration's parameters at a path."""
        self.active_configuration().set_parameters(at, _from)

    def number_of_stacks(self) -> int:
        """Return the number of stacks of all configurations."""
        return len(self._stacks())

    def stack_names(self) -> list[str]:
        """Return the names of the stacks of all configurations."""
        return [stack.name() for stack in self._stacks()]

    def stack(self, index: int | str) -> TwinStack:
        """Return a stack by number or name (RuntimeError when there is none)."""
        return _pick(self._stacks(), index, "stack")

    def _stacks(self) -> list[TwinStack]:
        return [c.stack(i) for c in self._open() for i in range(c.number_of_stacks())]

    def _open(self) -> list[TwinConfiguration]:
        if self._closed:
            raise RuntimeError(f"measurement {self._name!r} is closed")
        return self._configurations

    def _own(self, that: Configuration) -> TwinConfiguration:
        for configuration in self._open():
            if configuration is that:
                return configuration
        raise RuntimeError(f"{that!r} is no configuration of measurement {self._name!r}")

    def _check_idle(self, action: str) -> None:
        if self._is_running(self):
            raise RuntimeError(f"measurement {self._name!r} is running: cannot {action}")

    def _added(self, parameters: Mapping[str, Any]) -> TwinConfiguration:
        number = next(self._numbers)
        configuration = TwinConfiguration(f"Configuration {number}", number, parameters)
        self._configurations.append(configuration)
        return configuration


def _pick(items: Sequence[_Named], index: int | str, kind: str) -> _Named:
    for i, item in enumerate(items):
        if index in (i, item.name()) and not isinstance(index, bool):
            return item
    names = [item.name() for item in items]
    raise RuntimeError(f"there is no {kind} {index!r}; there are {names}")
