"""The generated images."""

import numpy as np

from resnet_exp.data import synthetic


def test_synthetic_images_are_the_same_each_time_and_balanced() -> None:
    images, labels = synthetic.paint_split("test", image_size=8)
    again, _ = synthetic.paint_split("test", image_size=8)
    train, _ = synthetic.paint_split("train", image_size=8)
    assert images.shape == (synthetic.TEST_SIZE, 8, 8, 3)
    assert np.array_equal(images, again)
    assert not np.array_equal(images, train[: len(images)])
    assert np.bincount(labels).tolist() == [synthetic.TEST_SIZE // 10] * 10
    assert len(np.unique(images.reshape(len(images), -1), axis=0)) == len(images)
