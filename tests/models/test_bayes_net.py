"""Directed graphs against sums written out, SciPy's densities and the latent-variable model."""

import itertools

import numpy as np
import pytest
from scipy import stats

from minivae import BayesNet, LatentModel, Node, Tensor, ops
from minivae.distributions import DiagonalGaussian, Gaussian, StandardNormal
from minivae.errors import ShapeError

RAIN = [0.8, 0.2]
SPRINKLER = [[0.6, 0.4], [0.99, 0.01]]
WET = [[[1.0, 0.0], [0.1, 0.9]], [[0.2, 0.8], [0.01, 0.99]]]


def lawn():
    # the children first: the order is the graph's business
    return BayesNet([
        Node("wet", ("rain", "sprinkler"), WET),
        Node("sprinkler", ("rain",), SPRINKLER),
        Node("rain", (), RAIN),
    ])  # fmt: skip


@pytest.mark.equation("DAG.1")
def test_the_joint_is_the_product_of_the_conditionals():
    net = lawn()
    assert list(net.nodes) == ["rain", "sprinkler", "wet"]
    joint = net.joint()
    cells = list(itertools.product(range(2), repeat=3))
    by_hand = [RAIN[r] * SPRINKLER[r][s] * WET[r][s][w] for r, s, w in cells]
    np.testing.assert_allclose(joint.ravel(), by_hand, rtol=1e-15)
    assert joint.sum() == pytest.approx(1.0, abs=1e-15)
    rain, sprinkler, wet = np.array(cells).T
    with np.errstate(divide="ignore"):
        expected = np.log(by_hand)
    found = net.log_prob({"rain": rain, "sprinkler": sprinkler, "wet": wet})
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_the_axes_of_a_table_are_the_parents_in_their_order():
    # parents of different sizes, and in another order than the graph's
    rng = np.random.default_rng(0)
    a, b = rng.dirichlet(np.ones(2)), rng.dirichlet(np.ones(3), 2)
    c = rng.dirichlet(np.ones(4), (3, 2))
    net = BayesNet([Node("a", (), a), Node("b", ("a",), b), Node("c", ("b", "a"), c)])
    expected = np.einsum("i,ij,jik->ijk", a, b, c)
    np.testing.assert_allclose(net.joint(), expected, rtol=1e-14)
    # p(a, c | b = 2), asked for as (c, a)
    given = expected[:, 2] / expected[:, 2].sum()
    np.testing.assert_allclose(net.query(["c", "a"], {"b": 2}), given.T, rtol=1e-13)
    np.testing.assert_allclose(net.query(["b"]), expected.sum(axis=(0, 2)), rtol=1e-13)


@pytest.mark.equation("DAG.2")
def test_questions_are_answered_by_summing_the_rest_out():
    net = lawn()
    # p(rain | wet) = 0.2 (0.99 0.8 + 0.01 0.99) / (that + 0.8 0.4 0.9)
    wet_and_rain = 0.2 * (0.99 * 0.8 + 0.01 * 0.99)
    p = wet_and_rain / (wet_and_rain + 0.8 * 0.4 * 0.9)
    np.testing.assert_allclose(net.query(["rain"], {"wet": 1}), [1 - p, p], rtol=1e-14)
    # explained away: that the sprinkler ran makes rain less likely again
    assert net.query(["rain"], {"wet": 1, "sprinkler": 1})[1] < 0.02 < p
    np.testing.assert_allclose(net.query(["rain"], {"sprinkler": 0})[1], 0.198 / 0.678, rtol=1e-12)


def test_ancestral_samples_have_the_joint_as_their_frequencies():
    net, n = lawn(), 100_000
    drawn = net.sample(n, random_state=0)
    cells = 4 * drawn["rain"] + 2 * drawn["sprinkler"] + drawn["wet"]
    counts, p = np.bincount(cells, minlength=8), net.joint().ravel()
    assert (counts[p == 0] == 0).all()
    chi2 = ((counts - n * p)[p > 0] ** 2 / (n * p[p > 0])).sum()
    assert stats.chi2.sf(chi2, (p > 0).sum() - 1) > 1e-6
    again = net.sample(n, random_state=0)
    np.testing.assert_array_equal(again["wet"], drawn["wet"])


def network():
    """A class, a code that depends on it, and data that depend on both, by functions."""
    centres = np.array([[-2.0], [3.0]])
    return BayesNet([
        Node("y", (), [0.3, 0.7]),
        Node("z", ("y",), lambda y: DiagonalGaussian(y @ centres, np.full((len(y), 1), -1.0))),
        Node("x", ("y", "z"), lambda y, z: DiagonalGaussian(
            ops.concatenate([z, y[:, :1]], 1), np.full((len(y), 2), -2.0)), plate="N"),
    ])  # fmt: skip


def test_functions_as_conditionals():
    net = network()
    rng = np.random.default_rng(1)
    y, z, x = rng.integers(0, 2, 5), rng.normal(size=(5, 1)), rng.normal(size=(5, 2))
    mean = np.where(y == 0, -2.0, 3.0)
    expected = (
        np.log([0.3, 0.7])[y]
        + stats.norm.logpdf(z[:, 0], mean, np.exp(-0.5))
        + stats.norm.logpdf(x[:, 0], z[:, 0], np.exp(-1))
        + stats.norm.logpdf(x[:, 1], y == 0, np.exp(-1))
    )
    np.testing.assert_allclose(net.log_prob({"y": y, "z": z, "x": x}), expected, rtol=1e-12)
    # a gradient passes through
    leaf = Tensor(z, requires_grad=True)
    ops.sum(net.log_prob({"y": y, "z": leaf, "x": x})).backward()
    slope = -(z[:, 0] - mean) * np.exp(1) + (x[:, 0] - z[:, 0]) * np.exp(2)
    np.testing.assert_allclose(leaf.grad[:, 0], slope, rtol=1e-10)
    n = 50_000
    drawn = net.sample(n, 0)
    assert drawn["x"].shape == (n, 2)
    mean_x = drawn["x"].mean(axis=0)
    total = 0.3 * 0.7 * 25 + np.exp(-1) + np.exp(-2)
    assert abs(mean_x[0] - 1.5) < 5 * np.sqrt(total / n)
    assert abs(mean_x[1] - 0.3) < 5 * np.sqrt((0.21 + np.exp(-2)) / n)
    assert abs(drawn["x"][:, 0].var() / total - 1) < 0.05


def test_a_latent_variable_model_is_the_graph_of_two_nodes():
    model = LatentModel(StandardNormal(1), lambda z: (z * np.array([1.0, -2.0]),), Gaussian(0.5))
    log_var = np.full((4, 2), 2 * np.log(0.5))
    net = BayesNet([
        Node("z", (), StandardNormal(1)),
        Node("x", ("z",), lambda z: DiagonalGaussian(z * np.array([1.0, -2.0]), log_var)),
    ])  # fmt: skip
    rng = np.random.default_rng(0)
    z, x = rng.normal(size=(4, 1)), rng.normal(size=(4, 2))
    joint = model.log_joint(x, z[None])[0]
    np.testing.assert_allclose(net.log_prob({"z": z, "x": x}), joint, rtol=1e-12)
    assert net.sample(4, 0)["x"].shape == (4, 2)


def test_what_is_no_directed_acyclic_graph_is_refused():
    half = [[0.5, 0.5], [0.5, 0.5]]
    with pytest.raises(ValueError, match=r"has a cycle, (a -> b -> a|b -> a -> b)"):
        BayesNet([Node("c", (), [1.0]), Node("a", ("b",), half), Node("b", ("a",), half)])
    with pytest.raises(ValueError, match="has a cycle, a -> a"):
        BayesNet([Node("a", ("a",), half)])
    with pytest.raises(ValueError, match="'a' has the parent 'b', which is not a node"):
        BayesNet([Node("a", ("b",), half)])
    with pytest.raises(ValueError, match="names repeat"):
        BayesNet([Node("a", (), [1.0]), Node("a", (), [1.0])])
    with pytest.raises(ShapeError, match=r"table of 'b' has shape \(2, 2\); .* must be \(3, C\)"):
        BayesNet([Node("a", (), [0.2, 0.3, 0.5]), Node("b", ("a",), half)])
    with pytest.raises(ValueError, match=r"of sum 1 along the last axis; the sums are from 0.9"):
        BayesNet([Node("a", (), [0.5, 0.4])])
    with pytest.raises(ValueError, match="has a table, but its parent 'z' has none"):
        BayesNet([Node("z", (), StandardNormal(1)), Node("b", ("z",), half)])


def test_questions_that_make_no_sense_are_refused():
    net = lawn()
    with pytest.raises(ValueError, match="there is no node 'snow'"):
        net.query(["snow"])
    with pytest.raises(ValueError, match="must name each node once"):
        net.query(["rain"], {"rain": 1})
    with pytest.raises(ValueError, match="rain=2 must be a whole number below 2"):
        net.query(["wet"], {"rain": 2})
    never = BayesNet([Node("a", (), [1.0, 0.0]), Node("b", ("a",), [[0.5, 0.5], [1.0, 0.0]])])
    with pytest.raises(ValueError, match="has probability 0"):
        never.query(["b"], {"a": 1})
    with pytest.raises(ValueError, match=r"\['z', 'x'\] have no tables"):
        network().joint()
    with pytest.raises(ValueError, match=r"missing are \['wet'\]"):
        net.log_prob({"rain": [0], "sprinkler": [1]})
    with pytest.raises(ValueError, match=r"'rain' must be whole numbers .* from 0 to 1"):
        net.log_prob({"rain": [2], "sprinkler": [1], "wet": [1]})
    masked = np.ma.array([0, 1], mask=[False, True])
    with pytest.raises(ValueError, match="'rain' is masked in 1 places"):
        net.log_prob({"rain": masked, "sprinkler": [1, 1], "wet": [1, 1]})
    with pytest.raises(ValueError, match="more than 1000000"):
        BayesNet([Node(str(i), (), [0.5, 0.5]) for i in range(20)]).joint()


def test_values_of_different_lengths_and_nodes_that_are_none_are_refused():
    half = [[0.5, 0.5], [0.5, 0.5]]
    pair = BayesNet([Node("a", (), [0.2, 0.8]), Node("b", ("a",), half)])
    for a, b in (([0], [0, 1, 1]), ([0, 1], [0, 1, 1])):
        with pytest.raises(ShapeError, match=rf"{{'a': {len(a)}, 'b': 3}} values; all must have"):
            pair.log_prob({"a": a, "b": b})
    mixed = BayesNet([
        Node("z", (), StandardNormal(1)),
        Node("x", ("z",), lambda z: DiagonalGaussian(z, np.zeros((1, 1)))),
    ])  # fmt: skip
    with pytest.raises(ShapeError, match=r"{'z': 1, 'x': 3} values"):
        mixed.log_prob({"z": np.zeros((1, 1)), "x": np.zeros((3, 1))})
    with pytest.raises(ValueError, match="'b' names a parent twice among"):
        BayesNet([Node("a", (), [0.2, 0.8]), Node("b", ("a", "a"), [half, half])])
    with pytest.raises(TypeError, match=r"nodes\[1\] is a tuple; it must be a Node"):
        BayesNet([Node("a", (), [1.0]), ("b", (), [1.0])])
    with pytest.raises(TypeError, match=r"are the word 'rain'; .* \('rain',\) for one"):
        BayesNet([Node("rain", (), RAIN), Node("b", "rain", half)])
    with pytest.raises(TypeError, match="'a' has no conditional; it must be a table"):
        BayesNet([Node("a", (), None)])
