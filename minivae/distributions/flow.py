"""Normalising flows: a simple distribution carried along by invertible maps.

The density follows by the change of variables: ``log q(z) = log q_0(u) - log |dz/du|``. A map is a
module with two functions, ``forward(u) -> (z, log_det)`` and ``inverse(z) -> (u, log_det)``, where
``log_det`` is ``log |dz/du|`` in both. Rezende and Mohamed (2015).
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, Protocol, Self

import numpy as np

from minivae import ops
from minivae.distributions.base import Distribution, detached
from minivae.nn import Module
from minivae.tensor import Array, Tensor

__all__ = ["AffineCoupling", "Flow"]


class Bijection(Protocol):
    """An invertible map of z."""

    def forward(self, u: Any) -> tuple[Any, Any]:
        """z of u ``(S, N, K)``, and ``log |dz/du|`` of shape ``(S, N)``."""

    def inverse(self, z: Any) -> tuple[Any, Any]:
        """u of z ``(S, N, K)``, and ``log |dz/du|`` there, ``(S, N)``."""

    def detach(self) -> Self:
        """The same map, with parameters that no gradient passes through."""


class Flow(Distribution):
    """The distribution of f_m(... f_1(u)) for u from a simpler one."""

    def __init__(self, base: Distribution, maps: Sequence[Bijection]) -> None:
        self.base, self.maps = base, list(maps)

    def noise(self, rng: np.random.Generator, S: int = 1) -> Array:
        """The base's noise."""
        return self.base.noise(rng, S)

    def rsample(self, eps: Any) -> Any:
        """z as a function of the base's noise."""
        return self.rsample_and_log_prob(eps)[0]

    def rsample_and_log_prob(self, eps: Any) -> tuple[Any, Any]:
        """z and log q(z), without inverting any map."""
        z, log_q = self.base.rsample_and_log_prob(eps)
        for f in self.maps:
            z, log_det = f.forward(z)
            log_q = log_q - log_det
        return z, log_q

    def log_prob(self, z: Any) -> Any:
        """log q(z), back through the maps."""
        total: Any = 0.0
        for f in reversed(self.maps):
            z, log_det = f.inverse(z)
            total = total + log_det
        return self.base.log_prob(z) - total

    def detach(self) -> Self:
        """The same distribution, with parameters that no gradient passes through."""
        return type(self)(self.base.detach(), [f.detach() for f in self.maps])


class AffineCoupling(Module):
    """Half of z is scaled and shifted by a network of the other half. Dinh et al. (2017).

    z_b = u_b exp(s(u_a)) + t(u_a) and z_a = u_a, so ``log |dz/du|`` = sum s. It starts as the
    identity, because the network's last layer starts at zero. Scales are kept within exp(+-2).

    Parameters
    ----------
    latent_dim
        K, at least 2.
    hidden
        The width of the network's hidden layer.
    even
        Which half moves: alternate it from map to map.
    n
        How many data have a network each; if left out, one network serves all.
    rng, dtype
        As for :class:`minivae.nn.Dense`.
    """

    def __init__(
        self,
        latent_dim: int,
        hidden: int = 32,
        *,
        even: bool = True,
        n: int | None = None,
        rng: np.random.Generator,
        dtype: Any = np.float64,
    ) -> None:
        if latent_dim < 2:
            raise ValueError(f"AffineCoupling: latent_dim={latent_dim} must be at least 2")
        K, own = latent_dim, () if n is None else (n,)
        self.moves = (np.arange(K) % 2 == even).astype(dtype)

        def parameter(*shape: int, scale: float = 0.0) -> Tensor:
            start = scale * rng.standard_normal((*own, *shape))
            return Tensor(start, requires_grad=True, dtype=dtype)

        self.weight, self.bias = parameter(K, hidden, scale=K**-0.5), parameter(1, hidden)
        self.out_weight, self.out_bias = parameter(hidden, 2 * K), parameter(1, 2 * K)

    def _scale_and_shift(self, kept: Any) -> tuple[Any, Any]:
        """s and t of the half that is kept, 0 where z does not move."""
        K = kept.shape[-1]
        u = ops.swapaxes(kept, 0, -2)  # (N, S, K), for matrices (K, H) or each datum's (N, K, H)
        h = ops.tanh(ops.matmul(u, self.weight) + self.bias)
        out = ops.swapaxes(ops.matmul(h, self.out_weight) + self.out_bias, 0, -2)
        return 2.0 * ops.tanh(out[..., :K]) * self.moves, out[..., K:] * self.moves

    def forward(self, u: Any) -> tuple[Any, Any]:
        """z and ``log |dz/du|``."""
        s, t = self._scale_and_shift(u * (1.0 - self.moves))
        return u * ops.exp(s) + t, ops.sum(s, -1)

    def inverse(self, z: Any) -> tuple[Any, Any]:
        """u and ``log |dz/du|`` there."""
        s, t = self._scale_and_shift(z * (1.0 - self.moves))
        return (z - t) * ops.exp(-s), ops.sum(s, -1)

    def detach(self) -> Self:
        """The same map, with parameters that no gradient passes through."""
        own = copy.copy(self)
        vars(own).update({name: detached(value) for name, value in vars(self).items()})
        return own
