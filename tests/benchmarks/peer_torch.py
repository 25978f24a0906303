"""PyTorch, eager, with its fused Adam."""

from __future__ import annotations

from typing import Any

import cases
import torch

VERSION = f"torch {torch.__version__}"
_FUNCTIONS = {
    "exp": torch.exp,
    "tanh": torch.tanh,
    "log1p": torch.log1p,
    "sigmoid": torch.sigmoid,
    "softplus": torch.nn.functional.softplus,
}
bce = torch.nn.functional.binary_cross_entropy_with_logits


def set_threads(n: int) -> None:
    torch.set_num_threads(n)


def prepare(case: str) -> Any:
    kind = case.split()[0]
    return {
        "product": _product,
        "layer": _layer,
        "function": _function,
        "bernoulli": _bernoulli,
        "tape": _tape,
    }.get(kind, _step)(case)


def _product(case: str) -> Any:
    a, b = map(torch.from_numpy, cases.product_data(case))
    return lambda: a @ b, lambda: {"answer": cases.fingerprint((a @ b).numpy())}


def _layer(case: str) -> Any:
    x, w, b, g = map(torch.from_numpy, cases.layer_data(case))
    w, b, x = w.T.contiguous().requires_grad_(), b.requires_grad_(), x.requires_grad_()

    def run() -> Any:
        out = torch.relu(torch.nn.functional.linear(x, w, b))
        return out, torch.autograd.grad(out, (x, w, b), g)

    def answer() -> Any:
        out, (gx, gw, gb) = run()
        return {"answer": cases.fingerprint(*(t.detach().numpy() for t in (out, gx, gw.T, gb)))}

    return run, answer


def _function(case: str) -> Any:
    f, x = _FUNCTIONS[case.split()[1]], torch.from_numpy(cases.function_data(case))
    return lambda: f(x), lambda: {"answer": cases.fingerprint(f(x).numpy())}


def _bernoulli(case: str) -> Any:
    logits, x = map(torch.from_numpy, cases.bernoulli_data())
    logits.requires_grad_()

    def run() -> Any:
        log_p = -bce(logits, x, reduction="none").sum(1)
        return log_p, torch.autograd.grad(log_p.sum(), logits)[0]

    def answer() -> Any:
        log_p, g = run()
        return {"answer": cases.fingerprint(log_p.detach().numpy(), g.numpy())}

    return run, answer


def _tape(case: str) -> Any:
    x, g = torch.linspace(-1, 1, 10).requires_grad_(), torch.ones(10)

    def run() -> None:
        x.grad = None
        torch.tanh(x).backward(g)

    def answer() -> Any:
        run()
        return {"answer": cases.fingerprint(x.grad.numpy())}

    return run, answer


def loss_of(p: Any, x: Any, eps: Any) -> Any:
    """The negative ELBO, a mean over the batch."""
    h = torch.relu(torch.addmm(p["hidden.bias"], x, p["hidden.weight"]))
    mu = torch.addmm(p["mu.bias"], h, p["mu.weight"])
    log_var = torch.addmm(p["log_var.bias"], h, p["log_var.weight"])
    z = mu + torch.exp(0.5 * log_var) * eps
    back = torch.relu(torch.addmm(p["back.bias"], z, p["back.weight"]))
    logits = torch.addmm(p["logits.bias"], back, p["logits.weight"])
    kl = -0.5 * torch.sum(1 + log_var - mu * mu - log_var.exp())
    return (bce(logits, x, reduction="sum") + kl) / len(x)


def _step(case: str, compiled: bool = False) -> Any:
    X, parameters, eps = cases.step_data(case)
    X = torch.from_numpy(X)
    p = {
        name: torch.from_numpy(value.copy()).requires_grad_() for name, value in parameters.items()
    }
    adam = torch.optim.Adam(p.values(), lr=1e-3, fused=True)
    batch, latent = eps.shape
    order = torch.randperm(len(X))
    loss_function = torch.compile(loss_of) if compiled else loss_of
    position = [0]

    def run() -> None:
        i = position[0] = (position[0] + batch) % (len(X) - batch)
        x = X[order[i : i + batch]]
        loss = loss_function(p, x, torch.randn(batch, latent))
        adam.zero_grad(set_to_none=True)
        loss.backward()
        adam.step()

    def answer() -> Any:
        fresh = {
            name: torch.from_numpy(value.copy()).requires_grad_()
            for name, value in parameters.items()
        }
        loss = loss_of(fresh, X[:batch], torch.from_numpy(eps))
        grads = torch.autograd.grad(loss, list(fresh.values()))
        return {"answer": [loss.item(), *cases.fingerprint(*(g.numpy() for g in grads))]}

    return run, answer
