"""Faults of a microscope, by script: what a real Imspector does on a bad day.

`FaultyApplication` stands before a twin and lets one thing go wrong at one moment. It has
SpecPy's surface, and behind it are the twin's own means to see what was emitted. `LosingServer`
serves a twin and loses all connections at one moment; `LateSpecPy` refuses the first connections.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from stedopt_bluesky.imspector.api import MeasurementSignal
from stedopt_bluesky.twin.application import TwinApplication
from stedopt_bluesky.twin.server import TwinServer

# How much later than the end of the scan a late or second signal comes, s.
LATE_S = 0.2
# How long a connection that is lost stays so, s: longer than the deadline of any scan of the tests.
LOST_S = 1.5

# Every fault, and what happens at the scan that it is scripted for.
FAULTS = MappingProxyType(
    {
        "dies in a scan": "no call is answered any more from the start of the scan on",
        "dies between scans": "no call is answered any more from the end of the scan on",
        "connection lost in a scan": f"the scan is cut at its start, no answer for {LOST_S} s",
        "connection lost between scans": f"no answer for {LOST_S} s from the scan's end on",
        "end signal lost": "the scan ends, its callback never comes",
        "end signal late": "the callback comes 0.2 s after the end",
        "end signal twice": "the callback comes once more, 0.2 s after the end",
        "activation refused": "the first activation of a configuration is refused",
        "start refused": "the scan is refused",
        "setting refused": "the first setting after the scan is refused",
        "power misreported": "every power above 0 reads 1 % more from the scan on",
        "autofocus lost": "the autofocus reports that it is off, from the scan on",
        "stage not there": "the stage reports a place 20 µm away, from the scan on",
        "stack missing": "the scan leaves no stack",
        "stack of another shape": "the stack lacks its last line",
        "stack with NaN": "the stack holds floats, one of them NaN",
        "image of zeros": "the detector has counted nothing",
        "image saturated": "every pixel has the highest count",
    }
)
_DEAD = "connect: Connection refused [system:111]"
_OWN = ("create_measurement", "active_measurement", "measurement", "clone", "stack")
_OWN_TOO = ("configuration", "active_configuration")


@dataclass
class Script:
    """One fault at one scan, and how far it has come.

    Parameters
    ----------
    fault : str
        A key of `FAULTS`.
    scan : int
        The scan that it happens at, from 0.

    Raises
    ------
    ValueError
        When there is no such fault.
    """

    fault: str
    scan: int

    def __post_init__(self) -> None:
        if self.fault not in FAULTS:
            raise ValueError(f"fault = {self.fault!r}: allowed are {', '.join(FAULTS)}")
        self.scans = 0
        self.dead = False
        self._lost_until_s = 0.0
        self._spent = False

    @property
    def lost(self) -> bool:
        """Whether the connection is lost, and not there again yet."""
        return time.monotonic() < self._lost_until_s

    def _lose(self, fault: str) -> None:
        if self.now and self.once(fault):
            self._lost_until_s = time.monotonic() + LOST_S

    @property
    def now(self) -> bool:
        """Whether the scan that was started last is the one."""
        return self.scans == self.scan + 1

    def once(self, fault: str) -> bool:
        """Whether this is the fault and its moment, for the first time."""
        if self.fault != fault or self._spent:
            return False
        self._spent = True
        return True

    def before(self, name: str, value: Any) -> None:
        """Let a call fail, as the script has it."""
        if self.dead or self.lost:
            raise RuntimeError(_DEAD)
        if name == "activate" and self.scans == self.scan and self.once("activation refused"):
            raise RuntimeError("Measurement is busy")
        if name == "start" and self.scans == self.scan and self.once("start refused"):
            raise RuntimeError("Hardware is not ready")
        if name == "start":
            # Before the scan starts: its end may come before the call returns.
            self.scans += 1
            self._lose("connection lost in a scan")
        # Zeros are taken: who switches off must not be the one to be refused here.
        if name == "set_parameters" and self.now and value and self.once("setting refused"):
            raise RuntimeError("Invalid argument for parameter 'ExpControl'")
        if name == "stack" and self.now and self.fault == "stack missing":
            raise RuntimeError("there is no stack 0; there are []")

    def after(self, name: str, arguments: tuple[Any, ...], result: Any) -> Any:
        """Change what a call returns, as the script has it."""
        if name == "start" and self.now and self.fault == "dies in a scan":
            self.dead = True
        if name == "data" and self.now:
            return self._image(result)
        at = str(arguments[0]) if arguments else ""
        since = self.scans > self.scan
        if name == "parameters" and since and self.fault == "autofocus lost":
            return False if at.endswith("z-stabilizer/enabled") else result
        if name == "parameters" and since and self.fault == "stage not there":
            return result + 20e-6 if at.endswith("stage/pos_x") else result
        misreported = since and self.fault == "power misreported"
        if name == "parameters" and misreported and at.endswith("power/calibrated") and result:
            return result + 1.0
        return result

    def _image(self, image: Any) -> Any:
        if self.fault == "stack of another shape":
            return image[:, :, :-1]
        if self.fault == "stack with NaN":
            image = image.astype(np.float64)
            image[0, 0, 0, 0] = np.nan
        if self.fault == "image of zeros":
            return np.zeros_like(image)
        if self.fault == "image saturated":
            return np.full_like(image, np.iinfo(np.int16).max)
        return image

    def end(self, callback: Callable[[], None]) -> None:
        """Pass an end signal on, as the script has it."""
        if self.lost and self.fault == "connection lost in a scan":
            return
        late = threading.Timer(LATE_S, callback)
        late.daemon = True
        if self.now and self.fault == "end signal late":
            late.start()
            return
        if self.now and self.fault == "end signal lost":
            return
        if self.now and self.fault == "dies between scans":
            self.dead = True
        self._lose("connection lost between scans")
        callback()
        if self.now and self.fault == "end signal twice":
            late.start()


class _Faulty:
    """An object of the twin whose calls go by the script."""

    def __init__(self, target: Any, script: Script) -> None:
        self._target, self._script = target, script

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._target, name)
        if not callable(attribute) or name.startswith("_"):
            return attribute

        def call(*arguments: Any) -> Any:
            self._script.before(name, arguments[-1] if arguments else None)
            result = attribute(*(getattr(a, "_target", a) for a in arguments))
            result = self._script.after(name, arguments, result)
            return _Faulty(result, self._script) if name in _OWN + _OWN_TOO else result

        return call


class FaultyApplication(_Faulty):
    """A twin with one scripted fault.

    Parameters
    ----------
    twin : TwinApplication
        What works as it should.
    fault : str
        A key of `FAULTS`.
    scan : int
        The scan at which it happens, from 0.

    Raises
    ------
    ValueError
        When there is no such fault.
    """

    def __init__(self, twin: TwinApplication, fault: str, scan: int) -> None:
        super().__init__(twin, Script(fault, scan))
        self.twin = twin
        self._callbacks: dict[Any, Callable[[], None]] = {}

    def start(self, that: Any) -> None:
        """Begin to acquire, as far as the script lets it; a scan is cut with the connection."""
        self.__getattr__("start")(that)
        if self._script.lost:
            self.twin.pause()

    def connect_measurement_cb(self, cb: Callable[[], None], to: int) -> bool:
        """Have ``cb()`` called at a signal, as far as the script lets it come."""
        self._script.before("connect_measurement_cb", to)
        if to != MeasurementSignal.end_measurement:
            return self.twin.connect_measurement_cb(cb, to)
        self._callbacks[cb] = passed = lambda: self._script.end(cb)
        return self.twin.connect_measurement_cb(passed, to)

    def disconnect_measurement_cb(self, cb: Callable[[], None], _from: int) -> bool:
        """Have ``cb`` called no longer."""
        passed = self._callbacks.pop(cb, cb)
        disconnected = self.twin.disconnect_measurement_cb(passed, _from)
        self._script.before("disconnect_measurement_cb", _from)
        return disconnected


class LateSpecPy:
    """In the place of the module ``specpy``: an Imspector that refuses the first connections.

    Parameters
    ----------
    application : TwinApplication
        What is connected to in the end.
    refused : int
        How many connections are refused before.
    """

    def __init__(self, application: TwinApplication, refused: int) -> None:
        self._application = application
        self._left = refused

    def get_application(self, *host: str) -> TwinApplication:
        """Connect, or raise what SpecPy raises."""
        if self._left > 0:
            self._left -= 1
            raise RuntimeError(_DEAD)
        return self._application


class LosingServer:
    """A served twin that loses all connections once, and listens again at the same port later.

    A scan that goes on then goes on to its end, as with a real Imspector.

    Parameters
    ----------
    twin : TwinApplication
        What is served.
    key : str
        That clients must bring.
    scan : int
        The scan that it happens in, from 0.
    after_s : float
        How long after that scan's begin, s: possibly after its end.
    lost_s : float
        How long nothing listens, s.
    about : mapping
        Told to every client, as `TwinServer` has it.
    """

    def __init__(
        self,
        twin: TwinApplication,
        key: str,
        scan: int,
        after_s: float = 0.0,
        lost_s: float = LOST_S,
        about: Mapping[str, Any] | None = None,
    ) -> None:
        self._twin, self._key, self._about = twin, key, about
        self._scans_left, self._after_s, self._lost_s = scan, after_s, lost_s
        self._server = TwinServer(twin, key, about=about)
        self.address = self._server.address
        self._losing = threading.Thread(target=self._lose, name="connection lost", daemon=True)
        twin.connect_measurement_cb(self._begun, MeasurementSignal.beg_measurement)

    def __enter__(self) -> LosingServer:
        return self

    def __exit__(self, *_: object) -> None:
        self._twin.disconnect_measurement_cb(self._begun, MeasurementSignal.beg_measurement)
        if self._losing.ident is not None:
            self._losing.join()
        self._server.close()

    def _begun(self) -> None:
        # From a thread: the scan waits for its callbacks, and a server for its clients.
        if self._scans_left == 0:
            self._losing.start()
        self._scans_left -= 1

    def _lose(self) -> None:
        time.sleep(self._after_s)
        port = self._server.port
        self._server.close()
        time.sleep(self._lost_s)
        self._server = TwinServer(self._twin, self._key, port, self._about)
