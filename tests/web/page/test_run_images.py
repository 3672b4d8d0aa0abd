"""The last images of a run under way, by name."""

import numpy as np

from stedopt_bluesky.acquisition import ImageSet
from stedopt_bluesky.web.page.run_images import KeptImages, by_name, scales_of, titles_of
from tests.records.lookers import run_documents


def image_set(value, **channels):
    image = np.full((2, 2), value, np.int16)
    return ImageSet(
        confocal1=image, sted=(image + 1, image + 2), confocal2=image + 3, pixel_size_nm=20.0,
        dwelltime_us=10.0, line_steps=1, frames=1, excitation_power_uW=10.0,
        depletion_power_mW=10.0, channels=channels,
    )  # fmt: skip


def test_pictures_by_name_and_those_of_channels_last():
    found = by_name(image_set(0, orange=image_set(10)))
    assert {name: int(image[0, 0]) for name, image in found.items()} == {
        "confocal1": 0, "sted1": 1, "confocal2": 3,
        "orange_confocal1": 10, "orange_sted1": 11, "orange_confocal2": 13,
    }  # fmt: skip


def test_confocal_images_of_a_channel_have_one_scale():
    found = by_name(image_set(20, orange=image_set(50)))
    assert titles_of(found)["orange_sted1"] == "orange STED"
    assert titles_of(found)["confocal2"] == "confocal 2"
    assert scales_of(found) == {
        "confocal1": 23, "sted1": 21, "confocal2": 23,
        "orange_confocal1": 53, "orange_sted1": 51, "orange_confocal2": 53,
    }  # fmt: skip


def test_the_last_are_kept_and_a_new_run_begins_anew():
    taken = []
    kept = KeptImages(lambda: taken[-1] if taken else None, most=2)
    for name, doc in run_documents(3):
        if name == "event":
            taken.append(image_set(doc["seq_num"]))
        kept(name, doc)
        kept("event", {"descriptor": "another stream's", "seq_num": 7, "data": {}})
    assert kept.of(1) is None
    assert [int(kept.of(n)["confocal1"][0, 0]) for n in (2, 3)] == [2, 3]
    assert kept.of(7) is None
    kept("start", {"uid": "next"})
    assert kept.of(3) is None


def test_an_event_without_images_keeps_none():
    kept = KeptImages(lambda: None)
    for name, doc in run_documents(1):
        kept(name, doc)
    assert kept.of(1) is None
