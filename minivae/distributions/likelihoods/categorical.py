"""Values that are one of several classes, such as words, or pixels of a few grey levels."""

from __future__ import annotations

from typing import Any

import numpy as np

from minivae import ops
from minivae.checks import is_whole
from minivae.distributions.base import numbers
from minivae.distributions.likelihoods.base import Likelihood, refuse
from minivae.tensor import Array

__all__ = ["CategoricalLikelihood"]

LEAST_SHARE = 1e-3  # of a class, at which one that never occurs begins


class CategoricalLikelihood(Likelihood):
    """Independent values in 0 ... C-1, log p = l_x - logsumexp(l), Eq. LIK.4.

    The head gives C logits for each value: those of the first value come first.
    """

    name = "categorical"
    takes_counts = True

    def __init__(self, n_classes: int) -> None:
        if not is_whole(n_classes) or n_classes < 2:
            raise ValueError(
                f"CategoricalLikelihood: n_classes={n_classes!r} must be a whole number from 2"
            )
        self.n_classes = int(n_classes)
        self.most = float(n_classes - 1)

    def outputs(self) -> list[int]:
        """C logits a value."""
        return [self.n_classes]

    def check(self, X: Array) -> None:
        """Refuse what is not the number of a class."""
        bad = (X < 0) | (self.n_classes <= X) | (np.floor(X) != X)
        refuse(
            X, bad, self.name, f"data are classes from 0 to n_classes - 1 = {self.n_classes - 1}",
            "Number the classes from 0; is n_classes right?",
        )  # fmt: skip

    def encoder_input(self, X: Array) -> Array:
        """One-hot rows, ``(N, D*C)``."""
        one_hot = np.equal(X[..., None], np.arange(self.n_classes)).astype(X.dtype)
        return one_hot.reshape(len(X), -1)

    def _log_probabilities(self, logits: Any) -> Any:
        """log p of each class of each value, ``(S*N, D, C)``."""
        n = logits.shape[0]
        return ops.log_softmax(ops.reshape(logits, (n, -1, self.n_classes)), -1)

    def log_prob(self, parameters: tuple[Any, ...], x: Any) -> Any:
        """l_x - logsumexp(l), summed over the values."""
        log_p = self._log_probabilities(parameters[0])
        classes = numbers(x).astype(np.intp)
        repeated = np.tile(classes, (log_p.shape[0] // max(1, len(classes)), 1))
        picked = ops.take_along_axis(log_p, repeated[..., None], -1)
        return ops.sum(picked, (-2, -1))

    def mean(self, parameters: tuple[Any, ...]) -> Array:
        """The mean of the classes' numbers: of grey levels, the mean level."""
        p = numbers(ops.exp(self._log_probabilities(parameters[0])))
        return np.asarray(p @ np.arange(self.n_classes, dtype=p.dtype))

    def sample(self, parameters: tuple[Any, ...], rng: np.random.Generator) -> Array:
        """Classes drawn at random: the largest of log p + Gumbel noise."""
        log_p = numbers(self._log_probabilities(parameters[0]))
        chosen: Array = (log_p + rng.gumbel(size=log_p.shape)).argmax(axis=-1)
        return chosen.astype(log_p.dtype)

    def initial_biases(self, X: Array) -> tuple[Array, ...]:
        """The logarithm of each class's share in its column."""
        shares = np.stack([np.equal(X, c).mean(axis=0) for c in range(self.n_classes)], axis=-1)
        return (np.log(np.maximum(shares, LEAST_SHARE)).ravel(),)

    def describe(self) -> str:
        """The name and the number of classes."""
        return f"{self.name}, {self.n_classes} classes"
