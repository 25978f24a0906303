"""The reader of formulas reads them rightly, and a flipped sign on a page fails a test."""

import math

import numpy as np
import pytest

from book import flips
from book.formulas import FUNCTIONS, Of, Unread, check, equations, said, statements, tree
from minivae.equations import read_registry

# Flips after which the equation is still true: of a term that stands for what is left out, of a
# baseline (it changes no expectation), and of a mean that is taken from deviations that sum to 0.
STILL_TRUE = {"CHECK.2", "CHECK.4", "SCORE.2", "GMM.6"}

VALUES = {
    "a": 2.0, "b": 3.0, "x": [1.0, 4.0, 9.0], "A": np.array([[2.0, 1.0], [0.0, 3.0]]),
    "v": np.array([[1.0], [2.0]]), "f": lambda a: a + 1, "g(a|b)": lambda a, b: a / b,
    r"\bar{y}": Of(lambda a: a**2), r"\mathbb{E}_q": [({"z": 1.0}, 0.25), ({"z": 5.0}, 0.75)],
    r"\sigma_w": 5.0, "B": [1, 3], "m": {(0, 1): 7.0}, "i": 1, "ranges": {"j": 3},
}  # fmt: skip


@pytest.mark.parametrize(
    ("tex", "value"),
    [
        (r"a - b - 1", -2.0),
        (r"-a^2", -4.0),
        (r"2a / b \cdot 3", 4.0),
        (r"\frac12 a + \tfrac{b}{2a}", 1.75),
        (r"a (b - 1)^2", 8.0),
        (r"\log 2\pi", math.log(2 * math.pi)),
        (r"\log a \cdot b", math.log(2) * 3),
        (r"\log a b - 1", math.log(6) - 1),
        (r"b \log (a) \, a", 6 * math.log(2)),
        (r"e^{-a/2}", math.exp(-1)),
        (r"\sum_{k=1}^{3} k^2 - 1", 13.0),
        (r"\sum_j x_j \cdot 2", 28.0),
        (r"\prod_{j \ne 2} x_j", 9.0),
        (r"\sum_{k=a}^{b} x_k", 13.0),
        (r"\sum_{j \in B} x_j + a", 12.0),
        (r"\sum_{j \,:\, x_j > 2} x_j", 13.0),
        (r"A_{1,2} + A_{2,1}", 1.0),
        (r"\bigl( A v \bigr)_2", 6.0),
        (r"v^\top A v", 16.0),
        (r"\vert A \vert + |1 - a| + |v|^2", 6 + 1 + 5.0),
        (r"v^\top A^{-1} v", float(np.array([1, 2]) @ np.linalg.solve(VALUES["A"], [1, 2]))),
        (r"f(a) + f(b - 1)", 6.0),
        (r"g(a \mid b)", 2 / 3),
        (r"\frac{\partial \bar{y}}{\partial a}", 4.0),
        (r"\frac{\mathrm{d}}{\mathrm{d}a} a^3 + 1", 13.0),
        (r"\frac{\partial^2 \bar{y}}{\partial a \, \partial a}", 2.0),
        (r"\mathbb{E}_q[z - 1]", 3.0),
        (r"\sigma_w^2", 25.0),
        (r"m_{i-1, i}", 7.0),
        (r"\max(a, b, -1) + \binom{4}{a}", 9.0),
        (r"b!^a + \log x_2!", 36 + math.log(24)),
        (r"\langle v, v \rangle", 5.0),
        (r"\sum_{j \le 2} x_j + \cdots", 5.0),
    ],
)
def test_a_formula_is_read(tex, value):
    (part,) = statements(tex)
    assert tree(part, {**VALUES}) == pytest.approx(value, rel=1e-8)


@pytest.mark.parametrize(
    "tex", [r"c + 1", r"\sigma", r"a +", r"(a", r"x_0", r"x_{a/4}", r"\oint a", r"A^2", r"\sigma_v"]
)
def test_what_is_not_understood_is_refused(tex):
    (part,) = statements(tex)
    with pytest.raises((Unread, IndexError)):
        tree(part, {**VALUES})


def test_words_and_draws_are_set_apart():
    parts = statements(r"a = b, \qquad z \sim q, \quad a \text{ if } b, \quad s_{\text{new}} = a")
    assert [said(part) for part in parts] == [False, True, True, False]
    assert r"\log" in FUNCTIONS


def test_what_is_true_for_all_indices_and_what_is_not(monkeypatch):
    monkeypatch.setitem(equations(), "TRUE.1", r"x_j = j^2 + d \le 14 .")
    wide = {"x": [1.0, 4.0, 9.0], "d": 0.0, "ranges": {"j": 3}}
    check("TRUE.1", lambda rng, trial: wide)
    with pytest.raises(AssertionError, match="never near"):
        check("TRUE.1", lambda rng, trial: wide, near=0.99)
    with pytest.raises(AssertionError, match="trial 0"):
        check("TRUE.1", lambda rng, trial: {**wide, "x": [1.0, 4.0, 9.1]})
    monkeypatch.setitem(equations(), "TRUE.1", r"z \sim q .")
    with pytest.raises(AssertionError, match="no relation"):
        check("TRUE.1", lambda rng, trial: wide)


def test_every_evaluated_equation_has_its_signs_flipped():
    by = flips.tests()
    assert {*by} == {*read_registry().evaluated}
    assert len(by) >= 100


@pytest.mark.slow
def test_a_flipped_sign_is_noticed():
    by, trials = flips.tests(), flips.trials()
    unnoticed = [label for label, wrong in trials if not flips.noticed(label, wrong, by[label])]
    assert {*unnoticed} <= STILL_TRUE
    assert len(unnoticed) <= 0.05 * len(trials)
