"""Masks by hand, and what they mean: True may attend, the last query is aligned to the last key, & combines."""

import numpy as np
import pytest

FRAMEWORK = "each"
T, F = True, False


def test_causal(fw):
    np.testing.assert_array_equal(fw.numpy(fw.attn.causal_mask(3)), [[T, F, F], [T, T, F], [T, T, T]])


def test_causal_aligns_the_last_query_to_the_last_key(fw):
    np.testing.assert_array_equal(fw.numpy(fw.attn.causal_mask(2, 4)), [[T, T, T, F], [T, T, T, T]])
    np.testing.assert_array_equal(fw.numpy(fw.attn.causal_mask(1, 4)), [[T, T, T, T]])
    np.testing.assert_array_equal(fw.numpy(fw.attn.causal_mask(3, 2)), [[F, F], [T, F], [T, T]])


def test_padding(fw):
    mask = fw.numpy(fw.attn.padding_mask(fw.array(np.array([2, 0, 3])), 3))
    np.testing.assert_array_equal(mask, [[[T, T, F]], [[F, F, F]], [[T, T, T]]])
    assert mask.dtype == bool


@pytest.mark.parametrize("dtype", ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"])
def test_lengths_are_integers_of_any_kind(fw, dtype):
    if fw.name == "torch" and dtype in ("uint16", "uint32", "uint64"):
        pytest.skip("PyTorch has these types and does not compare them")
    mask = fw.attn.padding_mask(fw.array(np.array([2, 0, 3], dtype)), 3)
    np.testing.assert_array_equal(fw.numpy(mask), [[[T, T, F]], [[F, F, F]], [[T, T, T]]])


def test_padding_keeps_leading_axes(fw):
    mask = fw.numpy(fw.attn.padding_mask(fw.array(np.array([[2], [1]], dtype=np.int32)), 5))
    assert mask.shape == (2, 1, 1, 5)
    np.testing.assert_array_equal(mask[1, 0, 0], [T, F, F, F, F])


def test_masks_combine(fw):
    both = fw.attn.causal_mask(3) & fw.attn.padding_mask(fw.array(np.array([2])), 3)
    np.testing.assert_array_equal(fw.numpy(both), [[[T, F, F], [T, T, F], [T, T, F]]])
