"""What a biased estimate shows, a mistake at a time, and the terms of a gradient in closed form."""

import numpy as np
import pytest

from minivae.gradcheck.bias import Bias, Parts, diagnose_bias, parts_of

G = np.array([1.3, -0.7, 2.1])
A, C = np.array([0.4, 0.9, -1.1]), np.array([0.25, -0.6, 0.35])
B = G - A
OFF = np.array([0.3, 0.1, 0.2])  # along nothing


@pytest.fixture(autouse=True)
def quiet():
    with np.errstate(all="ignore"):
        yield


def bias(found, exact=G, error=0.0, asked=1, minibatch=None, parts=None):
    return Bias(np.asarray(found, float), np.asarray(exact, float),
                np.full(np.shape(exact), error), asked, minibatch, parts)  # fmt: skip


PARTS = Parts(A, B, C)
HINT = " (log_prob= and f= would show whether a score term is wrong)"
TERMS = {
    "has weights that are not detached: detach f where it weighs the score": G + C,
    "has weights that are not detached, instead of the term grad f: detach f where it weighs the "
    "score": A + C,
    "misses the score term f grad log q": B,
    "has the score term f grad log q twice": G + A,
    "has the score term f grad log q with the wrong sign": G - 2 * A,
    "has a score term that is summed over the draws: divide it by S = 6": G + 5 * A,
    "has a score term that is 3 times too large: divide it by S = 3": G + 2 * A,
    "misses the term grad f, in which z is held": A,
    "has the term grad f, in which z is held, twice": G + B,
    "has the term grad f, in which z is held, with the wrong sign": G - 2 * B,
    "is zero on average": 0 * G,
    "has the wrong sign": -G,
    "is off by no single factor": G + OFF,
}
OWN = "has a baseline that looks at its own sample: factor 1 - 1/S with S = {}. Leave each"
FACTORS = [
    (-G, {}, "has the wrong sign"),
    (2 * G, {}, "is twice what it should be"),
    (2 * G, {"asked": 2}, "is twice what it should be: a sum over the two draws where their mean"),
    (G / 2, {}, "is half of what it should be"),
    (G / 2, {"asked": 2}, "is half of what it should be, as with a baseline that looks at its own"),
    (G / 2, {"asked": 3}, "is half of what it should be"),
    (3 * G, {"asked": 6}, "is a sum over S = 3 draws where their mean is wanted"),
    (G / 3, {"asked": 3}, "is a mean over S = 3 draws where their sum is wanted"),
    (G * 2 / 3, {"asked": 3}, OWN.format(3)),
    (G * 4 / 3, {"asked": 4}, "is divided by S - 1 = 3 where S = 4 is meant"),
    (3 * G, {"asked": 4}, "is 3 times what it should be"),
    (3 * G, {}, "is 3 times what it should be"),
    (G / 5, {"minibatch": (20, 4)}, "misses the factor N/M = 20/4 of a minibatch"),
    (G / 20, {"minibatch": (20, 4)}, "is a mean over the minibatch where N/M times its sum is"),
    (4 * G, {"minibatch": (20, 4)}, "is a sum over the minibatch where its mean is wanted: M = 4"),
    (20 * G, {"minibatch": (20, 4)}, "is a sum over all N = 20 where their mean is wanted"),
    (5 * G, {"minibatch": (20, 4)}, "has the factor N/M = 20/4 of a minibatch once too often"),
    (G / 4, {"minibatch": (20, 4)}, "is divided by M = 4 once too often: a mean where a sum is"),
    (1.07 * G, {"minibatch": (4, 4)}, "is 1.07 times what it should be"),
    (G + OFF, {}, "is off by no single factor" + HINT),
    (G + OFF, {"minibatch": (20, 4)}, "is off by no single factor: is a term that is"),
    (0 * G, {}, "is zero on average"),
]  # fmt: skip


@pytest.mark.parametrize("sentence", TERMS)
def test_a_term_that_is_wrong_is_named(sentence):
    assert diagnose_bias(bias(TERMS[sentence], asked=6, parts=PARTS)) == sentence


def test_a_baseline_of_its_own_sample_is_told_from_the_score_term():
    found = diagnose_bias(bias(G - A / 3, asked=3, parts=PARTS))
    assert found.startswith(OWN.format(3))
    alone = Parts(G, 0 * B, 0 * C)
    assert diagnose_bias(bias(2 * G, parts=alone)) == "has the score term f grad log q twice"
    direct = Parts(0 * A, G, 0 * C)
    assert diagnose_bias(bias(2 * G, parts=direct)).startswith("has the term grad f, in which z is")


@pytest.mark.parametrize(("found", "more", "sentence"), FACTORS)
def test_a_factor_is_named_the_specific_first(found, more, sentence):
    said = diagnose_bias(bias(found, **more))
    assert said.startswith(sentence)
    if sentence in ("is half of what it should be", "is twice what it should be"):
        assert said == sentence


def test_what_should_vanish_and_what_the_noise_hides():
    nothing = "is not zero on average, although the objective does not change with it"
    assert diagnose_bias(bias(G, 0 * G)) == nothing
    # a factor is told within 4.5 standard errors or so, and not where they are large
    assert diagnose_bias(bias(2 * G + 0.002, error=0.001)).startswith("is twice what it should be")
    assert diagnose_bias(bias(2 * G + 0.02, error=0.001)).startswith("is off by no single factor")
    assert diagnose_bias(bias(2 * G, error=0.5)).startswith("is off by no single factor")


@pytest.mark.parametrize("K", [0, 1, 2])
def test_the_terms_are_integrals_over_numbers_or_rows(K):
    mu, scale = np.array([0.4, -0.3])[: max(K, 1)], 1.3

    def log_prob(parameters, z):
        if z.ndim != min(K, 1) + 1:
            raise ValueError("another kind of z is wanted")
        rows = z.reshape(len(z), -1)
        squares = np.square((rows - parameters) / scale).sum(axis=1)
        return -0.5 * squares - rows.shape[1] * np.log(scale * np.sqrt(2 * np.pi))

    def f(parameters, z):
        return np.square(z.reshape(len(z), -1)).sum(axis=1) + 3 * parameters.sum()

    found = parts_of(log_prob, f, mu, lambda flat: flat, None)
    D = len(mu)
    # E[f grad log q] = grad E[z^2] = 2 mu; E[grad f] = 3; E[log q grad f] = -3 H
    entropy = D * (0.5 * np.log(2 * np.pi * np.e) + np.log(scale))
    np.testing.assert_allclose(found.score, 2 * mu, atol=1e-6)
    np.testing.assert_allclose(found.direct, np.full(D, 3.0), rtol=1e-8)
    np.testing.assert_allclose(found.attached, np.full(D, -3 * entropy), rtol=1e-6)


@pytest.mark.parametrize("values", [[-1, 1], [0, 1], [0, 1, 2, 3]])
def test_the_terms_are_sums_over_classes(values):
    values, logits = np.array(values), np.linspace(-0.5, 1.0, len(values))
    p = np.exp(logits) / np.exp(logits).sum()

    def log_prob(parameters, z):
        if z.dtype.kind != "i" or not np.isin(z, values).all():
            raise ValueError("classes are wanted")
        log_p = parameters - np.log(np.exp(parameters).sum())
        return log_p[np.searchsorted(values, z)]

    found = parts_of(log_prob, lambda z: z**2 + 1.0, logits, lambda flat: flat, None)
    height = values**2 + 1.0
    np.testing.assert_allclose(found.score, p * (height - p @ height), atol=1e-9)
    np.testing.assert_allclose(found.direct, 0.0, atol=1e-12)
    np.testing.assert_allclose(found.attached, 0.0, atol=1e-12)
    again = parts_of(log_prob, lambda z: z**2 + 1.0, logits, lambda flat: flat, values)
    np.testing.assert_allclose(again.score, found.score)


@pytest.mark.parametrize(
    ("log_prob", "f", "said"),
    [
        (lambda t, z: -0.5 * z**2, lambda z: z, r"does not add up to 1"),
        (lambda t, z: z["a"], lambda z: z, r"does not add up to 1 .* \("),
        (lambda t, z: -0.5 * z**2 - 0.5 * np.log(2 * np.pi), lambda z: z[:2], r"f has shape \(2"),
    ],
)
def test_what_is_no_density_or_not_a_number_for_each_z_is_refused(log_prob, f, said):
    with pytest.raises((ValueError, IndexError), match=said):
        parts_of(log_prob, f, np.zeros(1), lambda flat: flat, None)


def test_an_integrand_may_be_one_number():
    found = parts_of(
        lambda t, z: -0.5 * (z - t[0]) ** 2 - 0.5 * np.log(2 * np.pi), lambda t, z: t[0] ** 2,
        np.array([1.5]), lambda flat: flat, None,
    )  # fmt: skip
    np.testing.assert_allclose([found.score, found.direct], [[0.0], [3.0]], atol=1e-6)
