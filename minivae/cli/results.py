"""What a trained model is worth on test data: the ELBO, its terms, and log p(x)."""

import warnings
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

import numpy as np

from minivae import VAE
from minivae.errors import EffectiveSampleSizeWarning
from minivae.objectives import ElboTerms
from minivae.tensor import Array

__all__ = ["Results", "measure"]

N_SAMPLES = 1000
MOST_DECODED = 4e8  # values, for log p(x): 2000 images of 14x14 or 500 of 28x28 pixels
FEW = 10.0
MOST_PAIRED = 2000  # data, for the KL's two parts: each code is held against each datum's q


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

    @classmethod
    def of(cls, vae: VAE, X: Array, terms: ElboTerms) -> Self:
        """Return the means of an ELBO's terms over data ``(N, D)``."""
        return cls(
            test_data=len(X),
            elbo=_mean(terms.elbo),
            reconstruction=_mean(terms.reconstruction),
            kl=_mean(terms.kl),
            active_units=int(vae.active_units(X).sum()),
            latent_dim=vae.latent_dim,
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
        lines = [f"{name:20}{value:>16}" for name, value in rows]
        lines.insert(4, f"  {self.active_units} of {self.latent_dim} latent dimensions are active")
        if self.log_likelihood is None:
            return "\n".join(lines)
        if self.log_likelihood_data < self.test_data:
            lines.append(
                f"  of the first {self.log_likelihood_data}, whose ELBO is "
                f"{self.log_likelihood_elbo:.2f}"
            )
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


def measure(vae: VAE, X: Array) -> Results:
    """Measure a fitted model on test data ``(N, D)``."""
    terms = vae.elbo_terms(X)
    parts = vae.surgery(X[:MOST_PAIRED])
    results = replace(Results.of(vae, X, terms), **parts._asdict())
    if not vae.likelihood_.is_density:
        return results
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", EffectiveSampleSizeWarning)  # the table says it
        values = X.shape[1] * max(vae.likelihood_.outputs())
        most = max(1, int(MOST_DECODED / (N_SAMPLES * values)))
        log_p, ess = vae.log_likelihood(X[:most], N_SAMPLES, return_ess=True)
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
