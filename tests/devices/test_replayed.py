from dataclasses import dataclass

from stedopt_bluesky.devices.replayed import ReplayedImage


@dataclass
class Given:
    source: str = "abc"
    number: int = 4
    distance: int = 2
    same_place: bool = True
    use: int = 1


def test_what_was_given_is_read_each_time():
    given = Given()
    device = ReplayedImage(given=lambda: given, name="replayed")
    values = {key: reading["value"] for key, reading in device.read().items()}
    assert values == {
        "replayed_run": "abc",
        "replayed_seq_num": 4,
        "replayed_distance_steps": 2,
        "replayed_same_place": 1,
        "replayed_use": 1,
    }
    given = Given(source="def", number=5)
    assert device.read()["replayed_run"]["value"] == "def"
    assert set(device.describe()) == set(values)
    assert device.describe()["replayed_distance_steps"]["units"] == "steps"
    assert device.describe()["replayed_run"]["dtype"] == "string"
