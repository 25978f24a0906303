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

from minivae.doors import Counter, as_array, own_words
from minivae.errors import GradientError, ShapeError
from minivae.tensor import Tensor, cotangent_for, reachable, silence, walk
from minivae.trees import aligned, leaves, mapped

__all__ = ["grad", "hvp", "value_and_grad", "vjp"]

# Inside another transform every result is a tensor: the outer one may need it.
_inside: ContextVar[int] = ContextVar("inside", default=0)


def _linearise(
    operation: str, f: Callable[..., Any], args: Sequence[Any], argnums: Sequence[int]
) -> tuple[Any, Callable[..., tuple[Any, ...]]]:
    """The value of ``f``, and the function from its cotangent to those of the chosen arguments.

    Why is each argument replaced by a new variable? Imagine
    ``grad(lambda x: x * grad(lambda y: x + y)(x))``: the inner gradient is with respect to ``y``
    only, although ``y`` has the value of ``x``. The copy is what tells the two apart.
    """
    given = [args[i] for i in argnums]
    inputs = leaves(given)
    tensors = _inside.get() > 0 or any(isinstance(x, Tensor) for x in inputs)
    variables = [_variable(x) for x in inputs]
    left = iter(variables)
    chosen = mapped(lambda _: next(left), given)
    places = dict(zip(argnums, chosen, strict=True))
    with own_words(), Counter(_inside, 1), Counter(silence, -silence.get()):
        out = f(*(places.get(i, x) for i, x in enumerate(args)))
    if isinstance(out, tuple | list):
        raise GradientError(f"{operation}: the function returned several values, not one tensor")
    if not isinstance(out, Tensor):
        out = Tensor(as_array(f"{operation}: the function's value", out))
    # Does the result depend on anything that was there before, or on our variables alone?
    ours = set(variables)
    born = min([t._age for t in ours], default=0)
    shared = tensors and any(t._node if t in ours else t._age < born for t in reachable(out, ours))

    def pull_back(g: Any = None) -> tuple[Any, ...]:
        as_tensors = tensors or isinstance(g, Tensor)
        differentiable = silence.get() < 1 and (shared or getattr(g, "requires_grad", False))
        seed = _dressed(cotangent_for(out, g, operation), differentiable)
        found = walk(out, seed, variables, differentiable)

        def cotangent(v: Tensor) -> Any:
            return _dressed(found[v] if v in found else np.zeros(v.shape, v.dtype), as_tensors)

        return tuple(mapped(cotangent, chosen))

    return _dressed(out if shared else out.detach(), tensors), pull_back


def _variable(x: Any) -> Any:
    linked = isinstance(x, Tensor) and x.requires_grad and silence.get() < 1
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
        Which positional argument to differentiate with respect to; for several, the gradient is a
        tuple. An argument may be a list, tuple or dict of arrays, in one another to any depth:
        ``f`` receives it with tensors in place of arrays, and its gradient has the same form. Such
        a list is never taken for one array.

    Raises
    ------
    GradientError
        When called, if the value is not a single number or ``argnums`` names no argument.
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
        Where to evaluate it; all are differentiated. Each may be a list, tuple or dict of arrays.

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
        Arrays or tensors of one shape, or lists, tuples and dicts of such, of one form.
    """
    along = aligned("hvp", x, v)
    for at, direction in zip(leaves(x), along, strict=True):
        if np.shape(at) != np.shape(direction):
            shapes = f"x has shape {np.shape(at)} and v {np.shape(direction)}"
            raise ShapeError(f"hvp: {shapes}; they must agree")

    def slope(y: Any) -> Any:  # the derivative along v
        return sum((g * w).sum() for g, w in zip(leaves(grad(f)(y)), along, strict=True))

    return grad(slope)(x)
