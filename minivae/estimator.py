"""What the models share: scikit-learn's conventions without scikit-learn, and checks at the door.

- `Estimator`: hyper-parameters by name, a short ``repr``, a word to whoever forgot to fit;
- `check_data`: data as a contiguous array of finite numbers, or what is wrong with them;
- `entropy_from`, `stream`: independent random streams from one ``random_state``.
"""

from __future__ import annotations

import inspect
import secrets
from typing import Any, Self

import numpy as np

from minivae.errors import DtypeError, NotFittedError, ShapeError
from minivae.tensor import Array, Tensor

__all__ = ["Estimator", "check_data", "entropy_from", "is_real", "is_whole", "stream"]


class Estimator:
    """Hyper-parameters in the constructor, nothing else there; fitted attributes end in ``_``."""

    @classmethod
    def _defaults(cls) -> dict[str, Any]:
        parameters = inspect.signature(cls.__init__).parameters
        return {name: p.default for name, p in parameters.items() if name != "self"}

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The hyper-parameters by name; ``deep`` is there for scikit-learn and changes nothing."""
        return {name: getattr(self, name) for name in self._defaults()}

    def set_params(self, **params: Any) -> Self:
        """Set hyper-parameters by name; they count from the next ``fit`` on.

        Raises
        ------
        ValueError
            If a name is unknown; nothing is set then.
        """
        known = self._defaults()
        for name in params:
            if name not in known:
                raise ValueError(
                    f"set_params: {type(self).__name__} has no parameter {name!r}; it has "
                    f"{', '.join(known)}"
                )
        for name, value in params.items():
            setattr(self, name, value)
        return self

    def __repr__(self) -> str:
        defaults = self._defaults()
        # Compared as text: values may be arrays, whose comparison is no yes or no.
        changed = [
            f"{name}={value!r}"
            for name, value in self.get_params().items()
            if repr(value) != repr(defaults[name])
        ]
        return f"{type(self).__name__}({', '.join(changed)})"

    def _require_fitted(self, operation: str, attribute: str) -> None:
        if not hasattr(self, attribute):
            raise NotFittedError(
                f"{operation}: this {type(self).__name__} is not fitted yet; call fit(X) or "
                "load(path) first"
            )

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


def is_whole(value: Any) -> bool:
    """Whether this is a whole number; True and False are not."""
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def require_whole(operation: str, name: str, value: Any, least: int) -> None:
    """Refuse what is no whole number from ``least``.

    Raises
    ------
    ValueError
        It names the operation, the argument and its value.
    """
    if not is_whole(value) or value < least:
        raise ValueError(f"{operation}: {name}={value!r} must be a whole number from {least}")


def is_real(value: Any) -> bool:
    """Whether this is a real number, NaN and the infinities among them."""
    return is_whole(value) or isinstance(value, float | np.floating)


def check_data(
    X: Any, operation: str, *, dtype: Any, n_features: int | None = None, name: str = "X"
) -> Array:
    """Data as a contiguous array of shape ``(N, D)``, or a word about what is wrong with them.

    Parameters
    ----------
    X
        Whatever the caller was given.
    operation, name
        What messages call the operation and its argument.
    dtype
        float32 or float64, of the result.
    n_features
        D, if it is known already.

    Raises
    ------
    ShapeError, DtypeError, ValueError
        If the data are not 2-D, empty, not numbers, of another width, or not finite (the first
        such number is named).
    """
    array = _as_array(X, operation, name)
    found = f"{operation}: {name} has shape {array.shape}"
    if array.ndim != 2:
        raise ShapeError(f"{found}; it must be (N, D), one datum a row: {_mend_axes(X, array)}")
    if 0 in array.shape:
        raise ShapeError(f"{found}; there must be at least one datum and one feature")
    if n_features is not None and array.shape[1] != n_features:
        raise ShapeError(f"{found}; the model takes rows of {n_features}")
    with np.errstate(over="ignore"):
        numbers = np.ascontiguousarray(array, dtype=dtype)
    if array.dtype.kind == "f":
        _check_finite(array, numbers, operation, name)
    return numbers


def _as_array(X: Any, operation: str, name: str) -> Array:
    if isinstance(X, Tensor):
        return X.data
    if isinstance(X, np.ma.MaskedArray) and np.ma.is_masked(X):
        raise ValueError(
            f"{operation}: {name} is masked in {np.sum(X.mask)} places; drop those rows, or fill "
            "the gaps"
        )
    try:
        array = np.asarray(X)
    except ValueError as error:
        raise ShapeError(
            f"{operation}: {name} is no array; all its rows must have one length"
        ) from error
    if array.dtype.kind not in "iufb":
        kind = f"{array.dtype} data" if array.ndim else f"a {type(X).__name__}"
        raise DtypeError(
            f"{operation}: {name} is {kind}; it must be an array of real numbers "
            "(a sparse matrix is made one by .toarray())"
        )
    return array


def _mend_axes(X: Any, array: Array) -> str:
    if array.ndim == 3 and isinstance(X, list | tuple):
        return "chunks of rows must be put together, np.concatenate(X), and images flattened"
    if array.ndim > 2:
        return "images must be flattened, X.reshape(len(X), -1)"
    if array.ndim == 1 and array.dtype.kind in "iub":
        return "are these the labels? A single datum is X[None, :]"
    return "a single datum is X[None, :]"


def _check_finite(given: Array, numbers: Array, operation: str, name: str) -> None:
    # A sum tells without a temporary as large as the data; if it overflows, the rows are looked at.
    with np.errstate(all="ignore"):
        if np.isfinite(numbers.sum(dtype=np.float64)):
            return
    bad = ~np.isfinite(numbers)
    if not bad.any():
        return
    row, column = np.argwhere(bad)[0]
    place = f"{operation}: {name}[{row}, {column}] = {given[row, column]}"
    if np.isfinite(given[row, column]):
        raise ValueError(
            f"{place} is too large for {numbers.dtype}; divide the data by their scale"
        )
    raise ValueError(
        f"{place}, one of {bad.any(axis=1).sum()} rows that are not finite; drop such rows, or "
        "fill the gaps"
    )


def entropy_from(random_state: Any) -> int:
    """One whole number from which all streams of a model are drawn.

    Parameters
    ----------
    random_state
        An int, a ``RandomState``, a ``Generator`` (both are drawn from) or None for fresh entropy.

    Raises
    ------
    ValueError
        If it is something else.
    """
    if random_state is None:
        return secrets.randbits(63)
    if isinstance(random_state, np.random.Generator):
        return int(random_state.integers(2**63))
    if isinstance(random_state, np.random.RandomState):
        return int(random_state.randint(2**31 - 1))
    if is_whole(random_state) and random_state >= 0:
        return int(random_state)
    raise ValueError(
        f"random_state={random_state!r} must be a whole number from 0, a RandomState, a Generator "
        "or None"
    )


def stream(entropy: int, *numbers: int) -> np.random.Generator:
    """The numbered random stream of a model: independent, so that none disturbs another."""
    seed = np.random.SeedSequence(entropy, spawn_key=numbers)
    return np.random.Generator(np.random.PCG64(seed))
