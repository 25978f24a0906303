"""What the models are compared with: integrals, differences and small models laid open.

Nothing here uses the library's own densities or gradients, but for `small_model`, which is made of
them to be taken apart.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.special import logsumexp

from minivae.distributions import (
    Bernoulli,
    Binomial,
    ContinuousBernoulli,
    DiagonalGaussian,
    Distribution,
    Gaussian,
    Likelihood,
    StandardNormal,
)
from minivae.latent_model import LatentModel
from minivae.models.vae.networks import Encoder, trunk
from minivae.tensor import Tensor

# Integrals ---------------------------------------------------------------------------------------


def normal_rule(K=1, n=201, limit=9.0):
    """Points ``(n**K, K)`` and weights ``(n**K,)`` with sum_i w_i f(e_i) = E f(e), e ~ N(0, I).

    The trapezoid rule: for smooth f its error falls faster than any power of the spacing.
    """
    axis = np.linspace(-limit, limit, n)
    weight = (axis[1] - axis[0]) * np.exp(-0.5 * axis**2) / np.sqrt(2.0 * np.pi)
    return _grid(axis, K), _grid(weight, K).prod(axis=1)


def _grid(axis, K):
    """All K-tuples of the numbers on an axis, as rows."""
    return np.stack(np.meshgrid(*[axis] * K, indexing="ij"), axis=-1).reshape(-1, K)


def log_integral(log_f, K=1, limit=9.0, tolerance=1e-11):
    """log of the integral of exp(log_f) over R^K by the trapezoid rule, for each datum.

    ``log_f`` takes points ``(n, K)`` to values ``(n, N)``. The grid is doubled until nothing
    changes, because a narrow posterior falls between the points of a coarse one.
    """
    n, before = 32, None
    while n <= 2048:
        axis = np.linspace(-limit, limit, n + 1)
        value = logsumexp(log_f(_grid(axis, K)), axis=0) + K * np.log(axis[1] - axis[0])
        if before is not None and np.abs(value - before).max() < tolerance:
            return value
        n, before = 2 * n, value
    raise AssertionError("the integral has not settled")


def axis_noise(K, N, dtype=np.float64):
    """Noise ``(2K, N, K)`` at +-sqrt(K) along each axis: mean 0 and covariance I, exactly.

    So the mean over it of anything quadratic in z is the expectation, without error.
    """
    points = np.sqrt(K) * np.concatenate([np.eye(K), -np.eye(K)])
    return np.broadcast_to(points[:, None], (2 * K, N, K)).astype(dtype)


# Gradients ---------------------------------------------------------------------------------------


def numerical_gradient(f, x, step=2e-3):
    """Central differences of two steps, extrapolated: wrong by some step**4 and 1e-13 f / step."""
    x = np.array(x, dtype=np.float64)
    gradient = np.empty_like(x)
    for i in np.ndindex(x.shape):
        h = step * max(1.0, abs(x[i]))
        differences = []
        for size in (h, h / 2):
            above, below = x.copy(), x.copy()
            above[i] += size
            below[i] -= size
            differences.append((f(above) - f(below)) / (above[i] - below[i]))
        gradient[i] = (4.0 * differences[1] - differences[0]) / 3.0
    return gradient


def flatten(parameters: Sequence[Tensor]) -> np.ndarray:
    """The values of all parameters in one vector."""
    return np.concatenate([p.data.ravel() for p in parameters])


def assign(parameters: Sequence[Tensor], vector: np.ndarray) -> None:
    """Give all parameters their values from one vector."""
    start = 0
    for p in parameters:
        p.data = vector[start : start + p.size].reshape(p.shape)
        start += p.size


def gradient(objective: Callable[[], Any], parameters: Sequence[Tensor]) -> np.ndarray:
    """The gradient of a number with respect to all parameters, in one vector, by the engine."""
    for p in parameters:
        p.grad = None
    objective().backward()
    return np.concatenate(
        [(np.zeros(p.shape) if p.grad is None else p.grad).ravel() for p in parameters]
    )


def value_at(objective: Callable[[], Any], parameters: Sequence[Tensor]):
    """The objective as a function of the vector of all parameters."""

    def value(vector):
        before = flatten(parameters)
        assign(parameters, vector)
        result = objective()
        assign(parameters, before)
        return float(np.asarray(result.data if isinstance(result, Tensor) else result))

    return value


# Small models ------------------------------------------------------------------------------------

LIKELIHOODS: dict[str, Callable[[], Likelihood]] = {
    "bernoulli": Bernoulli,
    "binomial": lambda: Binomial(5),
    "continuous-bernoulli": ContinuousBernoulli,
    "gaussian, its variance by a network": lambda: Gaussian("network"),
    "gaussian, one scale learnt": lambda: Gaussian("shared"),
    "gaussian, its scale fixed": lambda: Gaussian(0.4),
}


def data_of(likelihood: Likelihood, N: int, D: int, rng: np.random.Generator) -> np.ndarray:
    """Data inside a likelihood's support."""
    if isinstance(likelihood, Binomial):
        return rng.integers(0, likelihood.n_trials + 1, (N, D)).astype(float)
    if isinstance(likelihood, Bernoulli):
        return rng.integers(0, 2, (N, D)).astype(float)
    if isinstance(likelihood, ContinuousBernoulli):
        return rng.random((N, D))
    return rng.standard_normal((N, D))


def model_of(
    decode: Callable[[Any], Any], likelihood: Any, K: int = 1, prior: Distribution | None = None
) -> LatentModel:
    """p(x, z) from a function of rows of z to the likelihood's parameters."""
    return LatentModel(prior or StandardNormal(K), decode, likelihood)


class SmallModel(NamedTuple):
    """A model small enough to integrate, in the form that the objectives take."""

    model: LatentModel
    encode: Callable[[Any], DiagonalGaussian]
    x: np.ndarray
    parameters: list[Tensor]

    @property
    def parts(self):
        """What every objective takes first: p(x, z), q(z | x) and x."""
        return self.model, self.encode(self.x), self.x

    def with_prior(self, prior: Distribution) -> "SmallModel":
        """The same with another p(z)."""
        model = LatentModel(prior, self.model.decoder, self.model.likelihood)
        return self._replace(model=model)

    def log_joint(self, z):
        """log p(x, z) at points ``(n, K)`` for each datum, of shape ``(n, N)``."""
        N, likelihood = len(self.x), self.model.likelihood
        parameters = [np.asarray(p.data) for p in likelihood(self.model.decoder(z))]
        parameters = [p if p.shape == (1, 1) else np.repeat(p, N, axis=0) for p in parameters]
        log_likelihood = likelihood.log_prob(tuple(parameters), self.x).reshape(-1, N)
        log_prior = -0.5 * (z**2 + np.log(2.0 * np.pi)).sum(axis=1)
        return log_likelihood + log_prior[:, None]

    def log_marginal(self, K):
        """log p(x) for each datum, by the trapezoid rule."""
        return log_integral(self.log_joint, K)


def small_model(name: str, K: int = 1, N: int = 3, D: int = 3, seed: int = 0) -> SmallModel:
    """Random smooth networks in float64, the encoder's heads not at zero."""
    rng = np.random.default_rng(seed)
    style: dict[str, Any] = {"activation": "tanh", "rng": rng, "dtype": np.float64}
    encoder, layers = Encoder(D, [4], K, **style), trunk(K, [4], **style)
    likelihood = LIKELIHOODS[name]().built(4, D, rng=rng, dtype=np.float64)
    for head in (encoder.mu, encoder.log_var):
        head.weight.data = 0.5 * rng.standard_normal(head.weight.shape)
        head.bias.data = 0.3 * rng.standard_normal(head.bias.shape)
    if name == "gaussian, one scale learnt":
        likelihood.shared.data = np.full((1, 1), -0.8)

    def encode(x):
        return encoder(likelihood.encoder_input(x))

    model = LatentModel(StandardNormal(K), layers, likelihood)
    parameters = [*encoder.parameters(), *model.parameters()]
    return SmallModel(model, encode, data_of(likelihood, N, D, rng), parameters)
