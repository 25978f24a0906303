"""A generator whose draws are read from a script, so that every draw there can be is made once.

A draw from finitely many values is a fork in the road, and an estimator that makes several comes to
a tree of roads. Each is walked once and weighed with its probability, and the weighted mean is the
expectation, without chance. Normal and uniform numbers become forks by a rule of quadrature: the
values are its nodes, the probabilities its weights.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from minivae.tensor import values

__all__ = ["Law", "Scripted", "TooMany", "Unscripted", "law_from", "paths"]

Array = NDArray[Any]


class TooMany(Exception):
    """There are more roads than are allowed."""


class Unscripted(Exception):
    """The estimator asked for a draw that has no script."""


class Law(NamedTuple):
    """What stands in the script instead of the generator's own law."""

    name: str = "own"
    support: Array | None = None
    """Values ``(k, ...)`` for every number or row that is asked for, or None."""

    probabilities: Array | None = None
    minibatch: tuple[int, int] | None = None
    """N and M."""


def law_from(noise: Any) -> Law | None:
    """The law that the caller states; None if the noise is to be sampled in any case.

    Raises
    ------
    ValueError
        If it is not one of those that are known.
    """
    name, *rest = noise if isinstance(noise, tuple | list) and noise else (noise,)
    if noise is None or noise == "normal":
        return Law()
    if isinstance(noise, str) and noise == "sample":
        return None
    if isinstance(noise, str) and noise == "signs":
        return Law("signs", np.array([-1.0, 1.0]), np.array([0.5, 0.5]))
    if isinstance(name, str) and name == "set" and len(rest) == 2:
        support, p = np.asarray(rest[0]), np.asarray(rest[1], np.float64)
        fits = p.ndim == 1 and support.ndim and len(support) == len(p) > 0
        if not fits or not (p >= 0).all() or abs(p.sum() - 1.0) > 1e-9:
            raise ValueError(
                f"check_unbiased: the set has values of shape {support.shape} and probabilities of "
                f"shape {p.shape} with sum {p.sum():g}; there must be one for each value, not "
                "negative, with sum 1"
            )
        return Law("set", support, p)
    if isinstance(name, str) and name == "minibatches" and len(rest) == 2:
        N, M = rest
        if not (isinstance(N, int) and isinstance(M, int) and 1 <= M <= N):
            raise ValueError(
                f"check_unbiased: minibatches of M={M!r} from N={N!r}; both must be whole numbers "
                "with 1 <= M <= N"
            )
        return Law("minibatches", minibatch=(N, M))
    raise ValueError(
        f"check_unbiased: noise={noise!r} is unknown; use None, 'normal', 'signs', ('set', values, "
        "probabilities), ('minibatches', N, M), or 'sample' to sample in any case"
    )


class Scripted(np.random.Generator):
    """A ``Generator`` whose every draw is the next of a script's.

    Parameters
    ----------
    law
        What stands in for the law of normal and uniform numbers.
    nodes
        How many of a rule's nodes stand for one normal or uniform number.
    most
        How many roads there may be.
    """

    def __init__(self, law: Law, nodes: int, most: int) -> None:
        super().__init__(np.random.PCG64(0))
        self._law, self._nodes, self._most = law, nodes, most
        self.pool: Array | None = None
        """The values that a choice was from, if it had a script."""

        self._digits: list[int] = []
        self._radices: list[int] = []
        self.begin()

    def begin(self) -> None:
        """Go back to the start of the road."""
        self._at, self.weight, self.asked, self.integrated = 0, 1.0, 0, 0

    def next_road(self) -> bool:
        """Turn to the next road, if there is one."""
        del self._digits[self._at :], self._radices[self._at :]
        while self._digits and self._digits[-1] + 1 == self._radices[-1]:
            self._digits.pop()
            self._radices.pop()
        if not self._digits:
            return False
        self._digits[-1] += 1
        return True

    @property
    def roads(self) -> int:
        """How many there are, if all fork as often as this one."""
        return math.prod(self._radices[: self._at])

    def _fork(self, p: Sequence[float] | int) -> int:
        """Which of the values with these probabilities, or of so many alike, is drawn here."""
        k = p if isinstance(p, int) else len(p)
        if k > self._most or self._at > 5000:
            raise TooMany
        if self._at == len(self._digits):
            self._digits.append(0)
            self._radices.append(k)
        digit = self._digits[self._at]
        self._at += 1
        self.weight *= 1.0 / k if isinstance(p, int) else p[digit]
        return digit

    def _numbers(self, size: Any, rule: Callable[[int], tuple[Array, Array]], dtype: Any) -> Any:
        """Numbers by a rule of quadrature, or by the law that stands in for theirs."""
        law, shape = self._law, _shape(size)
        if law.support is None or law.probabilities is None:
            nodes, weights = rule(self._nodes)
            self.integrated += math.prod(shape)
        else:
            nodes, weights = law.support, law.probabilities
        row = nodes.shape[1:]
        if row and shape[len(shape) - len(row) :] != row:
            raise Unscripted(f"numbers of shape {shape}, where the set has rows of shape {row}")
        count = math.prod(shape[: len(shape) - len(row)])
        self.asked += count
        p = weights.tolist()
        drawn = np.array([nodes[self._fork(p)] for _ in range(count)], dtype)
        return drawn.reshape(shape) if size is not None or row else drawn.reshape(())[()]

    # the names and arguments of a Generator, as far as they have a script

    def standard_normal(self, size: Any = None, dtype: Any = np.float64, out: Any = None) -> Any:
        """N(0, 1)."""
        drawn = self._numbers(out.shape if size is None and out is not None else size, _hermite,
                              dtype)  # fmt: skip
        if out is not None:
            out[...] = drawn
        return drawn if out is None else out

    def normal(self, loc: Any = 0.0, scale: Any = 1.0, size: Any = None) -> Any:
        """N(loc, scale^2)."""
        size = _broadcast(size, loc, scale)
        return loc + scale * self._numbers(size, _hermite, np.float64)

    def random(self, size: Any = None, dtype: Any = np.float64, out: Any = None) -> Any:
        """Uniform on [0, 1)."""
        drawn = self._numbers(out.shape if size is None and out is not None else size, _legendre,
                              dtype)  # fmt: skip
        if out is not None:
            out[...] = drawn
        return drawn if out is None else out

    def uniform(self, low: Any = 0.0, high: Any = 1.0, size: Any = None) -> Any:
        """Uniform on [low, high)."""
        size = _broadcast(size, low, high)
        return low + (high - low) * self._numbers(size, _legendre, np.float64)

    def integers(
        self, low: Any, high: Any = None, size: Any = None, dtype: Any = np.int64,
        endpoint: bool = False,
    ) -> Any:  # fmt: skip
        """Whole numbers, all equally likely."""
        if np.ndim(low) or np.ndim(high):
            raise Unscripted("integers with arrays as bounds")
        low, high = (0, low) if high is None else (low, high)
        k, shape = int(high) - int(low) + endpoint, _shape(size)
        self.asked += math.prod(shape)
        if k <= self._most:
            self.pool = low + np.arange(k)
        drawn = [low + self._fork(k) for _ in range(math.prod(shape))]
        return np.array(drawn, dtype).reshape(shape) if size is not None else drawn[0]

    def choice(
        self, a: Any, size: Any = None, replace: bool = True, p: Any = None, axis: int = 0,
        shuffle: bool = True,
    ) -> Any:  # fmt: skip
        """Some of the elements of a, or of ``range(a)``."""
        pool = np.arange(a) if np.ndim(a) == 0 else np.asarray(a)
        shape, k = _shape(size), pool.shape[axis]
        count = math.prod(shape)
        if not replace and p is not None:
            raise Unscripted("a choice without replacement by probabilities")
        self.asked += count
        if replace:
            self.pool = pool
            weights = k if p is None else np.asarray(p, np.float64).tolist()
            rows = [self._fork(weights) for _ in range(count)]
        else:
            rows = self._some(k, count)
        index = np.array(rows, np.intp).reshape(shape) if size is not None else rows[0]
        return np.take(pool, index, axis)

    def permutation(self, x: Any, axis: int = 0) -> Any:
        """All the elements of x in an order; of a minibatch's N only the first M are in disorder.

        Those that come after them would multiply the roads by (N - M)!.
        """
        pool = np.arange(x) if np.ndim(x) == 0 else np.asarray(x)
        N = pool.shape[axis]
        M = self._law.minibatch[1] if self._law.minibatch and self._law.minibatch[0] == N else N
        self.asked += M
        first = self._some(N, M)
        rest = sorted(set(range(N)) - set(first))
        return np.take(pool, np.array([*first, *rest], np.intp), axis)

    def shuffle(self, x: Any, axis: int = 0) -> None:
        """Put x in another order, in place."""
        x[...] = self.permutation(np.array(x), axis)

    def _some(self, N: int, M: int) -> list[int]:
        left = list(range(N))
        if math.perm(N, M) > self._most:
            raise TooMany
        return [left.pop(self._fork(len(left))) for _ in range(M)]


def _refusing(name: str) -> Callable[..., Any]:
    def refuse(self: Scripted, *_: Any, **__: Any) -> Any:
        raise Unscripted(f"rng.{name}")

    return refuse


for _name in set(dir(np.random.Generator)) - set(vars(Scripted)):
    if not _name.startswith("_"):
        _refused = _refusing(_name)
        is_method = callable(getattr(np.random.Generator, _name))
        setattr(Scripted, _name, _refused if is_method else property(_refused))


def paths(
    estimate: Callable[[np.random.Generator], Array], script: Scripted, most: int
) -> Iterator[tuple[float, Array]]:
    """The probability of each road, and the estimate at its end.

    Raises
    ------
    TooMany
        If there are more than ``most``.
    Unscripted
        If a draw has no script.
    """
    for walked in range(most + 1):
        if walked == most:
            raise TooMany
        script.begin()
        estimated = estimate(script)
        yield script.weight, estimated
        if not script.next_road():
            return


@cache
def _hermite(n: int) -> tuple[Array, Array]:
    nodes, weights = np.polynomial.hermite_e.hermegauss(n)
    return nodes, weights / weights.sum()


@cache
def _legendre(n: int) -> tuple[Array, Array]:
    nodes, weights = np.polynomial.legendre.leggauss(n)
    return 0.5 * (nodes + 1.0), 0.5 * weights


def _shape(size: Any) -> tuple[int, ...]:
    return () if size is None else tuple(np.atleast_1d(size).tolist())


def _broadcast(size: Any, *parameters: Any) -> Any:
    """The size that is asked for, or else that of the parameters."""
    shape = np.broadcast_shapes(*(np.shape(values(x)) for x in parameters))
    return shape if size is None and shape else size
