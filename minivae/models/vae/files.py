"""What a VAE's file holds besides its parameters, as JSON can say it, and back."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import numpy as np

from minivae.checks import is_whole
from minivae.distributions import LIKELIHOODS, Likelihood
from minivae.errors import CheckpointError
from minivae.reading import shown

__all__ = [
    "HANDED_IN", "check_sizes", "is_plain", "params_from_json", "params_to_json", "reading",
]  # fmt: skip

_WIDEST = 2**24  # columns of networks that are handed over, of whose parameters nothing is known

HANDED_IN = ("encoder", "decoder", "likelihood", "prior")
"""The hyper-parameters that may be objects."""


def params_to_json(params: Mapping[str, Any]) -> dict[str, Any]:
    """Hyper-parameters as JSON can say them; an object that it cannot becomes its type's name."""
    said = dict(params)
    said.update(hidden=[int(width) for width in said["hidden"]])
    said.update(dtype=np.dtype(said["dtype"]).name)
    if not is_whole(said["random_state"]):
        said["random_state"] = None  # what was drawn from a generator is the entropy
    for name in HANDED_IN:
        value = said[name]
        if value is None or isinstance(value, str):
            continue
        said[name] = {"type": type(value).__name__}
        if isinstance(value, Likelihood) and type(value) is LIKELIHOODS.get(value.name):
            said[name] = {"name": value.name, "settings": value.settings()}
    return said


def is_plain(value: Any) -> bool:
    """Whether JSON can say a value as it is."""
    return value is None or isinstance(value, bool | int | float | str)


def params_from_json(
    said: Mapping[str, Any], handed: Mapping[str, Any], model: str
) -> dict[str, Any]:
    """Hyper-parameters again, with objects handed over where the file has only their types.

    Raises
    ------
    ValueError
        If one is missing.
    """
    params = {**said, "hidden": tuple(said["hidden"])}
    for name in HANDED_IN:
        value = params[name]
        if not isinstance(value, Mapping):
            continue
        if "name" in value:
            params[name] = LIKELIHOODS[value["name"]](**value["settings"])
        elif handed.get(name) is not None:
            params[name] = handed[name]
        else:
            raise ValueError(
                f"the model has a {name} of its own, a {value['type']}, which a file without "
                f"pickle cannot hold; hand it over: {model}.load(path, {name}=...)"
            )
    return params


def check_sizes(
    vae: Any,
    likelihood: Likelihood,
    metadata: Mapping[str, Any],
    arrays: Mapping[str, np.ndarray],
) -> None:
    """Refuse networks of more weights than a file holds, before memory is asked for.

    Raises
    ------
    ValueError
        If the sizes in the metadata are not whole numbers, or do not fit the arrays.
    """
    D, C, K = metadata["n_features"], metadata["condition"] or 0, vae.latent_dim
    if not (is_whole(D) and D >= 1 and is_whole(C) and C >= 0):
        raise ValueError(f"n_features={D!r} and condition={C!r} must be whole numbers")
    heads = D * max(likelihood.outputs(), default=0)
    chains = [[K, *vae.hidden[::-1], heads] if vae.decoder is None else [1, heads]]
    seen = [D] if isinstance(vae.likelihood, str) else []  # what others show, nobody knows
    chains += [[*seen, *vae.hidden, K]] if vae.encoder is None else []
    chains += [[vae.prior_components, K]] if vae.prior == "mixture" else []
    chains += [[vae.prior_components, *seen]] if vae.prior == "vamp" else []
    needed = sum(a * b for chain in chains for a, b in pairwise(chain))
    held = sum(array.size for array in arrays.values())
    if needed > held or max(D, C, K) > max(held, _WIDEST):
        raise ValueError(
            f"n_features={D}, condition={C}, latent_dim={K}, hidden={shown(vae.hidden)} and "
            f"{likelihood.name!r} need more weights than the {held} numbers that it holds"
        )


@contextmanager
def reading(path: str | os.PathLike[str], model: str) -> Iterator[None]:
    """Turn what goes wrong with the contents of a checkpoint into a sentence about the file."""
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:  # metadata that nobody wrote on purpose may raise anything
        missing = f"it has no {error}" if isinstance(error, KeyError) else shown(error, 1000)
        raise CheckpointError(
            f"{path} is not a checkpoint of this version's {model}: {missing}"
        ) from error
