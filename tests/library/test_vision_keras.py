"""The vision transformer in Keras: the specification's numbers, whole-pixel moves, batches that are complete."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import attnlib.numpy as spec
from attnlib.models import vision_keras as vision

FRAMEWORK = "tensorflow"
SIZES = {"size": 6, "channels": 3, "classes": 5, "patch_size": 2, "d_model": 8, "num_heads": 2, "d_hidden": 7}


@pytest.fixture(autouse=True)
def double_precision():
    before = keras.config.floatx(), keras.config.dtype_policy()
    keras.config.set_floatx("float64")  # of what goes in
    keras.config.set_dtype_policy("float64")  # of the layers
    yield
    keras.config.set_floatx(before[0])
    keras.config.set_dtype_policy(before[1])


def make(**options):
    """A model of which no weight is zero, where a mistake could hide."""
    model, rng = vision.vision_transformer(**SIZES, mean=0.25, variance=0.5, **options), np.random.default_rng(0)
    model.set_weights([w + 0.3 * rng.normal(size=w.shape) for w in model.get_weights()])
    return model


def pictures(count=4):
    return np.random.default_rng(1).normal(size=(count, 6, 6, 3))


def norm(x, gamma, beta):
    centred = x - x.mean(axis=-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + 1e-5) * gamma + beta


def test_the_specification_gives_the_same_scores_and_weights():
    model = make()
    at = {layer.name: [w.numpy() for w in layer.weights] for layer in model.layers}
    x = (pictures() - 0.25) / np.sqrt(0.5)
    x = spec.image_patches(x, 2) @ at["embed"][0] + at["embed"][1]
    token = np.repeat(at["class_token"][0], len(x), axis=0)
    x = np.concatenate([token, x], axis=1) + at["positions"][0]
    for i in range(2):
        theirs, ours = model.get_layer(f"block_{i}"), spec.EncoderBlock(8, 2, 7)
        for part in ("attention", "feed_forward"):
            for name in vars(getattr(ours, part)):
                if name[:2] in ("w_", "b_"):
                    setattr(getattr(ours, part), name, getattr(getattr(theirs, part), name).numpy())
            one = getattr(ours, f"{part}_norm")
            one.weight, one.bias = (w.numpy() for w in getattr(theirs, f"{part}_norm").weights)
        x, weights = ours(x, return_weights=True)
        view = keras.Model(model.input, theirs.output[1])
        np.testing.assert_allclose(view(pictures()), weights, atol=1e-12)
    expected = norm(x[:, 0], *at["norm"]) @ at["head"][0] + at["head"][1]
    np.testing.assert_allclose(model(pictures()), expected, atol=1e-12)


def test_how_it_begins():
    model = vision.vision_transformer(seed=3)
    assert sum(w.numpy().size for w in model.trainable_weights) == 18218  # as in PyTorch
    assert not np.any(model.get_layer("head").kernel) and not np.any(model.get_layer("class_token").token)
    assert model.get_layer("positions").weight.numpy().std() == pytest.approx(0.5, rel=0.1)
    first = [w.tobytes() for w in model.get_weights()]
    assert [w.tobytes() for w in vision.vision_transformer(seed=3).get_weights()] == first
    assert [w.tobytes() for w in vision.vision_transformer(seed=4).get_weights()] != first


@pytest.mark.parametrize("make", [make, lambda: vision.conv_net(size=8, channels=3, mean=0.1, variance=2.0)])
def test_a_model_comes_back_from_its_file(make, tmp_path):
    model = make()
    some = np.random.default_rng(0).normal(size=(3, *model.input.shape[1:]))
    model.save(tmp_path / "model.keras")
    np.testing.assert_array_equal(keras.saving.load_model(tmp_path / "model.keras")(some), model(some))
    model.export(tmp_path / "exported", verbose=False)
    served = tf.saved_model.load(tmp_path / "exported")
    for n in (1, 3):
        np.testing.assert_allclose(served.serve(some[:n]), model(some[:n]), atol=1e-12)


def test_the_convolution_has_as_many_parameters_as_in_pytorch():
    model = vision.conv_net()
    assert sum(w.numpy().size for w in model.trainable_weights) == 18154
    first, second = (vision.conv_net(seed=2).get_weights() for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def test_sizes_that_do_not_fit():
    with pytest.raises(ValueError, match="patch_size must divide the size of the pictures, 8: got 3"):
        vision.vision_transformer(patch_size=3)
    with pytest.raises(ValueError, match="patch_size must divide the size of the pictures, 8: got 0"):
        vision.vision_transformer(patch_size=0)
    with pytest.raises(ValueError, match="size must be a multiple of 4, for it is halved twice: got 6"):
        vision.conv_net(size=6)


def test_pictures_move_by_whole_pixels():
    some = np.random.default_rng(0).random((9, 5, 4, 2))
    by = [(down, right) for down in (-1, 0, 1) for right in (-1, 0, 1)]
    got = vision.shifted(tf.constant(some), tf.constant(by)).numpy()
    for image, before, (down, right) in zip(got, some, by, strict=True):
        expected = np.zeros_like(before)
        for row in range(5):
            for column in range(4):
                if 0 <= row - down < 5 and 0 <= column - right < 4:
                    expected[row, column] = before[row - down, column - right]
        np.testing.assert_array_equal(image, expected)


def test_batches_are_complete_shuffled_and_moved_anew():
    images = 1 + np.random.default_rng(0).random((32, 5, 5, 1))
    data = vision.training_batches(images, np.arange(32), batch=8, seed=1)
    batches = list(data.take(4 * 30).as_numpy_iterator())
    labels = np.concatenate([y for _, y in batches]).reshape(30, 32)
    assert (np.sort(labels) == np.arange(32)).all() and (labels != labels[0]).any()
    zero = np.concatenate([x[y == 0] for x, y in batches])
    assert len(np.unique(zero.reshape(30, -1), axis=0)) > 6
    again = list(vision.training_batches(images, np.arange(32), batch=8, seed=1).take(5).as_numpy_iterator())
    for one, two in zip(again, batches[:5], strict=True):
        assert np.array_equal(one[0], two[0]) and np.array_equal(one[1], two[1])


def test_the_rate_is_that_of_the_other_script():
    rate = vision.schedule(200, 0.5)
    got = [float(rate(step)) for step in (0, 5, 10, 105, 200)]
    np.testing.assert_allclose(got, [0, 0.25, 0.5, 0.25, 0], atol=1e-7)


def test_it_learns():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 64)
    images = 0.1 * rng.random((64, 8, 8, 1))
    images[labels == 1, :, 3:5] += 0.8  # a vertical stroke
    losses = vision.fit(vision.conv_net(variance=0.05), images, labels, steps=20, rate=1e-2, batch=32)
    assert len(losses) == 10 and losses[-1] < 0.6 * losses[0]


def test_a_fresh_python_knows_nothing_of_us(tmp_path):
    (tmp_path / "here").touch()
    code = "import os, sys; print(os.listdir(), 'attnlib' in sys.modules)"
    assert vision.in_a_fresh_python(code, tmp_path) == "['here'] False\n"
    with pytest.raises(RuntimeError, match="the process failed: ZeroDivisionError"):
        vision.in_a_fresh_python("1 / 0", tmp_path)
