"""Every path exists in real trees of Imspector 16.3, with its type, and in the twin's."""

import itertools
import pathlib

import pytest

from stedopt_bluesky.imspector import paths
from stedopt_bluesky.imspector.api import ValueTreeRoot
from stedopt_bluesky.imspector.paths import TABLE, Layout, UnknownLayoutError, layout_for

REAL = pathlib.Path(__file__).parents[2].parent / "shared" / "data" / "imspector"
AXES = ("x", "y", "z")
WRITABLE = [row for row in TABLE if row.writable]
# What 16.3 is asked for; one row has several paths.
PATHS = [
    (row, row.imspector_16_3.format(channel=0, laser=laser, axis=axis))
    for row in TABLE
    for axis, laser in itertools.product(
        AXES if "{axis}" in row.imspector_16_3 else ("",),
        (0, 3) if "{laser}" in row.imspector_16_3 else (0,),
    )
]
# Numbers that every setting of the kind takes, as Imspector has them.
SOME_VALUE = {float: 2e-8, int: 3, bool: True}


@pytest.fixture(scope="module")
def measurement_16_3_10599():
    """Parameters of a real measurement, made with four lasers."""
    specpy = pytest.importorskip("specpy")
    path = REAL / "dummy_1channel.msr"
    if not path.exists():
        pytest.skip(f"{path.name} is not here")
    return specpy.File(str(path), specpy.File.Read).read(0).parameters("")["doc"]


@pytest.fixture(scope="module")
def configuration_16_3_13800():
    """Dump of a real configuration, of another instrument."""
    yaml = pytest.importorskip("yaml")
    path = REAL / "conf.yml"
    if not path.exists():
        pytest.skip(f"{path.name} is not here")
    return yaml.safe_load(path.read_text(encoding="utf-8"))


@pytest.fixture
def twin(application):
    return application.create_measurement().parameters("")


@pytest.fixture(params=["measurement_16_3_10599", "configuration_16_3_13800", "twin"])
def tree(request):
    return request.getfixturevalue(request.param)


def at(tree, path):
    for key in path.split("/"):
        tree = tree[int(key) if isinstance(tree, list) else key]
    return tree


@pytest.mark.parametrize(("row", "path"), PATHS, ids=[path for _, path in PATHS])
def test_the_path_holds_a_value_of_the_kind(tree, row, path):
    value = at(tree, path)
    values = value if row.is_list else [value]
    assert isinstance(values, list)
    assert {type(v) for v in values} == {row.kind}


def test_channels(tree):
    """What `Instrument.lasers_off` goes through."""
    channels = at(tree, paths.CHANNELS)
    assert isinstance(channels, list)
    for laser in [
        *at(tree, paths.LASERS),
        *(laser for channel in channels for laser in channel["lasers"]),
    ]:
        assert type(laser["power"]["calibrated"]) is float
        assert laser["power"]["units_used"] in ("%", "")
        assert type(laser["active"]) is bool


def test_what_the_gate_asks_besides(tree):
    assert at(tree, paths.IGNORE_POWERS) is False


def test_scan_mode_and_axes(tree):
    """The real ones are xy scans."""
    assert at(tree, Layout("16.3").path("scan_mode")) == paths.XY_SCAN_MODE
    assert at(tree, Layout("16.3").path("scan_axes")) == paths.XY_SCAN_AXES


def test_the_unit_of_a_length_is_the_metre(measurement_16_3_10599):
    size, length, pixels = (
        at(measurement_16_3_10599, Layout("16.3").path(name, axis="x"))
        for name in ("pixel_size_nm", "field_um", "pixels")
    )
    assert size == pytest.approx(20e-9)
    assert length == pytest.approx(size * pixels)


@pytest.mark.parametrize("name", ["pixel_steps", "line_steps"])
def test_the_first_step_is_the_one_that_is_used(measurement_16_3_10599, twin, name):
    for tree in (measurement_16_3_10599, twin):
        parent = at(tree, f"ExpControl/measurement/{name}")
        assert parent["active"] is True
        assert parent["step_active"] == [True] + [False] * 7
        assert parent["repetitions"] == 1


@pytest.mark.parametrize("row", WRITABLE, ids=[row.name for row in WRITABLE])
def test_settings_can_be_written(application, row):
    measurement = application.create_measurement()
    path = row.imspector_16_3.format(channel=0, laser=2, axis="x")
    before = measurement.parameters(path)
    # A word of its own kind is not every setting's: text is set back as it was.
    value = before if row.kind is str else SOME_VALUE[row.kind]
    value = [value] * len(before) if row.is_list and row.kind is not str else value
    measurement.set_parameters(path, value)
    assert measurement.parameters(path) == value


def test_progress_is_in_the_status_tree(application):
    progress = application.value_at(paths.PROGRESS, ValueTreeRoot.Status).get()
    assert progress["active"] is False


# --- the table --------------------------------------------------------------------------


def test_names_are_different_and_say_their_unit():
    assert len({row.name for row in TABLE}) == len(TABLE)
    for row in TABLE:
        unit = {1e-9: ("_nm", "_ns"), 1e-6: ("_um", "_us")}.get(row.scale, ("",))
        assert row.name.endswith(unit), row.name


def test_no_path_is_given_twice():
    for layout in ("16.3", "0.13"):
        templates = [row.template(layout) for row in TABLE if row.template(layout)]
        assert len(set(templates)) == len(templates)


def test_a_path_is_found_again_with_its_laser():
    layout = Layout("16.3")
    for row, path in PATHS:
        found, laser = layout.find(path)
        assert found is row
        assert (laser is not None) == ("{laser}" in row.imspector_16_3)
    row, laser = layout.find("ExpControl/measurement/channels/3/lasers/12/power/calibrated")
    assert (row.name, laser) == ("laser_power_percent", 12)
    steps = Layout("16.3").find("ExpControl/measurement/pixel_steps/step_duration/7")
    assert steps is not None
    for other in ("", "ExpControl", "STED775/power", "ExpControl/directio/aoaux/3"):
        assert layout.find(other) is None


@pytest.mark.parametrize(
    ("version", "layout"),
    [
        ("16.3.10599", "16.3"),
        ("16.3.13800-w2119-timetagger-nw", "16.3"),
        ("16.1", "16.3"),
        ("0.13.11885", "0.13"),
        ("0.14", "0.13"),
    ],
)
def test_the_layout_is_that_of_the_version(version, layout):
    assert layout_for(version).name == layout


@pytest.mark.parametrize("version", ["", "17.0", "160", "0.1", "1.3", "unknown"])
def test_an_unknown_version_is_refused(version):
    with pytest.raises(UnknownLayoutError, match=r"the parameter trees of 16\.x and of 0\.1x"):
        layout_for(version)


def test_paths_of_2018():
    layout = Layout("0.13")
    power = layout.path("laser_power_percent", laser=5, channel=0)
    assert power == "ExpControl/lasers/power_calibrated/5/value/calibrated"
    assert layout.path("offset_um", axis="y") == "ExpControl/scan/range/y/off"
    with pytest.raises(UnknownLayoutError, match=r"autofocus: no path is known in Imspector 0\.13"):
        layout.path("autofocus")
