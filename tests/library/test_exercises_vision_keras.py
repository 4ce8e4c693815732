"""The exercises of "Attention in vision with Keras": right answers pass, typical mistakes are named."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import attnlib.tensorflow as attn
from attnlib.exercises import vision_keras as ex

FRAMEWORK = "tensorflow"


def move(picture, down, right):
    height, width = picture.shape[:2]
    down, right = int(down), int(right)
    pads = [[max(down, 0), max(-down, 0)], [max(right, 0), max(-right, 0)], [0, 0]]
    return tf.pad(picture, pads)[max(-down, 0) :, max(-right, 0) :][:height, :width]


def stretched(picture, down, right):
    pads = [(max(down, 0), max(-down, 0)), (max(right, 0), max(-right, 0)), (0, 0)]
    padded = np.pad(np.asarray(picture), pads, mode="edge")
    return padded[max(-down, 0) :, max(-right, 0) :][: picture.shape[0], : picture.shape[1]]


def slices(x, y):
    return tf.data.Dataset.from_tensor_slices((x, y))


def altered(alter):
    return lambda x, y: (alter(x), y)


def pipeline(x, y, alter, batch):
    return slices(x, y).shuffle(len(y)).repeat().batch(batch).map(altered(alter))


def apart(x, y, alter, batch):
    pictures = tf.data.Dataset.from_tensor_slices(x).shuffle(len(y)).repeat().batch(batch).map(alter)
    return tf.data.Dataset.zip(pictures, tf.data.Dataset.from_tensor_slices(y).shuffle(len(y)).repeat().batch(batch))


def cached(x, y, alter, batch):
    moved = slices(x, y).batch(batch).map(altered(alter)).unbatch().cache()
    return moved.shuffle(len(y)).repeat().batch(batch)


def same_order(x, y, alter, batch):
    shuffled = slices(x, y).shuffle(len(y), seed=0, reshuffle_each_iteration=False)
    return shuffled.repeat().batch(batch).map(altered(alter))


def rest_dropped(x, y, alter, batch):
    return slices(x, y).shuffle(len(y)).batch(batch, drop_remainder=True).repeat().map(altered(alter))


def buffer_of(size):
    return lambda x, y, f, b: slices(x, y).shuffle(size).repeat().batch(b).map(altered(f))


def steady(model, pictures):
    return asked_twice(model, pictures) and asked_alone(model, pictures)


def asked_twice(model, pictures):
    return np.allclose(model(pictures), model(pictures), atol=1e-4)


def asked_alone(model, pictures):
    alone = [model(pictures[i : i + 1]) for i in range(len(pictures))]
    return np.allclose(model(pictures), tf.concat(alone, axis=0), atol=1e-4)


def blocks(model):
    return [layer for layer in model.layers if isinstance(layer, attn.EncoderBlock)]


def view(model):
    return keras.Model(model.input, [model.output, *(block.output[1] for block in blocks(model))])


def copy_of(model):
    other = keras.models.clone_model(model)
    other.set_weights(model.get_weights())
    return view(other)


ANSWERS = [
    (ex.check_counts, (1000, 9000, 16)),
    (ex.check_counts, (1000.0, 9000.0, 16.0)),
    (ex.check_move, (move,)),
    (ex.check_move, (lambda x, down, right: ex._by_hand(np.asarray(x), down, right),)),
    (ex.check_pipeline, (pipeline,)),
    (ex.check_pipeline, (lambda *a: pipeline(*a).prefetch(2),)),
    (ex.check_pipeline, (lambda x, y, f, b: slices(x, y).cache().shuffle(99).repeat().batch(b).map(altered(f)),)),
    (ex.check_pipeline, (lambda x, y, f, b: slices(x, y).shuffle(len(y)).batch(b).map(altered(f)).repeat(),)),
    (ex.check_steady, (steady,)),
    (ex.check_steady, (asked_alone,)),  # which asks each picture twice as well
    (ex.check_view, (view,)),
]

MISTAKES = [
    (ex.check_counts, (9000, 9000, 16), "already moved"),
    (ex.check_counts, (60000, 9000, 16), "many are the same"),
    (ex.check_counts, (111, 9000, 16), "in the first pass, and kept"),
    (ex.check_counts, (1000, 60000, 16), "nine ways only"),
    (ex.check_counts, (1000, 8000, 16), "not to move it"),
    (ex.check_counts, (1000, 1000, 16), "in each of its nine places"),
    (ex.check_counts, (1000, 9000, 15), "the rest makes one more"),
    (ex.check_counts, (1000, 9000, 15.625), "a batch is whole"),
    (ex.check_counts, (1000, 9000, 938), "of all sixty passes"),
    (ex.check_counts, (1000, 9000, 64), "and one for the rest"),
    (ex.check_move, (lambda x, down, right: tf.roll(x, (down, right), (0, 1)),), "comes in on the other"),
    (ex.check_move, (lambda x, down, right: move(x, -down, -right),), "the other way"),
    (ex.check_move, (lambda x, down, right: move(x, right, down),), "rows and columns are swapped"),
    (ex.check_move, (stretched,), "what comes in must be 0"),
    (ex.check_move, (lambda x, down, right: x[1:],), "the shape is (4, 6, 2)"),
    (ex.check_move, (lambda x, down, right: 2 * move(x, down, right),), "pad with zeros"),
    (ex.check_pipeline, (lambda *a: 3,), "return a tf.data.Dataset"),
    (ex.check_pipeline, (lambda x, y, f, b: slices(x, y).shuffle(99).repeat(),), "is there a `batch`"),
    (ex.check_pipeline, (lambda x, y, f, b: pipeline(x, y, f, 2 * b),), "a batch must be (8, 2, 2, 1)"),
    (ex.check_pipeline, (lambda x, y, f, b: pipeline(x, y, f, b).map(lambda x, y: x),), "return 2 values"),
    (ex.check_pipeline, (lambda x, y, f, b: slices(x, y).shuffle(99).batch(b).map(altered(f)),), "it ends"),
    (ex.check_pipeline, (apart,), "do not belong together"),
    (ex.check_pipeline, (lambda x, y, f, b: slices(x, y).repeat().shuffle(99).batch(b).map(altered(f)),), "twice"),
    (ex.check_pipeline, (lambda x, y, f, b: slices(x, y).repeat().batch(b).map(altered(f)),), "`shuffle` is missing"),
    (ex.check_pipeline, (same_order,), "every pass has the same order"),
    (ex.check_pipeline, (lambda x, y, f, b: slices(x, y).batch(b).shuffle(9).repeat().map(altered(f)),), "together in"),
    (ex.check_pipeline, (lambda x, y, f, b: slices(x, y).shuffle(99).repeat().batch(b),), "`alter` is not used"),
    (ex.check_pipeline, (cached,), "altered once"),
    (ex.check_pipeline, (buffer_of(4),), "too small"),
    (ex.check_pipeline, (buffer_of(16),), "too small"),
    (ex.check_pipeline, (rest_dropped,), "a pass loses some"),
    (ex.check_steady, (lambda m, x: not steady(m, x),), "wrong way round"),
    (ex.check_steady, (lambda m, x: False,), "is called unsteady"),
    (ex.check_steady, (lambda m, x: True,), "it twice"),
    (ex.check_steady, (lambda m, x: steady(lambda p: m(p, training=False), x),), "left on"),
    (ex.check_steady, (asked_twice,), "one picture at a time"),
    (ex.check_steady, (lambda m, x: m(x),), "return True or False"),
    (ex.check_view, (lambda model: 3,), "return a keras.Model"),
    (ex.check_view, (lambda model: model,), "this is the model itself"),
    (ex.check_view, (lambda model: keras.Model(model.input, [model.output]),), "four outputs"),
    (
        ex.check_view,
        (lambda m: keras.Model(m.input, [*(b.output[1] for b in blocks(m)), m.output]),),
        "the scores come first",
    ),
    (
        ex.check_view,
        (lambda m: keras.Model(m.input, [m.output, *(b.output[0] for b in blocks(m))]),),
        "second output of a block",
    ),
    (
        ex.check_view,
        (lambda m: keras.Model(m.input, [m.output, *(b.output[1] for b in blocks(m)[::-1])]),),
        "wrong order",
    ),
    (
        ex.check_view,
        (lambda m: keras.Model(m.input, [m.output, *[blocks(m)[0].output[1]] * 3]),),
        "each block once",
    ),
    (ex.check_view, (copy_of,), "no copies"),
]


@pytest.mark.parametrize("check, answers", ANSWERS)
def test_right_answers_pass(check, answers, capsys):
    assert check(*answers) is True, capsys.readouterr().out
    assert capsys.readouterr().out.startswith("Correct: ")


@pytest.mark.parametrize("check, answers, says", MISTAKES)
def test_mistakes_are_named(check, answers, says, capsys):
    assert check(*answers) is None
    printed = capsys.readouterr().out
    assert printed.startswith("Not yet: ") and says in printed


@pytest.mark.parametrize("check", dict.fromkeys(check for check, _ in ANSWERS))
def test_stubs_are_told_to_write_something(check, capsys):
    stubs = (...,) * (3 if check is ex.check_counts else 1)
    assert check(*stubs) is None
    assert "replace the `...`" in capsys.readouterr().out
