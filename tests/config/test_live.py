import pytest

from stedopt_bluesky.config import ConfigError, preset
from stedopt_bluesky.config.live import loopback_port


@pytest.mark.parametrize("address", ["5577", ":5577", "localhost:5577", "tcp://127.0.0.1:5577"])
def test_an_address_of_this_computer_is_written_in_one_way(address):
    assert preset().updated({"live.address": address}).live.address == "127.0.0.1:5577"


def test_documents_are_published_at_a_free_port_unless_told_otherwise():
    assert preset().live.publish
    assert loopback_port(preset().live.address) == 0


@pytest.mark.parametrize("address", ["", "0.0.0.0:5577", "microscope:5577", "127.0.0.1:70000"])
def test_other_addresses_are_refused_in_one_line(address):
    with pytest.raises(ConfigError, match=r"live\.address = '.*127\.0\.0\.1:PORT") as refused:
        preset().updated({"live.address": address})
    assert "\n" not in str(refused.value)
