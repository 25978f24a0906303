"""Exercises 16 to 30: their solutions against the library, and answers that no bank holds."""

import re

import numpy as np
import pytest
from scipy.special import expit, log_expit, logsumexp, softmax
from scipy.stats import multivariate_normal, norm

from minivae import grad, ops
from minivae.exercises import find, judge
from minivae.exercises.judging import combined, draw
from minivae.objectives import importance_weighted_bound, minibatch_estimate


def solution(number):
    return find(number).author


def slope(f, x, h=1e-6):
    """The derivatives of a number by each element of x, by central differences."""
    found = np.empty(x.shape)
    for index in np.ndindex(x.shape):
        step = np.zeros(x.shape)
        step[index] = h
        found[index] = (f(x + step) - f(x - step)) / (2 * h)
    return found


# ---- the solutions are right ----


def test_16_is_the_librarys_estimate():
    terms = draw(5)
    expected = minibatch_estimate(terms, 30) - 1.5
    assert solution(16).log_posterior(terms, -1.5, 30) == pytest.approx(expected)


def test_17_differentiates_a_mean_by_its_samples_and_by_their_weights():
    mu, log_var, eps = draw(3), draw(3, seed=1), draw(40, 3)
    z = mu + np.exp(log_var / 2) * eps

    def f(z):
        return np.sin(z).sum(axis=1)

    def weights(v):
        log_q = norm.logpdf(z, mu, np.exp(v / 2)).sum(axis=1)
        return np.exp(log_q - norm.logpdf(z, mu, np.exp(log_var / 2)).sum(axis=1))

    score, path = solution(17).gradients(f(z), np.cos(z), log_var, eps)
    by_weights = slope(lambda v: np.mean(f(z) * weights(v)), log_var)
    by_samples = slope(lambda v: np.mean(f(mu + np.exp(v / 2) * eps)), log_var)
    np.testing.assert_allclose(score, by_weights, atol=1e-8)
    np.testing.assert_allclose(path, by_samples, atol=1e-8)


def test_18_and_25_are_the_librarys_bound():
    a, b, c = (draw(6, 4, seed=seed) for seed in range(3))
    expected = importance_weighted_bound(a + b - c)
    np.testing.assert_allclose(solution(18).importance_weighted_bound(a + b - c), expected)
    np.testing.assert_allclose(solution(25).importance_weighted_bound(a, b, c), expected)


def test_19_20_23_and_26_are_one_iteration_of_em():
    x, mu, pi = draw(40, 3), draw(4, 3, seed=1), softmax(draw(4, seed=2))
    var = draw(4, 3, seed=3, low=0.5, high=2.0)
    Sigma = var[:, :, None] * np.eye(3)
    log_density = np.stack(
        [multivariate_normal(m, S).logpdf(x) for m, S in zip(mu, Sigma, strict=True)], axis=1
    )
    expected = softmax(np.log(pi) + log_density, axis=1)
    r = solution(19).responsibilities(np.log(pi), log_density)
    np.testing.assert_allclose(r, expected)
    np.testing.assert_allclose(solution(26).responsibilities(x, pi, mu, Sigma), expected)
    new_pi, new_mu, new_Sigma = solution(20).m_step(x, r)
    for k in range(4):
        np.testing.assert_allclose(new_mu[k], np.average(x, axis=0, weights=r[:, k]))
        np.testing.assert_allclose(new_Sigma[k], np.cov(x.T, aweights=r[:, k], ddof=0))
    diagonal = np.diagonal(new_Sigma, axis1=1, axis2=2)
    for found, right in zip(
        solution(23).em_iteration(x, pi, mu, var), (new_pi, new_mu, diagonal), strict=True
    ):
        np.testing.assert_allclose(found, right)
    assert new_pi.sum() == pytest.approx(1)


def test_21_is_entropy_and_log_density():
    log_var, log_pi, c = draw(4, 2), np.log(softmax(draw(5))), draw(3, 4, 5)
    entropy = norm(0, np.exp(log_var / 2)).entropy().sum(axis=1)
    expected = -entropy - logsumexp(log_pi + c, axis=2).mean(axis=0)
    np.testing.assert_allclose(solution(21).kl_to_mixture(log_var, log_pi, c), expected)


def test_22_is_the_posterior_of_the_joint_gaussian():
    x, W, m, sigma = draw(6, 5), draw(5, 3), draw(5), 0.7
    C = W @ W.T + sigma**2 * np.eye(5)
    V = np.eye(3) - W.T @ np.linalg.solve(C, W)
    mu, log_var = solution(22).best_encoder(x, W, m, sigma)
    np.testing.assert_allclose(mu, (x - m) @ np.linalg.solve(C, W))
    np.testing.assert_allclose(np.exp(-log_var), np.diag(np.linalg.inv(V)))


def test_24_28_and_29_are_scipys_and_the_engines():
    logits, x = 5 * draw(4, 3), (draw(4, 3, seed=1) > 0).astype(float)
    loss, by_logits = solution(24).loss_and_slope(logits, x)
    expected = -np.sum(x * log_expit(logits) + (1 - x) * log_expit(-logits), axis=1)
    np.testing.assert_allclose(loss, expected)
    np.testing.assert_allclose(by_logits, expit(logits) - x)

    q, p = norm(0.3, 0.8), norm(-0.5, 1.7)
    z = np.linspace(-12, 12, 4001)
    integral = np.trapezoid(q.pdf(z) * (q.logpdf(z) - p.logpdf(z)), z)
    found = solution(28).kl_of_gaussians(*(np.array([[v]]) for v in (0.3, 0.8, -0.5, 1.7)))
    np.testing.assert_allclose(found, [integral])

    index, g, rows = np.array([2, 0, 2, 2]), draw(4, 3), draw(5, 3)
    engine = grad(lambda x: ops.sum(x[index] * g))(rows)
    np.testing.assert_allclose(solution(29).pick_vjp(g, rows, index), engine)


def test_27_is_reconstruction_less_kl():
    mu, log_var, a = draw(4, 2), draw(4, 2, seed=1), draw(4)
    kl = 0.5 * np.sum(mu**2 + np.exp(log_var) - 1 - log_var, axis=1)
    np.testing.assert_allclose(solution(27).elbo(a, mu, log_var, mu), a - kl)


def test_30_is_the_gradient_of_its_loss():
    step = solution(30)
    inputs = [draw(4, 2), draw(4, 2, seed=1), draw(2, 3), draw(3)]
    x, eps = (draw(4, 3) > 0).astype(float), draw(4, 2, seed=2)
    for k, found in enumerate(step.gradients(*inputs, x, eps)):
        right = slope(
            lambda a, k=k: step.forward(*inputs[:k], a, *inputs[k + 1 :], x, eps)[0], inputs[k]
        )
        np.testing.assert_allclose(found, right, atol=1e-8)


# ---- what students write ----

RIGHT = {
    "16 a loop": """
        total = 0.0
        for l in log_likelihoods:
            total += l * n_total / len(log_likelihoods)
        return total + log_prior""",
    "17 products of matrices": """
        score = values @ (eps**2 - 1) / (2 * len(values))
        return [score, (slopes * (0.5 * np.exp(0.5 * log_var) * eps)).mean(0)]""",
    "18 pair by pair": """
        total = log_weights[0]
        for w in log_weights[1:]:
            total = np.maximum(total, w) + np.log1p(np.exp(-np.abs(total - w)))
        return total - np.log(len(log_weights))""",
    "19 quotients of two": """
        a = (log_pi + log_density)[:, :, None]
        return 1 / np.exp(a.transpose(0, 2, 1) - a).sum(axis=2)""",
    "20 NumPy's averages": """
        mu = np.stack([np.average(x, axis=0, weights=w) for w in r.T])
        return r.mean(0), mu, np.stack([np.cov(x.T, aweights=w, ddof=0) for w in r.T])""",
    "21 a loop": """
        out = np.zeros(len(log_var))
        for n in range(len(out)):
            out[n] = -0.5 * np.sum(np.log(2 * np.pi * np.e * np.exp(log_var[n])))
            for c in log_components[:, n]:
                out[n] -= np.logaddexp.reduce(log_pi + c) / len(log_components)
        return out""",
    "22 by the covariance of x": """
        C = W @ W.T + sigma**2 * np.eye(len(W))
        return (x - m) @ np.linalg.solve(C, W), -np.log1p((W**2).sum(axis=0) / sigma**2)""",
    "22 least squares": """
        A = np.vstack([W, sigma * np.eye(W.shape[1])])
        b = np.vstack([(x - m).T, np.zeros((W.shape[1], len(x)))])
        return np.linalg.lstsq(A, b, rcond=None)[0].T, np.log(sigma * sigma / (A * A).sum(0))""",
    "23 component by component": """
        pi, mu, var = pi.copy(), mu.copy(), var.copy()
        for k, w in enumerate(r.T):
            pi[k] = w.sum() / r.sum()
            mu[k] = np.average(x, axis=0, weights=w)
            var[k] = np.average((x - mu[k]) ** 2, axis=0, weights=w)
        return pi, mu, var""",
    "24 by the sign": """
        sign = 1 - 2 * x
        return np.logaddexp(0, sign * logits).sum(-1), sign / (1 + np.exp(-sign * logits))""",
    "25 SciPy": """
        from scipy.special import logsumexp
        return logsumexp(log_likelihood - (log_q - log_prior), axis=0) - np.log(len(log_q))""",
    "26 SciPy": """
        from scipy.stats import multivariate_normal as normal
        from scipy.special import softmax
        j = np.stack([normal(mu[k], Sigma[k]).logpdf(x) for k in range(len(pi))], axis=1)
        return softmax(j + np.log(pi), axis=1)""",
    "26 Cholesky": """
        half = np.log(np.linalg.cholesky(Sigma).diagonal(axis1=1, axis2=2)).sum(axis=1)
        a = np.log(pi) - half - squares / 2
        return 1 / np.exp(a[:, None, :] - a[:, :, None]).sum(axis=2)""",
    "27 cross-entropy and entropy": """
        entropy = 0.5 * np.sum(1 + np.log(2 * np.pi) + log_var, axis=1)
        cross = -0.5 * np.sum(np.log(2 * np.pi) + mu**2 + np.exp(log_var), axis=1)
        return log_likelihood + cross + entropy""",
    "28 in logarithms": """
        v, w = 2 * np.log(sigma), 2 * np.log(sigma_p)
        return 0.5 * np.sum(np.expm1(v - w) - (v - w) + (mu - mu_p) ** 2 * np.exp(-w), axis=-1)""",
    "29 one-hot": "return np.eye(len(x))[index].T @ g",
    "29 counted": """
        return np.stack([np.bincount(index, weights=c, minlength=len(x)) for c in g.T], axis=1)""",
    "30 datum by datum": """
        g_mu, g_v, g_W, g_b = (np.zeros_like(a) for a in (mu, mu, W, b))
        for n in range(N):
            d = (p[n] - x[n]) / N
            g_b += d
            g_W += np.outer(z[n], d)
            g_mu[n] = W @ d + mu[n] / N
            g_v[n] = (W @ d) * (z[n] - mu[n]) / 2 + np.expm1(log_var[n]) / (2 * N)
        return g_mu, g_v, g_W, g_b""",
}

WRONG = {
    "16 whole numbers": (
        "return n_total // len(log_likelihoods) * np.sum(log_likelihoods) + log_prior",
        "rounds N/M down",
    ),
    "17 two mistakes": (
        "return values @ (eps**2 - 1) / len(values), (slopes * np.exp(log_var) * eps).mean(0)",
        "1/2 is missing",
    ),
    "18 another number put back": (
        "top = log_weights.max(axis=0)\n"
        "return top.max() + np.log(np.mean(np.exp(log_weights - top), axis=0))",
        "put back",
    ),
    "18 mean taken out": (
        "top = log_weights.mean(axis=0)\n"
        "return top + np.log(np.mean(np.exp(log_weights - top), axis=0))",
        "largest may not overflow",
    ),
    "19 NaN hidden": (
        "a = np.exp(log_pi + log_density)\n"
        "return np.nan_to_num(a / a.sum(axis=1, keepdims=True), nan=1 / 3)",
        "underflow to 0",
    ),
    "20 unbiased": (
        "mu = (r / r.sum(0)).T @ x\n"
        "return r.mean(0), mu, np.stack([np.cov(x.T, aweights=w) for w in r.T])",
        "unbiased",
    ),
    "20 moments": (
        "w = r / r.sum(axis=0)\nmu = w.T @ x\nsecond = np.einsum('nk,ni,nj->kij', w, x, x)\n"
        "return r.mean(axis=0), mu, second - mu[:, :, None] * mu[:, None, :]",
        "near a million.*subtract the mean first",
    ),
    "20 any divisor": (
        "mu = (r / r.sum(0)).T @ x\n"
        "S = np.stack([np.cov(x.T, aweights=w, ddof=0) for w in r.T])\n"
        "return r.mean(0), mu, S / r.max(axis=0)[:, None, None]",
        "each index of axis 0",
    ),
    "21 first sample, no pi": (
        "return -0.5 * np.sum(1 + np.log(2 * np.pi) + log_var, axis=1)"
        " - log_sum_exp(log_components)[0]",
        "pi are left out.*first sample",
    ),
    "22 mean of the data": (
        "M = W.T @ W + sigma**2 * np.eye(W.shape[1])\n"
        "mu = (x - x.mean(axis=0)) @ W @ np.linalg.inv(M)\n"
        "return mu, np.log(sigma**2 / np.diag(M))",
        "not the mean of these x",
    ),
    "23 in place": ("pi *= 2\nreturn pi, mu, var", "changes its argument pi"),
    "24 a number for infinity": (
        "p = 1 / (1 + np.exp(-logits))\n"
        "loss = -np.sum(np.where(x == 1, np.log(p), np.log(1 - p)), axis=1)\n"
        "return np.minimum(loss, 1e3), p - x",
        "clipped|rounded",
    ),
    "25 exchanged axes": (
        "w = log_likelihood + log_prior - log_q\n"
        "return np.logaddexp.reduce(w, axis=1) - np.log(w.shape[1])",
        "shape|over the data",
    ),
    "26 the same for all": ("return np.full(squares.shape, 1 / 3)", "same number all along axis 1"),
    "26 densities": (
        "joint = pi * np.linalg.det(Sigma) ** -0.5 * np.exp(-0.5 * squares)\n"
        "return joint / joint.sum(axis=1, keepdims=True)",
        "far from every component.*underflow",
    ),
    "26 sums to 2": (
        "j = pi * np.exp(-squares / 2)\nreturn 2 * j / j.sum(axis=1, keepdims=True)",
        "must sum to 1 along axis 1",
    ),
    "27 sample in the KL": (
        "return log_likelihood - kl_divergence(z, log_var)",
        "z where mu is meant|exchanged|z is used",
    ),
    "28 two mistakes": (
        "q = sigma / sigma_p\n"
        "return 0.5 * np.sum(q**2 + (mu - mu_p) ** 2 / sigma_p - 1 - np.log(q), axis=1)",
        "divided by sigma_p.*logarithm has sigma",
    ),
    "29 the largest": (
        "out = np.full(x.shape, -np.inf)\nnp.maximum.at(out, index, g)\n"
        "return np.where(np.isinf(out), 0, out)",
        "largest",
    ),
    "30 in another order": (
        "g = (p - x) / N\nd = g @ W.T\n"
        "v = 0.5 * d * eps * np.exp(log_var / 2) + 0.5 * (np.exp(log_var) - 1) / N\n"
        "return v, d + mu / N, z.T @ g, g.sum(axis=0)",
        "the order is",
    ),
}


@pytest.mark.parametrize("what", RIGHT)
def test_right_answers_pass_however_they_are_written(what):
    exercise = find(what[:2])
    verdict = judge(exercise, exercise.filled(RIGHT[what]))
    assert verdict, f"{verdict}\n{verdict.traceback}"


@pytest.mark.parametrize("what", WRONG)
def test_wrong_answers_outside_the_bank_are_told_what_they_are(what):
    exercise = find(what[:2])
    body, diagnosis = WRONG[what]
    verdict = judge(exercise, exercise.filled(body))
    assert verdict.kind == "fail"
    assert re.search(diagnosis, verdict.diagnosis, re.IGNORECASE), verdict.diagnosis


def test_a_bug_to_find_is_wrong_as_handed_out_with_its_diagnosis():
    for number in range(23, 30):
        exercise = find(number)
        verdict = judge(exercise, exercise.as_shipped)
        assert verdict.kind == "todo"
        assert verdict.diagnosis.startswith("The hole is as it was handed out: find the bug")
        bug = exercise.author.BUG
        verdict = judge(exercise, exercise.filled(f"print('looking')\n{bug.body}"))
        assert verdict.kind == "fail"
        assert re.search(bug.diagnosis, verdict.diagnosis, re.IGNORECASE)


def test_combined_suspects_come_with_the_fewest_mistakes_first():
    found = combined(
        lambda x, sign, factor: sign * factor * x,
        sign={"": 1, "minus": -1},
        factor={"": 1, "double": 2},
    )
    assert list(found) == ["double", "minus", "minus; double"]
    assert [f(3) for f in found.values()] == [6, -3, -6]
    assert len(combined(lambda: 0, at_most=1, a={"": 0, "x": 1}, b={"": 0, "y": 1})) == 2
