"""Deep latent-variable models from scratch: a reference to read, to teach with and to run."""

import minivae._starting  # noqa: F401  before all else, which takes its time
from minivae import (
    datasets,
    distributions,
    errors,
    inference,
    nn,
    objectives,
    ops,
    optim,
)
from minivae.gradcheck import (
    GradcheckReport,
    UnbiasedReport,
    assert_gradcheck,
    check_unbiased,
    gradcheck,
)
from minivae.latent_model import LatentModel
from minivae.models.bayes_net import BayesNet, Node
from minivae.models.conditional import ConditionalVAE
from minivae.models.mixture import BernoulliMixture, GaussianMixture
from minivae.models.naive_bayes import BernoulliNB, GaussianNB
from minivae.models.recipes import recipe
from minivae.models.resuming import resume
from minivae.models.semi_supervised import SemiSupervisedVAE
from minivae.models.vae import VAE
from minivae.tensor import Tensor, no_grad, primitive
from minivae.transforms import grad, hvp, value_and_grad, vjp

__version__ = "0.1.0"
__all__ = [
    "VAE",
    "BayesNet",
    "BernoulliMixture",
    "BernoulliNB",
    "ConditionalVAE",
    "GaussianMixture",
    "GaussianNB",
    "GradcheckReport",
    "LatentModel",
    "Node",
    "SemiSupervisedVAE",
    "Tensor",
    "UnbiasedReport",
    "assert_gradcheck",
    "check_unbiased",
    "datasets",
    "distributions",
    "errors",
    "grad",
    "gradcheck",
    "hvp",
    "inference",
    "nn",
    "no_grad",
    "objectives",
    "ops",
    "optim",
    "primitive",
    "recipe",
    "resume",
    "value_and_grad",
    "vjp",
]
