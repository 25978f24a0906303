"""Functions of functions: gradients, vector-Jacobian and Hessian-vector products.

With this file you can

- differentiate a function of one number: :func:`grad`, :func:`value_and_grad`;
- pull a cotangent of any shape back: :func:`vjp`;
- multiply by a Hessian without forming it: :func:`hvp`.

Arrays in, arrays out; tensors in, tensors out, and then the result can be differentiated again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextvars import ContextVar
from functools import wraps
from typing import Any

import numpy as np

from minivae.errors import DtypeError, GradientError
from minivae.tensor import OPERATIONS, Tensor, cotangent_for, recording, walk, wrap

__all__ = ["grad", "hvp", "value_and_grad", "vjp"]

# Inside another transform every result stays on the tape, whatever the inputs: the outer one may need it.
_inside: ContextVar[bool] = ContextVar("inside", default=False)


def _variable(x: Any, operation: str) -> Tensor:
    """A new tensor with the value of ``x``, at which a walk will stop.

    Why a new one? Imagine ``grad(lambda x: x * grad(lambda y: x + y)(x))``: the inner gradient is with respect
    to ``y`` only, although ``y`` has the value of ``x``. The copy is what tells the two apart.
    """
    if isinstance(x, Tensor) and x.requires_grad:
        variable: Tensor = OPERATIONS["positive"](x)
        return variable
    t = x if isinstance(x, Tensor) else Tensor(x)
    if t.dtype.kind != "f":
        raise DtypeError(f"{operation}: an argument of dtype {t.dtype} cannot be differentiated; convert it to float")
    return wrap(t.data, requires_grad=True)


class _Trace:
    """One call of a function with some of its arguments replaced by variables."""

    def __init__(self, f: Callable[..., Any], args: Sequence[Any], argnums: Sequence[int], operation: str) -> None:
        self.variables = {i: _variable(args[i], operation) for i in argnums}
        self.nested = _inside.get() or any(isinstance(args[i], Tensor) for i in argnums)
        token = _inside.set(True)
        try:
            with recording(True):
                self.out = f(*(self.variables.get(i, x) for i, x in enumerate(args)))
        finally:
            _inside.reset(token)
        if not isinstance(self.out, Tensor):
            self.out = Tensor(self.out)

    def pull_back(self, seed: Any) -> list[Any]:
        """The cotangents of the variables; zeros where the function does not depend on one."""
        targets = list(self.variables.values())
        if not self.out.requires_grad:
            found: list[Any] = [None] * len(targets)
        else:
            if self.nested and not isinstance(seed, Tensor):
                seed = wrap(np.array(seed))
            found = walk(self.out, seed, targets, differentiable=self.nested)
        return [self._result(np.zeros(t.shape, t.dtype) if g is None else g) for t, g in zip(targets, found, strict=True)]

    def _result(self, x: Any) -> Any:
        if self.nested:
            return x if isinstance(x, Tensor) else wrap(x)
        return x.numpy() if isinstance(x, Tensor) else x

    def value(self) -> Any:
        """The function's value, as tensor or array like the arguments."""
        return self._result(self.out)


def value_and_grad(
    f: Callable[..., Any], argnums: int | Sequence[int] = 0
) -> Callable[..., tuple[Any, Any]]:
    """A function that returns ``f``'s value and its gradient (Eq. AD.3).

    Parameters
    ----------
    f
        A function of arrays or tensors, computed with tensor operations, whose value is a single number.
    argnums
        Which positional argument to differentiate with respect to; for several, the gradient is a tuple.

    Raises
    ------
    GradientError
        When called, if the value is no single number or ``argnums`` names no argument.
    DtypeError
        When called, if the argument is not floating-point.
    """
    numbers = (argnums,) if isinstance(argnums, int) else tuple(argnums)

    @wraps(f)
    def value_and_gradient(*args: Any, **kwargs: Any) -> tuple[Any, Any]:
        if any(not -len(args) <= i < len(args) for i in numbers):
            raise GradientError(f"grad: argnums={argnums} but the function was called with {len(args)} arguments")
        trace = _Trace(lambda *a: f(*a, **kwargs), args, [i % len(args) for i in numbers], "grad")
        gradients = trace.pull_back(cotangent_for(trace.out, None, "grad"))
        return trace.value(), gradients[0] if isinstance(argnums, int) else tuple(gradients)

    return value_and_gradient


def grad(f: Callable[..., Any], argnums: int | Sequence[int] = 0) -> Callable[..., Any]:
    """A function that returns ``f``'s gradient; see :func:`value_and_grad` (Eq. AD.3)."""
    value_and_gradient = value_and_grad(f, argnums)

    @wraps(f)
    def gradient(*args: Any, **kwargs: Any) -> Any:
        return value_and_gradient(*args, **kwargs)[1]

    return gradient


def vjp(f: Callable[..., Any], *inputs: Any) -> tuple[Any, Callable[[Any], tuple[Any, ...]]]:
    """The value of ``f`` and the function that pulls a cotangent back through it (Eq. AD.2).

    Parameters
    ----------
    f
        A function of arrays or tensors with a result of any shape.
    inputs
        Where to evaluate it; all are differentiated.

    Returns
    -------
    value, pull_back
        ``pull_back(g)`` takes a cotangent of the value's shape, and may be called again and again.
    """
    trace = _Trace(f, inputs, range(len(inputs)), "vjp")

    def pull_back(g: Any) -> tuple[Any, ...]:
        return tuple(trace.pull_back(cotangent_for(trace.out, g, "vjp")))

    return trace.value(), pull_back


def hvp(f: Callable[..., Any], x: Any, v: Any) -> Any:
    """The Hessian of ``f`` at ``x`` times ``v``, as the gradient of ``grad f(x) . v`` (Eq. AD.5).

    Parameters
    ----------
    f
        A function of one argument whose value is a single number.
    x, v
        Arrays or tensors of one shape.
    """
    return grad(lambda y: OPERATIONS["sum"](OPERATIONS["multiply"](grad(f)(y), v)))(x)


