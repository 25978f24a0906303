"""Estimators of gradients: wrong ones must be refused and named, right ones must pass."""

import re
from collections import Counter

import numpy as np
import pytest
from scipy.stats import t as student

from engine.wrong_estimators import (
    CLASSES,
    GAUSS,
    POINT,
    RIGHT,
    TOTAL,
    WRONG,
    X,
    along_signs,
    bowl,
    classes,
    pathwise,
    score,
    sine,
    slope_of_bowl,
)
from minivae import check_unbiased


def check(case, **more):
    return check_unbiased(
        case.estimator, case.objective, case.parameters,
        **{"noise": case.noise, "log_prob": case.log_prob, "f": case.f, **more},
    )  # fmt: skip


def ids(cases):
    return [case.name for case in cases]


# Without chance ----------------------------------------------------------------------------------


@pytest.mark.parametrize("case", WRONG, ids=ids(WRONG))
def test_a_wrong_estimator_fails_with_the_right_diagnosis(case):
    report = check(case)
    assert report.verdict == "FAIL"
    assert not report
    assert re.search(case.diagnosis, report.diagnosis), report.diagnosis
    assert max(map(len, str(report).splitlines())) <= 80
    assert len(str(report).splitlines()) <= 24


@pytest.mark.parametrize("case", RIGHT, ids=ids(RIGHT))
def test_a_right_estimator_passes_without_chance(case):
    report = check(case)
    assert report, report
    assert report.diagnosis is None
    assert "Sampled" not in report.how
    assert all(abs(row.found - row.exact) < 1e-6 * (1 + abs(row.exact)) for row in report.table)


def test_the_bank_is_large_and_names_are_unique():
    assert len(WRONG) >= 30
    assert [name for name, n in Counter(ids(WRONG + RIGHT)).items() if n > 1] == []


def test_every_minibatch_is_seen_once():
    seen = []

    def estimate(w, rng):
        rows = rng.permutation(7)[:3]
        seen.append(tuple(rows.tolist()))
        return X[rows].sum(axis=0) * 7 / 3

    total = X.sum(axis=0)
    report = check_unbiased(estimate, lambda w: float(total @ w), np.ones(2), TOTAL["noise"])
    assert report
    assert len(set(seen)) == 7 * 6 * 5
    assert report.asked == 3


def test_what_the_set_says_stands_in_for_normal_numbers():
    # the first two moments of N(0, 1) by three values
    values, p = np.array([-np.sqrt(3), 0.0, np.sqrt(3)]), np.array([1 / 6, 2 / 3, 1 / 6])
    report = check_unbiased(
        lambda m, rng: 2 * (m + rng.standard_normal(3)), lambda m: float(m @ m), POINT,
        ("set", values, p),
    )  # fmt: skip
    assert report
    assert "27 calls" in report.how


# By samples --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["sign", "twice", "own sample, S = 3", "missing score", "score's sign", "not detached",
             "missing grad f", "one draw for two"],
)  # fmt: skip
def test_a_wrong_estimator_is_named_from_samples(name):
    case = next(c for c in WRONG if c.name == name)
    report = check(case, noise="sample")
    assert "Sampled" in report.how
    assert report.verdict == "FAIL"
    assert re.search(case.diagnosis, report.diagnosis), report.diagnosis


def test_right_but_noisy_estimators_pass():
    report = check_unbiased(lambda p, r: score(p, r, 8, "constant"), sine, GAUSS, "sample")
    assert report, report
    assert "Sampled" in report.how
    rows = {row.name: row for row in report.table}
    assert abs(rows["mu"].z) < 6


def test_what_the_noise_hides_is_inconclusive():
    def noisy(x, rng):
        return slope_of_bowl(x) + 300 * rng.standard_normal(3)

    report = check_unbiased(noisy, bowl, POINT, "sample", samples=2048)
    assert report.verdict == "INCONCLUSIVE"
    assert not report
    assert "allow more samples" in report.diagnosis
    # a bias that is larger than the noise is still seen
    report = check_unbiased(lambda x, r: noisy(x, r) + 1000, bowl, POINT, "sample", samples=2048)
    assert report.verdict == "FAIL"


def test_too_much_noise_to_integrate_is_sampled():
    report = check_unbiased(lambda p, r: pathwise(p, r, 20), sine, GAUSS)
    assert report
    assert report.how.startswith("Sampled")
    assert report.asked == 20
    # a jump: the rules of quadrature disagree about it
    jump = check_unbiased(
        lambda t, r: np.array([np.exp(t[0]) * (r.random() < 0.3)]),
        lambda t: float(0.3 * np.exp(t[0])), np.zeros(1),
    )  # fmt: skip
    assert jump
    assert jump.how.startswith("Sampled")


@pytest.mark.slow
def test_standard_errors_are_calibrated():
    def estimate(m, rng):  # skewed
        return m + rng.standard_normal() ** 2 - 1

    z = [
        check_unbiased(
            estimate, lambda m: 0.5 * float(m**2), np.array(0.4), "sample", samples=1024, seed=seed
        ).table[0].z
        for seed in range(150)
    ]  # fmt: skip
    # mean squares of 150 numbers from t with 63 degrees of freedom lie between, but for 1e-6
    assert 0.5 < np.mean(np.square(z)) < 1.75
    assert np.mean(np.square(1.5 * np.array(z))) > 1.75  # errors too small by a third are seen
    assert np.max(np.abs(z)) < student(63).ppf(1 - 1e-6 / 150)


# What cannot be checked --------------------------------------------------------------------------


def test_nothing_is_said_where_all_vanishes():
    report = check_unbiased(lambda x, r: 0 * x, lambda x: 3.0, POINT)
    assert report.verdict == "INCONCLUSIVE"
    assert "vanish" in report.diagnosis
    # a mean of zero that noise goes into passes
    report = check_unbiased(lambda x, r: r.standard_normal(3), lambda x: 3.0, POINT)
    assert report


def test_a_kink_of_the_objective():
    report = check_unbiased(lambda x, r: 0 * x, lambda x: float(np.abs(x).sum()), np.zeros(2))
    assert report.verdict == "INCONCLUSIVE"
    assert "rough" in report.diagnosis


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"noise": "loud"}, "noise='loud' is unknown"),
        ({"noise": ("minibatches", 3, 7)}, "1 <= M <= N"),
        ({"noise": ("set", [1.0, 2.0], [0.5, 0.6])}, "with sum 1.1"),
        ({"noise": ("set", [1.0, 2.0], [1.0])}, "one for each value"),
        ({"parameters": np.array([np.nan, 0.0, 0.0])}, "finite numbers"),
        ({"parameters": []}, "no parameters"),
        ({"parameters": {"a": np.array(["b"])}}, "a must be an array of finite numbers"),
        ({"objective": lambda x: x}, r"has shape \(3,\); it must be one number"),
        ({"objective": lambda x: np.inf}, "the objective is inf"),
        ({"objective": lambda x: np.random.default_rng().normal()}, "two calls of the objective"),
        ({"samples": 10}, "whole number from 1024"),
        ({"f": lambda z: z}, "log_prob and f go together"),
    ],
)
def test_bad_input_is_refused(changed, said):
    given = {"estimator": along_signs(), "objective": bowl, "parameters": POINT} | changed
    with pytest.raises(ValueError, match=said):
        check_unbiased(**given)


def test_a_density_without_its_constant_is_refused():
    with pytest.raises(ValueError, match=r"adds up to"):
        check_unbiased(
            classes(score=2), CLASSES["objective"], CLASSES["parameters"], CLASSES["noise"],
            lambda t, z: t[z], CLASSES["f"],
        )  # fmt: skip
    with pytest.raises(ValueError, match="does not add up to 1"):
        check_unbiased(
            lambda p, r: score(p, r, twice=2.0), sine, GAUSS, None,
            lambda p, z: -0.5 * z**2, lambda z: np.sin(z),
        )  # fmt: skip


def test_parameters_keep_their_form():
    seen = []

    def estimate(p, rng):
        seen.append(p)
        return [x * 1.0 for x in p]

    start = [np.ones((2, 2)), np.array([3.0])]
    assert check_unbiased(estimate, lambda p: 0.5 * sum(float((x**2).sum()) for x in p), start)
    assert [x.shape for x in seen[0]] == [(2, 2), (1,)]
    # and what the estimator writes into them is lost
    def careless(x, rng):
        x *= 0.5
        return 2 * x

    assert check_unbiased(careless, lambda x: 0.5 * float(x @ x), POINT)


@pytest.mark.parametrize(
    ("parameters", "estimate", "said"),
    [
        ({"mu": 1.0, "s": 2.0}, {"mu": 1.0}, "has keys ['mu'], the parameters ['mu', 's']"),
        (np.ones(2), {"mu": 1.0}, "is a dict, the parameters are not"),
    ],
)
def test_an_estimate_by_other_names_fails(parameters, estimate, said):
    report = check_unbiased(lambda p, rng: estimate, lambda p: 0.0, parameters)
    assert report.verdict == "FAIL"
    assert said in report.diagnosis


def test_a_generator_made_from_the_one_that_is_given_is_sampled():
    def estimate(p, rng):
        return 2 * p * (1.0 + np.random.Generator(rng.bit_generator).standard_normal())

    report = check_unbiased(estimate, lambda p: (p**2).sum(), np.array([0.7]))
    assert report.verdict == "PASS"
    assert report.how.startswith("Sampled")


def test_a_factor_is_named_only_if_it_mends_each_element():
    # the sign of 2 (z - 1) and of (z - 1) s e, s e = z - mu: 0.43 and 0.59 of the gradient
    def estimate(p, rng):
        e = rng.standard_normal()
        d = 2 * (p["mu"] + np.exp(p["log_var"] / 2) * e - 1)
        return {"mu": np.sign(d), "log_var": np.sign(d * e)}

    at = {"mu": np.array(0.3), "log_var": np.array(-0.4)}
    for seed in range(5):
        report = check_unbiased(
            estimate, lambda p: (p["mu"] - 1) ** 2 + np.exp(p["log_var"]), at, seed=seed
        )
        assert report.verdict == "FAIL"
        assert not report.diagnosis.startswith("the gradient is half")
