"""JAX, with whole steps compiled and their buffers donated."""

from __future__ import annotations

from functools import partial
from typing import Any

import cases
import jax
import jax.numpy as jnp
import numpy as np

VERSION = f"jax {jax.__version__}"
_FUNCTIONS = {
    "exp": jnp.exp,
    "tanh": jnp.tanh,
    "log1p": jnp.log1p,
    "sigmoid": jax.nn.sigmoid,
    "softplus": jax.nn.softplus,
}


def set_threads(n: int) -> None:
    """JAX takes the threads that the process may use; the runner sets that."""


def prepare(case: str) -> Any:
    kind = case.split()[0]
    makers = {"function": _function, "bernoulli": _bernoulli, "joint": _joint}
    return makers.get(kind, _step)(case)


def _function(case: str) -> Any:
    f, x = jax.jit(_FUNCTIONS[case.split()[1]]), jnp.asarray(cases.function_data(case))
    return lambda: f(x).block_until_ready(), lambda: {"answer": cases.fingerprint(np.asarray(f(x)))}


def _bernoulli(case: str) -> Any:
    logits, x = map(jnp.asarray, cases.bernoulli_data())

    @jax.jit
    def run(logits: Any, x: Any) -> Any:
        def total(logits: Any) -> Any:
            log_p = jnp.sum(x * logits - jax.nn.softplus(logits), axis=1)
            return log_p.sum(), log_p

        (_, log_p), g = jax.value_and_grad(total, has_aux=True)(logits)
        return log_p, g

    return (
        lambda: jax.block_until_ready(run(logits, x)),
        lambda: {"answer": cases.fingerprint(*map(np.asarray, run(logits, x)))},
    )


def _joint(case: str) -> Any:
    z, x, layers = cases.joint_data()
    z, x, (w, b, v, c) = jnp.asarray(z), jnp.asarray(x), map(jnp.asarray, layers)

    def log_joint(z: Any, x: Any) -> Any:
        logits = jax.nn.relu(z @ w + b) @ v + c
        log_p = jnp.sum(x * logits - 16 * jax.nn.softplus(logits))
        log_p += jnp.sum(jax.scipy.special.gammaln(17.0) - jax.scipy.special.gammaln(x + 1)
                         - jax.scipy.special.gammaln(17.0 - x))  # fmt: skip
        return log_p - 0.5 * jnp.sum(z * z + jnp.log(2 * jnp.pi))

    gradients = jax.jit(jax.vmap(jax.vmap(jax.grad(log_joint)), in_axes=(0, None)))
    return (
        lambda: gradients(z, x).block_until_ready(),
        lambda: {"answer": cases.fingerprint(np.asarray(gradients(z, x)))},
    )


def _loss(p: Any, x: Any, eps: Any) -> Any:
    h = jax.nn.relu(x @ p["hidden.weight"] + p["hidden.bias"])
    mu = h @ p["mu.weight"] + p["mu.bias"]
    log_var = h @ p["log_var.weight"] + p["log_var.bias"]
    z = mu + jnp.exp(0.5 * log_var) * eps
    back = jax.nn.relu(z @ p["back.weight"] + p["back.bias"])
    logits = back @ p["logits.weight"] + p["logits.bias"]
    kl = -0.5 * jnp.sum(1 + log_var - mu * mu - jnp.exp(log_var))
    return (jnp.sum(jax.nn.softplus(logits) - x * logits) + kl) / len(x)


def _step(case: str) -> Any:
    X, parameters, eps = cases.step_data(case)
    X = jnp.asarray(X)
    batch, latent = eps.shape

    @partial(jax.jit, donate_argnums=(0, 1, 2))
    def step(p: Any, m: Any, v: Any, t: Any, key: Any, X: Any, index: Any) -> Any:
        key, noise = jax.random.split(key)
        loss, g = jax.value_and_grad(_loss)(p, X[index], jax.random.normal(noise, (batch, latent)))
        t = t + 1
        m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, g)
        v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, v, g)
        p = jax.tree.map(
            lambda p, m, v: p - 1e-3 * (m / (1 - 0.9**t)) / (jnp.sqrt(v / (1 - 0.999**t)) + 1e-8),
            p,
            m,
            v,
        )
        return p, m, v, t, key, loss

    p = {k: jnp.array(v) for k, v in parameters.items()}
    zeros = lambda: jax.tree.map(jnp.zeros_like, p)  # noqa: E731
    state = [(p, zeros(), zeros(), jnp.float32(0), jax.random.key(0))]
    order, position = np.random.default_rng(0).permutation(len(X)), [0]

    def run() -> None:
        i = position[0] = (position[0] + batch) % (len(X) - batch)
        *new, _ = step(*state[0], X, order[i : i + batch])
        state[0] = tuple(new)
        jax.block_until_ready(state[0][0])

    def answer() -> Any:
        fresh = {k: jnp.array(v) for k, v in parameters.items()}
        loss, g = jax.jit(jax.value_and_grad(_loss))(fresh, X[:batch], eps)
        return {
            "answer": [float(loss), *cases.fingerprint(*(np.asarray(g[k]) for k in parameters))]
        }

    return run, answer
