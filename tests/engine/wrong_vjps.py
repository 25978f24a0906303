"""Wrong VJPs, each with the mistake that a gradient check has to find in it.

First a few operations with right VJPs, as a student would write them. Then mistakes that can be
made in any of them, applied to all; then mistakes that belong to one operation each.
"""

from typing import Any, NamedTuple

import numpy as np

from minivae import primitive


class Pair(NamedTuple):
    """A forward, its VJP and where to check it."""

    name: str
    forward: Any
    vjp: Any
    inputs: tuple


class Wrong(NamedTuple):
    """A pair whose VJP is wrong, and what the diagnosis must say (a regular expression)."""

    name: str
    diagnosis: str
    pair: Pair

    @property
    def function(self):
        return primitive(self.pair.forward, self.pair.vjp)


def normal(*shape, seed=0):
    return np.random.default_rng((seed, *shape)).normal(size=shape)


def positive(*shape, seed=0):
    return np.random.default_rng((seed, *shape)).uniform(0.5, 2.0, size=shape)


def exp(x):
    return np.exp(x)


def log(x):
    return np.log(x)


def sin(x):
    return np.sin(x)


def tanh(x):
    return np.tanh(x)


def cumsum(x):
    return np.cumsum(x)


def matmul(x, y):
    return x @ y


def multiply(x, y):
    return x * y


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def gaussian_kl(mu, log_var):
    return 0.5 * np.sum(mu**2 + np.exp(log_var) - 1 - log_var, axis=1)


# ---- right ones ----

RIGHT = [
    Pair("exp", exp, lambda g, out, x: g * out, (normal(3, 5),)),
    Pair("tanh", tanh, lambda g, out, x: g * (1 - out**2), (normal(7),)),
    Pair("sigmoid", sigmoid, lambda g, out, x: g * out * (1 - out), (normal(2, 3, 4),)),
    Pair("log", log, lambda g, out, x: g / x, (positive(4, 3),)),
    Pair("cube", lambda x: x**3, lambda g, out, x: 3 * g * x**2, (normal(5),)),
    Pair("scalar sine", sin, lambda g, out, x: g * np.cos(x), (np.array(0.7),)),
    Pair("sum of squares", lambda x: np.sum(x**2), lambda g, out, x: 2 * g * x, (normal(4, 5),)),
    Pair(
        "mean of exp over rows",
        lambda x: np.exp(x).mean(axis=0),
        lambda g, out, x: g * np.exp(x) / len(x),
        (normal(5, 3),),
    ),
    Pair(
        "softmax",
        softmax,
        lambda g, out, x: out * (g - (g * out).sum(-1, keepdims=True)),
        (normal(3, 5),),
    ),
    Pair("matmul", matmul, lambda g, out, x, y: (g @ y.T, x.T @ g), (normal(3, 5), normal(5, 4))),
    Pair("product", multiply, lambda g, out, x, y: (g * y, g * x), (normal(3, 4), positive(3, 4))),
    Pair(
        "row bias",
        lambda x, b: np.tanh(x + b),
        lambda g, out, x, b: (g * (1 - out**2), (g * (1 - out**2)).sum(axis=0)),
        (normal(5, 3), normal(3)),
    ),
    Pair(
        "gaussian_kl",
        gaussian_kl,
        lambda g, out, mu, log_var: (g[:, None] * mu, 0.5 * g[:, None] * (np.exp(log_var) - 1)),
        (normal(4, 3), normal(4, 3, seed=1)),
    ),
    Pair(
        "reparameterise",
        lambda mu, log_var, eps: mu + np.exp(log_var / 2) * eps,
        lambda g, out, mu, log_var, eps: (
            g,
            g * eps * np.exp(log_var / 2) / 2,
            g * np.exp(log_var / 2),
        ),
        (normal(4, 3), normal(4, 3, seed=1), normal(4, 3, seed=2)),
    ),
    Pair("cumsum", cumsum, lambda g, out, x: np.cumsum(g[::-1])[::-1], (normal(6),)),
    Pair("flip", lambda x: x[::-1], lambda g, out, x: g[::-1], (normal(4, 3),)),
]  # fmt: skip


# ---- mistakes that can be made anywhere ----


def changed(pair, change):
    """The pair with every cotangent of its VJP changed."""

    def vjp(g, out, *inputs):
        cotangents = pair.vjp(g, out, *inputs)
        single = not isinstance(cotangents, tuple)
        found = tuple(change(c) for c in ((cotangents,) if single else cotangents))
        return found[0] if single else found

    return pair._replace(vjp=vjp)


EVERYWHERE = [
    ("sign", "has the wrong sign", lambda c: -c),
    ("zero", "is zero", np.zeros_like),
    ("half", "is half of what it should be: a factor 2", lambda c: c / 2),
    ("twice", "is twice what it should be: a factor 1/2", lambda c: 2 * c),
    ("minus twice", "is twice .*sign is wrong", lambda c: -2 * c),
    ("constant", r"is 7\.389 times too large: a constant factor", lambda c: c * np.exp(2.0)),
]

WRONG = [
    Wrong(f"{mistake}: {pair.name}", said, changed(pair, change))
    for mistake, said, change in EVERYWHERE
    for pair in RIGHT
]


def add(name, diagnosis, forward, vjp, *inputs):
    WRONG.append(Wrong(name, diagnosis, Pair(name, forward, vjp, inputs)))


# ---- a number of elements too many or too few ----

add(
    "mean, not divided",
    r"N times too large.*N = 5, the length of axis 0 of x",
    lambda x: x.mean(axis=0),
    lambda g, out, x: g + 0 * x,
    normal(5, 3),
)
add(
    "mean over all, not divided",
    r"N times too large.*N = 15",
    lambda x: (x**2).mean(),
    lambda g, out, x: 2 * g * x,
    normal(5, 3),
)
add(
    "mean, divided by the wrong axis",
    r"constant factor",
    lambda x: np.exp(x).mean(axis=0),
    lambda g, out, x: g * np.exp(x) / 7,
    normal(5, 7),
)
add(
    "sum, divided by the batch",
    r"N times too small.*N = 4, the length of axis 0",
    lambda x: np.sum(x**2, axis=1),
    lambda g, out, x: 2 * g[:, None] * x / len(x),
    normal(4, 3),
)
add(
    "sum, divided by everything",
    r"N times too small.*N = 12",
    lambda x: np.sum(np.sin(x)),
    lambda g, out, x: g * np.cos(x) / x.size,
    normal(4, 3),
)
add(
    "sum over two axes, divided by both",
    r"N times too small.*N = 20, the length of axes 1, 2",
    lambda x: np.sum(np.sin(x), axis=(1, 2)),
    lambda g, out, x: g[:, None, None] * np.cos(x) / 20,
    normal(3, 4, 5),
)
add(
    "variance with N for N - 1",
    "it has N for N - 1",
    lambda x: x.var(ddof=1),
    lambda g, out, x: 2 * g * (x - x.mean()) / x.size,
    normal(6),
)
add(
    "variance with N - 1 for N",
    "it has N - 1 for N",
    lambda x: x.var(),
    lambda g, out, x: 2 * g * (x - x.mean()) / (x.size - 1),
    normal(6),
)
add(
    "weights' gradient averaged over the batch",
    r"gradient of w is N times too small.*N = 6.*\(x: right\)",
    lambda x, w: x @ w,
    lambda g, out, x, w: (g @ w.T, x.T @ g / len(x)),
    normal(6, 3),
    normal(3, 4),
)
add(
    "attention scale forgotten",
    r"sqrt\(N\) times too large",
    lambda x, y: x @ y.T / np.sqrt(5),
    lambda g, out, x, y: (g @ y, g.T @ x),
    normal(4, 5),
    normal(3, 5),
)

# ---- the derivative of the function is missing ----

add(
    "tanh returns g",
    "equals the cotangent g itself.*chain factor",
    tanh,
    lambda g, out, x: g,
    normal(3, 5),
)
add(
    "exp returns g",
    "equals the cotangent g itself.*chain factor",
    exp,
    lambda g, out, x: g,
    normal(4),
)
add(
    "log returns g",
    "equals the cotangent g itself.*chain factor",
    log,
    lambda g, out, x: g,
    positive(2, 3, 4),
)
add(
    "scalar sine returns g",
    "equals the cotangent g itself.*chain factor",
    sin,
    lambda g, out, x: g,
    np.array(0.7),
)
add(
    "sum of sines broadcasts g",
    "equals the cotangent g, summed.*chain factor",
    lambda x: np.sin(x).sum(axis=1),
    lambda g, out, x: np.repeat(g[:, None], 4, axis=1),
    normal(3, 4),
)
add(
    "bias in tanh sums g",
    r"gradient of b equals the cotangent g, summed.*\(x: right\)",
    lambda x, b: np.tanh(x + b),
    lambda g, out, x, b: (g * (1 - out**2), g.sum(axis=0)),
    normal(5, 3),
    normal(3),
)
add(
    "exp forgets out",
    "chain factor",
    lambda x: np.exp(x).sum(),
    lambda g, out, x: np.full_like(x, g),
    normal(5),
)
add(
    "sigmoid has out only",
    r"lacks a factor 1 - out",
    sigmoid,
    lambda g, out, x: g * out,
    normal(3, 4),
)
add(
    "sigmoid has 1 - out only",
    r"lacks a factor out",
    sigmoid,
    lambda g, out, x: g * (1 - out),
    normal(7),
)
add(
    "weighted square lacks x",
    "lacks a factor x",
    lambda x, w: w * x**2,
    lambda g, out, x, w: (2 * g * w, g * x**2),
    normal(3, 4),
    positive(3, 4),
)

# ---- g ----

add("exp without g", "cotangent g is left out", exp, lambda g, out, x: out, normal(3, 4))
add(
    "sum without g",
    "cotangent g is left out",
    lambda x: np.sum(x**2),
    lambda g, out, x: 2 * x,
    normal(5),
)
add(
    "matmul, g left out of one",
    "left out in the cotangent of y",
    lambda x, y: x @ y,
    lambda g, out, x, y: (g @ y.T, x.T @ np.ones_like(g)),
    normal(3, 4),
    normal(4, 5),
)
add("g squared", "enters squared", sin, lambda g, out, x: g * g * np.cos(x), normal(6))
add(
    "g clipped",
    "not linear in the cotangent",
    sin,
    lambda g, out, x: np.clip(g, -10, 10) * np.cos(x),
    normal(6),
)
add(
    "something added to g",
    "a term stands without the cotangent g",
    sin,
    lambda g, out, x: (g + 0.1) * np.cos(x),
    normal(6),
)
add(
    "g averaged",
    "no simple pattern|would be right for another",
    sin,
    lambda g, out, x: g.mean() * np.cos(x),
    normal(6),
)
add("g in reverse", "g is in reverse order", sin, lambda g, out, x: g[::-1] * np.cos(x), normal(6))
add("g transposed", "g is transposed", sin, lambda g, out, x: g.T * np.cos(x), normal(4, 4))

# ---- transposed and permuted ----

add(
    "permute with the permutation itself",
    "transposed or permuted",
    lambda x: x.transpose(1, 2, 0),
    lambda g, out, x: g.transpose(1, 2, 0),
    normal(3, 3, 3),
)
add(
    "permute that does nothing",
    "transposed or permuted",
    lambda x: x.transpose(1, 2, 0),
    lambda g, out, x: g,
    normal(3, 3, 3),
)
add(
    "square transpose not undone",
    "transposed",
    lambda x: x.T * 2.0,
    lambda g, out, x: 2.0 * g,
    normal(4, 4),
)
add(
    "reshape for transpose",
    "reshaped where it should be transposed",
    lambda x: x.T,
    lambda g, out, x: g.reshape(x.shape),
    normal(3, 5),
)
add(
    "square matmul, y not transposed",
    r"gradient of x is transposed or permuted: J g where J\^T g",
    matmul,
    lambda g, out, x, y: (g @ y, x.T @ g),
    normal(4, 4),
    normal(4, 4, seed=1),
)
add(
    "square matmul, x not transposed",
    r"gradient of y is transposed or permuted: J g",
    matmul,
    lambda g, out, x, y: (g @ y.T, x @ g),
    normal(4, 4),
    normal(4, 4, seed=1),
)
add(
    "square matmul, result transposed",
    "transposed",
    matmul,
    lambda g, out, x, y: (y @ g.T, x.T @ g),
    normal(4, 4),
    normal(4, 4, seed=1),
)
add(
    "flip forgotten",
    "reverse order along axis 0",
    lambda x: x[::-1] ** 2,
    lambda g, out, x: 2 * g * x[::-1],
    normal(5),
)
add(
    "flip forgotten on an axis",
    "reverse order along axis 1",
    lambda x: np.exp(x[:, ::-1]),
    lambda g, out, x: g * out,
    normal(3, 4),
)
add(
    "roll the wrong way",
    "transposed or permuted|shifted",
    lambda x: np.roll(x, 1),
    lambda g, out, x: np.roll(g, 1),
    normal(6),
)
add(
    "roll not undone",
    "transposed or permuted|shifted",
    lambda x: np.roll(x, 2) ** 2,
    lambda g, out, x: 2 * g * np.roll(x, 2),
    normal(7),
)
add(
    "permutation by index, not inverted",
    "transposed or permuted",
    lambda x: x[[2, 0, 4, 1, 3]],
    lambda g, out, x: g[[2, 0, 4, 1, 3]],
    normal(5),
)
add(
    "two of three numbers swapped, not turned back",
    "transposed or permuted",
    lambda x: x[[1, 0, 2]] ** 2,
    lambda g, out, x: 2 * g * x[[1, 0, 2]],
    normal(3),
)
add(
    "sort, cotangent left sorted",
    "wrong places|permuted",
    lambda x: np.sort(x) ** 2,
    lambda g, out, x: 2 * g * out**0.5,
    positive(6),
)
add("cumsum not reversed", "J g where", cumsum, lambda g, out, x: np.cumsum(g), normal(6))
add(
    "cumsum reversed once", "reverse order", cumsum, lambda g, out, x: np.cumsum(g[::-1]), normal(6)
)
add(
    "cumsum, g not reversed",
    "reverse order|another cotangent",
    cumsum,
    lambda g, out, x: np.cumsum(g)[::-1],
    normal(6),
)
add(
    "triangular matrix the wrong way",
    "J g where",
    lambda x: np.tril(np.ones((5, 5))) @ x,
    lambda g, out, x: np.tril(np.ones((5, 5))) @ g,
    normal(5),
)
add(
    "exchanged cotangents",
    "gradient of x is exchanged with that of y",
    multiply,
    lambda g, out, x, y: (g * x, g * y),
    normal(3, 4),
    positive(3, 4),
)
add(
    "exchanged weights",
    "is exchanged with that of",
    lambda x, y: x**2 * np.exp(y),
    lambda g, out, x, y: (g * out, 2 * g * x * np.exp(y)),
    normal(5),
    normal(5, seed=1),
)

# ---- not everything is counted ----

add(
    "x sin x, last use",
    "counts only the last of 2 uses of x",
    lambda x: np.sin(x) * x,
    lambda g, out, x: g * np.sin(x),
    normal(5),
)
add(
    "swish, first use",
    "counts only the first of 2 uses of x",
    lambda x: sigmoid(x) * x,
    lambda g, out, x: g * x * sigmoid(x) * (1 - sigmoid(x)),
    normal(3, 4),
)
add(
    "x^2 + sin x, last use",
    "counts only the last of 3 uses|chain factor|last use",
    lambda x: x * x + np.sin(x),
    lambda g, out, x: g * np.cos(x),
    normal(5),
)
add(
    "x sin x exp x, one term left out",
    "leaves out use . of 3 of x",
    lambda x: x * np.sin(x) * np.exp(x),
    lambda g, out, x: g * (np.sin(x) * np.exp(x) + x * np.sin(x) * np.exp(x)),
    normal(5),
)
add(
    "x / (1 + x), overwritten",
    "counts only the (last|first) of 2 uses of x",
    lambda x: x / (1 + x),
    lambda g, out, x: g / (1 + x),
    positive(4, 3),
)
add(
    "x + x",
    "half of what it should be: a factor 2 is missing, or one of two uses",
    lambda x: x + x,
    lambda g, out, x: g,
    normal(5),
)
add(
    "centred, mean's share forgotten",
    "own output|uses of x|chain factor",
    lambda x: x - x.mean(),
    lambda g, out, x: g,
    normal(5),
)
add(
    "centred squares over rows",
    "own output|uses of x",
    lambda x: (x - x.mean(axis=1, keepdims=True)) ** 3,
    lambda g, out, x: 3 * g * (x - x.mean(axis=1, keepdims=True)) ** 2,
    normal(3, 5),
)
add(
    "softmax on the diagonal only",
    "each element's own output",
    softmax,
    lambda g, out, x: g * out * (1 - out),
    normal(3, 5),
)
add(
    "log_softmax on the diagonal only",
    "own output|uses",
    lambda x: x - np.log(np.exp(x).sum()),
    lambda g, out, x: g * (1 - np.exp(out)),
    normal(5),
)
add(
    "normalised, norm held fixed",
    "uses of x",
    lambda x: x / np.sqrt(np.sum(x**2)),
    lambda g, out, x: g / np.sqrt(np.sum(x**2)),
    normal(5),
)
add(
    "repeated index, overwritten",
    "only the last use",
    lambda x: x[[0, 0, 1, 2, 2]],
    lambda g, out, x: overwrite(g, [0, 0, 1, 2, 2], x),
    normal(4),
)
add(
    "embedding rows, overwritten",
    "only the last use",
    lambda x: x[[3, 1, 3, 0, 3]],
    lambda g, out, x: overwrite(g, [3, 1, 3, 0, 3], x),
    normal(4, 3),
)
add(
    "broadcast bias, last row only",
    "only the last use",
    lambda x, b: np.tanh(x + b),
    lambda g, out, x, b: (g * (1 - out**2), (g * (1 - out**2))[-1]),
    normal(5, 3),
    normal(3),
)
add(
    "broadcast bias, first row only",
    "only the first use",
    lambda x, b: x + b,
    lambda g, out, x, b: (g, g[0]),
    normal(5, 3),
    normal(3),
)
add(
    "tile, last copy only",
    "only the last (use|of 3 uses)",
    lambda x: np.concatenate([x, x, x]) ** 2,
    lambda g, out, x: (2 * g * np.tile(x, 3))[-len(x) :],
    normal(4),
)


def overwrite(g, index, x):
    c = np.zeros_like(x)
    c[index] = g
    return c


# ---- wrong in some places ----

add(
    "relu without a mask",
    "wrong only where x < 0",
    lambda x: np.maximum(x, 0),
    lambda g, out, x: g,
    normal(3, 5),
)
add(
    "leaky relu, slope forgotten",
    "wrong only where x < 0; there it is zero",
    lambda x: np.where(x > 0, x, 0.1 * x),
    lambda g, out, x: np.where(x > 0, g, 0.0),
    normal(8),
)
add(
    "leaky relu, wrong slope",
    r"wrong only where x < 0; there it is half",
    lambda x: np.where(x > 0, x, 0.2 * x),
    lambda g, out, x: np.where(x > 0, g, 0.1 * g),
    normal(8),
)
add(
    "elu, slope 1 below",
    "wrong only where x < 0; there it equals the cotangent",
    lambda x: np.where(x > 0, x, np.expm1(x)),
    lambda g, out, x: g,
    normal(3, 4),
)
add(
    "abs without the sign",
    "wrong only where x < 0; there it has the wrong sign",
    lambda x: np.abs(x),
    lambda g, out, x: g,
    normal(6),
)
add(
    "abs, sign reversed above",
    "wrong only where x > 0",
    lambda x: np.abs(x),
    lambda g, out, x: -g,
    normal(6),
)
add(
    "relu mask reversed",
    "-x in place of x",
    lambda x: np.maximum(x, 0),
    lambda g, out, x: np.where(x < 0, g, 0.0),
    normal(7),
)
add(
    "softplus overflow guard",
    r"wrong only where x > 2",
    lambda x: np.logaddexp(0, x),
    lambda g, out, x: np.where(x > 2, 0.0, g * sigmoid(x)),
    np.array([-3.0, -0.4, 0.8, 1.7, 2.2, 3.1, 5.0]),
)
add(
    "clip without a mask",
    r"wrong only where \|x\| > 1",
    lambda x: np.clip(x, -1, 1),
    lambda g, out, x: g,
    np.array([-3.0, -0.4, 0.8, 0.3, 2.2, -1.1]),
)
add(
    "first row forgotten",
    r"wrong only at index 0 \(the first\) of axis 0; there it is zero",
    exp,
    lambda g, out, x: g * out * (np.arange(4) > 0)[:, None],
    normal(4, 3),
)
add(
    "last column forgotten",
    r"wrong only at index 4 \(the last\) of axis 1; there it is zero",
    exp,
    lambda g, out, x: g * out * (np.arange(5) < 4),
    normal(3, 5),
)
add(
    "last element doubled",
    r"wrong only at .*there it is twice",
    exp,
    lambda g, out, x: g * out * (1 + (np.arange(6) == 5)),
    np.array([0.3, -1.0, 0.7, -0.2, 1.4, 0.5]),
)
add(
    "diagonal forgotten",
    "wrong only on the diagonal; there it is zero",
    sin,
    lambda g, out, x: g * np.cos(x) * (1 - np.eye(4)),
    normal(4, 4),
)
add(
    "only the diagonal",
    "wrong only off the diagonal; there it is zero",
    sin,
    lambda g, out, x: g * np.cos(x) * np.eye(4),
    normal(4, 4),
)
add(
    "one element",
    r"wrong only at one element, x\[1, 2\]",
    sin,
    lambda g, out, x: g * np.cos(x) * (1 + 0.1 * (np.arange(12).reshape(3, 4) == 6)),
    normal(3, 4),
)
add(
    "small error everywhere",
    "constant factor of 1.0001",
    sin,
    lambda g, out, x: g * np.cos(x) * 1.0001,
    normal(9),
)
add(
    "error of 1e-5",
    "constant factor of 1.00001",
    exp,
    lambda g, out, x: g * out * (1 + 1e-5),
    normal(9),
)

# ---- sigma against sigma squared ----

add(
    "reparameterise with the variance",
    r"gradient of log_var has a factor exp\(log_var / 2\) too many: sigma against",
    lambda mu, log_var, eps: mu + np.exp(log_var / 2) * eps,
    lambda g, out, mu, log_var, eps: (g, g * eps * np.exp(log_var) / 2, g * np.exp(log_var / 2)),
    normal(4, 3),
    normal(4, 3, seed=1),
    normal(4, 3, seed=2),
)
add(
    "precision from sigma",
    r"lacks a factor exp\(log_var / 2\) .*|has a factor exp\(log_var / 2\) too many: sigma against",
    lambda mu, log_var: np.sum(mu**2 / np.exp(log_var), axis=1),
    lambda g, out, mu, log_var: (
        2 * g[:, None] * mu / np.exp(log_var / 2),
        -g[:, None] * mu**2 / np.exp(log_var),
    ),
    normal(4, 3),
    normal(4, 3, seed=1),
)
add(
    "normal log-density, sigma for sigma squared",
    r"gradient of mu lacks a factor sigma: sigma against|too many: sigma",
    lambda mu, sigma: -0.5 * (mu / sigma) ** 2 - np.log(sigma),
    lambda g, out, mu, sigma: (-g * mu / sigma, g * (mu**2 / sigma**3 - 1 / sigma)),
    normal(5),
    positive(5),
)
add(
    "Gaussian log-density over rows, shared sigma",
    r"factor sigma.*sigma against sigma squared",
    lambda mu, sigma: np.sum(-0.5 * (mu / sigma) ** 2, axis=1),
    lambda g, out, mu, sigma: (-g[:, None] * mu / sigma, (g[:, None] * mu**2 / sigma**3).sum(0)),
    normal(5, 3),
    positive(3),
)
add(
    "exp twice",
    r"factor exp\(log_sigma\).*sigma against sigma squared",
    lambda log_sigma: np.exp(log_sigma),
    lambda g, out, log_sigma: g * np.exp(2 * log_sigma),
    normal(6),
)

# ---- a term missing or too many ----

add(
    "KL without the -1",
    r"gradient of log_var lacks a term -0\.5 g|only the first of 2 uses",
    gaussian_kl,
    lambda g, out, mu, log_var: (g[:, None] * mu, 0.5 * g[:, None] * np.exp(log_var)),
    normal(4, 3),
    normal(4, 3, seed=1),
)
add(
    "weight decay in the gradient",
    "a term stands without the cotangent g",
    lambda w: np.sum(np.sin(w)),
    lambda g, out, w: g * np.cos(w) + 0.1 * w,
    normal(6),
)
add(
    "weight decay times g",
    r"lacks a term -0\.1 g w",
    lambda w: np.sum(np.sin(w)),
    lambda g, out, w: g * (np.cos(w) + 0.1 * w),
    normal(6),
)
add(
    "tanh + x, the 1 forgotten",
    r"lacks a term 1 g|uses of x",
    lambda x: np.tanh(x) + x,
    lambda g, out, x: g * (1 - np.tanh(x) ** 2),
    normal(7),
)
add(
    "cross-entropy without the target",
    "uses|lacks a term|no simple|lacks a factor",
    lambda x, t: np.logaddexp(0, x) - t * x,
    lambda g, out, x, t: (g * sigmoid(x), -g * x),
    normal(6),
    positive(6),
)
add(
    "one input ignored by mistake",
    r"gradient of y is zero.*\(x: right\)",
    multiply,
    lambda g, out, x, y: (g * y, None),
    normal(3, 4),
    normal(3, 4, seed=1),
)
add(
    "cotangent for a constant function",
    "not zero, although",
    lambda x: np.sin(x) * 0.0 + 1.0,
    lambda g, out, x: g * np.cos(x),
    normal(5),
)
add(
    "exp(x - 200) returns zeros",
    "is zero",
    lambda x: np.exp(x - 200),
    lambda g, out, x: 0 * g,
    normal(5),
)
add(
    "log(x + 1e5) returns zeros",
    "is zero",
    lambda x: np.log(x + 1e5),
    lambda g, out, x: 0 * g,
    normal(5),
)
add("softmax returns zeros", "is zero", softmax, lambda g, out, x: 0 * g, normal(3, 4))
add("centred returns zeros", "is zero", lambda x: x - x.mean(), lambda g, out, x: 0 * g, normal(5))
add(
    "NaN in the gradient",
    "is nan at x",
    exp,
    lambda g, out, x: g * np.where(x > 1, np.nan, out),
    np.array([0.1, 2, 0.3]),
)
add(
    "infinite gradient",
    "is inf at x|is -inf at x",
    exp,
    lambda g, out, x: g * np.where(x > 1, np.inf, out),
    np.array([0.1, 2]),
)
add(
    "a factor and a constant",
    "is 3 times what it should be, plus",
    lambda x: np.sin(x).sum(),
    lambda g, out, x: g * (3 * np.cos(x) + 0.4),
    normal(7),
)
add(
    "sum of squares, times itself",
    "has a factor out too many",
    lambda x: np.square(x).sum(),
    lambda g, out, x: 2 * g * x * out,
    normal(5),
)
for factor, of in {
    np.log(2): "log 2, a logarithm",
    np.log(10): "log 10, a logarithm",
    np.pi: "pi",
    2 * np.pi: "2 pi",
    np.sqrt(2 * np.pi): r"sqrt\(2 pi\)",
    np.sqrt(2): r"sqrt\(2\)",
}.items():
    add(
        f"times {of}",
        f"a factor {of}",
        exp,
        lambda g, out, x, factor=factor: factor * g * out,
        normal(7),
    )
