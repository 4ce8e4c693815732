"""Checks for the exercises of the chapter "Attention in vision with Keras"."""

import keras
import numpy as np
import tensorflow as tf

import attnlib.tensorflow as attn
from attnlib.exercises._answers import as_array, exercise, require, require_shape, run, same, same_values, unpack


@exercise
def check_counts(behind, before, batches):
    """Exercise 1: 1,000 pictures, nine ways to move them, 64 in a batch, 60 passes."""
    require(not same_values(behind, 9000), "what is cached is the picture already moved: how often is it moved again?")
    require(not same_values(behind, 60000), "these are the pictures of all passes: many are the same.")
    same(behind, 1000, "behind", hint="each picture is moved once, in the first pass, and kept.")
    require(not same_values(before, 60000), "sixty passes, but a picture can be moved in nine ways only.")
    require(not same_values(before, 8000), "not to move it is one of the nine ways.")
    same(before, 9000, "before", hint="each picture, in each of its nine places.")
    require(not same_values(batches, 15), "15 are full; the rest makes one more.")
    require(not same_values(batches, 15.625), "a batch is whole: the last one is smaller.")
    require(not same_values(batches, 938), "these are the batches of all sixty passes.")
    same(batches, 16, "batches", hint="1000 / 64, and one for the rest.")
    return "1,000 or 9,000 pictures, in 16 batches either way: nothing but their number tells."


def _by_hand(picture, down, right):
    height, width = picture.shape[:2]
    moved = np.zeros_like(picture)
    for row in range(height):
        for column in range(width):
            if 0 <= row - down < height and 0 <= column - right < width:
                moved[row, column] = picture[row - down, column - right]
    return moved


@exercise
def check_move(answer):
    """Exercise 2: `move(picture, down, right)`, `[height, width, channels]`, whole pixels."""
    picture = 1 + np.random.default_rng(0).random((5, 6, 2))
    for down, right in ((1, 2), (-2, 0), (0, -1), (-1, 3), (0, 0)):
        asked = f"{down} down, {right} right"
        got = run(answer, tf.constant(picture), down, right)
        require_shape(got, picture.shape, f"the picture, {asked}")
        rolled = np.roll(picture, (down, right), axis=(0, 1))
        if down or right:
            message = f"what leaves on one side comes in on the other ({asked}): it must be 0 there."
            require(not same_values(got, rolled), message)
            message = f"the picture moved the other way ({asked}): positive is down and right."
            require(not same_values(got, _by_hand(picture, -down, -right)), message)
        if down != right:
            require(not same_values(got, _by_hand(picture, right, down)), f"rows and columns are swapped ({asked}).")
        inside = _by_hand(np.ones_like(picture), down, right) == 1
        array = as_array(got)
        if inside.any() and np.allclose(array[inside], _by_hand(picture, down, right)[inside]):
            require(np.allclose(array[~inside], 0), f"what comes in must be 0 ({asked}).")
        same(got, _by_hand(picture, down, right), f"the picture, {asked}", hint="pad with zeros, then cut out.")
    return "whole pixels, and paper where the picture was."


def _stream(data, passes, count, batch):
    """What comes out in so many passes: two arrays."""
    pictures, labels = [], []
    for element in data.take(passes * count // batch):
        x, y = unpack(element, "pictures", "labels")
        pictures.append(as_array(x, "the pictures"))
        labels.append(as_array(y, "the labels"))
    return pictures, labels


@exercise
def check_pipeline(answer):
    """Exercise 3: `pipeline(pictures, labels, alter, batch)`, a `tf.data.Dataset` without end."""
    count, batch, passes = 32, 8, 60
    numbers = np.arange(count)
    pictures = np.zeros((count, 2, 2, 1)) + 10.0 * numbers[:, None, None, None]  # a picture says its number
    random = tf.random.Generator.from_seed(0)

    def alter(x):
        return x + random.uniform((tf.shape(x)[0], 1, 1, 1), 0, 1, x.dtype)

    data = run(answer, pictures, numbers, alter, batch)
    require(isinstance(data, tf.data.Dataset), "return a tf.data.Dataset.")
    got, labels = _stream(data, passes, count, batch)
    require(got and got[0].ndim == 4, "a batch is [batch, height, width, channels]: is there a `batch`?")
    require(got[0].shape == (batch, 2, 2, 1), f"a batch must be ({batch}, 2, 2, 1), this one is {got[0].shape}.")
    require(len(got) == passes * count // batch, "it ends: a model that trains longer than a pass needs `repeat`.")
    got, batches = np.concatenate(got)[:, 0, 0, 0], np.stack(labels)
    labels = batches.reshape(-1)
    message = "pictures and labels do not belong together any more: shuffle them as one data set."
    require((np.floor(got / 10 + 1e-9) == labels).all(), message)
    by_pass = labels.reshape(passes, count)
    message = "a pass has some pictures twice and others not at all: `repeat` goes behind `shuffle`."
    require((np.sort(by_pass, axis=1) == numbers).all(), message)
    message = "the pictures come in the order of the file, again and again: `shuffle` is missing."
    require((by_pass != numbers).any(), message)
    message = "every pass has the same order: leave `reshuffle_each_iteration` alone, and cache in front of `shuffle`."
    require((by_pass != by_pass[0]).any(), message)
    first = [set(row) for row in batches[: count // batch]]
    later = [set(row) for row in batches[count // batch :]]
    message = "the same pictures are always together in a batch: shuffle single pictures, in front of `batch`."
    require(not all(row in first for row in later), message)
    shares = got - 10 * labels
    require((shares > 0).any(), "the pictures come as they are: `alter` is not used.")
    versions = [len(np.unique(np.round(shares[labels == n], 12))) for n in numbers]
    message = "each picture is altered once and comes the same way for ever: nothing that keeps may stand behind `map`."
    require(min(versions) > passes // 2, message)  # in float32 two may fall together
    message = "the buffer of `shuffle` is too small: no pass ever begins with a picture from the end of the file."
    require(by_pass[:, :4].max() >= count - 4, message)  # a buffer of b reaches picture b + 3 in four draws
    odd = count - 2  # pictures that do not fill whole batches
    uneven = run(answer, pictures[:odd], numbers[:odd], alter, batch)
    _, labels = _stream(uneven, 2, count, batch)  # enough for the first pass, wherever the rest of it comes
    message = f"of {odd} pictures a pass loses some: `drop_remainder` in front of `repeat` throws away the last batch."
    require(len(set(np.concatenate(labels)[:odd])) == odd, message)
    return "complete passes, new orders, new companions, new versions."


class _Steady(keras.layers.Layer):
    def call(self, x):
        return tf.reduce_sum(x, axis=(1, 2, 3))[:, None] * tf.constant([1.0, -2.0])


class _Restless(_Steady):
    def call(self, x):
        return super().call(x) + tf.random.uniform((1, 2), 0.1, 1.0)


class _Company(_Steady):
    def call(self, x):
        return super().call(x - tf.reduce_mean(x))


class _LeftOn(_Steady):
    """As `keras.layers.RandomTranslation`: it moves its input unless it is told that this is no training."""

    def call(self, x, training=True):
        scores = super().call(x)
        return scores + tf.random.uniform((1, 2), 0.1, 1.0) if training else scores


@exercise
def check_steady(answer):
    """Exercise 4: `steady(model, pictures)`, True for a model that answers the same twice, and alone as in company."""
    pictures = np.random.default_rng(0).random((4, 3, 3, 1)).astype("float32")
    verdicts = {}
    for name, layer in (
        ("steady", _Steady),
        ("restless", _Restless),
        ("left on", _LeftOn),
        ("company", _Company),
    ):
        got = run(answer, layer(dtype="float32"), pictures)
        require(getattr(got, "ndim", 0) == 0 and bool(got) == got, "return True or False.")
        verdicts[name] = bool(got)
    wrong = {"steady": False, "restless": True, "left on": True, "company": True}
    require(verdicts != wrong, "the answer is the wrong way round.")
    message = (
        "a model that always gives the same scores is called unsteady: compare to four decimals, not to the last bit."
    )
    require(verdicts["steady"], message)
    require(not verdicts["restless"], "a model that gives other scores when asked again passes: ask it twice.")
    message = (
        "a model whose moves were left on passes: ask with a plain `model(pictures)`, as a client does, and not with "
        "`training=False`."
    )
    require(not verdicts["left on"], message)
    message = "a model that takes the mean of all pictures off each passes: ask it for one picture at a time, too."
    require(not verdicts["company"], message)
    return "asked twice and asked alone: what is shipped gives one answer."


def _small_model():
    pictures = keras.Input((4, 4, 1), dtype="float32")
    x = attn.PatchEmbedding(2, 1, 4, seed=0, dtype="float32", name="cut")(pictures)
    for i, name in enumerate(("lower", "middle", "upper")):
        x, _ = attn.EncoderBlock(4, 2, 6, seed=i, dtype="float32", name=name)(x, return_weights=True)
    return keras.Model(pictures, keras.layers.Dense(3, dtype="float32")(x[:, 0]))


@exercise
def check_view(answer):
    """Exercise 5: `view(model)`, a model that also returns the weights of its blocks."""
    model = _small_model()
    pictures = np.random.default_rng(0).random((2, 4, 4, 1)).astype("float32")
    seen = run(answer, model)
    require(isinstance(seen, keras.Model), "return a keras.Model: `keras.Model(inputs, outputs)`.")
    require(seen is not model, "this is the model itself: make a second one, from its input to more outputs.")
    got = seen(pictures)
    require(
        isinstance(got, list | tuple) and len(got) == 4, "four outputs: the scores, and the weights of three blocks."
    )
    names = ("lower", "middle", "upper")
    plain = keras.Model(model.input, [model.output, *(model.get_layer(name).output[1] for name in names)])
    same(got[0], model(pictures), "the first output", hint="the scores come first.")
    for place in (1, 2, 3):
        hint = "the second output of a block is its weights."
        require_shape(got[place], (2, 2, 4, 4), f"output {place}", hint=hint)
    message = "the blocks are in the wrong order: as in `model.layers`."
    expected = plain(pictures)
    require(not same_values(got[1], expected[3]), message)
    for place, name in enumerate(names, start=1):
        same(got[place], expected[place], f"the weights of {name!r}", hint="each block once, in the model's order.")
    model.set_weights([w + 0.5 for w in model.get_weights()])
    message = "the model was trained on and its view was not: no copies, the same layers."
    require(same_values(seen(pictures)[0], model(pictures)), message)
    return "a second view of the same layers: train one, and the other has learned."
