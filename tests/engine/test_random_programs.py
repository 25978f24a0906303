"""Random programs: many operations on shared values, their gradients against differences.

A program is a list of steps; each takes values that are there already, so that values are shared,
and used at different depths. The same steps run on arrays, for the differences, and on tensors.
"""

from typing import Any, NamedTuple

import numpy as np
import pytest

from engine.numeric import inner, length, normal_like, slope
from minivae import Tensor, grad, hvp, ops

SHAPES = [(), (1,), (3,), (2, 3), (3, 3), (2, 1), (1, 3), (4, 2, 3)]


class Step(NamedTuple):
    """A function of some of the values, which are named by their position."""

    text: str
    function: Any
    arguments: tuple[int, ...]


class Program(NamedTuple):
    """Inputs, the steps on them, and weights that make a single number of every value."""

    inputs: list[np.ndarray]
    steps: list[Step]
    weights: list[np.ndarray]

    def __call__(self, *inputs):
        values = list(inputs)
        for step in self.steps:
            values.append(step.function(*(values[i] for i in step.arguments)))
        return sum(ops.sum(v * w) for v, w in zip(values, self.weights, strict=True))

    def __str__(self):
        lines = [f"v{i} = input of shape {x.shape}" for i, x in enumerate(self.inputs)]
        for i, s in enumerate(self.steps, start=len(self.inputs)):
            lines.append(f"v{i} = {s.text}({', '.join(f'v{a}' for a in s.arguments)})")
        return "\n".join(lines)


UNARY = {
    "tanh": ops.tanh,
    "sin": ops.sin,
    "cos": ops.cos,
    "sigmoid": ops.sigmoid,
    "softplus": ops.softplus,
    "exp of tanh": lambda x: ops.exp(ops.tanh(x)),
    "expm1 of sin": lambda x: ops.expm1(ops.sin(x)),
    "log of 1.5 + cos": lambda x: ops.log(1.5 + ops.cos(x)),
    "log1p of softplus": lambda x: ops.log1p(ops.softplus(x)),
    "sqrt of 1 + square": lambda x: ops.sqrt(1.0 + ops.square(x)),
    "half of square": lambda x: x * x * 0.5,
    "x ** 3": lambda x: ops.tanh(x) ** 3,
    "2 ** x": lambda x: 2.0 ** ops.sin(x),
    "1 - x": lambda x: 1.0 - x,
    "1 / (2 + tanh)": lambda x: 1.0 / (2.0 + ops.tanh(x)),
    "-x": lambda x: -x,
    "T": lambda x: ops.transpose(x),
    "ravel": lambda x: ops.reshape(x, -1),
    "new axis": lambda x: ops.expand_dims(x, 0),
    "squeeze": lambda x: ops.squeeze(x),
    "flip": lambda x: ops.flip(x),
    "mean": lambda x: ops.mean(x),
    "norm": lambda x: ops.norm(x + 3.0),
    "logsumexp": lambda x: ops.logsumexp(x),
    "astype": lambda x: ops.astype(x, np.float64),
    "x * x": lambda x: x * ops.tanh(x),
    "x - x": lambda x: ops.sin(x) - x,
}

BINARY = {
    "add": lambda x, y: x + y,
    "subtract": lambda x, y: x - y,
    "multiply": lambda x, y: ops.tanh(x) * y,
    "divide": lambda x, y: x / (1.5 + ops.sin(y)),
    "power": lambda x, y: (1.5 + ops.sin(x)) ** ops.tanh(y),
    "xlogy": lambda x, y: ops.xlogy(x, 1.5 + ops.sin(y)),
    "outer": lambda x, y: ops.einsum("i,j->ij", ops.reshape(x, -1)[:3], ops.reshape(y, -1)[-2:]),
}

REDUCTIONS = {
    "sum": ops.sum,
    "mean": ops.mean,
    "var": ops.var,
    "logsumexp": ops.logsumexp,
    "prod of sin": lambda x, axis, keepdims: ops.prod(ops.sin(x), axis, keepdims),
}


def a_step(rng, values):
    """A step that fits the values there are, most often on the newest."""

    def pick():
        newest = len(values) - 1
        return newest - min(int(rng.exponential(3)), newest)

    i, j = pick(), pick()
    x, y = values[i], values[j]
    kind = rng.choice(["unary", "binary", "reduce", "index", "matmul", "join", "where", "along"])
    if kind == "binary":
        name = rng.choice(list(BINARY))
        try:
            np.broadcast_shapes(x.shape, y.shape)
        except ValueError:
            name = "outer"
        if x.size and y.size:
            return Step(name, BINARY[name], (i, j))
    if kind == "reduce" and x.ndim:
        name = rng.choice(list(REDUCTIONS))
        axis = tuple(rng.permutation(x.ndim)[: rng.integers(1, x.ndim + 1)].tolist())
        axis = axis[0] - x.ndim if len(axis) == 1 else axis
        keep = bool(rng.integers(2))
        return Step(
            f"{name} along {axis}", lambda v: REDUCTIONS[name](v, axis, keepdims=keep), (i,)
        )
    if kind == "index" and x.ndim:
        n = x.shape[0]
        index = [
            rng.integers(n, size=n + 1),
            (..., rng.integers(-x.shape[-1], x.shape[-1], size=2).tolist()),
            slice(None, None, -1),
            int(rng.integers(n)),
            np.arange(n) % 2 == 0,
            (None, slice(n // 2, None)),
        ][rng.integers(6)]
        return Step(f"index {index}", lambda v: v[index], (i,))
    if kind == "matmul" and x.ndim and y.ndim and x.shape[-1] == y.shape[-min(2, y.ndim)]:
        return Step("matmul", lambda v, w: ops.tanh(v) @ ops.tanh(w), (i, j))
    if kind == "join" and x.ndim and x.shape[1:] == y.shape[1:] and x.ndim == y.ndim:
        return Step("concatenate", lambda v, w: ops.concatenate([v, w, v]), (i, j))
    if kind == "where":
        mask = rng.integers(2, size=x.shape).astype(bool)
        return Step("where", lambda v: ops.where(mask, ops.sin(v), 0.3 * v), (i,))
    if kind == "along" and x.ndim:
        function = [ops.softmax, ops.log_softmax, ops.cumsum][rng.integers(3)]
        axis = int(rng.integers(x.ndim))
        return Step(f"{function.__name__} along {axis}", lambda v: function(v, axis=axis), (i,))
    name = rng.choice(list(UNARY))
    return Step(name, UNARY[name], (i,))


def random_program(seed, n_steps):
    rng = np.random.default_rng(seed)
    inputs = [
        rng.uniform(-1.5, 1.5, SHAPES[rng.integers(len(SHAPES))]) for _ in range(rng.integers(1, 4))
    ]
    values, steps = list(inputs), []
    while len(steps) < n_steps:
        step = a_step(rng, values)
        value = np.asarray(step.function(*(values[i] for i in step.arguments)))
        if 0 < value.size <= 60 and value.ndim <= 4 and np.abs(value).max() < 20:
            steps.append(step)
            values.append(value)
    weights = [rng.standard_normal(v.shape) * (rng.random() < 0.4) for v in values[:-1]]
    return Program(inputs, steps, [*weights, rng.standard_normal(values[-1].shape)])


@pytest.mark.parametrize("block", range(20))
def test_gradients_of_random_programs(block):
    for seed in range(25 * block, 25 * (block + 1)):
        program = random_program(seed, n_steps=3 + seed % 15)
        leaves = [Tensor(x, requires_grad=True) for x in program.inputs]
        program(*leaves).backward()
        gradients = [t.grad for t in leaves]
        assert all(g.shape == x.shape for g, x in zip(gradients, program.inputs, strict=True))
        numbers = tuple(range(len(leaves)))
        for a, b in zip(gradients, grad(program, numbers)(*program.inputs), strict=True):
            np.testing.assert_array_equal(a, b)
        directions = normal_like(program.inputs, np.random.default_rng(seed))
        exact = float(slope(program, program.inputs, directions))
        apart = abs(inner(gradients, directions) - exact)
        assert apart <= 1e-7 * length(gradients) * length(directions), f"seed {seed}\n{program}"


@pytest.mark.parametrize("block", range(10))
def test_second_derivatives_of_random_programs(block):
    for seed in range(1000 + 10 * block, 1000 + 10 * (block + 1)):
        program = random_program(seed, n_steps=3 + seed % 8)
        first, *rest = program.inputs

        def of_first(x, program=program, rest=rest):
            return program(x, *rest)

        v = np.random.default_rng(seed).standard_normal(first.shape)
        found = hvp(of_first, first, v)
        exact = slope(grad(of_first), [first], [v])
        size = length([grad(of_first)(first)]) + length([exact])
        assert length([found - exact]) <= 1e-6 * size, f"seed {seed}\n{program}"
