"""Every operation, named as in NumPy and SciPy; they take arrays and tensors alike.

Arrays give an array; as soon as one input is a :class:`~minivae.tensor.Tensor`, so is the result.
"""

from minivae.ops import elementwise, fused, linalg, reductions, shapes
from minivae.ops.elementwise import *  # noqa: F403
from minivae.ops.fused import *  # noqa: F403
from minivae.ops.linalg import *  # noqa: F403
from minivae.ops.reductions import *  # noqa: F403
from minivae.ops.shapes import *  # noqa: F403
from minivae.tensor import OPERATIONS

_rooms = (elementwise, reductions, linalg, shapes, fused)
__all__ = [name for room in _rooms for name in room.__all__]
OPERATIONS.update({name: getattr(room, name) for room in _rooms for name in room.__all__})
