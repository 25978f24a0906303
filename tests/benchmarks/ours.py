"""minivae, by the calls that its users make."""

from __future__ import annotations

import warnings
from functools import partial
from typing import Any

import cases
import numpy as np

import minivae
import minivae_kernels as kernels
from minivae import VAE, GaussianMixture, LatentModel, ops
from minivae.distributions import Bernoulli, Binomial, StandardNormal
from minivae.distributions.mixture import MixtureOfGaussians
from minivae.inference.slopes import Slopes
from minivae.models.mixture.data import Data
from minivae.models.mixture.em import em_statistics, m_step
from minivae.models.mixture.posterior import Posterior, bound
from minivae.models.mixture.posterior import m_step as posterior_m_step
from minivae.objectives import elbo_terms
from minivae.tensor import Tensor, wrap
from minivae.training import Run
from minivae_kernels.clustering import kmeans_plus_plus

VERSION = f"minivae {minivae.__version__}"


def training_run(vae: VAE, X: np.ndarray) -> Run:
    """What ``vae.fit(X)`` runs, at its first step."""
    vae._build(vae._settings(), Bernoulli(), X.shape[1], 0)
    return vae._run(X, None, None, None, None)


def set_threads(n: int) -> None:
    kernels.set_num_threads(n)


def prepare(case: str) -> Any:
    kind = case.split()[0]
    return {
        "product": _product,
        "layer": _layer,
        "function": _function,
        "bernoulli": _bernoulli,
        "joint": _joint,
        "tape": _tape,
        "em": _iteration,
        "fit": _fit,
        "bayes": _bayes,
        "k-means++": _seeds,
    }.get(kind, _step)(case)


def _product(case: str) -> Any:
    a, b = cases.product_data(case)
    return lambda: kernels.matmul(a, b), lambda: {"answer": cases.fingerprint(kernels.matmul(a, b))}


def _layer(case: str) -> Any:
    x, w, b, g = cases.layer_data(case)
    x, w, b = (wrap(a, requires_grad=True) for a in (x, w, b))

    def run() -> Any:
        for t in (x, w, b):
            t.grad = None
        out = ops.linear(x, w, b, activation="relu")
        out.backward(g)
        return out

    def answer() -> Any:
        return {"answer": cases.fingerprint(run().data, x.grad, w.grad, b.grad)}

    return run, answer


def _function(case: str) -> Any:
    f, x = getattr(kernels, case.split()[1]), cases.function_data(case)
    return lambda: f(x), lambda: {"answer": cases.fingerprint(f(x))}


def _bernoulli(case: str) -> Any:
    logits, x = cases.bernoulli_data()
    logits, x = wrap(logits, requires_grad=True), wrap(x)

    def run() -> Any:
        logits.grad = None
        log_p = ops.binomial_log_prob(logits, x)
        log_p.backward(np.ones(len(x.data), np.float32))
        return log_p

    return run, lambda: {"answer": cases.fingerprint(run().data, logits.grad)}


def _joint(case: str) -> Any:
    z, x, (w, b, v, c) = cases.joint_data()

    def decoder(z: Any) -> Any:
        return (ops.linear(ops.linear(z, w, b, activation="relu"), v, c),)

    model = LatentModel(StandardNormal(2), decoder, Binomial(16))
    slopes = Slopes(partial(model.log_joint, x))  # as `hmc` asks for them, thousands of times
    for step in range(5):  # it records and checks, and JAX compiles
        slopes(z + np.float32(step))

    def run() -> Any:
        return slopes.slope(z)

    return run, lambda: {"answer": cases.fingerprint(run())}


def _tape(case: str) -> Any:
    x, g = (
        Tensor(np.linspace(-1, 1, 10, dtype=np.float32), requires_grad=True),
        np.ones(10, np.float32),
    )

    def run() -> None:
        x.grad = None
        ops.tanh(x).backward(g)

    def answer() -> Any:
        run()
        return {"answer": cases.fingerprint(x.grad)}

    return run, answer


def _step(case: str) -> Any:
    X, parameters, eps = cases.step_data(case)
    batch, latent = eps.shape
    vae = VAE(
        latent_dim=latent,
        hidden=(parameters["hidden.bias"].size,),
        batch_size=batch,
        random_state=0,
    )
    training = training_run(vae, X)
    names = ["hidden", "mu", "log_var", "back", "logits"]
    ordered = [parameters[f"{n}.{part}"] for n in names for part in ("weight", "bias")]

    def start_afresh() -> None:
        for tensor, value in zip(training.parameters, ordered, strict=True):
            tensor.data = value

    start_afresh()
    order, position = np.random.default_rng(0).permutation(len(X)), [0]

    def run() -> None:
        i = position[0] = (position[0] + batch) % (len(X) - batch)
        training.step(order[i : i + batch], 1.0)

    def answer() -> Any:
        start_afresh()
        x = wrap(X[:batch].copy())
        terms = elbo_terms(vae.model_, vae.encoder_(x), x, eps[None])
        loss = -ops.mean(terms.elbo)
        loss.backward()
        gradients = [p.grad for p in training.parameters]
        for p in training.parameters:
            p.grad = None
        return {"answer": [loss.item(), *cases.fingerprint(*gradients)]}

    return run, answer


def _iteration(case: str) -> Any:
    kind, X, (weights, means, precisions) = cases.mixture_data(case)
    data = Data("fit", X)
    theta = MixtureOfGaussians.from_precisions(weights, means, precisions, kind)

    def run() -> Any:
        statistics, centres = em_statistics(data, theta, 0.0)
        return statistics, m_step(statistics, centres, theta, 0.0).parameters

    def answer() -> Any:
        statistics, new = run()
        numbers = cases.fingerprint(new.weights, new.means, new.covariances)
        return {"answer": [statistics.log_likelihood / len(X), *numbers]}

    return run, answer


def _fit(case: str) -> Any:
    warnings.simplefilter("ignore")  # ten iterations are not meant to converge
    kind, X, (weights, means, precisions) = cases.mixture_data(case)
    model = GaussianMixture(
        len(weights),
        covariance_type=kind,
        weights_init=weights,
        means_init=means,
        precisions_init=precisions,
        reg_covar=0,
        max_iter=cases.ITERATIONS,
        tol=0,
    )

    def answer() -> Any:
        model.fit(X)
        return {"answer": cases.fingerprint(model.weights_, model.means_, model.covariances_)}

    return lambda: model.fit(X), answer


def _bayes(case: str) -> Any:
    kind, X, (weights, means, precisions) = cases.mixture_data(case)
    K, D = means.shape
    data, one = Data("fit", X), np.ones(K)
    theta = MixtureOfGaussians.from_precisions(weights, means, precisions, kind)
    alike = MixtureOfGaussians.from_precisions(one / K, np.zeros((K, D)), precisions, kind)
    prior = Posterior(one / K, one, D * one, alike)
    q = Posterior(*cases.posterior_data(K, D, weights, len(X)).values(), theta)

    def run() -> Any:
        sums, centres = em_statistics(data, q.mixture, 0.0)
        return posterior_m_step(sums, centres, q, prior, 0.0), bound(sums, q, prior)

    def answer() -> Any:
        new = run()[0].expected
        return {"answer": cases.fingerprint(new.weights, new.means, new.covariances)}

    return run, answer


def _seeds(case: str) -> Any:
    _, X, (weights, *_) = cases.mixture_data(case)
    K, trials = len(weights), 2 + int(np.log(len(weights)))

    def run() -> Any:
        # The numbers that scikit-learn draws: one for the first seed, and then all candidates.
        state, draws = np.random.RandomState(0), np.empty((K, trials))
        draws[0] = state.random_sample()
        draws[1:] = state.random_sample((K - 1, trials))
        return kmeans_plus_plus(X, draws)

    return run, lambda: {"answer": run().tolist()}
