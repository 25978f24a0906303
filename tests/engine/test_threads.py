"""Several Python threads, each with graphs of its own."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from minivae import Tensor, grad, hvp, no_grad, ops


def work(seed):
    """A forward, a walk, and second derivatives, with shared and long ways."""
    rng = np.random.default_rng(seed)
    w = Tensor(rng.standard_normal((20, 20)), requires_grad=True)
    x = rng.standard_normal((5, 20))
    for _ in range(20):
        h = Tensor(x)
        for _ in range(10):
            h = ops.tanh(h @ w) + h * 0.5
        ops.sum(h * h).backward()
    curved = hvp(lambda v: ops.sum(ops.tanh(x @ v) ** 2.0), x[0], x[1])
    return w.grad, grad(lambda v: ops.logsumexp(v * v))(x), curved


def test_threads_build_and_walk_separate_graphs():
    alone = [work(seed) for seed in range(4)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(work, range(4)))
    for a, b in zip(alone, together, strict=True):
        for x, y in zip(a, b, strict=True):
            np.testing.assert_array_equal(x, y)


def test_no_grad_in_one_thread_does_not_reach_another():
    x = Tensor(2.0, requires_grad=True)
    inside, checked = threading.Event(), threading.Event()
    recorded = {}

    def quiet():
        with no_grad():
            inside.set()
            checked.wait(10)
            recorded["quiet"] = (x * x).requires_grad

    thread = threading.Thread(target=quiet)
    thread.start()
    inside.wait(10)
    recorded["here"] = (x * x).requires_grad
    checked.set()
    thread.join()
    assert recorded == {"quiet": False, "here": True}


def test_a_transform_in_one_thread_does_not_change_another():
    inside, checked = threading.Event(), threading.Event()

    def f(x):
        inside.set()
        checked.wait(10)
        return x * x

    with ThreadPoolExecutor(1) as pool:
        slope = pool.submit(grad(f), 3.0)
        inside.wait(10)
        here = grad(lambda x: x * x)(1.0)
        checked.set()
        assert slope.result() == 6.0
    assert type(here) is np.ndarray


def test_threads_walk_one_graph_together():
    w = Tensor(np.linspace(-1, 1, 50), requires_grad=True)
    y = w
    for _ in range(200):
        y = ops.sin(y) + w
    y = ops.sum(y)

    def slope(factor):
        return grad(lambda t: t * y)(factor), hvp(lambda t: t * t * y, factor, 1.0)

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(slope, np.arange(1.0, 9.0)))
    assert all((a, b) == (y.item(), 2 * y.item()) for a, b in found)
