"""A small and fast microscope: the digital twin, an instrument on it and a station of devices."""

from __future__ import annotations

import gc
import signal

import pytest
from bluesky import RunEngine
from hypothesis import settings

from stedopt_bluesky.config import preset
from stedopt_bluesky.devices.microscope import CONFOCAL, STED
from stedopt_bluesky.devices.overview import OVERVIEW
from stedopt_bluesky.imspector.calibration import PowerCalibration
from stedopt_bluesky.imspector.instrument import Instrument
from stedopt_bluesky.imspector.laser_line import LaserLine
from stedopt_bluesky.session import make_station, occupancy
from stedopt_bluesky.twin import TwinApplication, make_sample

# The collector of cycles walks through all that is imported: seldom is often enough for tests.
gc.set_threshold(100_000, 50, 100)

# A shell has what it starts in the background ignore Ctrl-C, and what that starts, too.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# No test is timed: other work may slow down an example.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

CHANNELS = "ExpControl/measurement/channels"
LASERS = "ExpControl/measurement/lasers"


@pytest.fixture(scope="session", autouse=True)
def _own_locks(tmp_path_factory):
    """Locks of the tests' microscopes are not among those of this computer's users."""
    occupancy.FOLDER = tmp_path_factory.mktemp("microscopes")


@pytest.fixture(scope="session")
def _pristine():
    return make_sample("actin", 0, 20e-6)


@pytest.fixture
def sample(_pristine):
    """20 µm of actin that nothing has bleached yet."""
    _pristine.survival[:] = 1
    return _pristine


@pytest.fixture
def application(sample):
    """The digital twin; scans take no time."""
    return TwinApplication(sample, seed=0)


@pytest.fixture(scope="session")
def config():
    """The demonstration in small: regions of 64 × 64 pixels, an overview of 100 × 100."""
    return preset("classical").updated(
        {
            "microscope.field_um": 20.0,
            "overview.size_um": 20.0,
            "overview.pixel_size_nm": 200.0,
            "imaging.region_size_um": 1.28,
        }
    )


@pytest.fixture(scope="session")
def laser_lines(config):
    """Excitation (50 µW at 100 %, limit 30 µW) and depletion (400 mW at 100 %, limit 380 mW)."""
    excitation, depletion = config.excitation, config.depletion
    return (
        LaserLine(
            "excitation",
            excitation.laser,
            PowerCalibration(excitation.calibration_percent, excitation.calibration_power_uW, "µW"),
            excitation.power_limit_uW,
        ),
        LaserLine(
            "depletion",
            depletion.laser,
            PowerCalibration(depletion.calibration_percent, depletion.calibration_power_mW, "mW"),
            depletion.power_limit_mW,
        ),
    )


@pytest.fixture
def instrument(application, laser_lines):
    """An instrument on the twin, with the configurations that the devices use."""
    instrument = Instrument(application, laser_lines, (CONFOCAL, STED, OVERVIEW))
    yield instrument
    if application.measurement_names():
        instrument.close()


@pytest.fixture
def station(config, instrument, tmp_path):
    """All devices."""
    return make_station(config, instrument, tmp_path / "arrays")


@pytest.fixture
def documents():
    """What `run_engine` emits, as (name, document)."""
    return []


@pytest.fixture
def run_engine(documents):
    """A RunEngine for use from a test: no handlers of signals."""
    engine = RunEngine({}, context_managers=[])
    engine.subscribe(lambda name, doc: documents.append((name, doc)))
    return engine


@pytest.fixture(scope="session")
def laser_tree():
    """Function that lists (configuration, laser, percent, active) as the twin's trees have them."""

    def read(instrument):
        measurement = instrument.measurement
        return [
            (configuration.name(), laser["id"], laser["power"]["calibrated"], laser["active"])
            for i in range(measurement.number_of_configurations())
            for configuration in [measurement.configuration(i)]
            for lasers in [
                configuration.parameters(LASERS),
                *(channel["lasers"] for channel in configuration.parameters(CHANNELS)),
            ]
            for laser in lasers
        ]

    return read


@pytest.fixture(scope="session")
def all_dark(laser_tree):
    """Function that says whether no laser emits and none is set to, anywhere."""

    def dark(instrument):
        emitting = set(instrument.application._backend.emitting.values())
        set_to = {(percent, active) for _, _, percent, active in laser_tree(instrument)}
        return emitting == {0.0} and set_to == {(0.0, False)}

    return dark
