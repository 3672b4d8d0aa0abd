"""SpecPy's surface behind the gate: everything that is written passes it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from stedopt_bluesky.imspector.api import (
    Application,
    Configuration,
    Measurement,
    MeasurementCallback,
    ParameterValue,
    Stack,
    Value,
    ValueTreeRoot,
)
from stedopt_bluesky.imspector.guard import Gate, SettingRefusedError


class GuardedValue:
    """A node of a parameter tree, written through the gate."""

    def __init__(
        self, value: Value, gate: Gate, root: int, configuration: Callable[[], str]
    ) -> None:
        self._value, self._gate, self._root = value, gate, root
        # Name of the configuration that a measurement's node belongs to.
        self._configuration = configuration

    def path(self) -> str:
        """Return the node's path."""
        return self._value.path()

    def get(self) -> ParameterValue:
        """Return a copy of the node."""
        return self._value.get()

    def set(self, v: ParameterValue) -> None:
        """Change the node, as far as the gate allows."""
        if self._root != ValueTreeRoot.Measurement:
            raise SettingRefusedError(
                f"{self.path()} = {v!r}: only parameters of measurements are written"
            )
        self._value.set(
            self._gate.checked(self.path(), v, self._value.get(), self._configuration())
        )


class _WithStacks:
    """What both configurations and measurements have, written through the gate."""

    _backend: Any

    def __init__(self, backend: Configuration | Measurement, gate: Gate) -> None:
        self._backend, self._gate = backend, gate

    def _written(self) -> Configuration:
        """Return the configuration whose parameters these are."""
        raise NotImplementedError

    def name(self) -> str:
        """Return the name."""
        return str(self._backend.name())

    def parameters(self, at: str) -> ParameterValue:
        """Return a copy of the parameters at a path; of a measurement, its active one's."""
        return self._backend.parameters(at)

    def set_parameters(self, at: str, _from: ParameterValue) -> None:
        """Change these parameters, as far as the gate allows."""
        standing, configuration = self._backend.parameters(at), self._written()
        self._backend.set_parameters(
            at, self._gate.checked(at, _from, standing, configuration.name())
        )

    def number_of_stacks(self) -> int:
        """Return the number of stacks, of a measurement those of all configurations."""
        return int(self._backend.number_of_stacks())

    def stack_names(self) -> Sequence[str]:
        """Return the names of these stacks."""
        names: Sequence[str] = self._backend.stack_names()
        return names

    def stack(self, index: int | str) -> Stack:
        """Return a stack by number or name."""
        stack: Stack = self._backend.stack(index)
        return stack


class GuardedConfiguration(_WithStacks):
    """A configuration, written through the gate."""

    _backend: Configuration

    def _written(self) -> Configuration:
        return self._backend

    def set_name(self, name: str) -> None:
        """Rename the configuration, unless it is one of the session's."""
        self._gate.check_rename(self._backend.name(), name)
        self._backend.set_name(name)


class GuardedMeasurement(_WithStacks):
    """A measurement whose configurations are written through the gate."""

    _backend: Measurement

    def _written(self) -> Configuration:
        return self._backend.active_configuration()

    def _guarded(self, configuration: Configuration) -> GuardedConfiguration:
        return GuardedConfiguration(configuration, self._gate)

    def number_of_configurations(self) -> int:
        """Return the number of configurations."""
        return self._backend.number_of_configurations()

    def configuration_names(self) -> Sequence[str]:
        """Return the names of the configurations."""
        return self._backend.configuration_names()

    def configuration(self, index: int | str) -> GuardedConfiguration:
        """Return a configuration by number or name."""
        return self._guarded(self._backend.configuration(index))

    def active_configuration(self) -> GuardedConfiguration:
        """Return the configuration that is run next."""
        return self._guarded(self._backend.active_configuration())

    def activate(self, that: Configuration) -> None:
        """Make a configuration the active one."""
        self._backend.activate(_backend_of(that))

    def clone(self, that: Configuration) -> GuardedConfiguration:
        """Copy a configuration into a new one, activate and return that."""
        return self._guarded(self._backend.clone(_backend_of(that)))

    def remove(self, that: Configuration) -> None:
        """Remove a configuration with its stacks."""
        self._backend.remove(_backend_of(that))


class GuardedApplication:
    """An Imspector behind the gate, with the part of SpecPy's surface that is used.

    Parameters
    ----------
    application : Application
        A connected Imspector, or the digital twin.
    gate : Gate
        What may be written.
    """

    def __init__(self, application: Application, gate: Gate) -> None:
        self._backend = application
        self.gate = gate

    def _guarded(self, measurement: Measurement) -> GuardedMeasurement:
        return GuardedMeasurement(measurement, self.gate)

    def host(self) -> str:
        """Return the computer that Imspector runs on."""
        return self._backend.host()

    def version(self) -> str:
        """Return Imspector's version."""
        return self._backend.version()

    def device_drivers(self) -> ParameterValue:
        """Return the devices and the names of their drivers."""
        return self._backend.device_drivers()

    def measurement_names(self) -> Sequence[str]:
        """Return the names of the open measurements."""
        return self._backend.measurement_names()

    def active_measurement(self) -> GuardedMeasurement:
        """Return the active measurement."""
        return self._guarded(self._backend.active_measurement())

    def measurement(self, name: str) -> GuardedMeasurement:
        """Return an open measurement by its name."""
        return self._guarded(self._backend.measurement(name))

    def create_measurement(self) -> GuardedMeasurement:
        """Open and activate a new measurement."""
        return self._guarded(self._backend.create_measurement())

    def activate(self, that: Measurement) -> None:
        """Make an open measurement the active one."""
        self._backend.activate(_backend_of(that))

    def start(self, that: Measurement) -> None:
        """Begin to acquire the active configuration, if the gate allows it."""
        self._backend.start(self._checked(that))

    def run(self, that: Measurement) -> int:
        """Acquire the active configuration, if the gate allows it."""
        return self._backend.run(self._checked(that))

    def _checked(self, that: Measurement) -> Measurement:
        backend: Measurement = _backend_of(that)
        self.gate.check_interlock(self._backend)
        self.gate.check_scan(backend.active_configuration())
        return backend

    def pause(self, that: Measurement) -> None:
        """Stop a running measurement."""
        self._backend.pause(_backend_of(that))

    def close(self, that: Measurement) -> None:
        """Close a measurement."""
        self._backend.close(_backend_of(that))

    def value_at(self, path: str, root: int = ValueTreeRoot.Measurement) -> GuardedValue:
        """Return the node at a path of a tree."""
        return GuardedValue(
            self._backend.value_at(path, root),
            self.gate,
            root,
            lambda: self._backend.active_measurement().active_configuration().name(),
        )

    def connect_measurement_cb(self, cb: MeasurementCallback, to: int) -> bool:
        """Have ``cb()`` called at a signal."""
        return self._backend.connect_measurement_cb(cb, to)

    def disconnect_measurement_cb(self, cb: MeasurementCallback, _from: int) -> bool:
        """Have ``cb`` called no longer."""
        return self._backend.disconnect_measurement_cb(cb, _from)


def _backend_of(that: Any) -> Any:
    """Return Imspector's own object of a guarded one."""
    return getattr(that, "_backend", that)
