"""What every distribution over z can do, a posterior q(z | x) as well as a prior p(z).

Samples of z travel in one shape, ``(S, N, K)``: S samples for each of N data. A distribution over z
for N data has parameters of shape ``(N, K)`` and gives one number per sample, ``(S, N)``; a prior
has no axis N of its own and takes any leading axes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Self

import numpy as np

from minivae import ops
from minivae.randomness import entropy_from, stream
from minivae.tensor import Array, Tensor, no_grad

__all__ = ["Distribution"]


class Distribution:
    """A distribution over z, all of it in nats.

    A family overrides what it can do. The other methods, such as the density of an implicit q,
    raise an error that names them.
    """

    parts: ClassVar[tuple[str, ...]] = ()
    """The names of the parameters, as the constructor takes them."""

    def __call__(self, c: Any = None) -> Distribution:
        """p(z | c): of a prior without a condition, itself."""
        return self

    def noise(self, rng: np.random.Generator, S: int = 1) -> Array:
        """The noise that :meth:`rsample` turns into S samples for each datum, ``(S, N, K)``.

        It is drawn datum by datum, so that the noise of a datum does not depend on those after it.
        """
        raise self._cannot("noise")

    def rsample(self, eps: Any) -> Any:
        """z as a differentiable function of noise ``(S, N, K)``, of the same shape."""
        raise self._cannot("rsample")

    def log_prob(self, z: Any) -> Any:
        """The log-density at z ``(S, N, K)``, of shape ``(S, N)``."""
        raise self._cannot("log_prob")

    def rsample_and_log_prob(self, eps: Any) -> tuple[Any, Any]:
        """z ``(S, N, K)`` and its log-density ``(S, N)``, from the noise."""
        z = self.rsample(eps)
        return z, self.log_prob(z)

    def entropy(self) -> Any:
        """-E log q(z), of shape ``(N,)``, where it has a closed form."""
        raise self._cannot("entropy")

    def kl_to(self, prior: Distribution, z: Any = None, per_dimension: bool = False) -> Any:
        """KL(q || prior) of shape ``(N,)``, or ``(N, K)`` if ``per_dimension``.

        In closed form if the two families have one. Otherwise E_q log prior is the mean over
        samples z ``(S, N, K)`` from q, and so is E_q log q where the entropy has no closed form.

        Raises
        ------
        NotImplementedError
            If there is no closed form and no z, or no closed form per dimension is available.
        """
        closed = self._kl_closed(prior, per_dimension)
        if closed is not None:
            return closed
        if per_dimension or z is None:
            pair = f"{type(self).__name__} to {type(prior).__name__}"
            what = "a dimension" if per_dimension else "without samples z of shape (S, N, K)"
            raise NotImplementedError(f"kl_to: the KL from {pair} has no closed form {what}")
        expected_log_prior = ops.mean(prior.log_prob(z), 0)
        try:
            return -self.entropy() - expected_log_prior
        except NotImplementedError:
            return ops.mean(self.log_prob(z), 0) - expected_log_prior

    def _kl_closed(self, prior: Distribution, per_dimension: bool) -> Any:
        """KL(q || prior) in closed form, or None."""
        return None

    def detach(self) -> Self:
        """The same distribution, with parameters that no gradient passes through."""
        if not self.parts:
            raise self._cannot("detach")
        return type(self)(*(detached(getattr(self, name)) for name in self.parts))

    @classmethod
    def joined(cls, portions: Sequence[Self]) -> Self:
        """One distribution over z for the data of several portions, with arrays as parameters."""
        if not cls.parts:
            raise NotImplementedError(
                f"joined: the distribution {cls.__name__} does not say what its parts are"
            )
        arrays = [[numbers(getattr(q, name)) for q in portions] for name in cls.parts]
        return cls(*map(np.concatenate, arrays))

    def draw(self, eps: Array, rng: np.random.Generator) -> Array:
        """A sample for each row of noise; ``rng`` supplies any further randomness.

        Scaling the noise up moves samples away from their centres by the same factor.
        """
        return numbers(self.rsample(eps))

    def sample(self, random_state: Any = None, S: int | None = None) -> Array:
        """Samples as plain numbers: S for each datum, ``(S, N, K)``; one, ``(N, K)``, without S.

        Parameters
        ----------
        random_state
            An int, a ``RandomState``, a ``Generator`` or None.
        S
            How many samples; for a prior, how many rows.
        """
        rng = stream(entropy_from(random_state), 0)
        with no_grad():
            z = self.draw(self.noise(rng, 1 if S is None else S), rng)
        return z[0] if S is None else z

    def moments(self) -> tuple[Array, Array]:
        """The mean ``(..., K)`` and the covariance ``(..., K, K)`` of z."""
        raise self._cannot("moments")

    def factor(self) -> Array:
        """L with covariance L L^T, lower triangular, ``(..., K, K)``, in float64."""
        return np.linalg.cholesky(self.moments()[1].astype(np.float64))

    def _cannot(self, what: str) -> NotImplementedError:
        name = type(self).__name__
        return NotImplementedError(f"{what}: the distribution {name} does not have it")


def numbers(x: Any) -> Array:
    """The values of an array or a tensor."""
    return x.data if isinstance(x, Tensor) else np.asarray(x)


def detached(x: Any) -> Any:
    """An array or a tensor without its tape."""
    return x.detach() if isinstance(x, Tensor) else x
