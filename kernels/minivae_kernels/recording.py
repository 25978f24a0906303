"""Listening to what is computed, so that the same loops can run again without their wrappers."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from minivae_kernels._jit import BlockKernel
from minivae_kernels._sharing import share

__all__ = ["again", "listening"]

Arguments = tuple[Any, ...]
Listener = Callable[[BlockKernel, int, int, Arguments], object]


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Tell the listener, in a ``with`` block, of each loop that was run: what ``again`` takes.

    It is told of every thread's loops.
    """
    run = BlockKernel.run

    def run_and_tell(kernel: BlockKernel, count: int, step: int, *arguments: Any) -> None:
        run(kernel, count, step, *arguments)
        listener(kernel, count, step, arguments)

    setattr(BlockKernel, "run", run_and_tell)  # noqa: B010  (mypy forbids a plain assignment)
    try:
        yield
    finally:
        setattr(BlockKernel, "run", run)  # noqa: B010


def again(kernel: BlockKernel, count: int, step: int, arguments: Arguments) -> Callable[[], object]:
    """A call without arguments that runs a loop once more, on the same arrays.

    Nothing is checked and nothing looked up: the compiled function is bound to its arguments.
    """
    entry = kernel.entries.get(arguments[0].dtype) or kernel.find(arguments)
    if count <= step:
        return partial(entry, 0, count, *arguments)
    return partial(share, entry, count, step, arguments)
