"""Defaults and rules are promises: what a script computes that does not mention them hangs on them.

`defaults.txt` lists those of what is public. Who changes one says so there and in the changelog.
"""

import inspect
import pkgutil
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

import minivae
from minivae import VAE, BayesianGaussianMixture, BernoulliMixture, BernoulliNB, GaussianMixture
from minivae.estimator import Estimator

ROOMS = (
    "alternate", "discrete", "distributions", "gradcheck", "inference",
    "information", "metrics", "models", "nn", "objectives", "ops", "optim", "rates", "tensor",
    "training", "transforms",
)  # fmt: skip


def functions(owner, module):
    """The public functions that a module or one of its classes defines, and constructors."""
    for name, thing in (owner if isinstance(owner, dict) else vars(owner)).items():
        found = getattr(thing, "__wrapped__", getattr(thing, "__func__", thing))
        ours = inspect.isfunction(found) and found.__module__ == module
        if ours and (name == "__init__" or name[0] != "_"):
            yield name, inspect.signature(found)


def defaults():
    """A line for each function or hyper-parameter that has a default."""
    for info in sorted(pkgutil.walk_packages(minivae.__path__, "minivae."), key=lambda i: i.name):
        room = info.name.removeprefix("minivae.")
        if not room.startswith(ROOMS):
            continue
        module = import_module(info.name)
        public = {name: vars(module)[name] for name in getattr(module, "__all__", ())}
        owners: dict = {"": public}
        for name, thing in public.items():
            if inspect.isclass(thing) and thing.__module__ == info.name:
                owners[f"{name}."] = thing
        for prefix, owner in owners.items():
            is_estimator = prefix and issubclass(owner, Estimator)
            for name, signature in functions(owner, info.name):
                plain = ", ".join(
                    f"{key}={p.default!r}"
                    for key, p in signature.parameters.items()
                    if isinstance(p.default, bool | int | float | str)
                )
                if plain and not (is_estimator and name == "__init__"):
                    yield f"{room}: {prefix}{name}({plain})"
            if is_estimator:
                bases = (b for b in owner.__mro__[1:] if b.__name__[0] != "_")
                inherited = getattr(next(bases), "declared", {})
                for name, p in owner.declared.items():
                    if inherited.get(name) is not p:
                        yield f"{room}: {prefix}{name} = {p.default!r}, {p.rule.text}"


def test_defaults_are_those_that_are_listed():
    listed = (Path(__file__).parent / "defaults.txt").read_text(encoding="utf-8").splitlines()
    assert list(defaults()) == listed


RULES = [
    (GaussianMixture, "n_components", [1, np.int64(7)], [0, -1, 1.0, True, "1", None]),
    (GaussianMixture, "max_iter", [0, 1], [-1, 0.0, False]),
    (GaussianMixture, "tol", [0, 0.0, 1e-300, np.inf], [-1e-300, np.nan, None, "0"]),
    (GaussianMixture, "covariance_type", ["full", "spherical"], ["", "Full", None, 1]),
    (GaussianMixture, "verbose", [0, 1, 2, True], [-1, 1.5]),
    (BayesianGaussianMixture, "tol", [0, 1e-300, np.float32(1)], [-1e-300, np.inf, np.nan, "0"]),
    (BernoulliMixture, "floor", [1e-300, 0.4999], [0, 0.5, -0.1, np.nan]),
    (BernoulliNB, "binarize", [None, 0, -2.5], ["0", np.nan]),
    (BernoulliNB, "fit_prior", [True, np.False_], [0, 1, None, "yes"]),
    (VAE, "learning_rate", [1e-300, 5], [0, 0.0, -1, np.inf, np.nan, True]),
    (VAE, "sigma", ["network", "shared", "optimal", 1e-300, 2], [0, -1.0, "Network", np.inf, None]),
    (VAE, "hidden", [(), (1,), [4, 2]], [0, (0,), (1.5,), "4", None, (True,)]),
    (VAE, "validation", [None, 1e-300, 0.999], [0, 1, 1.0, -0.1, np.nan, "0.1"]),
    (VAE, "n_trials", [None, 1], [0, 1.0]),
    (VAE, "n_classes", [None, 2], [1, 2.0]),
    (VAE, "grey", [None, "sample"], ["", 0, True]),
    (VAE, "dtype", ["float32", "float64"], ["float16", "int32", "no"]),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "name", "right", "wrong"), RULES, ids=lambda x: str(x)[:20])
def test_rules_hold_at_their_edges(kind, name, right, wrong):
    for value in right:
        kind(**{name: value}).check_params([name])
    for value in wrong:
        with pytest.raises(ValueError, match=f"{name}="):
            kind(**{name: value}).check_params([name])
