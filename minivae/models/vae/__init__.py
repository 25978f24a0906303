"""The variational autoencoder: its networks, the model, and how it is fitted.

- `networks`: the encoder, and the decoder's layers;
- `hyperparameters`: which settings make sense together;
- `objective`: the loss of a minibatch; `prior_warmup`: how a mixture prior begins;
- `evaluation`: data seen through a fitted model;
- `model`: the estimator; `files`, `resuming`: what it leaves on disk, and going on from there.
"""

from minivae.models.vae.model import VAE
from minivae.models.vae.networks import Encoder
from minivae.models.vae.resuming import resume

__all__ = ["VAE", "Encoder", "resume"]
