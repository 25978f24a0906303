"""Data that are large: steps from a file, a mixture of 10^7 rows under a limit, and a Dask cluster.

    python tests/benchmarks/large.py [step] [file] [cluster]

`step`: a training step from a file against one from memory, in pairs. `file`: a mixture of 10^7
rows of a file, in a process that may address no more than 1.5 GB. `cluster`: iterations of EM a
second by threads and by one and two workers, and the client's memory as rows grow tenfold.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np

LIMIT_KB = 1_500_000
ROWS, FEATURES, COMPONENTS = 10**7, 10, 10
ITERATIONS = 5


def step(rounds: int = 30, steps: int = 20) -> None:
    """Pairs of stretches of steps, from a file of bytes and from float32 in memory."""
    from minivae import VAE
    from minivae.datasets import StoredRows
    from minivae.stored import shuffled

    n, batch, rng = 120_000, 128, np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pixels.npy"
        pixels = np.lib.format.open_memmap(path, "w+", np.uint8, (n, 784))
        for i in range(0, n, 10_000):
            pixels[i : i + 10_000] = rng.integers(0, 256, (10_000, 784), np.uint8)
        pixels.flush()
        on_disk = StoredRows(np.load(path, mmap_mode="r"), scale=255)
        in_memory = on_disk[:40_000]
        runs = []
        for data in (on_disk, in_memory):
            vae = VAE(
                likelihood="continuous-bernoulli", hidden=(400,), latent_dim=20, epochs=1,
                batch_size=batch, random_state=0,
            )  # fmt: skip
            vae._build(vae._settings(), _likelihood(vae), 784, 0)
            run = vae._run(data, None, None, None, None)
            runs.append((run, shuffled(run.data, np.random.default_rng(1), batch)))
        times: list[list[float]] = [[], []]
        position = 0
        for r in range(rounds + 1):
            for which in (0, 1) if r % 2 else (1, 0):
                run, order = runs[which]
                start = time.perf_counter()
                for i in range(position, position + steps):
                    at = i * batch % (run.n - batch) if which else i * batch
                    run.step(order[at : at + batch], 0.5)
                times[which].append(time.perf_counter() - start)
            position += steps
        ratios = [a / b for a, b in zip(times[0][1:], times[1][1:], strict=True)]
        ms = [1e3 * statistics.median(t[1:]) / steps for t in times]
        quarters = statistics.quantiles(ratios, n=4)
        print(
            f"a step of 128 x 784: {ms[0]:.2f} ms from a file, {ms[1]:.2f} ms from memory; ratio "
            f"{statistics.median(ratios):.3f} (quartiles {quarters[0]:.3f} to {quarters[2]:.3f})"
        )


def _likelihood(vae: object) -> object:
    from minivae.models.vae.hyperparameters import make_likelihood

    return make_likelihood(vae)


_FIT_OF_A_FILE = """
import resource, sys, time, warnings
import numpy as np
resource.setrlimit(resource.RLIMIT_AS, ({limit} * 1024,) * 2)
from minivae import GaussianMixture
warnings.simplefilter("ignore")
X = np.load(sys.argv[1], mmap_mode="r")
start = time.perf_counter()
mixture = GaussianMixture({K}, random_state=0, max_iter={iterations}, tol=0).fit(X)
seconds = time.perf_counter() - start
score = mixture.score(X)
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(f"{{seconds:.0f}} s for {iterations} iterations, bound {{mixture.lower_bound_:.6f}}, score "
      f"{{score:.6f}}; at most {{int(status['VmPeak'].split()[0]) / 1e6:.2f}} GB of addresses, "
      f"{{int(status['RssAnon'].split()[0]) / 1e6:.2f}} GB of memory of its own at the end")
"""


def file() -> None:
    """10^7 rows of 10 float64 under a limit on addresses, the mapped file among them."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.npy"
        rows = np.lib.format.open_memmap(path, "w+", np.float64, (ROWS, FEATURES))
        for i in range(0, ROWS, 10**6):
            rows[i : i + 10**6] = _rows(10**6, seed=i)
        rows.flush()
        del rows
        code = _FIT_OF_A_FILE.format(limit=LIMIT_KB, K=COMPONENTS, iterations=ITERATIONS)
        done = subprocess.run(
            [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=False
        )
        print(f"{ROWS} x {FEATURES} rows, K = {COMPONENTS}, {LIMIT_KB / 1e6} GB: ", end="")
        print(done.stdout.strip() or done.stderr[-500:])


def _rows(n: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, FEATURES)) + 3 * rng.integers(0, COMPONENTS, (n, 1))


def cluster(n: int = 10**6, block: int = 10**5) -> None:
    """Iterations a second, and the client's memory against the rows."""
    import dask.array as da
    from distributed import Client, LocalCluster

    from minivae import GaussianMixture

    warnings.simplefilter("ignore")

    def rows_of(count: int) -> da.Array:
        blocks = [
            da.from_delayed(_delayed(_rows, block, i), (block, FEATURES), float)
            for i in range(count // block)
        ]
        return da.concatenate(blocks)

    def fit(X: object, iterations: int) -> float:
        start = time.perf_counter()
        settings = {"random_state": 0, "max_iter": iterations, "tol": 0, "n_init": 1}
        GaussianMixture(COMPONENTS, **settings).fit(X)
        return time.perf_counter() - start

    def speed(X: object) -> float:
        fit(X, 1)
        pairs = [(fit(X, 1), fit(X, 1 + ITERATIONS)) for _ in range(2)]
        return statistics.median(ITERATIONS / (long - short) for short, long in pairs)

    in_memory = np.concatenate([_rows(block, i) for i in range(n // block)])
    print(f"{n} x {FEATURES} rows in {n // block} blocks, K = {COMPONENTS}, iterations a second:")
    print(f"  an array in memory, all threads   {speed(in_memory):.2f}")
    chunks = [in_memory[i : i + block] for i in range(0, n, block)]
    print(f"  a list of chunks, all threads     {speed(chunks):.2f}")
    print(f"  Dask's threads                    {speed(da.from_array(in_memory, (block, -1))):.2f}")
    del in_memory, chunks
    threads = os.environ.get("MINIVAE_NUM_THREADS")
    os.environ["MINIVAE_NUM_THREADS"] = "1"
    for workers in (1, 2):
        with (
            LocalCluster(workers, threads_per_worker=1, dashboard_address=None) as local,
            Client(local),
        ):
            print(f"  {workers} worker{'s' if workers > 1 else ' '} of one thread"
                  f"             {speed(rows_of(n)):.2f}")
            if workers == 2:
                for count in (n // 10, n):
                    before = _own_memory()
                    fit(rows_of(count), 3)
                    print(f"  client, {count:>8} rows: {before:.0f} MB before, "
                          f"{_own_memory():.0f} MB after")
    if threads is None:
        del os.environ["MINIVAE_NUM_THREADS"]


def _delayed(function: object, *arguments: object) -> object:
    import dask

    return dask.delayed(function)(*arguments)


def _own_memory() -> float:
    """Megabytes that are this process's own."""
    with open("/proc/self/status", encoding="ascii") as status:
        return next(int(line.split()[1]) / 1e3 for line in status if line.startswith("RssAnon"))


if __name__ == "__main__":
    for name in sys.argv[1:] or ("step", "file", "cluster"):
        {"step": step, "file": file, "cluster": cluster}[name]()
