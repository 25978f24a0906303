"""p(y given x) by networks: the discriminative counterpart of everything else here.

A class or a number y is predicted from x, and x itself has no model. Without hidden layers the
classifier is logistic regression, and the regressor is linear in its mean and its log-variance.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np

from minivae import ops
from minivae.checkpoint import load_checkpoint, save_checkpoint
from minivae.checks import check_data
from minivae.distributions import Categorical, DiagonalGaussian
from minivae.errors import CheckpointError, DtypeError, ShapeError
from minivae.estimator import Estimator, Rule, anything, choice, number, parameter, whole
from minivae.nn import MLP, Dense, Module, zeros
from minivae.optim import Adam
from minivae.randomness import entropy_from, stream
from minivae.tensor import Array, Tensor, no_grad, values
from minivae.training import Batch, Metrics, Player, Run, with_prefix, without_prefix

__all__ = ["NeuralClassifier", "NeuralRegressor", "log_weight_prior"]

LEAST_LOG_VAR = -10.0  # in units of the variance of all y: a floor under each variance

_HIDDEN = Rule(
    lambda v: isinstance(v, Sequence) and all(whole(1).holds(n) for n in v),
    "a tuple of whole numbers from 1",
)


def log_weight_prior(weights: Sequence[Any], weight_decay: float) -> Any:
    """log p(W) under N(0, 1 / weight_decay) for each weight, without its constant, Eq. USE.9."""
    return sum((-0.5 * weight_decay * ops.sum(ops.square(W)) for W in weights), 0.0)


class Network(Module):
    """Hidden layers, and heads that start at zero: all classes alike, or N(0, 1)."""

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


class _Predictor(Estimator):
    """What a classifier and a regressor share: standardised x, a run, files."""

    hidden: tuple[int, ...] = parameter(
        default=(), rule=_HIDDEN, sentence="The widths of the hidden layers; none is linear."
    )
    activation: str = parameter(
        default="tanh",
        rule=choice("relu", "tanh", "sigmoid", "softplus"),
        sentence="Of the hidden layers.",
    )
    weight_decay: float = parameter(
        default=0.0,
        rule=number(),
        sentence=(
            "The precision of a prior N(0, 1 / weight_decay) on each weight, biases excepted: the "
            "maximum a posteriori is found, Eq. USE.9. 0 is maximum likelihood."
        ),
    )
    epochs: int = parameter(default=200, rule=whole(1), sentence="Passes over the data.")
    batch_size: int = parameter(default=100, rule=whole(1), sentence="Data in a minibatch.")
    learning_rate: float = parameter(
        default=1e-2, rule=number(above=True), sentence="Adam's step size."
    )
    random_state: Any = parameter(
        default=None, rule=anything(), sentence="An int, a ``RandomState`` or a ``Generator``."
    )

    _kind = ""

    def _train(self, X: Any, Y: Array, heads: Sequence[int]) -> Self:
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
        return self

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
        X = check_data(X, operation, dtype=np.float64, n_features=self.n_features_in_)
        with no_grad():
            return self._density((X - self.mean_) / self.scale_)

    # ---- files ----

    _fitted: tuple[str, ...] = ()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the fitted model to one file, without pickle; :meth:`load` reads it."""
        self._require_fitted("save", "network_")
        params = {**self.get_params(), "hidden": list(self.hidden), "random_state": None}
        arrays = {name: np.asarray(getattr(self, name)) for name in ("mean_", "scale_")}
        fitted = {name: np.asarray(getattr(self, name)).tolist() for name in self._fitted}
        save_checkpoint(
            path,
            {**arrays, **with_prefix("parameters.", self.network_.state_dict())},
            {"kind": self._kind, "params": params, "heads": self._heads_, "fitted": fitted},
        )

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read a model that :meth:`save` wrote.

        Raises
        ------
        CheckpointError
            If the file is not one.
        """
        arrays, metadata = load_checkpoint(path)
        try:
            if metadata["kind"] != cls._kind:
                raise ValueError(f"it is of kind {metadata['kind']!r}")
            params: Mapping[str, Any] = metadata["params"]
            model = cls(**{**params, "hidden": tuple(params["hidden"])})
            model.check_params()
            model.mean_, model.scale_ = arrays["mean_"], arrays["scale_"]
            model.n_features_in_ = len(model.mean_)
            for name in cls._fitted:
                setattr(model, name, np.array(metadata["fitted"][name]))
            model._assemble(metadata["heads"], np.random.default_rng(0))
            model.network_.load_state_dict(without_prefix("parameters.", arrays))
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"{path} is not a saved {cls.__name__}: {error}") from error
        return model


class NeuralClassifier(_Predictor):
    """p(y given x) = softmax of a network: logistic regression, or an MLP, Eq. USE.7.

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
        X = check_data(X, "fit", dtype=np.float64)
        given = np.asarray(y)
        if given.shape != (len(X),):
            raise ShapeError(f"fit: y has shape {given.shape} for {len(X)} data; it must be (N,)")
        if given.dtype.kind not in "biuUS":
            raise DtypeError(f"fit: y has dtype {given.dtype}; classes are whole numbers or names")
        self.classes_, place = np.unique(given, return_inverse=True)
        return self._train(X, np.eye(len(self.classes_))[place], [len(self.classes_)])

    def _density(self, x: Any) -> Categorical:
        return Categorical(self.network_(x)[0])

    def predict_log_proba(self, X: Any) -> Array:
        """log p(y given x) of each class in nats, ``(N, C)``, Eq. USE.7."""
        log_p: Array = values(self._given(X, "predict_log_proba").log_probabilities())
        return log_p

    def predict_proba(self, X: Any) -> Array:
        """p(y given x) of each class, ``(N, C)``."""
        probabilities: Array = np.exp(self.predict_log_proba(X))
        return probabilities

    def predict(self, X: Any) -> Array:
        """The most probable class of each datum, ``(N,)``."""
        chosen = self.predict_log_proba(X).argmax(axis=1)
        classes: Array = self.classes_[chosen]
        return classes

    def score(self, X: Any, y: Any) -> float:
        """The share of data whose class is right."""
        return float((self.predict(X) == np.asarray(y)).mean())


class NeuralRegressor(_Predictor):
    """p(y given x) = N(mu(x), var(x)), with a head for the mean and one for the log-variance.

    Eq. USE.8. y is standardised on the way in; a floor under the variance keeps the likelihood
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
        X = check_data(X, "fit", dtype=np.float64)
        Y = self._columns(y, len(X), "fit")
        self.y_mean_, scale = Y.mean(axis=0), Y.std(axis=0)
        self.y_scale_ = np.where(scale > 0, scale, 1.0)
        return self._train(X, (Y - self.y_mean_) / self.y_scale_, [Y.shape[1]] * 2)

    def _columns(self, y: Any, n: int, operation: str) -> Array:
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
        """log p(y given x) in nats, ``(N,)``, in the units of y, Eq. USE.8."""
        q = self._given(X, "log_prob")
        Y = (self._columns(y, len(q.mu), "log_prob") - self.y_mean_) / self.y_scale_
        if Y.shape != q.mu.shape:
            raise ShapeError(f"log_prob: y has shape {Y.shape}; fit was given {q.mu.shape[1]}")
        log_p: Array = values(q.log_prob(Y)) - np.log(self.y_scale_).sum()
        return log_p

    def score(self, X: Any, y: Any) -> float:
        """The mean of log p(y given x), in nats per datum."""
        return float(self.log_prob(X, y).mean())
