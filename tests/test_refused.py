"""What is refused at doors that the other tests do not come by: which error, and its reason."""

import re
import sys

import numpy as np
import pytest

from minivae import (
    VAE,
    BayesianGaussianMixture,
    BayesNet,
    BernoulliNB,
    ConditionalVAE,
    GaussianMixture,
    GaussianNB,
    LatentModel,
    NeuralRegressor,
    Node,
    SemiSupervisedVAE,
    ops,
)
from minivae.datasets import StoredRows, load
from minivae.datasets.dataset import dataset_from_arrays
from minivae.datasets.on_disk import dataset_on_disk
from minivae.distributions import (
    Bernoulli,
    DiagonalGaussian,
    Distribution,
    Likelihood,
    MixtureOfGaussians,
    StandardNormal,
    VampPrior,
)
from minivae.errors import (
    CheckpointError,
    ConvergenceWarning,
    DatasetError,
    DtypeError,
    GradientError,
    ShapeError,
)
from minivae.estimator import Transformer, boolean
from minivae.inference import compare, hmc
from minivae.inference.diagnostics import ess_tail, r_hat
from minivae.metrics import adjusted_rand_index, roc_auc, roc_auc_interval
from minivae.models.mixture.components import GaussianComponents
from minivae.models.mixture.estimator import Mixture
from minivae.models.naive_bayes import NaiveBayes
from minivae.models.predictors import _Predictor
from minivae.models.resuming import kind_of
from minivae.nn import MLP
from minivae.objectives import categorical_log_prob
from minivae.optim import SGD, Optimiser
from minivae.tensor import unbroadcast
from minivae.training import Hook, Player, Run

RNG = np.random.default_rng(0)
X = RNG.normal(size=(20, 3))
Y = np.arange(20) % 2
BINARY = (X > 0).astype(float)
SMALL = {"hidden": (3,), "epochs": 1, "random_state": 0}


def arrays(**more):
    return lambda: dataset_from_arrays("mine", {"x_train": X, **more}, conditions=True)


def mixture(**given):
    return lambda: GaussianMixture(2, **given).fit(X)


def net(table, parents=(), **others):
    return BayesNet([*(Node(k, (), v) for k, v in others.items()), Node("a", parents, table)])


def log_prob(**values):
    nodes = [Node("a", (), [0.5, 0.5]), Node("z", (), lambda: 3)]
    return lambda: BayesNet(nodes).log_prob(values)


class Stateful(Hook):
    def state(self):
        return {"a": 1}, {}


def run_with(*hooks):
    mlp = MLP([3, 2], rng=np.random.default_rng(0))
    return Run(
        [Player(mlp.parameters(), None)], [X], epochs=1, batch_size=5,
        order=np.random.default_rng(0), noise=np.random.default_rng(1), optimiser=SGD, hooks=hooks,
    )  # fmt: skip


def asked_of_wholes(y):
    return lambda: SemiSupervisedVAE(**SMALL).fit(BINARY, y)


START = (np.full(2, 0.5), np.zeros((2, 3)), np.stack([np.eye(3)] * 2))
REFUSED = [
    # data
    (arrays(), DatasetError, "mine has no y_train: conditions are numbers"),
    (arrays(y_train=np.zeros((20, 1, 1))), DatasetError, "are not conditions of 20 rows"),
    (arrays(y_train=np.zeros((19, 1))), DatasetError, "are not conditions of 20 rows"),
    (arrays(y_train=np.full((20, 1), "a")), DatasetError, "are not conditions of 20 rows"),
    (arrays(y_train=np.where(np.arange(20) == 7, np.nan, 0.0)), DatasetError, "NaN .* in row 7"),
    (arrays(y_train=np.where(np.arange(20) == 7, np.inf, 0.0)), DatasetError, "NaN .* in row 7"),
    (lambda: StoredRows(np.zeros((0, 3))), ShapeError, "must be .N, D"),
    (lambda: StoredRows(np.zeros((3, 0))), ShapeError, "must be .N, D"),
    (lambda: StoredRows(np.zeros(3)), ShapeError, "must be .N, D"),
    (lambda: StoredRows(np.full((3, 1), "a")), DtypeError, "must hold real numbers"),
    (lambda: dataset_on_disk("d", np.zeros((3, 0)), hold_out=True), DatasetError, "not rows of"),
    (lambda: dataset_on_disk("d", np.zeros(3), hold_out=True), DatasetError, "not rows of"),
    (lambda: dataset_on_disk("d", np.zeros((1, 3)), hold_out=True), DatasetError, "one row"),
    (lambda: dataset_on_disk("d", np.zeros((4, 3, 5, 2)), hold_out=True), DatasetError, "colour"),
    (lambda: load("optdigits", conditions=("y",)), DatasetError, "has labels and no conditions"),
    (lambda: GaussianNB().fit(X, [[1], [1, 2]] * 10), ShapeError, "y is not an array"),
    (lambda: GaussianNB().fit(X, Y + 0.5), DtypeError, "numbers that are not whole"),
    (lambda: GaussianNB().fit(X, np.where(Y, np.inf, 0)), DtypeError, "numbers that are not whole"),
    # distributions and likelihoods
    (lambda: MixtureOfGaussians(*START, START[2], "round").checked("f"), ValueError, "'round'"),
    (lambda: MixtureOfGaussians.from_covariances(*START, "round"), ValueError, "'round'"),
    (lambda: MixtureOfGaussians.from_covariances([], np.zeros((0, 3)), np.zeros((0, 3, 3))),
     ShapeError, "for .K, D. = .0, 3"),
    (lambda: MixtureOfGaussians(np.ones(1), np.zeros((1, 2)), np.zeros((1, 2, 2)),
                                np.eye(2)[None]).checked("f"), ValueError, "factors of"),
    (lambda: VampPrior(None, np.zeros((0, 3))), ShapeError, "C from 1"),
    (lambda: VampPrior(None, np.zeros(3)), ShapeError, "C from 1"),
    (lambda: Bernoulli("often"), ValueError, "grey='often' is unknown"),
    (lambda: StandardNormal.joined([]), NotImplementedError, "does not say what its parts are"),
    (lambda: categorical_log_prob(LatentModel(StandardNormal(2), None, None), X), TypeError,
     "the prior is a StandardNormal"),
    (lambda: unbroadcast(np.zeros((2, 3)), (2, 2)), GradientError, "does not broadcast"),
    (lambda: unbroadcast(np.zeros((2, 3)), (1, 2, 3)), GradientError, "does not broadcast"),
    (lambda: ops.einsum("ij,jk", X), ShapeError, "names 2 operands, 1 were given"),
    (lambda: ops.einsum("ij,j", X, X), ShapeError, "'j' .* does not fit an operand of shape .20"),
    (lambda: ops.inverse_triangular(np.ones(3)), ShapeError, "not that of square matrices"),
    (lambda: ops.matmul(np.float64(2.0), X), ShapeError, "matmul: shapes"),
    # inference
    (lambda: compare(ConditionalVAE(**SMALL).fit(BINARY, Y), BINARY[0]), ValueError, "say c="),
    (lambda: compare(None, np.zeros((1, 1, 3))), ShapeError, "must be one datum"),
    (lambda: compare(None, X), ShapeError, "must be one datum"),
    (lambda: hmc(None, np.full((1, 1, 1), "a")), ShapeError, "must be numbers of shape"),
    (lambda: hmc(None, np.zeros((1, 1))), ShapeError, "must be numbers of shape"),
    (lambda: hmc(lambda z: ops.sum(ops.abs(z), -1) ** 0.5, np.zeros((1, 1, 1))), ValueError,
     "where chain 0 of datum 0 begins"),
    (lambda: r_hat(np.zeros((2, 3))), ValueError, "too few"),
    (lambda: r_hat(np.zeros(8)), ValueError, "must be .C, T, ...."),
    (lambda: ess_tail(np.zeros(8)), ValueError, "must be .C, T, ...."),
    (lambda: roc_auc_interval(X[:, 0], Y == 1, 0.0), ValueError, "level=0.0 must be"),
    (lambda: roc_auc_interval(X[:, 0], Y == 1, 1.0), ValueError, "level=1.0 must be"),
    (lambda: roc_auc(X[:, :1], (Y == 1)[:, None]), ShapeError, "both must be .N,."),
    (lambda: roc_auc(X[:, 0], Y == 2), ValueError, "all data are of one kind"),
    (lambda: roc_auc(X[:, 0], Y < 2), ValueError, "all data are of one kind"),
    (lambda: adjusted_rand_index(BINARY, BINARY), ShapeError, "both must be .N,."),
    (lambda: adjusted_rand_index([], []), ShapeError, "both must be .N,."),
    # nets
    (lambda: net(0.5), ShapeError, "has shape ..; with the parents"),
    (lambda: net([-0.5, 1.5]), ValueError, "must hold probabilities"),
    (log_prob(z=X), ValueError, "missing are .'a'"),
    (log_prob(a=Y, z=X, b=Y), ValueError, "are not those of the nodes"),
    (log_prob(a=Y, z=X[:, 0]), ShapeError, "without a table it must be .n, K"),
    (log_prob(a=Y[:, None], z=X), ValueError, "whole numbers .n,. from 0 to 1"),
    (log_prob(a=Y * 1.0, z=X), ValueError, "whole numbers .n,. from 0 to 1"),
    (log_prob(a=Y, z=X), TypeError, "returned a"),
    (lambda: net([0.5, 0.5]).query(["a"], {"a": 0.5}), ValueError, "must name each node once"),
    (lambda: net([[1, 0], [0, 1]], ["b"], b=[0.5, 0.5]).query(["a"], {"b": 0.5}), ValueError,
     "b=0.5 must be a whole number"),
    (lambda: net([0.5, 0.5]).sample(0), ValueError, "n=0"),
    # mixtures
    (mixture(means_init=np.zeros((2, 2))), ValueError, "'means' should have the shape of"),
    (mixture(weights_init=[-0.5, 1.5]), ValueError, "must be probabilities"),
    (mixture(weights_init=[0.5, 1.5]), ValueError, "must be probabilities"),
    (mixture(weights_init=[0.5, 0.4]), ValueError, "should be normalized"),
    (lambda: GaussianMixture().fit(X).sample(0), ValueError, "'n_samples': 0"),
    (lambda: GaussianMixture().fit(X).sample(1.0), ValueError, "'n_samples': 1.0"),
    (lambda: GaussianMixture(2).load_state_dict({"weights": START[0]}), ShapeError, "it takes"),
    # naive Bayes, predictors and VAEs
    (lambda: GaussianNB().partial_fit(X, Y, [0, 1]).partial_fit(X, Y, [0, 1, 2]), ValueError,
     "are not those of the first call"),
    (lambda: GaussianNB(priors=[0.5, 0.25, 0.25]).fit(X, Y), ValueError, "must be 2 numbers"),
    (lambda: GaussianNB().fit(X, Y, np.where(Y, -1.0, 2.0)), ValueError, "finite numbers from 0"),
    (lambda: GaussianNB().fit(X, Y, np.where(Y, np.inf, 2)), ValueError, "finite numbers from 0"),
    (lambda: GaussianNB().fit(X, Y).sample(y=[[0]]), ValueError, "must be classes .n,."),
    (lambda: BernoulliNB().fit(X, Y).sample(y=[2]), ValueError, "must be classes .n,."),
    (lambda: NeuralRegressor().fit(X, None), ShapeError, "requires y to be passed"),
    (lambda: ConditionalVAE(**SMALL).fit(BINARY, Y).elbo(BINARY, Y[:, None]), ShapeError,
     "it must be .N,., one class per datum"),
    (lambda: ConditionalVAE(**SMALL).fit(BINARY, X).log_likelihood_of_classes(BINARY), TypeError,
     "the conditions of this model are numbers"),
    (lambda: ConditionalVAE(**SMALL).fit(BINARY, np.full((20, 2), "a")), DtypeError,
     "which are classes, or numbers"),
    (lambda: SemiSupervisedVAE(**SMALL, free_bits=0.5).fit(BINARY, Y), ValueError, "free_bits=0.5"),
    (lambda: SemiSupervisedVAE(**SMALL, gradient="sticking-the-landing").fit(BINARY, Y), ValueError,
     "gradient='sticking-the-landing'"),
    (asked_of_wholes(Y[:, None]), DtypeError, "must be whole numbers"),
    (asked_of_wholes(np.where(Y, np.nan, 1.0)), DtypeError, "must be whole numbers|is missing"),
    (asked_of_wholes(Y + 0.5), DtypeError, "must be whole numbers"),
    (lambda: VAE(**SMALL, prior=StandardNormal(3)).fit(BINARY), ShapeError, "draws z of shape .3,"),
    (lambda: kind_of("m.npz", {"kind": "other"}), CheckpointError, "a model of kind 'other'"),
    (lambda: run_with(Stateful()), ValueError, "Stateful has a state; give it a name"),
    (lambda: boolean().parse("maybe"), ValueError, "'maybe' is neither yes nor no"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "error", "message"), REFUSED, ids=[m[:30] for *_, m in REFUSED])
def test_it_is_refused_and_told_why(call, error, message):
    with pytest.raises(error, match=message) as caught:
        call()
    assert type(caught.value) is error


ABSTRACT = [
    (Distribution(), ["noise", "rsample", "log_prob", "entropy", "moments", "detach"]),
    (type("Mine", (Likelihood,), {"name": "mine"})(), ["log_prob", "mean", "sample"]),
    (Mixture(), ["_restore", "distribution_"]),
    (GaussianComponents(), ["_fit"]),
    (NaiveBayes(), ["_with", "_log_joint"]),
    (_Predictor(), ["_density", "_checked_heads"]),
    (Transformer(), ["_n_features_out"]),
    (object.__new__(Optimiser), ["_mover"]),
]


def asked_for_nothing(base, name):
    method = getattr(base, name)  # or a property, which raises
    method(*[None] * (method.__code__.co_argcount - 1 - len(method.__defaults__ or ())))


@pytest.mark.parametrize(("base", "names"), ABSTRACT, ids=lambda x: type(x).__name__)
def test_what_a_subclass_has_to_write_is_not_there(base, names):
    for name in names:
        with pytest.raises(NotImplementedError):
            asked_for_nothing(base, name)


@pytest.mark.parametrize("package", ["pandas", "polars"])
def test_a_table_without_its_package_says_how_to_get_it(monkeypatch, package):
    vae = VAE(**SMALL).fit(BINARY).set_output(transform=package)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=re.escape(f"pip install {package}")):
        vae.transform(BINARY)
    assert vae.set_output(transform="default").transform(BINARY).shape == (20, 2)


def test_a_first_batch_on_which_a_component_collapses_leaves_no_model():
    model = GaussianMixture(1, reg_covar=0.0)
    with pytest.raises(ValueError, match=r"partial_fit: .*ill-defined"):
        model.partial_fit(np.ones((20, 3)))
    assert "means_" not in vars(model)


def test_a_posterior_that_no_fit_leaves_is_not_loaded(tmp_path):
    with pytest.warns(ConvergenceWarning):
        BayesianGaussianMixture(2, random_state=0, max_iter=1).fit(X).save(tmp_path / "m.npz")
    with np.load(tmp_path / "m.npz") as file:
        right = dict(file)
    BayesianGaussianMixture.load(tmp_path / "m.npz")
    name = next(n for n in right if "beta" in n or "mean_precision" in n)
    for wrong in (-right[name], np.where(np.arange(2), np.nan, 1.0), right[name][:1]):
        np.savez(tmp_path / "w.npz", **{**right, name: wrong})
        with pytest.raises(CheckpointError):
            BayesianGaussianMixture.load(tmp_path / "w.npz")


def test_a_prior_of_each_datum_goes_into_the_density_of_a_net():
    nodes = [Node("a", (), [0.5, 0.5]), Node("z", ("a",), lambda a: DiagonalGaussian(3 * a, a))]
    z = X[:, :2]
    q = DiagonalGaussian(3 * np.eye(2)[Y], np.eye(2)[Y])
    expected = q.log_prob(z[None])[0] + np.log(0.5)
    np.testing.assert_allclose(BayesNet(nodes).log_prob({"a": Y, "z": z}), expected)
