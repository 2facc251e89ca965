"""How many cores there are, and how many of them other processes leave free."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from resnet_exp import cores


def test_a_containers_share_of_the_cores_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(16)), raising=False)
    monkeypatch.setattr(cores, "CGROUPS", tmp_path)
    assert cores.count_cores() == 16
    for limit, expected in (("250000 100000", 3), ("max 100000", 16), ("50000 100000", 1), ("garbage", 16)):
        (tmp_path / "cpu.max").write_text(f"{limit}\n")
        assert cores.count_cores() == expected, limit
    (tmp_path / "cpu.max").unlink()
    (tmp_path / "cpu").mkdir()
    for quota, expected in (("400000", 4), ("-1", 16)):
        (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text(quota)
        (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000")
        assert cores.count_cores() == expected


def test_a_process_has_the_limits_of_its_groups_and_of_those_above(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_text = Path.read_text

    def of_a_job(path: Path) -> str:
        if path == Path("/proc/self/cgroup"):
            return "4:memory,hugetlb:/docker/job\n0::/slice/job\n"
        return read_text(path)

    monkeypatch.setattr(Path, "read_text", of_a_job)
    monkeypatch.setattr(cores, "CGROUPS", tmp_path)
    job = tmp_path / "slice" / "job"
    assert cores.control_groups() == [job, job.parent, tmp_path]
    of_memory = tmp_path / "memory" / "docker"
    assert cores.control_groups("memory") == [of_memory / "job", of_memory, tmp_path / "memory"]
    assert cores.control_groups("cpu") == [tmp_path / "cpu"]
    job.mkdir(parents=True)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(16)), raising=False)
    (job / "cpu.max").write_text("800000 100000")
    (job.parent / "cpu.max").write_text("300000 100000")
    assert cores.count_cores() == 3


@pytest.fixture
def four_cores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine of six cores, four of them ours (0, 1, 4, 5); where its kernel counts."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1, 4, 5}, raising=False)
    monkeypatch.setattr(cores, "CGROUPS", tmp_path)
    monkeypatch.setattr(cores, "STAT", tmp_path / "stat")
    monkeypatch.setattr(cores, "LONGEST", 60)
    count(tmp_path / "stat")
    return tmp_path / "stat"


def count(stat: Path, **busy: int) -> None:
    """Writes seconds that cores were busy, by name."""
    lines = ["cpu  1 2 3 4 5 6 7 0 9 9"]
    for number in range(6):
        ticks = 50 * busy.get(f"cpu{number}", 0)  # half of them a user's, half the system's, at 100 a second
        lines.append(f"cpu{number} {ticks} 0 {ticks} 123456 789 0 0 4321 {ticks} 0")
    stat.write_text("\n".join([*lines, "intr 1 2 3", ""]))


def look_after(seconds: float, *, own: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets the clock go on, of which this process computes a part."""
    now, used = time.monotonic() + seconds, time.process_time() + own
    monkeypatch.setattr(time, "monotonic", lambda: now)
    monkeypatch.setattr(time, "process_time", lambda: used)


@pytest.mark.parametrize(
    ("busy", "own", "free"),
    [
        ({}, 0, 4),
        ({"cpu0": 10}, 10, 4),  # by this process itself
        ({"cpu0": 10, "cpu4": 10}, 10, 3),
        ({"cpu0": 10, "cpu1": 10, "cpu4": 10, "cpu5": 10}, 0, 1),
        ({"cpu2": 10, "cpu3": 10}, 0, 4),  # not ours
        ({"cpu0": 4}, 0, 4),  # now and then
        ({"cpu0": 6}, 0, 3),
    ],
)
def test_cores_that_others_keep_busy_are_not_free(
    four_cores: Path, monkeypatch: pytest.MonkeyPatch, busy: dict[str, int], own: float, free: int
) -> None:
    monkeypatch.setattr(cores, "NEIGHBOURS", cores.Neighbours())
    assert cores.free_cores() == 4
    look_after(10, own=own, monkeypatch=monkeypatch)
    count(four_cores, **busy)
    assert cores.free_cores() == free
    assert cores.free_cores() == free, "too soon for another look"
    look_after(10, own=0, monkeypatch=monkeypatch)
    assert cores.free_cores() == 4, "they have ended"


def test_what_was_long_ago_is_no_matter(four_cores: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A job of a sweep begins; beside the one before it, for an hour, all cores were busy. Now one is."""
    monkeypatch.setattr(cores, "NEIGHBOURS", cores.Neighbours())
    look_after(3600, own=0, monkeypatch=monkeypatch)
    count(four_cores, cpu0=3600, cpu1=3600, cpu4=3600, cpu5=3600)

    def sleep(seconds: float) -> None:
        look_after(seconds, own=0, monkeypatch=monkeypatch)
        count(four_cores, cpu0=3601, cpu1=3600, cpu4=3600, cpu5=3600)

    monkeypatch.setattr(time, "sleep", sleep)
    assert cores.free_cores() == 3


def test_a_containers_share_is_not_made_smaller_by_neighbours_elsewhere(
    four_cores: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cpu.max").write_text("200000 100000\n")
    monkeypatch.setattr(cores, "NEIGHBOURS", cores.Neighbours())
    look_after(10, own=0, monkeypatch=monkeypatch)
    count(four_cores, cpu0=10, cpu1=10)
    assert cores.free_cores() == cores.count_cores() == 2


@pytest.mark.parametrize("text", [None, "", "cpu0 x y\n", "cpu0\n"])
def test_where_nobody_counts_all_are_free(four_cores: Path, monkeypatch: pytest.MonkeyPatch, text: str | None) -> None:
    four_cores.unlink()
    if text is not None:
        four_cores.write_text(text)
    monkeypatch.setattr(cores, "NEIGHBOURS", cores.Neighbours())
    look_after(10, own=0, monkeypatch=monkeypatch)
    assert cores.free_cores() == 4


@pytest.mark.skipif(not cores.STAT.exists(), reason="nobody counts here")
def test_a_busy_process_is_seen() -> None:
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as other:
        try:
            neighbours = cores.Neighbours()
            time.sleep(4 * cores.SHORTEST)
            seen = neighbours.look()
        finally:
            other.kill()
    assert seen > 0.3


WAITING = """
import os, sys, types
command = types.ModuleType("command")
command.main = lambda: print("torch" in sys.modules, *(os.environ.get(name) for name in sys.argv[1:]))
sys.modules["command"] = command
from resnet_exp.cli.start import run
run("command")
"""


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, ["5000", "1"]),
        ({"GOMP_SPINCOUNT": "7"}, ["7", "1"]),
        ({"OMP_WAIT_POLICY": "active"}, ["None", "None"]),
    ],
    ids=str,
)
def test_openmp_is_told_before_torch_is_there_unless_the_user_told_it(
    environment: dict[str, str], expected: list[str]
) -> None:
    clean = {key: value for key, value in os.environ.items() if key not in (*cores.OPENMP, "OMP_WAIT_POLICY")}
    words = [sys.executable, "-c", WAITING, *cores.OPENMP]
    done = subprocess.run(words, env=clean | environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", *expected]
