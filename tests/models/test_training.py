"""A run by itself: minibatches, players, hooks, history, early stopping, Ctrl-C, the bar."""

import signal
import threading

import numpy as np
import pytest

from minivae import ops
from minivae.errors import ShapeError
from minivae.optim import SGD
from minivae.tensor import Tensor
from minivae.training import EachEpoch, EarlyStopping, Hook, Player, Run

OPTIONS = {"epochs": 3, "batch_size": 4}


class Diary(Hook):
    """A player and a hook that notes what it is asked; its parameter is all that it has seen."""

    def __init__(self, scores=(), stop_at=None):
        self.seen = Tensor(np.zeros(1), requires_grad=True)
        self.calls, self.batches = [], []
        self.scores, self.stop_at, self.best = list(scores), stop_at, {}

    def loss(self, batch, rng, progress):
        (rows,) = batch
        self.calls.append("step")
        self.batches.append((rows.tolist(), progress, rng.random()))
        if len(self.batches) == self.stop_at:
            signal.raise_signal(signal.SIGINT)
        mean = float(rows.mean())
        # a step of size 1: half of what was, and this batch, in its order
        pull = 0.5 * self.seen.data - rows @ np.arange(1.0, len(rows) + 1)
        loss = ops.sum(self.seen * pull)
        return loss, {"loss": -mean, "elbo": mean, "reconstruction": mean, "kl": 0.0}

    def monitor(self):
        return {"validation_elbo": self.scores.pop(0)} if self.scores else {}

    def remember(self):
        return {"seen": self.seen.numpy()}

    def give_back(self, best):
        self.best = best

    def save(self, run):
        self.calls.append("save")

    def epoch_ended(self, run):
        self.calls.append(f"epoch {run.epoch}")

    def stopping(self, patience, warmup=0):
        return EarlyStopping("validation_elbo", patience, warmup, self.remember, self.give_back)


def run_of(diary, n=10, *hooks, stopping=None, **options):
    if stopping is not None:
        hooks = (*hooks, stopping)
    return Run(
        [Player([diary.seen], diary.loss)], [np.arange(n)],
        **{**OPTIONS, **options},
        order=np.random.default_rng(0), noise=np.random.default_rng(1),
        optimiser=lambda parameters: SGD(parameters, 1.0),
        monitor=diary.monitor, hooks=[*hooks, diary], save=diary.save,
    )  # fmt: skip


def elbo(metrics):
    return f"ELBO {metrics['elbo']:.2f} = {metrics['reconstruction']:.2f} - {metrics['kl']:.2f}"


def index(batches):
    return [rows for rows, _, _ in batches]


def test_each_epoch_sees_every_datum_once_in_an_order_of_its_own():
    diary = Diary()
    run_of(diary).run()
    assert [len(rows) for rows in index(diary.batches)] == [4, 4, 2] * 3
    epochs = [np.concatenate(index(diary.batches[e : e + 3])).tolist() for e in (0, 3, 6)]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2] != sorted(epochs[2])
    np.testing.assert_allclose([p for _, p, _ in diary.batches], np.arange(9) / 3)


def test_a_step_is_the_optimisers_along_the_gradient_and_leaves_none():
    diary = Diary()
    run = run_of(diary)
    run.run()
    seen = 0.0
    for rows in index(diary.batches):
        seen = 0.5 * seen + np.array(rows) @ np.arange(1.0, len(rows) + 1)
    assert diary.seen.data.item() == seen
    assert diary.seen.grad is None


def test_a_checkpoint_comes_first_and_the_caller_is_told_before_each_later_one():
    diary = Diary()
    run_of(diary, n=4, epochs=2).run()
    assert diary.calls == [
        "save", "epoch 0", "step", "epoch 1", "save", "step", "epoch 2", "save",
    ]  # fmt: skip


def test_the_history_weighs_every_datum_the_same():
    diary = Diary()
    run = run_of(diary)
    run.run()
    assert run.history["epoch"] == [1, 2, 3]
    # the mean of 0 ... 9, though the last batch is only half as large
    np.testing.assert_allclose(run.history["elbo"], [4.5] * 3)
    np.testing.assert_allclose(run.history["loss"], [-4.5] * 3)


def test_a_loss_that_is_not_a_number_stops_before_the_step():
    w = Tensor(np.ones(1), requires_grad=True)

    def loss(batch, rng, progress):
        return ops.sum(w * (np.nan if progress >= 1 else 1.0)), {}

    run = plain([Player([w], loss)], [np.zeros((4, 1))], epochs=5)
    with pytest.raises(FloatingPointError, match=r"loss became nan in epoch 2; .* than 0\.5"):
        run.run()
    assert w.data.item() == 0.5
    assert run.epoch == 1


# What a run is made of ----------------------------------------------------------------------------


def plain(players, data, hooks=(), epochs=1, batch_size=4, **options):
    """A run of plain gradient steps."""
    return Run(
        players, data, epochs=epochs, batch_size=batch_size, hooks=hooks,
        order=np.random.default_rng(0), noise=np.random.default_rng(1),
        optimiser=lambda parameters: SGD(parameters, 0.5), **options,
    )  # fmt: skip


def test_the_history_has_the_names_that_losses_and_the_monitor_give():
    w = Tensor(np.zeros(()), requires_grad=True)

    def loss(batch, rng, progress):
        return w * 1.0, {"surprise": float(len(batch[0])), "Wärme": 2.0}

    run = plain([Player([w], loss)], [np.zeros((6, 1))], epochs=2, monitor=lambda: {"dent": 7.0})
    run.run()
    # the mean over data of a batch's size: (4 * 4 + 2 * 2) / 6
    expected = {"surprise": [20 / 6] * 2, "Wärme": [2.0] * 2, "dent": [7.0] * 2}
    assert run.history == {"epoch": [1, 2], **expected}
    nameless = plain([Player([w], lambda *_: (w * 1.0, {}))], [np.zeros((6, 1))])
    nameless.run()
    assert nameless.history == {"epoch": [1]}


def test_two_players_move_in_turn_each_along_its_own_loss():
    u, v = (Tensor(np.array(x), requires_grad=True) for x in (1.0, 2.0))
    seen = []

    def first(batch, rng, progress):
        seen.append(("first", u.data.item(), v.data.item()))
        return u * v, {"of both": 1.0}

    def second(batch, rng, progress):
        # the first has moved already, and left no gradient behind in what it does not own
        seen.append(("second", u.data.item(), v.data.item()))
        assert v.grad is None
        return -u * v, {"of both": 2.0, "of the second": 3.0}

    run = plain([Player([u], first), Player([v], second)], [np.zeros((8, 1))])
    run.run()
    # u - v/2 and then v + u/2, twice
    assert seen == [
        ("first", 1.0, 2.0), ("second", 0.0, 2.0), ("first", 0.0, 2.0), ("second", -1.0, 2.0),
    ]  # fmt: skip
    assert (u.data.item(), v.data.item()) == (-1.0, 1.5)
    assert run.history == {"epoch": [1], "of both": [2.0], "of the second": [3.0]}


def test_a_batch_has_some_rows_of_each_array_and_labels_come_along():
    w = Tensor(np.zeros(()), requires_grad=True)
    X = np.arange(20, dtype=np.float32).reshape(10, 2)
    labels, images = np.arange(10) * 2, np.arange(10.0)[:, None, None] * np.ones((1, 3, 3))
    met = []

    def loss(batch, rng, progress):
        x, y, z = batch
        np.testing.assert_array_equal(x[:, 0], y)
        np.testing.assert_array_equal(z[:, 2, 1] * 2, y)
        assert (x.dtype, y.dtype, z.shape[1:]) == (np.float32, labels.dtype, (3, 3))
        met.extend(y.tolist())
        return w * 1.0, {}

    plain([Player([w], loss)], [X, labels, images]).run()
    assert sorted(met) == labels.tolist() != met


def test_arrays_that_do_not_share_their_rows_are_refused():
    w = Tensor(np.zeros(()), requires_grad=True)
    with pytest.raises(ShapeError, match="the arrays have 10, 9 rows; they must share their rows"):
        plain([Player([w], None)], [np.zeros((10, 2)), np.zeros(9)])


def test_a_parameter_that_occurs_twice_counts_once():
    # tied weights: listed twice, but one step along one gradient
    u, v = (Tensor(np.array(x), requires_grad=True) for x in (1.0, 2.0))
    run = plain([Player([u, v, u], lambda *_: (u * 3.0 + v, {}))], [np.zeros((4, 1))])
    assert run.players[0].parameters == [u, v]
    assert run.parameters == [u, v]
    run.run()
    assert (u.data.item(), v.data.item()) == (-0.5, 1.5)
    # of two players it is one parameter too
    both = plain([Player([u], None), Player([u, v], None)], [np.zeros((4, 1))])
    assert both.parameters == [u, v]


# Hooks --------------------------------------------------------------------------------------------


def test_hooks_are_called_at_their_moments_in_their_order():
    calls = []
    u, v = (Tensor(np.array(x), requires_grad=True) for x in (1.0, 2.0))

    class Noting(Hook):
        def __init__(self, letter):
            self.letter = letter

        def step_begins(self, run, progress):
            calls.append((self.letter, "step", progress, u.grad is None))

        def gradients_ready(self, run, progress):
            calls.append((self.letter, "gradients", progress, u.grad is None))

        def epoch_ended(self, run):
            calls.append((self.letter, "epoch", run.epoch, len(run.history.get("epoch", []))))

        def run_ended(self, run):
            calls.append((self.letter, "end", run.epoch, run.finished))

    def loss_of(parameter):
        def loss(batch, rng, progress):
            calls.append("loss")
            return parameter * 1.0, {}

        return loss

    players = [Player([u], loss_of(u)), Player([v], loss_of(v))]
    plain(players, [np.zeros((4, 1))], hooks=[Noting("a"), Noting("b")]).run()
    assert calls == [
        ("a", "epoch", 0, 0), ("b", "epoch", 0, 0),
        ("a", "step", 0.0, True), ("b", "step", 0.0, True),
        "loss", ("a", "gradients", 0.0, False), ("b", "gradients", 0.0, False),
        "loss", ("a", "gradients", 0.0, True), ("b", "gradients", 0.0, True),
        ("a", "epoch", 1, 1), ("b", "epoch", 1, 1),
        ("a", "end", 1, True), ("b", "end", 1, True),
    ]  # fmt: skip


def test_a_gradient_that_a_hook_takes_away_moves_nothing():
    u, v = (Tensor(np.array(x), requires_grad=True) for x in (1.0, 2.0))

    class Holding(Hook):
        def gradients_ready(self, run, progress):
            if progress < 1:
                u.grad = None

    seen = []
    watch = EachEpoch(lambda epoch: seen.append((epoch, u.data.item(), v.data.item())))
    plain(
        [Player([u, v], lambda *_: (u + v, {}))], [np.zeros((4, 1))], [Holding(), watch], epochs=2
    ).run()
    assert seen == [(0, 1.0, 2.0), (1, 1.0, 1.5), (2, 0.5, 1.0)]


def test_a_hook_that_has_had_enough_ends_the_run_after_its_epoch():
    class Impatient(Hook):
        def wants_to_stop(self, run):
            return run.epoch >= 2

        def run_ended(self, run):
            ended.append(run.epoch)

    ended, diary = [], Diary()
    run_of(diary, 10, Impatient(), epochs=9).run()
    assert ended == [2]
    assert len(diary.batches) == 6


def test_a_run_that_was_cut_short_has_not_ended():
    ended = []

    class Ending(Hook):
        def run_ended(self, run):
            ended.append(run.epoch)

    with pytest.raises(KeyboardInterrupt):
        run_of(Diary(stop_at=2), 10, Ending()).run()
    assert ended == []


def test_optimisers_can_be_made_to_forget():
    w = Tensor(np.zeros(()), requires_grad=True)
    made = []

    class Forgetful(Hook):
        def step_begins(self, run, progress):
            if progress == 1:
                run.restart_optimisers()

    def momentum(parameters):
        made.append(parameters)
        return SGD(parameters, 1.0, momentum=0.5)

    path = []
    run = Run(
        [Player([w], lambda *_: (-w, {}))], [np.zeros((4, 1))], epochs=3, batch_size=4,
        order=np.random.default_rng(0), noise=np.random.default_rng(1), optimiser=momentum,
        hooks=[Forgetful(), EachEpoch(lambda epoch: path.append(w.data.item()))],
    )  # fmt: skip
    run.run()
    # a step of 1, then again of 1 and not of 1 1/2, then with its half
    assert path == [0.0, 1.0, 2.0, 3.5]
    assert made == [[w], [w]]


# Early stopping -----------------------------------------------------------------------------------


def test_early_stopping_waits_for_as_long_as_it_is_told():
    diary = Diary(scores=[1.0, 3.0, 3.0, 2.0, 9.0])
    stopping = diary.stopping(patience=2)
    run = run_of(diary, epochs=10, stopping=stopping)
    run.run()
    assert run.history["validation_elbo"] == [1.0, 3.0, 3.0, 2.0]
    assert stopping.best_epoch == 2
    again = Diary(scores=[1.0, 3.0])
    run_of(again, epochs=2, stopping=again.stopping(patience=2)).run()
    assert diary.best == again.best == {"seen": again.seen.data} != {"seen": diary.seen.data}


def test_early_stopping_does_not_count_a_warm_up():
    # the best of all scores belongs to another model, and patience begins after the warm-up
    diary = Diary(scores=[9.0, 8.0, 7.0, 1.0, 2.0, 1.0, 1.0, 3.0])
    stopping = diary.stopping(patience=2, warmup=3)
    run = run_of(diary, epochs=8, stopping=stopping)
    run.run()
    assert run.epoch == 7
    assert stopping.best_epoch == 5
    hopeless = Diary(scores=[9.0] + [np.nan] * 9)
    stuck = run_of(hopeless, epochs=9, stopping=hopeless.stopping(patience=2, warmup=3))
    stuck.run()
    assert stuck.epoch == 5


def test_scores_that_are_not_numbers_are_never_best():
    diary = Diary(scores=[np.nan] * 5)
    run = run_of(diary, epochs=5, stopping=diary.stopping(patience=3))
    run.run()
    assert run.epoch == 3
    assert diary.best == {}


def test_early_stopping_goes_by_whatever_it_is_told():
    w = Tensor(np.zeros(()), requires_grad=True)
    scores = iter([1.0, 5.0, 4.0, 3.0, 9.0])
    given_back = []
    stopping = EarlyStopping(
        "accuracy", 2, 0, lambda: {"w": w.numpy()}, lambda best: given_back.append(best["w"].item())
    )
    run = plain(
        [Player([w], lambda *_: (-w, {"accuracy": 0.0}))], [np.zeros((4, 1))], [stopping],
        epochs=9, monitor=lambda: {"accuracy": next(scores)},
    )  # fmt: skip
    run.run()
    assert run.history["accuracy"] == [1.0, 5.0, 4.0, 3.0]
    assert given_back == [1.0]


# Ctrl-C -------------------------------------------------------------------------------------------


def assert_same_state(one, other):
    """Positions as they are, arrays to the last bit."""
    assert one[0] == other[0]
    assert one[1].keys() == other[1].keys()
    for name, array in one[1].items():
        np.testing.assert_array_equal(array, other[1][name], err_msg=name)


@pytest.mark.parametrize("stop_at", [1, 3, 4, 8])
def test_a_run_that_was_stopped_goes_on_as_if_it_had_not(stop_at):
    scores = [1.0, 2.0, 1.0]
    whole = Diary(scores)
    reference = run_of(whole, stopping=whole.stopping(5))
    reference.run()
    first = Diary(scores, stop_at=stop_at)
    run = run_of(first, stopping=first.stopping(5))
    with pytest.raises(KeyboardInterrupt):
        run.run()
    assert len(first.batches) == stop_at
    assert first.calls[-1] == "save"
    second = Diary(first.scores)
    second.seen.data = first.seen.data
    rest = run_of(second, stopping=second.stopping(5))
    rest.restore(*run.state())
    rest.history = run.history
    rest.run()
    assert first.batches + second.batches == whole.batches
    assert (second.seen.data, second.best) == (whole.seen.data, whole.best)
    assert rest.history == reference.history
    assert_same_state(rest.state(), reference.state())


@pytest.mark.parametrize("wrong", [{"epoch": -1}, {"epoch": 4}, {"batch": -1}, {"batch": 3}])
def test_a_place_that_no_run_can_have_reached_is_refused(wrong):
    diary = Diary([1.0, 2.0])
    run = run_of(diary, stopping=diary.stopping(5))
    before, (position, arrays) = run.state(), run.state()
    arrays = {name: array + 1 for name, array in arrays.items()}
    with pytest.raises(ValueError, match="is not a place in this run"):
        run.restore({**position, **wrong}, arrays)
    assert_same_state(run.state(), before)


def test_two_states_cannot_be_kept_in_one_place():
    diary, other = Diary([1.0]), Hook()
    other.name = diary.name = "notes"
    with pytest.raises(ValueError, match="two hooks have the name 'notes'"):
        run_of(diary, 10, other)


class Averaging(Hook):
    """Keeps a running average of a parameter and the number of steps: a state of both kinds."""

    name = "average"

    def __init__(self, parameter):
        self.parameter, self.steps, self.average = parameter, 0, np.zeros(1)

    def step_begins(self, run, progress):
        self.steps += 1
        self.average = 0.9 * self.average + self.parameter.data / 3.0

    def state(self):
        return {"steps": self.steps}, {"average": self.average}

    def restore(self, state, arrays):
        self.steps, self.average = state["steps"], arrays["average"]


def test_the_state_of_hooks_and_optimisers_comes_back_bit_for_bit():
    def start(w):
        average = Averaging(w)
        scores = iter([1.0, 3.0, 2.0, 2.0])
        stopping = EarlyStopping("score", 9, 0, lambda: {"w": w.numpy()}, lambda best: None)
        loss = lambda b, rng, p: (ops.sum(ops.square(w - rng.random()) * b[0].mean()), {})  # noqa: E731
        run = Run(
            [Player([w], loss), Player([w], loss)], [np.arange(1.0, 7.0)[:, None]], epochs=4,
            batch_size=4, order=np.random.default_rng(0), noise=np.random.default_rng(1),
            optimiser=lambda parameters: SGD(parameters, 0.01, momentum=0.7),
            monitor=lambda: {"score": next(scores)}, hooks=[average, stopping],
        )  # fmt: skip
        return run, average, stopping, scores

    w, twin = (Tensor(np.ones(1), requires_grad=True) for _ in range(2))
    run, average, *_ = start(w)
    for epoch in range(1, 3):
        run.epochs = epoch
        run.run()
    other, its_average, its_stopping, its_scores = start(twin)
    other.restore(*run.state())
    twin.data, other.history = w.data, {name: [*values] for name, values in run.history.items()}
    [next(its_scores) for _ in range(2)]
    assert_same_state(run.state(), other.state())
    assert (its_average.steps, its_average.average) == (average.steps, average.average) != (0, 0)
    assert (its_stopping.best_score, its_stopping.best_epoch) == (3.0, 2)
    for one in (run, other):
        one.epochs = 4
        one.run()
    assert_same_state(run.state(), other.state())
    assert w.data == twin.data
    assert its_average.steps == 8


def test_ctrl_c_in_the_last_step_is_heard_and_nothing_is_lost():
    diary = Diary(stop_at=9)
    run = run_of(diary)
    with pytest.raises(KeyboardInterrupt):
        run.run()
    assert run.finished
    assert diary.calls[-2:] == ["epoch 3", "save"]


def test_a_second_ctrl_c_does_not_wait():
    class Stuck(Diary):
        def loss(self, batch, rng, progress):
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
            self.calls.append("went on")

    diary = Stuck()
    with pytest.raises(KeyboardInterrupt):
        run_of(diary).run()
    assert diary.calls == ["save", "epoch 0"]


@pytest.mark.parametrize("stop_at", [None, 2])
def test_the_handler_of_signals_is_put_back(stop_at):
    before = signal.getsignal(signal.SIGINT)
    try:
        run_of(Diary(stop_at=stop_at)).run()
    except KeyboardInterrupt:
        assert stop_at
    assert signal.getsignal(signal.SIGINT) is before


def test_whoever_ignores_ctrl_c_is_left_alone():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        diary = Diary(stop_at=2)
        run_of(diary).run()
        assert len(diary.batches) == 9
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_other_threads_can_train():
    diary = Diary()
    thread = threading.Thread(target=run_of(diary).run)
    thread.start()
    thread.join()
    assert len(diary.batches) == 9


# Progress -----------------------------------------------------------------------------------------


def test_the_bar_shows_the_elbo_and_its_terms_on_stderr(capsys):
    run_of(Diary(), n=40, batch_size=2, show=elbo).run()
    out, err = capsys.readouterr()
    assert out == ""
    assert "epoch 3/3  ELBO 1" in err
    assert "100%" in err


def test_a_resumed_bar_goes_on_where_it_was(capsys):
    diary = Diary(stop_at=30)
    run = run_of(diary, n=40, batch_size=2)
    with pytest.raises(KeyboardInterrupt):
        run.run()
    diary.stop_at, run.show = None, elbo
    run.run()
    err = capsys.readouterr().err
    assert "epoch 1/3" not in err
    assert " 50%" in err


def test_no_bar_no_words(capsys):
    run_of(Diary()).run()
    assert capsys.readouterr() == ("", "")
