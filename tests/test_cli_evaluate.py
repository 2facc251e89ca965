"""`task=evaluate` as a user types it: what it writes, says, and does again."""

import errno
import json
import logging
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from resnet_exp.cli import evaluate as command_evaluate
from resnet_exp.cli.main import called_after
from resnet_exp.compute import assess as compute_assess
from resnet_exp.runs.evaluation import read_evaluation
from resnet_exp.runs.folder import RunFolder
from tests.forkserver import REPORT
from tests.helpers import TINY, Command, Settings, assert_one_message, complete

SHOWN = ("confusion", "reliability", "most_confused")


def test_the_command_evaluates_writes_and_says_and_the_report_shows_it(command: Command, tmp_path: Path) -> None:
    folder = complete(tmp_path, *TINY, "depth=8") / "evaluation"
    done = command(*TINY, "depth=8", "task=evaluate")
    assert (done.returncode, done.stderr) == (0, "")
    figures = {f"{name}.{end}" for name in SHOWN for end in ("png", "svg", "pdf")}
    data = {"evaluation.json", "predictions.csv", "most_confused.npz"}
    wanted = figures | data | {"confusion.csv", "evaluation.md"}
    assert {file.name for file in folder.iterdir()} == wanted
    evaluated = read_evaluation(folder)
    lines = done.stdout.splitlines()
    stored, again = (score for score in evaluated.scores if score.split == "test")
    assert lines[1] == f"step 6  test images 50  loss {stored.loss:.4g}  error {stored.error:.2f} %"
    assert "resnet8 seed 0, step 6 · synthetic shapes, 50 test images of 10 classes" in lines
    cells = [[cell.strip() for cell in line.split("|")[1:3]] for line in lines if line.startswith("|")]
    assert ["stored", f"{stored.error:.2f}"] in cells
    assert ["re-estimated", f"{again.error:.2f}"] in cells
    assert lines[-1] == f"evaluation: {folder / 'evaluation.md'}"

    before = {name: (folder / name).read_bytes() for name in wanted}
    (folder / "confusion.png").write_text("of an earlier evaluation")
    repeated = command(*TINY, "depth=8", "task=evaluate")
    assert repeated.stdout == done.stdout
    assert {name: (folder / name).read_bytes() for name in wanted} == before

    assert command("outputs/default", module=REPORT).returncode == 0
    page = (tmp_path / "outputs" / "default" / "report" / "report.html").read_text()
    assert "Evaluation</h2>" in page
    assert f'<td class="number"><span>{stored.error:.2f}</span></td>' in page
    assert page.count("<svg") == 1 + len(SHOWN)


@pytest.mark.parametrize(
    ("code", "file", "raised"),
    [
        (errno.EACCES, "evaluation", False),
        (errno.EROFS, "evaluation/predictions.csv", False),
        (errno.ENOSPC, "evaluation/predictions.csv", True),  # there is something to be done about it
        (errno.EACCES, "checkpoint.pt", True),
    ],
)
def test_a_folder_that_may_not_be_written_is_no_failure(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
    code: int, file: str, raised: bool,
) -> None:  # fmt: skip
    def refuse(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code), str(tmp_path / file))

    monkeypatch.setattr(compute_assess, "evaluate_run", refuse)
    if raised:
        with pytest.raises(OSError, match=os.strerror(code)):
            command_evaluate.evaluate(settings(*TINY), RunFolder(tmp_path), given=set(), turn=0)
        return
    with caplog.at_level(logging.INFO):
        command_evaluate.evaluate(settings(*TINY), RunFolder(tmp_path), given=set(), turn=0)
    assert caplog.messages == [f"{tmp_path / 'evaluation'}: {os.strerror(code)}; only said, not written"]


def test_weights_from_anywhere_are_evaluated_into_a_folder_of_their_own(command: Command, tmp_path: Path) -> None:
    run_folder = complete(tmp_path, *TINY, "depth=8")
    assert command("task=export", "from=outputs/default/resnet8/seed0").returncode == 0
    assert command("task=evaluate", "from=outputs/default/resnet8/seed0/").returncode == 0
    # Other training images: the weights keep to the normalisation that they were trained with.
    data = ("data=synthetic", "data.train_limit=60", "data.test_limit=50")
    expected = (run_folder / "evaluation/predictions.csv").read_text()
    stored = [",".join(line.split(",")[:5]) for line in expected.splitlines()]  # without the re-estimated statistics
    for source in (".", "export/model.safetensors"):
        done = command(*data, "threads=1", "task=evaluate", f"weights=outputs/default/resnet8/seed0/{source}")
        assert (done.returncode, done.stderr) == (0, "")
        assert "weights of resnet8, layout ours" in done.stdout
        (again,) = tmp_path.glob("outputs/default/resnet8-seed0-*/evaluation/predictions.csv")
        assert [",".join(line.split(",")[:5]) for line in again.read_text().splitlines()] == stored
        again.unlink()
    twin = shutil.copytree(run_folder, tmp_path / "elsewhere/resnet8/seed0")
    assert called_after(twin) != called_after(run_folder) == called_after(run_folder / "export"), "of one name only"
    for other, said in (("depth=14", "depth: 8 -> 14"), ("data=cifar10", "data=: from=")):
        refused = command("task=describe", "from=outputs/default/resnet8/seed0", other)
        assert refused.returncode == 1
        assert said in refused.stderr
    wrong = command(*data, "model=plain20", "task=evaluate", "weights=outputs/default/resnet8/seed0/export")
    assert wrong.returncode == 1
    assert "weights of resnet8, not of plain20" in wrong.stderr


def test_an_export_needs_no_images_and_an_evaluation_says_where_they_were(command: Command, tmp_path: Path) -> None:
    for number in range(8):
        folder = tmp_path / "images" / ("train" if number < 4 else "test") / "ab"[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 256, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    images = ("data=image_folder", "data.root=images", "data.image_size=8", "data.train_limit=4", "data.test_limit=4")
    run_folder = complete(tmp_path, *TINY, *images, "train.batch_size=2", "depth=8")
    (tmp_path / "images").rename(tmp_path / "moved")
    done = command("task=export", "from=outputs/default/resnet8/seed0")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads((run_folder / "export/config.json").read_text())["classes"] == ["a", "b"]
    refused = command("task=evaluate", "from=outputs/default/resnet8/seed0")
    assert_one_message(refused.returncode, refused.stderr, "data.root=images: no folder train and no folder test")
    done = command("task=evaluate", "from=outputs/default/resnet8/seed0", "data.root=moved")
    assert (done.returncode, done.stderr) == (0, "")
