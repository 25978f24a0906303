"""What the models share: hyper-parameters that are declared once, in scikit-learn's conventions.

A model declares each hyper-parameter as a field: its default, the rule that it obeys and a sentence
of what it is. The constructor, the checks and their messages, the docstring's table, ``get_params``
and the flags of the command line all follow from that.

Nothing here imports scikit-learn; where the user has, its own errors and settings are met.
"""

from __future__ import annotations

import functools
import inspect
import math
import sys
import textwrap
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from types import SimpleNamespace
from typing import Any, ClassVar, NamedTuple, Self, dataclass_transform

import numpy as np

from minivae.checks import column_names, is_real, is_whole, require_columns
from minivae.errors import not_fitted
from minivae.notebook import card
from minivae.reading import shown
from minivae.tensor import Array

__all__ = [
    "Classifier", "Estimator", "Parameter", "Rule", "Transformer", "anything", "boolean", "choice",
    "number", "parameter", "whole",
]  # fmt: skip

_FRAMES = ("default", "pandas", "polars")


class Rule(NamedTuple):
    """What values a hyper-parameter may have, and how the command line reads one."""

    holds: Callable[[Any], bool]
    text: str
    parse: Callable[[str], Any] = str

    def or_none(self) -> Rule:
        """The same, or None."""
        return Rule(lambda v: v is None or self.holds(v), f"None or {self.text}", self.parse)


class Parameter(NamedTuple):
    """A hyper-parameter as it is declared."""

    default: Any
    rule: Rule
    sentence: str
    metavar: str | None
    """What the command line's help calls the value; None where there is no flag."""

    keyword_only: bool


def parameter(
    *,
    default: Any,
    rule: Rule,
    sentence: str,
    metavar: str | None = None,
    kw_only: bool = False,
) -> Any:
    """Declare a hyper-parameter: a field of an :class:`Estimator`."""
    return Parameter(default, rule, sentence, metavar, kw_only)


def whole(least: int) -> Rule:
    """A whole number that is at least ``least``."""
    return Rule(lambda v: is_whole(v) and v >= least, f"a whole number from {least}", int)


def number(least: float = 0.0, *, above: bool = False) -> Rule:
    """A finite number that is at least ``least``, or strictly ``above`` it."""
    text = f"a number {'above' if above else 'from'} {least:g}"
    if above and least == 0:
        text = "a positive number"

    def holds(v: Any) -> bool:
        return is_real(v) and (least < v if above else least <= v) and v < math.inf

    return Rule(holds, text, float)


def choice(*names: str, none: bool = False) -> Rule:
    """One of the given names; also None, if ``none`` is set."""
    text = "one of " + ", ".join(map(repr, names))
    rule = Rule(lambda v: isinstance(v, str) and v in names, text)
    return rule.or_none() if none else rule


def boolean() -> Rule:
    """True or False."""
    return Rule(lambda v: isinstance(v, bool | np.bool_), "True or False", _truth)


def _truth(text: str) -> bool:
    words = {"yes": True, "true": True, "no": False, "false": False}
    if text.lower() not in words:
        raise ValueError(f"{text!r} is neither yes nor no")
    return words[text.lower()]


def anything(text: str = "anything") -> Rule:
    """Any value; it is checked elsewhere."""
    return Rule(lambda v: True, text)


@dataclass_transform(field_specifiers=(parameter,))
class Estimator:
    """Hyper-parameters in the constructor, nothing else there; fitted attributes end in ``_``.

    A subclass declares its hyper-parameters as fields, ``name: type = parameter(...)``, and has a
    line ``%parameters%`` in its docstring where their table belongs.
    """

    declared: ClassVar[dict[str, Parameter]] = {}

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        own = {name: p for name, p in vars(cls).items() if isinstance(p, Parameter)}
        cls.declared = {**cls.declared, **own}
        for name in own:
            delattr(cls, name)  # an instance has a value, the class only the declaration
        for name, method in [*vars(cls).items()]:
            if inspect.isfunction(method) and not name.startswith("_"):
                setattr(cls, name, _with_underflow(method))
        if own and "__init__" not in vars(cls):  # a subclass that declares nothing inherits it
            setattr(cls, "__init__", _constructor(cls.declared))  # noqa: B010  (mypy forbids a plain one)
        if cls.__doc__:
            cls.__doc__ = cls.__doc__.replace("%parameters%", _table(cls.declared).lstrip())

    @classmethod
    def _names(cls) -> list[str]:
        """The constructor's arguments: fewer than are declared where a subclass has its own."""
        return [name for name in inspect.signature(cls.__init__).parameters if name != "self"]

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The hyper-parameters by name; ``deep`` is accepted for scikit-learn and has no effect."""
        return {name: getattr(self, name) for name in self._names()}

    def set_params(self, **params: Any) -> Self:
        """Set hyper-parameters by name; they take effect in the next ``fit``.

        Raises
        ------
        ValueError
            If a name is unknown; nothing is set then.
        """
        known = self._names()
        for name in params:
            if name not in known:
                raise ValueError(
                    f"set_params: {type(self).__name__} has no parameter {name!r}; it has "
                    f"{', '.join(known)}"
                )
        for name, value in params.items():
            setattr(self, name, value)
        return self

    def check_params(self, names: Sequence[str] | None = None) -> None:
        """Refuse hyper-parameters that break their rules, all of them or those named.

        Raises
        ------
        ValueError
            It names the hyper-parameter, its value and what is allowed.
        """
        settings = self._settings()  # says which have no value at all
        for name in self.declared if names is None else names:
            value, rule = getattr(settings, name), self.declared[name].rule
            if not rule.holds(value):
                raise ValueError(
                    f"{type(self).__name__}: {name}={value!r} makes no sense; it must be "
                    f"{rule.text}"
                )

    def _settings(self) -> SimpleNamespace:
        """All hyper-parameters as they are now; later changes do not reach it.

        They are those that are declared, and what a subclass's own constructor takes.
        """
        names = [*dict.fromkeys([*self.declared, *self._names()])]
        missing = [name for name in names if not hasattr(self, name)]
        if missing:
            raise AttributeError(
                f"{type(self).__name__}: the hyper-parameters {', '.join(missing)} have no value; "
                "a constructor of your own must call super().__init__()"
            )
        return SimpleNamespace(**{name: getattr(self, name) for name in names})

    @classmethod
    def _from_settings(cls, settings: Mapping[str, Any]) -> Self:
        """A model with these hyper-parameters, whatever its constructor takes."""
        arguments = inspect.signature(cls.__init__).parameters
        known = {name: arguments[name].default for name in cls._names()}
        known |= {name: p.default for name, p in cls.declared.items()}
        if unknown := sorted(settings.keys() - known.keys()):
            raise ValueError(f"{cls.__name__} has no hyper-parameter {unknown[0]!r}")
        model = cls.__new__(cls)
        vars(model).update({**known, **settings})
        return model

    def __repr__(self) -> str:
        changed = (f"{name}={value}" for name, value in self._changed())
        return f"{type(self).__name__}({', '.join(changed)})"

    def _repr_html_(self) -> str:
        """What differs from the defaults, and how far a fit has come, in a notebook."""
        fitted = any(name.endswith("_") and not name.startswith("_") for name in vars(self))
        return card(
            type(self).__name__,
            "fitted" if fitted else "not fitted",
            facts=[*((name, shown(value)) for name, value in self._changed()), *self._score()],
        )

    def _changed(self) -> list[tuple[str, str]]:
        """The hyper-parameters that differ from their defaults."""
        signature = inspect.signature(type(self).__init__).parameters
        # Compared as text: values may be arrays, and comparing arrays gives no single answer.
        return [
            (name, repr(value))
            for name, value in self.get_params().items()
            if repr(value) != repr(signature[name].default)
        ]

    def _score(self) -> list[tuple[str, str]]:
        """What a fit has come to, in words."""
        history: Mapping[str, Sequence[float]] = getattr(self, "history_", {})
        found = [
            (f"{what} of epoch {len(history[name])}", f"{history[name][-1]:.2f} nats per datum")
            for name, what in (
                ("elbo", "ELBO"),
                ("validation_elbo", "validation ELBO"),
                ("log_prob", "log p(y given x)"),
            )
            if history.get(name)
        ]
        if hasattr(self, "lower_bound_"):
            found.append(("lower bound", f"{self.lower_bound_:.4f} nats per datum"))
        return found

    def _require_fitted(self, operation: str, attribute: str) -> None:
        if not hasattr(self, attribute):
            raise not_fitted(  # in scikit-learn's words, which programs look for
                f"{operation}: This {type(self).__name__} instance is not fitted yet. Call 'fit' "
                "with appropriate arguments before using this estimator, or 'load' one."
            )

    # ---- the names of columns ----

    def _check_columns(
        self, X: Any, operation: str, fitted: str = "feature_names_in_", name: str = "X"
    ) -> None:
        """Refuse a table whose columns are not those of ``fit``, whose names are ``fitted``."""
        names = column_names(X, operation, name)
        require_columns(operation, names, getattr(self, fitted, None), type(self).__name__, name)

    def _take_columns(
        self, names: Sequence[str] | None, fitted: str = "feature_names_in_"
    ) -> None:
        """Keep the names of the columns that were fitted, or that they had none."""
        vars(self).pop(fitted, None)
        if names is not None:
            setattr(self, fitted, np.array(names, dtype=object))

    def _load_columns(self, names: Any, n: int, fitted: str = "feature_names_in_") -> None:
        """Take the names of ``n`` columns from a file, which may have none."""
        if names and not (
            isinstance(names, list) and len(names) == n and all(isinstance(k, str) for k in names)
        ):
            raise ValueError(f"{fitted} is not a list of {n} names")
        self._take_columns(names or None, fitted)

    def __sklearn_tags__(self) -> Any:
        """What scikit-learn asks of an estimator; it is there if somebody asks."""
        from sklearn.utils import InputTags, Tags, TargetTags, TransformerTags

        return Tags(
            estimator_type=None,
            target_tags=TargetTags(required=False),
            transformer_tags=TransformerTags(preserves_dtype=[])
            if hasattr(self, "transform")
            else None,
            input_tags=InputTags(),
        )


def _with_underflow(method: Callable[..., Any]) -> Callable[..., Any]:
    """A method in which what is too small for a float is 0, whatever ``np.seterr`` was told."""

    @functools.wraps(method)
    def door(*args: Any, **kwargs: Any) -> Any:
        with np.errstate(under="ignore"):
            return method(*args, **kwargs)

    return door


def _constructor(declared: Mapping[str, Parameter]) -> Callable[..., None]:
    """An ``__init__`` that sets the declared hyper-parameters and does nothing else."""
    positional, keyword = inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY
    arguments = [
        inspect.Parameter(name, keyword if p.keyword_only else positional, default=p.default)
        for name, p in declared.items()
    ]
    arguments.sort(key=lambda argument: argument.kind)
    signature = inspect.Signature([inspect.Parameter("self", positional), *arguments])

    def __init__(*args: Any, **kwargs: Any) -> None:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        values = dict(bound.arguments)
        vars(values.pop("self")).update(values)

    vars(__init__)["__signature__"] = signature
    return __init__


def _table(declared: Mapping[str, Parameter]) -> str:
    """The docstring's section on the hyper-parameters, indented as a class's docstring is."""
    lines = ["Parameters", "----------"]
    for name, p in declared.items():
        lines.append(name)
        lines += textwrap.wrap(p.sentence, 92, initial_indent="    ", subsequent_indent="    ")
    return textwrap.indent("\n".join(lines), "    ")


class Classifier(Estimator):
    """An estimator that predicts one of the classes that came with its training data."""

    def __sklearn_tags__(self) -> Any:
        """What scikit-learn asks of a classifier."""
        from sklearn.utils import ClassifierTags

        tags = super().__sklearn_tags__()
        tags.estimator_type, tags.classifier_tags = "classifier", ClassifierTags()
        tags.target_tags.required = True
        return tags


class Transformer(Estimator):
    """An estimator that has a ``transform``: what scikit-learn's pipelines ask of one."""

    def _n_features_out(self) -> int:
        """How many columns ``transform`` returns."""
        raise NotImplementedError

    def fit_transform(self, X: Any, y: Any = None, **fit_params: Any) -> Any:
        """``fit(X, y)``, and then ``transform(X)``."""
        return self.fit(X, y, **fit_params).transform(X)  # type: ignore[attr-defined]

    def get_feature_names_out(self, input_features: Any = None) -> Array:
        """What the columns that ``transform`` returns are called: ``vae0``, ``vae1`` and so on.

        Parameters
        ----------
        input_features
            Names of the data's columns; they change nothing, but must be those of ``fit``.

        Raises
        ------
        ValueError
            If they are not.
        """
        self._require_fitted("get_feature_names_out", "n_features_in_")
        if input_features is not None:
            given, D = list(input_features), self.n_features_in_  # type: ignore[attr-defined]
            if given != list(getattr(self, "feature_names_in_", given)):
                raise ValueError(
                    "get_feature_names_out: input_features is not equal to feature_names_in_"
                )
            if len(given) != D:
                raise ValueError(
                    "get_feature_names_out: input_features should have length equal to number of "
                    f"features ({D}), got {len(given)}"
                )
        name = type(self).__name__.lower()
        names = [f"{name}{k}" for k in range(self._n_features_out())]
        return np.array(names, dtype=object)

    def set_output(self, *, transform: str | None = None) -> Self:
        """Choose what ``transform`` returns: ``"pandas"`` or ``"polars"`` for a table with names.

        ``"default"`` is an array; None leaves the choice as it is. Without a choice here
        scikit-learn's ``transform_output`` counts, where that is loaded.

        Raises
        ------
        ValueError
            If it is none of them.
        """
        if transform is not None:
            self._sklearn_output_config = {"transform": _known_frame(transform)}
        return self

    def _dressed(self, codes: Array, X: Any) -> Any:
        """The codes of X as the table that was chosen; its rows are called as those of X."""
        chosen = getattr(self, "_sklearn_output_config", {}).get("transform")
        if chosen is None:
            settings: dict[str, str] = getattr(sys.modules.get("sklearn"), "get_config", dict)()
            chosen = _known_frame(settings.get("transform_output", "default"))
        if chosen == "default":
            return codes
        try:
            frames = import_module(chosen)
        except ImportError as error:
            raise ImportError(
                f"transform: set_output(transform={chosen!r}) needs {chosen}: pip install {chosen}"
            ) from error
        names = list(self.get_feature_names_out())
        if chosen == "polars":
            return frames.DataFrame(codes, schema=names, orient="row")
        index = getattr(X, "index", None)  # that of a list is a method
        return frames.DataFrame(codes, columns=names, index=None if callable(index) else index)


def _known_frame(name: str) -> str:
    if name not in _FRAMES:
        raise ValueError(f"set_output: transform={name!r} must be one of {', '.join(_FRAMES)}")
    return name
