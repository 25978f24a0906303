"""The estimators: mixtures by EM, the variational autoencoder, and recipes for data sets."""
