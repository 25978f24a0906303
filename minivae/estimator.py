"""What the models share: scikit-learn's conventions without scikit-learn, checked data, random streams."""

from __future__ import annotations

import inspect
import secrets
from typing import Any, Self

import numpy as np

from minivae.errors import DtypeError, NotFittedError, ShapeError
from minivae.tensor import Array, Tensor

__all__ = ["Estimator", "check_data", "entropy_from", "stream"]


class Estimator:
    """Hyper-parameters in the constructor and nothing else there; fitted attributes end in ``_``."""

    @classmethod
    def _parameter_names(cls) -> list[str]:
        return [p for p in inspect.signature(cls.__init__).parameters if p != "self"]

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The hyper-parameters by name; ``deep`` is there for scikit-learn and changes nothing."""
        return {name: getattr(self, name) for name in self._parameter_names()}

    def set_params(self, **params: Any) -> Self:
        """Set hyper-parameters by name.

        Raises
        ------
        ValueError
            If a name is unknown; nothing is set then.
        """
        known = self._parameter_names()
        unknown = sorted(params.keys() - set(known))
        if unknown:
            raise ValueError(
                f"set_params: {type(self).__name__} has no parameter {unknown[0]!r}; it has {', '.join(known)}"
            )
        for name, value in params.items():
            setattr(self, name, value)
        return self

    def __repr__(self) -> str:
        defaults = {
            n: p.default for n, p in inspect.signature(type(self).__init__).parameters.items()
        }
        changed = [f"{n}={v!r}" for n, v in self.get_params().items() if not _same(v, defaults[n])]
        return f"{type(self).__name__}({', '.join(changed)})"

    def _require_fitted(self, operation: str, attribute: str) -> None:
        if not hasattr(self, attribute):
            raise NotFittedError(
                f"{operation}: this {type(self).__name__} is not fitted yet; call fit(X) or load(path) first"
            )

    def __sklearn_tags__(self) -> Any:
        """What scikit-learn asks of an estimator; it is there if somebody asks."""
        from sklearn.utils import InputTags, Tags, TargetTags

        return Tags(
            estimator_type=None, target_tags=TargetTags(required=False), input_tags=InputTags()
        )


def _same(a: Any, b: Any) -> bool:
    return a is b or (
        not isinstance(a, np.ndarray) and not isinstance(b, np.ndarray) and bool(a == b)
    )


def check_data(X: Any, operation: str, *, dtype: Any, n_features: int | None = None) -> Array:
    """Data as a contiguous array of shape ``(N, D)``, or a word about what is wrong with them.

    Parameters
    ----------
    X
        Whatever the caller was given.
    operation
        Named in the message.
    dtype
        float32 or float64, of the result.
    n_features
        D, if it is known already.

    Raises
    ------
    ShapeError, DtypeError, ValueError
        If the data are not 2-D, empty, not numbers, of another width, or hold NaN or infinity (the first such row
        is named).
    """
    array = X.data if isinstance(X, Tensor) else np.asarray(X)
    if array.dtype.kind not in "iufb":
        raise DtypeError(f"{operation}: X holds {array.dtype} data; it must hold real numbers")
    if array.ndim != 2:
        mend = (
            "images must be flattened, X.reshape(len(X), -1)"
            if array.ndim > 2
            else "a single datum is X[None, :]"
        )
        if array.ndim == 1 and array.dtype.kind in "iu":
            mend += "; are these the labels?"
        raise ShapeError(
            f"{operation}: X has shape {array.shape}; it must be (N, D), one datum a row: {mend}"
        )
    if 0 in array.shape:
        raise ShapeError(
            f"{operation}: X has shape {array.shape}; there must be at least one datum and one feature"
        )
    if n_features is not None and array.shape[1] != n_features:
        raise ShapeError(
            f"{operation}: X has shape {array.shape}, but the model was fitted to {n_features} features"
        )
    if array.dtype.kind == "f":
        # One pass without a temporary: a sum is finite unless something in it is not (or it overflows).
        with np.errstate(all="ignore"):
            suspicious = not np.isfinite(array.sum(dtype=np.float64))
        if suspicious and (bad := ~np.isfinite(array)).any():
            row, column = np.argwhere(bad)[0]
            raise ValueError(
                f"{operation}: X[{row}, {column}] = {array[row, column]}; the data must be finite, so drop or impute "
                "such rows"
            )
    return np.ascontiguousarray(array, dtype=dtype)


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
    if (
        isinstance(random_state, int | np.integer)
        and not isinstance(random_state, bool)
        and random_state >= 0
    ):
        return int(random_state)
    raise ValueError(
        f"random_state={random_state!r} must be a whole number from 0, a RandomState, a Generator or None"
    )


def stream(entropy: int, number: int) -> np.random.Generator:
    """The numbered random stream of a model: streams are independent, so that one never disturbs another."""
    return np.random.Generator(
        np.random.PCG64(np.random.SeedSequence(entropy, spawn_key=(number,)))
    )
