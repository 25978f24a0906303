"""Looking at data through a fitted model, in portions that bound memory.

Noise is drawn from separate streams, numbered by datum or in the data's order. So what is
measured depends neither on the portions nor on what was drawn before, and training goes on
undisturbed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from minivae import ops
from minivae.distributions.base import numbers
from minivae.inference import laplace_proposal
from minivae.inference.laplace import PEAKS
from minivae.latent_model import LatentModel
from minivae.objectives import ElboTerms, elbo_terms, sample_terms
from minivae.randomness import stream
from minivae.tensor import Array, no_grad

__all__ = ["Evaluation"]

# The numbered random streams: training, evaluation and sampling never disturb each other.
WEIGHTS, ORDER, NOISE, SPLIT, EVALUATION, PIXELS, SAMPLES, PRIOR, START = range(9)
NUMBERS_AT_ONCE = 2**21  # in the widest array of an evaluation, which bounds its memory


class Evaluation:
    """A model, its encoder, and how many numbers a datum takes on its way through them.

    Parameters
    ----------
    model, encode
        p(x, z), and the function from data (and conditions) to q(z | x).
    latent_dim, widest
        K, and the widest array a sample passes through.
    dtype
        Of all results.
    entropy
        What the noise is drawn from.
    first
        The number that the first datum has among all, whose noise is drawn in their order.
    """

    def __init__(
        self,
        model: LatentModel,
        encode: Callable[..., Any],
        *,
        latent_dim: int,
        widest: int,
        dtype: Any,
        entropy: int,
        first: int = 0,
    ) -> None:
        self.model, self.encode, self.entropy, self.first = model, encode, entropy, first
        self.latent_dim, self.widest, self.dtype = latent_dim, widest, np.dtype(dtype)

    def portions(self, n: int, S: int = 1) -> Iterator[slice]:
        """Slices of n data that take, with S samples each, about as much memory as is granted."""
        rows = max(1, NUMBERS_AT_ONCE // (S * self.widest))
        return (slice(start, min(start + rows, n)) for start in range(0, n, rows))

    def encoded(
        self, X: Array, S: int, eps: Array | None, C: Array | None
    ) -> Iterator[tuple[slice, Any, Any, Any, Array]]:
        """Portions of the data: their place, x, c, q(z | x), and the noise of S samples of q.

        Noise is drawn datum by datum, so that it does not depend on the portions.
        """
        rng = stream(self.entropy, EVALUATION)
        if eps is None:
            self._pass_over(rng, X, S, C)
        for part in self.portions(len(X), S):
            x, c = X[part], _rows(C, part)
            with no_grad():
                q = self.encode(x, c)
            noise = q.noise(rng, S) if eps is None else np.ascontiguousarray(eps[:, part])
            yield part, x, c, q, noise

    def _pass_over(self, rng: np.random.Generator, X: Array, S: int, C: Array | None) -> None:
        """Draw the noise of the data before X; of any data it is as much."""
        left, like = self.first, next(self.portions(len(X), S))
        while left:
            like = slice(0, min(like.stop, left))
            with no_grad():
                q = self.encode(X[like], _rows(C, like))
            for _ in range(left // like.stop):
                q.noise(rng, S)
            left %= like.stop

    def elbo_terms(
        self, X: Array, S: int, kl: str, eps: Array | None = None, C: Array | None = None
    ) -> ElboTerms:
        """The ELBO's two terms with S samples per datum, or with the noise given."""
        S = S if eps is None else len(eps)
        reconstruction, divergence = (np.empty(len(X), self.dtype) for _ in range(2))
        for part, x, c, q, noise in self.encoded(X, S, eps, C):
            with no_grad():
                if kl == "analytic":
                    terms = elbo_terms(self.model, q, x, noise, c)
                else:
                    terms = sample_terms(self.model, q, x, noise, c).means
            reconstruction[part], divergence[part] = terms.reconstruction.data, terms.kl.data
        return ElboTerms(reconstruction, divergence)

    def posterior(self, X: Array, C: Array | None = None) -> Any:
        """q(z | x) for each datum, its parameters as arrays."""
        with no_grad():
            portions = [self.encode(X[p], _rows(C, p)) for p in self.portions(len(X))]
        return type(portions[0]).joined(portions)

    def decode(self, z: Array, D: int, C: Array | None = None) -> Array:
        """E[x | z] of each row of z, ``(n, D)``."""
        means = np.empty((len(z), D), self.dtype)
        for part in self.portions(len(z)):
            means[part] = self.model.decode(z[part], _rows(C, part))
        return means

    def weights_from_encoder(
        self, X: Array, S: int, eps: Array | None, C: Array | None = None
    ) -> Iterator[tuple[slice, Array]]:
        """Portions of the data with log p(x, z) - log q(z | x) at samples from q, ``(S, n)``."""
        for part, x, c, q, noise in self.encoded(X, S, eps, C):
            with no_grad():
                log_weights = [
                    sample_terms(self.model, q, x, noise[some], c).log_weights.data
                    for some in self.portions(S, len(x))
                ]
            yield part, np.concatenate(log_weights)

    def posterior_means(self, X: Array, S: int, C: Array | None = None) -> Array:
        """E[x | z] averaged over z ~ q(z | x), weighted by p(x, z) / q(z | x), Eq. MISS.8."""
        means = np.empty(X.shape, self.dtype)
        for part, x, c, q, noise in self.encoded(X, S, None, C):
            with no_grad():
                z, log_q = q.rsample_and_log_prob(noise)
                w = numbers(ops.softmax(self.model.log_joint(x, z, c) - log_q, 0))
                shape = (*w.shape, X.shape[1])
                conditions = None if c is None else np.tile(c, (S, 1))
                decoded = self.model.decode(numbers(z).reshape(-1, z.shape[-1]), conditions)
            means[part] = np.einsum("sn,snd->nd", w, decoded.reshape(shape))
        return means

    def weights_from_peaks(
        self, X: Array, S: int, C: Array | None = None
    ) -> Iterator[tuple[slice, Array]]:
        """The same at samples from a proposal around the peaks of each datum's posterior."""
        for part in self.portions(len(X), max(4 * PEAKS, S // 32)):
            x, c = X[part], _rows(C, part)
            log_joint = partial(self.model.log_joint, x, c=c)
            # One stream a datum, so that no estimate depends on which data are asked about together
            numbers_of = range(self.first + part.start, self.first + part.stop)
            generators = [stream(self.entropy, EVALUATION, i) for i in numbers_of]
            prior = self.model.prior_given(c)
            proposal = laplace_proposal(log_joint, prior, self.posterior(x, c), generators)
            z = proposal.sample_each(S, generators)
            rounded = z.astype(x.dtype)
            with no_grad():
                log_p = [log_joint(rounded[s]).data for s in self.portions(S, len(x))]
            yield part, np.concatenate(log_p) - proposal.log_prob(z)


def _rows(C: Array | None, part: slice) -> Array | None:
    """The conditions of a portion, where there are any."""
    return None if C is None else C[part]
