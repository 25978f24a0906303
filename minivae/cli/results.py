"""What a trained model is worth on test data: the ELBO, its terms, and log p(x)."""

import warnings
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

import numpy as np

from minivae import VAE, CategoricalVAE, SemiSupervisedVAE
from minivae.cli.models import asked
from minivae.errors import EffectiveSampleSizeWarning
from minivae.objectives import ElboTerms
from minivae.tensor import Array

__all__ = ["Results", "measure"]

N_SAMPLES = 1000
MOST_DECODED = 4e8  # values, for log p(x): 2000 images of 14x14 or 500 of 28x28 pixels
FEW = 10.0
MOST_PAIRED = 2000  # data, for the KL's two parts: each code is held against each datum's q
PAIRS = 2**20  # for fewer data, with several codes of each: there is more chance to average out
MOST_CODES = 1000  # of each datum


@dataclass(frozen=True)
class Results:
    """Means over test data, in nats per datum; log p(x) is None where there is no likelihood."""

    test_data: int
    elbo: float
    reconstruction: float
    kl: float
    active_units: int
    latent_dim: int
    information: float | None = None  # of the KL's two parts, over the first 2000 data
    marginal_kl: float | None = None
    log_likelihood: float | None = None
    log_likelihood_data: int = 0
    log_likelihood_elbo: float = 0.0  # of the same data
    log_likelihood_samples: int = N_SAMPLES
    effective_samples_median: float = 0.0
    effective_samples_least: float = 0.0
    estimates_on_few_samples: int = 0
    accuracy: float | None = None  # of a semi-supervised model, where labels are known
    accuracy_data: int = 0

    @classmethod
    def of(cls, vae: VAE, X: Array, y: Array | None, terms: ElboTerms) -> Self:
        """Return the means of an ELBO's terms over data ``(N, D)`` and their y."""
        return cls(
            test_data=len(X),
            elbo=_mean(terms.elbo),
            reconstruction=_mean(terms.reconstruction),
            kl=_mean(terms.kl),
            active_units=int(vae.active_units(X, *asked(vae, y)).sum()),
            latent_dim=vae.latent_dim,
            **_accuracy(vae, X, y),
        )

    def as_dict(self) -> dict[str, Any]:
        """Return them by name."""
        return asdict(self)

    def as_table(self) -> str:
        """Return them as lines of at most 80 columns."""
        rows = [
            (f"test data: {self.test_data}", "nats per datum"),
            ("ELBO", f"{self.elbo:.2f}"),
            ("  = reconstruction", f"{self.reconstruction:.2f}"),
            ("  - KL", f"{self.kl:.2f}"),
        ]
        if self.log_likelihood is not None:
            rows.append(("log p(x), estimated", f"{self.log_likelihood:.2f}"))
        if self.accuracy is not None:
            rows.append((f"accuracy, of {self.accuracy_data}", f"{self.accuracy:.3f}"))
        lines = [f"{name:20}{value:>16}" for name, value in rows]
        lines.insert(4, f"  {self.active_units} of {self.latent_dim} latent dimensions are active")
        if self.log_likelihood is None:
            return "\n".join(lines)
        if self.log_likelihood_data < self.test_data and self.effective_samples_median:
            lines.append(
                f"  of the first {self.log_likelihood_data}, whose ELBO is "
                f"{self.log_likelihood_elbo:.2f}"
            )
        if not self.effective_samples_median:
            return "\n".join(lines)
        lines.append(
            f"  {self.log_likelihood_samples} samples for each datum, effective "
            f"{self.effective_samples_median:.0f} (median), "
            f"{self.effective_samples_least:.1f} (least)"
        )
        if self.estimates_on_few_samples:
            lines.append(
                f"  {self.estimates_on_few_samples} rest on fewer than {FEW:.0f} effective "
                "samples, and are likely too low"
            )
        return "\n".join(lines)


def _accuracy(vae: VAE, X: Array, y: Array | None) -> dict[str, Any]:
    if not isinstance(vae, SemiSupervisedVAE) or y is None or not (y >= 0).any():
        return {}
    known = y >= 0
    right = vae.predict(X[known]) == y[known]
    return {"accuracy": float(right.mean()), "accuracy_data": len(right)}


def measure(vae: VAE, X: Array, y: Array | None = None) -> Results:
    """Measure a fitted model on test data ``(N, D)`` and their y, if it is asked with y."""
    given = asked(vae, y)
    terms = vae.elbo_terms(X, *given)
    few = [None if a is None else a[:MOST_PAIRED] for a in given]
    codes = min(MOST_CODES, max(1, PAIRS // len(X) ** 2))
    parts = vae.surgery(X[:MOST_PAIRED], *few, n_samples=codes)  # type: ignore[arg-type, misc]
    results = replace(Results.of(vae, X, y, terms), **parts._asdict())
    if not vae.likelihood_.is_density:
        return results
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", EffectiveSampleSizeWarning)  # the table says it
        values = X.shape[1] * max(vae.likelihood_.outputs())
        most = max(1, int(MOST_DECODED / (N_SAMPLES * values)))
        some = [None if a is None else a[:most] for a in given]
        how = {"n_samples": N_SAMPLES, "return_ess": True}
        if isinstance(vae, CategoricalVAE):  # exact, for all
            log_p, ess = vae.log_likelihood(X), np.zeros(1)
        elif isinstance(vae, SemiSupervisedVAE):  # each class has an estimate of its own
            most, ess = max(1, most // len(vae.classes_)), np.zeros(1)  # type: ignore[arg-type]
            log_p = vae.log_likelihood(X[:most], n_samples=N_SAMPLES)
        else:
            log_p, ess = vae.log_likelihood(X[:most], *some, **how)  # type: ignore[arg-type]
    return replace(
        results,
        log_likelihood=_mean(log_p),
        log_likelihood_data=len(log_p),
        log_likelihood_elbo=_mean(terms.elbo[: len(log_p)]),
        effective_samples_median=float(np.median(ess)),
        effective_samples_least=float(np.min(ess)),
        estimates_on_few_samples=int((ess < FEW).sum()),
    )


def _mean(values: Any) -> float:
    return float(np.mean(values, dtype=np.float64))
