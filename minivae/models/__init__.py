"""The estimators: Gaussian mixtures, the variational autoencoder, and recipes for data sets."""
