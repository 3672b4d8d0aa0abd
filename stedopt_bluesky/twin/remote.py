"""A twin that another process serves, with SpecPy's surface and the twin's own means.

Calls go by a `Line`: `pause` reaches the twin while `run` waits. Signals come on a connection of
their own, and callbacks are called from its thread.
"""

from __future__ import annotations

import contextlib
import threading
from typing import Any

import numpy as np
import numpy.typing as npt

from stedopt_bluesky.imspector.api import (
    Configuration,
    Measurement,
    MeasurementCallback,
    MeasurementSignal,
    ParameterValue,
    ValueTreeRoot,
)
from stedopt_bluesky.twin.emission import EmissionRecord
from stedopt_bluesky.twin.line import Line
from stedopt_bluesky.twin.signals import MeasurementSignals, end_signal
from stedopt_bluesky.twin.value_tree import as_json
from stedopt_bluesky.twin.wire import Message, Wire, WireError, rebuilt


class _Remote:
    """An object of the served twin, by its number."""

    def __init__(self, line: Line, number: int) -> None:
        self._line, self._number = line, number

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, _Remote):
            return NotImplemented
        return other._line is self._line and other._number == self._number

    def __hash__(self) -> int:
        return hash(self._number)

    def _call(self, name: str, *arguments: Any) -> Any:
        answer, _ = self._line.call(self._number, name, arguments)
        return answer.get("result")

    def _object(self, name: str, *arguments: Any) -> int:
        answer, _ = self._line.call(self._number, name, arguments)
        return int(answer["object"])


class RemoteStack(_Remote):
    """Data of one channel."""

    def name(self) -> str:
        """Return the stack's name."""
        return str(self._call("name"))

    def data(self) -> npt.NDArray[np.int16]:
        """Return a copy of the counts, shape (T, Z, Y, X)."""
        answer, data = self._line.call(self._number, "data", ())
        return rebuilt(answer.get("array"), data)

    def shape(self) -> list[int]:
        """Return the number of pixels along X, Y, Z, T."""
        return list(self._call("shape"))

    def lengths(self) -> list[float]:
        """Return the lengths along X, Y, Z, T, in m."""
        return list(self._call("lengths"))

    def offsets(self) -> list[float]:
        """Return the corner along X, Y, Z, T, in m."""
        return list(self._call("offsets"))

    def labels(self) -> list[str]:
        """Return the names of the axes."""
        return list(self._call("labels"))

    def parameters(self, at: str) -> ParameterValue:
        """Return a copy of the parameters at the acquisition."""
        return self._call("parameters", at)


class _WithStacks(_Remote):
    """What both measurements and configurations have."""

    def name(self) -> str:
        """Return the name."""
        return str(self._call("name"))

    def parameters(self, at: str) -> ParameterValue:
        """Return a copy of the parameters at a path."""
        return self._call("parameters", at)

    def set_parameters(self, at: str, _from: ParameterValue) -> None:
        """Change the parameters at a path."""
        self._call("set_parameters", at, as_json(_from))

    def number_of_stacks(self) -> int:
        """Return the number of stacks."""
        return int(self._call("number_of_stacks"))

    def stack_names(self) -> list[str]:
        """Return the names of the stacks."""
        return list(self._call("stack_names"))

    def stack(self, index: int | str) -> RemoteStack:
        """Return a stack by number or name."""
        return RemoteStack(self._line, self._object("stack", index))


class RemoteConfiguration(_WithStacks):
    """One set of parameters of a measurement."""

    def set_name(self, name: str) -> None:
        """Rename the configuration."""
        self._call("set_name", name)


class RemoteMeasurement(_WithStacks):
    """An open measurement of the served twin."""

    def number_of_configurations(self) -> int:
        """Return the number of configurations."""
        return int(self._call("number_of_configurations"))

    def configuration_names(self) -> list[str]:
        """Return the names of the configurations."""
        return list(self._call("configuration_names"))

    def configuration(self, index: int | str) -> RemoteConfiguration:
        """Return a configuration by number or name."""
        return RemoteConfiguration(self._line, self._object("configuration", index))

    def active_configuration(self) -> RemoteConfiguration:
        """Return the configuration that is run next."""
        return RemoteConfiguration(self._line, self._object("active_configuration"))

    def activate(self, that: Configuration) -> None:
        """Make a configuration the active one."""
        self._call("activate", _number(that))

    def clone(self, that: Configuration) -> RemoteConfiguration:
        """Copy a configuration into a new one, activate and return that."""
        return RemoteConfiguration(self._line, self._object("clone", _number(that)))

    def remove(self, that: Configuration) -> None:
        """Remove a configuration with its stacks."""
        self._call("remove", _number(that))


class RemoteValue:
    """A node of a tree by its path."""

    def __init__(self, application: RemoteTwin, path: str, root: int) -> None:
        self._application, self._path, self._root = application, path, int(root)

    def path(self) -> str:
        """Return the node's path."""
        return self._path

    def get(self) -> ParameterValue:
        """Return a copy of the node."""
        return self._application._call("get_value", self._path, self._root)

    def set(self, v: ParameterValue) -> None:
        """Change the node."""
        self._application._call("set_value", self._path, self._root, as_json(v))


class RemoteTwin(_Remote):
    """A client of a `TwinServer`, with the surface of `TwinApplication`.

    Parameters
    ----------
    host : str
        Where the twin is served: this computer's own address.
    port : int
        Its port.
    key : str
        The key that it wants.

    Raises
    ------
    NoTwinError
        When no twin answers there.
    RefusedByTwinError
        When it does not take the key.
    """

    def __init__(self, host: str, port: int, key: str) -> None:
        super().__init__(Line(host, port, key), 0)
        self._signals = MeasurementSignals()
        self._listening: threading.Thread | None = None
        self._lock = threading.Lock()
        wire, self.about = self._line.dial("calls")
        wire.close()

    def hang_up(self) -> None:
        """Close the connections; the twin goes on as it is."""
        self._line.hang_up()

    # --- what a microscope does not show ------------------------------------------------

    @property
    def emitting(self) -> dict[str, float]:
        """Power at the back aperture per laser id at this moment, in W."""
        return dict(self._call("emitting"))

    @property
    def emission_log(self) -> list[EmissionRecord]:
        """What every laser emitted so far."""
        return [EmissionRecord(*record) for record in self._call("emission_log")]

    @property
    def scan_time_s(self) -> float:
        """Scan time of all acquisitions so far, in s."""
        return float(self._call("scan_time_s"))

    def set_interlock(self, closed: bool) -> None:
        """Open or close the twin's interlock."""
        self._call("set_interlock", closed)

    # --- SpecPy -------------------------------------------------------------------------

    def host(self) -> str:
        """Return where the twin is served."""
        return self._line.address

    def version(self) -> str:
        """Return the version of Imspector that the twin imitates."""
        return str(self._call("version"))

    def device_drivers(self) -> ParameterValue:
        """Return the devices and the names of their drivers."""
        return self._call("device_drivers")

    def measurement_names(self) -> list[str]:
        """Return the names of the open measurements."""
        return list(self._call("measurement_names"))

    def active_measurement(self) -> RemoteMeasurement:
        """Return the active measurement."""
        return RemoteMeasurement(self._line, self._object("active_measurement"))

    def measurement(self, name: str) -> RemoteMeasurement:
        """Return an open measurement by its name."""
        return RemoteMeasurement(self._line, self._object("measurement", name))

    def create_measurement(self) -> RemoteMeasurement:
        """Open and activate a new measurement."""
        return RemoteMeasurement(self._line, self._object("create_measurement"))

    def clone_measurement(self, clone_source: Measurement) -> RemoteMeasurement:
        """Open and activate a copy of a measurement's configurations."""
        number = self._object("clone_measurement", _number(clone_source))
        return RemoteMeasurement(self._line, number)

    def activate(self, that: Measurement) -> None:
        """Make an open measurement the active one."""
        self._call("activate", _number(that))

    def start(self, that: Measurement) -> None:
        """Begin to acquire the active configuration and return at once."""
        self._call("start", _number(that))

    def run(self, that: Measurement) -> int:
        """Acquire the active configuration; return ``MeasurementResult`` at the end."""
        try:
            answer, _ = self._line.call(0, "run", (_number(that),), patience_s=None)
        except RuntimeError:
            raise
        except BaseException:
            # Nobody waits any longer (Ctrl-C): the lasers must not go on.
            with contextlib.suppress(RuntimeError):
                self.pause(that)
            raise
        return int(answer["result"])

    def pause(self, that: Measurement | None = None) -> None:
        """Stop a running measurement at once."""
        self._call("pause", *(() if that is None else (_number(that),)))

    def close(self, that: Measurement) -> None:
        """Close a measurement; a running one is stopped first."""
        self._call("close", _number(that))

    def value_at(self, path: str, root: int = ValueTreeRoot.Measurement) -> RemoteValue:
        """Return the node at ``path`` of a tree; the path is checked when it is used."""
        if root not in tuple(ValueTreeRoot):
            raise RuntimeError(f"there is no value tree {root!r}")
        return RemoteValue(self, path, root)

    def connect_measurement_cb(self, cb: MeasurementCallback, to: int, timeout_ms: int = 0) -> bool:
        """Have ``cb()`` called at a signal; False when it is connected already."""
        connected = self._signals.connect(cb, to)
        self._listen()
        return connected

    def disconnect_measurement_cb(self, cb: MeasurementCallback, _from: int) -> bool:
        """Have ``cb`` called no longer; False when it was not connected."""
        return self._signals.disconnect(cb, _from)

    def connect_end(self, to: MeasurementCallback, flag: int) -> None:
        """Have ``to()`` called at the end of the measurement (flag 0) or of a step (1)."""
        self.connect_measurement_cb(to, end_signal(flag))

    def disconnect_end(self, _from: MeasurementCallback, flag: int) -> None:
        """Undo `connect_end`."""
        self._signals.disconnect(_from, end_signal(flag))

    def _listen(self) -> None:
        """Open the connection that signals come by, unless it is open."""
        with self._lock:
            if self._listening is not None and self._listening.is_alive():
                return
            wire, _ = self._line.dial("signals")
            wire.patience(None)
            self._listening = threading.Thread(
                target=self._hear, args=(wire,), name="signals of a served twin", daemon=True
            )
            self._listening.start()

    def _hear(self, wire: Wire) -> None:
        with contextlib.suppress(OSError), contextlib.closing(wire):
            while True:
                message, _ = wire.receive()
                self._signals.emit(_signal(message))


def _signal(message: Message) -> MeasurementSignal:
    try:
        return MeasurementSignal(message["signal"])
    except (KeyError, ValueError):
        raise WireError(f"no signal: {message!r}") from None


def _number(that: Any) -> int:
    """Return the number of an object of a served twin."""
    if not isinstance(that, _Remote):
        raise RuntimeError(f"{that!r} is no object of a served twin")
    return that._number
