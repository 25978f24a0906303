"""What every likelihood p(x | z) shares: its heads, its checks and its description.

A likelihood is a module that turns a decoder's output into p(x | z). It owns its heads and any
scale of its own, knows what data it is a density of and how an encoder should see them, and says
whether pixels are drawn afresh each epoch. Its constructor's arguments are a recipe: :meth:`built`
makes a copy with heads, so that two fits of one model share nothing.

Parameters of p(x | z) have shape ``(S*N, D)`` for data ``(N, D)``: S samples of z for each datum.
"""

from __future__ import annotations

import copy
import inspect
from typing import Any, ClassVar, Self

import numpy as np

from minivae.distributions.base import numbers
from minivae.nn import Dense, Module
from minivae.tensor import Array

__all__ = ["Likelihood", "column_means", "column_variances", "log_odds", "refuse", "tiled"]


class Likelihood(Module):
    """What a model asks of p(x | z)."""

    name: ClassVar[str]
    """Under which it is known."""

    head_names: tuple[str, ...] = ("logits",)
    """What the decoder's last layer must give, each ``(S*N, D)``."""

    is_density: bool = True
    """Whether exp(log_prob) integrates to 1 over the data it takes."""

    takes_counts: bool = False
    """Whether its data are whole numbers, which would lose their meaning if they were rescaled."""

    most: float | None = None
    """The largest value of the data, which pictures show black; None for the largest shown."""

    heads: list[Dense]

    def settings(self) -> dict[str, Any]:
        """The constructor's arguments by name: what :meth:`built` copies and a file keeps."""
        return {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}

    def built(self, width: int | None, D: int, *, rng: np.random.Generator, dtype: Any) -> Self:
        """A copy for D values in x, with heads for decoders that end in ``width`` features.

        With None there are no heads: the decoder gives the parameters themselves.
        """
        own = copy.deepcopy(self)
        if width is not None:
            own.heads = [Dense(width, D * k, rng=rng, dtype=dtype) for k in own.outputs()]
        return own

    def outputs(self) -> list[int]:
        """How many numbers each head gives for a value of x."""
        return [1] * len(self.head_names)

    def start_at(self, X: Array) -> None:
        """Set the heads' biases, if it has heads, so that every z decodes to the data's mean."""
        if "heads" not in vars(self):
            return
        for head, bias in zip(self.heads, self.initial_biases(X), strict=True):
            head.bias.data = bias

    def __call__(self, h: Any) -> tuple[Any, ...]:
        """The parameters of p(x | z) from a decoder's output.

        The output is h ``(S*N, H)``, for the heads, or a tuple of the parameters themselves.
        """
        if isinstance(h, tuple):
            return h
        return tuple(head(h) for head in self.heads) if "heads" in vars(self) else (h,)

    def check(self, X: Array) -> None:
        """Refuse data that p(x | z) is not a density of, naming the first such row."""

    def encoder_input(self, X: Array) -> Array:
        """The data as the encoder sees them."""
        return X

    def as_taken(self, X: Array, rng: np.random.Generator) -> Array:
        """The data as the density takes them, such as grey pixels drawn black or white."""
        return X

    drawn_afresh: bool = False
    """Whether :meth:`as_taken` leaves something to chance, and training draws it each epoch."""

    def in_training(self) -> Self:
        """The likelihood as training uses it, with the same parameters; for most, itself."""
        return self

    def at_best_scale(self, reconstruction: Any, x: Any) -> Any:
        """The mean log p(x | z) of each datum, ``(N,)``, as training uses it: mostly unchanged.

        A likelihood that finds its scale anew in each batch applies it here, to the whole batch.
        """
        return reconstruction

    def keep_best_scale(self, reconstruction: Array, x: Array) -> None:
        """Keep the best scale for the training data, if there is one to find."""

    def log_prob(self, parameters: tuple[Any, ...], x: Any) -> Any:
        """log p(x | z) in nats with every constant, of shape ``(S*N,)``."""
        raise self._cannot("log_prob")

    def mean(self, parameters: tuple[Any, ...]) -> Array:
        """E[x | z] in the data's units, of shape ``(S*N, D)``."""
        raise self._cannot("mean")

    def sample(self, parameters: tuple[Any, ...], rng: np.random.Generator) -> Array:
        """One draw of x for each row of parameters."""
        raise self._cannot("sample")

    def initial_biases(self, X: Array) -> tuple[Array, ...]:
        """The bias of each head at which the decoder, whatever z, predicts the data's mean.

        By default they stay as they are.
        """
        return tuple(head.bias.data for head in self.heads)

    def _cannot(self, what: str) -> NotImplementedError:
        return NotImplementedError(f"{what}: the likelihood {type(self).__name__} does not have it")

    def __repr__(self) -> str:
        settings = ", ".join(f"{name}={value!r}" for name, value in self.settings().items())
        return f"{type(self).__name__}({settings})"

    def describe(self) -> str:
        """The name and what it is set to, in words."""
        return self.name


def refuse(X: Array, bad: Array, likelihood: str, rule: str, mend: str) -> None:
    """Raise for the first row of ``X`` that breaks a rule."""
    rows = np.flatnonzero(bad.any(axis=1))
    if rows.size:
        column = int(np.flatnonzero(bad[rows[0]])[0])
        raise ValueError(
            f"likelihood {likelihood!r}: X[{rows[0]}, {column}] = {X[rows[0], column]} is outside "
            f"its support; {rule}. {mend}"
        )


def log_odds(p: Array) -> Array:
    """log p / (1 - p), kept finite so that a pixel that is always off can be learnt."""
    p = np.clip(p, 1e-3, 1.0 - 1e-3)
    logit: Array = np.log(p) - np.log1p(-p)
    return logit


def tiled(constants: Array, rows: Any) -> Array:
    """One number per datum, repeated for each of S samples, in the parameters' dtype."""
    repeats = rows.shape[0] // len(constants) if len(constants) else 1
    return np.tile(constants.astype(numbers(rows).dtype), repeats)


def column_means(X: Array) -> Array:
    """The mean of each column, in the data's dtype, without the rounding of long float32 sums."""
    mean: Array = X.mean(axis=0, dtype=np.float64)
    return mean.astype(X.dtype)


def column_variances(X: Array) -> Array:
    """The variance of each column, likewise."""
    variance: Array = X.var(axis=0, dtype=np.float64)
    return variance.astype(X.dtype)
