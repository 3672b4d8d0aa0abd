"""Faults of a microscope, by script: what a real Imspector does on a bad day.

`FaultyApplication` stands before a twin and lets one thing go wrong at one moment. It has
SpecPy's surface, and behind it are the twin's own means to see what was emitted.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from stedopt_bluesky.imspector.api import MeasurementSignal
from stedopt_bluesky.twin.application import TwinApplication

# How much later than the end of the scan a late or second signal comes, s.
LATE_S = 0.2

# Every fault, and what happens at the scan that it is scripted for.
FAULTS = MappingProxyType(
    {
        "dies in a scan": "no call is answered any more from the start of the scan on",
        "dies between scans": "no call is answered any more from the end of the scan on",
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
        self._spent = False

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
        if self.dead:
            raise RuntimeError(_DEAD)
        if name == "activate" and self.scans == self.scan and self.once("activation refused"):
            raise RuntimeError("Measurement is busy")
        if name == "start" and self.scans == self.scan and self.once("start refused"):
            raise RuntimeError("Hardware is not ready")
        if name == "start":
            # Before the scan starts: its end may come before the call returns.
            self.scans += 1
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
        late = threading.Timer(LATE_S, callback)
        late.daemon = True
        if self.now and self.fault == "end signal late":
            late.start()
            return
        if self.now and self.fault == "end signal lost":
            return
        if self.now and self.fault == "dies between scans":
            self.dead = True
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
