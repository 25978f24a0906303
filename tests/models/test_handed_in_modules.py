"""A VAE of one's own parts: encoders, decoders, likelihoods and subclasses that the user wrote."""

import copy
import inspect

import numpy as np
import pytest
from scipy import stats

from minivae import VAE, ops, resume
from minivae.distributions import (
    Bernoulli,
    Binomial,
    CategoricalLikelihood,
    DiagonalGaussian,
    FullGaussian,
    Gaussian,
    Likelihood,
)
from minivae.errors import CheckpointError, ShapeError
from minivae.models.vae.networks import Encoder, trunk
from minivae.nn import MLP, Module
from minivae.tensor import Tensor

D, K = 6, 2


def pixels(N=120, seed=0):
    """Pixels that two hidden numbers switch."""
    rng = np.random.default_rng(seed)
    logits = 3.0 * rng.standard_normal((N, K)) @ rng.standard_normal((K, D))
    return (rng.random((N, D)) < 1 / (1 + np.exp(-logits))).astype(np.float32)


X = pixels()
REALS = X + 0.1 * np.random.default_rng(1).standard_normal(X.shape).astype(np.float32)
OPTIONS = {"latent_dim": K, "epochs": 3, "batch_size": 40, "learning_rate": 5e-3, "random_state": 0}


def vae_of(**params):
    return VAE(**{**OPTIONS, **params})


class OwnEncoder(Module):
    """Two towers, one for the mean and one for the log-variance."""

    def __init__(self, D=D, K=K, seed=5):
        style = {"rng": np.random.default_rng(seed), "dtype": np.float32}
        self.towers = [MLP([D, 7, K], activation="tanh", **style) for _ in range(2)]

    def __call__(self, x, c=None):
        return DiagonalGaussian(*(tower(x) for tower in self.towers))


class OwnDecoder(Module):
    """z and its squares, through a layer: features for the likelihood's heads."""

    def __init__(self, H=5, seed=6):
        self.layer = MLP([2 * K, H], rng=np.random.default_rng(seed), dtype=np.float32)

    def __call__(self, z, c=None):
        return self.layer(ops.concatenate([z, ops.square(z)], 1))


class WholeDecoder(Module):
    """The likelihood's parameters themselves, one network each."""

    def __init__(self, parameters=1, seed=7):
        rng = np.random.default_rng(seed)
        self.networks = [MLP([K, 5, D], rng=rng, dtype=np.float32) for _ in range(parameters)]

    def __call__(self, z, c=None):
        return tuple(network(z) for network in self.networks)


def assert_same_bits(a, b):
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)


# Encoders and decoders ----------------------------------------------------------------------------

PARTS = {
    "encoder": lambda: {"encoder": OwnEncoder()},
    "decoder of features": lambda: {"decoder": OwnDecoder()},
    "decoder of parameters": lambda: {"decoder": WholeDecoder()},
    "both": lambda: {"encoder": OwnEncoder(), "decoder": OwnDecoder()},
}
parts = pytest.mark.parametrize("which", PARTS)


@parts
def test_own_parts_are_trained_and_answer_every_question(which):
    vae = vae_of(**PARTS[which](), epochs=15).fit(X)
    elbo = vae.history_["elbo"]
    assert elbo[-1] > elbo[0] + 0.3
    start = PARTS[which]()
    for name, part in start.items():
        own = dict(getattr(vae, f"{name}_").named_parameters())
        for parameter, before in part.named_parameters():
            assert not np.array_equal(own[parameter].data, before.data), (name, parameter)
    assert vae.transform(X).shape == (len(X), K)
    assert vae.reconstruct(X).shape == vae.sample(len(X)).shape == X.shape
    assert vae.log_likelihood(X[:5], 200).mean() > elbo[0]


def test_training_starts_from_the_very_modules():
    started = {}
    vae_of(hidden=(8,), epochs=1).fit(
        X, on_epoch=lambda vae, epoch: started.setdefault(epoch, copy.deepcopy(vae))
    )
    networks = started[0]
    handed = vae_of(encoder=networks.encoder_, decoder=networks.decoder_, hidden=(8,), epochs=1)
    first = {}
    handed.fit(X, on_epoch=lambda vae, epoch: first.setdefault(epoch, vae.state_dict()))
    assert first[0].keys() == networks.state_dict().keys()
    for name, value in networks.state_dict().items():
        if name.startswith(("encoder", "decoder")):
            np.testing.assert_array_equal(first[0][name], value)


def test_features_get_heads_and_parameters_do_not():
    with_heads = vae_of(decoder=OwnDecoder(H=5)).fit(X)
    assert [h.weight.shape for h in with_heads.likelihood_.heads] == [(5, D)]
    without = vae_of(decoder=WholeDecoder()).fit(X)
    assert not any(name.startswith("likelihood") for name, _ in without.named_parameters())
    # a Gaussian's scale that all share is the likelihood's, whatever the decoder gives
    shared = vae_of(likelihood="gaussian", sigma="shared", decoder=WholeDecoder()).fit(REALS)
    names = [name for name, _ in shared.named_parameters() if name.startswith("likelihood")]
    assert names == ["likelihood.shared"]
    two = vae_of(likelihood="gaussian", sigma_floor=0.05, decoder=WholeDecoder(2)).fit(REALS)
    assert np.isfinite(two.score(REALS))


def test_an_own_q_may_be_any_distribution_over_z():
    class Correlated(OwnEncoder):
        """N(mu, L L^T) with one L for all data."""

        def __init__(self):
            super().__init__()
            self.factor = Tensor(np.zeros((K, K), np.float32), requires_grad=True)

        def __call__(self, x, c=None):
            mu = self.towers[0](x)
            L = ops.positive_diagonal(self.factor)
            return FullGaussian(mu, ops.broadcast_to(L, (len(x), K, K)))

    vae = vae_of(encoder=Correlated(), epochs=10).fit(X)
    q = vae.posterior(X)
    assert isinstance(q, FullGaussian)
    assert (q.mu.shape, q.L.shape) == ((len(X), K), (len(X), K, K))
    assert abs(q.L[0, 1, 0]) > 1e-3
    assert vae.history_["elbo"][-1] > vae.history_["elbo"][0]
    estimate = vae.log_likelihood(X[:10], 500)
    assert (estimate > vae.elbo(X[:10], np.zeros((1, 10, K))) - 5.0).all()


@parts
def test_fits_share_nothing_and_leave_the_users_modules_alone(which):
    handed = PARTS[which]()
    before = {name: part.state_dict() for name, part in handed.items()}
    vae, other = vae_of(**handed), vae_of(**handed)
    first = vae.fit(X).state_dict()
    for name, part in handed.items():
        assert_same_bits(part.state_dict(), before[name])
        assert getattr(vae, name) is part
        assert getattr(vae, f"{name}_") is not part
        assert all(p.grad is None for p in part.parameters())
    other.fit(X[:60])
    assert_same_bits(vae.state_dict(), first)
    mine, others = ({id(p) for _, p in model.named_parameters()} for model in (vae, other))
    assert not mine & others
    # the next fit starts from the same modules again
    assert_same_bits(vae.fit(X).state_dict(), first)


# At the door --------------------------------------------------------------------------------------


def constant(*shapes):
    """A decoder that gives arrays of these shapes, whatever z."""

    def decode(z):
        arrays = tuple(np.zeros(shape, np.float32) for shape in shapes)
        return arrays[0] if len(shapes) == 1 else arrays

    return decode


WRONG_PARTS = [
    ({"encoder": lambda x: (x, x)}, TypeError,
     r"encoder returned a tuple; it must return a distribution over z, such as DiagonalGaussian"),
    ({"encoder": lambda x: x}, TypeError, "encoder returned a ndarray"),
    ({"encoder": OwnEncoder(K=3)}, ShapeError,
     r"draws z of shape \(1, 2, 3\); it must be \(1, 2, 2\), with latent_dim=2"),
    ({"encoder": lambda x: DiagonalGaussian(x[:1, :K], x[:1, :K])}, ShapeError,
     r"from 2 data the encoder's distribution draws z of shape \(1, 1, 2\)"),
    ({"encoder": OwnEncoder(D=5)}, ShapeError, r"shapes x \(2, 6\)"),
    ({"encoder": 3}, ValueError, "encoder=3 makes no sense; it must be None or a module"),
    ({"decoder": constant((2,))}, ShapeError,
     r"decoder returned shape \(2,\); it must be \(2, H\), features for the likelihood's heads"),
    ({"decoder": constant((3, 5))}, ShapeError, r"decoder returned shape \(3, 5\)"),
    ({"decoder": lambda z: (z,)}, ShapeError,
     r"parameters of shapes \[\(2, 2\)\]; likelihood 'bernoulli' takes logits of shapes "
     r"\[\(2, 6\)\]"),
    ({"decoder": constant((2, D), (2, D))}, ShapeError, r"shapes \[\(2, 6\), \(2, 6\)\]"),
    ({"decoder": WholeDecoder(), "likelihood": "gaussian"}, ShapeError,
     r"'gaussian' takes mu, raw_log_var of shapes \[\(2, 6\), \(2, 6\)\]"),
    ({"decoder": WholeDecoder(), "likelihood": "categorical", "n_classes": 2}, ShapeError,
     r"'categorical' takes logits of shapes \[\(2, 12\)\]"),
    ({"decoder": "mlp"}, ValueError, "decoder='mlp' makes no sense"),
    ({"likelihood": Bernoulli}, ValueError, "likelihood=.* or a Likelihood"),
    ({"likelihood": Bernoulli(), "grey": "sample"}, ValueError,
     "grey='sample' goes with likelihood='bernoulli', not an instance of Bernoulli"),
    ({"likelihood": Binomial(3), "n_trials": 3}, ValueError,
     "n_trials=3 goes with likelihood='binomial', not an instance of Binomial"),
    ({"likelihood": CategoricalLikelihood(2), "decoder": WholeDecoder()}, ShapeError,
     r"\[\(2, 12\)\]"),
    ({"prior": "none"}, ValueError, "prior='none' .* or a Distribution"),
]  # fmt: skip


@pytest.fixture(scope="module")
def fitted():
    return vae_of(hidden=(8,)).fit(X)


@pytest.mark.parametrize(("params", "error", "message"), WRONG_PARTS)
def test_parts_that_do_not_fit_are_refused_and_the_model_stays(fitted, params, error, message):
    vae = copy.deepcopy(fitted).set_params(**params)
    before, history = vae.state_dict(), vae.history_
    with pytest.raises(error, match=message):
        vae.fit(X)
    assert vae.history_ is history
    assert_same_bits(vae.state_dict(), before)
    np.testing.assert_array_equal(vae.elbo(X), fitted.elbo(X))


# Files --------------------------------------------------------------------------------------------


@parts
def test_a_file_says_what_must_be_handed_over_and_is_read_with_it(which, tmp_path):
    path, handed = tmp_path / "model.npz", PARTS[which]()
    vae = vae_of(**handed).fit(X)
    vae.save(path)
    for name, part in handed.items():
        others = {other: module for other, module in handed.items() if other != name}
        words = (
            rf"the model has a {name} of its own, a {type(part).__name__}, .*"
            rf"VAE\.load\(path, {name}=\.\.\.\)"
        )
        with pytest.raises(CheckpointError, match=words):
            VAE.load(path, **others)
    again = VAE.load(path, **PARTS[which]())
    assert_same_bits(again.state_dict(), vae.state_dict())
    np.testing.assert_array_equal(again.elbo(X), vae.elbo(X))
    # what was handed over was copied
    fresh = PARTS[which]()
    VAE.load(path, **fresh)
    for name, part in fresh.items():
        assert_same_bits(part.state_dict(), PARTS[which]()[name].state_dict())


def test_a_module_of_another_architecture_is_refused_by_a_file(tmp_path):
    path = tmp_path / "model.npz"
    vae_of(decoder=OwnDecoder(H=5)).fit(X).save(path)
    with pytest.raises(CheckpointError, match=r"decoder\.layer\.layers\.0\.weight has shape"):
        VAE.load(path, decoder=OwnDecoder(H=4))


def test_a_run_with_own_parts_goes_on_bit_for_bit(tmp_path):
    path, handed = tmp_path / "run.npz", PARTS["both"]()
    whole = vae_of(**handed).fit(X)

    def stop(vae, epoch):
        if epoch == 2:
            raise RuntimeError("power cut")

    with pytest.raises(RuntimeError):
        vae_of(**handed).fit(X, checkpoint=path, on_epoch=stop)
    with pytest.raises(CheckpointError, match="encoder of its own"):
        resume(path, X)
    resumed = resume(path, X, **handed)
    assert_same_bits(resumed.state_dict(), whole.state_dict())
    assert resumed.history_ == whole.history_


# Likelihoods --------------------------------------------------------------------------------------

BY_NAME = [
    (Bernoulli(), {"likelihood": "bernoulli"}, X),
    (Bernoulli(grey="sample"), {"likelihood": "bernoulli", "grey": "sample"}, 0.5 * X),
    (Binomial(4), {"likelihood": "binomial", "n_trials": 4}, 4 * X),
    (Gaussian("shared", 0.01), {"likelihood": "gaussian", "sigma": "shared", "sigma_floor": 0.01},
     REALS),
]  # fmt: skip


@pytest.mark.parametrize(("instance", "params", "data"), BY_NAME, ids=lambda x: repr(x)[:30])
def test_an_instance_is_the_same_as_its_name_and_a_file_needs_no_help(
    instance, params, data, tmp_path
):
    by_name = vae_of(hidden=(8,), **params).fit(data)
    vae = vae_of(hidden=(8,), likelihood=instance).fit(data)
    assert_same_bits(vae.state_dict(), by_name.state_dict())
    assert vae.history_ == by_name.history_
    assert vae.likelihood_ is not instance
    assert instance.parameters() == []  # the user's own has no heads
    vae.save(tmp_path / "model.npz")
    again = VAE.load(tmp_path / "model.npz")
    assert repr(again.likelihood_) == repr(instance)
    np.testing.assert_array_equal(again.elbo(data), vae.elbo(data))


class Laplace(Likelihood):
    """Independent values with density exp(-|x - m| / b) / 2b: a likelihood the library lacks."""

    name = "laplace"
    head_names = ("m",)

    def __init__(self, scale=0.5):
        self.scale = scale

    def log_prob(self, parameters, x):
        (m,) = parameters
        S = m.shape[0] // x.shape[0]
        repeated = np.tile(x.data if isinstance(x, Tensor) else x, (S, 1))
        return -ops.sum(ops.abs(repeated - m) / self.scale + np.log(2 * self.scale), -1)

    def mean(self, parameters):
        (m,) = parameters
        return m.data if isinstance(m, Tensor) else m

    def sample(self, parameters, rng):
        m = self.mean(parameters)
        return (m + rng.laplace(scale=self.scale, size=m.shape)).astype(m.dtype)

    def initial_biases(self, X):
        return (np.median(X, axis=0),)


def test_an_own_likelihood_is_trained_asked_saved_and_loaded(tmp_path):
    path, mine = tmp_path / "model.npz", Laplace(0.3)
    vae = vae_of(likelihood=mine, hidden=(8,), epochs=15).fit(REALS)
    assert vae.history_["elbo"][-1] > vae.history_["elbo"][0] + 0.5
    # the density is SciPy's, through the whole model
    eps = np.zeros((1, len(X), K))
    m = vae.decode(vae.transform(REALS)).astype(float)
    expected = stats.laplace.logpdf(REALS, m, 0.3).sum(axis=1)
    np.testing.assert_allclose(vae.elbo_terms(REALS, eps).reconstruction, expected, rtol=1e-4)
    draws = vae.sample(4000, random_state=0)
    centres = vae.decode(np.random.default_rng(1).standard_normal((4000, K)))
    error = np.sqrt((draws.var(axis=0) + centres.var(axis=0)) / 4000)
    assert (np.abs(draws.mean(axis=0) - centres.mean(axis=0)) < 4.5 * error).all()
    vae.save(path)
    with pytest.raises(
        CheckpointError, match=r"a likelihood of its own, a Laplace, .* VAE\.load\(path, likelihood"
    ):
        VAE.load(path)
    again = VAE.load(path, likelihood=Laplace(0.3))
    np.testing.assert_array_equal(again.elbo(REALS), vae.elbo(REALS))
    assert repr(again.likelihood_) == "Laplace(scale=0.3)"
    assert mine.parameters() == []


def test_an_own_subclass_of_a_known_likelihood_is_one_of_ones_own(tmp_path):
    class Softened(Bernoulli):
        """Counts each pixel half."""

        def log_prob(self, parameters, x):
            return 0.5 * super().log_prob(parameters, x)

    vae, plain = vae_of(likelihood=Softened()).fit(X), vae_of().fit(X)
    assert vae.history_["reconstruction"][0] > 0.7 * plain.history_["reconstruction"][0]
    vae.save(tmp_path / "model.npz")
    with pytest.raises(CheckpointError, match="a likelihood of its own, a Softened"):
        VAE.load(tmp_path / "model.npz")
    again = VAE.load(tmp_path / "model.npz", likelihood=Softened())
    np.testing.assert_array_equal(again.elbo(X), vae.elbo(X))


def test_a_prior_of_ones_own_is_copied_and_used(tmp_path):
    prior = DiagonalGaussian(np.full(K, 3.0, np.float32), np.full(K, -2.0, np.float32))
    at_start = []
    vae = vae_of(prior=prior, hidden=(8,)).fit(
        X, on_epoch=lambda vae, epoch: at_start.append(vae.elbo_terms(X).kl)
    )
    assert vae.prior_ is not prior
    # q starts at N(0, I): K/2 (e^2 + 9 e^2 - 1 - 2) from this prior
    np.testing.assert_allclose(at_start[0], 0.5 * K * (10 * np.exp(2.0) - 3.0), rtol=1e-5)
    z = vae.prior_.sample(0, S=2000)
    assert np.abs(z.mean(axis=0) - 3.0).max() < 0.1
    assert vae.sample(3).shape == (3, D)
    vae.save(tmp_path / "model.npz")
    with pytest.raises(CheckpointError, match="a prior of its own, a DiagonalGaussian"):
        VAE.load(tmp_path / "model.npz")
    again = VAE.load(tmp_path / "model.npz", prior=prior)
    np.testing.assert_array_equal(again.elbo(X), vae.elbo(X))


# Subclasses ---------------------------------------------------------------------------------------


class Small(VAE):
    """A VAE with a shorter constructor."""

    def __init__(self, width=8, random_state=None):
        super().__init__(
            latent_dim=K, hidden=(width,), epochs=2, batch_size=40, random_state=random_state
        )
        self.width = width


def test_a_subclass_with_a_shorter_constructor_fits_saves_and_loads(tmp_path):
    vae = Small(9, random_state=0).fit(X)
    plain = VAE(latent_dim=K, hidden=(9,), epochs=2, batch_size=40, random_state=0).fit(X)
    assert_same_bits(vae.state_dict(), plain.state_dict())
    assert vae.get_params() == {"width": 9, "random_state": 0}
    assert repr(vae) == "Small(width=9, random_state=0)"
    assert list(inspect.signature(Small).parameters) == ["width", "random_state"]
    assert vae.beta == 1.0
    with pytest.raises(ValueError, match="Small has no parameter 'beta'; it has width, random_s"):
        vae.set_params(beta=2.0)
    vae.save(tmp_path / "model.npz")
    assert Small.load(tmp_path / "model.npz").get_params() == {"width": 9, "random_state": 0}
    for kind in (Small, VAE):
        again = kind.load(tmp_path / "model.npz")
        assert type(again) is kind
        assert again.hidden == (9,)
        np.testing.assert_array_equal(again.elbo(X), vae.elbo(X))
    vae.beta = -1.0
    with pytest.raises(ValueError, match=r"Small: beta=-1\.0 makes no sense"):
        vae.fit(X)


def test_a_subclass_whose_encoder_is_an_argument_builds_it_itself():
    class Towers(VAE):
        def __init__(self, seed=5):
            super().__init__(**OPTIONS, encoder=OwnEncoder(seed=seed))
            self.seed = seed

    vae = Towers().fit(X)
    assert_same_bits(vae.state_dict(), vae_of(encoder=OwnEncoder()).fit(X).state_dict())


def test_a_subclass_that_forgets_its_parent_is_told_what_is_missing():
    class Forgetful(VAE):
        def __init__(self, latent_dim=2):
            self.latent_dim = latent_dim

    with pytest.raises(
        AttributeError,
        match=r"Forgetful: the hyper-parameters hidden, activation, .* have no value; "
        r"a constructor of your own must call super\(\).__init__\(\)",
    ):
        Forgetful().fit(X)


def test_networks_of_the_library_can_be_handed_in_by_their_public_names():
    style = {"activation": "tanh", "rng": np.random.default_rng(0), "dtype": np.float32}
    vae = vae_of(encoder=Encoder(D, (5,), K, **style), decoder=trunk(K, (4,), **style)).fit(X)
    assert vae.likelihood_.heads[0].weight.shape == (4, D)
    assert np.isfinite(vae.score(X))
