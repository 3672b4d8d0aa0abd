"""Callbacks by signal."""

import pytest

from stedopt_bluesky.imspector.api import MeasurementSignal
from stedopt_bluesky.twin.signals import MeasurementSignals

END = MeasurementSignal.end_measurement


def test_a_callback_hears_its_signal_only():
    signals, heard = MeasurementSignals(), []
    for signal in MeasurementSignal:
        signals.connect(lambda s=signal: heard.append(s), signal.value)
    signals.emit(MeasurementSignal.upd_step)
    assert heard == [MeasurementSignal.upd_step]


def test_order_is_that_of_connecting():
    signals, heard = MeasurementSignals(), []
    for n in range(5):
        signals.connect(lambda n=n: heard.append(n), END)
    signals.emit(END)
    assert heard == list(range(5))


def test_a_bound_method_is_one_callback():
    class Device:
        calls = 0

        def done(self, *_):
            self.calls += 1

    device, signals = Device(), MeasurementSignals()
    assert signals.connect(device.done, END)
    assert not signals.connect(device.done, END)
    signals.emit(END)
    assert signals.disconnect(device.done, END)
    signals.emit(END)
    assert device.calls == 1


def test_a_callback_may_disconnect_itself():
    signals, heard = MeasurementSignals(), []

    def once():
        heard.append(1)
        signals.disconnect(once, END)

    signals.connect(once, END)
    signals.emit(END)
    signals.emit(END)
    assert heard == [1]


def test_a_failing_callback_does_not_silence_the_others(caplog):
    signals, heard = MeasurementSignals(), []
    signals.connect(lambda: 1 / 0, END)
    signals.connect(lambda: heard.append(1), END)
    signals.emit(END)
    assert heard == [1]
    assert "ZeroDivisionError" in caplog.text


@pytest.mark.parametrize("signal", [99, "end", None])
def test_no_such_signal(signal):
    signals = MeasurementSignals()
    for refused in (signals.connect, signals.disconnect):
        with pytest.raises(RuntimeError, match="no measurement signal"):
            refused(print, signal)


def test_a_callback_must_be_callable():
    with pytest.raises(RuntimeError, match="must be callable"):
        MeasurementSignals().connect("print", END)
