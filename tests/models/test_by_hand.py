"""The VAE and the script that does without it come to the same parameters, bit for bit."""

import inspect
from pathlib import Path

import numpy as np
import pytest

from examples import vae_by_hand
from minivae import VAE, datasets


@pytest.fixture(scope="module")
def digits():
    return datasets.load("optdigits").model_arrays()[0][:700]  # five minibatches and a smaller one


@pytest.mark.parametrize("seed", [0, 5])
def test_a_vae_by_hand_has_the_bits_of_fit(digits, seed):
    by_hand = vae_by_hand.train(digits, epochs=3, seed=seed)
    vae = VAE(
        latent_dim=2, hidden=(200,), activation="tanh", likelihood="binomial", n_trials=16,
        epochs=3, batch_size=128, learning_rate=5e-3, random_state=seed,
    ).fit(digits)  # fmt: skip
    parameters = vae.named_parameters()
    assert len(by_hand) == len(parameters) == 10
    for own, (name, p) in zip(by_hand, parameters, strict=True):
        assert own.dtype == p.dtype
        np.testing.assert_array_equal(own, p.data, err_msg=name)
    fresh = vae_by_hand.train(digits, epochs=0, seed=seed)
    assert all((now != then).any() for now, then in zip(by_hand, fresh, strict=True))


@pytest.mark.equation("VAE.4")
def test_its_loss_is_minus_the_elbo(digits):
    theta = vae_by_hand.train(digits, epochs=1, seed=2)
    vae = VAE(
        latent_dim=2, hidden=(200,), activation="tanh", likelihood="binomial", n_trials=16,
        epochs=1, learning_rate=5e-3, random_state=2,
    ).fit(digits)  # fmt: skip
    eps = np.random.default_rng(0).standard_normal((1, len(digits), 2), dtype=np.float32)
    loss = vae_by_hand.loss(digits, eps, *theta)
    assert loss == pytest.approx(-vae.elbo(digits, eps).mean(), rel=1e-6)


def test_the_script_fits_on_a_screen_and_the_readme_shows_its_heart():
    script = Path(vae_by_hand.__file__)
    assert len(script.read_text(encoding="utf-8").splitlines()) <= 60
    readme = script.parents[1] / "README.md"
    assert inspect.getsource(vae_by_hand.loss) in readme.read_text(encoding="utf-8")
