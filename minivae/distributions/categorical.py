"""One of C classes, as one-hot rows, so that z has the shape ``(S, N, C)`` as everywhere."""

from __future__ import annotations

from typing import Any

import numpy as np

from minivae import ops
from minivae.distributions.base import Distribution, numbers
from minivae.tensor import Array

__all__ = ["Categorical"]


class Categorical(Distribution):
    """p(z = class c) = softmax(logits)_c, with logits of shape ``(N, C)``, or ``(C,)`` as a prior.

    A class is a one-hot row. If there are few classes, they can be summed over: :meth:`support`
    gives all of them in place of samples.
    """

    parts = ("logits",)

    def __init__(self, logits: Any) -> None:
        self.logits = logits

    def support(self, N: int | None = None) -> Array:
        """Every class for each of N data, ``(C, N, C)``; for a prior, give N."""
        shape = self.logits.shape
        C, N = shape[-1], shape[0] if len(shape) == 2 else (N or 1)
        one_hot = np.eye(C, dtype=self.logits.dtype)
        return np.ascontiguousarray(np.broadcast_to(one_hot[:, None], (C, N, C)))

    def log_probabilities(self) -> Any:
        """log p of each class, in the shape of the logits."""
        return ops.log_softmax(self.logits, -1)

    def log_prob(self, z: Any) -> Any:
        """log p(z) in nats, for one-hot rows."""
        return ops.sum(z * self.log_probabilities(), -1)

    def noise(self, rng: np.random.Generator, S: int = 1) -> Array:
        """Gumbel noise: the largest of logits + noise is a class drawn with its probability."""
        *N, C = self.logits.shape
        noise = rng.gumbel(size=(*N, S, C)).astype(self.logits.dtype)  # datum by datum
        return np.ascontiguousarray(noise.swapaxes(0, 1)) if N else noise

    def draw(self, eps: Array, rng: np.random.Generator) -> Array:
        """The class with the largest logit + noise, as a one-hot row."""
        logits = numbers(self.logits)
        chosen = (logits + eps).argmax(axis=-1)
        return np.asarray(np.eye(logits.shape[-1], dtype=logits.dtype)[chosen])

    def entropy(self) -> Any:
        """-sum_c p_c log p_c in nats."""
        log_p = self.log_probabilities()
        return -ops.sum(ops.exp(log_p) * log_p, -1)

    def _kl_closed(self, prior: Distribution, per_dimension: bool) -> Any:
        if per_dimension or not isinstance(prior, Categorical):
            return None
        log_p = self.log_probabilities()
        return ops.sum(ops.exp(log_p) * (log_p - prior.log_probabilities()), -1)

    def moments(self) -> tuple[Array, Array]:
        """The probabilities, and diag(p) - p p^T."""
        p = np.exp(numbers(self.log_probabilities()))
        return p, p[..., None] * np.eye(p.shape[-1]) - p[..., None] * p[..., None, :]
