"""A variational autoencoder for data with few labels: the model M2 of Kingma et al. (2014).

The class y is a second latent variable, which some data show; ``minivae.models.enumerated`` has the
bounds. Here is the estimator around them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any, Self

import numpy as np

from minivae import ops
from minivae.checks import as_classes, n_rows, require_whole
from minivae.distributions import Categorical, Likelihood
from minivae.errors import DtypeError, ShapeError
from minivae.estimator import Transformer, choice, number, parameter
from minivae.information import Surgery
from minivae.models.conditional import ConditionalVAE
from minivae.models.enumerated import Classifier, EnumeratedEvaluation, EnumeratedObjective
from minivae.models.on_dask import row_by_row
from minivae.models.vae.evaluation import SAMPLES, WEIGHTS
from minivae.models.vae.model import OnEpoch, Path
from minivae.nn import Module
from minivae.objectives import ElboTerms
from minivae.randomness import entropy_from, stream
from minivae.tensor import Array

__all__ = ["UNKNOWN", "SemiSupervisedVAE"]

UNKNOWN = -1  # the label of a datum whose class is not known


class _State:
    """The types of what a fit leaves besides; an estimator's own annotations are its settings."""

    classifier_: Any
    class_prior_: Array


class SemiSupervisedVAE(ConditionalVAE, _State):
    """A variational autoencoder p(y) p(z) p(x | y, z) whose class y is known for some data.

    ``fit(X, y)`` takes whole numbers as classes, and -1 where the class is not known. ``predict``
    is a classifier that has learnt from both. With y, :meth:`elbo` and
    :meth:`log_likelihood` are about log p(x, y); where y is -1 or left out, about log p(x).

    %parameters%

    Attributes
    ----------
    classes_, class_prior_
        The classes in order and p(y), each ``(C,)``.
    classifier_
        The module that gives q(y | x).
    encoder_, model_, history_, n_features_in_, feature_names_in_
        As for ``VAE``; the history has ``log_q_of_labels``, the mean of log q(y | x) where y
        is known, besides.

    References
    ----------
    Kingma, Mohamed, Rezende and Welling (2014), Semi-supervised Learning with Deep Generative
    Models.
    """

    alpha: float = parameter(
        default=1.0,
        rule=number(),
        sentence=(
            "The weight of the classifier's loss, minus the mean of log q(y | x) over the labelled "
            "data, relative to the bound in nats per datum (Eq. SSL.3)."
        ),
        metavar="A",
    )
    class_prior: str = parameter(
        default="uniform",
        rule=choice("uniform", "labelled"),
        sentence='p(y): "uniform", or "labelled": the share of each class among the labels.',
        metavar="NAME",
    )

    _kind = "semi-supervised-vae"
    def fit(  # type: ignore[override]
        self,
        X: Any,
        y: Any,
        *,
        checkpoint: Path | None = None,
        source: str | None = None,
        on_epoch: OnEpoch | None = None,
    ) -> Self:
        """Train on data ``(N, D)`` and their classes ``(N,)``, -1 where they are not known.

        The other arguments, and what is raised, are those of ``VAE.fit``.

        Raises
        ------
        ShapeError, DtypeError, ValueError
            If y is not one whole number for each datum, or none is known.
        """
        self.check_params()
        if self.objective != "elbo" or self.gradient != "pathwise" or self.free_bits:
            raise ValueError(
                f"SemiSupervisedVAE: objective={self.objective!r}, gradient={self.gradient!r} and "
                f"free_bits={self.free_bits!r} do not go with classes that are summed over; use "
                "'elbo', 'pathwise' and 0"
            )
        given = _checked_labels(y, "fit")
        classes, counts = np.unique(given[given != UNKNOWN], return_counts=True)
        if not len(classes):
            raise ValueError("fit: every y is -1, not known; without labels a VAE is the model")
        before = vars(self).copy()
        self.classes_ = classes
        shares = counts / counts.sum()
        uniform = np.full(len(classes), 1.0 / len(classes))
        self.class_prior_ = uniform if self.class_prior == "uniform" else shares
        try:
            C = self._conditions(given, classes, "fit", n_rows(X, "fit"))
            return self._fit(X, C, checkpoint, source, on_epoch)
        except BaseException:
            if vars(self).get("model_") is before.get("model_"):  # nothing has been learnt
                self._become(before)
            raise

    def _build(
        self,
        settings: SimpleNamespace,
        likelihood: Likelihood,
        D: int,
        entropy: int,
        width: int | None = None,
    ) -> None:
        super()._build(settings, likelihood, D, entropy, width)
        seen = likelihood.encoder_input(np.zeros((1, D), settings.dtype)).shape[1]
        self.classifier_ = Classifier(
            seen, settings.hidden, width or 0, activation=settings.activation,
            rng=stream(entropy, WEIGHTS, 1), dtype=settings.dtype,
        )  # fmt: skip

    def _networks(self, operation: str) -> Module:
        networks = super()._networks(operation)
        vars(networks).update(classifier=self.classifier_)
        return networks

    def _objective(self, conditions: Sequence[Array]) -> EnumeratedObjective:
        share = conditions[0].any(axis=1).mean()
        if share == 0:
            raise ValueError(
                f"fit: validation={self._settings_.validation} holds out all data with labels; "
                "hold out fewer, or label more"
            )
        return EnumeratedObjective(
            self.model_, self._encode, self._classify, self._log_class_prior(), self._settings_,
            float(share),
        )  # fmt: skip

    def _classify(self, x: Any) -> Categorical:
        found: Categorical = self.classifier_(self.likelihood_.encoder_input(x))
        return found

    def _log_class_prior(self) -> Array:
        return np.log(self.class_prior_).astype(self._settings_.dtype)

    def _evaluation(self) -> EnumeratedEvaluation:
        plain = super()._evaluation()
        return EnumeratedEvaluation(plain, self._classify, self._log_class_prior())

    def _conditions(self, y: Any, classes: Array | None, operation: str, n: int) -> Array:
        """One-hot rows of classes, all 0 where they are not known, ``(n, C)``."""
        given = _checked_labels(y, operation)
        known = given != UNKNOWN
        C = np.zeros((len(given), len(classes) if classes is not None else 0), self.dtype)
        C[known] = super()._conditions(given[known], classes, operation, int(known.sum()))
        if len(C) != n:
            raise ShapeError(
                f"{operation}: y has {len(C)} rows for {n} data; there must be one for each"
            )
        return C

    def _given(self, y: Any, operation: str, n: int) -> Array:
        C = super()._given(np.full(n, UNKNOWN) if y is None else y, operation, n)
        unknown = ~C.any(axis=1)
        if unknown.any() and operation in ("decode", "sample", "interpolate", "reconstruct"):
            raise ValueError(
                f"{operation}: y[{int(np.argmax(unknown))}] is not known, and x depends on it; "
                "hand over a class for each, such as predict(X)"
            )
        return C

    @row_by_row(
        fitted="model_",
        columns=lambda vae: len(vae.classes_),
        dtype=lambda vae: vae._settings_.dtype,
        numbered=True,
    )
    def predict_proba(self, X: Any) -> Array:
        """q(y | x) of each class, ``(N, C)``."""
        X = self._checked(X, "predict_proba")
        return self._evaluation().class_probabilities(X)

    @row_by_row(fitted="model_", dtype=lambda vae: vae.classes_.dtype, numbered=True)
    def predict(self, X: Any) -> Array:
        """The most probable class of each datum, ``(N,)``."""
        X = self._checked(X, "predict")
        chosen = self._evaluation().class_probabilities(X).argmax(axis=1)
        classes: Array = np.asarray(self.classes_)[chosen]
        return classes

    def elbo_terms(  # type: ignore[override]
        self, X: Any, y: Any = None, eps: Any = None
    ) -> ElboTerms:
        """The bound's two terms, each ``(N,)``, Eq. SSL.1 with a class and Eq. SSL.2 without.

        The KL is that of z and, where y is not known, of y as well.
        """
        return super().elbo_terms(X, y, eps)

    def elbo(  # type: ignore[override]
        self, X: Any, y: Any = None, eps: Any = None
    ) -> Array:
        """The bound on log p(x, y), Eq. SSL.1, or on log p(x), Eq. SSL.2, in nats, ``(N,)``."""
        return super().elbo(X, y, eps)

    def posterior(self, X: Any, y: Any = None) -> Any:
        """q(z | x, y), at the most probable class where y is not known."""
        return super().posterior(X, y)

    def transform(self, X: Any, y: Any = None) -> Any:
        """The means of :meth:`posterior`, ``(N, K)``."""
        return super().transform(X, y)

    fit_transform = Transformer.fit_transform  # whose codes know no classes

    def surgery(  # type: ignore[override]
        self, X: Any, y: Any = None, n_samples: int = 1
    ) -> Surgery:
        """The KL of z in two parts, Eq. SURG.2, as :meth:`posterior` takes y."""
        return super().surgery(X, y, n_samples)

    def impute(  # type: ignore[override]
        self, X: Any, y: Any = None, n_samples: int = 100
    ) -> Array:
        """The data, each missing value replaced by an estimate of E[x_m | x_o], Eq. MISS.8.

        Given y, where it is known; elsewhere the classes are averaged over p(y | x_o), too.
        """
        return super().impute(X, y, n_samples)

    def active_units(  # type: ignore[override]
        self, X: Any, y: Any = None, threshold: float = 0.01
    ) -> Array:
        """Which latent dimensions are in use, ``(K,)``, Eq. VAE.6."""
        return super().active_units(X, y, threshold)

    def log_likelihood(  # type: ignore[override]
        self, X: Any, y: Any = None, n_samples: int = 1000
    ) -> Array:
        """An estimate of log p(x, y), and of log p(x) where y is not known, in nats, ``(N,)``.

        Each class is estimated by importance sampling from q(z | x, y); see ``VAE.log_likelihood``.
        """
        log_joint = self.log_likelihood_of_classes(X, n_samples) + self._log_class_prior()
        C = self._given(y, "log_likelihood", len(log_joint))
        known = (C * np.where(C, log_joint, 0.0)).sum(axis=1)
        log_p: Array = np.where(C.any(axis=1), known, ops.logsumexp(log_joint, 1))
        return log_p

    def decode(self, z: Any, y: Any = None) -> Array:
        """E[x given z, y], as ``ConditionalVAE.decode`` has it; every y must be a class."""
        return super().decode(z, y)

    def reconstruct(self, X: Any, y: Any = None, as_y: Any = None) -> Array:
        """E[x given z, y] at the mean of q(z | x, y); every y must be a class."""
        return super().reconstruct(X, y, as_y)

    def interpolate(  # type: ignore[override]
        self, a: Any, b: Any, y: Any = UNKNOWN, n: int = 10
    ) -> Array:
        """E[x given z, y] between the codes of two data; y must be a class."""
        return super().interpolate(a, b, y, n)

    def sample(
        self, n: int | None = None, random_state: Any = None, *, y: Any = None
    ) -> Array:
        """Draws of x, as ``ConditionalVAE.sample`` has them; without y, y from p(y)."""
        if y is not None:
            return super().sample(n, random_state, y=y)
        self._require_fitted("sample", "model_")
        n = 1 if n is None else n
        require_whole("sample", "n", n, least=1)
        rng = self._sampling_
        if random_state is not None:
            rng = stream(entropy_from(random_state), SAMPLES)
        y = rng.choice(np.asarray(self.classes_), n, p=self.class_prior_)
        return super().sample(None, rng, y=y)

    def _metadata(self) -> dict[str, Any]:
        return {**super()._metadata(), "class_prior": self.class_prior_.tolist()}

    def _take_metadata(self, metadata: Mapping[str, Any]) -> None:
        super()._take_metadata(metadata)
        self.class_prior_ = np.array(metadata["class_prior"])


def _checked_labels(y: Any, operation: str) -> Array:
    """Whole numbers ``(N,)``, or a word about what they are instead."""
    if y is None:
        raise ShapeError(
            f"{operation}: y is missing; a SemiSupervisedVAE is fitted by fit(X, y), with -1 where "
            "a class is not known"
        )
    given = as_classes(y, operation)
    if given.dtype.kind == "f" and (np.isfinite(given) & (given == np.round(given))).all():
        given = given.astype(np.int64)
    if given.ndim != 1 or given.dtype.kind not in "biu":
        raise DtypeError(
            f"{operation}: y has shape {given.shape} and dtype {given.dtype}; it must be whole "
            "numbers (N,), one class per datum, and -1 where it is not known"
        )
    return given.astype(np.int64)
