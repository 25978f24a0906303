"""A student's own system: a VAE of digits, trained and judged with the answers that have passed.

The run is that of ``VAE.fit``, with the same start, the same minibatches and the same noise, but
put together from the pieces that the exercises ask for. So its numbers are the library's, which
trains beside it.
"""

from __future__ import annotations

import types
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from minivae import datasets, ops
from minivae.distributions.mixture_prior import mixture_log_joint
from minivae.errors import ConvergenceWarning, EffectiveSampleSizeWarning
from minivae.exercises.catalogue import Exercise
from minivae.exercises.pieces import PLACES, Answer, Piece
from minivae.models.mixture import GaussianMixture
from minivae.models.vae import VAE
from minivae.models.vae.evaluation import NOISE, ORDER
from minivae.optim import Adam
from minivae.randomness import stream
from minivae.tensor import Array, Tensor, primitive, reachable
from minivae.training import Batch, EachEpoch, Metrics, Player, Run

__all__ = ["Graduation", "digits", "graduate", "places_of", "read_answer"]

SEED = 0
COMPONENTS, ITERATIONS = 10, 30  # of the mixture that is fitted to the codes
SAMPLES = 20  # of z for each new digit

Numbers = dict[str, float]


class Graduation(NamedTuple):
    """The results of both runs: numbers by name, epochs, and the pieces by place."""

    own: Numbers
    library: Numbers
    history: list[tuple[float, float]]
    """The ELBO of each epoch, of the library and of the student."""

    pieces: dict[str, Piece]
    vae: VAE
    """With the parameters that the student's run has found."""


def digits() -> tuple[Array, Array, Array]:
    """Digits in black and white to train with, new ones, and the labels of those."""
    data = datasets.load("optdigits")
    X, X_test = ((part >= 8).astype(float) for part in data.model_arrays())
    return X, X_test, np.asarray(data.y_test)


def places_of(number: str) -> list[str]:
    """The places that an exercise's answer fits into."""
    return [name for name, place in PLACES.items() if number in place.fits]


def read_answer(exercise: Exercise, text: str, file: str) -> Answer:
    """The function that a student's file defines; the file is run."""
    module = types.ModuleType(exercise.path.stem)
    exec(compile(text, file, "exec"), module.__dict__)
    return Answer(exercise, getattr(module, exercise.function), file)


def graduate(
    answers: Iterable[Answer],
    X: Array,
    X_test: Array,
    *,
    epochs: int = 20,
    hidden: int = 100,
    said: Callable[[str, int, float], object] = lambda whose, epoch, elbo: None,
) -> Graduation:
    """Train the library's VAE, then the same with a student's answers in their places.

    Parameters
    ----------
    answers
        Those that have passed; the library's functions fill the other places.
    X, X_test
        Pixels 0 or 1, ``(N, D)``, in float64.
    epochs, hidden
        Of both runs.
    said
        Told whose epoch has ended, which, and its mean ELBO.
    """
    by_number = {answer.exercise.number: answer for answer in answers}
    pieces = {
        name: Piece(place, next((by_number[n] for n in place.fits if n in by_number), None))
        for name, place in PLACES.items()
    }
    start: dict[str, Array] = {}

    def at_epoch(vae: Any, epoch: int) -> None:
        if epoch == 0:
            start.update(vae.state_dict())
        else:
            said("library", epoch, vae.history_["elbo"][-1])

    vae = VAE(
        latent_dim=2, hidden=(hidden,), activation="tanh", epochs=epochs, learning_rate=5e-3,
        dtype="float64", random_state=SEED,
    ).fit(X, on_epoch=at_epoch)  # fmt: skip
    eps = np.random.default_rng(SEED).standard_normal((SAMPLES, len(X_test), 2))
    noise = np.random.default_rng(SEED + 1).standard_normal((1, len(X), 2))
    library = _library_numbers(vae, X, X_test, eps, noise)

    system = System(pieces, start.values())
    history = system.train(X, epochs, vae.batch_size, vae.learning_rate, said)
    own = system.numbers(X, X_test, eps, noise[0])
    theirs = dict(zip(start, (p.data for p in system.theta), strict=True))
    before = vae.history_["elbo"]
    vae.load_state_dict(theirs)
    return Graduation(own, library, [*zip(before, history, strict=True)], pieces, vae)


def _library_numbers(vae: VAE, X: Array, X_test: Array, eps: Array, noise: Array) -> Numbers:
    """What the library says of its own run."""
    codes = vae.posterior(X).rsample(noise)[0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", EffectiveSampleSizeWarning)
        bound: Any = vae.log_likelihood(X_test, eps=eps, proposal="encoder")
        warnings.simplefilter("ignore", ConvergenceWarning)
        mixture = GaussianMixture(
            COMPONENTS, tol=0.0, max_iter=ITERATIONS, weights_init=np.full(COMPONENTS, 0.1),
            means_init=codes[:COMPONENTS], precisions_init=np.stack([np.eye(2)] * COMPONENTS),
            random_state=SEED,
        ).fit(codes)  # fmt: skip
    return {
        "ELBO of new digits": float(vae.elbo(X_test, eps).mean()),
        f"bound of {SAMPLES} samples": float(bound.mean()),
        "log p(z) of the codes": mixture.score(codes),
        "ELBO with the mixture": float(vae.with_prior(mixture).elbo(X_test, eps).mean()),
    }


class System:
    """The VAE as the pieces make it: x to a hidden layer to q(z | x), z to a hidden layer to x.

    Parameters
    ----------
    pieces
        By the name of the place.
    start
        The ten arrays of parameters to begin with, in reading order.
    """

    def __init__(self, pieces: Mapping[str, Piece], start: Iterable[Array]) -> None:
        self.pieces = pieces
        self.theta = [Tensor(array, requires_grad=True) for array in start]
        p = pieces
        self.layer = primitive(lambda X, W, b: np.tanh(X @ W + b), p["layer"])
        self.matmul = primitive(np.matmul, p["matmul"])
        self.add = primitive(np.add, lambda g, out, x, b: (g, p["bias"](g, b.shape)))
        self.tanh = primitive(np.tanh, p["tanh"])
        self.sample = primitive(
            lambda mu, log_var, eps: mu + np.exp(log_var / 2) * eps,
            lambda g, out, mu, log_var, eps: (*p["sample"](g, out, mu, log_var, eps), None),
        )
        self.log_p = primitive(
            lambda logits, x: p["likelihood"](x, logits),
            lambda g, out, logits, x: (-g[:, None] * p["slope"](logits, x), None),
        )
        self.kl = primitive(lambda mu, log_var: p["kl"](mu, log_var), ops.gaussian_kl.vjp)
        self.scale = primitive(np.multiply, p["scale"])

    def encode(self, x: Array) -> tuple[Any, Any]:
        """mu and log_var of q(z | x)."""
        W, b, W_mu, b_mu, W_var, b_var = self.theta[:6]
        h = self.layer(x, W, b)
        return self.add(self.matmul(h, W_mu), b_mu), self.add(self.matmul(h, W_var), b_var)

    def decode(self, z: Any) -> Any:
        """The logits of x at z."""
        W, b, W_x, b_x = self.theta[6:]
        h = self.tanh(self.add(self.matmul(z, W), b))
        return self.add(self.matmul(h, W_x), b_x)

    def loss(self, x: Array, eps: Array, n_total: int) -> tuple[Any, Array, Array]:
        """Minus the estimate of the whole bound by N; and the bound's two terms of each datum."""
        mu, log_var = self.encode(x)
        log_p = self.log_p(self.decode(self.sample(mu, log_var, eps)), x)
        kl = self.kl(mu, log_var)
        whole = primitive(
            lambda terms: self.pieces["minibatch"](terms, 0.0, n_total),
            lambda g, out, terms: np.full(len(terms), g * n_total / len(terms)),
        )(log_p - kl)
        return self.scale(whole, np.asarray(-1.0 / n_total)), log_p.data, kl.data

    def gradients(self, loss: Tensor) -> list[Array]:
        """The gradient of each parameter: the walk back, in the order of a piece."""
        nodes = reachable(loss, ())
        number = {t: i for i, t in enumerate(nodes)}
        inputs = {}
        for i, t in enumerate(nodes):
            tensors = [x for x in (t._node.inputs if t._node else ()) if isinstance(x, Tensor)]
            inputs[i] = tuple(number[x] for x in tensors if x in number)
        table = {loss: np.ones(())}
        for i in self.pieces["order"](0, inputs):
            t, node = nodes[i], nodes[i]._node
            if node is None:
                continue
            g = table.pop(t)
            wanted = [isinstance(x, Tensor) and x in number for x in node.inputs]
            parts = node.operation.pull_back(g, t, node, wanted, False)
            for x, want, part in zip(node.inputs, wanted, parts, strict=True):
                if want:
                    part = node.operation.fitted(part, g, x, False)
                    table[x] = table[x] + part if x in table else part
        return [table[p] for p in self.theta]

    def train(
        self,
        X: Array,
        epochs: int,
        batch_size: int,
        learning_rate: float,
        said: Callable[[str, int, float], object],
    ) -> list[float]:
        """The mean ELBO of each epoch."""

        def loss(batch: Batch, rng: np.random.Generator, progress: float) -> tuple[Tensor, Metrics]:
            (x,) = batch
            value, log_p, kl = self.loss(x, rng.standard_normal((len(x), 2)), len(X))
            gradients = self.gradients(value)
            # To the run, all of it is one operation, whose VJP is the walk that is done.
            whole = primitive(lambda *theta: value.data, lambda g, out, *theta: gradients)
            return whole(*self.theta), {"elbo": float(np.mean(log_p - kl))}

        run = Run(
            [Player(self.theta, loss)],
            [X],
            epochs=epochs,
            batch_size=batch_size,
            order=stream(SEED, ORDER),
            noise=stream(SEED, NOISE),
            optimiser=lambda theta: _Adam(theta, learning_rate, step=self.pieces["adam"]),
            hooks=[EachEpoch(lambda n: said("own", n, run.history["elbo"][-1]) if n else None)],
        )
        run.run()
        return run.history["elbo"]

    # ---- what the trained system says of data ----

    def numbers(self, X: Array, X_test: Array, eps: Array, noise: Array) -> Numbers:
        """The same numbers as the library's, from the pieces."""
        p = self.pieces
        (S, N, K), constants = eps.shape, np.zeros((eps.shape[0] * eps.shape[1], eps.shape[2]))
        mu, log_var = (t.data for t in self.encode(X_test))
        z = mu + np.exp(log_var / 2) * eps
        logits = np.stack([self.decode(one).data for one in z])
        log_p = np.stack([p["likelihood"](X_test, one) for one in logits])
        rows = (np.broadcast_to(a, z.shape).reshape(-1, K) for a in (z, mu, log_var))
        log_q = p["density"](*rows).reshape(S, N)
        log_prior = p["density"](z.reshape(-1, K), constants, constants).reshape(S, N)
        elbo = p["elbo"](X_test, logits, mu, log_var, z, log_p)
        bound = p["bound"](log_p, log_prior, log_q)
        centres, spread = (t.data for t in self.encode(X))
        pi, means, Sigma, score = self._mixture(centres + np.exp(spread / 2) * noise)
        divergence = p["kl_to_mixture"](log_var, np.log(pi), _log_density(z, means, Sigma))
        return {
            "ELBO of new digits": float(np.mean(elbo)),
            f"bound of {SAMPLES} samples": float(np.mean(bound)),
            "log p(z) of the codes": score,
            "ELBO with the mixture": float(np.mean(log_p.mean(axis=0) - divergence)),
        }

    def _mixture(self, codes: Array) -> tuple[Array, Array, Array, float]:
        """Weights, means and covariances after EM, and the mean log-density of the codes."""
        p, K = self.pieces, codes.shape[1]
        pi, mu = np.full(COMPONENTS, 1 / COMPONENTS), codes[:COMPONENTS]
        Sigma = np.stack([np.eye(K)] * COMPONENTS)
        for _ in range(ITERATIONS):
            density = _log_density(codes, mu, Sigma)
            r = p["responsibilities"](np.log(pi), density, codes, mu, Sigma)
            pi, mu, Sigma = p["m_step"](codes, r)
        density = _log_density(codes, mu, Sigma)
        return pi, mu, Sigma, float(np.mean(p["logsumexp"](np.log(pi) + density)))


class _Adam(Adam):
    """Adam whose step is a function."""

    def __init__(self, theta: Sequence[Tensor], learning_rate: float, step: Any) -> None:
        super().__init__(theta, learning_rate)
        self._step = step

    def _mover(self, *arrays: list[Array]) -> Callable[[], None]:
        def move() -> None:
            settings = (self.step_count, self.learning_rate, self.beta1, self.beta2, self.epsilon)
            for theta, g, m, v in zip(*arrays, strict=True):
                new = self._step(*(a.copy() for a in (theta, g, m, v)), *settings)
                theta[...], m[...], v[...] = new

        return move


def _log_density(z: Array, mu: Array, Sigma: Array) -> Array:
    """log N(z; mu_k, Sigma_k) of each component, ``(..., K)``."""
    found: Array = mixture_log_joint(z, np.zeros(len(mu)), mu, np.linalg.cholesky(Sigma))
    return found
