"""Layers, perceptrons, how their weights start, and how they are saved and loaded."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exact import assign, flatten, gradient, model_of, numerical_gradient, value_at
from minivae import ops
from minivae.distributions import Gaussian, Likelihood, StandardNormal
from minivae.errors import ShapeError
from minivae.latent_model import LatentModel
from minivae.models.vae.networks import Encoder, trunk
from minivae.nn import MLP, Dense, Module, glorot_uniform, he_normal, zeros
from minivae.objectives import elbo_terms
from minivae.tensor import Tensor

FORMULAE = {
    "identity": lambda a: a,
    "relu": lambda a: np.maximum(a, 0.0),
    "tanh": np.tanh,
    "sigmoid": lambda a: 1.0 / (1.0 + np.exp(-a)),
    "softplus": lambda a: np.log1p(np.exp(a)),
}


def test_every_activation_is_tested():
    assert FORMULAE.keys() == ops.ACTIVATIONS.keys()


# Layers ------------------------------------------------------------------------------------------


@pytest.mark.equation("MLP.1")
@pytest.mark.parametrize("activation", FORMULAE)
def test_a_layer_is_its_formula(activation):
    rng = np.random.default_rng(0)
    layer = Dense(5, 3, rng=rng, activation=activation)
    layer.bias.data = rng.standard_normal(3)
    x = rng.standard_normal((4, 5))
    expected = FORMULAE[activation](x @ layer.weight.data + layer.bias.data)
    np.testing.assert_allclose(layer(x).data, expected, rtol=1e-13, atol=1e-15)


@pytest.mark.equation("MLP.2")
@pytest.mark.equation("MLP.1")
@pytest.mark.parametrize("activation", FORMULAE)
def test_a_perceptron_is_its_layers_and_its_gradient_theirs(activation):
    rng = np.random.default_rng(1)
    mlp = MLP([3, 5, 4, 2], activation=activation, output_activation="tanh", rng=rng)
    for layer in mlp.layers:
        layer.bias.data = 0.3 * rng.standard_normal(layer.bias.shape)
    x, weight = rng.standard_normal((6, 3)), rng.standard_normal((6, 2))

    h = x
    for layer in mlp.layers[:-1]:
        h = FORMULAE[activation](h @ layer.weight.data + layer.bias.data)
    last = mlp.layers[-1]
    expected = np.tanh(h @ last.weight.data + last.bias.data)
    np.testing.assert_allclose(mlp(x).data, expected, rtol=1e-12, atol=1e-14)

    parameters = mlp.parameters()
    ours = gradient(lambda: ops.sum(weight * mlp(x)), parameters)
    value = value_at(lambda: ops.sum(weight * mlp(x)), parameters)
    # small steps, lest relu's kink lie inside one
    theirs = numerical_gradient(value, flatten(parameters), step=1e-5)
    np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-8)


def test_a_perceptron_without_layers_leaves_its_input():
    mlp = MLP([3], rng=np.random.default_rng(0))
    x = np.ones((2, 3))
    assert mlp(x) is x
    assert mlp.parameters() == []


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_outputs_and_parameters_have_the_dtype(dtype):
    mlp = MLP([3, 4, 2], rng=np.random.default_rng(0), dtype=dtype)
    assert {p.dtype for p in mlp.parameters()} == {np.dtype(dtype)}
    assert mlp(np.ones((1, 3), dtype)).dtype == dtype
    ops.sum(mlp(np.ones((1, 3), dtype))).backward()
    assert {p.grad.dtype for p in mlp.parameters()} == {np.dtype(dtype)}


def test_a_wrong_width_is_refused():
    with pytest.raises(ShapeError, match=r"\(2, 4\)"):
        Dense(3, 2, rng=np.random.default_rng(0))(np.ones((2, 4)))
    for widths in ((0, 2), (2, 0), (0, 0), (-1, 2), (2, -1)):
        with pytest.raises(ShapeError, match=rf"fan_in={widths[0]} and fan_out={widths[1]} must"):
            Dense(*widths, rng=np.random.default_rng(0))
    assert Dense(1, 1, rng=np.random.default_rng(0)).weight.shape == (1, 1)


def test_an_unknown_activation_is_refused_at_once():
    with pytest.raises(ValueError, match="'gelu' is unknown; use one of 'identity', 'relu'"):
        Dense(3, 2, rng=np.random.default_rng(0), activation="gelu")


# How weights start -------------------------------------------------------------------------------


@pytest.mark.equation("MLP.4")
@pytest.mark.equation("MLP.5")
@pytest.mark.parametrize(
    ("initialiser", "variance", "kurtosis"),
    [
        (glorot_uniform, lambda i, o: 2.0 / (i + o), 1.8),  # of a uniform distribution
        (he_normal, lambda i, o: 2.0 / i, 3.0),  # of a normal one
    ],
)
@pytest.mark.parametrize(("fan_in", "fan_out"), [(400, 200), (50, 1000), (1000, 50)])
def test_initialisers_have_their_variance(initialiser, variance, kurtosis, fan_in, fan_out):
    W = initialiser(np.random.default_rng(0), fan_in, fan_out)
    assert W.shape == (fan_in, fan_out)
    expected = variance(fan_in, fan_out)
    # the mean of n squares strays by sqrt((kurtosis - 1) / n) of itself
    stray = 4 * np.sqrt((kurtosis - 1) / W.size)
    assert np.square(W).mean() == pytest.approx(expected, rel=stray)
    assert abs(W.mean()) < 4 * np.sqrt(expected / W.size)
    assert (W**4).mean() / np.square(W).mean() ** 2 == pytest.approx(kurtosis, rel=0.03)


@pytest.mark.equation("MLP.5")
def test_he_keeps_a_signal_alive_through_relu():
    x = np.random.default_rng(1).standard_normal((200, 300))

    def energy(initialiser):
        rng, h = np.random.default_rng(0), x
        for _ in range(15):
            h = Dense(300, 300, rng=rng, activation="relu", initialiser=initialiser)(h).data
        return np.square(h).mean() / np.square(x).mean()

    assert 0.5 < energy(he_normal) < 2.0
    assert energy(glorot_uniform) < 1e-3  # halved at every layer


def test_the_initialiser_goes_with_the_activation():
    def variance(activation):
        layer = Dense(300, 100, rng=np.random.default_rng(0), activation=activation)
        assert not layer.bias.data.any()
        return np.square(layer.weight.data).mean()

    for activation in ("relu", "softplus"):
        assert variance(activation) == pytest.approx(2 / 300, rel=0.04)
    for activation in ("identity", "tanh", "sigmoid"):
        assert variance(activation) == pytest.approx(2 / 400, rel=0.04)


@pytest.mark.equation("VAE.3")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@given(seed=st.integers(0, 99), K=st.integers(1, 4))
def test_zero_heads_start_at_the_prior_exactly(dtype, seed, K):
    rng = np.random.default_rng(seed)
    encoder = Encoder(6, [5], K, activation="relu", rng=rng, dtype=dtype)
    x = (100 * rng.standard_normal((7, 6))).astype(dtype)
    q = encoder(x)
    assert not q.mu.data.any()
    assert not q.log_var.data.any()

    class NoData(Likelihood):
        def log_prob(self, parameters, x):
            return np.zeros(len(x), dtype)

    terms = elbo_terms(model_of(lambda z: (z,), NoData(), K), q, x, np.ones((1, 7, K), dtype))
    assert not terms.kl.data.any()
    assert not zeros(rng, 3, 4).any()


def test_the_same_generator_draws_the_same_weights():
    first, second = (MLP([4, 3, 2], rng=np.random.default_rng(5)) for _ in range(2))
    np.testing.assert_array_equal(flatten(first.parameters()), flatten(second.parameters()))
    other = MLP([4, 3, 2], rng=np.random.default_rng(6))
    assert (flatten(first.parameters()) != flatten(other.parameters())).any()


# Names -------------------------------------------------------------------------------------------


def test_names_follow_the_reading_order():
    rng = np.random.default_rng(0)
    encoder = Encoder(6, [5, 4], 2, activation="tanh", rng=rng, dtype=np.float64)
    assert [name for name, _ in encoder.named_parameters()] == [
        "trunk.layers.0.weight", "trunk.layers.0.bias",
        "trunk.layers.1.weight", "trunk.layers.1.bias",
        "mu.weight", "mu.bias", "log_var.weight", "log_var.bias",
    ]  # fmt: skip
    style = {"rng": rng, "dtype": np.float64}
    layers = trunk(2, [4], activation="tanh", **style)
    model = LatentModel(StandardNormal(2), layers, Gaussian("network").built(4, 6, **style))
    assert [name for name, _ in model.named_parameters("model.")] == [
        "model.decoder.layers.0.weight", "model.decoder.layers.0.bias",
        "model.likelihood.heads.0.weight", "model.likelihood.heads.0.bias",
        "model.likelihood.heads.1.weight", "model.likelihood.heads.1.bias",
    ]  # fmt: skip
    assert [id(p) for p in model.parameters()] == [id(p) for _, p in model.named_parameters()]
    shared = Gaussian("shared").built(4, 6, **style)
    assert [name for name, _ in shared.named_parameters("likelihood.")] == [
        "likelihood.heads.0.weight", "likelihood.heads.0.bias", "likelihood.shared",
    ]  # fmt: skip


def test_what_is_no_parameter_has_no_name():
    class Odd(Module):
        def __init__(self):
            self.name = "odd"
            self.scales = [Tensor([1.0], requires_grad=True), Tensor([2.0], requires_grad=True)]
            self.sizes = [3, 4]
            self.nothing = None

    assert [name for name, _ in Odd().named_parameters()] == ["scales.0", "scales.1"]


class Tower(Module):
    """Layers in every kind of container."""

    def __init__(self, seed=0):
        rng = np.random.default_rng(seed)

        def layer():
            return Dense(2, 2, rng=rng, activation="tanh")

        self.pair = (layer(), layer())
        self.heads = {"mu": layer(), "log_var": [layer(), Tensor([0.5], requires_grad=True)]}
        self.deep = [({"x": layer()},), ()]
        self.by_number = {2: layer(), 1: None}
        self.settings = {"activation": "tanh", "sizes": (2, 2)}

    def __call__(self, x):
        for part in (*self.pair, self.heads["mu"], self.heads["log_var"][0]):
            x = part(x)
        return self.by_number[2](self.deep[0][0]["x"](x)) * self.heads["log_var"][1]


def test_layers_in_tuples_dicts_and_in_one_another_are_found_by_stable_names():
    layers = ["pair.0", "pair.1", "heads.mu", "heads.log_var.0", "deep.0.0.x", "by_number.2"]
    expected = [f"{name}.{kind}" for name in layers for kind in ("weight", "bias")]
    expected.insert(8, "heads.log_var.1")
    assert [name for name, _ in Tower().named_parameters()] == expected
    assert [name for name, _ in Tower().named_parameters("t.")] == [f"t.{n}" for n in expected]
    # all of them are trained, and a state holds all
    source, copy = Tower(0), Tower(1)
    x = np.random.default_rng(2).standard_normal((5, 2))
    ops.sum(source(x)).backward()
    assert all(p.grad is not None for p in source.parameters())
    assert len(source.parameters()) == 13
    copy.load_state_dict(source.state_dict())
    np.testing.assert_array_equal(source(x).data, copy(x).data)


def test_a_parameter_that_is_there_twice_has_two_names_and_counts_once():
    class Tied(Module):
        def __init__(self):
            self.first = Dense(2, 2, rng=np.random.default_rng(0))
            self.again = (self.first,)

    tied = Tied()
    assert [name for name, _ in tied.named_parameters()] == [
        "first.weight", "first.bias", "again.0.weight", "again.0.bias",
    ]  # fmt: skip
    assert [id(p) for p in tied.parameters()] == [id(tied.first.weight), id(tied.first.bias)]
    tied.load_state_dict(tied.state_dict())


def test_names_that_would_hide_a_parameter_are_refused():
    class Clash(Module):
        def __init__(self, parts):
            self.parts = parts

    p, q = Tensor([1.0], requires_grad=True), Tensor([2.0], requires_grad=True)
    for parts in ({1: p, "1": q}, {"a.b": p, "a": {"b": q}}, [{0: p, "0": q}]):
        with pytest.raises(ValueError, match="two are called 'parts"):
            Clash(parts).parameters()
    for parts in ({p}, frozenset([Clash([p])]), [{"a": {p}}]):
        with pytest.raises(TypeError, match=r"parts.* is a set, without order; use a list"):
            Clash(parts).state_dict()
    assert Clash({"tanh", "relu"}).parameters() == []


# Saving and loading ------------------------------------------------------------------------------


def network(seed):
    return MLP([4, 3, 2], rng=np.random.default_rng(seed))


def test_a_state_makes_another_network_the_same():
    source, copy = network(0), network(1)
    x = np.random.default_rng(2).standard_normal((5, 4))
    assert (source(x).data != copy(x).data).any()
    copy.load_state_dict(source.state_dict())
    np.testing.assert_array_equal(source(x).data, copy(x).data)


def test_a_state_is_a_copy():
    net = network(0)
    before, state = flatten(net.parameters()), net.state_dict()
    for value in state.values():
        value += 1.0
    np.testing.assert_array_equal(flatten(net.parameters()), before)
    net.load_state_dict(state)
    for value in state.values():
        value += 1.0
    np.testing.assert_array_equal(flatten(net.parameters()), before + 1.0)


def test_a_state_takes_the_networks_dtype():
    net = MLP([4, 2], rng=np.random.default_rng(0), dtype=np.float32)
    net.load_state_dict({name: value.astype(float) for name, value in net.state_dict().items()})
    assert {p.dtype for p in net.parameters()} == {np.dtype(np.float32)}


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda s: s.pop("layers.1.bias"), r"missing \['layers.1.bias'\]"),
        (lambda s: s.update(extra=np.zeros(2)), r"unknown \['extra'\]"),
        (lambda s: s.update({"layers.1.bias": np.zeros(3)}), r"\(2,\) here and \(3,\) in"),
        (lambda s: s.update({"layers.1.bias": np.zeros((1, 2))}), r"layers.1.bias"),
    ],
)
def test_a_state_that_does_not_fit_changes_nothing(spoil, words):
    net = network(0)
    before = flatten(net.parameters())
    state = {name: value + 1.0 for name, value in net.state_dict().items()}
    spoil(state)
    with pytest.raises(ShapeError, match=words):
        net.load_state_dict(state)
    np.testing.assert_array_equal(flatten(net.parameters()), before)


def test_a_state_that_holds_no_numbers_changes_nothing():
    net = network(0)
    before = flatten(net.parameters())
    state = {name: value + 1.0 for name, value in net.state_dict().items()}
    state["layers.1.bias"] = np.array(["one", "two"])
    with pytest.raises(ValueError, match="holds words"):
        net.load_state_dict(state)
    np.testing.assert_array_equal(flatten(net.parameters()), before)


def test_flattening_is_undone_by_assigning():
    net = network(0)
    vector = np.arange(float(flatten(net.parameters()).size))
    assign(net.parameters(), vector)
    np.testing.assert_array_equal(flatten(net.parameters()), vector)
