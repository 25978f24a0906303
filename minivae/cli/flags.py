"""The VAE's hyper-parameters as flags, as its declaration names, reads and describes them."""

import argparse
import inspect
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

from minivae import VAE, datasets, recipe
from minivae.cli.models import MODELS
from minivae.datasets import Dataset
from minivae.distributions import LIKELIHOODS
from minivae.estimator import Estimator, Rule

__all__ = [
    "add_declared", "add_hyper_parameters", "add_parameter", "flag_of", "hyper_parameters", "seed",
    "written",
]  # fmt: skip


def add_hyper_parameters(
    parser: argparse.ArgumentParser, leave_out: Collection[str] = ()
) -> None:
    """Add all flags; what is not written on the command line is absent from the namespace.

    With ``leave_out`` they are those of a plain VAE but for these.
    """
    group = parser.add_argument_group("model and training")
    suits = recipe(datasets.load("optdigits"))
    names = add_declared(group, VAE, suits, leave_out=leave_out)
    if leave_out:
        return
    for model, estimator in MODELS.items():
        more = {n: p for n, p in estimator.declared.items() if n not in names and p.metavar}
        for name, declared in more.items():
            text = f"{_first_sentence(declared.sentence)} ({_typed(declared.default)}); "
            text += f"with --model {model}"
            reader = _reader(declared.rule, declared.default)
            add_parameter(group, flag_of(name), declared.metavar or "", text, reader)
        names += more
    add_parameter(group, flag_of("random_state"), "N", "of all randomness (0)", seed)


def add_declared(
    group: Any,
    estimator: type[Estimator],
    suits: Mapping[str, Any],
    own: Mapping[str, tuple[str, Callable[[str], Any]]] | None = None,
    leave_out: Collection[str] = (),
) -> list[str]:
    """Add a flag for each hyper-parameter that is declared with a metavar; return their names.

    Parameters
    ----------
    group
        Of the parser.
    estimator
        The model whose hyper-parameters they are.
    suits
        Defaults in place of those declared.
    own
        By name, help and reader in place of those declared.
    leave_out
        The names of those that get no flag.
    """
    declared_with_flag = {n: p for n, p in estimator.declared.items() if p.metavar is not None}
    flags = {n: p for n, p in declared_with_flag.items() if n not in leave_out}
    for name, declared in flags.items():
        default = suits.get(name, declared.default)
        text = _first_sentence(declared.sentence)
        if default is not None:
            text += f" ({_typed(default)})"
        text, read = (own or {}).get(name, (text, _reader(declared.rule, default)))
        add_parameter(group, flag_of(name), declared.metavar or "", text, read)
    return list(flags)


def add_parameter(group: Any, flag: str, metavar: str, text: str, kind: Any) -> str:
    """Add the flag of a hyper-parameter, absent from the namespace unless written; return its name.

    It is the inverse of :func:`flag_of`.
    """
    name = "random_state" if flag == "--seed" else flag[2:].replace("-", "_")
    group.add_argument(
        flag, dest=name, metavar=metavar, type=kind, default=argparse.SUPPRESS, help=text
    )
    return name


def _first_sentence(text: str) -> str:
    """What the hyper-parameter is, without what only Python can hand over, and without markup."""
    plain = re.sub(r":\w+:|``?", "", text)
    return re.split(r"(?<!Eq)\. ", plain)[0].removesuffix(".").replace("%", "%%")


def _typed(value: Any) -> str:
    """A value as one would type it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _reader(rule: Rule, default: Any) -> Callable[[str], Any]:
    """What reads a value, or says in a sentence what it should be."""
    example = "" if default is None else f"; the default is {_typed(default)}"

    def read(text: str) -> Any:
        try:
            return rule.parse(text)
        except ValueError:
            wanted = rule.text.removeprefix("None or ")
            raise argparse.ArgumentTypeError(f"{text!r} should be {wanted}{example}") from None

    return read


def seed(text: str) -> int:
    """Return a random state, or refuse what is not one."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} should be a whole number from 0")
    return int(text)


def written(arguments: argparse.Namespace, model: type[VAE] = VAE) -> dict[str, Any]:
    """Return the hyper-parameters of a model that the command line says.

    Raises
    ------
    ValueError
        If it says one of another model's.
    """
    for name, other in MODELS.items():
        for foreign in other.declared.keys() - model.declared.keys():
            if hasattr(arguments, foreign):
                raise ValueError(f"{flag_of(foreign)} goes with --model {name}")
    return {name: value for name, value in vars(arguments).items() if name in model.declared}


def flag_of(name: str) -> str:
    """Return the flag that sets a hyper-parameter."""
    return "--seed" if name == "random_state" else "--" + name.replace("_", "-")


def hyper_parameters(data: Dataset, chosen: Mapping[str, Any]) -> dict[str, Any]:
    """Return the VAE's arguments: those chosen, else those that suit the data set.

    Another likelihood than the one that suits the data drops what was set for that one, and takes
    what the data say about its own settings.
    """
    suits = recipe(data)
    likelihood = chosen.get("likelihood", suits["likelihood"])
    if likelihood != suits["likelihood"]:
        of_likelihoods = {name for known in LIKELIHOODS for name in _settings_of(known)}
        suits = {name: value for name, value in suits.items() if name not in of_likelihoods}
        if data.max_value is not None:
            found = {"n_trials": data.max_value, "n_classes": data.max_value + 1}
            suits |= {name: found[name] for name in _settings_of(likelihood) if name in found}
    return {"random_state": 0, **suits, **chosen}


def _settings_of(likelihood: str) -> list[str]:
    """The names of a likelihood's settings; none of one that is not known."""
    kind = LIKELIHOODS.get(likelihood)
    return [] if kind is None else list(inspect.signature(kind).parameters)
