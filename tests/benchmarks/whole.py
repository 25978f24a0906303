"""What needs more than a repeated call: whole epochs, whole processes, memory, growth."""

from __future__ import annotations

import itertools
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent


def process_seconds(library: str, cache: str | None) -> tuple[float, float]:
    """Wall seconds and peak megabytes of a process that imports a library and steps once."""
    environment = dict(os.environ)
    if cache is not None:
        environment["NUMBA_CACHE_DIR"] = cache
    code = (
        "import resource, runpy, sys; sys.argv = ['first_step.py', sys.argv[1]]; "
        "runpy.run_path('first_step.py', run_name='__main__'); "
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)"
    )
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", code, library],
        cwd=HERE,
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    return time.perf_counter() - start, float(done.stdout.split()[-1])


def first_step(rounds: int) -> dict[str, Any]:
    """From the start of Python to the end of the first step: cold cache, warm cache, and torch."""
    cold, warm, theirs, ours_mb, theirs_mb = [], [], [], [], []
    for r in range(rounds):
        with tempfile.TemporaryDirectory() as cache:
            if r == 0:
                cold.append(process_seconds("minivae", cache)[0])
            else:
                process_seconds("minivae", None)
        seconds, megabytes = process_seconds("minivae", None)
        warm.append(seconds)
        ours_mb.append(megabytes)
        seconds, megabytes = process_seconds("torch", None)
        theirs.append(seconds)
        theirs_mb.append(megabytes)
    return {
        "cold_seconds": cold[0],
        "warm_seconds": statistics.median(warm),
        "torch_seconds": statistics.median(theirs),
        "ours_mb": statistics.median(ours_mb),
        "torch_mb": statistics.median(theirs_mb),
    }


def epoch_against_step(rounds: int = 5, n: int = 60_000) -> dict[str, float]:
    """Epochs of ``fit`` on n images, progress bar on, against the bare steps they are made of.

    As many bare steps of another model are timed before and after each epoch, so that a machine
    whose speed drifts slows both.
    """
    import cases
    from ours import training_run

    import minivae_kernels as kernels
    from minivae import VAE

    kernels.set_num_threads(2)
    D, H, K, batch = cases.STEPS["step"]
    X = (np.random.default_rng(0).random((n, D), dtype=np.float32) < 0.3).astype(np.float32)
    shape: dict[str, Any] = {"latent_dim": K, "hidden": (H,), "batch_size": batch}
    fitting = training_run(VAE(random_state=0, **shape), X)
    order = np.random.default_rng(0).permutation(n)
    steps = n // batch
    bare, whole, began = [], [], 0.0

    def time_bare_steps(vae: VAE, epoch: int) -> None:
        nonlocal began
        start = time.perf_counter()
        if epoch:
            whole.append((start - began) / (n / batch))
        for i in range(steps):
            fitting.step(order[i * batch : (i + 1) * batch], 1.0)
        began = time.perf_counter()
        bare.append((began - start) / steps)

    for i in range(20):
        fitting.step(order[i * batch : (i + 1) * batch], 1.0)
    sys.stderr = open(os.devnull, "w")  # noqa: SIM115
    VAE(epochs=rounds, random_state=0, verbose=True, **shape).fit(X, on_epoch=time_bare_steps)
    sys.stderr = sys.__stderr__
    beside = [(before + after) / 2 for before, after in itertools.pairwise(bare)]
    return {
        "bare_ms": 1e3 * statistics.median(bare),
        "whole_ms": 1e3 * statistics.median(whole),
        "ratio": statistics.median([w / b for w, b in zip(whole, beside, strict=True)]),
    }


def beside_busy(rounds: int = 3, block: int = 200) -> dict[str, float]:
    """A step on two threads against one while two other processes keep both processors busy.

    Blocks of steps in turn; the ratio is the median over the rounds. A block is timed as a whole: a
    step is either interrupted, for longer than it lasts, or not, so that the median step jumps.
    """
    import ours

    import minivae_kernels as kernels

    run, _ = ours.prepare("step")
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(2)]
    times: dict[int, list[float]] = {2: [], 1: []}
    try:
        for _ in range(rounds):
            for threads, seconds in times.items():
                kernels.set_num_threads(threads)
                start = time.perf_counter()
                for _ in range(block):
                    run()
                seconds.append((time.perf_counter() - start) / block)
    finally:
        for process in busy:
            process.kill()
            process.wait()
    ratio = statistics.median([two / one for two, one in zip(times[2], times[1], strict=True)])
    two, one = (statistics.median(times[n]) for n in (2, 1))
    return {"ratio": ratio, "two_seconds": two, "one_seconds": one}


def beside_other_pools(rounds: int = 30) -> dict[str, float]:
    """How much slower a product is right after another library's in the same process.

    Threads of a pool spin for a while after their last work. Ours after NumPy's and PyTorch's,
    against how much slower NumPy's is after PyTorch's.
    """
    import torch

    import minivae_kernels as kernels

    kernels.set_num_threads(2)
    torch.set_num_threads(2)
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal(s).astype(np.float32) for s in ((128, 784), (784, 400)))
    ta, tb = torch.from_numpy(a), torch.from_numpy(b)
    products: dict[str, Any] = {
        "ours": lambda: kernels.matmul(a, b),
        "numpy": lambda: a @ b,
        "torch": lambda: ta @ tb,
    }

    def seconds(name: str, after: tuple[str, ...]) -> float:
        times = []
        for _ in range(rounds):
            time.sleep(0 if after else 0.05)
            if not after:
                products[name]()
            for other in after:
                products[other]()
            start = time.perf_counter()
            products[name]()
            times.append(time.perf_counter() - start)
        return statistics.median(times)

    ours = seconds("ours", ("numpy", "torch")), seconds("ours", ())
    theirs = seconds("numpy", ("torch",)), seconds("numpy", ())
    slower, they = ours[0] / ours[1], theirs[0] / theirs[1]
    return {"ratio": slower / they, "ours_slower": slower, "numpy_slower": they}


def posterior_fit(steps: int = 400) -> dict[str, float]:
    """Seconds of ``fit_posterior`` on 1,000 digits, and what ten times its steps gain, in nats.

    Both ELBOs are of the same 2,000 draws for each digit.
    """
    from functools import partial

    from minivae import VAE, datasets
    from minivae.inference import fit_posterior

    X = datasets.load("digits").model_arrays(counts=True)[0]
    vae = VAE(2, hidden=(64,), likelihood="binomial", n_trials=16, epochs=30, random_state=0)
    log_joint = partial(vae.fit(X).model_.log_joint, X[:1000])
    fit_posterior(log_joint, 1000, 2, random_state=0, steps=2)
    start = time.perf_counter()
    ours = fit_posterior(log_joint, 1000, 2, random_state=0, steps=steps)
    seconds = time.perf_counter() - start
    longer = fit_posterior(log_joint, 1000, 2, random_state=0, steps=10 * steps)
    return {"seconds": seconds, "short": float(np.mean(longer.elbo - ours.elbo))}


def growth(rounds: int = 5) -> list[dict[str, float | str]]:
    """Time of a step against its arithmetic, as batch, width and depth double three times."""
    from ours import training_run

    import minivae_kernels as kernels
    from minivae import VAE

    kernels.set_num_threads(2)
    X = (np.random.default_rng(0).random((4096, 784), dtype=np.float32) < 0.3).astype(np.float32)
    results: list[dict[str, float | str]] = []
    for what in ("batch", "width", "depth"):
        runs = []
        for factor in (1, 2, 4, 8):
            batch = 128 * (factor if what == "batch" else 1)
            width = 400 * (factor if what == "width" else 1)
            layers = factor if what == "depth" else 1
            vae = VAE(latent_dim=20, hidden=(width,) * layers, batch_size=batch, random_state=0)
            fitting = training_run(vae, X)
            index = np.random.default_rng(0).permutation(len(X))[:batch]
            # Two products a layer forwards and backwards in each net, three where the input
            # needs a gradient.
            weights = [p.size for name, p in vae.named_parameters() if name.endswith("weight")]
            arithmetic = 2 * batch * (3 * sum(weights) - weights[0])
            runs.append((factor, lambda f=fitting, i=index: f.step(i, 1.0), arithmetic))
        times: dict[int, list[float]] = {factor: [] for factor, _, _ in runs}
        for _ in range(rounds):
            for factor, run, _ in runs:
                run()
                start = time.perf_counter()
                run()
                run()
                times[factor].append((time.perf_counter() - start) / 2)
        base = statistics.median(times[1])
        for factor, _, arithmetic in runs[1:]:
            excess = statistics.median(times[factor]) / base / (arithmetic / runs[0][2])
            results.append({"what": what, "factor": factor, "excess": excess})
    return results
