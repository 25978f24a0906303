"""The VampPrior: a mixture of the encoder's posteriors for a few learnt inputs.

The best prior for the ELBO is the aggregate posterior, the mean of q(z | x) over the data. The
VampPrior has the same form, with pseudo-inputs in place of data. Tomczak and Welling (2018).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from minivae import ops
from minivae.distributions.base import Distribution, numbers
from minivae.errors import ShapeError
from minivae.nn import Module
from minivae.tensor import Array, Tensor, no_grad

__all__ = ["VampPrior"]


class VampPrior(Module, Distribution):
    """The prior p(z) = 1/C sum_c q(z | u_c), with pseudo-inputs u, Eq. PRIOR.3.

    With the data themselves as pseudo-inputs it is the aggregate posterior. Its gradient reaches
    the pseudo-inputs and, a second time, the encoder.

    Parameters
    ----------
    encoder
        From rows ``(C, D)`` to a distribution over z whose density takes leading axes, such as
        ``DiagonalGaussian``. Its parameters stay the encoder's: they are not among this module's.
    inputs
        u, as the encoder sees data, ``(C, D)``.
    dtype
        float32 or float64, of the pseudo-inputs.

    Raises
    ------
    ShapeError
        If the pseudo-inputs are not rows.
    """

    def __init__(self, encoder: Callable[[Any], Any], inputs: Array, dtype: Any = None) -> None:
        if np.ndim(inputs) != 2 or not len(inputs):
            raise ShapeError(
                f"VampPrior: the pseudo-inputs have shape {np.shape(inputs)}; they must be "
                "(C, D), C from 1: rows as the encoder sees data"
            )
        self.encoder = encoder
        self.inputs = Tensor(np.array(inputs), requires_grad=True, dtype=dtype)

    def _named(self) -> Iterator[tuple[str, Tensor]]:
        yield "inputs", self.inputs  # what it shares with the encoder has its names there

    @property
    def n_components(self) -> int:
        """C."""
        return len(self.inputs.data)

    def _log_joint(self, z: Any) -> Any:
        """log q(z | u_c) - log C of each pseudo-input, ``(..., C)``."""
        q = self.encoder(self.inputs)
        return q.log_prob(ops.expand_dims(z, -2)) - math.log(self.n_components)

    def log_prob(self, z: Any) -> Any:
        """log p(z) in nats for z ``(..., K)``, Eq. PRIOR.3."""
        return ops.logsumexp(self._log_joint(z), -1)

    def responsibilities(self, z: Any) -> Array:
        """The share of each pseudo-input in the density at z ``(..., K)``, ``(..., C)``."""
        with no_grad():
            return np.asarray(numbers(ops.softmax(self._log_joint(z), -1)))

    def _components(self) -> Any:
        """q(z | u), its parameters as arrays."""
        with no_grad():
            q = self.encoder(self.inputs)
        return type(q).joined([q])

    def noise(self, rng: np.random.Generator, S: int = 1) -> Array:
        """Standard normal noise ``(S, K)``."""
        K = self._components().moments()[0].shape[-1]
        return rng.standard_normal((S, K), dtype=self.inputs.dtype)

    def draw(self, eps: Array, rng: np.random.Generator) -> Array:
        """A sample of q(z | u_c) for each row of noise ``(S, K)``, with c drawn for each."""
        q = self._components()
        chosen = rng.integers(self.n_components, size=len(eps))
        picked = type(q)(*(getattr(q, name)[chosen] for name in q.parts))
        with no_grad():
            z: Array = numbers(picked.rsample(eps[None]))[0]
        return z

    def moments(self) -> tuple[Array, Array]:
        """The mean ``(K,)`` and the covariance ``(K, K)`` of z."""
        means, covariances = (a.astype(np.float64) for a in self._components().moments())
        mean = means.mean(axis=0)
        away = means - mean
        return mean, covariances.mean(axis=0) + away.T @ away / len(means)
