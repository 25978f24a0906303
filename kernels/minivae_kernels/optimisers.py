"""One step of an optimiser in one pass over the parameters.

The moments are updated in place; the new parameters go to `out`, which may be `param` itself but
must not overlap it otherwise. All arrays have one shape and one dtype, float32 or float64.
"""

import numpy as np

from minivae_kernels._arrays import FloatArray, as_float, line, refuse, run_flat
from minivae_kernels._jit import block_kernel


def adam_update(
    param: FloatArray,
    grad: FloatArray,
    m: FloatArray,
    v: FloatArray,
    out: FloatArray,
    *,
    step: int,
    learning_rate: float,
    beta1: float,
    beta2: float,
    epsilon: float,
) -> None:
    """Write one Adam step into out, and the new moments into m and v (Kingma and Ba 2015).

    Parameters
    ----------
    param, grad
        Of any one shape.
    m, v, out
        Of the same shape, C-contiguous and writable.
    step
        Counts from 1; it sets the bias corrections.

    Raises
    ------
    TypeError, ValueError
        If dtypes or shapes differ, an array written to is not C-contiguous, or step is below 1.
    """
    _check("adam_update", param, grad, m=m, v=v, out=out)
    if step < 1:
        raise ValueError(f"adam_update: step counts from 1, not {step}")
    # lr m_hat / (sqrt(v_hat) + eps), m_hat = m / (1 - beta1^t), v_hat = v / (1 - beta2^t)
    rate = learning_rate / (1 - beta1**step)
    correction = 1 / (1 - beta2**step)
    run_flat(
        *(_adam, line(param), line(grad), line(m), line(v), line(out)),
        *(rate, correction, beta1, 1 - beta1, beta2, 1 - beta2, epsilon),
    )


def sgd_update(
    param: FloatArray,
    grad: FloatArray,
    velocity: FloatArray,
    out: FloatArray,
    *,
    learning_rate: float,
    momentum: float,
) -> None:
    """Write one step of gradient descent with momentum into out, and into velocity.

    Parameters
    ----------
    param, grad
        Of any one shape.
    velocity, out
        Of the same shape, C-contiguous and writable.

    Raises
    ------
    TypeError, ValueError
        If dtypes or shapes differ, or an array written to is not C-contiguous.
    """
    _check("sgd_update", param, grad, velocity=velocity, out=out)
    arrays = (line(param), line(grad), line(velocity), line(out))
    run_flat(_sgd, *arrays, float(learning_rate), float(momentum))


def _check(operation: str, param: FloatArray, grad: FloatArray, **written: FloatArray) -> None:
    as_float(param, operation)
    dtype, shape = param.dtype, param.shape
    if grad.dtype != dtype or grad.shape != shape:
        raise _misfit(operation, param, "grad", grad)
    for name, x in written.items():
        if x.dtype != dtype or x.shape != shape:
            raise _misfit(operation, param, name, x)
        flags = x.flags
        if not (flags.c_contiguous and flags.writeable):
            raise ValueError(
                f"{operation}: {name} is written to, so it must be C-contiguous and writable"
            )


def _misfit(operation: str, param: FloatArray, name: str, x: FloatArray) -> Exception:
    if x.dtype != param.dtype:
        return TypeError(
            f"{operation}: {name} is {x.dtype} and param {param.dtype}; use one dtype for all"
        )
    return refuse(operation, "all must have one shape", param=param, **{name: x})


@block_kernel
def _adam(
    start: int,
    stop: int,
    param: FloatArray,
    grad: FloatArray,
    m: FloatArray,
    v: FloatArray,
    out: FloatArray,
    rate: float,
    correction: float,
    beta1: float,
    rest1: float,
    beta2: float,
    rest2: float,
    epsilon: float,
) -> None:
    of_dtype = param.dtype.type
    keep1, take1, keep2, take2 = of_dtype(beta1), of_dtype(rest1), of_dtype(beta2), of_dtype(rest2)
    step, unbias, floor = of_dtype(rate), of_dtype(correction), of_dtype(epsilon)
    for i in range(np.uintp(start), np.uintp(stop)):
        first = keep1 * m[i] + take1 * grad[i]
        second = keep2 * v[i] + take2 * (grad[i] * grad[i])
        m[i] = first
        v[i] = second
        out[i] = param[i] - step * first / (np.sqrt(second * unbias) + floor)


@block_kernel
def _sgd(
    start: int,
    stop: int,
    param: FloatArray,
    grad: FloatArray,
    velocity: FloatArray,
    out: FloatArray,
    learning_rate: float,
    momentum: float,
) -> None:
    rate, keep = param.dtype.type(learning_rate), param.dtype.type(momentum)
    for i in range(np.uintp(start), np.uintp(stop)):
        moved = keep * velocity[i] + grad[i]
        velocity[i] = moved
        out[i] = param[i] - rate * moved
