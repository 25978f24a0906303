"""A class that is observed for some data and summed over for the rest: M2's bounds and loss.

The class y is a second latent variable. Where it is not observed, q(y | x) is a classifier, and the
few classes are summed over, so that no gradient needs a sample of y.
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np

from minivae import ops
from minivae.distributions import Categorical
from minivae.latent_model import LatentModel
from minivae.models.vae.evaluation import Evaluation
from minivae.nn import MLP, Dense, Module, zeros
from minivae.objectives import ElboTerms, at_best_scale, elbo_terms, sample_terms
from minivae.tensor import Array, Tensor, no_grad, values
from minivae.training import Batch, Metrics

__all__ = ["Classifier", "EnumeratedEvaluation", "EnumeratedObjective", "enumerated_terms"]


class Classifier(Module):
    """x to q(y | x): hidden layers and a head that starts at zero, so q is uniform at first."""

    def __init__(
        self, D: int, hidden: Any, C: int, *, activation: str, rng: Any, dtype: Any
    ) -> None:
        style: dict[str, Any] = {"rng": rng, "dtype": dtype}
        style_of_layers = {**style, "activation": activation, "output_activation": activation}
        self.layers = MLP([D, *hidden], **style_of_layers)
        self.head = Dense([D, *hidden][-1], C, initialiser=zeros, **style)

    def __call__(self, x: Any) -> Categorical:
        """q(y | x) for x ``(N, D)`` as the encoder sees it."""
        return Categorical(self.head(self.layers(x)))


def enumerated_terms(
    model: LatentModel,
    encode: Callable[..., Any],
    q_y: Categorical,
    log_p_y: Array,
    x: Any,
    C: Array,
    eps: Array,
    kl: str = "analytic",
) -> ElboTerms:
    """The bound on log p(x, y) where y is known and on log p(x) where it is not, ``(N,)``.

    Eq. SSL.1 and Eq. SSL.2. The first term is the reconstruction, the second the KL of all that is
    latent: of z, and of y where it is not known. Each class of such a datum becomes a separate row.

    Parameters
    ----------
    model, encode
        p(x, z given y), and the function from rows of x and of y to q(z | x, y).
    q_y, log_p_y
        q(y | x) of each datum, and log p(y), ``(C,)``.
    x, C
        Data ``(N, D)``, and one-hot rows ``(N, C)`` that are all 0 where y is not known.
    eps
        The noise of q(z | x, y), ``(S, N, K)``; the classes of a datum share it.
    kl
        ``"analytic"``, or ``"monte-carlo"``.
    """
    known, n_classes = C.any(axis=1), len(log_p_y)
    labelled, unlabelled = np.flatnonzero(known), np.flatnonzero(~known)
    owner = np.concatenate([labelled, np.repeat(unlabelled, n_classes)])
    every = np.tile(np.eye(n_classes, dtype=C.dtype), (len(unlabelled), 1))
    y = np.concatenate([C[labelled], every])
    rows = x[owner]
    q, noise = encode(rows, y), np.ascontiguousarray(eps[:, owner])
    if kl == "analytic":
        terms = elbo_terms(model, q, rows, noise, y)
    else:
        terms = sample_terms(model, q, rows, noise, y).means
    log_q = q_y.log_probabilities()[unlabelled]
    m, weights = len(labelled), ops.exp(log_q)
    shown = ElboTerms(terms.reconstruction[:m], terms.kl[:m] - C[labelled] @ log_p_y)
    each = [ops.reshape(t[m:], (-1, n_classes)) for t in terms]
    hidden = ElboTerms(
        ops.sum(weights * each[0], 1), ops.sum(weights * (each[1] + log_q - log_p_y), 1)
    )
    back = np.argsort(np.concatenate([labelled, unlabelled]))
    return ElboTerms(*(ops.concatenate(pair)[back] for pair in zip(shown, hidden, strict=True)))


class EnumeratedEvaluation(Evaluation):
    """Looking at data whose conditions are all 0 where they are not known."""

    def __init__(self, plain: Evaluation, classify: Callable[..., Any], log_p_y: Array) -> None:
        vars(self).update(vars(plain))
        self.classify, self.log_p_y = classify, log_p_y
        self.widest = plain.widest * len(log_p_y)  # every class is a row

    def elbo_terms(
        self, X: Array, S: int, kl: str, eps: Array | None = None, C: Array | None = None
    ) -> ElboTerms:
        """The bound's two terms, Eq. SSL.1 or Eq. SSL.2."""
        C = np.zeros((len(X), len(self.log_p_y)), self.dtype) if C is None else C
        S = S if eps is None else len(eps)
        found = [np.empty(len(X), self.dtype) for _ in range(2)]
        for part, x, c, _, noise in self.encoded(X, S, eps, C):
            with no_grad():
                terms = enumerated_terms(
                    self.model, self.encode, self.classify(x), self.log_p_y, x, c, noise, kl
                )
            for whole, term in zip(found, terms, strict=True):
                whole[part] = values(term)
        return ElboTerms(*found)

    def class_probabilities(self, X: Array) -> Array:
        """q(y | x), ``(N, C)``."""
        with no_grad():
            found = [
                np.exp(values(self.classify(X[part]).log_probabilities()))
                for part in self.portions(len(X))
            ]
        return np.concatenate(found)

    def posterior(self, X: Array, C: Array | None = None) -> Any:
        """q(z | x, y), at the most probable y where it is not known."""
        C = np.zeros((len(X), len(self.log_p_y)), self.dtype) if C is None else C
        likely = np.eye(C.shape[1], dtype=C.dtype)[self.class_probabilities(X).argmax(axis=1)]
        return super().posterior(X, np.where(C.any(axis=1, keepdims=True), C, likely))

    def posterior_means(self, X: Array, S: int, C: Array | None = None) -> Array:
        """E[x | z, y] averaged over z, and over p(y | x) where y is not known, Eq. MISS.8."""
        C = np.zeros((len(X), len(self.log_p_y)), self.dtype) if C is None else C
        classes = [np.tile(one, (len(X), 1)) for one in np.eye(C.shape[1], dtype=C.dtype)]
        log_joint = [
            np.concatenate([ops.logsumexp(w, 0) for _, w in weighed])
            for weighed in (self.weights_from_encoder(X, S, None, c) for c in classes)
        ]
        found = ops.softmax(np.stack(log_joint, axis=1) + self.log_p_y, 1)
        p = np.where(C.any(axis=1, keepdims=True), C, found)
        means = np.zeros(X.shape, self.dtype)
        for k, c in enumerate(classes):
            means += p[:, k, None] * super().posterior_means(X, S, c)
        return means


class EnumeratedObjective:
    """The loss of a minibatch: minus the bound, minus alpha log q(y | x) where y is known.

    Eq. SSL.3. A batch of M of the N data holds some of the m labels: their sum times N / (m M) is
    an unbiased estimate of the mean over all labelled data. Their mean in the batch would not be.
    ``share`` is m / N.
    """

    def __init__(
        self,
        model: LatentModel,
        encode: Callable[..., Any],
        classify: Callable[[Any], Categorical],
        log_p_y: Array,
        settings: SimpleNamespace,
        share: float,
    ) -> None:
        self.model, self.encode, self.classify = model.in_training(), encode, classify
        self.log_p_y, self.settings, self.share = log_p_y, settings, share

    def __call__(
        self, batch: Batch, rng: np.random.Generator, progress: float
    ) -> tuple[Tensor, Metrics]:
        """The loss of a batch, and means over it in nats per datum."""
        settings, (x, C) = self.settings, batch
        likelihood = self.model.likelihood
        if likelihood.drawn_afresh:
            x = likelihood.as_taken(x, rng)
        with no_grad():
            eps = self.encode(x, C).noise(rng, settings.n_samples)
        q_y = self.classify(x)
        terms = enumerated_terms(
            self.model, self.encode, q_y, self.log_p_y, x, C, eps, settings.kl
        )
        terms = at_best_scale(self.model, terms, x)
        warming = progress < settings.beta_warmup
        beta = settings.beta * (progress / settings.beta_warmup if warming else 1.0)
        right = ops.sum(C * q_y.log_probabilities()) / (self.share * len(x))
        loss = ops.mean(beta * terms.kl - terms.reconstruction) - settings.alpha * right
        reconstruction, kl = (t.data.mean(dtype=np.float64) for t in terms)
        return loss, {
            "loss": loss.item(), "elbo": float(reconstruction - kl),
            "reconstruction": float(reconstruction), "kl": float(kl),
            "log_q_of_labels": right.item(),
        }  # fmt: skip
