"""A sample with several dyes, and one whose brightness changes."""

import numpy as np
import pytest

from stedopt_bluesky.twin.application import TwinApplication
from stedopt_bluesky.twin.fluorophores import FLUOROPHORES
from stedopt_bluesky.twin.labels import Label
from stedopt_bluesky.twin.samples import Sample

CHANNELS = "ExpControl/measurement/channels"
RANGE = "ExpControl/scan/range"
PIXELS = 200
# Numbers of the lasers: 485, 561, 640 nm.
GREEN, ORANGE, FAR_RED = 1, 3, 5


def stripes(axis):
    density = np.zeros((PIXELS, PIXELS), np.float32)
    lines = [slice(None)] * 2
    lines[axis] = slice(60, 80)
    density[tuple(lines)] = 3.0
    return Sample("stripes", "stripes", density, 20e-9)


def channel(tree, laser, band_nm, percent=20.0):
    for number, unit in enumerate(tree["lasers"]):
        unit["active"] = number == laser
        unit["power"]["calibrated"] = percent if number == laser else 0.0
    tree["detsel"]["spectral_range"] |= {"min": band_nm[0] * 1e-9, "max": band_nm[1] * 1e-9}


@pytest.fixture
def two_colours():
    labels = [
        Label(stripes(0), FLUOROPHORES["STAR635P"]),
        Label(stripes(1), FLUOROPHORES["STAR580"]),
    ]
    app = TwinApplication(labels, channels=("red", "orange"))
    measurement = app.create_measurement()
    for axis in "xy":
        measurement.set_parameters(f"{RANGE}/{axis}", {"psz": 20e-9, "len": 2e-6})
    tree = measurement.parameters(CHANNELS)
    channel(tree[0], FAR_RED, (650, 720))
    channel(tree[1], ORANGE, (580, 630))
    measurement.set_parameters(CHANNELS, tree)
    return app, measurement, labels


def correlation(image, sample):
    window = sample.window(0.0, 0.0, image.shape, 20e-9)
    return np.corrcoef(image.ravel(), window.ravel())[0, 1]


def test_each_channel_sees_its_dye(two_colours):
    app, measurement, (red, orange) = two_colours
    app.run(measurement)
    first, second = (measurement.stack(i).data()[0, 0] for i in range(2))
    assert correlation(first, red.sample) > 0.6
    assert correlation(second, orange.sample) > 0.6
    # Of the other's stripes next to nothing is seen (the stripes cross: 0 where they are apart).
    assert abs(correlation(first, orange.sample)) < 0.2
    assert abs(correlation(second, red.sample)) < 0.2


def test_each_dye_is_bleached_by_its_own_laser(two_colours):
    app, measurement, (red, orange) = two_colours
    measurement.set_parameters(f"{CHANNELS}/1/lasers/{ORANGE}/active", False)
    app.run(measurement)
    assert red.sample.survival.min() < 1
    # 640 nm is 79 nm from the orange dye's maximum.
    assert orange.sample.survival.min() > 1 - 1e-4


class Blinks:
    """Bright on every second frame of a scan that it has been told of."""

    def __init__(self):
        self.frames = []

    def brightness(self, scan_time_s):
        return np.full((PIXELS, PIXELS), len(self.frames) % 2, np.float32)

    def exposed(self, exposure, powers_W, scan_time_s):
        self.frames.append((exposure.shape, dict(powers_W), scan_time_s))


def test_an_activity_sees_the_light_and_changes_the_brightness():
    activity = Blinks()
    app = TwinApplication([Label(stripes(0), FLUOROPHORES["EGFP"], activity)])
    measurement = app.create_measurement()
    tree = measurement.parameters(CHANNELS)
    channel(tree[0], GREEN, (500, 550))
    measurement.set_parameters(CHANNELS, tree)
    for axis in "xy":
        measurement.set_parameters(f"{RANGE}/{axis}", {"psz": 50e-9, "len": 2e-6})
    measurement.set_parameters(f"{RANGE}/t/res", 4)
    measurement.set_parameters(
        "Measurement/axes/scan_axes", ["ExpControl X", "ExpControl Y", "None", "ExpControl T"]
    )
    app.run(measurement)
    dark1, bright1, dark2, bright2 = measurement.stack(0).data()[:, 0].astype(float).mean((1, 2))
    assert bright1 > 2 * dark1
    assert bright2 > 2 * dark2
    assert [powers for _, powers, _ in activity.frames] == [{485.0: pytest.approx(10e-6)}] * 4
    times = [time_s for *_, time_s in activity.frames]
    assert times[0] == 0
    assert np.diff(times) == pytest.approx(app.scan_time_s / 4)
