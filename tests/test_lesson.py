"""The lesson is true: its five commands do as they stand there, and each draws the figure to look at."""

import re
from pathlib import Path

import pytest

from resnet_exp.cli.names import named_in
from tests.helpers import ROOT, Command, commands_of

LESSON = (ROOT / "docs" / "lesson.md").read_text()
PARTS = LESSON.split("\n## ")[1:]


def command_of(part: str) -> list[str]:
    """The only one, without its name."""
    (command,) = commands_of(part)
    return command.removeprefix("resnet-exp ").split()


def figure_of(part: str) -> str:
    return re.findall(r"The figure\*\* is `(\w+\.png)`", part)[0]


def test_every_part_has_a_command_a_figure_and_something_to_guess() -> None:
    assert len(PARTS) == 5
    for part in PARTS:
        assert "**Let them guess.**" in part
        assert figure_of(part)
        words = [word for word in command_of(part) if word != "-m"]
        assert named_in(words) & {"experiment", "task"}


@pytest.mark.slow
def test_the_lesson_goes_as_it_is_written(command: Command, tmp_path: Path) -> None:
    report = tmp_path / "outputs" / "quick" / "report"
    for part in PARTS:
        figure = report / figure_of(part)
        assert not figure.exists()
        done = command(*command_of(part))
        assert done.returncode == 0, done.stderr
        assert figure.exists()
    assert "train images: error" in done.stdout + done.stderr
