import contextlib
import io
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from stedopt_bluesky.web.payloads import (
    PayloadError,
    images_of,
    matrix,
    npy_bytes,
    options_of,
    read_json,
    read_npy,
    real_dtype,
)

DTYPES = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
DTYPES += ("float16", "float32", "float64")
ARRAYS = st.sampled_from(DTYPES).flatmap(
    lambda dtype: hnp.arrays(
        dtype,
        hnp.array_shapes(min_dims=2, max_dims=2, max_side=5),
        elements=hnp.from_dtype(np.dtype(dtype), allow_nan=False, allow_infinity=False),
    )
)


@given(ARRAYS)
def test_a_matrix_comes_through_json_as_it_was(array):
    lists = json.loads(json.dumps(array.tolist()))
    found = matrix(lists, str(array.dtype), "img")
    assert found.dtype == array.dtype
    np.testing.assert_array_equal(found, array)


@given(ARRAYS, st.booleans())
def test_a_npy_file_comes_through_as_it_was(array, fortran):
    stream = io.BytesIO()
    np.save(stream, np.asfortranarray(array) if fortran else array)
    found = read_npy(stream.getvalue())
    assert found.dtype == array.dtype
    np.testing.assert_array_equal(found, array)
    np.testing.assert_array_equal(read_npy(npy_bytes(array)), array)


@given(st.binary(max_size=300))
def test_any_bytes_are_refused_or_an_array(data):
    for start in (b"", b"\x93NUMPY\x01\x00\x46\x00"):
        with contextlib.suppress(PayloadError):
            assert read_npy(start + data).dtype.kind in "iuf"


def npy(header, data=b""):
    text = header.encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + data


def pickled():
    stream = io.BytesIO()
    np.save(stream, np.array([{}], dtype=object), allow_pickle=True)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "no .npy file"),
        (b"PK\x03\x04", "no .npy file"),
        (pickled(), "holds object"),
        (npy("{'descr': '<c8', 'fortran_order': False, 'shape': (0,)}"), "holds complex64"),
        (npy("{'descr': '<f16', 'fortran_order': False, 'shape': (0,)}"), "holds float128"),
        (npy("{'descr': '|b1', 'fortran_order': False, 'shape': (0,)}"), "holds bool"),
        (npy("{'descr': '<f4', 'fortran_order': False, 'shape': (10**9,)}"), "no .npy file"),
        (npy("{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000,)}"), "0 bytes"),
        (npy("{'descr': '<f4', 'fortran_order': False, 'shape': (-1, -1)}", b"0000"), "at least 0"),
        (npy("{'descr': '<f4', 'fortran_order': False, 'shape': (2,)}", b"0000"), "4 bytes"),
        (npy("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,)}", b"0000"), "holds"),
        (npy("__import__('os').abort()"), "no .npy file"),
        (b"\x93NUMPY\x09\x00" + npy("{}")[8:], "no .npy file"),
    ],
)
def test_a_npy_file_that_is_none_is_refused(body, message):
    with pytest.raises(PayloadError, match=message):
        read_npy(body)


@pytest.mark.parametrize(
    ("values", "dtype", "message"),
    [
        (None, "int16", "a list of lists"),
        ([], "object", "type 'object'"),
        ([1, 2], "int16", "a list of lists"),
        ([[1], [1, 2]], "int16", "all rows must have as many numbers, got 1 to 2"),
        ([[1, "2"]], "int16", "a JSON text is no number"),
        ([[1, None]], "int16", "a JSON null is no number"),
        ([[1, False]], "int16", "a JSON true or false is no number"),
        ([[[1]]], "int16", "a JSON list is no number"),
        ([[{}]], "int16", "a JSON object is no number"),
        ([[40000]], "int16", "does not fit int16"),
        ([[-1]], "uint8", "does not fit uint8"),
        ([[2**63]], "int64", "does not fit int64"),
        ([[2**64]], "uint64", "does not fit uint64"),
        ([[2.0**63]], "int64", "does not fit int64"),
        ([[10**400, 1.5]], "float64", "does not fit float64"),
        ([[1.5]], "int16", "is not whole"),
        ([[1e300]], "float32", "does not fit float32"),
        ([[1]], "complex64", "type 'complex64'"),
        ([[1]], "float128", "type 'float128'"),
        ([[1]], "bool", "type 'bool'"),
        ([[1]], "f4,f4", "type 'f4,f4'"),
        ([[1]], "M8[s]", "type 'M8"),
        ([[1]], "nonsense", "type 'nonsense'"),
        ([[1]], "f4" * 100, "the type must be text"),
        ([[1]], 5, "the type must be text"),
        ([[1]], None, "the type must be text"),
    ],
)
def test_a_matrix_that_is_none_is_refused(values, dtype, message):
    with pytest.raises(PayloadError, match=message):
        matrix(values, dtype, "img")


@given(st.text(max_size=20))
def test_any_name_of_a_type_is_refused_or_real(name):
    with contextlib.suppress(PayloadError):
        assert real_dtype(name).kind in "iuf"


@pytest.mark.parametrize("shape", [(0, 0), (3, 0)])
def test_an_empty_matrix_keeps_its_shape(shape):
    assert matrix(np.zeros(shape).tolist(), "float32", "img").shape == shape


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "no JSON"),
        (b"{", "no JSON"),
        (b"\xff\xfe", "no JSON"),
        (b"[1]", "a JSON list, an object is needed"),
        (b"true", "a JSON true or false"),
        (b'{"a": NaN}', "holds NaN"),
        (b'{"a": -Infinity}', "holds -Infinity"),
        (b"[" * 200_000, "nested too deep"),
        (b'{"a": ' + b"1" * 10_000 + b"}", "no JSON"),
    ],
)
def test_json_that_is_no_object_is_refused(body, message):
    with pytest.raises(PayloadError, match=message):
        read_json(body)


def test_images_of_an_array():
    assert [i.shape for i in images_of(np.zeros((4, 5)))] == [(4, 5)]
    assert [i.shape for i in images_of(np.zeros((2, 4, 5)))] == [(4, 5)] * 2
    assert images_of(np.zeros((0, 4, 5))) == []
    for shape in [(), (5,), (1, 2, 3, 4)]:
        with pytest.raises(PayloadError, match="or \\(N, Y, X\\)"):
            images_of(np.zeros(shape))
    with pytest.raises(PayloadError, match="1025 images: at most 1024"):
        images_of(np.zeros((1025, 0, 0)))


def test_options_of_an_array():
    names = ("quality", "photobleaching")
    np.testing.assert_array_equal(options_of(np.array([[1, 2]]), names), [[1.0, 2.0]])
    assert np.isnan(options_of(np.array([[np.nan, 0.5]]), names)[0, 0])
    for array, message in [
        (np.zeros((3, 3)), "2 columns quality, photobleaching"),
        (np.zeros(2), "2 columns"),
        (np.zeros((0, 2)), "0 options: 1 to"),
        (np.zeros((2**20 + 1, 2), np.int8), "1048577 options"),
        (np.array([[np.inf, 0]]), "infinite"),
    ]:
        with pytest.raises(PayloadError, match=message):
            options_of(array, names)
