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
from functools import partial, wraps
from typing import Any

import numpy as np

from minivae.errors import GradientError, ShapeError
from minivae.tensor import Tensor, as_array, cotangent_for, reachable, recording, setting, walk

__all__ = ["grad", "hvp", "value_and_grad", "vjp"]

# Inside another transform every result is a tensor: the outer one may need it.
_inside: ContextVar[bool] = ContextVar("inside", default=False)


def _linearise(
    operation: str, f: Callable[..., Any], args: Sequence[Any], argnums: Sequence[int]
) -> tuple[Any, Callable[..., tuple[Any, ...]]]:
    """The value of ``f``, and the function from its cotangent to those of the chosen arguments.

    Why is each argument replaced by a new variable? Imagine
    ``grad(lambda x: x * grad(lambda y: x + y)(x))``: the inner gradient is with respect to ``y``
    only, although ``y`` has the value of ``x``. The copy is what tells the two apart.
    """
    tensors = _inside.get() or any(isinstance(args[i], Tensor) for i in argnums)
    variables = {i: _variable(args[i]) for i in argnums}
    with setting(_inside, True), setting(recording, True):
        out = f(*(variables.get(i, x) for i, x in enumerate(args)))
    if isinstance(out, tuple | list):
        raise GradientError(f"{operation}: the function returned several values, not one tensor")
    if not isinstance(out, Tensor):
        out = Tensor(as_array(f"{operation}: the function's value", out))
    # Does the result depend on anything that was there before, or on our variables alone?
    ours = set(variables.values())
    born = min([t._age for t in ours], default=0)
    shared = tensors and any(t._node if t in ours else t._age < born for t in reachable(out, ours))

    def pull_back(g: Any = None) -> tuple[Any, ...]:
        as_tensors = tensors or isinstance(g, Tensor)
        differentiable = recording.get() and (shared or getattr(g, "requires_grad", False))
        seed = _dressed(cotangent_for(out, g, operation), differentiable)
        found = walk(out, seed, list(variables.values()), differentiable)
        zeros = [np.zeros(v.shape, v.dtype) for v in variables.values()]
        return tuple(_dressed(c, as_tensors) for c in map(found.get, variables.values(), zeros))

    return _dressed(out if shared else out.detach(), tensors), pull_back


def _variable(x: Any) -> Any:
    linked = isinstance(x, Tensor) and x.requires_grad and recording.get()
    return +x if linked else Tensor(x, requires_grad=True)


def _dressed(x: Any, as_tensor: bool) -> Any:
    dress = Tensor if as_tensor else Tensor.numpy
    return x if isinstance(x, Tensor) is as_tensor else dress(x)


def value_and_grad(
    f: Callable[..., Any], argnums: int | Sequence[int] = 0
) -> Callable[..., tuple[Any, Any]]:
    """A function that returns ``f``'s value and its gradient (Eq. AD.3).

    Parameters
    ----------
    f
        A function of tensors, computed with tensor operations, whose value is a single number.
    argnums
        Which positional argument to differentiate with respect to; for several, the gradient is
        a tuple.

    Raises
    ------
    GradientError
        When called, if the value is no single number or ``argnums`` names no argument.
    DtypeError
        When called, if the argument is not floating-point.
    """
    numbers = argnums if isinstance(argnums, Sequence) else [argnums]

    @wraps(f)
    def value_and_gradient(*args: Any, **kwargs: Any) -> tuple[Any, Any]:
        chosen = dict.fromkeys(i % len(args) for i in numbers if -len(args) <= i < len(args))
        if len(chosen) < len(numbers):
            raise GradientError(f"grad: argnums={argnums} does not fit {len(args)} arguments")
        value, pull_back = _linearise("grad", partial(f, **kwargs), args, [*chosen])
        gradients = pull_back()
        return value, gradients if isinstance(argnums, Sequence) else gradients[0]

    return value_and_gradient


def grad(f: Callable[..., Any], argnums: int | Sequence[int] = 0) -> Callable[..., Any]:
    """A function that returns ``f``'s gradient; see :func:`value_and_grad` (Eq. AD.3)."""
    value_and_gradient = value_and_grad(f, argnums)
    return wraps(f)(lambda *args, **kwargs: value_and_gradient(*args, **kwargs)[1])


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
    return _linearise("vjp", f, inputs, range(len(inputs)))


def hvp(f: Callable[..., Any], x: Any, v: Any) -> Any:
    """The Hessian of ``f`` at ``x`` times ``v``, as the gradient of ``grad f(x) . v`` (Eq. AD.5).

    Parameters
    ----------
    f
        A function of one argument whose value is a single number.
    x, v
        Arrays or tensors of one shape.
    """
    if np.shape(x) != np.shape(v):
        raise ShapeError(f"hvp: x has shape {np.shape(x)} and v {np.shape(v)}; they must agree")
    return grad(lambda y: (grad(f)(y) * v).sum())(x)
