"""The table of runs: rows, widths, colours, what a low terminal leaves out."""

import re
from pathlib import Path

import pytest

from resnet_exp.cli.table import table
from resnet_exp.runs.status import RunStatus

CODE = re.compile(r"\x1b\[\d*m")


def row(status: str, name: str = "plain20", **more: object) -> RunStatus:
    return RunStatus(Path("x", name, "seed0"), "study", name, 0, status, **({"steps": 60} | more))


ROWS = [
    row("running", step=12, train_error=50.0, test_error=51.5, images_per_second=321.4, seconds_left=90),
    row("waiting", "resnet110", seconds_left=150),
    row("failed", reason="out of memory, of which there was too little for so wide a net"),
    *(row(status) for status in ("interrupted", "dead", "diverged", "completed", "completed")),
]


def test_the_table_has_a_row_a_run_and_counts_them() -> None:
    head, first, second, third, *_, last = table(ROWS)
    assert head.split() == ["net", "seed", "status", "step", "train", "%", "test", "%", "images/s", "left"]
    assert first.split() == ["plain20", "0", "running", "12/60", "50.00", "51.50", "321", "2", "min"]
    assert second.split() == ["resnet110", "0", "waiting", "0/60", "-", "-", "-", "2", "min"]
    assert third.endswith("so wide a net")
    assert len({line.index(line.split()[2]) for line in table(ROWS)[:-1]}) == 1, "a column is straight"
    assert last == ("1 running, 1 waiting, 1 interrupted, 1 failed, 1 dead, 2 completed, 1 diverged; about 4 min left")


@pytest.mark.parametrize("width", [1, 20, 33, 80, 500])
def test_the_table_is_cut_to_its_width_and_colour_needs_no_room(width: int) -> None:
    plain, coloured = table(ROWS, width=width), table(ROWS, width=width, colour=True)
    assert max(map(len, plain)) <= width
    assert [CODE.sub("", line) for line in coloured] == plain
    assert "\x1b" not in "".join(plain)
    assert ("\x1b" in "".join(coloured)) == (width > 17)


def test_a_low_terminal_shows_what_goes_on() -> None:
    runs = [row("completed"), row("waiting"), row("running"), row("failed"), row("completed")]
    for height, shown in ((8, 5), (6, 3), (5, 2)):
        lines = table(runs, height=height)
        assert len(lines) <= height
        assert [line.split()[2] for line in lines[1 : 1 + shown]] == {
            8: ["completed", "waiting", "running", "failed", "completed"],
            6: ["waiting", "running", "failed"],
            5: ["running", "failed"],
        }[height]
        assert lines[-1] == "1 running, 1 waiting, 1 failed, 2 completed"
    assert table(runs, height=5)[-2] == "and 3 more"


def test_runs_of_several_studies_are_told_apart() -> None:
    other = RunStatus(Path("y"), "other", "plain20", 0, "completed")
    assert [line.split()[0] for line in table([ROWS[0], other])[1:3]] == ["study/plain20", "other/plain20"]
