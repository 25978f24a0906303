"""The ways of running: interpreted for a debugger, without a cache, one compilation for a dtype."""

import os
import platform
import shutil
import sys
from pathlib import Path

import numba
import numpy as np
import pytest

import minivae_kernels as kernels
from minivae import VAE
from minivae.cli import doctor
from minivae_kernels import _beside, _jit, elementwise
from minivae_kernels.recording import listening

INTERPRETED = """
import warnings
warnings.simplefilter("error")
import numpy as np
import minivae_kernels as kernels
from minivae_kernels import reference

assert type(kernels.matmul).__name__ == "function"
rng = np.random.default_rng(0)
for dtype in (np.float32, np.float64):
    tolerance = dict(rtol=50 * np.finfo(dtype).eps, atol=50 * np.finfo(dtype).eps)
    same = lambda got, expected: np.testing.assert_allclose(got, expected, **tolerance)
    x = np.concatenate([rng.normal(size=40) * 3, [0, -0.0, 700, -700, np.inf, -np.inf, np.nan]])
    x = x.astype(dtype)
    for name in ("exp", "expm1", "log", "log1p", "tanh", "sigmoid", "softplus", "relu"):
        with np.errstate(all="ignore"):
            expected = getattr(reference, name)(x)
        same(getattr(kernels, name)(x), expected)
    for shape in ((7, 5, 9), (3, 66, 5)):
        a, b, bias = (rng.normal(size=s).astype(dtype) for s in (shape[:2], shape[1:], shape[2:]))
        for left in (a, np.asfortranarray(a)):
            for right in (b, np.asfortranarray(b)):
                got = kernels.matmul(left, right, bias=bias, activation="softplus")
                same(got, reference.matmul(a, b, bias=bias, activation="softplus"))
                layer = got, got, left, right, "softplus"
                for one, twin in zip(
                    kernels.linear_backward(*layer), reference.linear_backward(*layer)
                ):
                    same(one, twin)
    logits, log_var = rng.normal(size=(2, 4, 3)).astype(dtype)
    data, g, shared = (rng.random(s).astype(dtype) for s in ((2, 3), (4,), (1, 1)))
    for name, arguments in (
        ("binomial_log_prob", (logits, data, 1)),
        ("continuous_bernoulli_log_prob", (logits, data)),
        ("gaussian_log_prob", (data, logits, log_var)),
        ("gaussian_log_prob", (data, logits, shared)),
        ("gaussian_kl", (logits, log_var)),
    ):
        same(getattr(kernels, name)(*arguments), getattr(reference, name)(*arguments))
        got = getattr(kernels, name + "_backward")(g, *arguments)
        expected = getattr(reference, name + "_backward")(g, *arguments)
        pairs = zip(got, expected) if isinstance(got, tuple) else [(got, expected)]
        for left, right in pairs:
            same(left, right)
    z = kernels.reparameterise(data, data, logits)
    same(z, reference.reparameterise(data, data, logits))
    got = kernels.reparameterise_backward(z, data, logits)
    for left, right in zip(got, reference.reparameterise_backward(z, data, logits)):
        same(left, right)
    states = []
    for package in (kernels, reference):
        m, v, out = np.zeros((3, 1, 4, 3), dtype)
        out[0] = logits
        options = dict(learning_rate=0.1, beta1=0.9, beta2=0.99, epsilon=1e-8)
        package.adam_update(out, [log_var], m, v, step=2, **options)
        package.sgd_update(out, [log_var], m, learning_rate=0.1, momentum=0.9)
        states.append((m, v, out))
    for left, right in zip(*states):
        same(left, right)
    same(kernels.take_rows(logits, np.array([2, 0])), logits[[2, 0]])
print("agree")
"""


def test_interpreted_kernels_agree_with_their_twins(run_python):
    run = run_python(INTERPRETED, NUMBA_DISABLE_JIT="1")
    assert run.stdout == "agree\n", run.stderr


def add_one(start, stop, x, out):
    for i in range(start, stop):
        out[i] = x[i] + 1


def test_without_a_folder_for_the_cache_kernels_still_work(monkeypatch):
    njit = numba.njit

    def no_cache(*args, cache=False, **options):
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return njit(*args, **options)

    monkeypatch.setattr(numba, "njit", no_cache)
    kernel = _jit.block_kernel(add_one)
    out = np.empty(3)
    kernel.run(3, 3, np.arange(3.0), out)
    np.testing.assert_array_equal(out, [1, 2, 3])


@pytest.mark.skipif(_jit.INTERPRETED, reason="nothing is compiled")
def test_one_compilation_for_a_dtype():
    x = np.ones((4, 6), np.float32)
    locked = x.copy()
    locked.flags.writeable = False
    for a in (x, locked, x.T, x[::2], x[:, ::-1], x[0], x[0, 0:0], np.asarray(x[0, 0])):
        kernels.relu(a)
        kernels.relu(a.astype(np.float64))
    assert len(elementwise._relu.dispatcher.signatures) == 2
    other = np.ones((6, 8), np.float32)
    for a in (x, locked, np.asfortranarray(x), x[::-1]):
        for b in (other, np.asfortranarray(other), other[:, ::2]):
            kernels.matmul(a, b)
            kernels.matmul(a, b[:, :1])
    for name in ("_by_panels", "_by_dots"):
        kernel = getattr(sys.modules["minivae_kernels.matmul"], name)
        assert len(kernel.dispatcher.signatures) <= 2


@pytest.mark.skipif(_jit.INTERPRETED, reason="nothing is compiled")
@pytest.mark.slow
def test_machine_code_is_made_anew_when_what_it_is_made_with_changes(run_python, tmp_path):
    package = shutil.copytree(Path(_jit.__file__).parent, tmp_path / "minivae_kernels")
    code = f"""
import sys
sys.path.insert(0, {str(tmp_path)!r})
import numpy as np, minivae_kernels as kernels
from minivae_kernels import _sharing, clustering, elementwise
kernels.relu(np.ones(3))
clustering.lloyd_step(np.ones((3, 2)), np.ones((1, 2)))
for kernel in (elementwise._relu, clustering._assign):
    print(int(bool(kernel.dispatcher.stats.cache_hits)), end="")
print(int(bool(_sharing._compiled_join().cache_hits)), end="")
"""
    cache = {"NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    assert [run_python(code, **cache).stdout for _ in range(2)] == ["000", "111"]
    os.utime(package / "_blocks.py", (0, 0))
    assert run_python(code, **cache).stdout == "111"  # as it was, whenever it was written
    for changed in ("_jit.py", "reference.py"):
        with (package / changed).open("a") as file:
            file.write("# changed\n")
        assert run_python(code, **cache).stdout == "000"


DAMAGED = """
import warnings
import numpy as np
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    import minivae_kernels as kernels
    kernels.set_num_threads(2)
    x = np.linspace(-3, 3, 100_000)
    for _ in range(3):
        np.testing.assert_array_equal(kernels.relu(x), np.maximum(x, 0))
    from minivae_kernels import _sharing
    _sharing._compiled_join()
print(*[str(w.message) for w in caught], sep="\\n", end="")
from minivae.cli import doctor
print("; damaged" in doctor._describe_cache(), file=__import__("sys").stderr, end="")
"""


@pytest.mark.skipif(_jit.INTERPRETED, reason="nothing is compiled")
@pytest.mark.slow
def test_a_damaged_file_in_the_cache_is_compiled_anew_with_one_warning(run_python, tmp_path):
    cache = {"NUMBA_CACHE_DIR": str(tmp_path)}
    run = run_python(DAMAGED, **cache)
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "False")
    assert len(list(tmp_path.rglob("*._relu-*"))) == len(list(tmp_path.rglob("*._join-*"))) == 2
    for suffix, damage in (
        ("nbi", lambda old: b""),
        ("nbc", lambda old: old[: len(old) // 2]),
        ("nb[ci]", lambda old: b"garbage" * 9),
    ):
        for path in tmp_path.rglob(f"*.{suffix}"):
            path.write_bytes(damage(path.read_bytes()))
            assert not doctor._is_whole(path)
        run = run_python(DAMAGED, **cache)
        assert run.returncode == 0, run.stderr
        assert run.stdout.count("cannot be read or written") == 1
        assert run.stdout.count("\n") == 0
        run = run_python(DAMAGED, **cache)
        assert (run.returncode, run.stdout, run.stderr) == (0, "", "False")


FULL_DISK = """
import builtins, errno, warnings
import numba.core.caching as caching
import numpy as np

def full(self, name, data):
    raise OSError(errno.ENOSPC, "No space left on device")

caching.IndexDataCacheFile._save_data = full
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    import minivae_kernels as kernels
    kernels.set_num_threads(2)
    x = np.linspace(-3, 3, 100_000)
    for _ in range(3):
        np.testing.assert_array_equal(kernels.relu(x), np.maximum(x, 0))
    kernels.softplus(x)
print(*[str(w.message) for w in caught], sep="\\n")
"""


@pytest.mark.skipif(_jit.INTERPRETED, reason="nothing is compiled")
@pytest.mark.slow
def test_a_full_disk_is_one_warning(run_python, tmp_path):
    run = run_python(FULL_DISK, NUMBA_CACHE_DIR=str(tmp_path))
    assert run.returncode == 0, run.stderr
    assert run.stdout.count("No space left on device") == run.stdout.count("\n") == 1


def kernels_run_by(function):
    found = set()
    with listening(lambda kernel, *_: found.add(kernel.body.__name__)):
        function()
    return found


def test_the_other_process_compiles_what_a_training_step_runs(monkeypatch):
    monkeypatch.setattr(_beside, "begun", True)
    other = kernels_run_by(lambda: exec(_beside._STEP.format(dtype="float32"), {}))
    vae = VAE(2, hidden=(3,), epochs=1, random_state=0)
    step = kernels_run_by(lambda: vae.fit(np.eye(4, dtype=np.float32)))
    assert step - other == {"_by_panels", "_take"}  # with which this process begins
    assert other - step == {"tanh", "_tanh_backward"}  # of another activation


@pytest.mark.parametrize(
    ("change", "begun"),
    [
        (lambda m: None, [True]),
        (lambda m: m.setattr(kernels.threads, "_num_threads", 1), []),
        (lambda m: m.setattr(_beside, "begun", True), []),
        (lambda m: m.setattr(sys, "executable", "/opt/blender"), []),
        (lambda m: m.setattr(sys, "executable", ""), []),
    ],
)
def test_another_process_compiles_once_and_where_it_can(monkeypatch, change, begun):
    started = []

    def start(arguments, **options):
        started.append(arguments[1:3] == ["-P", "-c"] and "'float32'" in arguments[3])
        raise OSError("no more processes")

    monkeypatch.setattr(kernels.threads, "_num_threads", 2)
    monkeypatch.setattr(_beside, "begun", False)
    monkeypatch.setattr(_beside.subprocess, "Popen", start)
    change(monkeypatch)
    _beside.begin("float32")
    _beside.begin("float32")
    assert started == begun


BESIDE = """
import threading, sys
import numpy as np
import minivae_kernels as kernels
from minivae_kernels import _beside, _loops
kernels.set_num_threads(2)
x = np.ones((1, 1), np.float32)
kernels.matmul(x, np.ones((1, 20), np.float32))
for thread in threading.enumerate():
    if thread.name == "minivae compiles":
        thread.join()
kernels.reparameterise(x, x, x)  # one of the last that the other compiles
print(_beside.begun, sum(_loops.reparameterise.dispatcher.stats.cache_hits.values()))
"""


@pytest.mark.skipif(_jit.INTERPRETED, reason="nothing is compiled")
@pytest.mark.slow
def test_a_first_step_finds_what_another_process_has_compiled(run_python, tmp_path):
    runs = [run_python(BESIDE, NUMBA_CACHE_DIR=str(tmp_path)) for _ in range(2)]
    assert [(run.stdout, run.stderr) for run in runs] == [("True 1\n", ""), ("False 1\n", "")]


FORKED = """
import os, threading, time
import numpy as np
from numba.core import event
import minivae_kernels as kernels

begun = threading.Event()

class Listener(event.Listener):
    def on_start(self, event):
        begun.set()
    def on_end(self, event):
        pass

event.register("numba:compile", Listener())
x = np.ones(10)
compiling = threading.Thread(target=kernels.softplus, args=(x,))
compiling.start()
begun.wait(60)
child = os.fork()
if child == 0:
    kernels.exp(x)
    os._exit(0)
deadline = time.monotonic() + 100
while time.monotonic() < deadline:
    done, status = os.waitpid(child, os.WNOHANG)
    if done:
        print(status)
        break
    time.sleep(0.05)
else:
    os.kill(child, 9)
compiling.join()
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform")
@pytest.mark.skipif(_jit.INTERPRETED, reason="nothing is compiled")
def test_a_fork_waits_until_nobody_compiles(run_python, tmp_path):
    run = run_python(FORKED, NUMBA_CACHE_DIR=str(tmp_path), PYTHONWARNINGS="ignore")
    assert run.stdout == "0\n", run.stderr


WIDE = """
import numpy as np
from minivae_kernels import _loops, elementwise
x = np.ones(4, np.float32)
for kernel in (_loops.log1p, elementwise._relu):
    kernel.find((x, x))  # compiles it, for a processor that may be another than this
    print("zmm" in kernel.dispatcher.inspect_asm(kernel.dispatcher.signatures[0]))
"""


@pytest.mark.slow
@pytest.mark.skipif(_jit.INTERPRETED, reason="nothing is compiled")
@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="names of registers")
def test_loops_use_whole_registers_where_the_compiler_would_use_halves(run_python, tmp_path):
    features = "+avx,+avx2,+fma,+avx512f,+avx512bw,+avx512cd,+avx512dq,+avx512vl"
    intel = {"NUMBA_CPU_NAME": "rocketlake", "NUMBA_CPU_FEATURES": features}
    run = run_python(WIDE, NUMBA_CACHE_DIR=str(tmp_path), **intel)
    assert run.stdout == "True\nTrue\n", run.stderr
