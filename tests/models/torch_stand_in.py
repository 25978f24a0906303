"""As much of PyTorch as an exported script uses, made of NumPy: for machines that have none."""

import types
from contextlib import nullcontext

import numpy as np
from scipy import special


class Tensor(np.ndarray):
    """An array with the methods that PyTorch calls otherwise."""

    device = "cpu"

    def double(self):
        return self.astype(np.float64)

    def long(self):
        return self.astype(np.int64)

    def to(self, dtype):
        return self.astype(dtype)

    def detach(self):
        return self

    cpu = detach

    def numpy(self):
        return np.asarray(self)


class Parameter(Tensor):
    pass


def tensor(array, kind=Tensor):
    return np.asarray(array).view(kind)


class Module:
    def __init__(self):
        pass

    def __call__(self, *inputs):
        return self.forward(*inputs)

    def register_buffer(self, name, value):
        setattr(self, name, tensor(value, Parameter))

    def _parts(self):
        return vars(self).items()

    def _places(self, prefix=""):
        for name, part in self._parts():
            if isinstance(part, Parameter):
                yield prefix + name, self, name
            elif isinstance(part, Module):
                yield from part._places(f"{prefix}{name}.")

    def state_dict(self):
        return {full: getattr(owner, name) for full, owner, name in self._places()}

    def load_state_dict(self, state):
        assert state.keys() == self.state_dict().keys()
        for full, owner, name in self._places():
            assert getattr(owner, name).shape == state[full].shape, full
            setattr(owner, name, tensor(state[full], Parameter))

    def to(self, dtype):
        return self


class ModuleList(Module):
    def __init__(self, parts):
        self.parts = list(parts)

    def _parts(self):
        return [(str(i), part) for i, part in enumerate(self.parts)]

    def __iter__(self):
        return iter(self.parts)

    def __getitem__(self, i):
        return self.parts[i]


class Linear(Module):
    def __init__(self, fan_in, fan_out):
        self.weight = tensor(np.zeros((fan_out, fan_in)), Parameter)
        self.bias = tensor(np.zeros(fan_out), Parameter)

    def forward(self, x):
        return x @ self.weight.T + self.bias


nn = types.ModuleType("torch.nn")
nn.Module, nn.ModuleList, nn.Linear = Module, ModuleList, Linear
nn.Parameter = lambda value: tensor(value, Parameter)

functional = types.ModuleType("torch.nn.functional")
functional.softplus = lambda x: tensor(np.logaddexp(0, x).astype(x.dtype))
functional.one_hot = lambda x, n: tensor(np.eye(n, dtype=np.int64)[x])
nn.functional = functional

torch = types.ModuleType("torch")
torch.nn = nn
torch.float32, torch.float64 = np.float32, np.float64
torch.linalg = types.SimpleNamespace(inv=lambda a: tensor(np.linalg.inv(a)))
torch.no_grad = nullcontext
torch.from_numpy = tensor
torch.zeros = lambda *shape: tensor(np.zeros(shape))
torch.ones = lambda *shape: tensor(np.ones(shape))
torch.eye = lambda n, dtype, device: tensor(np.eye(n, dtype=dtype))
torch.randn = lambda *shape, dtype, device: tensor(np.zeros(shape, dtype))
torch.relu = lambda x: tensor(np.maximum(x, 0))
torch.sigmoid = lambda x: tensor(special.expit(x))
torch.lgamma = lambda x: tensor(special.gammaln(x))
torch.log_softmax = lambda x, axis: x - torch.logsumexp(x, axis)[..., None]
torch.logsumexp = lambda x, axis: tensor(np.logaddexp.reduce(x, axis))
torch.full_like = lambda x, value: tensor(np.full(x.shape, value, x.dtype))
for name in ("exp", "log", "log1p", "tanh", "abs", "where", "tril", "ones_like", "zeros_like"):
    setattr(torch, name, getattr(np, name))

MODULES = {"torch": torch, "torch.nn": nn, "torch.nn.functional": functional}
