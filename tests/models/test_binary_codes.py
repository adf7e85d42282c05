"""Codes against plain Python: packing, padding, Hamming and soft distance."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dhhcli.models.binary_codes import WIDTHS, binarise, code_bytes, hamming, pack, soft_distance, unpack

bit_arrays = st.tuples(st.integers(0, 9), st.integers(1, 512)).flatmap(lambda shape: hnp.arrays(bool, shape))


@given(bit_arrays)
def test_unpack_inverts_pack(bits: np.ndarray) -> None:
    codes = pack(bits)
    assert codes.dtype == np.uint8
    assert codes.shape == (len(bits), code_bytes(bits.shape[1]))
    assert (unpack(codes, bits.shape[1]) == bits).all()


@given(bit_arrays)
def test_padding_is_zero_and_bit_order_is_little(bits: np.ndarray) -> None:
    for row, code in zip(bits, pack(bits), strict=True):
        assert int.from_bytes(code.tobytes(), "little") == sum(1 << k for k, bit in enumerate(row) if bit)


@pytest.mark.parametrize(("K", "width"), [(1, 4), (32, 4), (33, 8), (48, 8), (64, 8), (65, 16), (257, 64), (512, 64)])
def test_code_bytes(K: int, width: int) -> None:
    assert code_bytes(K) == width


@pytest.mark.parametrize("K", [-1, 0, 513])
def test_code_bytes_refuses(K: int) -> None:
    with pytest.raises(ValueError, match="1 to 512 bits"):
        code_bytes(K)


def test_unpack_refuses_another_width() -> None:
    with pytest.raises(ValueError, match=r"\(n, 8\)"):
        unpack(np.zeros((3, 4), np.uint8), 48)


def test_binarise_is_one_from_a_half() -> None:
    soft = np.array([[0.0, np.nextafter(np.float32(0.5), np.float32(0)), 0.5, 1.0]], np.float32)
    assert binarise(soft).tolist() == [[False, False, True, True]]


@pytest.mark.parametrize("width", WIDTHS)
def test_hamming_is_what_a_loop_counts(width: int) -> None:
    rng = np.random.default_rng(width)
    a = rng.integers(0, 256, (4, width), dtype=np.uint8)
    b = rng.integers(0, 256, (2 * 5, width), dtype=np.uint8)[::2]  # not contiguous
    expected = [
        [sum((int(x) ^ int(y)).bit_count() for x, y in zip(row, other, strict=True)) for other in b] for row in a
    ]
    distances = hamming(a, b)
    assert distances.dtype == np.int32
    assert distances.tolist() == expected


def test_hamming_refuses_different_widths() -> None:
    with pytest.raises(ValueError, match="one width"):
        hamming(np.zeros((1, 8), np.uint8), np.zeros((1, 4), np.uint8))


def test_soft_distance_is_what_a_loop_sums_and_hamming_at_the_corners() -> None:
    rng = np.random.default_rng(0)
    soft, bits = rng.random(48, dtype=np.float32), rng.random((20, 48)) < 0.5
    expected = [sum(abs(float(q) - float(b)) for q, b in zip(soft, row, strict=True)) for row in bits]
    assert soft_distance(soft, bits) == pytest.approx(expected, rel=1e-6)
    corner = binarise(soft[None])
    assert (soft_distance(corner[0].astype(np.float32), bits) == hamming(pack(corner), pack(bits))[0]).all()
