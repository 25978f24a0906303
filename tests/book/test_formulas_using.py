"""The computed equations of the chapter on uses, read from their page and evaluated on numbers."""

import math

import numpy as np
import pytest
from scipy.stats import entropy, rankdata

from book.formulas import check
from examples import factors, missing_pixels, rejection
from minivae import NeuralClassifier, NeuralRegressor, metrics
from minivae.models.predictors import log_weight_prior


def scored(rng, n=5, m=7):
    positive = np.arange(n + m) < n
    return rng.integers(0, 6, n + m).astype(float), positive


@pytest.mark.equation("USE.1", evaluated=True)
def test_the_area():
    def bind(rng, trial):
        scores, positive = scored(rng)
        ranks = rankdata(scores)[positive]
        return {"A": metrics.roc_auc(scores, positive), "r": [*ranks], "n": 5, "m": 7}

    check("USE.1", bind)


@pytest.mark.equation("USE.2", evaluated=True)
def test_the_variance_of_the_area():
    def bind(rng, trial):
        scores, positive = scored(rng)
        area, _, high = metrics.roc_auc_interval(scores, positive, 0.9)
        half = math.log(high / (1 - high)) - math.log(area / (1 - area))
        s = half * area * (1 - area) / 1.6448536269514722
        wins = np.sign(scores[:5, None] - scores[5:]) / 2 + 0.5
        return {"s": s, "A": area, "a": [*wins.mean(1)], "b": [*wins.mean(0)], "n": 5, "m": 7}

    check("USE.2", bind)


def partitions(rng):
    labels = np.append(np.repeat([0, 1], 3), rng.integers(0, 2, 12))
    return labels, np.append(np.tile([0, 1, 2], 2), rng.integers(0, 3, 12))


@pytest.mark.equation("USE.3", evaluated=True)
def test_the_adjusted_rand_index():
    def bind(rng, trial):
        one, two = partitions(rng)
        i, j = np.triu_indices(18, 1)
        a, b = one[i] == one[j], two[i] == two[j]
        return {
            r"\mathrm{ARI}": metrics.adjusted_rand_index(one, two), "s": (a & b).sum(),
            "a": a.sum(), "b": b.sum(), "P": len(i),
        }  # fmt: skip

    check("USE.3", bind)


@pytest.mark.equation("USE.4", evaluated=True)
def test_the_mutual_information():
    def bind(rng, trial):
        one, two = partitions(rng)
        f = np.array([[((one == k) & (two == l)).mean() for l in range(3)] for k in range(2)])  # noqa: E741
        g, h = f.sum(1), f.sum(0)
        return {
            r"\mathrm{NMI}": metrics.normalised_mutual_information(one, two), "f": f,
            "g": [*g], "h": [*h], "K": 2, "L": 3,
            r"\mathrm{H}(g)": entropy(g), r"\mathrm{H}(h)": entropy(h),
        }  # fmt: skip

    check("USE.4", bind)


@pytest.mark.equation("USE.6", evaluated=True)
def test_the_bits():
    def bind(rng, trial):
        nats, D = -rng.uniform(1, 9), 5
        return {"b": metrics.bits_per_value(nats, D), "p(x)": math.exp(nats), "D": D}

    check("USE.6", bind)


@pytest.mark.equation("USE.9", evaluated=True)
def test_the_softmax():
    X = np.random.default_rng(0).normal(size=(20, 2))
    model = NeuralClassifier(epochs=3, random_state=0).fit(X, np.arange(20) % 3)

    def bind(rng, trial):
        x, y = rng.normal(size=(1, 2)), int(rng.integers(3))
        h = model.network_((x - model.mean_) / model.scale_)[0].data[0]
        return {"p(y|x)": model.predict_proba(x)[0, y], "h": [*h], "y": y + 1, "C": 3, "x": 0}

    check("USE.9", bind)


@pytest.mark.equation("USE.10", evaluated=True)
def test_the_gaussian_of_a_regressor():
    X = np.random.default_rng(0).normal(size=(20, 1))
    model = NeuralRegressor(epochs=3, random_state=0).fit(X, 3 * X[:, 0] + 1)

    def bind(rng, trial):
        x, y = rng.normal(size=(1, 1)), rng.normal()
        mu, sigma = (float(a[0]) for a in model.predict(x, return_std=True))
        log_p = float(model.log_prob(x, np.array([y]))[0])
        return {"p(y|x)": math.exp(log_p), "v": 2 * math.log(sigma), r"\mu": mu, "y": y, "x": 0}

    check("USE.10", bind)


@pytest.mark.equation("USE.11", evaluated=True)
def test_the_prior_of_the_weights():
    def bind(rng, trial):
        w, tau = rng.normal(size=4), rng.uniform(0.5, 3)
        log_p = float(log_weight_prior([w[:2], w[2:]], tau)) + 2 * math.log(tau / (2 * math.pi))
        return {"p(w)": math.exp(log_p), "w": [*w], r"\tau": tau, "n": 4}

    check("USE.11", bind)


@pytest.mark.equation("USE.7", evaluated=True)
def test_the_posterior_of_what_is_seen():
    def bind(rng, trial):
        x, means = rng.integers(0, 17, (1, 2)), rng.uniform(0.2, 0.8, (4, 2))
        log_prior = rng.normal(size=4)
        found = missing_pixels.imputed(x, np.array([True, False]), means, log_prior)[0, 1]
        k, p = x[0, 0], means[:, 0]
        w = p**k * (1 - p) ** (16 - k) * np.exp(log_prior) * 1e6
        return {r"\hat{x}": found, "w": [*w], r"\mu": [*(16 * means[:, 1])], "G": 4}

    check("USE.7", bind)


@pytest.mark.equation("USE.8", evaluated=True)
def test_what_the_recipe_keeps():
    def bind(rng, trial):
        q, p = rng.dirichlet(np.ones(4)), rng.random(4)
        kept = rejection.recipe(q, p)[0]
        return {"r": [*kept], "q": [*q], "p": [*p], "J": 4, "ranges": {"i": 4}}

    check("USE.8", bind)


@pytest.mark.equation("USE.8")
def test_from_p_of_x_the_recipe_is_bayes_rule():
    joint = np.random.default_rng(0).dirichlet(np.ones(10)).reshape(5, 2)
    p_x = joint.sum(1)
    kept, share = rejection.recipe(p_x, joint[:, 1] / p_x)
    np.testing.assert_allclose(kept, joint[:, 1] / joint[:, 1].sum(), rtol=1e-12)
    assert share == pytest.approx(joint[:, 1].sum())


@pytest.mark.equation("USE.12", evaluated=True)
def test_the_gap():
    def bind(rng, trial):
        factor = rng.integers(0, 3, 300)
        codes = np.stack([factor + rng.normal(0, s, 300) for s in (0.3, 1.0, 3.0)], axis=1)
        known = sorted((factors.information(c, factor) for c in codes.T), reverse=True)
        found = factors.gap(codes, factor[:, None])[0]
        return {
            r"\mathrm{MIG}": found, "I": known, r"\mathrm{H}(f)": entropy(np.bincount(factor)),
        }  # fmt: skip

    check("USE.12", bind)


@pytest.mark.equation("USE.12")
def test_information_by_enumeration():
    code, factor = np.arange(12.0), np.arange(12) // 4
    assert factors.information(code, factor) == pytest.approx(math.log(3))
    assert factors.information(code, np.zeros(12, int)) == 0
