"""p(x, z given c): a prior, a decoder and a likelihood, and nothing else.

It knows nothing of q, of data sets, of files or of training, and so whatever knows a model of this
form, an objective or an inference method, works for all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minivae import ops
from minivae.distributions import Distribution, Likelihood
from minivae.nn import Module
from minivae.randomness import entropy_from, stream
from minivae.tensor import Array, no_grad

__all__ = ["LatentModel"]


class LatentModel(Module):
    """p(x, z given c) = p(z given c) p(x given z, c), Eq. VAE.2.

    Samples of z have the shape ``(S, N, K)``: they become rows in here, and nowhere else.

    Parameters
    ----------
    prior
        p(z), or a callable that gives p(z given c).
    decoder
        From rows of z ``(S*N, K)``, and of c where there is one, to features ``(S*N, H)`` for the
        likelihood's heads, or to a tuple of the likelihood's parameters.
    likelihood
        p(x given z).
    """

    def __init__(
        self, prior: Distribution, decoder: Callable[..., Any], likelihood: Likelihood
    ) -> None:
        self.decoder, self.likelihood, self.prior = decoder, likelihood, prior

    def in_training(self) -> LatentModel:
        """The same model, its likelihood as training uses it."""
        return LatentModel(self.prior, self.decoder, self.likelihood.in_training())

    def parameters_given(self, z: Any, c: Any = None) -> tuple[Any, ...]:
        """The parameters of p(x given z, c), each ``(S*N, D)``, for z ``(S, N, K)``, c ``(N, C)``.

        Eq. VAE.1.
        """
        rows = ops.reshape(z, (-1, z.shape[-1]))
        if c is None:
            return self.likelihood(self.decoder(rows))
        S = z.shape[0]
        return self.likelihood(self.decoder(rows, c if S == 1 else ops.concatenate([c] * S)))

    def log_prob_given(self, x: Any, z: Any, c: Any = None) -> Any:
        """log p(x given z, c) in nats, ``(S, N)``, for x ``(N, D)`` and z ``(S, N, K)``."""
        log_p = self.likelihood.log_prob(self.parameters_given(z, c), x)
        return ops.reshape(log_p, z.shape[:-1])

    def mean_log_prob_given(self, x: Any, z: Any, c: Any = None) -> Any:
        """The mean over samples of log p(x given z, c), ``(N,)``; of one sample, that one."""
        if z.shape[0] == 1:
            return self.likelihood.log_prob(self.parameters_given(z, c), x)
        return ops.mean(self.log_prob_given(x, z, c), 0)

    def log_joint(self, x: Any, z: Any, c: Any = None) -> Any:
        """log p(x, z given c) in nats, ``(S, N)``."""
        return self.log_prob_given(x, z, c) + self.prior_given(c).log_prob(z)

    def prior_given(self, c: Any = None) -> Distribution:
        """p(z given c)."""
        return self.prior if c is None else self.prior(c)

    def decode(self, z: Any, c: Any = None) -> Array:
        """E[x given z, c] in the data's units, ``(n, D)``, for z ``(n, K)``."""
        with no_grad():
            return self.likelihood.mean(self.parameters_given(z[None], c))

    def sample(self, n: int, random_state: Any = None, c: Any = None) -> Array:
        """n draws of x, ``(n, D)``: z from the prior, x from p(x given z, c), Eq. VAE.2.

        Parameters
        ----------
        n
            How many; with conditions, one for each row of c.
        random_state
            An int, a ``RandomState``, a ``Generator`` or None. A ``Generator`` is drawn from as it
            is.
        c
            Conditions ``(n, C)``, or None.
        """
        rng = random_state
        if not isinstance(rng, np.random.Generator):
            rng = stream(entropy_from(random_state))
        prior = self.prior_given(c)
        with no_grad():
            # A prior that is the same for all data has no axis for them: its samples are the rows.
            noise = prior.noise(rng, n) if prior is self.prior else prior.noise(rng, 1)[0]
            z = prior.draw(noise, rng)
            return self.likelihood.sample(self.parameters_given(z[None], c), rng)
