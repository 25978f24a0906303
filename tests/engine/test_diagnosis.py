"""What a wrong gradient shows beyond its numbers, a hypothesis at a time, on a known Jacobian."""

import numpy as np
import pytest

from minivae.gradcheck import diagnosis as d
from minivae.gradcheck.diagnosis import Case, diagnose

J = np.array([[2.0, -1.0, 0.5], [0.3, 1.5, -0.7], [-1.2, 0.4, 3.0]])
G = np.array([0.9, -1.7, 1.3])
X, OUT = np.array([0.6, -0.8, 1.9]), np.array([0.35, 1.25, -0.45])
RIGHT = J.T @ G
ROWS = np.array([[2.0, 0.0, 0.0], [1.0, -3.0, 0.0], [0.0, 4.0, 5.0]])  # who feeds whom


def case(found, expected=RIGHT, **more):
    given = {"x": X, "g": G, "out": OUT, "jacobian": J, "name": "x", "inputs": {"x": X}, **more}
    found, expected = np.asarray(found, float), np.asarray(expected, float)
    return Case(found=found, expected=expected, slack=np.zeros(expected.shape), **given)


def scalar(found, out, **more):
    return case(found, g=np.ones(()), out=np.array(out), jacobian=None, **more)


OTHER = case(X, -2 * X, name="y")  # what was found for it is right for nothing here
TERM = G @ (J != 0)
USES = tuple(np.array([[1.0, 2.0, 4.0], [0.5, -3.0, 1.0], [2.0, 0.1, -7.0]]))
ALL = sum(USES)

CASES = [
    (d._should_vanish, case(RIGHT, 0 * RIGHT), "is not zero, although the function does not"),
    (d._should_vanish, case(2 * RIGHT), None),
    (d._exchanged, case(X, others=(case(RIGHT, X, name="y"),)), "is exchanged with that of y"),
    (d._exchanged, case(X, others=(case(RIGHT, G, name="y"),)), "is what was returned for y"),
    (d._exchanged, case(2 * RIGHT, others=(OTHER,)), None),
    (d._exchanged, case(X, others=(case(RIGHT[:2], X[:2], name="y", x=X[:2]),)), None),
    *[(d._factor_out, scalar(k * 3.0 * RIGHT, 3.0), "has a factor out too many, with out")
      for k in (0.5, 1, 2)],
    *[(d._factor_out, scalar(-k * 3.0 * RIGHT, 3.0), "has a factor out too many and its sign is")
      for k in (0.5, 1, 2)],
    *[(d._factor_out, scalar(k * 3.0 * RIGHT, 3.0), None) for k in (1 / 3, 1.5, 3, 4)],
    (d._factor_out, case(3.0 * RIGHT, out=np.array([3.0, 3.0])), None),
    (d._factor_out, scalar(3.0 * RIGHT, [3.0]), "has a factor out too many, with out"),
    (d._factor_out, scalar(RIGHT + 1, 3.0), None),
    (d._factor_of_many, scalar(3.0 * RIGHT, 3.0), "has a factor out too many"),
    (d._factor_of_many, scalar(5.0 * RIGHT, 3.0), "is 5 times too large: a constant factor"),
    (d._factor_of_many, scalar(5.0 * RIGHT * [1, 1, 0], 3.0, expected=RIGHT * [1, 1, 0]), None),
    (d._is_cotangent, case(G), "equals the cotangent g itself: the derivative"),
    (d._is_cotangent, case(ROWS.T @ G, x=X, expected=RIGHT), None),
    (d._is_cotangent, case((ROWS != 0).T @ G, jacobian=ROWS), "equals the cotangent g, summed"),
    (d._is_cotangent, case(G[:2], expected=RIGHT[:2], x=X[:2], jacobian=J[:, :2]), None),
    (d._lacks_factor, case(RIGHT / X), "lacks a factor x"),
    (d._lacks_factor, case(2 * RIGHT * X), "has a factor 2 x too many"),
    (d._lacks_factor, case(RIGHT / OUT), "lacks a factor out, with out the value of the function"),
    (d._lacks_factor, case(RIGHT * (1 - OUT)), "has a factor 1 - out too many, with out"),
    (d._lacks_factor, case(RIGHT / (1 + OUT)), "lacks a factor 1 + out, with out"),
    (d._lacks_factor, case(-RIGHT / (1 - OUT**2)), "lacks a factor -1 - out**2, with out"),
    (d._lacks_factor, case(J.T @ (G / OUT)), "lacks a factor out, with out"),
    (d._lacks_factor, case(J.T @ (G * (1 - OUT))), "has a factor 1 - out too many, with out"),
    (d._lacks_factor, case(J.T @ (G / OUT), jacobian=None), None),
    (d._jacobian_transposed, case(J @ G), "is transposed or permuted: J g where J^T g is meant"),
    (d._jacobian_transposed, case(J @ G, jacobian=None), None),
    (d._jacobian_transposed, case(RIGHT + 1), None),
    (d._cotangent_rearranged, case(J.T @ G[::-1]), "would be right for another cotangent: g is in"),
    (d._cotangent_rearranged, case(J.T @ G[::-1], jacobian=None), None),
    (d._cotangent_rearranged, case(RIGHT + 1), None),
    (d._uses, case(USES[2], ALL, uses=USES), "counts only the last of 3 uses of x: their"),
    (d._uses, case(USES[0], ALL, uses=USES), "counts only the first of 3 uses of x: their"),
    (d._uses, case(USES[1], ALL, uses=USES), "counts only use 2 of 3 of x, as computed"),
    (d._uses, case(ALL - USES[1], ALL, uses=USES), "leaves out use 2 of 3 of x, as computed"),
    (d._uses, case(ALL - USES[0], ALL, uses=USES), "leaves out use 1 of 3 of x, as computed"),
    (d._uses, case(ALL + 1, ALL, uses=USES), None),
    (d._uses, case(USES[0], ALL, uses=USES[:1]), None),
    (d._uses, case(USES[0], ALL, uses=(USES[0], 1e-9 * USES[1])), None),
    (d._uses, case(USES[0], ALL, uses=(*USES[:2], 1e-9 * USES[2])), "counts only the first of 2"),
    (d._outputs, case(np.diag(J) * G), "is that of each element's own output: its share"),
    (d._outputs, case([1 * G[1], 4 * G[2], 5 * G[2]], ROWS.T @ G, jacobian=ROWS),
     "counts only the last use: of the outputs each element feeds, one for the sum"),
    (d._outputs, case([2 * G[0], -3 * G[1], 5 * G[2]], ROWS.T @ G, jacobian=ROWS[:, [0, 1, 2]],
                      out=OUT[:, None], g=G[:, None]), "counts only the first use: of the outputs"),
    (d._outputs, case(J[0] * G[0]), "counts only the first use"),
    (d._outputs, case(J[1] * G[1]), "counts only index 1 of the output's axis 0, one for the sum"),
    (d._outputs, case(ROWS[0] * G[0], ROWS.T @ G, jacobian=ROWS),
     "counts only index 0 (the first) of the output's axis 0, one for the sum"),
    (d._outputs, case(ROWS[2] * G[2], ROWS.T @ G, jacobian=ROWS),
     "counts only index 2 (the last) of the output's axis 0, one for the sum"),
    (d._outputs, case(RIGHT + 1), None),
    (d._outputs, case(J[0] * G[0], jacobian=None), None),
    (d._outputs, case(2 * G, 3 * G, jacobian=np.diag([3.0, 3.0, 3.0])), None),
    (d._term, case(RIGHT - 0.5 * TERM), "lacks a term 0.5 g: the rest of it is right"),
    (d._term, case(RIGHT + 2 * TERM * X), "lacks a term -2 g x: the rest of it is right"),
    (d._term, case(RIGHT - 0.5 * TERM * [1, 0, 1]), "lacks a term 0.5 g at 2 of 3 elements"),
    (d._term, case(RIGHT - 0.5 * TERM * [1, 0, 0]), None),
    (d._term, case(RIGHT - [1.0, 2.0, 7.0]), None),
    (d._term, case(RIGHT - 0.5 * TERM, jacobian=None), None),
]  # fmt: skip


@pytest.mark.parametrize(
    ("hypothesis", "wrong", "sentence"), CASES, ids=[h.__name__ for h, *_ in CASES]
)
def test_a_hypothesis_says_what_it_finds_and_else_nothing(hypothesis, wrong, sentence):
    with np.errstate(all="ignore"):
        found = hypothesis(wrong)
    assert found is None if sentence is None else found.startswith(sentence)


def test_the_outputs_that_each_element_feeds_are_counted():
    five = np.ones((5, 3)) * np.arange(1, 6)[:, None]
    wide = {"g": np.ones(5), "out": np.zeros((5,)), "inputs": {"x": X}}
    sizes = list(case(five.sum(0), five.sum(0), jacobian=five, **wide).sizes())
    assert sizes == [(5, "the length of axis 0 of the output"), (3, "the length of axis 0 of x")]
    banded = five * np.array([[1, 1, 0], [1, 0, 1], [1, 1, 1], [1, 1, 1], [0, 1, 1]])
    sizes = list(case(five.sum(0), five.sum(0), jacobian=banded, **wide).sizes())
    assert sizes[2:] == [(4, "the number of outputs that each element of x feeds")]
    uneven = banded * [1, 1, 0]
    assert len(list(case(five.sum(0), five.sum(0), jacobian=uneven, **wide).sizes())) == 2


def test_there_is_always_something_to_say_and_the_specific_comes_first():
    assert diagnose(case(-RIGHT)) == "has the wrong sign"
    assert diagnose(case(0 * RIGHT)).startswith("is zero everywhere")
    assert diagnose(scalar(6.0 * RIGHT, 3.0)).startswith("is 2 N times too large")
    assert diagnose(scalar(2.0 * RIGHT, 1.0)).startswith("is twice what it should be")
    strange = RIGHT + np.array([1.1, -2.3, 0.7])
    assert diagnose(case(strange)).startswith("is wrong at 3 of 3 elements in no simple pattern")
