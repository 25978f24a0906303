"""M2: its bound against enumeration and quadrature, its loss against all minibatches, its files."""

import itertools
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.special import logsumexp

from exact import log_integral, normal_rule
from minivae import LatentModel, SemiSupervisedVAE, Tensor, datasets, ops, resume
from minivae.distributions import Categorical, DiagonalGaussian, Gaussian, StandardNormal
from minivae.errors import CheckpointError, DtypeError, NotFittedError, ShapeError
from minivae.models.enumerated import enumerated_terms
from minivae.nn import MLP

_digits = datasets.load("optdigits")
X, Y = _digits.model_arrays()[0][:600], _digits.y_train[:600]
X_TEST, Y_TEST = _digits.model_arrays()[1][:300], _digits.y_test[:300]
SMALL = {"likelihood": "binomial", "n_trials": 16, "hidden": (20,), "activation": "tanh",
         "random_state": 0, "batch_size": 100, "learning_rate": 5e-3}  # fmt: skip


def partly(y, m, seed=0):
    """The labels of the first m of each class; the others are not known."""
    few = np.full(len(y), -1)
    for k in range(10):
        shown = np.random.default_rng(seed).permutation(np.flatnonzero(y == k))[:m]
        few[shown] = k
    return few


@pytest.fixture(scope="module")
def fitted():
    return SemiSupervisedVAE(**SMALL, alpha=30.0, epochs=3).fit(X, partly(Y, 10))


# The bound ---------------------------------------------------------------------------------------


class Toy:
    """Three classes, one z, two features: all that is latent can be summed or integrated."""

    x = np.array([[0.5, -0.4], [1.0, 0.3]])
    log_p_y = np.log([0.5, 0.2, 0.3])

    def __init__(self):
        net = MLP([4, 5, 2], activation="tanh", rng=np.random.default_rng(2))
        self.model = LatentModel(
            StandardNormal(1), lambda z, y: net(ops.concatenate([z, y], 1)), Gaussian(0.7)
        )
        logits = np.array([[0.1, 0.5, -0.3], [0.0, 0.2, 0.4]])
        self.q_y = Categorical(Tensor(logits, requires_grad=True))
        self.slope = Tensor([[0.4, -0.2, 0.3]], requires_grad=True)

    def encode(self, x, y):
        """q(z | x, y), which is not the posterior."""
        mu = ops.sum(y * self.slope, 1, keepdims=True) + 0.3 * x[:, :1]
        return DiagonalGaussian(mu, np.full_like(x[:, :1], -0.6))

    def terms(self, C, kl="analytic"):
        """The bound with the expectation over z by quadrature: points as samples, by weights."""
        points, weight = normal_rule(n=161, limit=9.0)
        each = [
            enumerated_terms(
                self.model, self.encode, self.q_y, self.log_p_y, self.x, C,
                np.full((1, 2, 1), e), kl,
            ) for e in points[:, 0]
        ]  # fmt: skip
        return [sum(w * t[i].data for w, t in zip(weight, each, strict=True)) for i in range(2)]

    def log_joint(self, y):
        """log p(x, y, z) at points ``(n, 1)``, ``(n, 2)``."""

        def f(z):
            rows = np.eye(3)[np.full(2, y)]
            z = np.repeat(z[:, None], 2, axis=1)
            return self.model.log_joint(self.x, z, rows).data + self.log_p_y[y]

        return f


@pytest.mark.equation("SSL.1")
@pytest.mark.equation("SSL.2")
@pytest.mark.parametrize("kl", ["analytic", "monte-carlo"])
def test_the_bound_is_log_p_less_the_kl_of_all_that_is_latent(kl):
    toy = Toy()
    log_p_xy = np.stack([log_integral(toy.log_joint(k)) for k in range(3)], -1)  # (2, 3)
    log_p_x = logsumexp(log_p_xy, axis=1)
    q_y = np.exp(toy.q_y.log_probabilities().data)
    # KL(q(y, z | x) || p(y, z | x)) on a grid, from the posterior's own density
    grid = np.linspace(-9, 9, 4001)[:, None]
    step = grid[1, 0] - grid[0, 0]
    in_z = np.empty((2, 3))  # KL(q(z | x, y) || p(z | x, y))
    for k in range(3):
        rows = np.eye(3)[np.full(2, k)]
        log_q = toy.encode(toy.x, rows).log_prob(np.repeat(grid[:, None], 2, axis=1)).data
        log_post = toy.log_joint(k)(grid) - log_p_xy[:, k]
        in_z[:, k] = (np.exp(log_q) * (log_q - log_post)).sum(axis=0) * step
    log_post_y = log_p_xy - log_p_x[:, None]
    kl_all = (q_y * (np.log(q_y) - log_post_y + in_z)).sum(axis=1)

    reconstruction, kl_terms = toy.terms(np.zeros((2, 3)), kl)
    np.testing.assert_allclose(reconstruction - kl_terms, log_p_x - kl_all, rtol=1e-9)
    # where y is known: log p(x, y) less the KL of z alone; here of the second datum only
    C = np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    reconstruction, kl_terms = toy.terms(C, kl)
    bound = reconstruction - kl_terms
    np.testing.assert_allclose(bound[0], log_p_x[0] - kl_all[0], rtol=1e-9)
    np.testing.assert_allclose(bound[1], log_p_xy[1, 2] - in_z[1, 2], rtol=1e-9)


@pytest.mark.equation("SSL.2")
def test_the_bounds_gradient_reaches_the_classifier_and_is_right():
    # dU / d logit_k = q_k (a_k - sum_j q_j a_j), with a_k what class k gives less log q_k
    toy, eps = Toy(), np.zeros((1, 2, 1))
    C = np.zeros((2, 3))
    ops.sum(enumerated_terms(toy.model, toy.encode, toy.q_y, toy.log_p_y, toy.x, C, eps).elbo
            ).backward()  # fmt: skip
    q = np.exp(toy.q_y.log_probabilities().data)
    each = np.stack(
        [
            enumerated_terms(
                toy.model, toy.encode, toy.q_y, toy.log_p_y, toy.x, np.eye(3)[[k, k]], eps
            ).elbo.data
            for k in range(3)
        ],
        -1,
    )
    a = each - np.log(q)
    expected = q * (a - (q * a).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(toy.q_y.logits.grad, expected, rtol=1e-9)


def _loss_without_chance(vae, batch):
    """The loss of a batch, with noise 0."""

    class Zeros:
        def standard_normal(self, size, dtype=np.float64):
            return np.zeros(size, dtype)

    loss, measured = vae._objective([CONDITIONS])(batch, Zeros(), 1e9)
    return loss.item(), measured["log_q_of_labels"]


LABELS = np.array([0, -1, 1, -1, -1, 1, -1])
CONDITIONS = np.where(LABELS[:, None] == np.arange(2), 1.0, 0.0)


@pytest.mark.equation("SSL.3")
def test_over_all_minibatches_the_loss_has_the_mean_of_the_whole():
    # among them are some without any label; half of the labels' share would be seen at once
    x = np.random.default_rng(0).normal(size=(7, 2))
    vae = SemiSupervisedVAE(
        likelihood="gaussian", sigma=0.5, latent_dim=1, hidden=(3,), activation="tanh", alpha=2.5,
        epochs=2, dtype="float64", random_state=0,
    ).fit(x, LABELS)  # fmt: skip
    whole, right = _loss_without_chance(vae, (x, CONDITIONS))
    batches = [list(b) for b in itertools.combinations(range(7), 3)]
    found = [_loss_without_chance(vae, (x[b], CONDITIONS[b])) for b in batches]
    np.testing.assert_allclose(np.mean(found, axis=0), [whole, right], rtol=1e-12)
    # the mean over the three that have a label, by the classifier itself
    proba = vae.predict_proba(x)
    by_hand = np.log(proba[[0, 2, 5], [0, 1, 1]]).mean()
    np.testing.assert_allclose(right, by_hand, rtol=1e-10)
    eps = np.zeros((1, 7, 1))
    np.testing.assert_allclose(whole, -vae.elbo(x, LABELS, eps).mean() - 2.5 * by_hand, rtol=1e-10)


# The estimator -----------------------------------------------------------------------------------


@pytest.mark.slow
def test_with_few_labels_the_unlabelled_data_help():
    # Three patterns of 40 pixels, each datum one of them with three pixels of ten turned over, and
    # two labels a class, which show the patterns badly; 500 data without show them well. The same
    # classifier, as many steps, the same labels: paired over seeds.
    settings = {"hidden": (16,), "activation": "tanh", "latent_dim": 1, "alpha": 10.0,
                "learning_rate": 1e-2, "batch_size": 100}  # fmt: skip
    gains = []
    for seed in range(4):
        rng = np.random.default_rng(seed)
        y = rng.integers(0, 3, 1000)
        x = ((rng.random((3, 40)) < 0.5)[y] ^ (rng.random((1000, 40)) < 0.3)).astype(float)
        few = np.full(500, -1)
        for k in range(3):
            few[np.flatnonzero(y[:500] == k)[:2]] = k
        shown = few >= 0
        both = SemiSupervisedVAE(**settings, epochs=60, random_state=seed).fit(x[:500], few)
        alone = SemiSupervisedVAE(**settings, epochs=300, random_state=seed)
        alone.fit(x[:500][shown], few[shown])
        right = [(model.predict(x[500:]) == y[500:]).mean() for model in (both, alone)]
        gains.append(right[0] - right[1])
    assert np.mean(gains) > 3 * np.std(gains, ddof=1) / 2, gains


def test_the_bounds_agree_with_each_other_and_with_log_p(fitted):
    few = partly(Y, 10)[:50]
    x = X[:50]
    known = few >= 0
    mixed = fitted.elbo(x, few)
    np.testing.assert_allclose(mixed[~known], fitted.elbo(x)[~known], rtol=1e-5)
    log_p_y = np.log(0.1)
    conditional = super(SemiSupervisedVAE, fitted)
    eps = np.random.default_rng(0).normal(size=(1, 50, 2)).astype(np.float32)
    joint = fitted.elbo(x, Y[:50], eps)
    assert (fitted.log_likelihood(x[:20], n_samples=200) > fitted.elbo(x[:20]) - 1.0).all()
    log_p_joint = fitted.log_likelihood(x[:20], Y[:20], 200)
    np.testing.assert_allclose(
        log_p_joint, conditional.log_likelihood_of_classes(x[:20], 200)[range(20), Y[:20]]
        + log_p_y, rtol=1e-6,
    )  # fmt: skip
    # sum_y q(y | x) (L(x, y) - log q(y | x)), class by class from outside
    proba = fitted.predict_proba(x).astype(np.float64)
    each = np.stack([fitted.elbo(x, np.full(50, k), eps) for k in range(10)], -1)
    by_hand = (proba * (each - np.log(proba))).sum(axis=1)
    np.testing.assert_allclose(fitted.elbo(x, None, eps), by_hand, rtol=1e-4)
    np.testing.assert_allclose(joint, each[range(50), Y[:50]], rtol=1e-6)


def test_predictions_are_classes_and_samples_come_from_a_class(fitted):
    proba = fitted.predict_proba(X_TEST)
    np.testing.assert_allclose(proba.sum(axis=1), 1.0, rtol=1e-5)
    np.testing.assert_array_equal(fitted.predict(X_TEST), fitted.classes_[proba.argmax(axis=1)])
    assert fitted.sample(y=np.arange(10)).shape == (10, 64)
    np.testing.assert_array_equal(fitted.sample(4, 0, y=7), fitted.sample(4, 0, y=7))
    drawn = fitted.sample(50, 1)  # y from p(y)
    np.testing.assert_array_equal(drawn, fitted.sample(50, 1))
    assert drawn.shape == (50, 64)
    likely = fitted.predict(X_TEST[:20])
    np.testing.assert_allclose(
        fitted.transform(X_TEST[:20]), fitted.transform(X_TEST[:20], likely), rtol=1e-5
    )


def test_the_classes_may_have_any_numbers_and_their_shares():
    few = partly(Y[:200], 3)
    moved = np.where(few < 0, -1, 10 + 5 * few)
    moved[np.flatnonzero(few == 0)[0]] = -1
    model = SemiSupervisedVAE(**SMALL, class_prior="labelled", epochs=1).fit(X[:200], moved)
    np.testing.assert_array_equal(model.classes_, 10 + 5 * np.arange(10))
    np.testing.assert_allclose(model.class_prior_, [2 / 29, *[3 / 29] * 9])
    assert set(model.predict(X_TEST)) <= set(model.classes_)


def test_saved_and_loaded_it_is_the_same(fitted, tmp_path):
    fitted.save(tmp_path / "model.npz")
    again = SemiSupervisedVAE.load(tmp_path / "model.npz")
    few = partly(Y, 10)[:100]
    np.testing.assert_array_equal(again.elbo(X[:100], few), fitted.elbo(X[:100], few))
    np.testing.assert_array_equal(again.predict(X_TEST), fitted.predict(X_TEST))
    np.testing.assert_array_equal(again.sample(5, 0), fitted.sample(5, 0))


@pytest.mark.parametrize("prior", ["standard", "mixture"])
def test_a_run_that_was_stopped_goes_on_bit_for_bit(tmp_path, prior):
    settings = {**SMALL, "prior": prior, "validation": 0.2, "patience": 3, "epochs": 3}
    if prior == "mixture":
        settings.update(prior_warmup=1, prior_components=3)
    path, few = tmp_path / "run.npz", partly(Y[:300], 4)
    whole = SemiSupervisedVAE(**settings).fit(X[:300], few)

    class Stop(Exception):
        pass

    def stop(vae, epoch):
        if epoch == 2:
            raise Stop

    with pytest.raises(Stop):
        SemiSupervisedVAE(**settings).fit(X[:300], few, checkpoint=path, on_epoch=stop)
    resumed = resume(path, X[:300], few)
    assert isinstance(resumed, SemiSupervisedVAE)
    for name, value in whole.state_dict().items():
        np.testing.assert_array_equal(resumed.state_dict()[name], value, err_msg=name)
    np.testing.assert_array_equal(
        resumed.history_["validation_elbo"], whole.history_["validation_elbo"]
    )
    with pytest.raises(CheckpointError, match="not what this run was started on"):
        resume(path, X[:300], Y[:300])


def test_what_makes_no_sense_is_refused(fitted):
    model = SemiSupervisedVAE(**SMALL, epochs=1)
    with pytest.raises(ShapeError, match="y is missing"):
        model.fit(X, None)
    with pytest.raises(ValueError, match="every y is -1"):
        model.fit(X, np.full(len(X), -1))
    with pytest.raises(DtypeError, match="float64; it must be whole numbers"):
        model.fit(X, np.where(Y < 5, np.nan, Y))
    with pytest.raises(ShapeError, match="y has 10 rows for 600 data"):
        model.fit(X, Y[:10])
    assert not hasattr(model, "classes_")
    with pytest.raises(ValueError, match="objective='importance-weighted'"):
        SemiSupervisedVAE(**SMALL, objective="importance-weighted").fit(X, Y)
    with pytest.raises(ValueError, match="alpha=-1 makes no sense"):
        SemiSupervisedVAE(**SMALL, alpha=-1).fit(X, Y)
    one = np.full(40, -1)
    one[0] = 3
    apart = {**SMALL, "validation": 0.9, "epochs": 1, "random_state": 1}
    with pytest.raises(ValueError, match="holds out all data with labels"):
        SemiSupervisedVAE(**apart).fit(X[:40], one)
    with pytest.raises(ValueError, match=r"y\[1\] = 12 is not a class of fit"):
        fitted.elbo(X[:2], [1, 12])
    with pytest.raises(ValueError, match=r"decode: y\[1\] is not known, and x depends on it"):
        fitted.decode(np.zeros((2, 2)), [1, -1])
    with pytest.raises(NotFittedError):
        SemiSupervisedVAE().predict(X)


def test_settings_and_noise_reach_the_loss():
    # beta weighs the whole KL, that of y among it
    x, few = X[:50].astype(np.float32), np.full(50, -1)
    few[:10] = Y[:10]
    model = SemiSupervisedVAE(**SMALL, epochs=1).fit(x, few)
    C = model._conditions(few, model.classes_, "fit", 50)
    losses = []
    for beta in (0.0, 1.0, 3.0):
        model._settings_ = SimpleNamespace(**{**vars(model._settings_), "beta": beta})
        loss, means = model._objective([C])((x, C), np.random.default_rng(0), 1e9)
        losses.append(loss.item())
    np.testing.assert_allclose(losses[1] - losses[0], means["kl"], rtol=1e-4)
    np.testing.assert_allclose(losses[2] - losses[0], 3 * means["kl"], rtol=1e-4)


def test_a_class_that_is_left_out_where_x_depends_on_it_is_asked_for(fitted):
    z = np.zeros((2, fitted.latent_dim))
    for name, given in (("decode", (z,)), ("reconstruct", (X[:2],)), ("interpolate", X[:2])):
        with pytest.raises(ValueError, match=rf"{name}: y\[0\] is not known, and x depends on it"):
            getattr(fitted, name)(*given)
    np.testing.assert_array_equal(
        fitted.reconstruct(X[:2], [1, 2]), fitted.decode(fitted.transform(X[:2], [1, 2]), [1, 2])
    )
