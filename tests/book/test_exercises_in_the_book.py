"""Chapters name their exercises and exercises their sections; questions have their answers.

A chapter's last section ends with two paragraphs,

    Exercises: 13, 28 on [between Gaussians](#between-gaussians); 15 on [two terms](#two-terms).

    Answers: [KL and the ELBO](answers.md#kl-and-the-elbo).

the first where there are exercises, which say the same the other way by their ``SECTION``.
"""

import re
from types import SimpleNamespace

import pytest

from minivae.equations import find_sources, prose, slug
from minivae.exercises import catalogue

ENTRY = re.compile(r"(\d\d(?:, \d\d)*) on \[([^\]]+)\]\(#([\w-]+)\)")
FIRST_EDITION = 30  # exercises that must have a section; later ones may come before their chapter


def read_pages():
    book = find_sources().book
    paths = [*sorted(book.glob("[0-9][0-9]_*.md")), book / "answers.md"]
    return {path.name: path.read_text(encoding="utf-8") for path in paths}


def sections(text):
    """The text of each section by its heading's anchor, fences and all."""
    blank = prose(text).split("\n")
    found, anchor = {}, ""
    for line, written in zip(blank, text.splitlines(), strict=False):
        if line.startswith("## "):
            anchor = slug(line[3:])
        found[anchor] = found.get(anchor, "") + written + "\n"
    return found


def paragraphs(page, begin):
    return [
        " ".join(p.split()).removeprefix(begin).strip()
        for p in sections(page).get("questions", "").split("\n\n")
        if p.startswith(begin)
    ]


def faults_of_exercises(pages, exercises):
    """What a chapter and an exercise do not both say."""
    chapters = {name[3:-3]: text for name, text in pages.items() if name != "answers.md"}
    claimed = {}
    for name, text in chapters.items():
        found = paragraphs(text, "Exercises:")
        if len(found) > 1:
            yield f"{name}: two paragraphs name exercises"
        for part in found[0].removesuffix(".").split("; ") if found else []:
            entry = ENTRY.fullmatch(part)
            if not entry:
                yield f"{name}: not of the form '13, 28 on [a heading](#its-anchor)': {part}"
                continue
            if slug(entry[2]) != entry[3]:
                yield f"{name}: [{entry[2]}] is not the heading of #{entry[3]}"
            for number in entry[1].split(", "):
                if number in claimed:
                    yield f"{name}: exercise {number} is named twice"
                claimed[number] = f"{name}#{entry[3]}"
    for exercise in exercises:
        said, section = claimed.pop(exercise.number, ""), exercise.section
        if not section and not said and int(exercise.number) > FIRST_EDITION:
            continue
        name, _, anchor = section.partition("#")
        text = sections(chapters.get(name, "")).get(anchor)
        if text is None:
            yield f"{exercise.number}: there is no section {section!r}"
        elif not any(rf"\tag{{{label}}}" in text for label in exercise.equations):
            yield f"{exercise.number}: {section} has none of its equations {exercise.equations}"
        if said != section:
            yield f"{exercise.number}: it says {section!r}, and the book {said or 'nothing'}"
    yield from (f"{where}: there is no exercise {number}" for number, where in claimed.items())


def faults_of_answers(pages):
    """Questions without an answer, and answers without a question."""
    answers = sections(pages["answers.md"])
    asked = set()
    for name, text in pages.items():
        questions = sections(text).get("questions")
        if questions is None:
            continue
        title = text.splitlines()[0].removeprefix("# ")
        found = paragraphs(text, "Answers:")
        if not found and int(name[:2]) > 17:
            continue  # a chapter that has just come
        if found != [f"[{title}](answers.md#{slug(title)})."]:
            yield f"{name}: its last paragraph does not lead to its answers: {found}"
        asked.add(slug(title))
        counts = [
            [int(n) for n in re.findall(r"^(\d+)\. ", part, re.MULTILINE)]
            for part in (questions, answers.get(slug(title), ""))
        ]
        if counts[0] != counts[1] or len(counts[0]) < 2:
            yield f"{name}: questions {counts[0]}, answers {counts[1]}"
    unasked = answers.keys() - asked - {""}
    yield from (f"answers.md: no chapter leads to #{anchor}" for anchor in sorted(unasked))


def test_chapters_and_exercises_name_each_other():
    assert list(faults_of_exercises(read_pages(), catalogue())) == []


def test_each_question_has_its_answer():
    assert list(faults_of_answers(read_pages())) == []


def exercise(number="01", section="sums#a-sum", equations=("SUM.1",)):
    return SimpleNamespace(number=number, section=section, equations=equations)


CHAPTER = """# Sums

## A sum

\\tag{SUM.1}

## Means

## Questions

1. Why?
2. How?

Exercises: 01 on [a sum](#a-sum).

Answers: [Sums](answers.md#sums).
"""
ANSWERS = "# Answers\n\n## Sums\n\n1. So.\n2. Thus.\n"


@pytest.mark.parametrize(
    ("old", "new", "exercises", "complaint"),
    [
        ("", "", [exercise()], ""),
        ("", "", [exercise(), exercise("31", "")], ""),
        ("", "", [exercise(), exercise("31")], "31: it says 'sums#a-sum', and the book nothing"),
        ("", "", [exercise(), exercise("02", "")], "02: there is no section ''"),
        ("", "", [exercise(section="sums#means")], "01: sums#means has none of its equations"),
        ("", "", [exercise(equations=["SUM.2"])], "has none of its equations"),
        ("", "", [exercise(section="sums#a-mean")], "there is no section 'sums#a-mean'"),
        ("", "", [], "there is no exercise 01"),
        ("01 on", "01, 02 on", [exercise()], "there is no exercise 02"),
        ("01 on", "01 and 02 on", [exercise()], "not of the form"),
        ("[a sum]", "[the sum]", [exercise()], "[the sum] is not the heading"),
        ("(#a-sum).", "(#a-sum); 01 on [means](#means).", [exercise()], "01 is named twice"),
    ],
)
def test_a_link_that_is_missing_is_seen(old, new, exercises, complaint):
    pages = {"01_sums.md": CHAPTER.replace(old, new, 1), "answers.md": ANSWERS}
    found = "\n".join(faults_of_exercises(pages, exercises))
    assert complaint in found
    assert bool(complaint) == bool(found)


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("", "", ""),
        ("2. How?\n", "", "questions [1], answers [1, 2]"),
        ("2. How?", "2. How?\n3. When?", "questions [1, 2, 3], answers [1, 2]"),
        ("answers.md#sums", "answers.md#means", "does not lead to its answers"),
        ("# Sums", "# Products", "no chapter leads to #sums"),
    ],
)
def test_an_answer_that_is_missing_is_seen(old, new, complaint):
    pages = {"01_sums.md": CHAPTER.replace(old, new, 1), "answers.md": ANSWERS}
    found = "\n".join(faults_of_answers(pages))
    assert complaint in found
    assert bool(complaint) == bool(found)
