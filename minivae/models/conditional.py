"""The conditional variational autoencoder: p(x, z given y), for classes or real-valued conditions.

The encoder and the decoder see y in addition to x and z, so z only has to hold what y does not
tell: the style of a digit, if y says which digit it is. Sohn, Lee and Yan (2015).
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any, Self

import numpy as np

from minivae.checks import as_classes, check_data, column_names, n_rows, require_whole
from minivae.errors import DtypeError, EffectiveSampleSizeWarning, ShapeError
from minivae.information import Surgery
from minivae.models.vae.model import VAE, OnEpoch, Path
from minivae.objectives import ElboTerms
from minivae.tensor import Array

__all__ = ["ConditionalVAE"]

_NAMES = "condition_names_in_"


class ConditionalVAE(VAE):
    """A variational autoencoder given y: q(z | x, y) and p(x | z, y).

    ``fit(X, y)`` takes whole numbers or names ``(N,)`` as classes, which become one-hot rows, and
    floats ``(N, C)`` as they are. Every method of a fitted model takes y in addition to x or z.

    %parameters%

    Attributes
    ----------
    classes_
        The classes in order, ``(C,)``; None for real-valued conditions.
    condition_names_in_
        What the columns of real-valued conditions are called, if all have names that are strings.
    encoder_, model_, history_, n_features_in_, feature_names_in_
        As for :class:`VAE`.

    References
    ----------
    Sohn, Lee and Yan (2015); Kingma, Mohamed, Rezende and Welling (2014).
    """

    _kind = "conditional-vae"

    def fit(  # type: ignore[override]
        self,
        X: Any,
        y: Any,
        *,
        checkpoint: Path | None = None,
        source: str | None = None,
        on_epoch: OnEpoch | None = None,
    ) -> Self:
        """Train on data ``(N, D)`` and their classes ``(N,)`` or conditions ``(N, C)``.

        The other arguments, and what is raised, are those of :meth:`VAE.fit`.

        Raises
        ------
        ShapeError, DtypeError
            If y is not one class or one row of numbers for each datum.
        """
        classes = _classes_of(y, "fit")
        C = self._conditions(y, classes, "fit", n_rows(X, "fit"))
        before = vars(self).copy()
        self.classes_ = classes
        self._take_columns(column_names(y, "fit", "y") if classes is None else None, _NAMES)
        try:
            return self._fit(X, C, checkpoint, source, on_epoch)
        except BaseException:
            if vars(self).get("model_") is before.get("model_"):  # nothing has been learnt
                self._become(before)
            raise

    def _conditions(self, y: Any, classes: Array | None, operation: str, n: int) -> Array:
        """One-hot rows of classes, or real-valued conditions as they are, ``(n, C)``."""
        if classes is None:
            width = None if operation == "fit" else self._condition_width_
            if width is not None:
                self._check_columns(y, operation, _NAMES, "y")
            C = check_data(y, operation, dtype=self.dtype, n_features=width, name="y")
        else:
            given = as_classes(y, operation)
            if given.ndim != 1:
                raise ShapeError(
                    f"{operation}: y has shape {given.shape}; it must be (N,), one class per datum"
                )
            place = np.searchsorted(classes, given)
            known = classes[np.minimum(place, len(classes) - 1)] == given
            if not known.all():
                i = int(np.argmin(known))
                raise ValueError(
                    f"{operation}: y[{i}] = {given[i]} is not a class of fit; those are "
                    f"{', '.join(map(str, classes))}"
                )
            C = np.eye(len(classes), dtype=self.dtype)[place]
        if len(C) != n:
            raise ShapeError(
                f"{operation}: y has {len(C)} rows for {n} data; there must be one for each"
            )
        return C

    def conditions(self, y: Any, n: int) -> Array:
        """What the model sees for y, ``(n, C)``: one-hot rows of classes, or y itself."""
        return self._given(y, "conditions", n)

    def _given(self, y: Any, operation: str, n: int) -> Array:
        self._require_fitted(operation, "model_")
        return self._conditions(y, self.classes_, operation, n)

    def _beside(self, X: Any, y: Any, operation: str) -> Array:
        """The conditions of all rows of X."""
        self._require_fitted(operation, "model_")
        return self._given(y, operation, n_rows(X, operation))

    def elbo_terms(self, X: Any, y: Any, eps: Any = None) -> ElboTerms:  # type: ignore[override]
        """The two terms of the ELBO on log p(x given y), each ``(N,)``, Eq. CVAE.1."""
        return self._elbo_terms(X, eps, "elbo_terms", self._beside(X, y, "elbo_terms"))

    def elbo(self, X: Any, y: Any, eps: Any = None) -> Array:  # type: ignore[override]
        """The bound on log p(x given y) of each datum, in nats, ``(N,)``, Eq. CVAE.1."""
        elbo: Array = self._elbo_terms(X, eps, "elbo", self._beside(X, y, "elbo")).elbo
        return elbo

    def score(self, X: Any, y: Any = None) -> float:
        """The mean ELBO, in nats per datum."""
        elbo = self._elbo_terms(X, None, "score", self._beside(X, y, "score")).elbo
        return float(elbo.mean(dtype=np.float64))

    def log_likelihood(  # type: ignore[override]
        self,
        X: Any,
        y: Any,
        n_samples: int = 1000,
        return_ess: bool = False,
        eps: Any = None,
        proposal: str = "laplace",
    ) -> Array | tuple[Array, Array]:
        """An estimate of log p(x given y), in nats; see :meth:`VAE.log_likelihood`."""
        C = self._beside(X, y, "log_likelihood")
        return self._log_likelihood(X, n_samples, return_ess, eps, proposal, C)

    def log_likelihood_of_classes(self, X: Any, n_samples: int = 100) -> Array:
        """log p(x given y) of every datum for every class, ``(N, C)``.

        With log p(y) added it is, by Bayes' rule, a classifier.

        Raises
        ------
        TypeError
            If the conditions are not classes.
        """
        self._require_fitted("log_likelihood_of_classes", "model_")
        if self.classes_ is None:
            raise TypeError("log_likelihood_of_classes: the conditions of this model are numbers")
        with warnings.catch_warnings():
            # Of a class that x does not belong to, few samples say that it is very unlikely.
            warnings.simplefilter("ignore", EffectiveSampleSizeWarning)
            n = n_rows(X, "log_likelihood_of_classes")
            columns = [
                ConditionalVAE.log_likelihood(
                    self, X, np.full(n, k), n_samples, proposal="encoder"
                )
                for k in self.classes_
            ]
        return np.stack(columns, axis=-1)

    def posterior(self, X: Any, y: Any) -> Any:  # type: ignore[override]
        """q(z | x, y) for each datum, Eq. VAE.3."""
        C = self._beside(X, y, "posterior")
        return self._evaluation().posterior(self._checked(X, "posterior"), C)

    def transform(self, X: Any, y: Any) -> Any:  # type: ignore[override]
        """The means of q(z | x, y), ``(N, K)``: what y does not tell about x."""
        C = self._beside(X, y, "transform")
        return self._dressed(self._codes(X, "transform", C), X)

    def fit_transform(self, X: Any, y: Any = None, **fit_params: Any) -> Any:
        """``fit(X, y)``, and then ``transform(X, y)``."""
        return self.fit(X, y, **fit_params).transform(X, y)

    def impute(  # type: ignore[override]
        self, X: Any, y: Any, n_samples: int = 100
    ) -> Array:
        """The data, each missing value replaced by an estimate of E[x_m | x_o, y], Eq. MISS.8."""
        return self._impute(X, n_samples, self._beside(X, y, "impute"))

    def active_units(  # type: ignore[override]
        self, X: Any, y: Any, threshold: float = 0.01
    ) -> Array:
        """Which latent dimensions are in use, ``(K,)``, Eq. VAE.6."""
        codes = self._codes(X, "active_units", self._beside(X, y, "active_units"))
        active: Array = codes.var(axis=0, dtype=np.float64) > threshold
        return active

    def surgery(self, X: Any, y: Any, n_samples: int = 1) -> Surgery:  # type: ignore[override]
        """The mean KL in two parts, over data and their conditions, Eq. SURG.2."""
        return self._surgery(X, n_samples, self._beside(X, y, "surgery"))

    def decode(self, z: Any, y: Any) -> Array:  # type: ignore[override]
        """E[x given z, y] in the data's units, ``(n, D)``, for z ``(n, K)`` and n conditions."""
        z = self._checked_codes(z, "decode")
        return self._decode(z, self._given(y, "decode", len(z)))

    def reconstruct(self, X: Any, y: Any, as_y: Any = None) -> Array:  # type: ignore[override]
        """E[x given z, y] at the mean of q(z | x, y), ``(N, D)``.

        With ``as_y`` the code is decoded under other conditions, such as the same style in another
        class.
        """
        C = self._beside(X, y, "reconstruct")
        z = self._codes(X, "reconstruct", C)
        return self._decode(z, C if as_y is None else self._given(as_y, "reconstruct", len(z)))

    def interpolate(  # type: ignore[override]
        self, a: Any, b: Any, y: Any, n: int = 10
    ) -> Array:
        """E[x given z, y] at ``n`` points between the codes of two data of one y, ``(n, D)``."""
        C = self._given(np.repeat(np.asarray([y]), n, axis=0), "interpolate", n)
        start, end = (
            self._codes(np.reshape(x, (1, -1)), "interpolate", C[:1]) for x in (a, b)
        )
        t = np.linspace(0.0, 1.0, n, dtype=start.dtype)[:, None]
        return self._decode((1 - t) * start + t * end, C)

    def sample(  # type: ignore[override]
        self, n: int | None = None, random_state: Any = None, *, y: Any
    ) -> Array:
        """A draw of x for each condition in y, ``(n, D)``, or n draws for a single condition.

        Parameters
        ----------
        n
            How many draws of a single class or condition; otherwise there is one draw for each in
            y.
        random_state
            As for :meth:`VAE.sample`.
        y
            Classes ``(n,)`` or conditions ``(n, C)``; a single class, or with ``n`` one of them.
        """
        if n is None and np.ndim(y) == 0 and y is not None:
            n = 1
        if n is not None:
            require_whole("sample", "n", n, least=1)
            y = np.repeat(np.asarray([y]), n, axis=0)
        C = self._given(y, "sample", 0 if y is None else len(np.asarray(y)))
        return self._sample(len(C), random_state, C)

    def _metadata(self) -> dict[str, Any]:
        classes = None if self.classes_ is None else self.classes_.tolist()
        names = list(getattr(self, _NAMES, ()))
        return {**super()._metadata(), "classes": classes, "condition_names": names}

    def _training_conditions(self, y: Any, n: int) -> Array | None:
        """The conditions of a resumed run, ``(N, C)``."""
        return self._given(y, "resume", n)

    def _take_metadata(self, metadata: Mapping[str, Any]) -> None:
        super()._take_metadata(metadata)
        classes = metadata["classes"]
        self.classes_ = None if classes is None else np.array(classes)
        self._load_columns(metadata.get("condition_names"), self._condition_width_ or 0, _NAMES)


def _classes_of(y: Any, operation: str) -> Array | None:
    """The distinct classes in order, or None if y are real-valued conditions.

    Raises
    ------
    DtypeError
        If y are neither.
    """
    if y is None:
        raise ShapeError(f"{operation}: y is missing; a ConditionalVAE is fitted by fit(X, y)")
    given = np.asarray(y)
    if given.ndim == 1:
        given = as_classes(y, operation)
    if given.ndim == 1 and given.dtype.kind in "biuUS":
        return np.unique(given)
    if given.ndim == 2 and given.dtype.kind in "biufO":
        return None
    raise DtypeError(
        f"{operation}: y has shape {given.shape} and dtype {given.dtype}; it must be whole numbers "
        "or names (N,), which are classes, or numbers (N, C), which are conditions"
    )
