"""Patches of images: pixel by pixel, and what does not fit. Against convolutions in test_*_blocks.py."""

import re

import numpy as np
import pytest

FRAMEWORK = "each"
RNG = np.random.default_rng(0)


def by_hand(images, size):
    """One patch after another, one pixel after another."""
    batch, height, width, _ = images.shape
    rows = []
    for b in range(batch):
        for top in range(0, height, size):
            for left in range(0, width, size):
                pixels = [images[b, top + i, left + j] for i in range(size) for j in range(size)]
                rows.append(np.concatenate(pixels))
    return np.array(rows).reshape(batch, -1, len(rows[0]))


@pytest.mark.parametrize("size, shape", [(2, (3, 4, 10, 5)), (3, (2, 9, 3, 1)), (1, (2, 2, 3, 4)), (5, (1, 5, 5, 2))])
def test_patches_pixel_by_pixel(fw, size, shape):
    images = RNG.normal(size=shape)
    expected = by_hand(images, size)
    np.testing.assert_array_equal(fw.numpy(fw.attn.image_patches(fw.array(images), size)), expected)
    np.testing.assert_array_equal(fw.numpy(fw.attn.image_patches(fw.array(images[0]), size)), expected[0])
    film = np.stack([images, -images])
    np.testing.assert_array_equal(fw.numpy(fw.attn.image_patches(fw.array(film), size)), [expected, -expected])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_embedding_with_gradients(fw, dtype):
    keras = {"dtype": np.dtype(dtype).name} if fw.name == "tensorflow" else {}
    layer = fw.attn.PatchEmbedding(2, 3, 7, **keras)
    layer = layer.to(getattr(fw.torch, np.dtype(dtype).name)) if fw.name == "torch" else layer
    images, weight, bias = (RNG.normal(size=s).astype(dtype) for s in ((2, 4, 6, 3), (12, 7), (7,)))
    fw.set_parameters(layer, {"w_patch": weight, "b_patch": bias})
    got = fw.numpy(layer(fw.array(images)))
    assert got.dtype == dtype
    patches = by_hand(images, 2)
    np.testing.assert_allclose(got, patches @ weight + bias, rtol=1e-4, atol=1e-5)
    if dtype == np.float64:
        grad = RNG.normal(size=got.shape)
        (of_images,), (of_weight, of_bias) = fw.layer_gradients(layer, [images], ["w_patch", "b_patch"], grad, {})
        np.testing.assert_allclose(by_hand(of_images, 2), grad @ weight.T, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(of_weight, np.einsum("bni,bnj->ij", patches, grad), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(of_bias, grad.sum((0, 1)), rtol=1e-5, atol=1e-6)


def test_a_seed_fixes_the_initial_weight(fw):
    images = fw.array(RNG.normal(size=(2, 4, 6, 3)).astype(np.float32))
    one, again, other = (fw.numpy(fw.attn.PatchEmbedding(2, 3, 7, seed=seed)(images)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert not np.allclose(one, other)


IMAGES = np.zeros((2, 4, 6, 3), np.float32)


@pytest.mark.parametrize(
    "sizes, images, message",
    [
        ((0, 3, 7), IMAGES, "patch_size must be an integer of at least 1, got 0"),
        ((2, 3.0, 7), IMAGES, "channels must be an integer of at least 1, got 3.0"),
        ((2, 3, -1), IMAGES, "d_model must be an integer of at least 1, got -1"),
        ((4, 3, 7), IMAGES, "images must have a height and a width that patch_size 4 divides, got shape [2, 4, 6, 3]"),
        ((3, 3, 7), IMAGES, "images must have a height and a width that patch_size 3 divides, got shape [2, 4, 6, 3]"),
        ((2, 1, 7), IMAGES, "images must have 1 channels on the last axis, got shape [2, 4, 6, 3]"),
        ((2, 3, 7), IMAGES[0], "images must be [batch, ..., height, width, channels], got shape [4, 6, 3]"),
        ((2, 3, 7), IMAGES[0, 0], "images must be [..., height, width, channels], none of it empty, got shape [6, 3]"),
        ((2, 3, 7), IMAGES[:0], "images must be [..., height, width, channels], none of it empty, got shape [0, 4, 6,"),
        ((2, 3, 7), IMAGES.astype(np.uint8), "images must be floating point, got uint8"),
    ],
)
def test_what_does_not_fit(fw, sizes, images, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        fw.attn.PatchEmbedding(*sizes)(fw.array(images))


def test_another_precision_than_the_layers(fw):
    if fw.name == "tensorflow":
        pytest.skip("Keras casts what it is given to the layer's own precision")
    with pytest.raises(ValueError, match="images and w_patch must have the same dtype, got images float64, w_patch fl"):
        fw.attn.PatchEmbedding(2, 3, 7)(fw.array(IMAGES.astype(np.float64)))


def test_what_the_function_asks_for(fw):
    with pytest.raises(ValueError, match="patch_size must be an integer of at least 1, got True"):
        fw.attn.image_patches(fw.array(IMAGES), True)
    with pytest.raises(ValueError, match="images must have a height and a width that patch_size 5 divides"):
        fw.attn.image_patches(fw.array(IMAGES), 5)
