"""A small pool of threads that shares out blocks of work.

The kernels let other Python threads run meanwhile, so plain threads are enough. Work is cut into
the same blocks whatever the number of threads: the result has the same bits on one thread or many.
"""

import os
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from queue import SimpleQueue
from typing import Any

# More threads than this wait for memory, not for each other's arithmetic.
_MOST_THREADS = 8


class _Job:
    """The blocks of one call, taken in turn by whichever thread is free."""

    def __init__(self, function: Callable[..., object], blocks: Sequence[tuple[Any, ...]]) -> None:
        self.function = function
        self.blocks = blocks
        self.next = 0
        self.error: BaseException | None = None
        self.lock = threading.Lock()
        self.helping = 0  # helpers that are inside a block
        self.awaited = False
        self.finished = threading.Lock()  # released by the last helper, if it is awaited
        self.finished.acquire()

    def work(self) -> None:
        """Run blocks in the caller's thread until none is left to take."""
        while True:
            with self.lock:
                index = self.next
                self.next += 1
            if index >= len(self.blocks):
                return
            self.function(*self.blocks[index])

    def help(self) -> None:
        """Run blocks in another thread until none is left to take."""
        while True:
            with self.lock:
                index = self.next
                if index >= len(self.blocks):
                    return
                self.next += 1
                self.helping += 1
            error = None
            try:
                self.function(*self.blocks[index])
            except BaseException as caught:  # raised again in the caller
                error = caught
            with self.lock:
                if error is not None:
                    self.error = self.error or error
                    self.next = len(self.blocks)
                self.helping -= 1
                if self.awaited and not self.helping:
                    self.finished.release()

    def wait(self) -> None:
        """Give out no more blocks, and wait for the helpers to end theirs.

        The caller's own blocks are not counted: Ctrl-C may leave one at any point. Only the caller
        meets Ctrl-C, so what the helpers count is right, and waiting again after it is safe.
        """
        with self.lock:
            self.next = len(self.blocks)
            self.awaited = self.helping > 0
            must_wait = self.awaited
        if must_wait:
            self.finished.acquire()
        self.blocks = ()  # a helper that comes late must not keep the arrays alive


class _Pool:
    """Daemon threads, started when first needed: they never keep the interpreter from ending."""

    def __init__(self) -> None:
        self.jobs: SimpleQueue[_Job] = SimpleQueue()
        self.lock = threading.Lock()
        self.size = 0

    def offer(self, job: _Job, helpers: int) -> None:
        if self.size < helpers:
            # None can be started if the system has no more, or the interpreter is about to end.
            with self.lock, suppress(RuntimeError):
                while self.size < helpers:
                    threading.Thread(target=self._serve, name="minivae", daemon=True).start()
                    self.size += 1
        for _ in range(min(helpers, self.size)):
            self.jobs.put(job)

    def _serve(self) -> None:
        jobs = self.jobs
        while True:
            jobs.get().help()


def get_num_threads() -> int:
    """Return the number of threads that large operations are shared among."""
    return _num_threads


def set_num_threads(n: int) -> None:
    """Share large operations among n threads from now on; results do not change by a bit.

    Raises
    ------
    ValueError
        If n is not a positive integer.
    """
    global _num_threads
    if not isinstance(n, int) or isinstance(n, bool) or n < 1:
        raise ValueError(f"set_num_threads: n must be a positive integer, not {n!r}")
    _num_threads = n


def parallel_blocks(function: Callable[..., object], blocks: Sequence[tuple[Any, ...]]) -> None:
    """Call ``function(*block)`` for every block, on as many threads as are set.

    The caller works too, and returns when every block is done. The first exception of any block is
    raised here, and the blocks not yet begun are dropped. Blocks must not write to the same places.
    """
    helpers = min(_num_threads, len(blocks)) - 1
    if helpers <= 0:
        for block in blocks:
            function(*block)
        return
    job = _Job(function, blocks)
    try:
        _pool.offer(job, helpers)
        job.work()
        job.wait()
    except BaseException:  # also Ctrl-C: nobody may go on writing when the caller has left
        job.wait()
        raise
    if job.error is not None:
        raise job.error


def available_cpus() -> int:
    """Return the number of processors that this process may run on."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS and Windows
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _threads_from_environment() -> int:
    text = os.environ.get("MINIVAE_NUM_THREADS", "").strip()
    if not text:
        return min(available_cpus(), _MOST_THREADS)
    if not text.isdecimal() or int(text) < 1:
        raise ValueError(f"MINIVAE_NUM_THREADS must be a positive integer, not {text!r}")
    return int(text)


def _renew_pool() -> None:
    """Start afresh in a forked process, which has none of its parent's threads."""
    global _pool
    _pool = _Pool()


_num_threads = _threads_from_environment()
_pool = _Pool()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_pool)
