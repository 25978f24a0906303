"""Metrics against tables that were worked out by hand, and by counting all pairs."""

import math
from fractions import Fraction
from itertools import combinations

import numpy as np
import pytest

from minivae import metrics
from minivae.errors import ShapeError

SCORES = np.array([0.1, 0.4, 0.35, 0.8, 0.35, 0.9, 0.1])
POSITIVE = np.array([0, 0, 1, 1, 0, 1, 1], dtype=bool)

# 3 classes, 3 clusters: rows are classes
LABELS = [0, 0, 0, 0, 1, 1, 1, 2, 2, 2]
CLUSTERS = [5, 5, 5, 7, 7, 7, 7, 7, 9, 9]


def pairs(scores, positive):
    wins = [
        (a > b) + Fraction(1, 2) * int(a == b) for a in scores[positive] for b in scores[~positive]
    ]
    return Fraction(sum(wins)) / len(wins)


@pytest.mark.equation("USE.1")
def test_the_area_counts_pairs_and_half_of_the_ties():
    # positives .35 .8 .9 .1 beat of .1 .4 .35: 1.5, 3, 3, 0.5 -> 8 of 12
    assert metrics.roc_auc(SCORES, POSITIVE) == pytest.approx(8 / 12)
    rng = np.random.default_rng(0)
    scores, positive = rng.integers(0, 6, 60).astype(float), rng.random(60) < 0.3
    assert metrics.roc_auc(scores, positive) == pytest.approx(float(pairs(scores, positive)))
    assert metrics.roc_auc(np.zeros(7), POSITIVE) == 0.5
    assert metrics.roc_auc(-SCORES, POSITIVE) == pytest.approx(4 / 12)


@pytest.mark.equation("USE.1")
def test_the_area_under_the_curve_is_the_area():
    wrong, right = metrics.roc_curve(SCORES, POSITIVE)
    np.testing.assert_allclose(wrong, [0, 0, 0, 1 / 3, 2 / 3, 1])
    np.testing.assert_allclose(right, [0, 1 / 4, 2 / 4, 2 / 4, 3 / 4, 1])
    area = float(np.sum(np.diff(wrong) * (right[1:] + right[:-1]) / 2))
    assert area == pytest.approx(metrics.roc_auc(SCORES, POSITIVE))


@pytest.mark.equation("USE.2")
def test_the_interval_is_delongs():
    beaten = np.array([1.5, 3, 3, 0.5]) / 3  # of each positive
    beating = np.array([3, 2, 2.5 + 0.5 - 0.5]) / 4  # .1: 3 and a tie; .4: 2; .35: 2 and a tie
    beating = np.array([(3 + 0.5), 2, (2 + 0.5)]) / 4
    variance = beaten.var(ddof=1) / 4 + beating.var(ddof=1) / 3
    A = 8 / 12
    low, high = (
        1 / (1 + math.exp(-(math.log(A / (1 - A)) + s * 1.959964 * math.sqrt(variance)
                            / (A * (1 - A)))))
        for s in (-1, 1)
    )  # fmt: skip
    found = metrics.roc_auc_interval(SCORES, POSITIVE)
    np.testing.assert_allclose(found, (A, low, high), rtol=1e-6)
    assert metrics.roc_auc_interval([0.0, 0, 1, 1], np.array([0, 0, 1, 1], bool)) == (1, 1, 1)


@pytest.mark.equation("USE.2")
def test_the_interval_holds_the_truth_as_often_as_it_says():
    rng, truth, hits = np.random.default_rng(1), 0.7602499, 0  # Phi(1 / sqrt 2)
    for _ in range(400):
        scores = np.concatenate([rng.normal(1, 1, 40), rng.normal(0, 1, 60)])
        _, low, high = metrics.roc_auc_interval(scores, np.arange(100) < 40)
        hits += low < truth < high
    assert abs(hits / 400 - 0.95) < 5 * math.sqrt(0.95 * 0.05 / 400)


@pytest.mark.equation("USE.3")
def test_the_adjusted_rand_index_by_hand_and_by_pairs():
    same = [(a[0] == a[1], b[0] == b[1]) for a, b in zip(
        combinations(LABELS, 2), combinations(CLUSTERS, 2), strict=True)]  # fmt: skip
    both = sum(a and b for a, b in same)
    A, B, P = sum(a for a, _ in same), sum(b for _, b in same), len(same)
    assert (both, A, B, P) == (7, 12, 14, 45)
    by_hand = (7 - 12 * 14 / 45) / ((12 + 14) / 2 - 12 * 14 / 45)
    assert metrics.adjusted_rand_index(LABELS, CLUSTERS) == pytest.approx(by_hand)
    assert metrics.adjusted_rand_index(LABELS, np.array(LABELS) * -3) == 1
    assert metrics.adjusted_rand_index([0, 0, 1, 1], [0, 1, 0, 1]) == pytest.approx(-0.5)
    assert metrics.adjusted_rand_index([0, 0, 0], [1, 1, 1]) == 1


@pytest.mark.equation("USE.3")
def test_by_chance_it_is_zero_on_average():
    found = []
    for order in _permutations(6):
        found.append(metrics.adjusted_rand_index([0, 0, 0, 1, 1, 2], np.array(order) // 2))
    assert np.mean(found) == pytest.approx(0, abs=1e-12)


def _permutations(n):
    from itertools import permutations

    return permutations(range(n))


@pytest.mark.equation("USE.4")
def test_normalised_mutual_information_by_hand():
    table = np.array([[3, 1, 0], [0, 3, 0], [0, 1, 2]]) / 10
    a, b = table.sum(1), table.sum(0)
    shared = sum(
        table[i, j] * math.log(table[i, j] / (a[i] * b[j]))
        for i in range(3) for j in range(3) if table[i, j]
    )  # fmt: skip
    H, G = (-sum(q * math.log(q) for q in p) for p in (a, b))
    found = metrics.normalised_mutual_information(LABELS, CLUSTERS)
    assert found == pytest.approx(2 * shared / (H + G))
    assert metrics.normalised_mutual_information([0, 0, 1, 1], [0, 1, 0, 1]) == 0
    assert metrics.normalised_mutual_information([3, 3], [1, 1]) == 1


@pytest.mark.equation("USE.5")
def test_the_best_matching_is_not_the_greedy_one():
    assert metrics.matched_accuracy(LABELS, CLUSTERS) == 0.8  # 3 + 3 + 2
    # greedy takes 5 and is left with 0; the best takes 4 + 4
    labels = [0] * 9 + [1] * 4
    clusters = [0] * 5 + [1] * 4 + [0] * 4
    assert metrics.matched_accuracy(labels, clusters) == pytest.approx(8 / 13)


@pytest.mark.equation("USE.6")
def test_bits():
    # a fair coin for each of 64 pixels is a bit a pixel
    assert metrics.bits_per_value(-64 * math.log(2), 64) == pytest.approx(1)
    np.testing.assert_allclose(metrics.bits_per_value(np.array([-8.0, -16]) * math.log(2), 8),
                               [1, 2])  # fmt: skip


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda: metrics.roc_auc([1, 2], [0, 1]), ShapeError, "booleans"),
        (lambda: metrics.roc_auc([1, 2, 3], np.ones(2, bool)), ShapeError, r"\(3,\)"),
        (lambda: metrics.roc_auc([1, np.nan], np.array([True, False])), ValueError, "NaN"),
        (lambda: metrics.roc_curve([1, 2], np.array([True, True])), ValueError, "one kind"),
        (lambda: metrics.roc_auc_interval([1, 2], np.array([True, False])), ValueError, "two of"),
        (lambda: metrics.adjusted_rand_index([1], [1, 2]), ShapeError, "both must be"),
        (lambda: metrics.bits_per_value(-1.0, 0), ValueError, "at least 1"),
        (lambda: metrics.adjusted_rand_index([1, np.nan], [1, 2]), ValueError, r"labels\[1\] is m"),
        (lambda: metrics.matched_accuracy([1, 2], ["a", None]), ValueError, r"clusters\[1\] is m"),
        (lambda: metrics.normalised_mutual_information(np.array([np.nan, 1, 2]), [0, 1, 2]),
         ValueError, r"labels\[0\] is missing"),
    ],
)
def test_refusals(call, error, said):
    with pytest.raises(error, match=said):
        call()
