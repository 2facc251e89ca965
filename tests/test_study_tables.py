"""What stands in the tables: intervals or none, and how each run ended."""

from pathlib import Path

import pytest

from resnet_exp.study.arms import group_arms
from resnet_exp.study.cells import Table, difference_cell, estimate_cell, lines_of
from resnet_exp.study.statistics import estimate, welch
from resnet_exp.study.tables import all_tables, run_table
from tests.helpers import load_runs, write_run


def test_an_interval_that_is_not_defined_is_not_shown() -> None:
    one, equal, several = estimate([8.0]), estimate([90.0, 90.0]), estimate([8.0, 9.0])
    assert [estimate_cell(some) for some in (None, one, equal)] == ["-", "8.00", "90.00 ± 0.00"]
    assert estimate_cell(several) == "8.50 ± 0.71 [2.15, 14.85]"
    assert difference_cell(None) == "-"
    assert difference_cell(welch(one, equal)) == difference_cell(welch(estimate([8.0, 8.0]), equal)) == "+82.00"
    assert difference_cell(welch(several, equal)).startswith("+81.50 [")


def states(folder: Path) -> list[str]:
    table, *_ = all_tables(group_arms(load_runs(folder)))
    return [row[-1] for row in table.rows]


def test_how_runs_ended_is_said_and_why_one_failed(tmp_path: Path) -> None:
    write_run(tmp_path, "plain", 20, 0, [50.0])
    write_run(tmp_path, "plain", 20, 1, [50.0], status="running")
    for seed in (2, 3):
        write_run(tmp_path, "plain", 20, seed, [50.0], status="failed", reason="RuntimeError: no memory", step=1200)
    assert states(tmp_path) == ["1 completed, 1 dead, 2 failed (RuntimeError: no memory at step 1,200)"]
    write_run(tmp_path, "plain", 56, 0, [50.0], status="failed", reason="OSError: disk " + "full " * 50, step=7)
    write_run(tmp_path, "plain", 56, 1, [50.0], status="failed", reason="ValueError: odd")
    write_run(tmp_path, "plain", 56, 2, [50.0], status="failed")
    long, other = states(tmp_path)[1].removeprefix("3 failed (").removesuffix(")").split("; ")
    assert (other, long[:20], long[-12:]) == ("ValueError: odd", "OSError: disk full f", " … at step 7")
    assert len(long) < 90


def test_a_failed_run_counts_as_unfinished_whatever_it_reached(tmp_path: Path) -> None:
    write_run(tmp_path, "plain", 20, 0, [50.0])
    write_run(tmp_path, "plain", 20, 1, [10.0], status="failed", reason="RuntimeError: x", step=3)
    table, *_ = all_tables(group_arms(load_runs(tmp_path)))
    assert table.rows[0][:6] == ["plain20", "20", "2", "50.00", "5.00", "51.00"]
    _, completed, failed = run_table(load_runs(tmp_path)).splitlines()
    assert ",completed," in completed
    assert ",failed," in failed


def test_the_rows_of_all_runs_say_dead_too(tmp_path: Path) -> None:
    write_run(tmp_path, "plain", 20, 0, [50.0], status="running")
    assert ",dead," in run_table(load_runs(tmp_path))


@pytest.mark.parametrize("text", ["a|b", "|", "a||b"])
def test_a_bar_in_a_cell_does_not_end_it(text: str) -> None:
    *_, line = lines_of(Table("caption", ["one", "two"], [[text, "x"]]))
    assert line.replace(r"\|", "").count("|") == 3


def test_a_pair_has_its_bootstrap_and_how_often_the_second_is_worse(study: Path) -> None:
    """Plain nets end at 30 and 32, and at 50 and 52; residual ones of 20 layers at 28, of 56 at 25."""
    table = all_tables(group_arms(load_runs(study)), margin=0.5)[1]
    plain, resnet = (dict(zip(table.header, row, strict=True)) for row in table.rows)
    assert (plain["bootstrap"], plain["second is worse"], plain["verdict"]) == ("[+18.00, +22.00]", "100%", "degrades")
    assert (resnet["bootstrap"], resnet["second is worse"]) == ("-", "0%")
    assert "within 0.5 of 0" in table.note
    write_run(study, "plain", 110, 0, [60.0])
    table = all_tables(group_arms(load_runs(study)))[1]
    alone = dict(zip(table.header, table.rows[1], strict=True))
    assert alone["nets"] == "plain20 → plain110"
    assert alone["seeds"] == "2 → 1"
    assert (alone["bootstrap"], alone["second is worse"]) == ("-", "-")
