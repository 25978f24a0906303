"""Compiled loops on plain arrays; they know nothing of gradients or of models.

- ``matmul``: the matrix product with its bias and activation; ``linear_backward``: its gradients;
- ``elementwise``: exp, log, tanh and their kin, and the activations;
- ``likelihoods``: log-densities and divergences summed over columns, with their gradients;
- ``optimisers``: Adam and momentum in one pass; ``gather``: picking rows;
- ``recording``: which loops were run, to run them again without their wrappers;
- ``threads``: the pool they run on; ``reference``: the same functions in plain NumPy.
"""

from minivae_kernels.elementwise import (
    ACTIVATIONS,
    activation_backward,
    activation_forward,
    add,
    exp,
    expm1,
    log,
    log1p,
    relu,
    relu_backward,
    sigmoid,
    sigmoid_backward,
    softplus,
    softplus_backward,
    tanh,
    tanh_backward,
)
from minivae_kernels.gather import take_rows
from minivae_kernels.likelihoods import (
    binomial_log_prob,
    binomial_log_prob_backward,
    continuous_bernoulli_log_prob,
    continuous_bernoulli_log_prob_backward,
    gaussian_kl,
    gaussian_kl_backward,
    gaussian_log_prob,
    gaussian_log_prob_backward,
    reparameterise,
    reparameterise_backward,
)
from minivae_kernels.matmul import linear_backward, matmul
from minivae_kernels.optimisers import adam_update, sgd_update
from minivae_kernels.threads import get_num_threads, set_num_threads

__all__ = [
    "ACTIVATIONS", "activation_backward", "activation_forward", "adam_update", "add",
    "binomial_log_prob", "binomial_log_prob_backward", "continuous_bernoulli_log_prob",
    "continuous_bernoulli_log_prob_backward", "exp", "expm1", "gaussian_kl", "gaussian_kl_backward",
    "gaussian_log_prob", "gaussian_log_prob_backward", "get_num_threads", "linear_backward", "log",
    "log1p", "matmul", "relu", "relu_backward", "reparameterise", "reparameterise_backward",
    "set_num_threads", "sgd_update", "sigmoid", "sigmoid_backward", "softplus", "softplus_backward",
    "take_rows", "tanh", "tanh_backward",
]  # fmt: skip
