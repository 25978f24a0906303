"""One step of an optimiser in one pass over the parameters, which change in place.

The arrays of one parameter have one shape and one dtype, float32 or float64, and do not overlap.
"""

from collections.abc import Callable, Sequence

import numpy as np

from minivae_kernels._arrays import FLOATS, FloatArray, refuse, run_flat
from minivae_kernels._jit import block_kernel, scalar
from minivae_kernels._loops import _SMALLEST
from minivae_kernels._numbers import Number, of

Arrays = Sequence[FloatArray]  # one for each parameter


def adam_update(
    param: Arrays, grad: Arrays, m: Arrays, v: Arrays, *, step: int, learning_rate: float,
    beta1: float, beta2: float, epsilon: float,
) -> None:  # fmt: skip
    """Do one step of Adam (Kingma and Ba 2015): write new parameters and moments over the old.

    An average of gradients that is nearer to 0 than 2^-86 (of float64, 2^-982) becomes 0.

    Parameters
    ----------
    param, m, v
        For each parameter an array of any shape, C-contiguous and writable, and its moments.
    grad
        The gradients, of the same shapes.
    step
        Counts from 1; it sets the bias corrections.

    Raises
    ------
    TypeError, ValueError
        If dtypes or shapes differ, an array written to is not C-contiguous, or step is below 1;
        nothing is changed then.
    """
    adam(param, grad, m, v)(step, learning_rate, beta1, beta2, epsilon)


def adam(param: Arrays, grad: Arrays, m: Arrays, v: Arrays) -> Callable[..., None]:
    """Return ``adam_update`` of these arrays, which are checked once and not in every step.

    It takes the numbers of `adam_update` in their order, and is called once in a step.

    Raises
    ------
    TypeError, ValueError
        If dtypes or shapes differ, or an array written to is not C-contiguous.
    """
    lines = _lines("adam_update", param=param, grad=grad, m=m, v=v)

    def update(
        step: int, learning_rate: float, beta1: float, beta2: float, epsilon: float
    ) -> None:
        if step < 1:
            raise ValueError(f"adam_update: step counts from 1, not {step}")
        # lr m_hat / (sqrt(v_hat) + eps), m_hat = m / (1 - beta1^t), v_hat = v / (1 - beta2^t)
        rate = learning_rate / (1 - beta1**step)
        correction = 1 / (1 - beta2**step)
        # floats: the loop is compiled once, for the types of the first numbers that it is given
        coefficients = (rate, correction, beta1, 1 - beta1, beta2, 1 - beta2, epsilon)
        numbers = tuple(map(float, coefficients))
        for p, g, *moments in lines:
            run_flat(_adam, p, g.ravel(), *moments, *numbers)

    return update


def sgd_update(
    param: Arrays, grad: Arrays, velocity: Arrays, *, learning_rate: float, momentum: float,
) -> None:  # fmt: skip
    """Do one step of gradient descent with momentum: write new parameters over the old.

    A velocity that is nearer to 0 than 2^-86 (of float64, 2^-982) becomes 0.

    Parameters
    ----------
    param, velocity
        For each parameter an array of any shape, C-contiguous and writable, and its velocity.
    grad
        The gradients, of the same shapes.

    Raises
    ------
    TypeError, ValueError
        If dtypes or shapes differ, or an array written to is not C-contiguous; nothing is changed
        then.
    """
    for p, g, u in _lines("sgd_update", param=param, grad=grad, velocity=velocity):
        run_flat(_sgd, p, g.ravel(), u, float(learning_rate), float(momentum))


def _lines(operation: str, **arrays: Arrays) -> list[tuple[FloatArray, ...]]:
    """Return the arrays of each parameter; those that are written to, all but grad, are flat."""
    for group in zip(*arrays.values(), strict=True):
        param = group[0]
        shape, dtype = param.shape, param.dtype
        if dtype not in FLOATS:
            raise TypeError(
                f"{operation}: param must be float32 or float64 in this machine's byte order, not "
                f"{dtype}; convert with .astype"
            )
        for name, x in zip(arrays, group, strict=True):
            if x.dtype != dtype:
                raise TypeError(
                    f"{operation}: {name} is {x.dtype} and param {dtype}; use one dtype for all"
                )
            if x.shape != shape:
                raise refuse(operation, "all must have one shape", param=param, **{name: x})
            if name != "grad" and not x.flags.carray:
                raise ValueError(
                    f"{operation}: {name} is written to, so it must be C-contiguous and writable"
                )
    groups = zip(*arrays.values(), strict=True)
    return [(p.ravel(), g, *(x.ravel() for x in averages)) for p, g, *averages in groups]


# Where the gradient has become 0, as behind a relu that is never positive, an average shrinks with
# each step until it is subnormal, and stays there: 0.9 of the smallest number is rounded up to it
# again. Processors compute with such numbers a hundred times as slowly. So it becomes 0 before; an
# average of gradients at 2^40 times the smallest normal number, for what it moves a parameter by is
# smaller still, by the learning rate.
_SMALL = (np.float32(2.0**-86), np.float64(2.0**-982))


@scalar
def _zero_below(least: Number, x: Number) -> Number:
    """x, or 0 if it is nearer to 0 than that."""
    return type(x)(0) if abs(x) < least else x


@block_kernel
def _adam(
    start: int, stop: int, param: FloatArray, grad: FloatArray, m: FloatArray, v: FloatArray,
    rate: float, correction: float, beta1: float, rest1: float, beta2: float, rest2: float,
    epsilon: float,
) -> None:  # fmt: skip
    of_dtype = param.dtype.type
    keep1, take1, keep2, take2 = of_dtype(beta1), of_dtype(rest1), of_dtype(beta2), of_dtype(rest2)
    step, unbias, floor = of_dtype(rate), of_dtype(correction), of_dtype(epsilon)
    small, smallest = of(step, _SMALL), of(step, _SMALLEST)
    for i in range(np.uintp(start), np.uintp(stop)):
        first = _zero_below(small, keep1 * m[i] + take1 * grad[i])
        second = _zero_below(smallest, keep2 * v[i] + take2 * (grad[i] * grad[i]))
        m[i] = first
        v[i] = second
        param[i] -= step * first / (np.sqrt(second * unbias) + floor)


@block_kernel
def _sgd(
    start: int, stop: int, param: FloatArray, grad: FloatArray, velocity: FloatArray,
    learning_rate: float, momentum: float,
) -> None:  # fmt: skip
    rate, keep = param.dtype.type(learning_rate), param.dtype.type(momentum)
    small = of(rate, _SMALL)
    for i in range(np.uintp(start), np.uintp(stop)):
        moved = _zero_below(small, keep * velocity[i] + grad[i])
        velocity[i] = moved
        param[i] -= rate * moved
