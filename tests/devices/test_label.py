"""Which decision an image belongs to: whole numbers in its Event."""

import pytest
from bluesky import plan_stubs as bps
from ophyd.utils import LimitError

from stedopt_bluesky.devices.label import ImageLabel


def test_the_label_is_read_into_the_event(run_engine, documents):
    label = ImageLabel(name="image")

    def plan():
        yield from bps.open_run()
        for iteration, index in [(0, 17), (1, 3)]:
            yield from bps.mv(label.iteration, iteration, label.configuration_index, index)
            yield from bps.trigger_and_read([label])
        yield from bps.close_run()

    run_engine(plan())
    events = [doc["data"] for name, doc in documents if name == "event"]
    assert events == [
        {"image_iteration": 0, "image_configuration_index": 17},
        {"image_iteration": 1, "image_configuration_index": 3},
    ]
    assert all(type(value) is int for event in events for value in event.values())


@pytest.mark.parametrize("value", [-1, 0.5, "1"])
def test_what_counts_is_a_whole_number_from_0(value):
    with pytest.raises(LimitError, match=r"image_iteration = .*: a whole number from 0 to inf"):
        ImageLabel(name="image").iteration.set(value)
