"""From a naive loop to the machine's limit: a matrix product in steps, each a short kernel.

Run it from the repository's root: ``python examples/matmul_stages.py``. It prints the speed of each
step and draws ``examples/matmul_stages.png``: the first layer of a VAE, relu(x W + b) with x (128,
784) and W (784, 400) in float32, and products of two (1024, 1024) matrices, which do not fit into
the second-level cache.
"""

# %%
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numba import njit

import minivae_kernels as kernels
from minivae_kernels import registers

compiled = njit(fastmath={"contract"}, error_model="numpy", nogil=True)
pool = ThreadPoolExecutor(2)


# %% 1. Each element is a dot product: b is read down a column, a cache line for each number of it,
# and each addition waits for the one before.
@compiled
def naive(a, b, c):
    for i in range(a.shape[0]):
        for j in range(b.shape[1]):
            total = a.dtype.type(0)
            for k in range(a.shape[1]):
                total += a[i, k] * b[k, j]
            c[i, j] = total


# %% 2. The same sums in another order: the inner loop runs along rows of b and c, which are
# contiguous, and its additions do not wait for each other. So it becomes vector instructions.
@compiled
def loop_order(a, b, c):
    c[:] = 0
    for i in range(a.shape[0]):
        for k in range(a.shape[1]):
            x, from_b, to = a[i, k], b[k], c[i]
            for j in range(np.uintp(b.shape[1])):
                to[j] += x * from_b[j]


# %% 3. Four rows of a and four of b at a time: a number of b that was loaded serves four products,
# and a number of c is loaded and stored once for four. All sizes here are multiples of 4.
@compiled
def unrolled(a, b, c):
    sums = np.empty((4, b.shape[1] + 16), a.dtype)
    s0, s1, s2, s3 = sums[0], sums[1], sums[2], sums[3]
    for i in range(0, a.shape[0], 4):
        sums[:] = 0
        a0, a1, a2, a3 = a[i], a[i + 1], a[i + 2], a[i + 3]
        for k in range(0, a.shape[1], 4):
            b0, b1, b2, b3 = b[k], b[k + 1], b[k + 2], b[k + 3]
            p0, p1, p2, p3 = a0[k], a0[k + 1], a0[k + 2], a0[k + 3]
            q0, q1, q2, q3 = a1[k], a1[k + 1], a1[k + 2], a1[k + 3]
            r0, r1, r2, r3 = a2[k], a2[k + 1], a2[k + 2], a2[k + 3]
            t0, t1, t2, t3 = a3[k], a3[k + 1], a3[k + 2], a3[k + 3]
            for j in range(np.uintp(b.shape[1])):
                x0, x1, x2, x3 = b0[j], b1[j], b2[j], b3[j]
                s0[j] = s0[j] + p0 * x0 + p1 * x1 + p2 * x2 + p3 * x3
                s1[j] = s1[j] + q0 * x0 + q1 * x1 + q2 * x2 + q3 * x3
                s2[j] = s2[j] + r0 * x0 + r1 * x1 + r2 * x2 + r3 * x3
                s3[j] = s3[j] + t0 * x0 + t1 * x1 + t2 * x2 + t3 * x3
        for r in range(4):
            c[i + r] = sums[r, : b.shape[1]]


# %% 4. Blocks of b, 256 rows by 512 columns, copied together: 512 kB, which stay in the second
# cache until all rows of a have used them.
def blocked(a, b, c):
    c[:] = 0
    for left in range(0, b.shape[1], 512):
        strip = slice(left, left + 512)
        for first in range(0, b.shape[0], 256):
            depth = slice(first, first + 256)
            block = np.ascontiguousarray(b[depth, strip])
            part = np.empty((len(a), block.shape[1]), c.dtype)
            unrolled(a[:, depth], block, part)
            c[:, strip] += part


# %% 5. Two threads, each with its half of the rows: the loops let go of Python's lock.
def two_threads(a, b, c):
    half = len(a) // 2
    list(pool.map(blocked, (a[:half], a[half:]), (b, b), (c[:half], c[half:])))


# %% 6. Sums that stay in vector registers until they are done: nothing of c is loaded or stored
# meanwhile. What a loop adds up in an array the compiler keeps in memory, so registers are named:
# eight of them, the fewest that hide how long an addition takes, in rows as wide as a cache line,
# of which nothing is loaded in vain. All sizes here are multiples of 8, and of such a line.
width = 64 // registers.BYTES
rows = 8 // width
tile_of_zeros = registers.tile_of(rows, width)


@compiled
def in_registers(a, b, c):
    line, n, last = np.uintp(64 // a.itemsize), np.uintp(b.shape[1]), np.uintp(rows - 1)
    flat, to = b.reshape(-1), c.reshape(-1)
    for j in range(np.uintp(0), n, line):
        for i in range(np.uintp(0), np.uintp(a.shape[0]), np.uintp(rows)):
            tile = tile_of_zeros(c)
            for k in range(np.uintp(b.shape[0])):
                tile = registers.grow(tile, a, i, last, k, flat, k * n + j)
            registers.write_rows(tile, to, i * n + j, last, n)


# %% 7. What minivae runs: tiles of eight rows (or four) and three registers over panels of b that
# are copied together, handed to threads in compiled code, with bias and relu before it writes.
def library(threads):
    def product(a, b, c):
        kernels.set_num_threads(threads)
        return kernels.matmul(a, b)

    return product


# %%
def race(stages, *arguments, rounds=21):
    """The median seconds of each, in turn: a machine that slows down slows them all."""
    seconds = {name: [] for name in stages}
    for _ in range(rounds):
        for name, function in stages.items():
            function(*arguments)  # wakes the threads
            start = time.perf_counter()
            function(*arguments)
            seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(times) for name, times in seconds.items()}


rng = np.random.default_rng(0)
products = {
    "naive loop": naive,
    "loop order": loop_order,
    "unrolled, 4 x 4": unrolled,
    "blocked": blocked,
    "two threads": two_threads,
    "in registers": in_registers,
    "minivae, 1 thread": library(1),
    "minivae, 2 threads": library(2),
}
# Apart from the others: its threads go on spinning for a while, on the processor that theirs need.
last = {"NumPy": lambda a, b, c: np.matmul(a, b, out=c)}
speeds = {}
for m, depth, n in ((128, 784, 400), (1024, 1024, 1024)):
    a, b = rng.standard_normal((m, depth), np.float32), rng.standard_normal((depth, n), np.float32)
    c, shown = np.empty((m, n), np.float32), dict(products)
    if m == 1024:
        del shown["naive loop"]  # it takes seconds
    for multiply in shown.values():
        found = multiply(a, b, c)
        np.testing.assert_allclose(c if found is None else found, a @ b, rtol=1e-4, atol=1e-2)
        time.sleep(0.3)
    rounds = 21 if m == 128 else 7
    times = race(shown, a, b, c, rounds=rounds) | race(last, a, b, c, rounds=rounds)
    label = f"({m}, {depth}) @ ({depth}, {n})"
    speeds[label] = {name: 2 * m * depth * n / s / 1e9 for name, s in times.items()}
    print(f"{label:28}GFLOP/s")
    for name, speed in speeds[label].items():
        print(f"  {name:26}{speed:7.1f}")

# %%
time.sleep(0.3)
x, weight = (rng.standard_normal(s, np.float32) for s in ((128, 784), (784, 400)))
bias = np.ones(400, np.float32)
layers = {
    "product, then bias, then relu": lambda: kernels.relu(kernels.matmul(x, weight) + bias),
    "all in one": lambda: kernels.matmul(x, weight, bias=bias, activation="relu"),
}
print("relu(x W + b)                us")
for name, seconds in race(layers, rounds=201).items():
    print(f"  {name:31}{1e6 * seconds:7.0f}")

# %%
figure = Figure(figsize=(9, 3), layout="constrained")
for axes, (label, found) in zip(figure.subplots(1, 2), speeds.items(), strict=True):
    bars = axes.barh(list(found)[::-1], list(found.values())[::-1], color="#3a7d6e")
    axes.bar_label(bars, fmt="%.0f", padding=3, fontsize=8)
    axes.set(xlabel="GFLOP/s", xlim=(0, 1.15 * max(found.values())))
    axes.set_title(label + ", float32", fontsize=9)
figure.savefig(Path(__file__).parent / "matmul_stages.png", dpi=150)
