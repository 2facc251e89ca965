"""Folders as users have them, given to the real command: odd images, other programs' files, links, no rights."""

import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from resnet_exp.config import Config
from tests.helpers import Command, assert_one_message, complete, finish, run_folder, run_until, start

SMALL = (
    *("data=image_folder", "data.root=pictures", "data.image_size=8", "width=2", "depth=8", "threads=1"),
    *("train.batch_size=8", "train.steps=4", "train.eval_every=2", "optim.milestones=[3]"),
)
SHAPES = (
    *("data=synthetic", "threads=1", "data.image_size=8", "width=2", "depth=8", "data.train_limit=64"),
    *("data.test_limit=50", "train.batch_size=16", "train.steps=4", "train.eval_every=2", "optim.milestones=[3]"),
)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Two classes, a light and a dark one, of four and two images."""
    rng = np.random.default_rng(0)
    for part, count in (("train", 4), ("test", 2)):
        for name, low in (("dark", 0), ("light", 128)):
            folder = tmp_path / "pictures" / part / name
            folder.mkdir(parents=True)
            for index in range(count):
                pixels = rng.integers(low, low + 127, (8, 8, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f"{index}.png")
    return tmp_path / "pictures"


def summary(cwd: Path) -> dict[str, object]:
    return json.loads((run_folder(cwd) / "summary.json").read_text())


def test_images_of_16_bits_are_learnt_and_no_divergence(pictures: Path, tmp_path: Path) -> None:
    for file in pictures.rglob("*.png"):
        grey = np.asarray(Image.open(file).convert("L")).astype(np.uint16) * 257
        Image.fromarray(grey).save(file)
    complete(tmp_path, *SMALL)
    assert summary(tmp_path)["status"] == "completed"
    assert "16 bits scaled to 8" in str(summary(tmp_path)["choices"])


def test_turned_and_transparent_images_are_what_one_sees(pictures: Path, tmp_path: Path) -> None:
    """Stored upside down with a note that says so, or with pixels nobody sees: the same images as plain ones."""
    shown, stored = tmp_path / "shown", tmp_path / "stored"
    for place in (shown, stored):
        shutil.copytree(pictures, place / "pictures")
    turned = Image.Exif()
    turned[0x0112] = 3  # half a turn
    for file in (stored / "pictures").rglob("*.png"):
        image = Image.open(file)
        if file.parent.name == "dark":
            image.transpose(Image.Transpose.ROTATE_180).save(file, exif=turned)
        else:
            hidden = image.convert("RGBA")
            hidden.putpixel((0, 0), (1, 2, 3, 0))
            hidden.save(file)
            seen = image.copy()
            seen.putpixel((0, 0), (255, 255, 255))
            seen.save(shown / file.relative_to(stored))
    prints = []
    for place in (shown, stored):
        complete(place, *SMALL)
        prints.append(summary(place)["dataset"]["fingerprint"])
    assert prints[0] == prints[1]


def test_a_channel_that_is_constant_is_harmless_and_told(command: Command, pictures: Path, tmp_path: Path) -> None:
    """As in microscopy, where two of three channels may be empty."""
    for file in pictures.rglob("*.png"):
        pixels = np.asarray(Image.open(file)).copy()
        pixels[..., 1:] = 0
        Image.fromarray(pixels).save(file)
    done = command(*SMALL)
    assert (done.returncode, done.stderr) == (0, "")
    assert "every training pixel has the same green, blue" in done.stdout
    assert summary(tmp_path)["status"] == "completed"
    assert "nan" not in (run_folder(tmp_path) / "metrics.csv").read_text()


def test_what_is_no_image_is_counted_and_what_is_none_of_ours_ignored(
    command: Command, pictures: Path, tmp_path: Path
) -> None:
    cat = pictures / "train" / "dark"
    for name in ("a.gif", "b.GIF", "c.jfif", "readme"):
        (cat / name).write_text("x")
    (cat / "note.txt").symlink_to("nowhere")
    (cat / "._0.png").write_bytes(b"of another system")
    for part in ("train", "test"):
        for place in (pictures / part, pictures / part / "dark"):  # beside the classes, and within one
            hidden = place / ".ipynb_checkpoints"
            hidden.mkdir()
            shutil.copy(cat / "0.png", hidden)
    done = command(*SMALL)
    assert (done.returncode, done.stderr) == (0, "")
    assert "5 files are left out (2 .gif, 1 .jfif, 1 .txt, 1 no ending)" in done.stdout
    assert summary(tmp_path)["dataset"]["classes"] == 2
    assert (summary(tmp_path)["n_train"], summary(tmp_path)["n_test"]) == (8, 4)
    described = command(*SMALL, "task=describe")
    assert "for one image of 8x8 and 2 classes" in described.stdout
    assert "8 training and 4 test images of 2 classes" in described.stdout


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda file: file.write_bytes(file.read_bytes()[:40]), "0.png: not a readable image"),
        (lambda file: (file.unlink(), file.symlink_to("nowhere")), "0.png: not a readable image (No such file"),
        (lambda file: shutil.rmtree(file.parent), "must hold the same classes; differing: dark"),
    ],
    ids=["cut", "link", "class"],
)
def test_what_cannot_be_read_is_named(command: Command, pictures: Path, damage: object, message: str) -> None:
    damage(pictures / "train" / "dark" / "0.png")  # type: ignore[operator]
    failed = command(*SMALL)
    assert_one_message(failed.returncode, failed.stderr, message)


def test_a_name_that_is_no_text_is_read_and_named(command: Command, pictures: Path, tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9.png")
    (pictures / "train" / "dark" / "0.png").rename(pictures / "train" / "dark" / name)
    complete(tmp_path, *SMALL)
    (pictures / "train" / "dark" / name).write_bytes(b"")
    failed = command(*SMALL, "study=other")
    assert_one_message(failed.returncode, failed.stderr, "caf", ".png: not a readable image")


def test_one_class_and_too_few_images_are_refused(command: Command, pictures: Path) -> None:
    failed = command(*SMALL, "data.test_limit=5")
    assert_one_message(failed.returncode, failed.stderr, "data.test_limit=5: image_folder has 4 test images")
    for part in ("train", "test"):
        shutil.rmtree(pictures / part / "light")
    failed = command(*SMALL)
    assert_one_message(failed.returncode, failed.stderr, "one class alone (dark)")


def snapshot(folder: Path) -> dict[str, tuple[int, bytes]]:
    files = [file for file in folder.rglob("*") if file.is_file()]
    return {str(file): (file.stat().st_mtime_ns, file.read_bytes()) for file in files}


def test_only_training_and_evaluating_write(command: Command, tmp_path: Path) -> None:
    """Refused and repeated commands leave everything as it was; evaluating ones all but `evaluation/`, describing ones
    all but the drawing."""
    for refused in ("depth=18", "study=../..", "name=../../up", "seed=-1", f"seed={2**64}", "optim.lr=inf", "lr=1"):
        failed = command(*SHAPES, refused)
        assert_one_message(failed.returncode, failed.stderr)
        assert list(tmp_path.iterdir()) == [], refused
    assert command(*SHAPES, "task=describe").returncode == 0
    drawn = tmp_path / "outputs" / "default"
    assert {file.name for file in drawn.iterdir()} == {"describe.png", "describe.svg", "describe.pdf"}
    shutil.rmtree(tmp_path / "outputs")
    failed = command(*SHAPES, "task=evaluate")
    assert_one_message(failed.returncode, failed.stderr, "no checkpoint to evaluate")
    assert list(tmp_path.iterdir()) == []
    assert not (tmp_path.parent / "up").exists()

    complete(tmp_path, *SHAPES)
    names = {file.name for file in run_folder(tmp_path).iterdir()}
    assert {"run.log", ".hydra"} <= names
    assert {file.name for file in (run_folder(tmp_path) / ".hydra").iterdir()} == {
        *("config.yaml", "hydra.yaml", "overrides.yaml"),
    }
    before = snapshot(tmp_path)
    for more, code in (((), 0), (("optim.lr=0.3",), 1), (("task=evaluate", "width=4"), 1)):
        done = command(*SHAPES, *more)
        assert done.returncode == code, done.stderr
        assert snapshot(tmp_path) == before, more
    failed = command("-m", *SHAPES, "optim.lr=0.3", "seed=0,1")
    assert_one_message(failed.returncode, failed.stderr, "optim.lr: 0.1 -> 0.3")
    assert snapshot(tmp_path) == before
    assert command(*SHAPES, "task=evaluate").returncode == 0
    after = snapshot(tmp_path)
    assert {file: after[file] for file in before} == before
    assert {Path(file).parent for file in after.keys() - before.keys()} == {run_folder(tmp_path) / "evaluation"}


def test_a_refused_evaluation_does_not_suggest_to_delete_what_it_wants(command: Command, tmp_path: Path) -> None:
    complete(tmp_path, *SHAPES)
    failed = command(*SHAPES, "task=evaluate", "optim.lr=0.3")
    assert_one_message(
        failed.returncode, failed.stderr, "optim.lr: 0.1 -> 0.3", "give the settings it was trained with"
    )
    assert "fresh=true" not in failed.stderr


EDITS = {
    "line ends": lambda text: text.replace("\n", "\r\n"),
    "a byte more": lambda text: text[:30] + "0" + text[30:],
    "rows lost": lambda text: text[:60],
    "all lost": lambda text: "",
}


@pytest.mark.parametrize("edit", EDITS)
def test_an_edited_journal_is_written_again(
    settings: Callable[..., Config], command: Command, tmp_path: Path, edit: str
) -> None:
    """An editor that saves with other line ends would else leave a torn row where the run goes on."""
    longer = (*SHAPES, "train.steps=8", "train.eval_every=1", "train.save_every=4")
    (tmp_path / "whole").mkdir()
    whole = (complete(tmp_path / "whole", *longer) / "metrics.csv").read_bytes()
    folder = run_folder(tmp_path)
    run_until(settings(*longer), folder, stop_at=4)
    journal = folder / "metrics.csv"
    journal.write_bytes(EDITS[edit](journal.read_text()).encode())
    done = command(*longer)
    assert (done.returncode, done.stderr) == (0, "")
    assert "metrics.csv: lost or changed since the checkpoint was written" in done.stdout
    assert "resuming at step 4" in done.stdout
    assert journal.read_bytes() == whole


# The command of a user whom rights bind: root gives up those that let it write anywhere (capset(2)).
BOUND = """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
header, sets = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
assert libc.capget(header, sets) == 0
sets[0] &= ~0b1110  # effective: CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_FOWNER
assert libc.capset(header, sets) == 0
from resnet_exp.cli.start import main
main()
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="capabilities are Linux's")
def test_a_finished_run_in_a_folder_that_cannot_be_written_can_be_looked_at(tmp_path: Path) -> None:
    folder = complete(tmp_path, *SHAPES)
    for file in [tmp_path, *tmp_path.rglob("*")]:
        file.chmod(0o555 if file.is_dir() else 0o444)
    looks = {(): "already completed", ("task=evaluate",): "test images 50", ("task=describe",): "8 layers"}
    for more, said in looks.items():
        code, out, err = finish(start(tmp_path, *SHAPES, *more, code=BOUND))
        assert (code, err) == (0, "")
        assert said in out
    code, _, err = finish(start(tmp_path, *SHAPES, "study=another", code=BOUND))
    assert_one_message(code, err, "Permission denied")
    assert folder.exists()
