"""What mixtures of every family share, in scikit-learn's terms and without scikit-learn."""

from __future__ import annotations

import math
from typing import Any, Protocol

import numpy as np

from minivae.checks import is_real, is_whole
from minivae.errors import NotFittedError
from minivae.estimator import Estimator, Rule, parameter, whole
from minivae.models.mixture.data import Data, as_rows
from minivae.randomness import entropy_from, stream
from minivae.tensor import Array

__all__ = ["NOT_CONVERGED", "Mixture", "MixtureDistribution"]

_SAMPLES = 2**20  # the random stream of `sample`; that of the i-th start is number i

# scikit-learn's words, which programs and people look for.
NOT_CONVERGED = (
    "Best performing initialization did not converge. Try different init parameters, or increase "
    "max_iter, tol, or check for degenerate data."
)

_RISE = Rule(lambda v: is_real(v) and v >= 0, "a number from 0", float)
_SEED = Rule(lambda v: True, "a whole number from 0, a RandomState, a Generator or None", int)


class MixtureDistribution(Protocol):
    """A distribution p(x) = sum_k pi_k p(x | z = k), as an estimator uses it."""

    @property
    def weights(self) -> Array:
        """pi, of shape ``(K,)``."""

    @property
    def means(self) -> Array:
        """E[x | z = k], of shape ``(K, D)``."""

    @property
    def n_parameters(self) -> int:
        """How many numbers are free."""

    def log_prob(self, X: Array) -> Array:
        """log p(x) of each row, ``(N,)``."""

    def responsibilities(self, X: Array) -> Array:
        """p(z = k | x) of each row, ``(N, K)``."""

    def labels(self, X: Array) -> Array:
        """The most probable component of each row, ``(N,)``."""

    def sample(self, n: int, rng: np.random.Generator) -> tuple[Array, Array]:
        """n draws, ``(n, D)``, and their components, ``(n,)``."""


class Mixture(Estimator):
    """A mixture of K components that can be fitted: what does not depend on their family."""

    n_components: int = parameter(
        default=1, rule=whole(1), sentence="K, the number of components.", metavar="K|A-B"
    )
    tol: float = parameter(
        default=1e-3,
        rule=_RISE,
        sentence="EM ends when an iteration finds the bound risen by less, in nats per datum.",
        metavar="T",
        kw_only=True,
    )
    max_iter: int = parameter(
        default=100,
        rule=whole(0),
        sentence="The most iterations; 0 leaves the start.",
        metavar="N",
        kw_only=True,
    )
    n_init: int = parameter(
        default=1,
        rule=whole(1),
        sentence="How many starts there are; the highest bound is kept.",
        metavar="N",
        kw_only=True,
    )
    random_state: Any = parameter(
        default=None,
        rule=_SEED,
        sentence=f"The seed of all randomness: {_SEED.text}.",
        metavar="N",
        kw_only=True,
    )

    @property
    def distribution_(self) -> MixtureDistribution:
        """The mixture as fitted, as a distribution."""
        raise NotImplementedError

    # ---- looking at data through the model ----

    def score_samples(self, X: Any) -> Array:
        """log p(x) of each row, in nats, of shape ``(N,)``."""
        return self._log_prob(X, "score_samples")

    def _log_prob(self, X: Any, operation: str) -> Array:
        X = self._rows(X, operation)
        return self.distribution_.log_prob(X)

    def score(self, X: Any, y: Any = None) -> float:
        """The mean of log p(x), in nats per datum."""
        return float(self._log_prob(X, "score").mean())

    def predict_proba(self, X: Any) -> Array:
        """The responsibilities p(z = k | x), of shape ``(N, K)``."""
        X = self._rows(X, "predict_proba")
        return self.distribution_.responsibilities(X)

    def predict(self, X: Any) -> Array:
        """The most probable component of each row, of shape ``(N,)``."""
        X = self._rows(X, "predict")
        return self.distribution_.labels(X)

    def reconstruct(self, X: Any) -> Array:
        """The components' means weighted by the responsibilities, ``(N, D)`` in the data's units.

        It is the mean of a new datum from the component that x came from.
        """
        X = self._rows(X, "reconstruct")
        r = self.distribution_.responsibilities(X)
        return r @ self.distribution_.means

    def sample(self, n_samples: int = 1, random_state: Any = None) -> tuple[Array, Array]:
        """Draws from the mixture, ``(n, D)`` in the order of their components, and these ``(n,)``.

        Parameters
        ----------
        n_samples
            How many.
        random_state
            Goes before the model's own. With an int, there or here, every call draws the same.

        Raises
        ------
        ValueError
            If ``n_samples`` is not a whole number from 1.
        """
        self._require_fitted("sample", "means_")
        if not is_whole(n_samples) or n_samples < 1:
            raise ValueError(
                f"sample: Invalid value for 'n_samples': {n_samples!r}; it must be a whole number "
                "from 1"
            )
        state = self.random_state if random_state is None else random_state
        return self.distribution_.sample(n_samples, stream(entropy_from(state), _SAMPLES))

    def bic(self, X: Any) -> float:
        """-2 log-likelihood + p log N, with p free parameters: the lower the better."""
        log_p = self._log_prob(X, "bic")
        n_parameters = self.distribution_.n_parameters
        return float(-2 * log_p.sum() + n_parameters * math.log(len(log_p)))

    def aic(self, X: Any) -> float:
        """-2 log-likelihood + 2 p, with p free parameters: the lower the better."""
        log_p = self._log_prob(X, "aic")
        return float(-2 * log_p.sum() + 2 * self.distribution_.n_parameters)

    def _rows(self, X: Any, operation: str) -> Array:
        self._require_fitted(operation, "means_")
        return as_rows(X, operation, n_features=self.distribution_.means.shape[1])

    def _check_enough(self, data: Data) -> None:
        if data.n_weighted < self.n_components:
            raise ValueError(
                f"{data.operation}: Expected n_samples >= n_components but got n_components = "
                f"{self.n_components}, n_samples = {data.n_weighted}"
            )

    def _require_fitted(self, operation: str, attribute: str) -> None:
        if not hasattr(self, attribute):
            raise NotFittedError(
                f"{operation}: This {type(self).__name__} instance is not fitted yet. Call 'fit' "
                "with appropriate arguments before using this estimator."
            )

    def __sklearn_tags__(self) -> Any:
        """What scikit-learn asks of an estimator."""
        tags = super().__sklearn_tags__()
        tags.estimator_type = "density_estimator"
        return tags
