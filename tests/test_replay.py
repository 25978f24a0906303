"""Steps that are recorded and run again: the same bits as on the tape, or the tape itself."""

import gc
import signal
import threading
import tracemalloc

import numpy as np
import pytest

import minivae
import minivae_kernels as kernels
from minivae import VAE, ConditionalVAE, SemiSupervisedVAE, ops
from minivae.nn import MLP
from minivae.optim import SGD, Adam, RMSprop
from minivae.recording import address
from minivae.replay import ATTEMPTS, CHECKED, PAGE
from minivae.tensor import Tensor
from minivae.training import Hook, Player, Run

N, D = 230, 12
RNG = np.random.default_rng(0)
BINARY = (RNG.random((N, D)) < 0.4).astype(float)
COUNTS = RNG.binomial(16, 0.3, (N, D)).astype(float)
REAL = RNG.standard_normal((N, D))
GREY = RNG.random((N, D))
THREE = RNG.integers(0, 3, (N, D)).astype(float)
CLASSES = RNG.integers(0, 3, N)
SOME = np.where(RNG.random(N) < 0.5, CLASSES, -1)
SMALL = {"hidden": (7,), "latent_dim": 2, "epochs": 4, "batch_size": 50, "random_state": 1}


@pytest.fixture
def fit(monkeypatch):
    """Fit on the tape alone, or with programs; return the model and how its steps were done."""
    runs = []
    run = Run.run
    monkeypatch.setattr(Run, "run", lambda self: (runs.append(self), run(self))[1])

    def fitted(kind, *data, on=True, **options):
        monkeypatch.setenv("MINIVAE_REPLAY", str(int(on)))
        model = kind(**{**SMALL, **options}).fit(*data)
        return model, runs[-1]._steps[0]

    return fitted


def bits(model):
    return model.history_, {name: p.tobytes() for name, p in model.state_dict().items()}


def mlp_run(loss=None, replay=True, optimiser=None, hooks=(), epochs=6, players=None, **options):
    """A classifier by hand; its parameters and run."""
    mlp = MLP([D, 6, 3], rng=np.random.default_rng(3), activation="tanh")

    def cross_entropy(batch, rng, progress):
        x, y = batch
        log_p = ops.log_softmax(mlp(x), -1)
        nll = -ops.mean(ops.take_along_axis(log_p, y[:, None], 1))
        right = float((log_p.data.argmax(1) == y).mean())
        return nll, {"loss": nll.item(), "accuracy": right}

    run = Run(
        players(mlp)
        if players
        else [Player(mlp.parameters(), loss(mlp) if loss else cross_entropy)],
        [REAL, CLASSES], epochs=epochs, batch_size=50, order=np.random.default_rng(0),
        noise=np.random.default_rng(1), optimiser=optimiser or (lambda p: Adam(p, 0.01)),
        hooks=hooks, replay=replay, **options,
    )  # fmt: skip
    return mlp, run


def both(**options):
    """A run with programs and its twin on the tape, which must end with the same bits."""
    ends = []
    for replay in (False, True):
        mlp, run = mlp_run(replay=replay, **options)
        run.run()
        ends.append((run.history, {name: p.tobytes() for name, p in mlp.state_dict().items()}))
    assert ends[0] == ends[1]
    return mlp, run


def replays(step):
    return step.program is not None and step.program.agreed == CHECKED


# The same bits ------------------------------------------------------------------------------------

EXACT = [
    *[(VAE, (BINARY,), {"activation": a}) for a in ops.ACTIVATIONS],
    (VAE, (COUNTS,), {"likelihood": "binomial", "n_trials": 16}),
    (VAE, (REAL,), {"likelihood": "gaussian", "standardise": True}),
    (VAE, (REAL,), {"likelihood": "gaussian", "sigma": "shared"}),
    (VAE, (REAL,), {"likelihood": "gaussian", "sigma": "optimal", "n_samples": 2}),
    (VAE, (GREY,), {"likelihood": "continuous-bernoulli"}),
    (VAE, (COUNTS,), {"likelihood": "poisson"}),
    (VAE, (THREE,), {"likelihood": "categorical", "n_classes": 3}),
    (VAE, (GREY,), {"grey": "sample"}),
    (VAE, (BINARY,), {"beta": 0.5, "hidden": (9, 8), "dtype": "float64"}),
    (VAE, (BINARY,), {"kl": "monte-carlo", "n_samples": 3}),
    (VAE, (BINARY,), {"beta_warmup": 1.5}),
    (VAE, (BINARY,), {"objective": "importance-weighted", "n_samples": 3}),
    (VAE, (BINARY,), {"prior": "mixture", "prior_components": 2, "prior_warmup": 1}),
    (VAE, (BINARY,), {"gradient": "score-function", "n_samples": 2}),
    (ConditionalVAE, (BINARY, CLASSES), {}),
]


@pytest.mark.parametrize(("kind", "data", "options"), EXACT, ids=lambda x: str(x)[:40])
def test_a_program_computes_the_bits_of_the_tape(fit, kind, data, options):
    model, step = fit(kind, *data, **options)
    assert replays(step), step.refusal
    assert bits(model) == bits(fit(kind, *data, on=False, **options)[0])


@pytest.mark.parametrize(
    ("kind", "data", "options"),
    [
        (SemiSupervisedVAE, (BINARY, SOME), {}),  # as many rows as there are labels in a batch
    ],
)
def test_what_a_program_cannot_do_stays_on_the_tape(fit, kind, data, options):
    model, step = fit(kind, *data, **options)
    assert not replays(step)
    assert step.refusal
    assert bits(model) == bits(fit(kind, *data, on=False, **options)[0])


def test_one_thread_and_two(fit):
    X = np.repeat(BINARY, 12, axis=1)
    ends, before = [], kernels.get_num_threads()
    try:
        for threads in (1, 2):
            kernels.set_num_threads(threads)
            model, step = fit(VAE, X, hidden=(300,), batch_size=115, epochs=5)
            assert replays(step)
            ends.append(bits(model))
        ends.append(bits(fit(VAE, X, on=False, hidden=(300,), batch_size=115, epochs=5)[0]))
    finally:
        kernels.set_num_threads(before)
    assert ends[0] == ends[1] == ends[2]


@pytest.mark.parametrize(
    "optimiser",
    [lambda p: SGD(p, 0.1, 0.9), lambda p: RMSprop(p, 0.01), lambda p: Adam(p, 0.01)],
    ids=["sgd", "rmsprop", "adam"],
)
def test_every_optimiser_moves_a_network_by_hand(optimiser):
    _, run = both(optimiser=optimiser)
    assert replays(run._steps[0])


def test_a_learning_rate_that_moves():
    class Halve(Hook):
        def step_begins(self, run, progress):
            run.optimisers[0].learning_rate = 0.05 / (1 + progress)

    _, run = both(hooks=[Halve()])
    assert replays(run._steps[0])


def test_a_layer_by_hand_with_views_and_sums(monkeypatch):
    def loss(mlp):
        first, last = mlp.layers

        def of(batch, rng, progress):
            x = Tensor(batch[0] / np.sqrt(np.square(batch[0]).mean(axis=0)))
            h = ops.exp(-ops.square(x @ first.weight + first.bias))
            out = (h * rng.random(h.shape)) @ last.weight + last.bias
            loss = ops.mean(ops.square(out - rng.standard_normal((1, 3))))
            decay = sum(ops.sum(ops.square(p)) for p in mlp.parameters())
            return loss + 1e-3 * decay, {"norm": float(np.square(first.bias.data).sum())}

        return of

    _, run = both(loss=loss)
    assert replays(run._steps[0])


def two_players(weight):
    """One moves the first layer by a weighted loss, the other the last by half of it."""

    def players(mlp):
        first, last = mlp.layers

        def loss(name, weight):
            def of(batch, rng, progress):
                out = ops.mean(ops.square(mlp(batch[0]) - 1.0))
                return weight(progress) * out, {name: out.item()}

            return of

        return [
            Player(first.parameters(), loss("first", weight)),
            Player(last.parameters(), loss("last", lambda _: 0.5), lambda p: SGD(p, 0.01)),
        ]

    return players


def test_a_programs_arrays_begin_where_cache_lines_do_and_take_the_rows_themselves(fit):
    X = np.random.default_rng(0).integers(0, 2, (260, 24)).astype(np.float32)
    _, step = fit(VAE, X, hidden=(48,), batch_size=65)
    program = step.program
    large = [x for x in program.batch if x.nbytes >= PAGE]
    assert large
    for x in (*program.views, *program.gradients, *large):
        assert address(x) % 64 == 0
    assert step.room(65) is program.batch
    assert step.room(64) is None
    program.agreed -= 1  # the tape would make them read-only
    assert step.room(65) is None


def test_two_players_see_each_others_steps():
    _, run = both(players=two_players(lambda progress: 1.0))
    assert all(map(replays, run._steps))


def test_a_player_is_recorded_anew_while_the_other_one_is_moved_in_place():
    _, run = both(players=two_players(lambda progress: 3.0 if progress >= 2.5 else 1.0))
    assert all(map(replays, run._steps))
    assert run._steps[0].attempts < run._steps[1].attempts


# What it cannot see -------------------------------------------------------------------------------


def never(what):
    """A loss with something in it that no program may do."""

    def loss(mlp):
        own, calls = np.random.default_rng(7), []

        def of(batch, rng, progress):
            x = batch[0]
            calls.append(1)
            scale = what(x, rng, progress, own, len(calls))
            loss = ops.mean(ops.square(mlp(x))) * scale
            return loss, {"loss": loss.item()}

        return of

    return loss


def by_value(x, rng, progress, own, calls):
    return 2.0 if x.mean() > 0 else 1.0


def by_value_of_an_operation(x, rng, progress, own, calls):
    return 2.0 if ops.mean(ops.sum(x, 1)) > 0 else 1.0


def in_place(x, rng, progress, own, calls):
    copy = x + 0.0
    copy[0] = 5.0
    return float(copy[0, 0])


@pytest.mark.parametrize(
    "what",
    [
        by_value,
        by_value_of_an_operation,
        in_place,
        lambda x, rng, progress, own, calls: own.random(),
        lambda x, rng, progress, own, calls: 1.0 + 0.1 * calls,
        lambda x, rng, progress, own, calls: 1.0 + np.abs(np.asarray(x)).mean(),
        lambda x, rng, progress, own, calls: float(np.abs(x).max()) + 1.0,
        lambda x, rng, progress, own, calls: np.abs(x).max(),
        lambda x, rng, progress, own, calls: 1.0 + len(x.tolist()[0]) * 0.1,
        lambda x, rng, progress, own, calls: 1.0 + progress,
        lambda x, rng, progress, own, calls: 1.0 + int(progress),
        lambda x, rng, progress, own, calls: np.exp(progress),
    ],
)
def test_what_it_does_not_see_it_does_not_do(what):
    _, run = both(loss=never(what))
    assert not replays(run._steps[0])
    assert run._steps[0].refusal


def test_a_loss_that_changes_with_an_epoch_is_recorded_anew():
    _, run = both(loss=never(lambda x, rng, progress, own, calls: 3.0 if progress >= 2.5 else 1.0))
    assert replays(run._steps[0])
    assert run._steps[0].attempts == ATTEMPTS - 2


def test_the_short_last_batch_is_done_on_the_tape(fit):
    _, step = fit(VAE, BINARY)
    assert [len(x) for x in step.program.batch] == [50]
    assert step.attempts == ATTEMPTS - 1


def test_the_switch(fit, monkeypatch):
    assert fit(VAE, BINARY, on=False)[1].attempts == 0
    monkeypatch.setenv("MINIVAE_REPLAY", "maybe")
    with pytest.raises(ValueError, match="MINIVAE_REPLAY must be 0 or 1, not 'maybe'"):
        mlp_run()
    assert mlp_run(replay=False)[1]._steps[0].attempts == 0


def test_a_module_of_ones_own_is_called_in_every_step(fit):
    class Decoder(MLP):
        calls = 0

        def __call__(self, z):
            Decoder.calls += 1
            return super().__call__(z)

    decoder = Decoder([2, 7, D], rng=np.random.default_rng(0), dtype=np.float32)
    _, step = fit(VAE, BINARY, decoder=decoder, epochs=3)
    assert step.program is None
    assert Decoder.calls >= 3 * 5


# Who looks on meanwhile ---------------------------------------------------------------------------


def test_what_was_looked_at_never_changes():
    """Views of parameters, taken before any step, stay as they were then."""

    class Album(Hook):
        def __init__(self, parameters):
            self.parameters, self.pages = parameters, []

        def step_begins(self, run, progress):
            if run.batch == 2:
                self.pages += [(p.data, p.data.copy()) for p in self.parameters()]

    mlp, run = mlp_run(epochs=8)
    run.hooks.append(Album(mlp.parameters))
    run.run()
    assert all(np.array_equal(view, then) for view, then in run.hooks[0].pages)
    assert len({then.tobytes() for _, then in run.hooks[0].pages}) == len(run.hooks[0].pages)
    _, other = mlp_run(replay=False, epochs=8)
    other.run()
    assert run.history == other.history


def test_new_data_from_outside_are_taken():
    class Push(Hook):
        def step_begins(self, run, progress):
            assert not any(p.data.flags.writeable for p in run.parameters)
            if run.batch % 2:
                for p in run.parameters:
                    p.data = 0.9 * p.data

    _, run = both(hooks=[Push()])
    assert replays(run._steps[0])


def test_a_run_that_is_set_back_draws_from_its_own_generator():
    def loss(mlp):
        def of(batch, rng, progress):
            out = ops.mean(ops.square(mlp(batch[0]) - rng.standard_normal(3)))
            return out, {"loss": out.item()}

        return of

    ends = []
    for replay in (False, True):
        mlp, run = mlp_run(loss, replay)
        start, (position, arrays) = mlp.state_dict(), run.state()
        for turn in range(2):
            losses = [run.step(np.arange(50), 1.0) for _ in range(8)]
            ends.append((losses, {n: p.tobytes() for n, p in mlp.state_dict().items()}))
            if turn == 0:
                run.restore(position, arrays)
                mlp.load_state_dict(start)
        assert replays(run._steps[0]) == replay
    assert all(end == ends[0] for end in ends)


def test_a_hook_may_change_gradients():
    class Clip(Hook):
        def __init__(self):
            self.seen = []

        def gradients_ready(self, run, progress):
            self.seen += [p.grad for p in run.parameters]
            for p in run.parameters:
                p.grad = np.clip(p.grad, -0.01, 0.01)

    clip = Clip()
    _, run = both(hooks=[clip])
    assert replays(run._steps[0])
    assert len({g.tobytes() for g in clip.seen}) > len(clip.seen) // 3  # each keeps its own


def test_leaves_besides_the_parameters_may_be_given_new_data():
    def loss(mlp):
        temperature = loss.temperature = Tensor(1.0)

        def of(batch, rng, progress):
            out = ops.mean(ops.square(mlp(batch[0]) * temperature))
            return out, {"loss": out.item()}

        return of

    class Cool(Hook):
        def epoch_ended(self, run):
            loss.temperature.data = 1.0 / (1 + run.epoch)

    _, run = both(loss=loss, hooks=[Cool()])
    assert replays(run._steps[0])


def test_a_step_that_fails_leaves_the_parameters(fit, monkeypatch):
    def loss(mlp):
        def of(batch, rng, progress):
            out = ops.sum(ops.exp(ops.square(mlp(batch[0]))))
            return out, {"loss": out.item()}

        return of

    ends = []
    for replay in (False, True):
        mlp, run = mlp_run(loss, replay, optimiser=lambda p: SGD(p, 0.05), epochs=40)
        with pytest.raises(FloatingPointError, match="loss became"):
            run.run()
        ends.append((run.epoch, run.batch, {n: p.tobytes() for n, p in mlp.state_dict().items()}))
    assert ends[0] == ends[1]


def test_early_stopping_gives_back_the_best(fit):
    options = {"validation": 0.2, "patience": 2, "epochs": 12, "learning_rate": 0.05}
    model, step = fit(VAE, BINARY, **options)
    assert replays(step)
    assert bits(model) == bits(fit(VAE, BINARY, on=False, **options)[0])


def test_ctrl_c_and_resume_go_on_bit_for_bit(fit, tmp_path, monkeypatch):
    whole, _ = fit(VAE, BINARY, epochs=6)
    path, steps = tmp_path / "checkpoint", []
    step = Run.step

    def interrupted(run, index, progress):
        steps.append(run)
        if len(steps) == 18:
            signal.raise_signal(signal.SIGINT)
        return step(run, index, progress)

    monkeypatch.setattr(Run, "step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        VAE(**{**SMALL, "epochs": 6}).fit(BINARY, checkpoint=path)
    assert replays(steps[-1]._steps[0])
    resumed = minivae.resume(path, BINARY)
    assert replays(steps[-1]._steps[0])
    assert bits(resumed) == bits(whole)


def test_memory_stays_flat():
    _, run = mlp_run(epochs=1000)
    index = np.arange(50)
    for _ in range(10):
        run.step(index, 1.0)
    gc.collect()
    tracemalloc.start()
    try:
        run.step(index, 1.0)
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(200):
            run.step(index, 1.0)
        gc.collect()  # also what Python keeps for later
        assert tracemalloc.get_traced_memory()[0] - before < 5_000
        tracemalloc.reset_peak()
        start = tracemalloc.get_traced_memory()[0]
        run.step(index, 1.0)
        assert tracemalloc.get_traced_memory()[1] - start < 50_000
    finally:
        tracemalloc.stop()
    assert replays(run._steps[0])


def test_two_threads_train_at_once():
    ends = {}

    def train(name):
        mlp, run = mlp_run(epochs=20)
        run.run()
        ends[name] = run.history, {n: p.tobytes() for n, p in mlp.state_dict().items()}

    threads = [threading.Thread(target=train, args=(i,)) for i in range(2)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    train("alone")
    assert ends[0] == ends[1] == ends["alone"]


IMPORTS = """
import gc
import numpy as np
from minivae import VAE
from minivae.recording import Recorder

VAE(2, likelihood="poisson", hidden=(3,), epochs=2, batch_size=4).fit(np.ones((8, 5)))
gc.collect()
print(sum(isinstance(x, Recorder) for x in gc.get_objects()))
"""


def test_what_is_imported_in_a_recorded_step_does_not_keep_the_recorder(run_python):
    """SciPy takes ``asarray`` from NumPy when its part with gammaln is first used."""
    run = run_python(IMPORTS)
    assert run.stdout == "0\n", run.stderr
