"""The variational autoencoder: its networks, the model, and how it is fitted."""

from minivae.vae.model import VAE, Posterior, resume
from minivae.vae.networks import Decoder, Encoder
from minivae.vae.prior import MixturePrior

__all__ = ["VAE", "Decoder", "Encoder", "MixturePrior", "Posterior", "resume"]
