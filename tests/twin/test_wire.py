import socket

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from stedopt_bluesky.config.checks import MOST_PIXELS_OF_A_SCAN
from stedopt_bluesky.twin.wire import MAX_BYTES, Wire, WireError, described, rebuilt

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(value=json_values, data=st.binary(max_size=100))
def test_what_is_sent_is_received(value, data):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        sender = Wire(socket.create_connection(listener.getsockname()))
        receiver = Wire(listener.accept()[0])
    sender.send({"value": value}, data)
    message, received = receiver.receive()
    assert message["value"] == value
    assert received == data
    sender.close()
    with pytest.raises(WireError, match="closed"):
        receiver.receive()
    receiver.close()


@given(
    array=hnp.arrays(
        st.sampled_from([np.int16, np.uint8, np.float64, ">i4"]),
        hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5),
    )
)
def test_an_array_comes_back_bit_for_bit(array):
    back = rebuilt(*described(array))
    assert back.dtype == array.dtype
    assert back.shape == array.shape
    assert back.tobytes() == array.tobytes()


@pytest.mark.parametrize(
    ("description", "data"),
    [
        (None, b""),
        ({}, b""),
        ({"dtype": "O", "shape": [1]}, b"\0" * 8),
        ({"dtype": "V8", "shape": [1]}, b"\0" * 8),
        ({"dtype": "nothing", "shape": [1]}, b"\0" * 8),
        ({"dtype": "<i2", "shape": [3]}, b"\0" * 4),
        ({"dtype": "<i2", "shape": "3"}, b"\0" * 6),
        ({"dtype": "<i2", "shape": [1]}, b"\0"),
    ],
)
def test_what_is_no_array_is_refused(description, data):
    with pytest.raises(WireError):
        rebuilt(description, data)


def test_the_largest_stack_can_be_sent():
    assert MAX_BYTES >= 2 * 4000**2


def test_the_largest_scan_of_a_configuration_can_be_sent():
    """Counts are of 16 bits; the two rooms do not know one another."""
    assert MOST_PIXELS_OF_A_SCAN * np.dtype(np.int16).itemsize == MAX_BYTES
