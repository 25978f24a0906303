"""p(y given x) by networks: the discriminative counterpart of the other models.

A class or a number y is predicted from x, and x itself has no model. Without hidden layers the
classifier is logistic regression, and the regressor is linear in its mean and its log-variance.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, Self

import numpy as np

from minivae import ops
from minivae.checkpoint import load_checkpoint, save_checkpoint
from minivae.checks import (
    as_float64,
    check_data,
    classes_of_each,
    column_names,
    is_whole,
    refuse_masked,
)
from minivae.distributions import Categorical, DiagonalGaussian
from minivae.errors import CheckpointError, ShapeError
from minivae.estimator import (
    Classifier,
    Estimator,
    Rule,
    anything,
    choice,
    number,
    parameter,
    whole,
)
from minivae.models.on_dask import row_by_row
from minivae.nn import MLP, Dense, Module, zeros
from minivae.optim import Adam
from minivae.randomness import entropy_from, stream
from minivae.reading import refused
from minivae.tensor import Array, Tensor, no_grad, values
from minivae.training import Batch, Metrics, Player, Run, with_prefix, without_prefix

__all__ = ["NeuralClassifier", "NeuralRegressor", "log_weight_prior"]

LEAST_LOG_VAR = -10.0  # in units of the variance of all y: a floor under each variance

_HIDDEN = Rule(
    lambda v: isinstance(v, Sequence) and all(whole(1).holds(n) for n in v),
    "a tuple of whole numbers from 1",
)


def log_weight_prior(weights: Sequence[Any], weight_decay: float) -> Any:
    """log p(W) under N(0, 1 / weight_decay) for each weight, without its constant, Eq. USE.11."""
    return sum((-0.5 * weight_decay * ops.sum(ops.square(W)) for W in weights), 0.0)


class Network(Module):
    """Hidden layers, and heads that start at zero, so p(y given x) is uniform or N(0, 1)."""

    def __init__(self, D: int, hidden: Sequence[int], heads: Sequence[int], **style: Any) -> None:
        self.layers = MLP([D, *hidden], output_activation=style["activation"], **style)
        plain = {"rng": style["rng"], "dtype": style["dtype"], "initialiser": zeros}
        self.heads = [Dense([D, *hidden][-1], width, **plain) for width in heads]

    def __call__(self, x: Any) -> list[Any]:
        """What each head says of ``(N, D)``."""
        h = self.layers(x)
        return [head(h) for head in self.heads]

    def weights(self) -> list[Tensor]:
        """The weights of all layers, without the biases."""
        return [p for name, p in self.named_parameters() if name.endswith("weight")]


class _State:
    """The types of what a fit leaves; not of the estimator, whose annotations are its settings."""

    mean_: Array
    scale_: Array
    classes_: Array
    y_mean_: Array
    y_scale_: Array


class _Predictor(Estimator, _State):
    """What a classifier and a regressor share: standardised x, a run, files."""

    hidden: tuple[int, ...] = parameter(
        default=(), rule=_HIDDEN, sentence="The widths of the hidden layers; () is linear."
    )
    activation: str = parameter(
        default="tanh",
        rule=choice("relu", "tanh", "sigmoid", "softplus"),
        sentence="The activation of the hidden layers.",
    )
    weight_decay: float = parameter(
        default=0.0,
        rule=number(),
        sentence=(
            "The precision of a prior N(0, 1 / weight_decay) on each weight, biases excepted, for "
            "the maximum a posteriori, Eq. USE.11. With 0 it is maximum likelihood."
        ),
    )
    epochs: int = parameter(default=200, rule=whole(1), sentence="How many passes over the data.")
    batch_size: int = parameter(
        default=100, rule=whole(1), sentence="How many data in a minibatch."
    )
    learning_rate: float = parameter(
        default=1e-2, rule=number(above=True), sentence="Adam's step size."
    )
    random_state: Any = parameter(
        default=None, rule=anything(), sentence="An int, a ``RandomState`` or a ``Generator``."
    )

    _kind = ""

    def _train(
        self, X: Array, Y: Array, heads: Sequence[int], names: Sequence[str] | None, **fitted: Any
    ) -> Self:
        """Fit the network to checked data; what a fit leaves besides is `fitted`."""
        before = vars(self).copy()
        try:
            self._learn(X, Y, heads)
        except BaseException:  # also Ctrl-C: a model is of one fit, or of the one before
            vars(self).clear()
            vars(self).update(before)
            raise
        self._take_columns(names)
        vars(self).update(fitted)
        return self

    def _learn(self, X: Array, Y: Array, heads: Sequence[int]) -> None:
        entropy = entropy_from(self.random_state)
        self.n_features_in_ = X.shape[1]
        self.mean_, scale = X.mean(axis=0), X.std(axis=0)
        self.scale_ = np.where(scale > 0, scale, 1.0)
        self._assemble(heads, stream(entropy, 0))
        N = len(X)

        def loss(batch: Batch, rng: Any, progress: float) -> tuple[Tensor, Metrics]:
            log_p = ops.mean(self._density(batch[0]).log_prob(batch[1]))
            prior = log_weight_prior(self.network_.weights(), self.weight_decay)
            return -log_p - prior / N, {"log_prob": log_p.item()}

        run = Run(
            [Player(self.network_.parameters(), loss)],
            [(X - self.mean_) / self.scale_, Y],
            epochs=self.epochs,
            batch_size=self.batch_size,
            order=stream(entropy, 1),
            noise=stream(entropy, 2),
            optimiser=lambda parameters: Adam(parameters, self.learning_rate),
        )
        run.run()
        self.history_ = run.history

    def _assemble(self, heads: Sequence[int], rng: np.random.Generator) -> None:
        self._heads_ = list(heads)
        self.network_ = Network(
            self.n_features_in_, tuple(self.hidden), heads, activation=self.activation, rng=rng,
            dtype=np.float64,
        )  # fmt: skip

    def _density(self, x: Any) -> Any:
        """p(y given x) of standardised x, in the units that the network works in."""
        raise NotImplementedError

    def _given(self, X: Any, operation: str) -> Any:
        self._require_fitted(operation, "network_")
        self._check_columns(X, operation)
        X = check_data(X, operation, dtype=np.float64, n_features=self.n_features_in_)
        with no_grad():
            return self._density((X - self.mean_) / self.scale_)

    # ---- files ----

    _fitted: tuple[str, ...] = ()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the fitted model to one file, without pickle; :meth:`load` reads it."""
        self._require_fitted("save", "network_")
        seed = self.random_state if is_whole(self.random_state) else None
        params = {**self.get_params(), "hidden": list(self.hidden), "random_state": seed}
        arrays = {name: np.asarray(getattr(self, name)) for name in ("mean_", "scale_")}
        fitted = {name: np.asarray(getattr(self, name)).tolist() for name in self._fitted}
        save_checkpoint(
            path,
            {**arrays, **with_prefix("parameters.", self.network_.state_dict())},
            {
                "kind": self._kind, "params": params, "heads": self._heads_, "fitted": fitted,
                "feature_names": list(getattr(self, "feature_names_in_", ())),
            },
        )  # fmt: skip

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read a model that :meth:`save` wrote.

        Raises
        ------
        CheckpointError
            If the file is not one, or what it holds is not what a fit leaves.
        """
        arrays, metadata = load_checkpoint(path)
        kind = f"not a saved {cls.__name__}"
        with refused(CheckpointError, os.fspath(path), kind, "save the model again"):
            if metadata["kind"] != cls._kind:
                raise ValueError(f"it is of kind {metadata['kind']!r}")
            params: Mapping[str, Any] = metadata["params"]
            model = cls(**{**params, "hidden": tuple(params["hidden"])})
            model.check_params()
            model.mean_, model.scale_ = _checked_units(arrays["mean_"], arrays["scale_"], "X")
            model.n_features_in_ = len(model.mean_)
            model._load_columns(metadata.get("feature_names"), model.n_features_in_)
            for name in cls._fitted:
                setattr(model, name, np.array(metadata["fitted"][name]))
            heads = model._checked_heads()
            if metadata["heads"] != heads:
                raise ValueError(f"its network has heads of {metadata['heads']}, not {heads}")
            widths = [model.n_features_in_, *model.hidden, sum(heads)]
            if sum(a * b for a, b in pairwise(widths)) > sum(a.size for a in arrays.values()):
                raise ValueError(f"a network of widths {widths} has more weights than it holds")
            model._assemble(heads, np.random.default_rng(0))
            model.network_.load_state_dict(without_prefix("parameters.", arrays))
        return model

    def _checked_heads(self) -> list[int]:
        """The widths of the network's heads, by what `_fitted` names and a file has given."""
        raise NotImplementedError


def _checked_units(mean: Any, scale: Any, name: str) -> tuple[Array, Array]:
    """The mean and the scale of each column, if they are what a fit leaves."""
    mean, scale = (as_float64(values, f"the units of {name}") for values in (mean, scale))
    right = np.isfinite(mean) & np.isfinite(scale) & (scale > 0) if mean.shape == scale.shape else 0
    if mean.ndim != 1 or not np.all(right):
        raise ValueError(f"each column of {name} needs a finite mean, and a scale above 0")
    return mean, scale


class NeuralClassifier(_Predictor, Classifier):
    """p(y given x) = softmax of a network: logistic regression, or an MLP, Eq. USE.9.

    %parameters%

    Attributes
    ----------
    classes_
        In order, ``(C,)``.
    network_, history_, n_features_in_
        The module, the mean of log p(y given x) of each epoch, and D.
    """

    _kind, _fitted = "neural-classifier", ("classes_",)

    def fit(self, X: Any, y: Any) -> Self:
        """Train on data ``(N, D)`` and their classes ``(N,)``, whole numbers or names.

        Raises
        ------
        ShapeError, DtypeError
            If there is not one class for each datum.
        """
        self.check_params()
        names, X = column_names(X, "fit"), check_data(X, "fit", dtype=np.float64)
        classes, place = np.unique(classes_of_each(y, "fit", len(X)), return_inverse=True)
        return self._train(X, np.eye(len(classes))[place], [len(classes)], names, classes_=classes)

    def _checked_heads(self) -> list[int]:
        classes = self.classes_
        if classes.ndim != 1 or classes.dtype.kind not in "biufU" or not len(classes):
            raise ValueError("classes_ must be (C,) whole numbers or names")
        if not np.array_equal(np.unique(classes), classes):
            raise ValueError("classes_ must be in order, each once")
        return [len(classes)]

    def _density(self, x: Any) -> Categorical:
        return Categorical(self.network_(x)[0])

    def _log_p(self, X: Any, operation: str) -> Array:
        log_p: Array = values(self._given(X, operation).log_probabilities())
        return log_p

    @row_by_row(fitted="network_", columns=lambda m: len(m.classes_))
    def predict_log_proba(self, X: Any) -> Array:
        """log p(y given x) of each class in nats, ``(N, C)``, Eq. USE.9."""
        return self._log_p(X, "predict_log_proba")

    @row_by_row(fitted="network_", columns=lambda m: len(m.classes_))
    def predict_proba(self, X: Any) -> Array:
        """p(y given x) of each class, ``(N, C)``."""
        probabilities: Array = np.exp(self._log_p(X, "predict_proba"))
        return probabilities

    @row_by_row(fitted="network_", dtype=lambda m: m.classes_.dtype)
    def predict(self, X: Any) -> Array:
        """The most probable class of each datum, ``(N,)``."""
        chosen = self._log_p(X, "predict").argmax(axis=1)
        return np.asarray(self.classes_[chosen])

    def score(self, X: Any, y: Any) -> float:
        """The accuracy: the share of data whose class is predicted correctly."""
        chosen = self._log_p(X, "score").argmax(axis=1)
        right = self.classes_[chosen] == classes_of_each(y, "score", len(chosen))
        return float(right.mean())


class NeuralRegressor(_Predictor):
    """p(y given x) = N(mu(x), var(x)), with a head for the mean and one for the log-variance.

    Eq. USE.10. y is standardised on the way in; a floor under the variance keeps the likelihood
    bounded. Nix and Weigend (1994).

    %parameters%

    Attributes
    ----------
    network_, history_, n_features_in_
        The module, the mean of log p(y given x) of each epoch in standardised units, and D.
    """

    _kind, _fitted = "neural-regressor", ("y_mean_", "y_scale_")

    def fit(self, X: Any, y: Any) -> Self:
        """Train on data ``(N, D)`` and numbers ``(N,)``, or several of them ``(N, M)``.

        Raises
        ------
        ShapeError
            If there is not one row of numbers for each datum.
        """
        self.check_params()
        names, X = column_names(X, "fit"), check_data(X, "fit", dtype=np.float64)
        Y = self._columns(y, len(X), "fit")
        mean, scale = Y.mean(axis=0), Y.std(axis=0)
        scale = np.where(scale > 0, scale, 1.0)
        heads = [Y.shape[1]] * 2
        return self._train(X, (Y - mean) / scale, heads, names, y_mean_=mean, y_scale_=scale)

    def _checked_heads(self) -> list[int]:
        self.y_mean_, self.y_scale_ = _checked_units(self.y_mean_, self.y_scale_, "y")
        return [len(self.y_mean_)] * 2

    def _columns(self, y: Any, n: int, operation: str) -> Array:
        if y is None:
            raise ShapeError(  # in scikit-learn's words
                f"{operation}: requires y to be passed, but the target y is None; it must be (N,), "
                "or (N, M) with M numbers a datum"
            )
        refuse_masked(y, f"{operation}: y")
        given = np.asarray(y)
        rows = given[:, None] if given.ndim == 1 else given
        Y = check_data(rows, operation, dtype=np.float64, name="y")
        if len(Y) != n:
            raise ShapeError(f"{operation}: y has {len(Y)} rows for {n} data; one each is needed")
        return Y

    def _density(self, x: Any) -> DiagonalGaussian:
        mu, log_var = self.network_(x)
        return DiagonalGaussian(mu, ops.softplus(log_var - LEAST_LOG_VAR) + LEAST_LOG_VAR)

    def predict(self, X: Any, return_std: bool = False) -> Array | tuple[Array, Array]:
        """E[y given x], and with ``return_std`` its sigma, each ``(N,)``, or ``(N, M)``."""
        q = self._given(X, "predict")
        mu = values(q.mu) * self.y_scale_ + self.y_mean_
        sigma = np.exp(0.5 * values(q.log_var)) * self.y_scale_
        if mu.shape[1] == 1:
            mu, sigma = mu[:, 0], sigma[:, 0]
        return (mu, sigma) if return_std else mu

    def log_prob(self, X: Any, y: Any) -> Array:
        """log p(y given x) in nats, ``(N,)``, in the units of y, Eq. USE.10."""
        return self._log_prob(X, y, "log_prob")

    def score(self, X: Any, y: Any) -> float:
        """The mean of log p(y given x), in nats per datum."""
        return float(self._log_prob(X, y, "score").mean())

    def _log_prob(self, X: Any, y: Any, operation: str) -> Array:
        q = self._given(X, operation)
        Y = (self._columns(y, len(q.mu), operation) - self.y_mean_) / self.y_scale_
        if Y.shape != q.mu.shape:
            raise ShapeError(f"{operation}: y has shape {Y.shape}; fit was given {q.mu.shape[1]}")
        log_p: Array = values(q.log_prob(Y)) - np.log(self.y_scale_).sum()
        return log_p
