import numpy as np
import pytest

from stedopt_bluesky.records.field_images import Channel, FieldImages

IMAGE = np.ones((20, 30), np.int16)


def field(*channels):
    return FieldImages("a", channels, 100.0, 5.0, -1.0, 0.0, {}, {})


def test_the_corner_is_half_a_field_away_from_the_centre():
    assert field(Channel("a", IMAGE, {})).corner_um == pytest.approx((3.5, -2.0))


@pytest.mark.parametrize(
    ("settings", "exposure_s"),
    [({}, None), ({"dwelltime_us": 10.0}, 6e-3), ({"dwelltime_us": 10.0, "line_steps": 3}, 18e-3)],
)
def test_the_exposure_is_that_of_all_pixels(settings, exposure_s):
    assert Channel("a", IMAGE, settings).exposure_s == pytest.approx(exposure_s)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.ones(3, np.int16), "expected a 2-D image or frames"),
        (np.ones((1, 2, 3, 4), np.int16), "expected a 2-D image or frames"),
        (np.ones((0, 3), np.int16), "expected a 2-D image"),
        (np.ones((3, 3), bool), "holds bool; allowed are uint8, "),
        (np.ones((3, 3), np.int64), "holds int64"),
    ],
)
def test_an_image_that_no_format_can_hold_is_refused(image, message):
    with pytest.raises(ValueError, match=f"sted1: {message}"):
        Channel("sted1", image, {})


def test_frames_have_a_time_and_a_corner():
    frames = Channel("calcium", np.ones((7, 20, 30), np.int16), {"dwelltime_us": 10.0})
    series = FieldImages("a", [frames], 100.0, 5.0, -1.0, 0.0, {}, {}, frame_s=0.25)
    assert series.frames == 7
    assert series.corner_um == pytest.approx((3.5, -2.0))
    assert frames.exposure_s == pytest.approx(6e-3)  # of one of them
    assert series.facts["frame_s"] == 0.25
    assert field(Channel("a", IMAGE, {})).frames is None
    with pytest.raises(ValueError, match="frames and the time between them go together"):
        field(frames)
    with pytest.raises(ValueError, match="frames and the time between them go together"):
        FieldImages("a", [Channel("a", IMAGE, {})], 1.0, 0.0, 0.0, 0.0, {}, {}, frame_s=0.25)


def test_images_of_one_field_have_one_shape():
    with pytest.raises(ValueError, match="expected images of one shape"):
        field(Channel("a", IMAGE, {}), Channel("b", IMAGE.T, {}))
    with pytest.raises(ValueError, match="expected images of one shape"):
        field()
