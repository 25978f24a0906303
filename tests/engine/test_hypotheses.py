"""What wrong numbers show, a hypothesis at a time: its sentence, and where it has to be silent."""

import numpy as np
import pytest

from minivae.gradcheck.diagnosis import describe_shape
from minivae.gradcheck.hypotheses import (
    CHANGES,
    Comparison,
    _round_between,
    almost,
    arrangements,
    broadcasts,
    changed,
    clipped,
    constant_factor,
    cut_to_whole_numbers,
    factor_n,
    factor_of_slices,
    factor_two,
    is_zero,
    lacks_factor,
    mask,
    named_constant,
    no_pattern,
    positions,
    rearranged,
    repeated,
    replaced,
    same_term_everywhere,
    scrambled,
    sign,
    somewhere,
    straight_line,
    values,
)

E = np.array([[1.5, -2.0, 0.7], [3.0, 0.25, -1.25]])  # as it should be
X = np.array([[0.5, -1.0, 2.0], [-0.25, 1.25, 0.75]])
SIGMA, W = np.array([0.5, 2.0, 1.25]), np.array([2.0, 3.0])
S3 = np.arange(9.0).reshape(3, 3) ** 2 + 1
LINE = np.array([1.5, -2.0, 0.7, 3.0, 0.25])


@pytest.fixture(autouse=True)
def quiet():
    with np.errstate(all="ignore"):
        yield


def case(found, expected=E, counts=(), inputs=None, **more):
    return Comparison(
        found=np.asarray(found, float), expected=np.asarray(expected, float),
        slack=np.zeros(np.shape(expected)), name="x", counts=dict(counts),
        inputs=inputs or {"x": X, "sigma": SIGMA, "w": W}, **more,
    )  # fmt: skip


CASES = [
    (is_zero, case(0 * E), "is zero everywhere: nothing is computed, or it is lost on the way"),
    (is_zero, case(E * [0, 1, 0]), None),
    (sign, case(-E), "has the wrong sign"),
    (sign, case(E * [1, -1, 1]), None),
    (factor_two, case(E / 2),
     "is half of what it should be: a factor 2 is missing, or one of two uses is not counted"),
    (factor_two, case(2 * E),
     "is twice what it should be: a factor 1/2 is missing, or a use is counted twice"),
    (factor_two, case(-E / 2),
     "is half of what it should be: and its sign ... missing, or one of two uses is not counted"),
    (factor_two, case(-2 * E),
     "is twice what it should be: and its sign i ...  1/2 is missing, or a use is counted twice"),
    (factor_two, case(3 * E), None),
    (factor_two, case(E * [2, 2, 1]), None),
    (factor_n, case(E / 3),
     "is N times too small: a mean, or a divisio ... on sums (N = 3, the length of axis 1 of x)"),
    (factor_n, case(-3 * E),
     "is N times too large and its sign is wrong ... es by N (N = 3, the length of axis 1 of x)"),
    (factor_n, case(E / 6),
     "is 2 N times too small: a mean, or a divis ... on sums (N = 3, the length of axis 1 of x)"),
    (factor_n, case(6 * E),
     "is 2 N times too large: a sum where the eq ... es by N (N = 3, the length of axis 1 of x)"),
    (factor_n, case(E / 9),
     "is N squared times too small: a mean, or a ... on sums (N = 3, the length of axis 1 of x)"),
    (factor_n, case(9 * E),
     "is N squared times too large: a sum where  ... es by N (N = 3, the length of axis 1 of x)"),
    (factor_n, case(E / 18), None),
    (factor_n, case(E / 1.5),
     "is off by a factor of 1.5: it has N for N - 1 (N = 3, the length of axis 1 of x)"),
    (factor_n, case(E * 1.5),
     "is off by a factor of 1.5: it has N - 1 for N (N = 3, the length of axis 1 of x)"),
    (factor_n, case(-E / np.sqrt(3)),
     "is sqrt(N) times too small and its sign is wrong (N = 3, the length of axis 1 of x)"),
    (factor_n, case(E * np.sqrt(6)),
     "is sqrt(N) times too large (N = 6, the length of axes 0, 1 of x)"),
    (factor_n, case(E / 1.2),
     "is off by a factor of 1.2: it has N for N - 1 (N = 6, the length of axes 0, 1 of x)"),
    (factor_n, case(E / 1.7), None),
    (factor_n, case(E / 3.5, counts={"N": 7}),
     "is N / 2 times too small: a mean, or a division by N, where the equation sums (N = 7, N)"),
    (factor_n, case(E / 7, counts={"N": 7}),
     "is N times too small: a mean, or a division by N, where the equation sums (N = 7, N)"),
    (factor_n, case(E / 2, counts={"N": 4}), "is sqrt(N) times too small (N = 4, N)"),
    (constant_factor, case(E / np.log(2)),
     "is 1.443 times too large: a factor log 2, a logarithm to the base 2 or bits for nats"),
    (constant_factor, case(E * np.log(10)),
     "is 2.303 times too large: a factor log 10, a logarithm to the base 10"),
    (constant_factor, case(-E * np.pi),
     "is 3.142 times too large and its sign is wrong: a factor pi"),
    (constant_factor, case(E / (2 * np.pi)), "is 6.283 times too small: a factor 2 pi"),
    (constant_factor, case(E * np.sqrt(2 * np.pi)),
     "is 2.507 times too large: a factor sqrt(2 pi)"),
    (constant_factor, case(E / np.sqrt(2)), "is 1.414 times too small: a factor sqrt(2)"),
    (constant_factor, case(0.995 * E), "is off by a constant factor of 0.995"),
    (constant_factor, case(-1.005 * E),
     "is off by a constant factor of 1.005 and its sign is wrong"),
    (constant_factor, case(1.02 * E), "is 1.02 times too large: a constant factor"),
    (constant_factor, case(E / 5), "is 5 times too small: a constant factor"),
    (constant_factor, case(-5 * E),
     "is 5 times too large and its sign is wrong: a constant factor"),
    (constant_factor, case(E * [5, 5, 4]), None),
    (factor_of_slices, case(S3 * [[1], [2], [4]], S3),
     "is off by a factor of its own for each ind ...  or divisor there, or it is not normalised"),
    (factor_of_slices, case(S3 * [1, 2, 4], S3),
     "is off by a factor of its own for each ind ...  or divisor there, or it is not normalised"),
    (factor_of_slices, case(S3 * [1, 1, 1.0005], S3), None),
    (factor_of_slices, case(E * [1, 2, 4]), None),
    (factor_of_slices, case(S3 * S3, S3), None),
    (almost, case(E + 1e-4),
     "is almost right, to a relative error of 4. ... on, by a difference quotient or in float32"),
    (almost, case(np.float32(E / 3), E / 3),
     "is almost right, to a relative error of 3. ... h has seven digits; the inputs are float64"),
    (almost, case(np.float32(E / 3 * (1 + 1e-4)), E / 3),
     "is almost right, to a relative error of 1. ... on, by a difference quotient or in float32"),
    (almost, case(E * (1 + 1e-6)),
     "is almost right, to a relative error of 1. ... on, by a difference quotient or in float32"),
    (almost, case(E * 1.0019),
     "is almost right, to a relative error of 1. ... on, by a difference quotient or in float32"),
    (almost, case(E * 1.0021), None),
    (lacks_factor, case(E / X), "lacks a factor x"),
    (lacks_factor, case(E * X), "has a factor x too many"),
    (lacks_factor, case(-E / X), "lacks a factor -x"),
    (lacks_factor, case(-E * X), "has a factor -x too many"),
    (lacks_factor, case(E / X / 2), "lacks a factor 2 x"),
    (lacks_factor, case(2 * E / X), "lacks a factor 1/2 x"),
    (lacks_factor, case(-2 * E / X), "lacks a factor -1/2 x"),
    (lacks_factor, case(2 * E * X), "has a factor 2 x too many"),
    (lacks_factor, case(E * X / 2), "has a factor 1/2 x too many"),
    (lacks_factor, case(-2 * E * X), "has a factor -2 x too many"),
    (lacks_factor, case(E / X**2), "lacks a factor x**2"),
    (lacks_factor, case(E * np.exp(X)), "has a factor exp(x) too many"),
    (lacks_factor, case(E / np.exp(X / 2)),
     "lacks a factor exp(x / 2): sigma against sigma squared, if x is a log-variance"),
    (lacks_factor, case(E / SIGMA), "lacks a factor sigma: sigma against sigma squared"),
    (lacks_factor, case(E * SIGMA**2),
     "has a factor sigma**2 too many: sigma against sigma squared"),
    (lacks_factor, case(E / np.exp(SIGMA)),
     "lacks a factor exp(sigma): sigma against sigma squared"),
    (lacks_factor, case(E * np.exp(SIGMA / 2)),
     "has a factor exp(sigma / 2) too many: sigma against sigma squared"),
    (lacks_factor, case(E * W[:, None]), None),
    (lacks_factor, case(E * X**3), None),
    (same_term_everywhere, case(E + 3.3),
     "is too large by the same number, 3.3, ever ... itive constant is missing, or one too many"),
    (same_term_everywhere, case(E - 1),
     "is too small by the same number, 1, everyw ... itive constant is missing, or one too many"),
    (same_term_everywhere, case(E + 0.5 * np.log(2 * np.pi)),
     "is too large by the same number, 0.918939, ... itive constant is missing, or one too many"),
    (same_term_everywhere, case(E - 3 * np.log(2)),
     "is too small by the same number, 2.07944,  ... itive constant is missing, or one too many"),
    (same_term_everywhere, case(E + 1.5 * np.log(np.pi)),
     "is too large by the same number, 1.71709,  ... itive constant is missing, or one too many"),
    (same_term_everywhere, case(E - np.log(3)),
     "is too small by the same number, 1.09861,  ... itive constant is missing, or one too many"),
    (same_term_everywhere, case(E + np.log(6)),
     "is too large by the same number, 1.79176,  ... itive constant is missing, or one too many"),
    (same_term_everywhere, case(E + np.array([1, 1, 2])), None),
    (same_term_everywhere, case(E[:1, :2] + 1, E[:1, :2]), None),
    (same_term_everywhere, case(E[:1] + 1, E[:1]),
     "is too large by the same number, 1, everyw ... itive constant is missing, or one too many"),
    (same_term_everywhere, case(E + np.inf), None),
    (named_constant, case(E + 3.3), None),
    (named_constant, case(E - 1),
     "is too small by the same number, 1, everyw ... itive constant is missing, or one too many"),
    (cut_to_whole_numbers, case(np.trunc(E)),
     "is cut to whole numbers: astype(int), int(), // or an array of integers"),
    (cut_to_whole_numbers, case(np.round(E)),
     "is rounded to whole numbers: astype(int), int(), // or an array of integers"),
    (cut_to_whole_numbers, case(np.floor(E)),
     "is rounded down to whole numbers: astype(int), int(), // or an array of integers"),
    (cut_to_whole_numbers, case(np.ceil(E)), None),
    (cut_to_whole_numbers, case(np.trunc(S3), S3), None),
    (clipped, case(np.maximum(E, 0.3)),
     "is never below 0.3, where it should be: it is clipped there"),
    (clipped, case(np.minimum(E, 1)), "is never above 1, where it should be: it is clipped there"),
    (clipped, case(np.minimum(E, 2.9)), None),
    (clipped, case(np.minimum(E, -3)), None),
    (clipped, case(np.where(E > 1, 0.5, E)), None),
    (clipped, case(np.where(E > 1, np.inf, E)), None),
    (clipped, case(np.where(E < 0, 3, E)), None),
    (repeated, case(np.broadcast_to(E[:, :1], E.shape)),
     "is the same number all along axis 1: the first of those it should be"),
    (repeated, case(np.broadcast_to(E[:1], E.shape)),
     "is the same number all along axis 0: the first of those it should be"),
    (repeated, case(np.broadcast_to(E[-1:], E.shape)),
     "is the same number all along axis 0: the last of those it should be"),
    (repeated, case(np.broadcast_to(E.mean(1, keepdims=True), E.shape)),
     "is the same number all along axis 1: the mean of those it should be"),
    (repeated, case(np.broadcast_to(E.sum(0), E.shape)),
     "is the same number all along axis 0: the sum of those it should be"),
    (repeated, case(np.broadcast_to(E.max(0), E.shape)),
     "is the same number all along axis 0: the largest of those it should be"),
    (repeated, case(np.broadcast_to(E.min(0), E.shape)), None),
    (repeated, case(np.float64(2), np.float64(3)), None),
    (straight_line, case(2 * E + 1), "is 2 times what it should be, plus 1: two mistakes at least"),
    (straight_line, case(0.5 * E - 0.25),
     "is 0.5 times what it should be, minus 0.25: two mistakes at least"),
    (straight_line, case(0 * E + 4), "is 4 everywhere, where the numbers should differ"),
    (straight_line, case(E**2), None),
    (straight_line, case(2 * E[:1] + 1, E[:1]), None),
    (straight_line, case(2 * LINE[:4] + 1, LINE[:4]),
     "is 2 times what it should be, plus 1: two mistakes at least"),
    (rearranged, case(S3.T, S3), "is transposed or permuted: its axes come in the order (1, 0)"),
    (rearranged, case(S3[::-1], S3), "is in reverse order along axis 0: a flip is missing"),
    (rearranged, case(S3[::-1, ::-1], S3),
     "is in reverse order along axis 0, 1: a flip is missing"),
    (rearranged, case(E.reshape(3, 2).T),
     "has its elements in the wrong order: reshaped where it should be transposed"),
    (rearranged, case(E.T.reshape(2, 3)),
     "has its elements in the wrong order: reshaped where it should be transposed"),
    (rearranged, case(np.roll(LINE, 1), LINE), "is shifted by 1 along axis 0"),
    (rearranged, case(np.roll(LINE, 2), LINE), "is shifted by 2 along axis 0"),
    (rearranged, case(np.roll(LINE, 4), LINE), "is shifted by 1 along axis 0"),
    (rearranged, case(np.roll(E, 1, 1)), "is shifted by 1 along axis 1"),
    (rearranged, case(E + 1), None),
    (rearranged, case(LINE[[1, 0, 2, 3, 4]], LINE), None),
    (scrambled, case(LINE[[1, 0, 2, 4, 3]], LINE),
     "has the right numbers in the wrong places: transposed or permuted"),
    (scrambled, case(LINE[[1, 0]], LINE[:2]), None),
    (scrambled, case(LINE[[1, 0, 2, 4, 3]] + 0.1, LINE), None),
    (scrambled, case(LINE[[1, 0, 2, 4, 3]], np.where(LINE > 2, np.nan, LINE)), None),
    (values, case(np.where(X < 0, 7 * E, E)),
     "is wrong only where x < 0; there it is 7 times too large"),
    (values, case(np.where(X > 0, -E, E)),
     "is wrong only where x > 0; there it has the wrong sign"),
    (values, case(np.where(X > 0.6, 0, E)),
     "is wrong only where x > 0.5; there it is zero everywhere"),
    (values, case(np.where(X < 0.6, 3 * E, E)),
     "is wrong only where x < 0.7; there it is N times too large"),
    (values, case(np.where(np.abs(X) > 0.9, 3 * E, E)),
     "is wrong only where |x| > 1; there it is N times too large"),
    (values, case(np.where(np.abs(X) < 0.6, 3 * E, E)),
     "is wrong only where |x| < 0.7; there it is N times too large"),
    (values, case(np.where(X > 1.5, E + 1, E)), None),
    (values, case(np.where(E > 2, 0, E)), None),
    (values, case(2 * E), None),
    (mask, case(np.where(X < 0, 1.0, E), np.where(X < 0, 0, E)),
     "is not zero at 2 of 6 elements that the function does not depend on: a mask is missing"),
    (mask, case(np.where(X < 0, 0, E)), "is zero at 2 of 6 elements where it should not be"),
    (mask, case(np.where(X < -0.5, 0, E)), None),
    (mask, case(np.where(X < 0, 2 * E, E)), None),
    (mask, case(0 * E), None),
    (positions, case(np.where(E == 0.25, 5, E)),
     "is wrong only at one element, x[1, 1]; there it is 20 times too large"),
    (positions, case(E * [1, 1, 7]),
     "is wrong only at index 2 (the last) of axis 1; there it is 7 times too large"),
    (positions, case(E * [1, 7, 1]),
     "is wrong only at index 1 of axis 1; there it is 7 times too large"),
    (positions, case(E * [7, 1, 1]),
     "is wrong only at index 0 (the first) of axis 1; there it is 7 times too large"),
    (positions, case(E * [7, 1, 7]),
     "is wrong only away from index 1 of axis 1; there it is 7 times too large"),
    (positions, case(E * [[1], [-1]]),
     "is wrong only at index 1 (the last) of axis 0; there it has the wrong sign"),
    (positions, case(S3 * (1 + 4 * np.eye(3)), S3),
     "is wrong only on the diagonal; there it is 5 times too large"),
    (positions, case(S3 * (5 - 4 * np.eye(3)), S3),
     "is wrong only off the diagonal; there it is 5 times too large"),
    (positions, case(E + np.array([0, 0, 1.7])), None),
    (positions, case(-E), None),
    (somewhere, case(np.where(X * E > 0, 7 * E, E)),
     "is wrong only at 4 of 6 elements; there it is 7 times too large"),
    (somewhere, case(np.where(X * E > 0, E + X, E)), None),
    (somewhere, case(np.where(E == 3, 7 * E, E)), None),
    (somewhere, case(-E), None),
    (no_pattern, case([1.5], [1.0]),
     "is 0.5 too large: no single term, and no simple factor of the whole"),
    (no_pattern, case([0.5], [1.0]),
     "is 0.5 too small: no single term, and no simple factor of the whole"),
    (no_pattern, case(E * [2, 3, 1]),
     "is wrong at 4 of 6 elements in no simple pattern: yours / expected runs from 2 to 3"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("hypothesis", "comparison", "sentence"), CASES, ids=[f"{h.__name__}" for h, *_ in CASES]
)
def test_a_hypothesis_says_what_it_finds_and_else_nothing(hypothesis, comparison, sentence):
    found = hypothesis(comparison)
    if sentence is None:
        assert found is None
        return
    begins, _, ends = sentence.partition(" ... ")
    assert found.startswith(begins)
    assert found.endswith(ends) if ends else found == begins


@pytest.mark.parametrize("what", CHANGES)
@pytest.mark.parametrize("s", [1, -1])
def test_a_change_is_named_with_its_sign(what, s):
    expected = np.array([0.5, 1.5, 2.5, 0.75])
    if what.startswith("the absolute"):
        expected *= [1, -1, -1, 1]
    found = changed(case(CHANGES[what](expected), s * expected))
    twin = s == -1 and what.startswith(("the square", "the absolute"))  # a sign that is lost
    assert found == f"is {what}" + (", with a wrong sign" if s < 0 and not twin else "")
    assert changed(case(2.1 * expected, expected)) is None


def inside(x):
    return x**3 + np.cos(x)


PLACES = {
    "x": {
        "2 x": lambda x: 2 * x, "x / 2": lambda x: x / 2, "x**2": np.square, "sqrt(x)": np.sqrt,
        "-x": np.negative, "1 / x": np.reciprocal, "exp(x)": np.exp,
        "exp(x / 2)": lambda x: np.exp(x / 2), "log(x)": np.log, "1 - x": lambda x: 1 - x,
        "sigmoid(x)": lambda x: 1 / (1 + np.exp(-x)), "x + 1": lambda x: x + 1,
        "x - 1": lambda x: x - 1, "x flipped": np.flip,
    },
    "log_var": {
        "2 log_var": lambda x: 2 * x, "log_var / 2": lambda x: x / 2, "-log_var": np.negative,
        "exp(log_var)": np.exp, "exp(log_var / 2)": lambda x: np.exp(x / 2), "log(log_var)": np.log,
    },
    "logits": {"sigmoid(logits)": lambda x: 1 / (1 + np.exp(-x))},
}  # fmt: skip


@pytest.mark.parametrize(("name", "label"), [(n, label) for n in PLACES for label in PLACES[n]])
def test_what_is_in_the_place_of_an_input_is_named(name, label):
    x = np.array([0.3, 1.7, 0.9, 2.2])
    u = PLACES[name][label](x)
    comparison = case(inside(x), inside(u), inputs={name: x}, elsewhere=lambda r: inside(r[name]))
    found = replaced(comparison)
    assert found.startswith(f"would be right with {label} in place of {name}")
    mixed = ": sigma against sigma squared" in found
    assert mixed == (name == "log_var" and label in ("2 log_var", "log_var / 2"))
    assert replaced(case(inside(x), inside(u), inputs={name: x})) is None
    other = case(inside(x), x * 7.3, inputs={name: x}, elsewhere=lambda r: inside(r[name]))
    assert replaced(other) is None


def test_a_matrix_may_stand_there_turned_and_an_absolute_value_for_a_number():
    for label, u in [("x transposed", S3.T), ("x flipped", np.flip(S3))]:
        c = case(S3**1.5, u**1.5, inputs={"x": S3}, elsewhere=lambda r: r["x"] ** 1.5)
        assert replaced(c) == f"would be right with {label} in place of x"
    c = case(X**3, np.abs(X) ** 3, inputs={"x": X}, elsewhere=lambda r: r["x"] ** 3)
    assert replaced(c) == "would be right with |x| in place of x: a sign is lost"


def test_what_is_not_known_counts_neither_for_nor_against():
    slack = np.zeros(5)
    slack[2] = np.inf
    found = np.where(np.arange(5) == 2, 99.0, -LINE)
    c = Comparison(found=found, expected=LINE, slack=slack)
    assert sign(c) == "has the wrong sign"
    assert c.wrong.tolist() == [True, True, False, True, True]
    assert no_pattern(c).startswith("is wrong at 4 of 4 elements")
    assert Comparison(found=np.full(3, np.nan), expected=LINE[:3], slack=0 * LINE[:3]).wrong.all()
    near = Comparison(found=LINE * (1 + 9e-7), expected=LINE, slack=0 * LINE)
    assert not near.wrong.any()
    assert Comparison(found=LINE * (1 + 1.1e-6), expected=LINE, slack=0 * LINE).wrong.all()
    assert not Comparison(found=LINE + 0.1, expected=LINE, slack=0 * LINE + 0.11).wrong.any()


def test_a_candidate_has_the_numbers_and_the_shape():
    c = case(2 * E)
    assert c.mended(E)
    assert c.mended(E * (1 + 9e-6))
    assert not c.mended(E * (1 + 1.1e-5))
    assert not c.mended(None)
    assert not c.mended(E[0])
    assert not c.mended(E.ravel())
    assert c.given(2 * E * (1 + 9e-6))
    assert not c.given(2 * E * (1 + 1.1e-5))
    assert not c.given(None)
    assert not c.given(2 * E[:1])
    assert case(np.full((2, 3), 4.0)).given(4.0)
    assert not case(E * (1 + 1e-5)).given(E)  # not merely close to the right ones
    assert case(np.where(E > 0, E, np.nan)).given(np.where(E > 0, E, np.nan))


def test_arrays_are_arranged_in_every_way_once():
    a = np.arange(6).reshape(1, 2, 3)
    found = list(arrangements(a))
    assert len(found) == 5 + 7
    shapes = [b.shape for _, b in found[:5]]
    assert shapes == [(1, 3, 2), (2, 1, 3), (2, 3, 1), (3, 1, 2), (3, 2, 1)]
    assert len(list(arrangements(np.zeros((1,) * 4)))) == 23 + 15
    assert len(list(arrangements(np.zeros((1,) * 5)))) == 31


@pytest.mark.parametrize(
    ("low", "high", "number"),
    [(0.7, 1.3, 1), (-0.3, 0.2, 0), (0.1232, 0.1249, 0.124), (0.1231, 0.1239, 0.1231),
     (950, 1100, 1000), (-3.7, -3.2, -3.7), (5, 5, 5), (1e-20, 2e-20, 1e-20)],
)  # fmt: skip
def test_a_bound_has_few_digits(low, high, number):
    assert _round_between(low, high) == pytest.approx(number, rel=1e-12)


@pytest.mark.parametrize(
    ("shape", "like", "may"),
    [((), (2, 3), True), ((3,), (2, 3), True), ((2, 1), (2, 3), True), ((1, 2, 3), (2, 3), False),
     ((2,), (2, 3), False), ((2, 3), (2, 1), False), ((2, 3), (2, 3), True)],
)  # fmt: skip
def test_a_factor_keeps_the_shape(shape, like, may):
    assert broadcasts(np.ones(shape), np.ones(like)) is may


@pytest.mark.parametrize(
    ("given", "shape", "out", "said"),
    [
        ((3, 2), (2, 3), (), "it is transposed"),
        ((3, 2, 4), (2, 3, 4), (), "its axes are permuted"),
        ((5, 3), (3,), (5, 3), "the sum over the axes that were broadcast is missing"),
        ((5, 3), (3,), (5,), "the sum over the leading axes is missing"),
        ((6,), (2, 3), (), "the same number of elements, so a reshape is missing"),
        ((), (2, 3), (), "it is summed too far, or not broadcast back"),
        ((3,), (2, 3), (3,), "it is summed too far, or not broadcast back"),
        ((4, 5), (2, 3), (7,), "they must agree"),
        ((3, 5), (3,), (), "they must agree"),
    ],
)
def test_a_shape_that_is_wrong_is_explained(given, shape, out, said):
    assert describe_shape(given, shape, out) == f"has shape {given}, the input {shape}: {said}"
