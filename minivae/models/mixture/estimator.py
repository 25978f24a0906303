"""What mixtures of every family share, in scikit-learn's terms and without scikit-learn."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Protocol, Self

import numpy as np

from minivae.checkpoint import load_checkpoint, save_checkpoint
from minivae.checks import is_real, is_whole
from minivae.errors import CheckpointError
from minivae.estimator import Estimator, Rule, boolean, choice, parameter, whole
from minivae.models.mixture.data import Data, as_rows
from minivae.models.mixture.missing import patterns_of
from minivae.models.on_dask import mean_of_rows, row_by_row
from minivae.randomness import entropy_from, stream
from minivae.reading import refused
from minivae.tensor import Array

__all__ = ["NOT_CONVERGED", "NUMBER", "Mixture", "MixtureDistribution"]

_OF_NOTHING: dict[str, Callable[[Array], Any]] = {  # of a row of which nothing is observed
    "log_prob": lambda pi: np.log(pi.sum()),
    "responsibilities": lambda pi: pi / pi.sum(),
    "labels": np.argmax,
}
_SAMPLES = 2**20  # the random stream of `sample`; that of the i-th start is number i

# scikit-learn's words, which programs and people look for.
NOT_CONVERGED = (
    "Best performing initialization did not converge. Try different init parameters, or increase "
    "max_iter, tol, or check for degenerate data."
)

NUMBER = Rule(is_real, "a number")
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
        """The number of free parameters."""

    def log_prob(self, X: Array) -> Array:
        """log p(x) of each row, ``(N,)``."""

    def responsibilities(self, X: Array) -> Array:
        """p(z = k | x) of each row, ``(N, K)``."""

    def labels(self, X: Array) -> Array:
        """The most probable component of each row, ``(N,)``."""

    def sample(self, n: int, rng: np.random.Generator) -> tuple[Array, Array]:
        """n draws, ``(n, D)``, and their components, ``(n,)``."""

    def marginal(self, columns: Any) -> MixtureDistribution:
        """The distribution of some columns."""


class Mixture(Estimator):
    """A mixture of K components that can be fitted: what does not depend on their family."""

    n_components: int = parameter(
        default=1, rule=whole(1), sentence="K, the number of components.", metavar="K|A-B"
    )
    tol: float = parameter(
        default=1e-3,
        rule=_RISE,
        sentence="The rise of the bound below which EM ends, in nats per datum.",
        metavar="T",
        kw_only=True,
    )
    max_iter: int = parameter(
        default=100,
        rule=whole(0),
        sentence="The most iterations; with 0 the start is returned.",
        metavar="N",
        kw_only=True,
    )
    n_init: int = parameter(
        default=1,
        rule=whole(1),
        sentence="How many starts there are, of which the best is kept. They race: after 8, 16, 32 "
        "... iterations a start is given up if, at its present rise, it cannot catch up.",
        metavar="N",
        kw_only=True,
    )
    missing: str = parameter(
        default="refuse",
        rule=choice("refuse", "marginalise"),
        sentence="What happens to NaN in the data: it is refused, or taken for a missing value, "
        "which is integrated out.",
        kw_only=True,
    )
    random_state: Any = parameter(
        default=None,
        rule=_SEED,
        sentence=f"The seed of all randomness: {_SEED.text}.",
        metavar="N",
        kw_only=True,
    )

    _kind: ClassVar[str]
    """What a file calls such a model."""

    _saved_arrays: ClassVar[tuple[str, ...]] = ("weights_", "means_")
    _saved_values: ClassVar[dict[str, Rule]] = {
        "converged_": boolean(),
        "n_iter_": whole(0),
        "lower_bound_": NUMBER,
        "lower_bounds_": Rule(lambda v: isinstance(v, list) and all(map(is_real, v)), "numbers"),
        "n_features_in_": whole(1),
    }
    _initial: ClassVar[tuple[str, ...]] = ()
    """The hyper-parameters that are arrays or None."""

    @property
    def distribution_(self) -> MixtureDistribution:
        """The mixture as fitted, as a distribution."""
        raise NotImplementedError

    @property
    def _judge(self) -> MixtureDistribution:
        """What rows are looked at with."""
        return self.distribution_

    def _of_rows(self, what: str, X: Array) -> Array:
        """A method of the mixture for each row, by the marginal of what is observed of it."""
        theta = self._judge
        patterns = patterns_of(X) if self.missing == "marginalise" else None
        if patterns is None:
            return np.asarray(getattr(theta, what)(X))
        K = len(theta.weights)
        out = np.empty((len(X), K) if what == "responsibilities" else len(X))
        for rows, observed, _ in patterns:
            if len(observed):
                seen = np.ascontiguousarray(X[np.ix_(rows, observed)])
                out[rows] = getattr(theta.marginal(observed), what)(seen)
            else:
                out[rows] = _OF_NOTHING[what](theta.weights)
        return out.astype(np.int64) if what == "labels" else out

    # ---- looking at data through the model ----

    def score_samples(self, X: Any) -> Array:
        """log p(x) of each row, in nats, of shape ``(N,)``."""
        return self._log_prob(X, "score_samples")

    @row_by_row(fitted="means_", stored=True)
    def _log_prob(self, X: Any, operation: str) -> Array:
        return self._of_rows("log_prob", self._rows(X, operation))

    def score(self, X: Any, y: Any = None) -> float:
        """The mean of log p(x), in nats per datum."""
        return mean_of_rows(self, "_log_prob", X, "score")

    @row_by_row(fitted="means_", columns=lambda m: len(m.weights_), stored=True)
    def predict_proba(self, X: Any) -> Array:
        """The responsibilities p(z = k | x), of shape ``(N, K)``."""
        return self._of_rows("responsibilities", self._rows(X, "predict_proba"))

    @row_by_row(fitted="means_", dtype=lambda m: np.int64, stored=True)
    def predict(self, X: Any) -> Array:
        """The most probable component of each row, of shape ``(N,)``."""
        return self._of_rows("labels", self._rows(X, "predict"))

    @row_by_row(fitted="means_", columns=lambda m: m.means_.shape[1], stored=True)
    def reconstruct(self, X: Any) -> Array:
        """The components' means weighted by the responsibilities, ``(N, D)`` in the data's units.

        It is the mean of a new datum from the component that x came from.
        """
        r = self._of_rows("responsibilities", self._rows(X, "reconstruct"))
        return r @ self.distribution_.means

    def sample(self, n_samples: int = 1, random_state: Any = None) -> tuple[Array, Array]:
        """Draws from the mixture, ``(n, D)`` in the order of their components, and these ``(n,)``.

        Parameters
        ----------
        n_samples
            How many.
        random_state
            Takes precedence over the model's own. With an int in either, every call draws the same.

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
        """-2 log-likelihood + df log N, with df free parameters, Eq. GMM.9; the least is best."""
        log_p = self._log_prob(X, "bic")
        n_parameters = self.distribution_.n_parameters
        return float(-2 * log_p.sum() + n_parameters * math.log(len(log_p)))

    def aic(self, X: Any) -> float:
        """-2 log-likelihood + 2 df, with df free parameters; the least is best."""
        log_p = self._log_prob(X, "aic")
        return float(-2 * log_p.sum() + 2 * self.distribution_.n_parameters)

    # ---- files ----

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the fitted model to one file, without pickle; :meth:`load` reads it."""
        self._require_fitted("save", "means_")
        settings = vars(self._settings())
        initial = {f"init.{name}": settings.pop(name) for name in self._initial}
        if not is_whole(settings["random_state"]):
            settings["random_state"] = None
        arrays = {n: np.asarray(a, np.float64) for n, a in initial.items() if a is not None}
        arrays |= {n: np.asarray(getattr(self, n)) for n in self._saved_arrays if hasattr(self, n)}
        fitted = {name: getattr(self, name) for name in self._saved_values if hasattr(self, name)}
        names = list(getattr(self, "feature_names_in_", ()))
        metadata = {"params": settings, "fitted": fitted, "feature_names": names}
        save_checkpoint(path, arrays, {"kind": self._kind, **metadata})

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read a model that :meth:`save` wrote.

        Raises
        ------
        CheckpointError
            If the file is missing, truncated, not a checkpoint, of another kind of model, or what
            it holds is not what a fit leaves.
        """
        arrays, metadata = load_checkpoint(path)
        kind = f"not a checkpoint of this version's {cls.__name__}"
        with refused(CheckpointError, os.fspath(path), kind, "save the model again"):
            if metadata["kind"] != cls._kind:
                raise ValueError(f"it is of kind {metadata['kind']!r}")
            initial = {name: arrays.pop(f"init.{name}", None) for name in cls._initial}
            model = cls._from_settings({**metadata["params"], **initial})
            model.check_params()
            values = dict(metadata["fitted"])
            if unknown := (arrays.keys() - cls._saved_arrays) | (values.keys() - cls._saved_values):
                raise ValueError(f"it holds {min(unknown)!r}")
            for name, value in values.items():
                rule = cls._saved_values[name]
                if not rule.holds(value):
                    raise ValueError(f"{name} is {value!r}; it must be {rule.text}")
            model._restore(arrays, values)
            D = model.distribution_.means.shape[1]
            if values["n_features_in_"] != D:
                raise ValueError(f"n_features_in_ is {values['n_features_in_']}; means_ have {D}")
            vars(model).update(values)
            model._load_columns(metadata.get("feature_names"), D)
        return model

    def _restore(self, arrays: Mapping[str, Array], values: Mapping[str, Any]) -> None:
        """Take the arrays of a file, if they are what a fit leaves."""
        raise NotImplementedError

    # ---- checks ----

    def _rows(self, X: Any, operation: str) -> Array:
        self._require_fitted(operation, "means_")
        self._check_columns(X, operation)
        D = self.distribution_.means.shape[1]
        return as_rows(X, operation, n_features=D, missing=self.missing)

    def _check_enough(self, data: Data) -> None:
        if data.n_weighted < self.n_components:
            raise ValueError(
                f"{data.operation}: Expected n_samples >= n_components but got n_components = "
                f"{self.n_components}, n_samples = {data.n_weighted}"
            )

    def __sklearn_tags__(self) -> Any:
        """What scikit-learn asks of an estimator."""
        tags = super().__sklearn_tags__()
        tags.estimator_type = "density_estimator"
        tags.input_tags.allow_nan = self.missing == "marginalise"
        return tags
