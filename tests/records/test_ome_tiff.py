"""OME-TIFFs, read by tifffile and, without its OME parser, by Pillow and as plain XML."""

import xml.etree.ElementTree as ET

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from stedopt_bluesky.records.field_images import DTYPES, Channel, FieldImages
from stedopt_bluesky.records.ome_tiff import write_ome_tiff

STED = {
    "excitation_power_uW": 10.0,
    "excitation_wavelength_nm": 640,
    "depletion_power_mW": 150.0,
    "dwelltime_us": 10.0,
    "line_steps": 3,
}
CONFOCAL = {"excitation_power_uW": 5.0, "excitation_wavelength_nm": 640, "dwelltime_us": 20.0}


def region(*, uid="1f0c", operator="Zoë <&> µ"):
    rng = np.random.default_rng(0)
    settings = {"confocal1": CONFOCAL, "sted1": STED, "confocal2": CONFOCAL}
    return FieldImages(
        "1f0c-0001-region",
        [Channel(n, rng.poisson(9, (30, 40)).astype(np.int16), s) for n, s in settings.items()],
        pixel_size_nm=25.0,
        x_um=3.0,
        y_um=-2.0,
        time=1.7e9,
        run={"uid": uid, "operator": operator},
        region={"number": 1, "objectives": {"resolution_nm": 61.5, "snr": None}},
    )


@pytest.fixture
def written(tmp_path):
    path = tmp_path / "a.ome.tif"
    write_ome_tiff(path, region())
    return path


def xml(path):
    with tifffile.TiffFile(path) as tiff:
        return ET.fromstring(tiff.pages[0].description)  # noqa: S314


def annotations(path):
    return {
        a.findtext("{*}Description"): {m.get("K"): m.text for m in a.findall("{*}Value/{*}M")}
        for a in xml(path).findall("{*}StructuredAnnotations/{*}MapAnnotation")
    }


def test_channels_are_read_by_tifffile(written):
    with tifffile.TiffFile(written) as tiff:
        (series,) = tiff.series
        assert (series.axes, series.name) == ("CYX", "1f0c-0001-region")
        found = series.asarray()
    assert found.dtype == np.int16
    np.testing.assert_array_equal(found, [c.image for c in region().channels])


def test_frames_are_a_series_in_time(tmp_path):
    frames = np.random.default_rng(0).poisson(9, (6, 30, 40)).astype(np.int16)
    images = FieldImages(
        "1f0c-0001-calcium",
        [Channel("calcium", frames, {"dwelltime_us": 10.0})],
        pixel_size_nm=25.0,
        x_um=3.0,
        y_um=-2.0,
        time=1.7e9,
        run={},
        region={"pulse_after_frame": 2},
        frame_s=0.25,
    )
    path = tmp_path / "a.ome.tif"
    write_ome_tiff(path, images)
    with tifffile.TiffFile(path) as tiff:
        assert tiff.series[0].axes == "TYX"
        np.testing.assert_array_equal(tiff.series[0].asarray(), frames)
    (pixels,) = xml(path).findall("{*}Image/{*}Pixels")
    assert (pixels.get("SizeT"), pixels.get("SizeC")) == ("6", "1")
    assert (pixels.get("TimeIncrement"), pixels.get("TimeIncrementUnit")) == ("0.25", "s")
    planes = pixels.findall("{*}Plane")
    assert [plane.get("TheT") for plane in planes] == [str(t) for t in range(6)]
    exposures_s = [float(plane.get("ExposureTime")) for plane in planes]
    assert exposures_s == pytest.approx([30 * 40 * 10e-6] * 6)
    assert annotations(path)["region"]["pulse_after_frame"] == "2"


def test_pages_and_resolution_are_read_by_pillow(written):
    with Image.open(written) as picture:
        assert picture.n_frames == 3
        for number, channel in enumerate(region().channels):
            picture.seek(number)
            np.testing.assert_array_equal(np.asarray(picture), channel.image)
        per_cm = float(picture.tag_v2[282])
    assert 1e7 / per_cm == pytest.approx(25.0)


def test_what_ome_has_a_place_for(written):
    image = xml(written).find("{*}Image")
    pixels = image.find("{*}Pixels")
    channels, planes = pixels.findall("{*}Channel"), pixels.findall("{*}Plane")

    assert image.findtext("{*}AcquisitionDate") == "2023-11-14T22:13:20Z"
    for axis in "XY":
        assert float(pixels.get(f"PhysicalSize{axis}")) == 0.025
        assert pixels.get(f"PhysicalSize{axis}Unit") == "µm"
    assert [c.get("Name") for c in channels] == ["confocal1", "sted1", "confocal2"]
    assert [c.get("AcquisitionMode") == "STED" for c in channels] == [False, True, False]
    assert {c.get("ExcitationWavelength") for c in channels} == {"640"}
    # 1200 pixels: 20 µs once, 10 µs three times.
    exposures = [float(p.get("ExposureTime")) for p in planes]
    assert exposures == pytest.approx([0.024, 0.036, 0.024])
    for plane in planes:  # the corner: 40 × 30 pixels of 25 nm around (3, -2) µm
        assert float(plane.get("PositionX")) == pytest.approx(2.5)
        assert float(plane.get("PositionY")) == pytest.approx(-2.375)


def test_everything_else_is_in_annotations_of_the_image(written):
    found = annotations(written)
    assert found["run"] == {"uid": "1f0c", "operator": "Zoë <&> µ"}
    assert found["region"] == {"number": "1", "centre_x_um": "3.0", "centre_y_um": "-2.0"}
    assert found["objectives"] == {"resolution_nm": "61.5", "snr": "invalid"}
    assert found["sted1"] == {k: str(v) for k, v in STED.items()}
    references = xml(written).findall("{*}Image/{*}AnnotationRef")
    ids = [a.get("ID") for a in xml(written).find("{*}StructuredAnnotations")]
    assert [reference.get("ID") for reference in references] == ids


def test_settings_that_are_not_known_are_left_out(tmp_path):
    channel = Channel("overview", np.ones((3, 3), np.int16), {})
    path = tmp_path / "a.ome.tif"
    write_ome_tiff(path, FieldImages("a", [channel], 160.0, 0.0, 0.0, 0.0, {"uid": "x"}, {}))
    pixels = xml(path).find("{*}Image/{*}Pixels")
    assert pixels.find("{*}Plane").get("ExposureTime") is None
    assert pixels.find("{*}Channel").get("ExcitationWavelength") is None
    assert set(annotations(path)) == {"run", "region"}


def test_the_same_images_give_the_same_file(tmp_path, written):
    write_ome_tiff(tmp_path / "b.ome.tif", region())
    assert (tmp_path / "b.ome.tif").read_bytes() == written.read_bytes()
    write_ome_tiff(tmp_path / "c.ome.tif", region(uid="another"))
    assert xml(tmp_path / "c.ome.tif").get("UUID") != xml(written).get("UUID")


@given(st.text(max_size=20))
def test_any_text_leaves_the_metadata_readable(tmp_path_factory, operator):
    path = tmp_path_factory.getbasetemp() / "text.ome.tif"
    write_ome_tiff(path, region(operator=operator))
    assert annotations(path)["run"]["uid"] == "1f0c"


images = st.tuples(hnp.array_shapes(min_dims=2, max_dims=2, max_side=9), st.sampled_from(DTYPES))
images = images.flatmap(lambda kind: st.lists(hnp.arrays(kind[1], kind[0]), min_size=1, max_size=4))


@given(images)
def test_any_image_is_read_as_it_was(tmp_path_factory, arrays):
    path = tmp_path_factory.getbasetemp() / "any.ome.tif"
    channels = [Channel(f"sted{i}", array, {}) for i, array in enumerate(arrays)]
    write_ome_tiff(path, FieldImages("a", channels, 20.0, 0.0, 0.0, 0.0, {}, {}))
    found = tifffile.imread(path).reshape(len(arrays), *arrays[0].shape)
    assert found.dtype == arrays[0].dtype
    np.testing.assert_array_equal(found, arrays)
