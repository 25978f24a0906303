"""The variational autoencoder: its networks, the model, and how it is fitted.

- `networks`: the encoder, and the decoder's layers;
- `hyperparameters`: which settings make sense together;
- `objective`: the loss of a minibatch; `prior_warmup`: how a mixture prior begins;
- `evaluation`: data seen through a fitted model;
- `fitted`: what a fitted one can do; `model`: the estimator; `files`: what it leaves on disk.
"""

from minivae.models.vae.model import VAE
from minivae.models.vae.networks import Encoder

__all__ = ["VAE", "Encoder"]
