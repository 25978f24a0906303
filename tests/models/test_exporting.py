"""An exported model is the same in PyTorch, and comes back; where there is no PyTorch, in NumPy."""

import sys
import types
from unittest import mock

import numpy as np
import pytest

from cli.conftest import few_digits, minivae, small, small_run  # noqa: F401, fixtures
from minivae import VAE, ConditionalVAE
from minivae.distributions import Bernoulli
from minivae.models.exporting import from_torch, to_torch
from minivae.nn import MLP
from models.torch_stand_in import MODULES

RNG = np.random.default_rng(0)
ON_OFF = (RNG.random((30, 6)) < 0.4).astype(float)
REAL = RNG.normal(100.0, [1, 2, 3, 4, 5, 6], (30, 6))
COUNTS = RNG.poisson(2.0, (30, 6)).clip(0, 9).astype(float)
KINDS = {
    "bernoulli": ({"hidden": (5, 4), "activation": "tanh"}, ON_OFF),
    "threshold": ({"grey": "threshold"}, ON_OFF * 0.8),
    "binomial": ({"likelihood": "binomial", "n_trials": 9, "dtype": "float64"}, COUNTS),
    "continuous": ({"likelihood": "continuous-bernoulli", "activation": "softplus"}, ON_OFF * 0.7),
    "poisson": ({"likelihood": "poisson", "activation": "sigmoid", "latent_dim": 3}, COUNTS),
    "categorical": ({"likelihood": "categorical", "n_classes": 10}, COUNTS),
    "gaussian": ({"likelihood": "gaussian", "standardise": True}, REAL),
    "shared": ({"likelihood": "gaussian", "sigma": "shared", "standardise": True}, REAL),
    "optimal": ({"likelihood": "gaussian", "sigma": "optimal"}, REAL),
    "fixed": ({"likelihood": "gaussian", "sigma": 2.0, "hidden": ()}, REAL - 100),
    "mixture": ({"prior": "mixture", "prior_components": 3, "prior_warmup": 1}, ON_OFF),
}  # fmt: skip


def fitted(kind):
    settings, X = KINDS[kind]
    settings = {"hidden": (5,), **settings, "epochs": 2, "learning_rate": 0.02}
    return VAE(**settings, random_state=0).fit(X), X


def run(script, folder):
    """The script as a module, beside its weights."""
    module = types.ModuleType("model")
    module.__file__ = str(folder / "model.py")
    with mock.patch.dict(sys.modules, MODULES):
        exec(compile(script, module.__file__, "exec"), module.__dict__)
    return module


@pytest.mark.parametrize("kind", KINDS)
def test_the_script_has_the_elbo_and_its_parameters_come_back(kind, tmp_path):
    vae, X = fitted(kind)
    script, arrays = to_torch(vae)
    np.savez(tmp_path / "weights.npz", **arrays)
    model = run(script, tmp_path)
    assert model.check() < 1e-5
    twin = model.load()
    assert twin.state_dict().keys() == vae.state_dict().keys()
    x = X.astype(vae.dtype)
    # Noise that no other test moves, with which no datum's ELBO is near 0.
    eps = np.random.default_rng(3).normal(size=(4, len(x), vae.latent_dim)).astype(vae.dtype)
    tensor = model.torch.from_numpy
    np.testing.assert_allclose(twin.elbo(tensor(x), tensor(eps)), vae.elbo(x, eps), rtol=1e-5)
    assert twin.elbo(tensor(x)).shape == (len(x),)

    moved = {name: array + 0.01 for name, array in twin.state_dict().items()}
    twin.load_state_dict(moved)
    model.save(twin, tmp_path / "moved.npz")
    before = vae.elbo(x, eps)
    with np.load(tmp_path / "moved.npz") as file:
        from_torch(vae, file)
    after = vae.elbo(x, eps)
    assert np.abs(after - before).max() > 1e-3
    np.testing.assert_allclose(twin.elbo(tensor(x), tensor(eps)), after, rtol=1e-5)
    assert max(map(len, script.splitlines())) <= 100
    assert "import minivae" not in script


def test_a_script_that_is_not_the_model_says_so(tmp_path):
    script, arrays = to_torch(fitted("bernoulli")[0])
    np.savez(tmp_path / "weights.npz", **arrays)
    for right, wrong in (("F.softplus", "torch.exp"), ("0.5 * log_var", "log_var"), ("- 1 -", "-")):
        assert script.count(right)
        assert run(script.replace(right, wrong), tmp_path).check() > 1e-4, right


@pytest.mark.parametrize(
    ("vae", "complaint"),
    [
        (VAE(decoder=MLP([2, 5], rng=RNG)), "has a decoder of its own"),
        (VAE(likelihood=type("Mine", (Bernoulli,), {})()), "has a likelihood of its own"),
    ],
)
def test_what_the_script_cannot_rebuild_is_refused(vae, complaint):
    vae.set_params(epochs=1, hidden=(5,), dtype="float64")
    with pytest.raises(TypeError, match=complaint):
        to_torch(vae.fit(ON_OFF))


def test_a_conditional_model_is_refused():
    vae = ConditionalVAE(epochs=1, hidden=(5,)).fit(ON_OFF, np.arange(30) % 2)
    with pytest.raises(TypeError, match="conditions or labels"):
        to_torch(vae)


def test_weights_of_another_architecture_are_refused():
    vae, _ = fitted("bernoulli")
    before = vae.state_dict()
    with pytest.raises(ValueError, match="architectures differ"):
        from_torch(vae, to_torch(fitted("mixture")[0])[1])
    for name, array in vae.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


def test_a_run_is_exported_and_read_back(small_run, tmp_path, minivae, monkeypatch):  # noqa: F811
    monkeypatch.chdir(tmp_path)
    status, _, said = minivae("export", small_run, "--to", "torch")
    assert status == 0
    assert "run-torch holds model.py and weights.npz" in said
    folder = tmp_path / "run-torch"
    model = run((folder / "model.py").read_text(encoding="utf-8"), folder)
    assert model.check() < 1e-5
    model.save(model.load(), "moved.npz")
    assert minivae("export", small_run, "--from", "moved.npz")[0] == 0
    back, ours = VAE.load("from-torch.npz"), VAE.load(small_run / "checkpoint.npz")
    for name, array in ours.state_dict().items():
        np.testing.assert_array_equal(back.state_dict()[name], array, err_msg=name)
    assert minivae("export", small_run, "--to", "torch")[0] == 2
    assert "from-torch.npz is there already" in minivae(
        "export", small_run, "--from", "moved.npz"
    )[2]
    (tmp_path / "pickle.pt").write_bytes(b"\x80\x04}.")
    status, _, said = minivae("export", small_run, "--from", "pickle.pt", "--out", "b.npz")
    assert status == 2
    assert "torch.save makes a pickle" in said
