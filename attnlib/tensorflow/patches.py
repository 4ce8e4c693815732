"""Images as sequences: each patch of pixels, laid out in a row, is a position.

    z_0 = [x_1 E; x_2 E; ...; x_N E]                          Dosovitskiy et al. (2021), eq. 1, without its class
    N = H W / P²,  E of shape [P² C, d_model]                 token and its positions

The same as a convolution whose kernel is as large as its stride. Channels come last in all three frameworks: so
pictures are stored and so the paper has them (x in R^(H×W×C)), and a patch keeps the channels of a pixel together.
PyTorch's own layers want them first: `images.permute(0, 2, 3, 1)` leads from there to here.
"""

import keras
import tensorflow as tf

from attnlib import _checks
from attnlib.tensorflow._affine import affine
from attnlib.tensorflow.layers import _glorot
from attnlib.tensorflow.multihead import _sizes


def image_patches(images, patch_size):
    """`[..., height, width, channels] -> [..., patches, patch_size² · channels]`, row by row from the top left.

    The numbers of a patch are its pixels row by row, the channels of a pixel side by side.

    Raises ValueError for images that patches do not cover without a rest, and a size that is not an integer.
    Source: Dosovitskiy et al. (2021), section 3.1.
    """
    _checks.length("patch_size", patch_size)
    _checks.images(images, patch_size)
    *axes, height, width, channels = _sizes(tf.convert_to_tensor(images))
    rows, columns = height // patch_size, width // patch_size
    x = tf.reshape(images, [*axes, rows, patch_size, columns, patch_size, channels])
    n = len(axes)
    x = tf.transpose(x, [*range(n), n, n + 2, n + 1, n + 3, n + 4])  # patch rows and columns side by side
    return tf.reshape(x, [*axes, rows * columns, patch_size**2 * channels])


@keras.saving.register_keras_serializable(package="attnlib")
class PatchEmbedding(keras.layers.Layer):
    """A linear layer on each patch of an image.

    patch_size: height and width of a patch in pixels. channels: of the images. d_model: width of the output.
    seed: of the initial `w_patch` `[patch_size² · channels, d_model]`; the bias `b_patch` begins at zero.
    Neither positions nor a class token are added.
    Raises ValueError for a size that is not an integer of at least 1.
    Source: Dosovitskiy et al. (2021), section 3.1 and eq. 1.
    """

    def __init__(self, patch_size, channels, d_model, *, seed=None, **kwargs):
        super().__init__(**kwargs)
        _checks.length("patch_size", patch_size)
        _checks.length("channels", channels)
        _checks.length("d_model", d_model)
        self.patch_size, self.channels, self.d_model, self.seed = patch_size, channels, d_model, seed

    def build(self, images_shape):
        shape = (self.patch_size**2 * self.channels, self.d_model)
        self.w_patch = self.add_weight(name="w_patch", shape=shape, initializer=_glorot(self.seed))
        self.b_patch = self.add_weight(name="b_patch", shape=shape[1:], initializer="zeros")

    def call(self, images):
        """`[batch, ..., height, width, channels] -> [batch, ..., patches, d_model]`.

        Raises ValueError for images of another number of channels or type, or that patches do not cover.
        """
        _checks.patch_embedding(images, self.patch_size, self.channels, self.w_patch)
        return affine(image_patches(images, self.patch_size), self.w_patch, self.b_patch)

    def get_config(self):
        names = ("patch_size", "channels", "d_model", "seed")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}
