"""Whether other processes keep the threads waiting: what the system counts, and what a run says of it."""

from pathlib import Path

import pytest

from resnet_exp.training import progress, waiting
from resnet_exp.training.progress import Progress
from resnet_exp.training.waiting import Waiting, counted

ROW = {"step": 1, "epoch": 0.1, "lr": 0.1, "train_loss": 1.0, "train_error": 50.0}


@pytest.fixture
def threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """In place of the system's files."""
    monkeypatch.setattr(waiting, "TASKS", tmp_path)
    return tmp_path


def count(threads: Path, *of_each: tuple[int, int]) -> None:
    for number, (ran, waited) in enumerate(of_each):
        (threads / str(number)).mkdir(exist_ok=True)
        (threads / str(number) / "schedstat").write_text(f"{ran} {waited} 7\n")


def test_the_share_is_that_of_all_threads_since_it_was_begun(threads: Path) -> None:
    assert counted() == (0, 0)
    assert Waiting().share == 0.0
    count(threads, (1000, 900), (500, 0))
    watch = Waiting()
    assert watch.share == 0.0
    count(threads, (1600, 1200), (600, 0))
    assert watch.share == pytest.approx(300 / (700 + 300))
    (threads / "1" / "schedstat").write_text("")  # of a thread that ends
    assert counted() == (1600, 1200)


@pytest.mark.skipif(not waiting.TASKS.exists(), reason="this system does not count")
def test_the_system_counts() -> None:
    before, _ = counted()
    sum(range(10**6))
    assert counted()[0] > before


def lines(threads: Path, caplog: pytest.LogCaptureFixture, *, waited: int) -> list[str]:
    """What a run says in three evaluations, of which the first comes too early."""
    count(threads, (0, 0))
    with Progress(name="x", steps=9, step=0, batch_size=1, quiet=True) as bar:
        count(threads, (1000 - waited, waited))
        for seconds in (0.0, 100.0, 100.0):
            bar.seconds = seconds
            bar.report(ROW)
            bar.pause()
    return [record.getMessage() for record in caplog.records if "other processes" in record.getMessage()]


@pytest.mark.parametrize(("waited", "told"), [(0, 0), (150, 0), (400, 1)])
def test_a_run_says_once_that_it_is_kept_waiting(
    threads: Path, caplog: pytest.LogCaptureFixture, waited: int, told: int
) -> None:
    assert progress.CROWDED == 0.2
    found = lines(threads, caplog, waited=waited)
    assert len(found) == told
    assert all("waiting 40 % of their time" in line for line in found)
