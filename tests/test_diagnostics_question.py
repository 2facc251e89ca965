"""How a question is asked: once, piece by piece, and after a stop from where it was."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from resnet_exp.diagnostics import question as question_module
from resnet_exp.diagnostics.case import Case, open_case
from resnet_exp.diagnostics.question import Question, ask
from resnet_exp.runs.diagnostics import Row, read_diagnosis, write_diagnosis
from resnet_exp.training.stop import Stopped
from tests.helpers import TINY, Settings


class Numbers:
    """A question whose answers are 0, 1, 2, 3; counts how often it measures."""

    def __init__(self, images: int = 5) -> None:
        self.measured: list[int] = []
        self.question = Question("numbers", lambda case: {"images": images}, lambda case: 4, self.measure)

    def measure(self, case: Case, known: Sequence[Row]) -> Iterator[list[Row]]:
        for number in range(len(known), 4):
            self.measured.append(number)
            yield [{"number": number, "square": number**2}]


@pytest.fixture
def case(settings: Settings, tmp_path: Path) -> Case:
    return open_case(settings(*TINY, "model=plain20"), tmp_path)


def go_on() -> None: ...


class StopAfter:
    def __init__(self, pieces: int) -> None:
        self.left = pieces

    def __call__(self) -> None:
        self.left -= 1
        if not self.left:
            raise Stopped(15)


def test_an_answer_is_written_and_not_measured_again(case: Case) -> None:
    numbers = Numbers()
    found = ask(numbers.question, case, check=go_on, fresh=False)
    assert [row["square"] for row in found.rows] == [0, 1, 4, 9]
    assert found == read_diagnosis(case.path, "numbers")
    assert found.choices == {"images": 5, "step": 0, "weights": case.digest}
    assert ask(numbers.question, case, check=go_on, fresh=False) == found
    assert numbers.measured == [0, 1, 2, 3]
    ask(numbers.question, case, check=go_on, fresh=True)
    assert numbers.measured == [0, 1, 2, 3] * 2


def test_what_depends_on_other_choices_or_weights_is_measured_again(case: Case, settings: Settings) -> None:
    ask(Numbers().question, case, check=go_on, fresh=False)
    other = Numbers(images=6)
    ask(other.question, case, check=go_on, fresh=False)
    assert other.measured == [0, 1, 2, 3]
    another = open_case(settings(*TINY, "model=plain20", "seed=1"), case.path)
    ask(other.question, another, check=go_on, fresh=False)
    assert other.measured == [0, 1, 2, 3] * 2


def test_what_was_measured_beyond_the_newest_checkpoint_is_measured_again(case: Case) -> None:
    """As an older version did where a snapshot was newer."""
    numbers = Numbers()
    found = ask(numbers.question, case, check=go_on, fresh=False)
    for step in (0, 7):
        write_diagnosis(case.path, replace(found, rows=[row | {"step": step} for row in found.rows]))
        ask(numbers.question, case, check=go_on, fresh=False)
        assert numbers.measured == [0, 1, 2, 3] * (2 if step else 1)


def test_after_a_stop_it_goes_on(case: Case) -> None:
    numbers = Numbers()
    with pytest.raises(Stopped):
        ask(numbers.question, case, check=StopAfter(2), fresh=False)
    half = read_diagnosis(case.path, "numbers")
    assert half is not None
    assert (half.complete, len(half.rows)) == (False, 2)
    found = ask(numbers.question, case, check=go_on, fresh=False)
    assert found.complete
    assert [row["number"] for row in found.rows] == [0, 1, 2, 3]
    assert numbers.measured == [0, 1, 2, 3]


def test_a_killed_process_loses_little(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(question_module, "KEEP_EVERY", -1.0)
    seen: list[int] = []

    def look() -> None:
        found = read_diagnosis(case.path, "numbers")
        seen.append(len(found.rows) if found else 0)

    ask(Numbers().question, case, check=look, fresh=False)
    assert seen == [0, 1, 2, 3]


def test_a_damaged_answer_is_measured_again(case: Case, caplog: pytest.LogCaptureFixture) -> None:
    ask(Numbers().question, case, check=go_on, fresh=False)
    (case.path / "diagnostics" / "numbers.csv").write_text("number\n1\n")
    numbers = Numbers()
    ask(numbers.question, case, check=go_on, fresh=False)
    assert numbers.measured == [0, 1, 2, 3]
    assert "numbers.json: missing, damaged" in caplog.text
