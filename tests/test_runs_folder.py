import json
from pathlib import Path

import pytest

from resnet_exp.runs.folder import MetricsFile, RunFolder, check_place, is_alive
from resnet_exp.runs.schema import SCHEMA
from tests.helpers import finish, start, wait_until

COLUMNS = ["step", "lr", "loss"]
ROW = {"step": 5, "lr": 0.1, "loss": 1.23456789}


def test_rows_are_on_disk_at_once_and_without_noise(tmp_path: Path) -> None:
    metrics = MetricsFile(tmp_path / "m.csv", columns=COLUMNS, kept="")
    metrics.add(ROW)
    metrics.add({"step": 64_000_000, "lr": 1e-4, "loss": float("nan")})
    assert (tmp_path / "m.csv").read_text() == "step,lr,loss\n5,0.1,1.23457\n64000000,0.0001,nan\n"
    assert metrics.offset == (tmp_path / "m.csv").stat().st_size
    metrics.close()


def test_reopening_drops_what_came_after_the_offset(tmp_path: Path) -> None:
    metrics = MetricsFile(tmp_path / "m.csv", columns=COLUMNS, kept="")
    metrics.add(ROW)
    kept = metrics.text
    metrics.add(ROW | {"step": 10})
    metrics.close()
    with (tmp_path / "m.csv").open("a") as file:
        file.write("15,0.")  # torn
    metrics = MetricsFile(tmp_path / "m.csv", columns=COLUMNS, kept=kept)
    metrics.add(ROW | {"step": 11})
    metrics.close()
    assert [line.split(",")[0] for line in (tmp_path / "m.csv").read_text().splitlines()] == ["step", "5", "11"]


@pytest.mark.parametrize("found", [None, "", "step,lr\n", "step,lr,loss\r\n5,0.1,1\r\n", "x" * 100])
def test_what_the_checkpoint_knows_is_written_again_where_it_is_lost_or_changed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, found: str | None
) -> None:
    file, kept = tmp_path / "m.csv", "step,lr,loss\n5,0.1,1\n"
    if found is not None:
        file.write_bytes(found.encode())
    metrics = MetricsFile(file, columns=COLUMNS, kept=kept)
    metrics.add(ROW | {"step": 11})
    metrics.close()
    assert file.read_bytes() == (kept + "11,0.1,1.23457\n").encode()
    assert "m.csv: lost or changed since the checkpoint was written" in caplog.text


FULL_DISK = """
import resource, sys
from pathlib import Path
from resnet_exp.runs.folder import MetricsFile
metrics = MetricsFile(Path(sys.argv[1]), columns=["step", "loss"], kept="")
metrics.add({"step": 1, "loss": 0.5})
resource.setrlimit(resource.RLIMIT_FSIZE, (metrics.offset + 3, resource.RLIM_INFINITY))
try:
    metrics.add({"step": 2, "loss": 0.25})
except OSError as error:
    print(error.filename, error.strerror, metrics.offset)
metrics.close()
"""


def test_a_full_disk_leaves_no_torn_row(tmp_path: Path) -> None:
    """The first three bytes of the row still find room."""
    file = tmp_path / "m.csv"
    code, out, err = finish(start(tmp_path, str(file), code=FULL_DISK))
    assert file.read_text() == "step,loss\n1,0.5\n"
    assert (code, err) == (0, "")
    assert out == f"{file} No space left on device {file.stat().st_size}\n"


def test_a_killed_writer_leaves_no_scraps(tmp_path: Path) -> None:
    for name in (".checkpoint.pt.new.123.tmp", ".summary.json.9.tmp", "mine.tmp"):
        (tmp_path / name).touch()
    with RunFolder(tmp_path):
        assert sorted(file.name for file in tmp_path.iterdir()) == [".lock", "mine.tmp"]


def test_a_place_where_no_folder_can_be_made_is_told(tmp_path: Path) -> None:
    check_place(tmp_path)
    check_place(tmp_path / "outputs" / "study" / "plain20" / "seed0")
    (tmp_path / "outputs").write_text("a file")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for name in ("outputs", "link"):
        with pytest.raises(ValueError, match=f"{name}: Not a directory; .*seed0 belongs there"):
            check_place(tmp_path / name / "plain20" / "seed0")


def test_a_folder_takes_one_run_at_a_time(tmp_path: Path) -> None:
    with RunFolder(tmp_path):
        second = RunFolder(tmp_path)
        assert second.config is None, "looking is free"
        with pytest.raises(ValueError, match="another process is training this run"), second:
            pass
    with RunFolder(tmp_path):
        pass


def test_looking_at_a_folder_makes_none(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    assert (folder.config, folder.summary, folder.last_errors()) == (None, {}, {})
    assert list(tmp_path.iterdir()) == []


HOLD = """
import signal
from pathlib import Path
from resnet_exp.runs.folder import RunFolder
with RunFolder(Path("run")):
    Path("held").touch()
    signal.pause()
"""


def test_a_run_is_alive_as_long_as_its_process_has_the_folder_open(tmp_path: Path) -> None:
    """However that process ends; whoever looks neither makes the folder nor keeps it from being opened."""
    path = tmp_path / "run"
    assert not is_alive(path)
    assert not path.exists()
    process = start(tmp_path, code=HOLD)
    wait_until((tmp_path / "held").exists, "the lock", process=process)
    assert is_alive(path)
    assert is_alive(path), "looking does not take it"
    process.kill()
    process.wait()
    assert (path / ".lock").exists()
    assert not is_alive(path)
    with RunFolder(path):
        assert is_alive(path)
    assert not is_alive(path)


def test_config_and_summary_come_back(tmp_path: Path) -> None:
    with RunFolder(tmp_path) as folder:
        assert folder.config is None
        assert folder.summary == {}
        folder.config = {"depth": 20, "data": {"root": "x y", "limit": None}}
        folder.summary = {"status": "running"}
        written = {"depth": 20, "data": {"root": "x y", "limit": None}}
        assert folder.config == written | {"schema": SCHEMA, "grow_from": None}  # which came without a new number
        assert json.loads((tmp_path / "summary.json").read_text()) == {"status": "running"}
        (tmp_path / "run.log").write_text("kept")
        folder.clear()
        assert folder.config is None
        assert (tmp_path / "run.log").exists()


@pytest.mark.parametrize("text", ["", "{", "[]", "7", "null", '"text"', "\0\0"])
def test_a_summary_that_is_none_is_told_and_written_anew(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, text: str
) -> None:
    (tmp_path / "summary.json").write_text(text)
    assert RunFolder(tmp_path).summary == {}
    assert "summary.json: damaged" in caplog.text
