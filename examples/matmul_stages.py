"""From a naive loop to the machine's limit: a matrix product in five steps, each a short kernel.

Run it from the repository's root: ``python examples/matmul_stages.py``. It prints what each step
gains on the product of a VAE's first layer, (128, 784) by (784, 400) in float32, and draws
``examples/matmul_stages.png``.
"""

# %%
import statistics
import time
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numba import njit

import minivae_kernels as kernels

compiled = njit(fastmath={"contract"}, error_model="numpy", nogil=True)


# %% Each element is a dot product: the column of b strides through memory, and one sum waits
# for the last.
@compiled
def naive(a, b, c):
    for i in range(a.shape[0]):
        for j in range(b.shape[1]):
            total = a.dtype.type(0)
            for k in range(a.shape[1]):
                total += a[i, k] * b[k, j]
            c[i, j] = total


# %% The inner loop runs along rows of b and c: contiguous, independent, so it vectorises.
@compiled
def loop_order(a, b, c):
    c[:] = 0
    for i in range(a.shape[0]):
        for k in range(a.shape[1]):
            for j in range(b.shape[1]):
                c[i, j] += a[i, k] * b[k, j]


# %% Four rows of b at a time: c is loaded and stored once for four products, not for each.
@compiled
def unrolled(a, b, c):
    c[:] = 0
    for i in range(a.shape[0]):
        for k in range(0, a.shape[1], 4):  # 784 is a multiple of 4
            a0, a1, a2, a3 = a[i, k], a[i, k + 1], a[i, k + 2], a[i, k + 3]
            for j in range(b.shape[1]):
                c[i, j] += a0 * b[k, j] + a1 * b[k + 1, j] + a2 * b[k + 2, j] + a3 * b[k + 3, j]


# %% And four rows of a: each number of b that was loaded is used four times.
@compiled
def tiled(a, b, c):
    c[:] = 0
    for i in range(0, a.shape[0], 4):
        c0, c1, c2, c3 = c[i], c[i + 1], c[i + 2], c[i + 3]
        for k in range(0, a.shape[1], 2):
            p0, p1, p2, p3 = a[i, k], a[i + 1, k], a[i + 2, k], a[i + 3, k]
            q0, q1, q2, q3 = a[i, k + 1], a[i + 1, k + 1], a[i + 2, k + 1], a[i + 3, k + 1]
            for j in range(b.shape[1]):
                x, y = b[k, j], b[k + 1, j]
                c0[j] += p0 * x + q0 * y
                c1[j] += p1 * x + q1 * y
                c2[j] += p2 * x + q2 * y
                c3[j] += p3 * x + q3 * y


def library(threads):
    def product(a, b, c):
        kernels.set_num_threads(threads)
        c[:] = kernels.matmul(a, b)

    return product


# %%
rng = np.random.default_rng(0)
a, b = (
    rng.standard_normal((128, 784), dtype=np.float32),
    rng.standard_normal((784, 400), dtype=np.float32),
)
stages = {
    "naive": naive,
    "loop order": loop_order,
    "unrolled 1x4": unrolled,
    "tiled 4x2": tiled,
    "minivae, 1 thread": library(1),
    "minivae, 2 threads": library(2),
    "NumPy": lambda a, b, c: np.matmul(a, b, out=c),
}
seconds = {name: [] for name in stages}
c = np.empty((128, 400), np.float32)
for _ in range(31):  # in turn, so that a machine that slows down slows them all
    for name, multiply in stages.items():
        start = time.perf_counter()
        multiply(a, b, c)
        seconds[name].append(time.perf_counter() - start)
        np.testing.assert_allclose(c, a @ b, rtol=1e-4, atol=1e-3)

# %%
speeds = {
    name: 2 * a.size * b.shape[1] / statistics.median(times) / 1e9
    for name, times in seconds.items()
}
for name, speed in speeds.items():
    print(f"{name:20}{speed:8.1f} GFLOP/s")
figure = Figure(figsize=(6, 3), layout="constrained")
axes = figure.add_subplot()
axes.barh(list(speeds)[::-1], list(speeds.values())[::-1], color="#3a7d6e")
axes.set_xlabel("GFLOP/s, (128, 784) @ (784, 400) in float32")
figure.savefig(Path(__file__).parent / "matmul_stages.png", dpi=150)
