"""Lasers on and off, and the log of it."""

import pytest

from stedopt_bluesky.twin.emission import Emission


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def test_on_inside_off_outside():
    emission = Emission(["A", "B"], Clock())
    assert emission.emitting == {"A": 0.0, "B": 0.0}
    with emission.switched_on("m", "c", {"B": 0.5}):
        assert emission.emitting == {"A": 0.0, "B": 0.5}
        assert emission.log == []
    assert emission.emitting == {"A": 0.0, "B": 0.0}


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_off_however_the_context_is_left(error):
    clock = Clock()
    emission = Emission(["A"], clock)

    def fail():
        with emission.switched_on("m", "c", {"A": 1.0}):
            clock.now += 2.0
            raise error

    with pytest.raises(error):
        fail()
    assert emission.emitting == {"A": 0.0}
    (record,) = emission.log
    assert (record.measurement, record.configuration, record.laser) == ("m", "c", "A")
    assert (record.power_W, record.duration_s) == (1.0, 2.0)
    assert record.start_s <= record.end_s


def test_the_log_is_a_copy():
    emission = Emission(["A"], Clock())
    with emission.switched_on("m", "c", {"A": 1.0}):
        pass
    emission.log.clear()
    assert len(emission.log) == 1
