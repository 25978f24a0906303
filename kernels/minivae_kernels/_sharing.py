"""Helper threads that join a kernel which is already running, and take blocks of its work.

The work is cut into the same blocks whatever the number of threads: the result has the same bits
on one thread or many.

To hand work over through Python's locks takes 30 to 60 microseconds, for the operating system has
to wake the other thread; two threads would pay only in long kernels. So a helper that has just
worked stays awake for a moment in compiled code, and watches a number in memory. The caller, also
in compiled code, writes there which function it is in and with what arguments, changes the
number and begins to work; the helper calls the same function with the same arguments. Both take
blocks until none is left, the caller from the front and the helper from the back, so that each
finds in its processor's cache what it wrote a kernel ago. This costs a microsecond or two, and
neither Python nor the operating system has a part in it. A helper that sees nothing to do for a
while goes to sleep.

On a busy machine a helper does harm: if another program has taken its processor from it in the
middle of a block, all wait. So at each look it writes down the time, and the caller opens the
work only to helpers that have just looked. Where they have not, because they are asleep or
another program runs in their place, it does block after block itself, and looks again before each.
A helper that waits does not offer its processor to others: where there are any, it would seldom
have it back in time.
"""

import ctypes
import functools
import os
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np

from minivae_kernels import threads
from minivae_kernels._native import (
    CALL_SIZE,
    INTERPRETED,
    add,
    call,
    call_again,
    callback,
    clock,
    load,
    pause,
    scalar,
    store,
)

_MOST_HELPERS = 31

# How long a helper stays awake, in seconds: longer than the gap between two kernels of a training
# step, shorter than anybody would notice.
_AWAKE = 2e-3

# Positions on the board, 64 bytes or more apart where several threads write: they would take the
# cache line from each other.
_TURN = 0  # changes when there is work
_LEADS = 1  # whether the caller is doing blocks
_TAKEN = 8  # how many blocks somebody has taken
_ENDS = 16, 24  # and how many of them from the front, and from the back
_INSIDE = 32  # helpers that are inside the kernel, plus _SHUT if no more may come
_INVITED = 40  # helpers with lower numbers than this may come
_COUNT, _STEP = 41, 42  # how much there is to do, and how much of it is a block
_FAILED = 43  # whether a block ended with an exception
_FRESH = 44  # ticks of the clock since its last look, for which a helper is taken to be running
_REST, _REST_ARGUMENT = 45, 46  # the system's function for a short sleep
LEAD = 47  # the function that shares out what is written behind
CALL = 48  # the caller's function and arguments
_ASLEEP = CALL + CALL_SIZE + 8  # for each helper whether it sleeps
_LOOKED = _ASLEEP + 1  # and when it looked last
_SIZE = _ASLEEP + 8 * (_MOST_HELPERS + 1)
_SHUT = 1 << 32

_JUST_NOW = 3e-6  # seconds since a helper's last look, within which it is taken to be running
_PATIENCE = 2_000  # looks at the board until the caller believes that a helper was interrupted


# In compiled code ------------------------------------------------------------------------------


@scalar
def _blocks(board: int) -> Any:
    """Return how many blocks the written call has."""
    return (load(board, _COUNT) + load(board, _STEP) - 1) // load(board, _STEP)


@scalar
def _do(board: int, block: int) -> None:
    """Do a block of the written call."""
    count, step = load(board, _COUNT), load(board, _STEP)
    status = call_again(board, CALL, block * step, min((block + 1) * step, count))
    if status != 0:
        store(board, _FAILED, 1)


@scalar
def _someone_looks(board: int) -> bool:
    """Tell whether a helper is running, and has nothing to do."""
    oldest = clock() - load(board, _FRESH)
    for number in range(load(board, _INVITED)):
        if load(board, _LOOKED + 8 * number) >= oldest:
            return True
    return False


@scalar
def _lead(board: int) -> None:
    """Do blocks from the front, and let helpers in once one of them looks; wait for the last."""
    store(board, _ENDS[0], 0)
    store(board, _ENDS[1], 0)
    store(board, _TAKEN, 0)
    store(board, _LEADS, 1)
    shut, blocks = True, _blocks(board)
    while True:
        if shut and _someone_looks(board):
            shut = False
            add(board, _INSIDE, -_SHUT)
            add(board, _TURN, 1)
        if add(board, _TAKEN, 1) >= blocks:
            break
        _do(board, add(board, _ENDS[0], 1))
    store(board, _LEADS, 0)
    if not shut:
        add(board, _INSIDE, _SHUT)
    waited = 0
    while load(board, _INSIDE) != _SHUT:
        pause()
        waited += 1
        if waited > _PATIENCE:  # another process has the helper's processor: give it this one
            call(load(board, _REST), load(board, _REST_ARGUMENT), 0, 0, 0)


def _join(board: int, number: int, looks: int, turn: int) -> int:
    """Lead the written call, as number -1, or help until there was nothing to do for some looks.

    A helper joins every call that is opened to it and that it is invited to, and returns the turn
    when it falls asleep.
    """
    if number < 0:
        _lead(board)
        return 0
    idle = 0
    while idle < looks:
        now: int = load(board, _TURN)
        if now == turn or number >= load(board, _INVITED):
            store(board, _LOOKED + 8 * number, clock())
            pause()
            if not load(board, _LEADS) or number >= load(board, _INVITED):
                idle += 1  # else the caller will look for a helper when its block is done
        else:
            if add(board, _INSIDE, 1) < _SHUT:
                blocks = _blocks(board)
                while add(board, _TAKEN, 1) < blocks:
                    block = add(board, _ENDS[1 - number % 2], 1)
                    _do(board, block if number % 2 else blocks - 1 - block)
                idle = 0
            add(board, _INSIDE, -1)
        turn = now
    store(board, _ASLEEP + 8 * number, 1)
    return turn


@functools.cache
def _compiled_join() -> Any:
    return callback(_join)


# In Python -------------------------------------------------------------------------------------


class _Pool:
    """Daemon threads, started when first needed: they never keep the interpreter from ending."""

    def __init__(self) -> None:
        # The board begins at an address that is a multiple of 64: the helpers' part of it
        # shares no cache line with anything else.
        self._memory = np.zeros(8 + _SIZE, np.int64)
        self.board = -(-self._memory.ctypes.data // 64) * 64
        self.numbers = (ctypes.c_int64 * _SIZE).from_address(self.board)
        self.numbers[_INSIDE] = _SHUT
        self.numbers[_REST], self.numbers[_REST_ARGUMENT] = _system()
        self._helpers: list[tuple[threading.Thread, threading.Lock]] = []  # each with its bell
        self._allowed: set[int] = set()  # the processors that the caller may run on
        self.free = threading.Lock()  # held by the caller that the helpers work for

    def call_helpers(self, count: int) -> bool:
        """Wake the first `count` helpers; tell whether there are any."""
        numbers = self.numbers
        if not numbers[LEAD]:
            numbers[LEAD] = _compiled_join().address
        if count > len(self._helpers):
            count = self._hire(count)
        if numbers[_INVITED] != count:
            numbers[_INVITED] = count
        for number in range(count):
            if numbers[_ASLEEP + 8 * number]:
                numbers[_ASLEEP + 8 * number] = 0
                helper, bell = self._helpers[number]
                self._send_away(helper)
                bell.release()
        return count > 0

    def _hire(self, count: int) -> int:
        """Start helpers until there are so many; return how many there are."""
        while (number := len(self._helpers)) < count:
            bell = threading.Lock()
            helper = threading.Thread(
                target=self._help, args=(number, bell), name="minivae", daemon=True
            )
            self._helpers.append((helper, bell))
            try:
                helper.start()
            except RuntimeError:  # the system has no more, or the interpreter is about to end
                self._helpers.pop()
                break
            self._send_away(helper)
        return number

    def _send_away(self, helper: threading.Thread) -> None:
        """Let a helper begin on another processor than the caller's.

        The system likes to wake a thread beside the one that woke it, and to leave it there: the
        two would then work in turn on one processor while the other stands idle.
        """
        if _processor is not None:
            with suppress(OSError):
                self._allowed = os.sched_getaffinity(0)
                elsewhere = self._allowed - {_processor()}
                os.sched_setaffinity(helper.native_id or 0, elsewhere or self._allowed)

    def _help(self, number: int, bell: threading.Lock) -> None:
        join = _compiled_join().ctypes
        bell.acquire()
        looked, times = _LOOKED + 8 * _MOST_HELPERS, []
        join(self.board, _MOST_HELPERS, 1, 0)  # a helper that is never invited
        start, tick = time.perf_counter(), self.numbers[looked]
        for _ in range(5):
            begin = time.perf_counter()
            join(self.board, _MOST_HELPERS, 200, 0)
            times.append(time.perf_counter() - begin)
        ticks = (self.numbers[looked] - tick) / (time.perf_counter() - start)
        self.numbers[_FRESH] = int(ticks * _JUST_NOW) + 1
        looks, turn = int(200 * _AWAKE / min(times)), 0
        while True:
            if self._allowed:
                with suppress(OSError):
                    os.sched_setaffinity(0, self._allowed)  # from here on as the system likes
            turn = join(self.board, number, looks, turn)
            bell.acquire()


def share(kernel: Callable[..., None], count: int, step: int, arguments: tuple[Any, ...]) -> None:
    """Run ``kernel(0, count, *arguments)``, in blocks with helpers if they are free."""
    helpers, pool = min(threads.get_num_threads(), _CPUS) - 1, _pool
    if INTERPRETED or helpers < 1 or not pool.free.acquire(False):
        kernel(0, count, *arguments)
        return
    try:
        if not pool.call_helpers(helpers):
            kernel(0, count, *arguments)
            return
        numbers = pool.numbers
        numbers[_COUNT], numbers[_STEP] = count, step
        kernel(-pool.board, 0, *arguments)
        if numbers[_FAILED]:
            numbers[_FAILED] = 0
            raise MemoryError("a kernel found no room for what it works with")
    finally:
        pool.free.release()


def _system() -> tuple[int, int]:
    """Return the address of the system's function for a short sleep, and for how long."""
    if sys.platform == "win32":
        sleep, shortly = ctypes.windll.kernel32.Sleep, 1  # milliseconds
    else:
        sleep, shortly = ctypes.CDLL(None).usleep, 20  # microseconds
    return ctypes.cast(sleep, ctypes.c_void_p).value or 0, shortly


def _renew_pool() -> None:
    """Start afresh in a forked process, which has none of its parent's threads."""
    global _pool
    _pool = _Pool()


_CPUS = min(threads.available_cpus(), _MOST_HELPERS + 1)
_processor: Any = None  # tells which processor the caller runs on, where the system can
if hasattr(os, "sched_setaffinity"):
    _processor = getattr(ctypes.CDLL(None), "sched_getcpu", None)
_pool = _Pool()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_pool)
