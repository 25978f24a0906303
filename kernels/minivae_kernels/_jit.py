"""How the loops are compiled, and what calls them: a kernel is a loop over a range of blocks."""

import inspect
from collections.abc import Callable
from typing import Any

import numba
import numpy as np

from minivae_kernels import _beside, registers
from minivae_kernels._native import (
    INTERPRETED,
    beginning_with,
    borrowed,
    call,
    compile_for,
    compiled,
    inner,
    is_kept,
    load,
    scalar,
    summing_inner,
    use_whole_registers,
    write_this_call,
)
from minivae_kernels._sharing import CALL, LEAD, share

__all__ = [
    "BlockKernel", "block_kernel", "inner", "scalar", "strided_block_kernel",
    "summing_block_kernel", "summing_inner",
]  # fmt: skip

typeof: Any = numba.typeof

# What is compiled for a kernel: its body, with a way in for a call that is to be shared. There it
# writes down its own address and arguments, and several threads call it for block after block.
_WAY_IN = """
use_whole_registers()
if start < 0:
    write_this_call(-start, CALL)
    call(load(-start, LEAD), -start, -1, 0, 0)
    return
"""


class BlockKernel:
    """A loop ``body(start, stop, *arguments)``, compiled once for float32 and once for float64.

    It is written for arrays of one layout and nothing in it is checked: whoever calls it does that.
    """

    def __init__(
        self, body: Callable[..., None], fastmath: set[str], strided: bool = False
    ) -> None:
        self.body = body
        self.strided = strided
        self.entries: dict[Any, Callable[..., None]] = {}
        self.dispatcher: Any = None if INTERPRETED else compiled(_entry(body), fastmath=fastmath)

    def run(self, count: int, step: int, *arguments: Any) -> None:
        """Run the body from 0 to count, in blocks of `step` that threads share if they are several.

        The first argument is an array, whose dtype is that of the rest.
        """
        entry = self.entries.get(arguments[0].dtype) or self.find(arguments)
        if count <= step:
            entry(0, count, *arguments)
        else:
            share(entry, count, step, arguments)

    def find(self, arguments: tuple[Any, ...]) -> Callable[..., None]:
        """Compile for these arguments' types, or read from the disk what was compiled before.

        The result is called directly: that Numba should look at every argument again takes
        longer than many loops. It also makes arrays that may and may not be written to the same.
        """
        if INTERPRETED:
            return np.errstate(all="ignore")(self.body)  # it overflows without a word, too
        kinds = [typeof(x) for x in arguments]
        kinds = [k.copy(readonly=False) if isinstance(k, numba.types.Array) else k for k in kinds]
        if self.strided:
            kinds[0] = kinds[0].copy(layout="A")
            if not is_kept(self.dispatcher):
                _beside.begin(arguments[0].dtype.name)
        signature = (numba.int64, numba.int64, *kinds)
        entry = compile_for(self.dispatcher, signature)
        self.entries[arguments[0].dtype] = entry
        return entry


def block_kernel(body: Callable[..., None]) -> BlockKernel:
    """Compile a loop over a range that threads share, ``body(start, stop, *arguments)``."""
    return BlockKernel(body, {"contract"})


def strided_block_kernel(body: Callable[..., None]) -> BlockKernel:
    """Compile such a loop whose first array may have any strides."""
    return BlockKernel(body, {"contract"}, strided=True)


def summing_block_kernel(body: Callable[..., None]) -> BlockKernel:
    """Compile such a loop whose own sums may be reordered."""
    return BlockKernel(body, {"contract", "reassoc"})


def _entry(body: Callable[..., None]) -> Callable[..., None]:
    """Return the body with the way in before it, and its arrays borrowed."""
    kinds = inspect.signature(body).parameters.values()
    arrays = [kind.name for kind in kinds if kind.annotation not in (int, float, bool)]
    lines = _WAY_IN + "".join(f"{name} = borrowed({name})\n" for name in arrays)
    names = {f.__name__: f for f in (borrowed, call, load, use_whole_registers, write_this_call)}
    result = beginning_with(lines, body, CALL=CALL, LEAD=LEAD, **names)
    # what registers hold, on which the machine code of some loops depends
    result.__qualname__ = f"{body.__name__}-{registers.BYTES}-{registers.COUNT}"
    return result
