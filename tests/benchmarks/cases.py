"""What is compared: the cases, their data, and how fast they ought to be.

Data are drawn by NumPy from fixed seeds, so every library gets the same numbers.
"""

from __future__ import annotations

import platform
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np


def _of_intel() -> bool:
    """Whether Intel has made the processor."""
    with suppress(OSError):
        return "GenuineIntel" in Path("/proc/cpuinfo").read_text(encoding="utf-8")
    return "intel" in platform.processor().lower()


# m, k, n of the products in one training step of a 784-400-20 VAE, and which operands come
# transposed
VAE_PRODUCTS = [
    (128, 784, 400, "nn"),
    (128, 400, 784, "nn"),
    (784, 128, 400, "tn"),
    (400, 128, 784, "tn"),
    (128, 400, 40, "nn"),
    (128, 20, 400, "nn"),
    (128, 784, 400, "nt"),
    (128, 400, 784, "nt"),
    (784, 128, 400, "nn"),
    (400, 128, 784, "nn"),
    (128, 400, 40, "nt"),
    (128, 20, 400, "nt"),
    (400, 128, 40, "tn"),
    (20, 128, 400, "tn"),
]
SQUARES = [256, 384, 512, 768, 1024]
# and how fast ours ought to be: reach, aim
FUNCTIONS = {
    "exp": (1.00, 0.70),
    "tanh": (1.00, 0.70),
    "sigmoid": (0.85, 0.60),
    "softplus": (0.40, 0.30),
    "log1p": (0.55, 0.40),
}
LAYERS = [(128, 784, 400), (128, 20, 400), (100, 64, 200)]
STEPS = {"step": (784, 400, 20, 128), "small step": (64, 200, 2, 100)}
# of the products of a VAE: MKL is written for Intel's processors, and is slower on others
PRODUCTS = (1.20, 1.00) if _of_intel() else (0.98, 0.90)
PEERS = ["numpy", "torch", "jax"]
# covariance type, N, D, K of a mixture, and how fast ours ought to be: reach, aim
MIXTURES = [
    ("full", 100_000, 10, 10, 1 / 25, 1 / 40),
    ("full", 100_000, 2, 5, 1 / 8, 1 / 20),
    ("full", 60_000, 20, 10, 1 / 12, 1 / 30),
    ("full", 20_000, 64, 10, 1 / 10, 1 / 15),
    ("diag", 100_000, 10, 10, 1 / 4, 1 / 8),
    ("diag", 20_000, 64, 10, 1 / 2, 1 / 4),
]
SEEDINGS = [(100_000, 10, 10), (60_000, 20, 10), (20_000, 64, 10)]
ITERATIONS = 10  # of a whole fit of a mixture


@dataclass(frozen=True)
class Row:
    """One line of the table: the geometric mean over cases of our time over the fastest peer's."""

    name: str
    cases: tuple[str, ...]
    peers: tuple[str, ...]
    threads: tuple[int, ...]
    reach: float
    aim: float
    quick: bool = True


def rows() -> list[Row]:
    """The table of comparisons inside a process."""
    products = tuple(f"product {m}x{k}x{n} {t}" for m, k, n, t in VAE_PRODUCTS)
    squares = tuple(f"product {n}x{n}x{n} nn" for n in SQUARES)
    layers = tuple(f"layer {m}x{k}x{n}" for m, k, n in LAYERS)
    table = [
        Row("matmul, shapes of a VAE", products, ("numpy", "torch"), (1, 2), *PRODUCTS),
        Row(
            "matmul, squares 256 to 1024",
            squares,
            ("numpy", "torch"),
            (1, 2),
            1.20,
            1.00,
            quick=False,
        ),
        Row("linear + bias + activation, both ways", layers, ("torch",), (2,), 0.80, 0.60),
    ]
    table += [
        Row(f"{f} of 100,000", (f"function {f}",), ("numpy", "torch", "jax"), (2,), reach, aim)
        for f, (reach, aim) in FUNCTIONS.items()
    ]
    table.append(
        Row(
            "Bernoulli log-density and gradient", ("bernoulli",), ("torch", "jax"), (2,), 0.45, 0.30
        )
    )
    table.append(
        Row("gradient of log p(x, z), z (4, 1000, 2)", ("joint",), ("jax",), (2,), 1.2, 0.8)
    )
    for name, goals in (
        ("step", {"torch": (0.70, 0.55), "compiled torch": (0.80, 0.65), "jax": (0.80, 0.65)}),
        ("small step", {"torch": (0.30, 0.20), "jax": (0.45, 0.30)}),
    ):
        D, H, K, batch = STEPS[name]
        for peer, (reach, aim) in goals.items():
            quick = peer != "compiled torch"
            table.append(
                Row(
                    f"training step {D}-{H}-{K}, batch {batch}",
                    (name,),
                    (peer,),
                    (2,),
                    reach,
                    aim,
                    quick,
                )
            )
    table.append(
        Row("one operation, 10 numbers, both ways", ("tape",), ("torch",), (2,), 0.65, 0.40)
    )
    peers = ("scikit-learn",)
    for kind, N, D, K, reach, aim in MIXTURES:
        size, quick = f"{kind} {N}x{D} K={K}", (N, D) == (100_000, 10)
        table += [
            Row(f"EM iteration, {size}", (f"em {size}",), peers, (2,), reach, aim, quick),
            Row(f"{ITERATIONS} of EM, {size}", (f"fit {size}",), peers, (2,), reach, aim, False),
        ]
    size = "full 100000x10 K=10"
    table.append(
        Row(f"Bayes iteration, {size}", (f"bayes {size}",), peers, (2,), 1 / 20, 1 / 30, True)
    )
    seedings = tuple(f"k-means++ any {N}x{D} K={K}" for N, D, K in SEEDINGS)
    table.append(Row("k-means++ seeds", seedings, peers, (1, 2), 1.0, 0.6))
    return table


def tolerance(case: str) -> float:
    """The relative difference allowed: sums over a batch in float32, or sums in float64."""
    return 1e-8 if case.split()[0] in ("em", "fit", "bayes", "k-means++") else 2e-3


def mixture_data(case: str) -> tuple[str, np.ndarray, tuple[np.ndarray, ...]]:
    """Covariance type, rows of overlapping clusters, and weights, means and precisions to begin."""
    kind, shape, components = case.split()[1:]
    (N, D), K = map(int, shape.split("x")), int(components.removeprefix("K="))
    rng = np.random.default_rng(N + D)
    centres = rng.standard_normal((K, D)) * 2
    X = centres[rng.integers(K, size=N)] + rng.standard_normal((N, D)) * rng.uniform(0.5, 1.5, D)
    unit = np.eye(D) if kind == "full" else np.ones(D)
    means = centres + 0.5 * rng.standard_normal((K, D))
    return kind, X, (np.full(K, 1 / K), means, np.repeat(unit[None], K, axis=0))


def posterior_data(K: int, D: int, weights: np.ndarray, n: int) -> dict[str, np.ndarray]:
    """What a Bayesian mixture of full covariances has beside its means, as if n rows were seen."""
    N = n * weights
    return {
        "weight_concentration": 1 / K + N,
        "mean_precision": 1 + N,
        "degrees_of_freedom": D + N,
    }


def product_data(case: str) -> tuple[np.ndarray, np.ndarray]:
    """The operands, of which some are transposed views."""
    shape, transposed = case.removeprefix("product ").split()
    m, k, n = map(int, shape.split("x"))
    rng = np.random.default_rng(m * k * n)
    a = rng.standard_normal((k, m) if transposed[0] == "t" else (m, k)).astype(np.float32)
    b = rng.standard_normal((n, k) if transposed[1] == "t" else (k, n)).astype(np.float32)
    return a.T if transposed[0] == "t" else a, b.T if transposed[1] == "t" else b


def layer_data(case: str) -> tuple[np.ndarray, ...]:
    """x, weight, bias and the cotangent of the output."""
    m, k, n = map(int, case.removeprefix("layer ").split("x"))
    rng = np.random.default_rng(m * k * n)
    return tuple(
        (rng.standard_normal(shape) * scale).astype(np.float32)
        for shape, scale in (((m, k), 1.0), ((k, n), k**-0.5), ((n,), 0.1), ((m, n), 1.0))
    )


def function_data(case: str) -> np.ndarray:
    """100,000 numbers where the function neither overflows nor saturates."""
    x = np.random.default_rng(0).standard_normal(100_000).astype(np.float32) * 3
    return np.abs(x) if case.endswith("log1p") else x


def bernoulli_data() -> tuple[np.ndarray, np.ndarray]:
    """Logits and pixels, of shape (128, 784)."""
    rng = np.random.default_rng(0)
    return rng.standard_normal((128, 784)).astype(np.float32) * 2, (
        rng.random((128, 784)) < 0.4
    ).astype(np.float32)


def joint_data() -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    """z (4, 1000, 2), counts of 16 in (1000, 64), and a decoder 2-64-64: weights and biases."""
    rng = np.random.default_rng(0)
    x = rng.binomial(16, rng.random((1000, 64)))
    layers = [rng.standard_normal(s) * s[0] ** -0.5 for s in ((2, 64), (64,), (64, 64), (64,))]
    z = rng.standard_normal((4, 1000, 2))
    return z.astype(np.float32), x.astype(np.float32), [a.astype(np.float32) for a in layers]


def step_data(case: str, n: int = 6000) -> tuple[np.ndarray, dict[str, np.ndarray], np.ndarray]:
    """Binary pixels (n, D), initial parameters by name, and noise for one step (batch, K)."""
    D, H, K, batch = STEPS[case]
    rng = np.random.default_rng(0)
    X = (rng.random((n, D)) < rng.random(D)).astype(np.float32)

    def weight(fan_in: int, fan_out: int) -> np.ndarray:
        return (rng.standard_normal((fan_in, fan_out)) * fan_in**-0.5).astype(np.float32)

    shapes = {"hidden": (D, H), "mu": (H, K), "log_var": (H, K), "back": (K, H), "logits": (H, D)}
    parameters = {}
    for name, (fan_in, fan_out) in shapes.items():
        parameters[f"{name}.weight"] = weight(fan_in, fan_out) * (
            0.1 if name in ("mu", "log_var") else 1.0
        )
        parameters[f"{name}.bias"] = np.zeros(fan_out, np.float32)
    parameters = {k: v.astype(np.float32) for k, v in parameters.items()}
    return X, parameters, rng.standard_normal((batch, K)).astype(np.float32)


def fingerprint(*arrays: np.ndarray) -> list[float]:
    """A few numbers that tell arrays apart."""
    out = []
    for a in arrays:
        a = np.asarray(a, dtype=np.float64).ravel()
        out += [
            float(np.sqrt(np.mean(a * a))),
            float(a @ np.cos(np.arange(a.size)) / np.sqrt(a.size)),
        ]
    return out
