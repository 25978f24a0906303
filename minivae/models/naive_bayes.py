"""Naive Bayes: features independent given the class, so that sums and counts suffice.

The simplest generative classifier. Its constructor's arguments, attributes and numbers are
scikit-learn's, all in log space.

>>> import numpy as np
>>> from minivae import GaussianNB
>>> X, y = np.array([[0.0], [1.0], [5.0], [6.0]]), np.array([0, 0, 1, 1])
>>> GaussianNB().fit(X, y).predict([[0.2], [5.1]]).tolist()
[0, 1]
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Self

import numpy as np

from minivae import ops
from minivae.checks import (
    as_classes,
    as_float64,
    check_data,
    classes_of_each,
    column_names,
    is_real,
    require_values,
)
from minivae.estimator import Classifier, Rule, anything, boolean, choice, number, parameter
from minivae.models.on_dask import row_by_row
from minivae.randomness import entropy_from, stream
from minivae.tensor import Array

__all__ = ["BernoulliNB", "GaussianNB", "NaiveBayes"]

THRESHOLD = Rule(lambda v: v is None or (is_real(v) and math.isfinite(v)), "None or a number")
_LOG_2PI = math.log(2.0 * math.pi)


class _State:
    """The types of what a fit leaves; not of the estimator, whose annotations are its settings."""

    classes_: Array
    class_count_: Array
    n_features_in_: int
    class_prior_: Array
    theta_: Array
    var_: Array
    epsilon_: float
    class_log_prior_: Array
    feature_count_: Array
    feature_log_prob_: Array
    _seen_: Array
    _open_: Array  # where a class has data, and none that a feature's factor could be found from


class NaiveBayes(Classifier, _State):
    """What both classifiers share: the classes, and Bayes' rule over them."""

    missing: str = parameter(
        default="refuse",
        rule=choice("refuse", "marginalise"),
        sentence="What happens to NaN in the data: it is refused, or taken for a missing value, "
        "which is integrated out.",
        kw_only=True,
    )

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Fit to data ``(N, D)``, their classes ``(N,)`` and weights ``(N,)``, from scratch."""
        return self._count("fit", X, y, None, sample_weight, afresh=True)

    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> Self:
        """Update with a portion; after all portions the fit equals ``fit`` on all data at once.

        What a class has no values of as yet may come in a later portion: only a question whose
        answer depends on it is refused.

        Parameters
        ----------
        X, y, sample_weight
            As for :meth:`fit`.
        classes
            All classes; required in the first call, optional later.
        """
        return self._count("partial_fit", X, y, classes, sample_weight, afresh=False)

    def _count(
        self, operation: str, X: Any, y: Any, classes: Any, sample_weight: Any, afresh: bool
    ) -> Self:
        self.check_params()
        first = afresh or "classes_" not in vars(self)
        names = column_names(X, operation)
        if not first:
            self._check_columns(X, operation)
        D = None if first else self.n_features_in_
        X = check_data(X, operation, dtype=np.float64, n_features=D, missing=self.missing)
        given = classes_of_each(y, operation, len(X))
        if first:
            if classes is None and not afresh:
                raise ValueError(
                    "partial_fit: the first call needs classes=, all classes there are: later "
                    "portions may hold others than this one"
                )
            known = np.unique(
                given if classes is None else as_classes(classes, operation, "classes")
            )
        else:
            known = self.classes_
            if classes is not None and not np.array_equal(
                np.unique(as_classes(classes, operation, "classes")), known
            ):
                raise ValueError(
                    f"partial_fit: classes={classes!r} are not those of the first call, {known}"
                )
        place = np.minimum(np.searchsorted(known, given), len(known) - 1)
        if not (known[place] == given).all():
            i = int(np.argmin(known[place] == given))
            raise ValueError(f"{operation}: y[{i}] = {given[i]} is not one of the classes {known}")
        weight = _weights(sample_weight, operation, len(X))
        r = weight[:, None] * np.eye(len(known))[place]  # responsibilities that are known
        with np.errstate(all="ignore"):  # what is not finite then is refused here
            state = self._with(X, r, operation, None if first else vars(self))
        if operation == "fit":
            require_values("fit", ~np.isnan(X), weight)
            self._refuse_open(state, known, operation, np.ones(X.shape[1], bool), len(X))
        for name, value in state.items():
            if name.startswith("_"):
                continue
            left_open = state["_open_"] if np.ndim(value) == 2 else False
            if not np.all((value < np.inf) | left_open):
                raise ValueError(
                    f"{operation}: {name} is not finite: the data, the weights or a "
                    "hyper-parameter are too large for float64; divide them by their scale"
                )
        vars(self).update(state, classes_=known, n_features_in_=X.shape[1])
        if first:
            self._take_columns(names)
        return self

    def _with(self, X: Array, r: Array, operation: str, before: Any) -> dict[str, Any]:
        """What is fitted to these data, and to those before, by attribute."""
        raise NotImplementedError

    def _refuse_open(
        self, state: Mapping[str, Any], classes: Array, operation: str, asked: Array, n: int
    ) -> None:
        """Refuse what depends on a feature, of those asked, whose factor a class's data leave open.

        Nothing that could stand in for it is sound: any made-up density decides the class.
        """
        places = np.argwhere(state["_open_"] & asked)
        if not len(places):
            return
        k, d = places[0]
        if np.broadcast_to(state["_seen_"], state["_open_"].shape)[k, d] > 0:
            raise ValueError(
                f"{operation}: with n_samples = {n}, feature {d} does not vary within class "
                f"{classes[k]}, and nothing is added to its variance; set var_smoothing above 0, "
                "or leave out features that are constant"
            )
        mend = "drop the feature, or fill the gaps"
        if operation != "fit":
            mend = "go on with partial_fit on data that have it, or drop the feature"
        raise ValueError(
            f"{operation}: feature {d} has no value in any datum of class {classes[k]}; {mend}"
        )

    def _log_joint(self, X: Array, operation: str) -> Array:
        """log p(x, y) of checked data, ``(N, C)``."""
        raise NotImplementedError

    @row_by_row(fitted="classes_", columns=lambda m: len(m.classes_))
    def predict_joint_log_proba(self, X: Any) -> Array:
        """log p(x, y) of each class, in nats, ``(N, C)``, Eq. NB.1."""
        return self._joint(X, "predict_joint_log_proba")

    def _joint(self, X: Any, operation: str) -> Array:
        self._require_fitted(operation, "classes_")
        self._check_columns(X, operation)
        D = self.n_features_in_
        X = check_data(X, operation, dtype=np.float64, n_features=D, missing=self.missing)
        asked = ~np.isnan(X).all(axis=0)
        self._refuse_open(vars(self), self.classes_, operation, asked, int(self.class_count_.sum()))
        with np.errstate(all="ignore"):
            return self._log_joint(X, operation)

    def _possible(self, X: Any, operation: str) -> Array:
        """log p(x, y), where x has a density under some class."""
        joint = self._joint(X, operation)
        some = np.isfinite(joint).any(axis=1)
        if not some.all():
            raise ValueError(
                f"{operation}: X[{int(np.argmin(some))}] has the density 0 under every class: it "
                "is too far from the data of fit, or alpha=0 makes it impossible"
            )
        return joint

    @row_by_row(fitted="classes_", columns=lambda m: len(m.classes_))
    def predict_log_proba(self, X: Any) -> Array:
        """log p(y | x) of each class, ``(N, C)``, Eq. NB.2."""
        return np.asarray(ops.log_softmax(self._possible(X, "predict_log_proba"), 1))

    @row_by_row(fitted="classes_", columns=lambda m: len(m.classes_))
    def predict_proba(self, X: Any) -> Array:
        """p(y | x) of each class, ``(N, C)``, Eq. NB.2."""
        return np.asarray(ops.softmax(self._possible(X, "predict_proba"), 1))

    @row_by_row(fitted="classes_", dtype=lambda m: m.classes_.dtype)
    def predict(self, X: Any) -> Array:
        """The most probable class of each datum, ``(N,)``; the first, if there are several."""
        chosen = self._possible(X, "predict").argmax(axis=1)
        return np.asarray(self.classes_[chosen])

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """The accuracy: the share of data whose class is predicted correctly."""
        chosen = self._possible(X, "score").argmax(axis=1)
        right = self.classes_[chosen] == classes_of_each(y, "score", len(chosen))
        return float(np.average(right, weights=_weights(sample_weight, "score", len(chosen))))

    def _places(self, y: Any) -> Array:
        """Where each class of y stands among the classes, ``(n,)``."""
        self._require_fitted("sample", "classes_")
        given = np.atleast_1d(as_classes(y, "sample"))
        place = np.minimum(np.searchsorted(self.classes_, given), len(self.classes_) - 1)
        wrong = (self.classes_[place] != given) | (self.class_count_[place] == 0)
        if given.ndim != 1 or wrong.any():
            raise ValueError(
                f"sample: y={given} must be classes (n,) that there were data of, among "
                f"{self.classes_}"
            )
        drawn = {**vars(self), "_open_": self._open_[place]}
        every = np.ones(self.n_features_in_, bool)
        self._refuse_open(drawn, given, "sample", every, len(given))
        return np.asarray(place)


class GaussianNB(NaiveBayes):
    """Naive Bayes with a Gaussian for each feature of each class, Eq. NB.3.

    %parameters%

    Attributes
    ----------
    classes_, class_count_, class_prior_
        The classes in order, the weight of their data, and p(y), each ``(C,)``.
    theta_, var_
        The means and variances, ``(C, D)``; the latter with ``epsilon_`` added. NaN where no
        portion has had a value yet.
    epsilon_
        ``var_smoothing`` times the largest variance of a feature.
    n_features_in_, feature_names_in_
        D, and what the columns are called, ``(D,)``, if all have names that are strings.
    """

    priors: Any = parameter(
        default=None,
        rule=anything(),
        sentence="p(y), ``(C,)``; by default the classes' shares in the data.",
        kw_only=True,
    )
    var_smoothing: float = parameter(
        default=1e-9,
        rule=number(),
        sentence="The share of the largest variance of a feature that is added to all of them.",
        kw_only=True,
    )

    def _with(self, X: Array, r: Array, operation: str, before: Any) -> dict[str, Any]:
        every = np.ones((len(X), 1))
        classes, whole = _moments(X, r), _moments(X, every)
        if before is not None:
            classes = _together(before["_of_classes_"], classes)
            whole = _together(before["_of_all_"], whole)
        (seen, theta, scatter), (n, _, spread) = classes, whole
        counts = r.sum(axis=0) if before is None else before["class_count_"] + r.sum(axis=0)
        epsilon = self.var_smoothing * float((spread / np.maximum(n, np.finfo(float).tiny)).max())
        var = scatter / np.maximum(seen, np.finfo(float).tiny) + epsilon
        unseen = (seen == 0) & (counts > 0)[:, None]
        theta, var = np.where(unseen, np.nan, theta), np.where(unseen, np.nan, var)
        return {
            "class_count_": counts, "theta_": theta, "var_": var, "epsilon_": epsilon,
            "class_prior_": _prior(self.priors, f"{operation}: priors", counts),
            "_of_classes_": classes, "_of_all_": whole, "_seen_": seen,
            "_open_": unseen | ((var == 0) & (counts > 0)[:, None]),
        }  # fmt: skip

    def _log_joint(self, X: Array, operation: str) -> Array:
        with np.errstate(divide="ignore"):  # a class without data has no share
            log_p_y = np.where(self.class_count_ > 0, np.log(self.class_prior_), -np.inf)
        joint = np.empty((len(X), len(log_p_y)))
        settled = np.where(self._open_, 1.0, self.var_)  # nothing is asked of the rest
        for k, (mean, var) in enumerate(zip(self.theta_, settled, strict=True)):
            if np.isneginf(log_p_y[k]):
                joint[:, k] = -np.inf
                continue
            logs, squares = np.log(var) + _LOG_2PI, np.square(X - mean) / var
            height, gaps = log_p_y[k] - 0.5 * logs.sum(), np.isnan(squares)
            if gaps.any():  # the missing factors integrate to 1, Eq. MISS.6
                squares = np.where(gaps, -logs, squares)
            joint[:, k] = height - 0.5 * squares.sum(axis=1)
        return joint

    def sample(self, y: Any, random_state: Any = None) -> Array:
        """A draw of x for each class in y ``(n,)``, of shape ``(n, D)``."""
        place = self._places(y)
        eps = stream(entropy_from(random_state)).standard_normal((len(place), self.n_features_in_))
        return np.asarray(self.theta_[place] + np.sqrt(self.var_[place]) * eps)


class BernoulliNB(NaiveBayes):
    """Naive Bayes of features that are on or off, Eq. NB.4.

    %parameters%

    Attributes
    ----------
    classes_, class_count_, class_log_prior_
        The classes in order, the weight of their data, and log p(y), each ``(C,)``.
    feature_count_, feature_log_prob_
        How often a feature was on, and log p(on | y), ``(C, D)``.
    n_features_in_, feature_names_in_
        D, and what the columns are called, ``(D,)``, if all have names that are strings.
    """

    alpha: float = parameter(
        default=1.0,
        rule=number(),
        sentence="The pseudo-count: how often each feature is taken to have been on, and off, "
        "besides the data.",
        kw_only=True,
    )
    binarize: float | None = parameter(
        default=0.0,
        rule=THRESHOLD,
        sentence="The number above which a feature is on; None for data that are 0 or 1.",
        kw_only=True,
    )
    fit_prior: bool = parameter(
        default=True,
        rule=boolean(),
        sentence="Whether p(y) is each class's share of the data; otherwise it is uniform.",
        kw_only=True,
    )
    class_prior: Any = parameter(
        default=None, rule=anything(), sentence="p(y), ``(C,)``, if given.", kw_only=True
    )

    def __sklearn_tags__(self) -> Any:
        """What scikit-learn asks: its checks' data are not sets of things that are on or off."""
        tags = super().__sklearn_tags__()
        tags.classifier_tags.poor_score = True
        return tags

    def _on(self, X: Array, operation: str) -> Array:
        if self.binarize is not None:
            return np.where(np.isnan(X), np.nan, self.binarize < X)
        wrong = (X != 0) & (X != 1) & ~np.isnan(X)
        if wrong.any():
            row, column = np.argwhere(wrong)[0]
            raise ValueError(
                f"{operation}: X[{row}, {column}] = {X[row, column]}; with binarize=None data must "
                "be 0 or 1; set binarize to the number above which a feature is on"
            )
        return X

    def _with(self, X: Array, r: Array, operation: str, before: Any) -> dict[str, Any]:
        X, counts = self._on(X, operation), r.sum(axis=0)
        gaps, seen = np.isnan(X), counts[:, None]
        if gaps.any():
            X, seen = np.where(gaps, 0.0, X), r.T @ ~gaps
        on = r.T @ X
        if before is not None:
            on, counts = on + before["feature_count_"], counts + before["class_count_"]
            seen = seen + before["_seen_"]
        shares = None if self.fit_prior else np.full(len(counts), 1.0 / len(counts))
        given = shares if self.class_prior is None else self.class_prior
        with np.errstate(divide="ignore", invalid="ignore"):
            log_on = np.log(on + self.alpha) - np.log(seen + 2 * self.alpha)
            log_prior = np.log(_prior(given, f"{operation}: class_prior", counts))
        none = np.broadcast_to(seen + 2 * self.alpha == 0, on.shape)  # else at least alpha speaks
        possible = np.isfinite(log_prior)[:, None]
        log_on = np.where(none, np.where(possible, np.nan, -math.log(2.0)), log_on)
        return {
            "feature_count_": on, "class_count_": counts, "feature_log_prob_": log_on,
            "class_log_prior_": log_prior, "_seen_": seen, "_open_": none & possible,
        }  # fmt: skip

    def _log_joint(self, X: Array, operation: str) -> Array:
        X = self._on(X, operation)
        off_count = self._seen_ - self.feature_count_
        with np.errstate(divide="ignore", invalid="ignore"):
            scale = np.log(self._seen_ + 2 * self.alpha)
            log_off = np.log(off_count + self.alpha) - scale
        # 0 times minus infinity is 0 here: what never happened costs only where it happens
        joint = self.class_log_prior_ + np.zeros((len(X), 1))
        gaps = np.isnan(X)  # neither on nor off: the missing factors sum to 1, Eq. MISS.6
        on, off = np.where(gaps, 0.0, X), np.where(gaps, 0.0, 1 - X)
        for x, log_p in ((on, self.feature_log_prob_), (off, log_off)):
            impossible = ~np.isfinite(log_p)
            joint = joint + x @ np.where(impossible, 0.0, log_p).T
            joint = np.where(x @ impossible.T.astype(float) > 0, -np.inf, joint)
        return np.asarray(joint)

    def sample(self, y: Any, random_state: Any = None) -> Array:
        """A draw of x, 0 or 1, for each class in y ``(n,)``, of shape ``(n, D)``."""
        p = np.exp(self.feature_log_prob_[self._places(y)])
        return (stream(entropy_from(random_state)).random(p.shape) < p).astype(np.float64)


Moments = tuple[Array, Array, Array]


def _moments(X: Array, r: Array) -> Moments:
    """Counts ``(C, 1)``, means and sums of squares about them ``(C, D)``; of no data, zeros.

    Where values are missing, the counts are of those that there are, ``(C, D)``.
    """
    counts, gaps = r.sum(axis=0)[:, None], np.isnan(X)
    if gaps.any():
        X, counts = np.where(gaps, 0.0, X), r.T @ ~gaps
    means = (r.T @ X) / np.maximum(counts, np.finfo(float).tiny)
    away = (np.where(gaps, 0.0, X - mean) for mean in means)
    squares = np.stack([r[:, k] @ np.square(a) for k, a in enumerate(away)])
    return counts, means, squares


def _together(a: Moments, b: Moments) -> Moments:
    """The moments of two portions. Chan, Golub and LeVeque (1983)."""
    n = a[0] + b[0]
    share = b[0] / np.maximum(n, np.finfo(float).tiny)
    away = b[1] - a[1]
    return n, a[1] + share * away, a[2] + b[2] + a[0] * share * np.square(away)


def _weights(sample_weight: Any, operation: str, n: int) -> Array:
    if sample_weight is None:
        return np.ones(n)
    weight = as_float64(sample_weight, f"{operation}: sample_weight")
    if weight.shape != (n,) or not (weight >= 0).all() or not np.isfinite(weight).all():
        raise ValueError(
            f"{operation}: sample_weight, of shape {weight.shape}, must be ({n},) finite numbers "
            "from 0"
        )
    if not weight.any():
        raise ValueError(f"{operation}: all sample weights are zero; some datum must count")
    with np.errstate(over="ignore"):
        total = weight.sum()
    if not np.isfinite(total):
        raise ValueError(
            f"{operation}: sample_weight adds up to infinity; divide the weights by their largest"
        )
    return weight


def _prior(given: Any, name: str, counts: Array) -> Array:
    """p(y), as given or as counted."""
    if given is None:
        return np.asarray(counts / counts.sum())
    prior = as_float64(given, name)
    if prior.shape != counts.shape or not (prior >= 0).all() or abs(prior.sum() - 1) > 1e-8:
        raise ValueError(
            f"{name}={given!r} must be {len(counts)} numbers from 0, one a class, of sum 1"
        )
    return prior
