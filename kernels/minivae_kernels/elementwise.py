"""Functions of every element, and the activations with their derivatives.

Each function takes an array of float32 or float64 of any shape and strides and returns a new one
of the same shape and dtype. A derivative is read off the function's *output*, so nothing else need
be kept: ``f_backward(g, out)`` is g times the derivative of f at the point where it gave ``out``.

All raise TypeError for arrays that are not float32 or float64.
"""

import numpy as np

from minivae_kernels import _loops
from minivae_kernels._arrays import FloatArray, as_float, as_floats, line, refuse, run_flat
from minivae_kernels._jit import BlockKernel, block_kernel

ACTIVATIONS: tuple[str, ...] = ("identity", "relu", "tanh", "sigmoid", "softplus")


def exp(x: FloatArray) -> FloatArray:
    """Return e^x, within 1.1 units in the last place."""
    return _each(_loops.exp, "exp", x)


def expm1(x: FloatArray) -> FloatArray:
    """Return e^x - 1 without the cancellation near 0, within 2 units in the last place."""
    return _each(_loops.expm1, "expm1", x)


def log(x: FloatArray) -> FloatArray:
    """Return the natural logarithm, within 1 unit in the last place; -inf at 0, NaN below."""
    return _each(_loops.log, "log", x)


def log1p(x: FloatArray) -> FloatArray:
    """Return log(1 + x) without the cancellation near 0, within 1.5 units in the last place."""
    return _each(_loops.log1p, "log1p", x)


def tanh(x: FloatArray) -> FloatArray:
    """Return the hyperbolic tangent, within 3 units in the last place."""
    return _each(_loops.tanh, "tanh", x)


def sigmoid(x: FloatArray) -> FloatArray:
    """Return 1 / (1 + e^-x), within 2 units in the last place, however small it is."""
    return _each(_loops.sigmoid, "sigmoid", x)


def softplus(x: FloatArray) -> FloatArray:
    """Return log(1 + e^x), within 2 units in the last place, however small it is."""
    return _each(_loops.softplus, "softplus", x)


def relu(x: FloatArray) -> FloatArray:
    """Return max(x, 0); NaN stays NaN."""
    return _each(_relu, "relu", x)


def tanh_backward(g: FloatArray, out: FloatArray) -> FloatArray:
    """Return g (1 - y^2), where y = tanh(x) is `out`, of the same shape as g."""
    return _each_pair(_tanh_backward, "tanh_backward", g, out)


def sigmoid_backward(g: FloatArray, out: FloatArray) -> FloatArray:
    """Return g y (1 - y), where y = sigmoid(x) is `out`, of the same shape as g."""
    return _each_pair(_sigmoid_backward, "sigmoid_backward", g, out)


def softplus_backward(g: FloatArray, out: FloatArray) -> FloatArray:
    """Return g (1 - e^-y), where y = softplus(x) is `out`, of the same shape as g."""
    return _each_pair(_loops.softplus_backward, "softplus_backward", g, out)


def relu_backward(g: FloatArray, out: FloatArray) -> FloatArray:
    """Return g where y = relu(x) is positive, 0 where it is 0 and NaN where it is NaN."""
    return _each_pair(_relu_backward, "relu_backward", g, out)


def add(x: FloatArray, y: FloatArray) -> FloatArray:
    """Return x + y, of two arrays of one shape."""
    x, y = as_floats("add", x, y)
    if x.shape != y.shape:
        raise refuse("add", "both must have one shape; broadcast one of them first", x=x, y=y)
    out = np.empty(x.shape, x.dtype)
    run_flat(_add, line(x), line(y), line(out))
    return out


def activation_forward(x: FloatArray, name: str) -> FloatArray:
    """Return the activation called `name`, one of ``ACTIVATIONS``, of every element.

    Raises
    ------
    ValueError
        If there is no activation of that name.
    """
    loop = activation_loop("activation_forward", name)
    return as_float(x, "activation_forward").copy() if loop is None else _each(loop, name, x)


def activation_backward(g: FloatArray, out: FloatArray, name: str) -> FloatArray:
    """Return g times the derivative of the activation called `name`, read off its output.

    Raises
    ------
    ValueError
        If there is no activation of that name, or the shapes differ.
    """
    if activation_loop("activation_backward", name) is None:
        g, out = _pair("activation_backward", g, out)
        return g.copy()
    return _each_pair(_BACKWARD[name], f"{name}_backward", g, out)


def activation_loop(operation: str, name: str) -> BlockKernel | None:
    """Return the loop over a flat input and output, or None for the identity.

    Raises
    ------
    ValueError
        If there is no activation of that name.
    """
    if name not in ACTIVATIONS:
        choices = ", ".join(map(repr, ACTIVATIONS))
        raise ValueError(f"{operation}: no activation is called {name!r}; choose from {choices}")
    return _FORWARD.get(name)


def _each(loop: BlockKernel, operation: str, x: FloatArray) -> FloatArray:
    x = as_float(x, operation)
    out = np.empty(x.shape, x.dtype)
    run_flat(loop, line(x), out if out.ndim == 1 else out.reshape(-1))
    return out


def _each_pair(loop: BlockKernel, operation: str, g: FloatArray, out: FloatArray) -> FloatArray:
    g, out = _pair(operation, g, out)
    result = np.empty(g.shape, g.dtype)
    run_flat(loop, line(g), line(out), line(result))
    return result


def _pair(operation: str, g: FloatArray, out: FloatArray) -> tuple[FloatArray, ...]:
    """Return a gradient and an output in one dtype, if they have one shape."""
    g, out = as_floats(operation, g, out)
    if g.shape != out.shape:
        rule = "g must have the shape of the output; sum or broadcast it first"
        raise refuse(operation, rule, g=g, out=out)
    return g, out


@block_kernel
def _add(start: int, stop: int, x: FloatArray, y: FloatArray, out: FloatArray) -> None:
    for i in range(np.uintp(start), np.uintp(stop)):
        out[i] = x[i] + y[i]


@block_kernel
def _relu(start: int, stop: int, x: FloatArray, out: FloatArray) -> None:
    zero = x.dtype.type(0)
    for i in range(np.uintp(start), np.uintp(stop)):
        out[i] = zero if x[i] <= 0 else x[i]  # NaN is not <= 0


@block_kernel
def _relu_backward(start: int, stop: int, g: FloatArray, y: FloatArray, out: FloatArray) -> None:
    for i in range(np.uintp(start), np.uintp(stop)):
        out[i] = g[i] if y[i] > 0 else y[i]  # 0, or NaN


@block_kernel
def _tanh_backward(start: int, stop: int, g: FloatArray, y: FloatArray, out: FloatArray) -> None:
    one = g.dtype.type(1)
    for i in range(np.uintp(start), np.uintp(stop)):
        out[i] = g[i] * ((one - y[i]) * (one + y[i]))


@block_kernel
def _sigmoid_backward(start: int, stop: int, g: FloatArray, y: FloatArray, out: FloatArray) -> None:
    one = g.dtype.type(1)
    for i in range(np.uintp(start), np.uintp(stop)):
        out[i] = g[i] * (y[i] * (one - y[i]))


_FORWARD: dict[str, BlockKernel] = {
    "relu": _relu,
    "tanh": _loops.tanh,
    "sigmoid": _loops.sigmoid,
    "softplus": _loops.softplus,
}
_BACKWARD: dict[str, BlockKernel] = {
    "relu": _relu_backward,
    "tanh": _tanh_backward,
    "sigmoid": _sigmoid_backward,
    "softplus": _loops.softplus_backward,
}
