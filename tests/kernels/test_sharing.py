"""Helpers that join a kernel: every block once, sleep when idle, failures, ends of processes."""

import os
import re
import threading
import time
from pathlib import Path

import numba
import numpy as np
import pytest
from llvmlite import ir

import minivae_kernels as kernels
from minivae_kernels import _native, _sharing
from minivae_kernels._jit import INTERPRETED, block_kernel
from minivae_kernels.mixture import mixture_log_prob

BLOCKS = 64

pytestmark = [
    pytest.mark.skipif(INTERPRETED, reason="nothing is shared"),
    pytest.mark.skipif(_sharing._CPUS < 2, reason="helpers need a processor of their own"),
]


@pytest.fixture(autouse=True)
def two_threads(set_threads):
    set_threads(2)


@block_kernel
def count(start, stop, out, work):
    for i in range(start, stop):
        for _ in range(work):
            out[i] = out[i] * 0.5 + 1.0


@block_kernel
def fail(start, stop, out):
    if out[start] == 0:
        raise MemoryError("no room")
    out[start] += 1


def blocks_asked_for():
    return _sharing._pool.numbers[_sharing._TAKEN]


def test_every_block_is_done_once_and_helpers_do_some():
    deadline = time.monotonic() + 60
    calls = joined = 0
    while joined < 20 and time.monotonic() < deadline:
        out = np.zeros(BLOCKS)
        count.run(BLOCKS, 1, out, 2000)
        calls += 1
        assert (out == 2).all()
        # whoever finds no block left has asked for one too many
        joined += blocks_asked_for() == BLOCKS + 2
        if calls % 50 == 0:
            time.sleep(0.002)  # let them fall asleep
    assert joined


def test_fewer_threads_leave_the_helpers_alone():
    kernels.set_num_threads(1)
    before = _sharing._pool.numbers[_sharing._TURN]
    out = np.zeros(BLOCKS)
    count.run(BLOCKS, 1, out, 1)
    assert (out == 1).all()
    assert _sharing._pool.numbers[_sharing._TURN] == before


def test_idle_helpers_sleep():
    count.run(BLOCKS, 1, np.zeros(BLOCKS), 200)
    time.sleep(0.05)
    before = time.process_time()
    time.sleep(0.3)
    assert time.process_time() - before < 0.05


def test_a_helper_stays_awake_as_long_as_the_caller_works():
    pool, asleep, join = _sharing._Pool(), threading.Event(), _sharing._compiled_join().ctypes
    pool.numbers[_sharing._INVITED] = pool.numbers[_sharing._LEADS] = 1

    def help_until_it_sleeps():
        join(pool.board, 0, 1000, 0)  # a thousand looks take less than a millisecond
        asleep.set()

    helper = threading.Thread(target=help_until_it_sleeps, daemon=True)
    helper.start()
    try:
        assert not asleep.wait(0.5)  # the caller is in a long block
        pool.numbers[_sharing._INVITED] = 0
        assert asleep.wait(30)  # and its call is not for this helper
    finally:
        pool.numbers[_sharing._LEADS] = 0
    helper.join(30)
    assert not helper.is_alive()


def test_the_board_says_whether_the_caller_works():
    out, numbers = np.zeros(2), _sharing._pool.numbers
    count.run(2, 1, out, 1)  # compiled
    caller = threading.Thread(target=count.run, args=(2, 1, out, 10**8))
    caller.start()
    while caller.is_alive() and not numbers[_sharing._LEADS]:
        time.sleep(0.001)
    assert numbers[_sharing._LEADS] == 1
    caller.join()
    assert numbers[_sharing._LEADS] == 0


@pytest.mark.skipif(_sharing._processor is None, reason="the system does not place threads")
def test_a_helper_is_woken_on_another_processor_and_then_free_to_move(monkeypatch):
    count.run(BLOCKS, 1, np.zeros(BLOCKS), 200)
    time.sleep(0.05)  # let it fall asleep
    allowed, here = os.sched_getaffinity(0), min(os.sched_getaffinity(0))
    place, placed = os.sched_setaffinity, []

    def watch(thread, processors):
        place(thread, processors)
        placed.append((thread, set(processors)))

    monkeypatch.setattr(os, "sched_setaffinity", watch)
    monkeypatch.setattr(_sharing, "_processor", lambda: here)
    deadline = time.monotonic() + 60
    while len(placed) < 2 and time.monotonic() < deadline:
        count.run(BLOCKS, 1, np.zeros(BLOCKS), 200)
        time.sleep(0.05)  # a helper that is kept awake is not woken
    helper, _ = _sharing._pool._helpers[0]
    assert placed[:2] == [(helper.native_id, allowed - {here}), (0, allowed)]
    assert os.sched_getaffinity(helper.native_id) == allowed


def test_a_failure_in_any_block_reaches_the_caller_and_closes_the_kernel():
    for i in range(50):
        out = np.ones(BLOCKS)
        out[i] = 0
        with pytest.raises(MemoryError):
            fail.run(BLOCKS, 1, out)
        assert _sharing._pool.numbers[_sharing._INSIDE] == _sharing._SHUT
        out = np.ones(BLOCKS)
        fail.run(BLOCKS, 1, out)
        assert (out == 2).all()


def test_nobody_is_let_in_who_has_not_looked_just_now(monkeypatch):
    pool = _sharing._Pool()
    pool._helpers = [None]  # which never comes
    monkeypatch.setattr(_sharing, "_pool", pool)
    for looked, turns in ((0, 0), (2**62, 1)):
        pool.numbers[_sharing._LOOKED] = looked
        out = np.zeros(BLOCKS)
        count.run(BLOCKS, 1, out, 1)
        assert (out == 1).all()
        assert pool.numbers[_sharing._TURN] == turns
        assert pool.numbers[_sharing._INSIDE] == _sharing._SHUT


@block_kernel
def crowded(start, stop, a, b, c, d, e, f, g, h, i, j, k, L, m, n, o, p, q, r, s, t):
    a[start] = 1


def test_too_many_arguments_are_refused_when_compiling():
    with pytest.raises(Exception, match="too many arguments"):
        crowded.run(4, 1, *[np.zeros(4)] * 20)


def test_another_calling_convention_is_refused():
    def function(result, *names):
        kind = ir.FunctionType(result, [ir.IntType(64)] * len(names))
        made = ir.Function(ir.Module(), kind, "f")
        for argument, name in zip(made.args, names, strict=True):
            argument.name = name
        return made

    known = "retptr", "excinfo", "arg.start", "arg.stop", "arg.x"
    _native.check_convention(function(ir.IntType(32), *known))
    for result, names in (
        (ir.IntType(64), known),
        (ir.IntType(32), known[1:]),
        (ir.IntType(32), ("retptr", "arg.start", "arg.stop", "arg.x")),
    ):
        with pytest.raises(TypeError, match="in a way that minivae does not know"):
            _native.check_convention(function(result, *names))


def test_the_installed_numba_is_one_that_is_known():
    project = (Path(__file__).parents[2] / "pyproject.toml").read_text()
    (*low, not_above) = re.search(r'"numba>=(\d+)\.(\d+),<0\.(\d+)"', project).groups()
    assert tuple(map(int, low)) <= numba.version_info.short < (0, int(not_above))


@pytest.mark.slow
def test_a_process_may_end_while_helpers_are_awake(run_python):
    code = """
import sys, numpy as np, minivae_kernels as kernels
kernels.set_num_threads(2)
x = np.ones(200_000, np.float32)
for _ in range(300):
    kernels.exp(x)
"""
    for _ in range(5):
        run = run_python(code)
        assert (run.returncode, run.stderr) == (0, "")


def test_without_a_new_thread_the_caller_does_all(monkeypatch):
    def refuse(thread):
        raise RuntimeError("can't start new thread")

    x = np.random.default_rng(0).normal(size=(2000, 300))
    mixture = (np.full(2, 0.5), np.zeros((2, 300)), np.ones((2, 300)), "diag")
    product, likelihood = kernels.matmul(x, x.T), mixture_log_prob(x, *mixture)
    monkeypatch.setattr(_sharing, "_pool", _sharing._Pool())
    monkeypatch.setattr(threading.Thread, "start", refuse)
    np.testing.assert_array_equal(kernels.matmul(x, x.T), product)
    np.testing.assert_array_equal(mixture_log_prob(x, *mixture), likelihood)
    assert not _sharing._pool._helpers
    monkeypatch.undo()
    np.testing.assert_array_equal(kernels.matmul(x, x.T), product)
