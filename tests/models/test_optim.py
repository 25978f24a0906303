"""SGD, RMSprop and Adam, step by step against their formulae, and what they may write to."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minivae import ops, value_and_grad
from minivae.errors import DtypeError, GradientError, ShapeError
from minivae.optim import SGD, Adam, RMSprop
from minivae.tensor import Tensor, wrap

OPTIMISERS = {
    "RMSprop": lambda p: RMSprop(p, 0.05),
    "SGD": lambda p: SGD(p, 0.05),
    "SGD with momentum": lambda p: SGD(p, 0.05, momentum=0.9),
    "Adam": lambda p: Adam(p, 0.05),
}
every = pytest.mark.parametrize("make", OPTIMISERS.values(), ids=OPTIMISERS)


def parameters(dtype=np.float64, seed=0):
    rng = np.random.default_rng(seed)
    shapes = ((3, 4), (4,), (1, 1), ())
    return [Tensor(rng.standard_normal(s), requires_grad=True, dtype=dtype) for s in shapes]


def gradients(parameters, seed):
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(p.shape).astype(p.dtype) for p in parameters]


def values(parameters):
    return [p.numpy() for p in parameters]


def assert_equal(first, second):
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)


# The formulae ------------------------------------------------------------------------------------


@pytest.mark.equation("OPT.3")
@given(
    g=st.lists(st.just(0.0) | st.floats(1e-6, 1e3) | st.floats(-1e3, -1e-6), max_size=9),
    start=st.floats(-10.0, 10.0),
    rate=st.floats(1e-5, 1.0),
    beta1=st.floats(0.0, 0.99),
    beta2=st.floats(0.0, 0.9999),
)
def test_adam_is_the_published_algorithm(g, start, rate, beta1, beta2):
    # Kingma and Ba (2015), Algorithm 1, in Python floats
    theta, m, v, scale = start, 0.0, 0.0, abs(start)
    p = Tensor([start], requires_grad=True)
    adam = Adam([p], rate, beta1, beta2, epsilon=1e-8)
    for t, gradient in enumerate(g, start=1):
        m = beta1 * m + (1 - beta1) * gradient
        v = beta2 * v + (1 - beta2) * gradient**2
        m_hat, v_hat = m / (1 - beta1**t), v / (1 - beta2**t)
        move = rate * m_hat / (math.sqrt(v_hat) + 1e-8)
        theta, scale = theta - move, scale + abs(move)
        adam.step([np.array([gradient])])
        assert p.item() == pytest.approx(theta, rel=0, abs=1e-12 * scale)


@every
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_no_average_stays_subnormal_and_slow_where_the_gradient_has_become_0(make, dtype):
    smallest = np.finfo(dtype).tiny
    p = Tensor(np.zeros(5), requires_grad=True, dtype=dtype)
    optimiser = make([p])
    for arrays in optimiser.averages.values():
        arrays[0][...] = smallest * np.array([4, 1.01, 0.1, np.nan, 2.0**45])
    for t in range(2000):
        optimiser.step([np.zeros(5, dtype)])
        for slot, arrays in optimiser.averages.items():
            numbers = arrays[0]
            least = smallest * (1 if slot == "v" else 2**40)  # what it moves is smaller still
            assert np.isnan(numbers[3])
            assert all(x == 0 or x >= least for x in np.delete(numbers, 3))
            assert t != 50 or (numbers[4] > 0) == (slot == "v")
    for arrays in optimiser.averages.values():  # in a step Adam's v loses a thousandth
        assert arrays[0][0] == 0


@pytest.mark.equation("OPT.3")
@pytest.mark.parametrize("gradient", [1.0, 1e-6, -1e3])
def test_adams_first_step_has_the_learning_rate_for_its_length(gradient):
    p = Tensor([0.0], requires_grad=True)
    Adam([p], 0.1).step([np.array([gradient])])
    assert p.item() == pytest.approx(-0.1 * gradient / (abs(gradient) + 1e-8), rel=1e-12)
    # the two usual misprints: without the bias corrections, and with epsilon inside the root
    uncorrected = -0.1 * 0.1 * gradient / (math.sqrt(0.001) * abs(gradient) + 1e-8)
    assert p.item() != pytest.approx(uncorrected, rel=0.5)
    if gradient == 1e-6:  # of a large gradient nobody could tell
        assert p.item() != pytest.approx(-0.1 * gradient / math.sqrt(gradient**2 + 1e-8), rel=0.5)


@pytest.mark.equation("OPT.2")
def test_momentum_on_a_bowl_by_hand():
    # f = 2 theta^2 from 1, rate 1/8, momentum 1/2: all numbers are dyadic, so none may round
    p = Tensor([1.0], requires_grad=True)
    sgd = SGD([p], learning_rate=0.125, momentum=0.5)
    trajectory = []
    for _ in range(5):
        p.grad = None
        ops.sum(2.0 * ops.square(p)).backward()
        sgd.step()
        trajectory.append(p.item())
    # v: 4, 4, 2, 0, -1
    assert trajectory == [0.5, 0.0, -0.25, -0.25, -0.125]


@pytest.mark.equation("OPT.2")
@given(st.lists(st.floats(-100.0, 100.0), min_size=1, max_size=9), st.floats(0.0, 0.99))
def test_momentum_is_its_recurrence(g, momentum):
    theta, velocity = 1.0, 0.0
    p = Tensor([1.0], requires_grad=True)
    sgd = SGD([p], 0.1, momentum)
    for gradient in g:
        velocity = momentum * velocity + gradient
        theta -= 0.1 * velocity
        sgd.step([np.array([gradient])])
    assert p.item() == pytest.approx(theta, rel=1e-12, abs=1e-10)


@pytest.mark.equation("OPT.2")
def test_the_parameter_goes_down_the_gradient_and_not_up():
    # on (t - 1)^2 the right sign comes to 1
    p = Tensor([3.0], requires_grad=True)
    sgd = SGD([p], 0.1)
    for _ in range(100):
        p.grad = None
        ops.sum(ops.square(p - 1.0)).backward()
        sgd.step()
    assert p.item() == pytest.approx(1.0, abs=1e-8)


@pytest.mark.equation("OPT.3")
def test_adam_finds_the_minimum_of_an_ill_scaled_bowl():
    scales = np.array([1e-3, 1.0, 1e3])
    p = Tensor([1.0, -1.0, 2.0], requires_grad=True)
    adam = Adam([p], 0.05)
    for step in range(800):
        adam.learning_rate = 0.05 * (1 - step / 800)
        p.grad = None
        ops.sum(scales * ops.square(p)).backward()
        adam.step()
    np.testing.assert_allclose(p.data, 0.0, atol=1e-4)


def test_rmsprop_on_a_bowl_by_hand():
    # f = theta^2 from 2 with beta = 3/4 and rate 1/2: from g = 4, v = 16/4 = 4 and theta = 2 - 1;
    # g = 2, v = 3 + 1 = 4, theta = 1 - 1/2; g = 1, v = 3 + 1/4, theta = 1/2 - 1 / (2 sqrt(13/4))
    p = Tensor([2.0], requires_grad=True)
    rmsprop = RMSprop([p], learning_rate=0.5, beta=0.75, epsilon=1e-300)
    trajectory, averages = [], []
    for _ in range(4):
        rmsprop.step([2.0 * p.data])
        trajectory.append(p.item())
        averages.append(rmsprop.averages["v"][0].item())
    third = 0.5 - 0.5 / math.sqrt(3.25)
    v = 0.75 * 3.25 + 0.25 * (2 * third) ** 2
    assert averages[:3] == [4.0, 4.0, 3.25]
    assert trajectory[:2] == [1.0, 0.5]
    assert trajectory[2:] == pytest.approx([third, third - third / math.sqrt(v)], rel=1e-15)
    # epsilon stands beside the root: from v = 4, a step of 4 / (2 + 2) halves
    p = Tensor([2.0], requires_grad=True)
    RMSprop([p], learning_rate=0.5, beta=0.75, epsilon=2.0).step([np.array([4.0])])
    assert p.item() == 1.5


@given(
    g=st.lists(st.just(0.0) | st.floats(1e-6, 1e3) | st.floats(-1e3, -1e-6), max_size=9),
    beta=st.floats(0.0, 0.999),
)
def test_rmsprop_is_its_recurrence(g, beta):
    theta, v, scale = 1.0, 0.0, 1.0
    p = Tensor([1.0], requires_grad=True)
    rmsprop = RMSprop([p], 0.1, beta)
    for gradient in g:
        v = beta * v + (1 - beta) * gradient**2
        move = 0.1 * gradient / (math.sqrt(v) + 1e-8)
        theta, scale = theta - move, scale + abs(move)
        rmsprop.step([np.array([gradient])])
        assert p.item() == pytest.approx(theta, rel=0, abs=1e-12 * scale)


def test_rmsprops_first_steps_are_longer_than_adams():
    p, q = Tensor([0.0], requires_grad=True), Tensor([0.0], requires_grad=True)
    RMSprop([p], 0.1, beta=0.9).step([np.array([3.0])])
    Adam([q], 0.1, beta1=0.0, beta2=0.9).step([np.array([3.0])])
    assert p.item() / q.item() == pytest.approx(math.sqrt(10), rel=1e-6)


@every
@settings(max_examples=10)
@given(size=st.integers(0, 70_000))
def test_every_size_is_worked_alike(make, size):
    # long arrays are cut into blocks: each number must move as it would alone
    rng = np.random.default_rng(size)
    start, g = rng.standard_normal(size), rng.standard_normal((2, size))
    whole = Tensor(start, requires_grad=True)
    optimiser = make([whole])
    at = rng.integers(0, size, 5) if size else np.zeros(0, int)
    few = Tensor(start[at], requires_grad=True)
    optimiser_of_few = make([few])
    for row in g:
        optimiser.step([row])
        optimiser_of_few.step([row[at]])
    np.testing.assert_allclose(whole.data[at], few.data, rtol=1e-14, atol=1e-15)


# What is written to ------------------------------------------------------------------------------


@every
def test_an_array_that_somebody_holds_never_changes(make):
    ps = parameters()
    optimiser = make(ps)
    held = []
    for step in range(6):
        held.append([(p.data, p.numpy()) for p in ps])
        optimiser.step(gradients(ps, step))
    for at_step in held:
        for array, as_it_was in at_step:
            np.testing.assert_array_equal(array, as_it_was)
            assert not array.flags.writeable


@every
def test_a_view_of_an_array_never_changes(make):
    ps = parameters()
    optimiser = make(ps)
    held = []
    for step in range(6):
        view = ps[0].data[1:, ::2]
        held.append((view, view.copy()))
        optimiser.step(gradients(ps, step))
    for view, as_it_was in held:
        np.testing.assert_array_equal(view, as_it_was)


@every
def test_a_detached_tensor_never_changes(make):
    ps = parameters()
    optimiser = make(ps)
    held = []
    for step in range(6):
        held.append((ps[0].detach(), ps[0].numpy()))
        optimiser.step(gradients(ps, step))
    for tensor, as_it_was in held:
        np.testing.assert_array_equal(tensor.data, as_it_was)


@every
def test_a_tape_that_is_still_alive_gives_the_gradient_of_its_time(make):
    ps = parameters()
    optimiser = make(ps)
    tapes = []
    for step in range(6):
        w = ps[0]
        tapes.append((ops.sum(ops.square(w)), 2.0 * w.numpy(), w))
        optimiser.step(gradients(ps, step))
    for out, expected, w in tapes:
        w.grad = None
        out.backward()
        np.testing.assert_allclose(w.grad, expected, rtol=1e-15)


@every
def test_arrays_that_nobody_holds_are_used_again(make):
    # training allocates nothing
    ps = parameters()[:1]
    optimiser = make(ps)
    addresses = set()
    for step in range(20):
        optimiser.step(gradients(ps, step))
        addresses.add(ps[0].data.__array_interface__["data"][0])
    assert len(addresses) == 1


@every
def test_a_parameter_that_is_listed_twice_moves_twice(make):
    once, twice = parameters()[:1], parameters()[:1]
    first, second = make(once), make(twice * 2)
    g = gradients(once, 0)
    first.step(g)
    make(once).step(g)  # the second place has averages of its own
    second.step(g * 2)
    np.testing.assert_allclose(twice[0].data, once[0].data, rtol=1e-14)


@every
def test_a_gradient_that_holds_no_numbers_changes_nothing(make):
    ps = parameters()
    optimiser = make(ps)
    before = [p.numpy() for p in ps]
    for wrong in (np.array("word"), np.array(1j), np.ma.array(1.0, mask=True)):
        with pytest.raises(DtypeError, match=r"^step: "):
            optimiser.step([*gradients(ps, 0)[:-1], wrong])
    assert_equal([p.data for p in ps], before)
    assert optimiser.step_count == 0
    assert not any(p._array.flags.writeable for p in ps)


@every
def test_a_window_on_a_larger_array_leaves_it_alone(make):
    # nobody holds the window itself, but the array behind it is somebody's
    large = np.arange(24.0).reshape(4, 6)
    before = large.copy()
    p = wrap(large[1:3], requires_grad=True)
    optimiser = make([p])
    for _ in range(4):
        optimiser.step([np.ones(p.shape)])
    np.testing.assert_array_equal(large, before)
    assert (p.data < before[1:3]).all()


@every
def test_a_column_major_parameter_moves_as_any_other(make):
    start = np.random.default_rng(0).standard_normal((3, 4))
    rows = wrap(start.copy(), requires_grad=True)
    columns = wrap(np.asfortranarray(start), requires_grad=True)
    optimisers = make([rows]), make([columns])
    for step in range(4):
        for p, optimiser in zip((rows, columns), optimisers, strict=True):
            optimiser.step(gradients([p], step))
    np.testing.assert_array_equal(rows.data, columns.data)


@every
def test_gradients_are_only_read(make):
    ps = parameters()
    optimiser = make(ps)
    for step in range(3):
        g = gradients(ps, step)
        before = [a.copy() for a in g]
        optimiser.step(g)
        assert_equal(g, before)


# Dtypes, shapes, None ----------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@every
def test_every_dtype_stays(make, dtype):
    ps = parameters(dtype)
    optimiser = make(ps)
    for step in range(3):
        # gradients of the other dtype are cast to the parameter's
        g = [np.asarray(a, np.float64 if step else np.float32) for a in gradients(ps, step)]
        optimiser.step(g)
        assert {p.dtype for p in ps} == {np.dtype(dtype)}
        assert [p.shape for p in ps] == [(3, 4), (4,), (1, 1), ()]
    averages = [a for arrays in optimiser.averages.values() for a in arrays]
    assert {a.dtype for a in averages} == {np.dtype(dtype)}


@every
def test_float32_follows_float64(make):
    narrow, wide = parameters(np.float32), parameters(np.float64)
    steps = make(narrow), make(wide)
    for step in range(10):
        for ps, optimiser in zip((narrow, wide), steps, strict=True):
            optimiser.step(gradients(ps, step))
    for a, b in zip(narrow, wide, strict=True):
        np.testing.assert_allclose(a.data, b.data, rtol=2e-5, atol=2e-6)


@every
def test_a_parameter_without_a_gradient_rests(make):
    ps = parameters()
    optimiser = make(ps)
    g = gradients(ps, 0)
    optimiser.step([g[0], None, g[2], None])
    moved = [
        (p.data != start).any() for p, start in zip(ps, values(parameters()), strict=True)
    ]
    assert moved == [True, False, True, False]


@every
def test_gradients_come_from_grad_if_none_are_given(make):
    first, second = parameters(), parameters()
    g = gradients(first, 0)
    for p, a in zip(first, g, strict=True):
        p.grad = a
    make(first).step()
    make(second).step(g)
    assert_equal(values(first), values(second))


@every
def test_a_gradient_that_does_not_fit_changes_nothing(make):
    ps = parameters()
    optimiser = make(ps)
    g = gradients(ps, 0)
    for wrong in ([*g[:1], np.zeros(3), *g[2:]], g[:-1], [*g, g[0]]):
        with pytest.raises(ShapeError, match="step"):
            optimiser.step(wrong)
    assert_equal(values(ps), values(parameters()))
    assert optimiser.state_dict()["step_count"] == 0


@pytest.mark.parametrize("rate", [0.0, -1.0, math.nan, math.inf])
@pytest.mark.parametrize("kind", [SGD, RMSprop, Adam])
def test_a_rate_is_positive(kind, rate):
    with pytest.raises(ValueError, match="learning_rate"):
        kind(parameters(), rate)


@pytest.mark.parametrize("momentum", [-0.1, 1.0, math.nan])
def test_momentum_is_a_share(momentum):
    with pytest.raises(ValueError, match="momentum"):
        SGD(parameters(), 0.1, momentum)


@pytest.mark.parametrize("wrong", [-0.1, 1.0, 1.5, math.nan, math.inf])
def test_every_constant_has_its_bounds(wrong):
    for kind, names in ((Adam, ("beta1", "beta2")), (RMSprop, ("beta",)), (SGD, ("momentum",))):
        for name in names:
            with pytest.raises(ValueError, match=rf"{kind.__name__}: .*{name}={wrong}"):
                kind(parameters(), **{name: wrong})
            kind(parameters(), **{name: 0.0})  # the bound that counts in
            kind(parameters(), **{name: np.nextafter(1.0, 0.0)})
    for kind in (Adam, RMSprop):
        for epsilon in (0.0, -1.0, math.nan):
            with pytest.raises(ValueError, match=rf"{kind.__name__}: .*epsilon={epsilon}"):
                kind(parameters(), epsilon=epsilon)
        kind(parameters(), epsilon=5e-324)
    with pytest.raises(ValueError, match=r"Adam: beta1=0\.5 and beta2=1\.0 must be in \[0, 1\)"):
        Adam(parameters(), beta1=0.5, beta2=1.0)


# Trees of parameters -----------------------------------------------------------------------------


@every
def test_parameters_may_be_a_tree(make):
    def tree(ps):
        return {"first": ps[0], "rest": [(ps[1], ps[2]), {"last": ps[3]}]}

    plain, in_tree = parameters(), parameters()
    one, two = make(plain), make(tree(in_tree))
    for step in range(3):
        g = gradients(plain, step)
        g[1] = None if step == 1 else g[1]
        one.step(g)
        # the order of a dict's keys does not matter
        two.step({"rest": [(g[1], g[2]), {"last": g[3]}], "first": g[0]})
    assert_equal(values(plain), values(in_tree))
    assert one.state_dict().keys() == two.state_dict().keys()


@every
def test_value_and_grad_and_a_step_of_one_tree(make):
    # (a - 3)^2 + (b + 1)^2: down to (3, -1), by gradients that are tensors as the parameters are
    p = {"a": Tensor(0.0, requires_grad=True), "b": Tensor([0.0], requires_grad=True)}
    optimiser = make(p)
    loss = value_and_grad(lambda p: (p["a"] - 3.0) ** 2 + ops.sum((p["b"] + 1.0) ** 2))
    for step in range(400):
        optimiser.learning_rate = 0.05 * (1 - step / 400)
        optimiser.step(loss(p)[1])
    assert (p["a"].item(), p["b"].item()) == pytest.approx((3.0, -1.0), abs=1e-3)


@every
def test_gradients_of_another_form_change_nothing(make):
    ps = parameters()
    optimiser = make({"a": ps[0], "b": [ps[1], ps[2], ps[3]]})
    a, *b = gradients(ps, 0)
    for wrong in (
        [a, *b],
        {"a": a},
        {"a": a, "b": b[:2]},
        {"a": a, "c": b},
        {"a": [a], "b": b},
        {"a": a, "b": None},
        a,
    ):
        with pytest.raises(ShapeError, match=r"^step: a tree of the form"):
            optimiser.step(wrong)
    with pytest.raises(ShapeError, match=r"^step: a tree of the form list of 1 .*form ndarray"):
        make([ps[0]]).step(a)
    assert_equal(values(ps), values(parameters()))
    assert optimiser.step_count == 0


@every
def test_what_is_no_parameter_is_refused(make):
    p = parameters()[0]
    for wrong, kind in ((np.ones(2), "ndarray"), (1.0, "float"), (None, "NoneType"), ({1}, "set")):
        for tree in (wrong, [p, wrong], {"p": [wrong]}):
            with pytest.raises(TypeError, match=rf"of type {kind}; it must be a Tensor"):
                make(tree)
    with pytest.raises(GradientError, match="was computed; only a leaf takes"):
        make([p * 2.0])


@every
def test_one_tensor_and_what_is_counted_off_are_parameters(make):
    alone, listed, counted = (parameters()[0] for _ in range(3))
    g = gradients([alone], 0)
    make(alone).step(g[0])
    make([listed]).step(g)
    make(p for p in [counted]).step(g)
    assert_equal(values([alone]), values([listed]))
    assert_equal(values([alone]), values([counted]))


@every
def test_zero_grad_forgets_the_gradients(make):
    ps = parameters()
    optimiser = make(ps)
    for _ in range(2):
        optimiser.zero_grad()
        for p in ps:
            ops.sum(3.0 * p).backward()
        assert all((p.grad == 3.0).all() for p in ps)
    optimiser.zero_grad()
    assert [p.grad for p in ps] == [None] * 4
    before = values(ps)
    optimiser.step()
    assert_equal(values(ps), before)


@every
def test_numpys_warnings_as_errors_do_not_stop_a_step(make):
    p = Tensor([1.0], requires_grad=True, dtype=np.float32)
    optimiser = make([p])
    with np.errstate(all="raise"):
        for g in (1e-300, 1e-30, 1e30):
            optimiser.step([np.array([g])])
    assert p.dtype == np.float32


# Going on ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@every
@given(before=st.integers(0, 5), after=st.integers(1, 5))
def test_going_on_from_a_state_is_bit_for_bit_the_same(make, dtype, before, after):
    undisturbed, first = parameters(dtype), parameters(dtype)
    one, two = make(undisturbed), make(first)
    for step in range(before):
        one.step(gradients(undisturbed, step))
        two.step(gradients(first, step))

    second = parameters(dtype, seed=1)
    for p, old in zip(second, first, strict=True):
        p.data = old.numpy()
    three = make(second)
    three.load_state_dict(two.state_dict())

    for step in range(before, before + after):
        one.step(gradients(undisturbed, step))
        three.step(gradients(second, step))
    assert_equal(values(undisturbed), values(second))
    assert one.step_count == three.step_count == before + after


def test_going_on_without_the_state_is_not_the_same():
    # so that the test above can fail
    first, second = parameters(), parameters()
    one, two = Adam(first), Adam(second)
    one.step(gradients(first, 0))
    for p, old in zip(second, first, strict=True):
        p.data = old.numpy()
    one.step(gradients(first, 1))
    two.step(gradients(second, 1))
    assert (first[0].data != second[0].data).any()


@every
def test_a_state_in_columns_is_taken_in_rows(make):
    ends = []
    for order in "CF":
        p = Tensor(np.ones((3, 4)), requires_grad=True)
        optimiser = make([p])
        optimiser.step([np.arange(12.0).reshape(3, 4)])
        state = {n: np.array(x, order=order) for n, x in optimiser.state_dict().items()}
        optimiser.load_state_dict(state)
        optimiser.step([np.ones((3, 4))])
        ends.append(p.numpy().copy())
    np.testing.assert_array_equal(*ends)


@pytest.mark.equation("OPT.3")
def test_adams_state_says_what_it_holds():
    ps = parameters()
    adam = Adam(ps)
    g = gradients(ps, 0)
    adam.step(g)
    state = adam.state_dict()
    assert state["step_count"] == 1
    np.testing.assert_allclose(state["m.0"], 0.1 * g[0], rtol=1e-12)
    np.testing.assert_allclose(state["v.0"], 0.001 * g[0] ** 2, rtol=1e-12)


@every
def test_a_state_is_a_copy(make):
    ps = parameters()
    optimiser = make(ps)
    optimiser.step(gradients(ps, 0))
    state = optimiser.state_dict()
    before = {name: value.copy() for name, value in state.items()}
    optimiser.step(gradients(ps, 1))
    for name, value in state.items():
        np.testing.assert_array_equal(value, before[name])


@every
def test_a_state_of_other_parameters_changes_nothing(make):
    ps = parameters()
    optimiser = make(ps)
    optimiser.step(gradients(ps, 0))
    before = optimiser.state_dict()
    good = {name: value + 1 for name, value in before.items()}
    slot = optimiser.slots[0]
    for wrong in (
        {**good, f"{slot}.0": np.zeros((4, 3))},
        {**good, "other.0": np.zeros(2)},
        {name: value for name, value in good.items() if name != f"{slot}.3"},
        {},
    ):
        with pytest.raises(ShapeError, match="load_state_dict"):
            optimiser.load_state_dict(wrong)
    with pytest.raises(ValueError, match="could not convert"):
        optimiser.load_state_dict({**good, f"{slot}.1": np.array(["a"] * 4)})
    after = optimiser.state_dict()
    assert before.keys() == after.keys()
    assert_equal(before.values(), after.values())
