"""Answers that have passed train a VAE: the library's numbers, and the names of those that fail."""

import pytest

from cli.conftest import minivae  # noqa: F401, a fixture
from exercises.students import RIGHT
from minivae.exercises import catalogue, find, pieces
from minivae.exercises.folder import Folder
from minivae.exercises.graduation import Answer, digits, graduate, places_of, read_answer

NUMBERS = [exercise.number for exercise in catalogue() if places_of(exercise.number)]
SIBLINGS = {"13": "28", "15": "27", "18": "25", "19": "26"}  # two that fit one place


def right(number, text=None):
    exercise = find(number)
    return read_answer(exercise, text or exercise.solved, str(exercise.path))


def trained(answers, epochs=1):
    X, X_test, _ = few_digits()
    return graduate(answers, X, X_test, epochs=epochs, hidden=12)


def few_digits():
    X, X_test, labels = digits()
    return X[:300], X_test[:40], labels[:40]


def assert_the_librarys(found):
    for name, value in found.library.items():
        assert found.own[name] == pytest.approx(value, rel=1e-9), name
    for library, own in found.history:
        assert own == pytest.approx(library, rel=1e-9)


@pytest.fixture(scope="module")
def untouched():
    return trained([])


def test_right_answers_give_the_librarys_numbers():
    found = trained([right(number) for number in NUMBERS], epochs=2)
    assert_the_librarys(found)
    assert all(piece.is_own and piece.calls for piece in found.pieces.values())
    assert {piece.answer.exercise.number for piece in found.pieces.values()} == set(NUMBERS) - set(
        SIBLINGS.values()
    )
    assert len(found.history) == 2


def test_an_exercise_of_two_fills_the_place_as_well():
    found = trained([right(number) for number in NUMBERS if number not in SIBLINGS])
    assert_the_librarys(found)
    assert all(piece.is_own for piece in found.pieces.values())


def test_without_an_answer_the_pieces_are_the_librarys(untouched):
    assert_the_librarys(untouched)
    assert not any(piece.is_own or piece.calls for piece in untouched.pieces.values())


def test_right_answers_in_unusual_clothes_stand_the_run():
    seen = {}
    for number, body in RIGHT:
        if number in NUMBERS:
            seen[number] = right(number, find(number).filled(body))
    found = trained(seen.values())
    assert_the_librarys(found)
    assert {n: p.fault for n, p in found.pieces.items() if p.fault} == {}


def slightly_wrong(number):
    """An answer of which every number is a millionth too large, or the order the wrong way."""
    answer = right(number)

    def wrong(*inputs):
        found = answer.function(*inputs)
        if isinstance(found, list):
            return found[::-1]
        if isinstance(found, tuple):
            return tuple(1.000001 * part for part in found)
        return 1.000001 * found

    return answer._replace(function=wrong)


@pytest.mark.parametrize("left_out", [SIBLINGS.values(), SIBLINGS.keys()])
def test_wrong_answers_are_put_aside_and_named_and_the_run_is_right(left_out, untouched):
    found = trained([slightly_wrong(number) for number in NUMBERS if number not in left_out])
    assert all(piece.fault and not piece.is_own for piece in found.pieces.values())
    assert found.own == untouched.own
    assert "where the library gives" in found.pieces["kl"].fault
    assert "behind one" in found.pieces["order"].fault


def test_one_wrong_answer_among_right_ones_is_the_one_that_is_named():
    answers = [right(number) if number != "14" else slightly_wrong("14") for number in NUMBERS]
    found = trained(answers)
    assert [name for name, piece in found.pieces.items() if piece.fault] == ["sample"]
    assert_the_librarys(found)


def test_what_an_answer_does_in_the_run_is_said(monkeypatch):
    def crash(g, out, A, B):
        return g @ B.T, A.T @ g[:7]

    found = trained([Answer(find(5), crash, __file__)])
    fault = found.pieces["matmul"].fault
    assert "raises ValueError" in fault
    assert "inputs of shapes (128, " in fault
    monkeypatch.setattr(pieces, "PATIENCE", 0.0)
    assert "right, and slow: 1 calls" in trained([right("05")]).pieces["matmul"].fault


def test_an_order_that_is_not_one_is_named():
    place = pieces.PLACES["order"]
    made_from = {0: (1, 2), 1: (2,), 2: ()}
    said = [place.fault(found, [0, 1, 2], (0, made_from)) for found in ([0, 1], [0, 2, 1])]
    assert ["2 nodes" in said[0], "behind one" in said[1]] == [True, True]
    assert place.fault([0, 1, 2], [0, 1, 2], (0, made_from)) == ""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    folder = Folder.start(tmp_path / "exercises")
    monkeypatch.chdir(folder.path)
    monkeypatch.setattr("minivae.cli.graduation.digits", few_digits)
    return folder


def test_a_student_who_passed_few_graduates_with_those(folder, minivae):  # noqa: F811
    for number in ("11", "13"):
        (folder.path / find(number).file).write_text(find(number).solved, encoding="utf-8")
    status, said, _ = minivae("exercise", "graduate", "--epochs", "1")
    assert status == 0
    assert "The same numbers" in said
    assert "log p(x | z)                        11        yours" in said
    assert "a step of Adam                      10        the library's" in said
    assert max(map(len, said.splitlines())) < 80
    assert (folder.path / "graduate.png").read_bytes().startswith(b"\x89PNG")


def test_an_answer_that_passed_once_and_is_wrong_now_is_named(folder, minivae):  # noqa: F811
    for number in ("11", "13"):
        (folder.path / find(number).file).write_text(find(number).solved, encoding="utf-8")
    assert folder.check(find(13))
    wrong = find(13).filled("return np.sum(mu**2 + np.exp(log_var) - 1 - log_var, axis=1)")
    (folder.path / find(13).file).write_text(wrong, encoding="utf-8")
    status, said, _ = minivae("exercise", "graduate", "--epochs", "1")
    assert status == 1
    assert "13  The KL divergence in closed form" in said
    assert "passed once, and does not now" in said
    assert "the KL                              13 or 28  the library's" in said


def test_nothing_to_graduate_with_is_refused(folder, minivae):  # noqa: F811
    status, _, error = minivae("exercise", "graduate")
    assert status == 2
    assert "none of the exercises that a training run needs" in error
    status, _, error = minivae("exercise", "graduate", "--epochs", "0")
    assert status == 2
    assert "--epochs 0" in error
