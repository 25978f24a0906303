"""A second process that compiles what a training step will need, while this one compiles, too.

Numba compiles one function at a time in a process. So where the product of matrices, the first and
longest of a step's kernels, is not on the disk yet, another process begins with the last of them
and keeps them there, where this process finds those that are done when it comes to them. Nothing
waits for the other and nothing depends on it: what it has not done is compiled here.
"""

import atexit
import os
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

from minivae_kernels import threads

_STEP = """
from minivae_kernels import _beside
_beside.begun = True
import numpy as np
import minivae_kernels as kernels
from minivae_kernels import sums
from minivae_kernels._sharing import _compiled_join
_compiled_join()
x = np.ones((1, 1), {dtype!r})
row = x[0]
rates = dict(step=1, learning_rate=0, beta1=0, beta2=0, epsilon=1)
kernels.adam_update(*[[x.copy()] for _ in range(4)], **rates)
kernels.add(x, x)
kernels.reparameterise_backward(x, x, x)
kernels.relu_backward(x, x)
kernels.tanh_backward(x, x)
kernels.linear_backward(x, x, x, x, "identity", (False, False, True))
kernels.binomial_log_prob_backward(row, x, x, 1)
kernels.gaussian_kl_backward(row, x, x)
sums.mean(row)
kernels.gaussian_kl(x, x)
kernels.binomial_log_prob(x, x, 1)
kernels.reparameterise(x, x, x)
kernels.matmul(x, x[:, :0])  # few columns, whatever a register holds
kernels.tanh(x)
"""

begun = False  # once in a process


def begin(dtype: str) -> None:
    """Start the other process, where there is a processor for it."""
    global begun
    program = Path(sys.executable or "")
    if begun or threads.get_num_threads() < 2 or not program.name.startswith("python"):
        return  # the last: where Python is part of another program, that would start again
    begun = True
    with suppress(OSError):
        other = subprocess.Popen(
            [program, "-P", "-c", _STEP.format(dtype=dtype)],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
        threading.Thread(target=other.wait, name="minivae compiles", daemon=True).start()
        atexit.register(other.kill)
