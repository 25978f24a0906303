"""The loop by itself: minibatches, history, early stopping, Ctrl-C, the progress bar."""

import signal
import threading

import numpy as np
import pytest

from minivae.training import EarlyStopping, TrainingLoop


class Diary:
    """A trainee that notes what it is asked; its only parameter is all that it has seen."""

    def __init__(self, scores=(), stop_at=None):
        self.calls, self.batches, self.seen = [], [], 0.0
        self.scores, self.stop_at, self.best = list(scores), stop_at, None

    def step(self, index, progress):
        self.calls.append("step")
        self.batches.append((index.tolist(), progress))
        self.seen = 0.5 * self.seen + index @ np.arange(1.0, len(index) + 1)
        if len(self.batches) == self.stop_at:
            signal.raise_signal(signal.SIGINT)
        mean = float(index.mean())
        return {"loss": -mean, "elbo": mean, "reconstruction": mean, "kl": 0.0}

    def validate(self):
        return {"validation_elbo": self.scores.pop(0)} if self.scores else {}

    def remember_best(self):
        self.best = self.seen

    def save(self):
        self.calls.append("save")

    def epoch_ended(self, epoch):
        self.calls.append(f"epoch {epoch}")


def loop_of(diary, n=10, epochs=3, batch_size=4, **options):
    order = np.random.default_rng(0)
    return TrainingLoop(diary, n, epochs=epochs, batch_size=batch_size, order=order, **options)


def test_each_epoch_sees_every_datum_once_in_an_order_of_its_own():
    diary = Diary()
    loop_of(diary).run()
    sizes = [len(index) for index, _ in diary.batches]
    assert sizes == [4, 4, 2] * 3
    epochs = [np.concatenate([i for i, _ in diary.batches[e : e + 3]]).tolist() for e in (0, 3, 6)]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2] != sorted(epochs[2])
    np.testing.assert_allclose([p for _, p in diary.batches], np.arange(9) / 3)


def test_a_checkpoint_comes_first_and_the_caller_is_told_before_each_later_one():
    diary = Diary()
    loop_of(diary, n=4, epochs=2).run()
    assert diary.calls == [
        "save", "epoch 0", "step", "epoch 1", "save", "step", "epoch 2", "save",
    ]  # fmt: skip


def test_the_history_weighs_every_datum_the_same():
    diary = Diary()
    loop = loop_of(diary)
    loop.run()
    assert loop.history["epoch"] == [1, 2, 3]
    # the mean of 0 ... 9, though the last batch is only half as large
    np.testing.assert_allclose(loop.history["elbo"], [4.5] * 3)
    np.testing.assert_allclose(loop.history["loss"], [-4.5] * 3)


def test_early_stopping_waits_for_as_long_as_it_is_told():
    diary = Diary(scores=[1.0, 3.0, 3.0, 2.0, 9.0])
    loop = loop_of(diary, epochs=10, early_stopping=EarlyStopping(patience=2))
    loop.run()
    assert loop.history["validation_elbo"] == [1.0, 3.0, 3.0, 2.0]
    assert loop.early_stopping.best_epoch == 2
    again = Diary(scores=[1.0, 3.0])
    loop_of(again, epochs=2, early_stopping=EarlyStopping(patience=2)).run()
    assert diary.best == again.best == again.seen != diary.seen


def test_early_stopping_does_not_count_a_warm_up():
    # the best of all scores belongs to another model, and patience begins after the warm-up
    diary = Diary(scores=[9.0, 8.0, 7.0, 1.0, 2.0, 1.0, 1.0, 3.0])
    loop = loop_of(diary, epochs=8, early_stopping=EarlyStopping(patience=2, warmup=3))
    loop.run()
    assert loop.epoch == 7
    assert loop.early_stopping.best_epoch == 5
    stuck = loop_of(Diary(scores=[9.0] + [np.nan] * 9), epochs=9)
    stuck.early_stopping = EarlyStopping(patience=2, warmup=3)
    stuck.run()
    assert stuck.epoch == 5


def test_scores_that_are_not_numbers_are_never_best():
    diary = Diary(scores=[np.nan] * 5)
    loop = loop_of(diary, epochs=5, early_stopping=EarlyStopping(patience=3))
    loop.run()
    assert loop.epoch == 3
    assert diary.best is None


# Ctrl-C -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stop_at", [1, 3, 4, 8])
def test_a_run_that_was_stopped_goes_on_as_if_it_had_not(stop_at):
    whole = Diary(scores=[1.0, 2.0, 1.0])
    reference = loop_of(whole, early_stopping=EarlyStopping(5))
    reference.run()
    first = Diary(scores=[1.0, 2.0, 1.0], stop_at=stop_at)
    loop = loop_of(first, early_stopping=EarlyStopping(5))
    with pytest.raises(KeyboardInterrupt):
        loop.run()
    assert len(first.batches) == stop_at
    assert first.calls[-1] == "save"
    second = Diary(scores=first.scores)
    second.seen, second.best = first.seen, first.best
    rest = loop_of(second, early_stopping=EarlyStopping(5))
    rest.restore(loop.state())
    rest.history = loop.history
    rest.run()
    assert first.batches + second.batches == whole.batches
    assert (second.seen, second.best) == (whole.seen, whole.best)
    assert rest.history == reference.history
    assert rest.state() == reference.state()


def test_ctrl_c_in_the_last_step_is_heard_and_nothing_is_lost():
    diary = Diary(stop_at=9)
    loop = loop_of(diary)
    with pytest.raises(KeyboardInterrupt):
        loop.run()
    assert loop.finished
    assert diary.calls[-2:] == ["epoch 3", "save"]


def test_a_second_ctrl_c_does_not_wait():
    class Stuck(Diary):
        def step(self, index, progress):
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
            self.calls.append("went on")

    diary = Stuck()
    with pytest.raises(KeyboardInterrupt):
        loop_of(diary).run()
    assert diary.calls == ["save", "epoch 0"]


@pytest.mark.parametrize("stop_at", [None, 2])
def test_the_handler_of_signals_is_put_back(stop_at):
    before = signal.getsignal(signal.SIGINT)
    try:
        loop_of(Diary(stop_at=stop_at)).run()
    except KeyboardInterrupt:
        assert stop_at
    assert signal.getsignal(signal.SIGINT) is before


def test_whoever_ignores_ctrl_c_is_left_alone():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        diary = Diary(stop_at=2)
        loop_of(diary).run()
        assert len(diary.batches) == 9
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_other_threads_can_train():
    diary = Diary()
    thread = threading.Thread(target=loop_of(diary).run)
    thread.start()
    thread.join()
    assert len(diary.batches) == 9


# Progress -----------------------------------------------------------------------------------------


def test_the_bar_shows_the_elbo_and_its_terms_on_stderr(capsys):
    loop_of(Diary(), n=40, batch_size=2, verbose=True).run()
    out, err = capsys.readouterr()
    assert out == ""
    assert "epoch 3/3  ELBO 1" in err
    assert "100%" in err


def test_a_resumed_bar_goes_on_where_it_was(capsys):
    loop = loop_of(Diary(stop_at=30), n=40, batch_size=2)
    with pytest.raises(KeyboardInterrupt):
        loop.run()
    loop.trainee, loop.verbose = Diary(), True
    loop.run()
    err = capsys.readouterr().err
    assert "epoch 1/3" not in err
    assert " 50%" in err


def test_no_bar_no_words(capsys):
    loop_of(Diary()).run()
    assert capsys.readouterr() == ("", "")
