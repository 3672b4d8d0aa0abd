"""Every path exists in a real measurement of Imspector 16.3, and in the twin's tree."""

import pathlib

import pytest

from stedopt_bluesky.imspector import paths
from stedopt_bluesky.imspector.api import ValueTreeRoot

REAL = (
    pathlib.Path(__file__).parents[2].parent
    / "shared"
    / "data"
    / "imspector"
    / "dummy_1channel.msr"
)

# Path, type of the value there, and a value to be written.
SETTINGS = [
    (paths.laser_power(0, 2), float, 12.5),
    (paths.laser_active(0, 2), bool, True),
    (paths.pixel_size("x"), float, 2e-8),
    (paths.pixel_size("y"), float, 2e-8),
    (paths.scan_length("x"), float, 5e-6),
    (paths.scan_length("y"), float, 5e-6),
    (paths.scan_offset("x"), float, -1e-6),
    (paths.scan_offset("y"), float, 1e-6),
    (paths.scan_pixels("x"), int, None),
    (paths.scan_pixels("y"), int, None),
    (paths.SCAN_MODE, str, paths.XY_SCAN_MODE),
]
LISTS = [
    (paths.PIXEL_STEPS, float),
    (paths.LINE_STEPS, int),
    (paths.SCAN_AXES, str),
]


@pytest.fixture(scope="module")
def real():
    """Parameters of the real measurement."""
    specpy = pytest.importorskip("specpy")
    if not REAL.exists():
        pytest.skip(f"{REAL.name} is not here")
    return specpy.File(str(REAL), specpy.File.Read).read(0).parameters("")["doc"]


@pytest.fixture
def twin(application):
    return application.create_measurement().parameters("")


@pytest.fixture(params=["real", "twin"])
def tree(request):
    return request.getfixturevalue(request.param)


def at(tree, path):
    for key in path.split("/"):
        tree = tree[int(key) if isinstance(tree, list) else key]
    return tree


def test_every_path_is_checked_here():
    constants = {v for k, v in vars(paths).items() if k.isupper() and "/" in str(v)}
    checked = {path for path, *_ in SETTINGS + LISTS}
    assert constants - checked == {paths.CHANNELS, paths.LASERS, paths.PROGRESS}
    functions = {f for f in vars(paths).values() if callable(f)}
    assert len(functions) == 6


@pytest.mark.parametrize(("path", "kind", "_value"), SETTINGS)
def test_settings(tree, path, kind, _value):
    assert type(at(tree, path)) is kind


@pytest.mark.parametrize(("path", "kind"), LISTS)
def test_lists(tree, path, kind):
    values = at(tree, path)
    assert isinstance(values, list)
    assert {type(value) for value in values} == {kind}


def test_channels(tree):
    """What `Instrument.lasers_off` goes through."""
    channels = at(tree, paths.CHANNELS)
    assert isinstance(channels, list)
    for channel in channels:
        for laser in channel["lasers"]:
            assert type(laser["power"]["calibrated"]) is float
            assert laser["power"]["units_used"] == "%"
            assert type(laser["active"]) is bool


def test_lasers(tree):
    """What `Instrument.lasers_off` goes through besides."""
    for laser in at(tree, paths.LASERS):
        assert type(laser["power"]["calibrated"]) is float
        assert type(laser["active"]) is bool


def test_scan_mode_and_axes(tree):
    """The real measurement is an xy scan."""
    assert at(tree, paths.SCAN_MODE) == paths.XY_SCAN_MODE
    assert at(tree, paths.SCAN_AXES) == paths.XY_SCAN_AXES


def test_the_unit_of_a_length_is_the_metre(real):
    size = at(real, paths.pixel_size("x"))
    assert size == pytest.approx(20e-9)
    assert at(real, paths.scan_length("x")) == pytest.approx(
        size * at(real, paths.scan_pixels("x"))
    )


def test_the_first_step_is_the_one_that_is_used(tree):
    for steps in (paths.PIXEL_STEPS, paths.LINE_STEPS):
        parent = at(tree, steps.rpartition("/")[0])
        assert parent["active"] is True
        assert parent["step_active"] == [True] + [False] * 7
        assert parent["repetitions"] == 1


@pytest.mark.parametrize(("path", "_kind", "value"), [s for s in SETTINGS if s[2] is not None])
def test_settings_can_be_written(application, path, _kind, value):
    measurement = application.create_measurement()
    measurement.set_parameters(path, value)
    assert measurement.parameters(path) == value


def test_progress_is_in_the_status_tree(application):
    progress = application.value_at(paths.PROGRESS, ValueTreeRoot.Status).get()
    assert progress["active"] is False
