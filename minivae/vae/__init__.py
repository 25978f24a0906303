"""The variational autoencoder: its networks, the model, and how it is fitted."""

from minivae.vae.model import VAE, Posterior, resume
from minivae.vae.networks import Decoder, Encoder

__all__ = ["VAE", "Decoder", "Encoder", "Posterior", "resume"]
