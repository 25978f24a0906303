"""Deep latent-variable models from scratch: a reference to read, to teach with and to run."""

from minivae import datasets, errors, ops
from minivae.gmm import GaussianMixture
from minivae.gradcheck import GradcheckReport, assert_gradcheck, gradcheck
from minivae.tensor import Tensor, no_grad, primitive
from minivae.transforms import grad, hvp, value_and_grad, vjp
from minivae.vae import VAE, resume

__version__ = "0.1.0"
__all__ = [
    "VAE",
    "GaussianMixture",
    "GradcheckReport",
    "Tensor",
    "assert_gradcheck",
    "datasets",
    "errors",
    "grad",
    "gradcheck",
    "hvp",
    "no_grad",
    "ops",
    "primitive",
    "resume",
    "value_and_grad",
    "vjp",
]
