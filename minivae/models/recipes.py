"""Hyper-parameters of a VAE that suit a data set."""

from __future__ import annotations

from typing import Any

from minivae.datasets import Dataset

__all__ = ["recipe"]

_OF_A_SET: dict[str, dict[str, Any]] = {
    "optdigits": {
        "likelihood": "binomial",
        "n_trials": 16,
        "hidden": (200, 100),
        "activation": "tanh",
        "epochs": 150,
        "batch_size": 128,
    },
    "mnist": {
        "likelihood": "bernoulli",
        "grey": "sample",
        "hidden": (400,),
        "activation": "relu",
        "epochs": 10,
        "batch_size": 128,
    },
    "fashion-mnist": {
        "likelihood": "continuous-bernoulli",
        "hidden": (400,),
        "activation": "relu",
        "epochs": 10,
        "batch_size": 128,
    },
    "faithful": {
        "likelihood": "gaussian",
        "sigma": "shared",
        "hidden": (100,),
        "activation": "tanh",
        "epochs": 200,
        "batch_size": 32,
    },
}

_OF_A_KIND: dict[str, dict[str, Any]] = {
    "binary": {"likelihood": "bernoulli"},
    "grey": {"likelihood": "continuous-bernoulli"},
    "counts": {"likelihood": "binomial"},
    "real": {"likelihood": "gaussian", "sigma": "shared"},
}


def recipe(data: Dataset) -> dict[str, Any]:
    """Keyword arguments of ``VAE`` for a data set; those for named data sets have been tried out.

    For a file, the likelihood is chosen by the kind of its numbers.

    >>> from minivae import datasets, recipe
    >>> recipe(datasets.load("faithful"))["likelihood"]
    'gaussian'
    """
    if data.source == data.name and data.name in _OF_A_SET:
        return dict(_OF_A_SET[data.name])
    params = {**_OF_A_KIND[data.kind], "hidden": (400,), "activation": "relu"}
    if params["likelihood"] == "binomial":
        params["n_trials"] = data.max_value
    return params
