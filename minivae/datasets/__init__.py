"""Data to learn from: two embedded sets, the full MNIST and Fashion-MNIST, and your own files.

>>> from minivae.datasets import load
>>> digits = load("optdigits")
>>> digits.x_train.shape, digits.image_shape, digits.max_value
((3823, 64), (8, 8), 16)
"""

from minivae.datasets.dataset import Dataset
from minivae.datasets.loading import load, load_faithful
from minivae.stored import StoredRows

__all__ = ["Dataset", "StoredRows", "load", "load_faithful"]
