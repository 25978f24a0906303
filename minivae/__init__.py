"""Deep latent-variable models from scratch: a reference to read, to teach with and to run.

What is here is loaded when it is first used: NumPy, SciPy and Numba take the better part of a
second together.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

import minivae._starting  # noqa: F401  before all else, which takes its time

if TYPE_CHECKING:
    from minivae import (
        datasets,
        discrete,
        distributions,
        errors,
        inference,
        information,
        metrics,
        nn,
        objectives,
        ops,
        optim,
        rates,
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
    from minivae.models.categorical_vae import CategoricalVAE
    from minivae.models.conditional import ConditionalVAE
    from minivae.models.mixture import (
        BayesianGaussianMixture,
        BernoulliMixture,
        GaussianMixture,
    )
    from minivae.models.naive_bayes import BernoulliNB, GaussianNB
    from minivae.models.predictors import NeuralClassifier, NeuralRegressor
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
    "BayesianGaussianMixture",
    "BernoulliMixture",
    "BernoulliNB",
    "CategoricalVAE",
    "ConditionalVAE",
    "GaussianMixture",
    "GaussianNB",
    "GradcheckReport",
    "LatentModel",
    "NeuralClassifier",
    "NeuralRegressor",
    "Node",
    "SemiSupervisedVAE",
    "Tensor",
    "UnbiasedReport",
    "assert_gradcheck",
    "check_unbiased",
    "datasets",
    "discrete",
    "distributions",
    "errors",
    "grad",
    "gradcheck",
    "hvp",
    "inference",
    "information",
    "metrics",
    "nn",
    "no_grad",
    "objectives",
    "ops",
    "optim",
    "primitive",
    "rates",
    "recipe",
    "resume",
    "value_and_grad",
    "vjp",
]

_HOMES = {
    "minivae.gradcheck": (
        "GradcheckReport", "UnbiasedReport", "assert_gradcheck", "check_unbiased", "gradcheck",
    ),
    "minivae.latent_model": ("LatentModel",),
    "minivae.models.bayes_net": ("BayesNet", "Node"),
    "minivae.models.categorical_vae": ("CategoricalVAE",),
    "minivae.models.conditional": ("ConditionalVAE",),
    "minivae.models.mixture": ("BayesianGaussianMixture", "BernoulliMixture", "GaussianMixture"),
    "minivae.models.naive_bayes": ("BernoulliNB", "GaussianNB"),
    "minivae.models.predictors": ("NeuralClassifier", "NeuralRegressor"),
    "minivae.models.recipes": ("recipe",),
    "minivae.models.resuming": ("resume",),
    "minivae.models.semi_supervised": ("SemiSupervisedVAE",),
    "minivae.models.vae": ("VAE",),
    "minivae.tensor": ("Tensor", "no_grad", "primitive"),
    "minivae.transforms": ("grad", "hvp", "value_and_grad", "vjp"),
}  # fmt: skip
_HOME = {name: home for home, names in _HOMES.items() for name in names}

if not TYPE_CHECKING:  # a checker of types reads the imports above

    def __getattr__(name: str) -> Any:
        """Load what is asked for first: an object from its home, or one of the rooms."""
        if name not in __all__:
            raise AttributeError(f"module 'minivae' has no attribute {name!r}")
        home = _HOME.get(name)
        room = import_module(home or f"minivae.{name}")
        globals()[name] = room if home is None else getattr(room, name)
        return globals()[name]

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})


class _Package(ModuleType):
    """The package, in which ``gradcheck`` is the function even if the room of that name is loaded.

    Python puts a module that it has loaded into its package, under the module's name.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "gradcheck" and isinstance(value, ModuleType):
            value = value.gradcheck
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
