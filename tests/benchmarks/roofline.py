"""What this machine can do, and what the kernels and a training step make of it.

``make roofline`` prints three tables and draws ``kernels/roofline.png``: the machine's peaks,
measured by two loops of our own; every kernel of a training step, its time against the shortest
that those peaks allow; and where the time of a step goes, kernel by kernel. If a kernel is faster
than that shortest time by a twentieth, a peak has been measured wrong: it ends with an error.
"""

from __future__ import annotations

import argparse
import functools
import os
import statistics
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cases
import numpy as np
import ours
from numba import njit

import minivae_kernels as kernels
from minivae import optim
from minivae.tensor import Tensor, primitive, walk, wrap
from minivae_kernels import _loops
from minivae_kernels.registers import lanes, read, write, zeros

THREADS = 2
MEMORY = 100
BEYOND = 1.05  # what a kernel may reach of its roof; more, and the roof is measured wrong
# Megabytes that each thread works on, and where they lie.
LEVELS = {0.02: "first cache", 0.5: "second cache", 6: "third cache", MEMORY: "memory"}
compiled = njit(fastmath={"contract"}, error_model="numpy", nogil=True)


# The machine -------------------------------------------------------------------------------------


@compiled
def multiply_adds(x: Any, out: Any, repeats: int) -> None:
    """Ten sums in registers, none of which waits for another: nothing but multiply-adds.

    A processor that starts two in a cycle and needs four or five cycles for each is always busy.
    """
    start, factor = read(x, np.uintp(0)), x[0]
    s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = s8 = s9 = zeros(x)
    for _ in range(repeats):
        s0, s1, s2 = start + factor * s0, start + factor * s1, start + factor * s2
        s3, s4, s5 = start + factor * s3, start + factor * s4, start + factor * s5
        s6, s7, s8 = start + factor * s6, start + factor * s7, start + factor * s8
        s9 = start + factor * s9
    write(out, np.uintp(0), (s0 + s1 + s2) + (s3 + s4 + s5) + (s6 + s7 + s8) + s9)


@compiled
def negates(x: Any, repeats: int) -> None:
    """One number read and written for one operation: nothing but traffic.

    In place, for a number that is written elsewhere is fetched first, which is not counted.
    """
    for _ in range(repeats):
        for i in range(np.uintp(x.size)):
            x[i] = -x[i]


def at_once(function: Callable[..., None], arguments: list[tuple[Any, ...]]) -> float:
    """Seconds until as many threads as there are arguments have all done their call."""
    crowd = [threading.Thread(target=function, args=a) for a in arguments]
    start = time.perf_counter()
    for thread in crowd:
        thread.start()
    for thread in crowd:
        thread.join()
    return time.perf_counter() - start


def peak_flops(threads: int) -> float:
    """Operations a second in float32, a multiply-add counted as two."""
    x, repeats = np.full(lanes(4), 0.5, np.float32), 1_000_000
    multiply_adds(x, x.copy(), 1)
    work = [(x, x.copy(), repeats) for _ in range(threads)]
    fastest = min(at_once(multiply_adds, work) for _ in range(25))
    return threads * 10 * 2 * x.size * repeats / fastest


def bandwidth(threads: int, megabytes: float) -> float:
    """Bytes a second read and written, by each thread in an array of its own."""
    size = int(megabytes * 2**20 / 4)
    repeats = max(1, int(1e8 / size))
    work = [(np.ones(size, np.float32), repeats) for _ in range(threads)]
    negates(work[0][0], 1)
    return threads * 8 * size * repeats / min(at_once(negates, work) for _ in range(9))


def handing_over() -> float:
    """Seconds that a kernel with next to nothing to do takes longer if threads share it."""
    x = np.zeros(2, np.float32)
    shared = median_seconds(lambda: _loops.exp.run(2, 1, x, x))
    return shared - median_seconds(lambda: _loops.exp.run(2, 2, x, x))


def taping() -> tuple[float, float]:
    """Seconds that an operation costs on the tape, beside its own work: forwards and backwards."""
    same = primitive(lambda x, y, z: x, lambda g, out, x, y, z: (g, y, z))
    x, *others = (wrap(np.ones(1), requires_grad=True) for _ in range(43))

    def chain(n: int) -> Tensor:
        out = x
        for i in range(n):
            out = same(out, others[2 * i], others[2 * i + 1])  # as a layer's weight and bias
        return out

    short, long = chain(1), chain(21)
    seed = np.ones(1)
    back = median_seconds(lambda: walk(long, seed)) - median_seconds(lambda: walk(short, seed))
    return (median_seconds(lambda: chain(21)) - median_seconds(lambda: chain(1))) / 20, back / 20


# The kernels -------------------------------------------------------------------------------------

# Operations on floating-point numbers for each element, counted in the source: a multiply-add is
# two, a division or a square root eight (what it keeps the processor busy for). Comparisons,
# choices and what is done to bits do not count, though they take their time.
OPERATIONS = {
    "exp": 22,
    "tanh": 33,
    "sigmoid": 29,
    "softplus": 41,
    "log1p": 30,
    "Bernoulli log-density": 45,
    "Bernoulli gradient": 32,
    "Adam": 27,
    "take_rows": 0,
}


def kernel_cases() -> list[tuple[str, Callable[[], object], float, float]]:
    """Name, call, operations and bytes of every kernel, at the sizes of a training step."""
    found: list[tuple[str, Callable[[], object], float, float]] = []
    for m, k, n, transposed in cases.VAE_PRODUCTS[:6]:
        a, b = cases.product_data(f"product {m}x{k}x{n} {transposed}")
        found.append(
            (
                f"matmul {m}x{k}x{n}",
                functools.partial(kernels.matmul, a, b),
                2 * m * k * n,
                4 * (m * k + k * n + m * n),
            )
        )
    for name in cases.FUNCTIONS:
        function, x = getattr(kernels, name), cases.function_data(f"function {name}")
        call = functools.partial(function, x)
        found.append((name, call, OPERATIONS[name] * x.size, 8 * x.size))
    logits, x = cases.bernoulli_data()
    g = np.ones(len(x), np.float32)
    found += [
        (
            "Bernoulli log-density",
            lambda: kernels.binomial_log_prob(logits, x, 1.0),
            OPERATIONS["Bernoulli log-density"] * x.size,
            8 * x.size,
        ),
        (
            "Bernoulli gradient",
            lambda: kernels.binomial_log_prob_backward(g, logits, x, 1.0),
            OPERATIONS["Bernoulli gradient"] * x.size,
            12 * x.size,
        ),
    ]
    param, grad, m, v = ([np.full(784 * 400, 0.5, np.float32)] for _ in range(4))
    adam = {"step": 9, "learning_rate": 1e-3, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8}
    found.append(
        (
            "Adam",
            lambda: kernels.adam_update(param, grad, m, v, **adam),
            OPERATIONS["Adam"] * param[0].size,
            28 * param[0].size,
        )
    )
    X = np.zeros((60_000, 784), np.float32)
    index, place = np.random.default_rng(0).permutation(len(X)), [0]

    def take() -> None:
        place[0] = (place[0] + 128) % (len(X) - 128)
        kernels.take_rows(X, index[place[0] : place[0] + 128])

    found.append(("take_rows", take, 0, 8 * 128 * 784))
    return found


def median_seconds(function: Callable[[], object], seconds: float = 0.4) -> float:
    """The median time of a call."""
    for _ in range(3):
        function()
    times, end = [], time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


# A step ------------------------------------------------------------------------------------------


def step_profile(case: str, steps: int = 400) -> tuple[float, float, dict[str, float]]:
    """Seconds of a training step by its program and on the tape, and of the kernels in that.

    Each is the median over steps.
    """
    replayed, _ = ours.prepare(case)
    for _ in range(100):
        replayed()
    by_program = median_seconds(replayed, seconds=1.0)
    os.environ["MINIVAE_REPLAY"] = "0"
    try:
        run, _ = ours.prepare(case)
    finally:
        del os.environ["MINIVAE_REPLAY"]
    for _ in range(100):
        run()
    spent: dict[str, float] = defaultdict(float)
    originals = {n: f for n, f in vars(kernels).items() if n in kernels.__all__ and callable(f)}

    def timed(name: str, f: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            start = time.perf_counter()
            result = f(*args, **kwargs)
            spent[name] += time.perf_counter() - start
            return result

        return call

    whole: list[float] = []
    by_step: dict[str, list[float]] = defaultdict(list)
    for name, f in originals.items():
        setattr(kernels, name, timed(name, f))
    adam = optim.adam
    optim.adam = lambda *arrays: timed("adam_update", adam(*arrays))
    try:
        for _ in range(steps):
            spent.clear()
            start = time.perf_counter()
            run()
            whole.append(time.perf_counter() - start)
            for name, seconds in spent.items():
                by_step[name].append(seconds)
    finally:
        for name, f in originals.items():
            setattr(kernels, name, f)
        optim.adam = adam
    parts = {name: statistics.median(times) for name, times in by_step.items()}
    return by_program, statistics.median(whole), parts


# The report --------------------------------------------------------------------------------------


def main() -> None:
    """Measure, print, draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("kernels"))
    options = parser.parse_args()
    kernels.set_num_threads(THREADS)

    print(f"{'The machine':28}{'1 thread':>12}{f'{THREADS} threads':>12}")
    flops = {n: peak_flops(n) for n in (1, THREADS)}
    print(f"{'float32, GFLOP/s':28}{flops[1] / 1e9:12.0f}{flops[THREADS] / 1e9:12.0f}")
    speeds: dict[float, float] = {}
    for megabytes, where in LEVELS.items():
        one, speeds[megabytes] = bandwidth(1, megabytes), bandwidth(THREADS, megabytes)
        label = f"{where}, GB/s ({megabytes:g} MB)"
        print(f"{label:28}{one / 1e9:12.0f}{speeds[megabytes] / 1e9:12.0f}")

    print(f"{'handing work over, us':28}{'':12}{1e6 * handing_over():12.1f}")
    there, back = taping()
    print(f"{'the tape, us an operation':28}{f'{1e6 * there:.1f} there':>12}{1e6 * back:7.1f} back")

    def shortest(operations: float, traffic: float) -> float:
        # each thread has its share of the data: the first cache that this fits in sets the speed
        level = next((m for m in speeds if traffic / THREADS <= m * 2**20), MEMORY)
        return max(operations / flops[THREADS], traffic / speeds[level])

    print(
        f"\n{'The kernels':28}{'us':>8}{'GFLOP/s':>9}{'GB/s':>7}{'possible us':>13}{'reached':>9}"
    )
    points, beyond = [], []
    for name, call, operations, traffic in kernel_cases():
        if name == "take_rows":  # from all over the data: the memory's speed counts
            bound = traffic / 2 / speeds[MEMORY] + traffic / 2 / speeds[0.5]
        else:
            bound = shortest(operations, traffic)
        seconds = median_seconds(call)
        points.append((name, operations, traffic, seconds))
        if bound > BEYOND * seconds:
            beyond.append(name)
        print(
            f"{name:28}{1e6 * seconds:8.1f}{operations / seconds / 1e9:9.0f}"
            f"{traffic / seconds / 1e9:7.0f}{1e6 * bound:13.1f}{bound / seconds:9.0%}"
        )

    for case, (D, H, K, batch) in cases.STEPS.items():
        by_program, step, parts = step_profile(case)
        print(f"\n{f'A step, {D}-{H}-{K}, batch {batch}':28}{'us':>8}{'share':>9}")
        rest = step - sum(parts.values())
        rows = sorted(parts.items(), key=lambda item: -item[1])
        for name, seconds in [*rows, ("the tape, NumPy, Python", rest), ("together", step)]:
            print(f"{name:28}{1e6 * seconds:8.0f}{seconds / step:9.0%}")
        print(f"{'by its program':28}{1e6 * by_program:8.0f}{by_program / step:9.0%}")

    options.out.mkdir(parents=True, exist_ok=True)
    draw(flops[THREADS], speeds, points, options.out / "roofline.png")
    print(f"\nWritten: {options.out / 'roofline.png'}")
    if beyond:
        raise SystemExit(f"Faster than their roofs, which cannot be: {', '.join(beyond)}.")


def draw(
    peak: float,
    speeds: dict[float, float],
    points: list[tuple[str, float, float, float]],
    path: Path,
) -> None:
    """Speed against operations for each byte: the roofs, and the kernels under them."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.5, 4.6), layout="constrained")
    axes = figure.add_subplot()
    x = np.geomspace(0.3, 60, 200)
    for megabytes, speed in speeds.items():
        axes.plot(x, np.minimum(peak, speed * x) / 1e9, color="0.6", linewidth=1)
        at = min(0.36, 0.8 * peak / speed)
        axes.annotate(
            LEVELS[megabytes], (at, 1.1 * speed * at / 1e9), fontsize=7, color="0.35", rotation=33,
            rotation_mode="anchor",
        )  # fmt: skip
    labels = {name: name for name, *_ in points}
    for name, *_ in points[1:4]:
        labels[name] = ""  # the four large products lie in one place
    labels[points[0][0]] = "matmul, the large products"
    places = {
        points[0][0]: (-5, 0, "right"), "sigmoid": (-5, 0, "right"), "exp": (0, 7, "center"),
        "Bernoulli gradient": (0, -8, "center"), "Bernoulli log-density": (0, -8, "center"),
    }  # fmt: skip
    for name, operations, traffic, seconds in points:
        if not operations:
            continue
        matmul = name.startswith("matmul")
        at = operations / traffic, operations / seconds / 1e9
        axes.scatter(*at, s=22, color="#3a7d6e" if matmul else "#b5532f", zorder=3)
        right, up, side = places.get(name, (5, 0, "left"))
        axes.annotate(
            labels[name], at, xytext=(right, up), textcoords="offset points", fontsize=6.5, ha=side,
            va="center",
        )  # fmt: skip
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xticks([0.5, 1, 2, 5, 10, 20, 50], ["0.5", "1", "2", "5", "10", "20", "50"])
    axes.set_yticks([20, 50, 100, 200], ["20", "50", "100", "200"])
    axes.minorticks_off()
    axes.set_ylim(peak / 2e10, 1.5 * peak / 1e9)
    axes.set_xlabel("operations for each byte read or written")
    axes.set_ylabel(f"GFLOP/s, float32, {THREADS} threads")
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    main()
