"""Threads: the same bits on any number of them, callers at once, forks, Ctrl-C, how many."""

import _thread
import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import minivae_kernels as kernels
from minivae import cli
from minivae_kernels import _sharing, threads


@pytest.fixture(autouse=True)
def three_threads(set_threads):
    set_threads(3)


def large_work():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 300, 300)).astype(np.float32)
    deep, tall = rng.normal(size=(2, 3000, 75)).astype(np.float32)
    x = rng.normal(size=600_001).astype(np.float32)
    m, v, out = np.zeros_like(x), np.zeros_like(x), x.copy()
    numbers = {"step": 1, "learning_rate": 0.1, "beta1": 0.9, "beta2": 0.99, "epsilon": 1e-8}
    kernels.adam_update([out], [x], [m], [v], **numbers)
    return [
        # wide, narrow and deep, of every layout
        kernels.matmul(a, b, bias=x[:300], activation="tanh"),
        kernels.matmul(a.T, b.T, bias=x[:300], activation="relu"),
        kernels.matmul(a[:, :200], b[:200], bias=x[:300], activation="relu"),
        kernels.matmul(a[:200].T, b[:200]),
        kernels.matmul(a.T, b[:, :40].copy()),
        kernels.matmul(tall, a[:75, :40].copy()),
        kernels.matmul(deep.T, tall.T.copy().T),
        *kernels.linear_backward(a, b, tall[:300], deep.T[:, :300].copy(), "relu"),
        kernels.softplus(x),
        out,
    ]


def test_any_number_of_threads_gives_the_same_bits():
    results = []
    for n in (1, 2, 5):
        kernels.set_num_threads(n)
        results.append(large_work())
    for other in results[1:]:
        for left, right in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(left, right)


def test_callers_in_several_threads_at_once():
    expected = large_work()
    wrong = []

    def call():
        for _ in range(5):
            for left, right in zip(large_work(), expected, strict=True):
                if not np.array_equal(left, right):
                    wrong.append(left)

    callers = [threading.Thread(target=call, daemon=True) for _ in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(60)
        assert not caller.is_alive()
    assert not wrong


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_can_go_on():
    expected = large_work()
    child = os.fork()
    if child == 0:
        same = all(np.array_equal(a, b) for a, b in zip(large_work(), expected, strict=True))
        os._exit(0 if same else 1)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            assert status == 0
            return
        time.sleep(0.01)
    os.kill(child, 9)
    os.waitpid(child, 0)
    pytest.fail("the forked process hangs")


def call_for_long(x):
    for _ in range(100_000):
        kernels.exp(x)


def test_ctrl_c_waits_for_the_helpers():
    large_work()  # what is to be compiled is compiled
    x = np.ones(3_000_000, np.float32)
    threading.Timer(0.05, _thread.interrupt_main).start()
    with pytest.raises(KeyboardInterrupt):
        call_for_long(x)
    assert not _sharing._pool.free.locked()
    assert _sharing._pool.numbers[_sharing._INSIDE] == _sharing._SHUT
    large_work()


def test_arrays_are_let_go_of():
    kernels.exp(np.zeros(10))
    x = np.zeros(600_000)
    before = sys.getrefcount(x)
    for _ in range(20):
        kernels.exp(x)
    time.sleep(0.05)
    assert sys.getrefcount(x) == before


@pytest.mark.parametrize("n", [0, -1, 1.5, True, "2"])
def test_a_number_of_threads_that_is_none(n):
    with pytest.raises(ValueError, match="n must be a positive integer"):
        kernels.set_num_threads(n)


def in_a_new_process(code, **environment):
    return subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.slow
def test_the_environment_sets_the_number():
    code = "from minivae_kernels import threads; print(threads.get_num_threads())"
    path = os.pathsep.join(p for p in sys.path if p)
    assert in_a_new_process(code, MINIVAE_NUM_THREADS="5", PYTHONPATH=path).stdout == "5\n"
    assert int(in_a_new_process(code, MINIVAE_NUM_THREADS="", PYTHONPATH=path).stdout) >= 1


@pytest.mark.parametrize("text", ["many", "0", "-1", "1.5"])
def test_an_environment_that_sets_no_number(text, monkeypatch, capsys):
    monkeypatch.setenv("MINIVAE_NUM_THREADS", text)
    monkeypatch.setattr(threads, "_num_threads", None)
    with pytest.raises(ValueError, match="MINIVAE_NUM_THREADS must be a positive integer, not"):
        kernels.get_num_threads()
    assert cli.main(["doctor"]) == 2  # a sentence, and no traceback
    assert f"positive integer, not {text!r}" in capsys.readouterr().err
    kernels.set_num_threads(1)
    assert kernels.get_num_threads() == 1


@pytest.mark.parametrize(
    ("group", "quotas", "expected"),
    [
        ("0::/", {"cpu.max": "max 100000"}, 64),
        ("0::/", {"cpu.max": "250000 100000"}, 2),
        ("0::/", {"cpu.max": "50000 100000"}, 1),
        ("0::/a/b", {"a/cpu.max": "300000 100000", "a/b/cpu.max": "max 100000"}, 3),
        ("0::/outside", {"cpu.max": "400000 100000"}, 4),
        ("0::/", {"cpu.max": "nonsense"}, 64),
        ("1:cpu,cpuacct:/x", {"cpu,cpuacct/x/cpu.cfs_quota_us": "600000"}, 64),
        (
            "4:memory:/\n1:cpu,cpuacct:/x",
            {
                "cpu,cpuacct/x/cpu.cfs_quota_us": "600000",
                "cpu,cpuacct/x/cpu.cfs_period_us": "100000",
                "cpu,cpuacct/cpu.cfs_quota_us": "-1",
                "cpu,cpuacct/cpu.cfs_period_us": "100000",
            },
            6,
        ),
    ],
)
def test_a_control_group_limits_the_processors(tmp_path, monkeypatch, group, quotas, expected):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(64)), raising=False)
    files = {f"sys/fs/cgroup/{name}": text for name, text in quotas.items()}
    for name, text in {"proc/self/cgroup": group, **files}.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    assert threads.available_cpus(tmp_path) == expected
