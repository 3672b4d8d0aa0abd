"""Runs in which the size of the images is optimised: plan, records and files."""

import re

import numpy as np
import pytest
import tifffile
from bluesky import RunEngine
from hypothesis import example, given
from hypothesis import strategies as st

from stedopt_bluesky.acquisition import Region
from stedopt_bluesky.config import ConfigError, preset
from stedopt_bluesky.objectives import rate
from stedopt_bluesky.parameters import Parameter, ParameterSpace, pixels_along
from stedopt_bluesky.plans import optimize_sted
from stedopt_bluesky.plans.regions import lay_regions
from stedopt_bluesky.records import CatalogError, RunRecord, find_run
from stedopt_bluesky.records.export import export_run
from stedopt_bluesky.records.resume import RunChain
from stedopt_bluesky.records.training_data import rated_images_of
from stedopt_bluesky.session import connect_application, light_of, objectives_of, open_session
from stedopt_bluesky.session.places import tiles_of
from stedopt_bluesky.session.stored import stage_origin_of

SIZES = [
    {"name": "pixel_size_nm", "values": [20.0, 40.0]},
    {"name": "region_size_um", "values": [0.96, 1.92]},
    {"name": "frames", "values": [1, 3]},
]
IMAGES = 8


def sized(**changes):
    return preset("classical").updated(
        {
            "seed": 2,
            "images": IMAGES,
            "microscope.field_um": 30.0,
            "overview.size_um": 30.0,
            "imaging.region_size_um": 1.92,
            "parameters": SIZES,
            "objectives": [{"name": "snr"}, {"name": "imaging_time_s"}, {"name": "light_dose_mJ"}],
            "bandit.strategy": "grid_search",
            "bandit.repeats": 1,
            **changes,
        }
    )


def engine():
    return RunEngine({}, context_managers=[])


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run that imaged the whole grid: configuration, record and what the raters got."""
    folder = tmp_path_factory.mktemp("sizes") / "cat"
    config = sized()
    rated = []

    def rating(images):
        rated.append(images)
        return rate(images, [o.name for o in objectives_of(config)])

    application = connect_application(config)
    with open_session(config, application, folder, run_engine=engine(), rate=rating) as session:
        (uid,) = session.run_engine(session.optimize())
        return config, RunRecord.read(find_run(session.folder, uid)), rated


def test_each_image_has_the_size_that_was_chosen(run):
    config, record, rated = run
    events = record.events("primary")
    assert len(events) == len(rated) == IMAGES
    stored = record.arrays("microscope_sted1")
    for event, image, images in zip(events, stored, rated, strict=True):
        data = event["data"]
        settings = config.space.configuration(data["image_configuration_index"])
        assert {name: data[name] for name in settings} == settings
        pixels = round(settings["region_size_um"] * 1000 / settings["pixel_size_nm"])
        assert image.shape == images.confocal1.shape == (pixels, pixels)
        np.testing.assert_array_equal(image, images.sted[0])
        np.testing.assert_array_equal(record.array("microscope_sted1", event), image)
        assert (images.frames, images.pixel_size_nm) == (
            settings["frames"],
            settings["pixel_size_nm"],
        )
        time_s = config.imaging.dwelltime_us * 1e-6 * pixels**2 * settings["frames"]
        assert data["objective_imaging_time_s"] == pytest.approx(time_s)
    assert {image.shape for image in stored} == {(24, 24), (48, 48), (96, 96)}


def test_the_known_objectives_are_those_that_were_rated(run):
    """The column of the cloud and the value of the image, bit for bit."""
    config, record, _ = run
    for cloud, event in zip(record.clouds, record.events("primary"), strict=True):
        row = cloud[event["data"]["image_configuration_index"]]
        names = [o.name for o in config.objectives]
        for name in ("imaging_time_s", "light_dose_mJ"):
            assert row[names.index(name)] == event["data"][f"objective_{name}"]


def test_more_frames_are_more_photons(run):
    """Three frames of a bright place have more counts than one of it; here on the average."""
    _, _, rated = run
    densities = {
        frames: np.mean([i.sted[0].mean() for i in rated if i.frames == frames])
        for frames in (1, 3)
    }
    assert densities[3] > 1.5 * densities[1]


def test_files_have_each_images_own_shape_and_pixels(run, tmp_path):
    _, record, rated = run
    export_run(record, tmp_path)
    paths = sorted(tmp_path.glob("*region*.ome.tif*"))
    assert len(paths) == IMAGES
    for path, images in zip(paths, rated, strict=True):
        with tifffile.TiffFile(path) as file:
            pixels = file.series[0].asarray()
            said_all = file.ome_metadata
        said = re.search(r'PhysicalSizeX="([\d.e-]+)"', said_all)
        np.testing.assert_array_equal(pixels[1], images.sted[0])
        assert float(said.group(1)) == pytest.approx(images.pixel_size_nm / 1000)
        assert f'<M K="frames">{images.frames}</M>' in said_all


def test_regions_are_laid_as_large_as_the_largest(run):
    _, record, _ = run
    places = {
        (e["data"]["region_x_um"], e["data"]["region_y_um"]) for e in record.events("primary")
    }
    assert len(places) == IMAGES
    for a in places:
        for b in places - {a}:
            assert max(abs(a[0] - b[0]), abs(a[1] - b[1])) >= 1.92 - 1e-9


def test_a_region_of_the_grid_larger_than_those_laid_is_refused():
    says = (
        r"parameters\.1\.values \(region_size_um\) = 1\.92: at most 1\.28 µm "
        r"\(imaging\.region_size_um\)"
    )
    with pytest.raises(ConfigError, match=says):
        sized(**{"imaging.region_size_um": 1.28})


def test_the_longest_image_counts_the_most_pixels_and_frames():
    # 96² pixels of 20 µs, three times.
    longest_s = 96**2 * 20e-6 * 3
    assert sized(**{"limits.sted_image_s": longest_s * 1.01}).limits.sted_image_s is not None
    with pytest.raises(ConfigError, match=r"limits\.sted_image_s = 0\.55: at least 0\.553 s"):
        sized(**{"limits.sted_image_s": 0.55})


def test_whole_frames_only():
    with pytest.raises(ConfigError, match=r"\(frames\) = \[1, 1.5\]: whole numbers"):
        sized(parameters=[{"name": "frames", "values": [1, 1.5]}])


def test_a_grid_for_which_the_arrays_have_no_room_is_refused(tmp_path):
    """Of who calls the plan with a grid of their own."""
    config = sized()
    space = ParameterSpace([Parameter("pixel_size_nm", "nm", (10.0, 20.0))])
    with open_session(
        config, connect_application(config), tmp_path / "cat", run_engine=engine()
    ) as session:
        plan = optimize_sted(
            session.station,
            session.strategy,
            space,
            rate=session.rate,
            choose=session.choose,
            images=1,
            regions=[Region(0, 0, 1.92)],
        )
        with pytest.raises(ValueError, match=r"pixel_size_nm: images of up to 192 × 192 pixels"):
            session.run_engine(plan)


@pytest.fixture(scope="module")
def twin():
    """A configuration of the twin, to set fields in."""
    application = connect_application(sized())
    return application.create_measurement().active_configuration()


@given(
    size_um=st.floats(0.5, 20).map(lambda v: round(v, 2)),
    pixel_nm=st.sampled_from([10.0, 15.0, 20.0, 25.0, 30.0, 33.3, 40.0, 50.0, 100.0, 200.0]),
)
@example(size_um=4.25, pixel_nm=20.0)
@example(size_um=0.5, pixel_nm=40.0)
def test_pixels_are_those_that_the_twin_scans(twin, size_um, pixel_nm):
    axis = "ExpControl/scan/range/x"
    twin.set_parameters(f"{axis}/psz", pixel_nm * 1e-9)
    twin.set_parameters(f"{axis}/len", size_um * 1e-6)
    assert twin.parameters(f"{axis}/res") == pixels_along(size_um, pixel_nm)


def test_a_field_of_half_a_pixel_more_is_imaged(tmp_path):
    config = sized(**{"imaging.region_size_um": 4.25, "images": 1})
    config = config.updated({"parameters": [{"name": "frames", "values": [1]}]})
    with open_session(
        config, connect_application(config), tmp_path / "cat", run_engine=engine()
    ) as session:
        session.run_engine(session.optimize())
        assert session.station.microscope.images.sted[0].shape == (213, 213)


def test_what_is_imaged_in_the_middle_of_a_place_has_foreground():
    overview = np.zeros((100, 100), np.int16)
    overview[:, 10:20] = 50  # a stripe at the border of tiles of 4 µm
    whole = lay_regions(overview, 100.0, 4.0, 0.1)
    assert {r.x_um for r in whole} == {-2.0}
    assert lay_regions(overview, 100.0, 4.0, 0.1, imaged_um=1.0) == []
    overview[:, 25:35] = 50  # and one in their middle
    assert lay_regions(overview, 100.0, 4.0, 0.1, imaged_um=1.0) == whole
    layout = tiles_of(sized())
    assert (layout.size_um, layout.imaged_um) == (1.92, 0.96)


def test_a_scan_beyond_memory_is_refused():
    says = (
        r"parameters\.2\.values \(frames\) = 100: at most 8 of 4000 × 4000 pixels, "
        "134,217,728 pixels in a scan"
    )
    sizes = [
        {"name": "pixel_size_nm", "values": [5.0, 10.0]},
        {"name": "region_size_um", "values": [1.0, 20.0]},
    ]
    frames = {"name": "frames", "values": [1, 100]}
    with pytest.raises(ConfigError, match=says):
        sized(**{"imaging.region_size_um": 20.0, "parameters": [*sizes, frames]})


def test_a_grid_of_too_many_sizes_is_refused_at_once():
    sizes = [
        {"name": "pixel_size_nm", "low": 10.0, "high": 20.0, "points": 100_000},
        {"name": "region_size_um", "low": 1.0, "high": 1.9, "points": 100_000},
    ]
    with pytest.raises(ConfigError, match="the grid has 10,000,000,000 configurations"):
        sized(parameters=sizes)


def test_earlier_light_is_that_of_the_size_that_was_imaged(run):
    """A run that is gone on with refuses no region that one in a piece would have imaged."""
    _, record, _ = run
    chain = RunChain((record,))
    events = record.events("primary")
    for (place_um, lit_um, dose_mJ), event in zip(light_of(chain), events, strict=True):
        data = event["data"]
        assert place_um == (data["region_x_um"], data["region_y_um"])
        assert lit_um == data["region_size_um"]
        assert dose_mJ > 0
    assert {lit_um for _, lit_um, _ in light_of(chain)} == {0.96, 1.92}
    # Of a session whose positions count from elsewhere.
    origin_um = stage_origin_of(record)
    moved = light_of(chain, (origin_um[0] + 10.0, origin_um[1] - 1.0))
    for (moved_um, *_), (place_um, *_) in zip(moved, light_of(chain), strict=True):
        assert moved_um == pytest.approx((place_um[0] - 10.0, place_um[1] + 1.0))


def test_images_of_several_pixel_sizes_are_no_dataset(run):
    _, record, _ = run
    with pytest.raises(CatalogError, match=r"have pixels of 20, 40 nm: of one size are needed"):
        rated_images_of([record], "snr")
