"""`task=describe` as a user types it: layers, totals beside the published ones, nets side by side, the drawing."""

from pathlib import Path

import pytest
from PIL import Image

from tests.helpers import Command

DRAWN = {"describe.png", "describe.svg", "describe.pdf"}


def line_of(text: str, beginning: str) -> list[str]:
    """The words of the one line that begins so."""
    (line,) = (line for line in text.splitlines() if line.startswith(beginning))
    return line.split()


def test_it_prints_every_layer_and_the_totals_and_draws(command: Command, tmp_path: Path) -> None:
    done = command("task=describe", "model=resnet110")
    assert (done.returncode, done.stderr) == (0, "")
    assert line_of(done.stdout, "resnet110 ") == ["resnet110", "110", "layers", "1,727,962", "252,887,680"]
    assert sum("Conv2d" in line for line in done.stdout.splitlines()) == 109
    assert "for one image of 32x32 and 10 classes" in done.stdout
    assert "published: 1.7 million parameters (He et al. 2015, arXiv 1512.03385, table 6)" in done.stdout
    assert done.stdout.splitlines()[-1] == "drawn: outputs/default/describe.svg"
    assert {file.name for file in (tmp_path / "outputs/default").iterdir()} == DRAWN
    assert "resnet110" in (tmp_path / "outputs/default/describe.svg").read_text()


def test_a_row_says_output_cost_shares_and_receptive_field(command: Command) -> None:
    out = command("task=describe", "model=resnet", "depth=8", "width=4").stdout
    assert line_of(out, "layer ") == [
        *("layer", "kind", "output", "parameters", "share", "multiply-adds", "share", "sees"),
    ]
    # Multiply-adds of the stem: 32 * 32 pixels, 4 filters of 27 numbers. Parameters in all: 108 + 8 + 4,896 + 170.
    assert line_of(out, "conv1 ") == ["conv1", "Conv2d", "4x32x32", "108", "2.2", "%", "110,592", "13.0", "%", "3x3"]
    assert line_of(out, "layer2.0.conv1 ")[-1] == "9x9"  # 3 + 2 + 2 of stage 1, and 2
    assert line_of(out, "layer3.0.conv2 ")[-1] == "25x25"  # 9; then 2 steps of 2 pixels, 1 of 4, at stride 2 each
    assert line_of(out, "fc ")[-1] == "all"


def test_no_published_size_stands_beside_another_net(command: Command) -> None:
    out = command("task=describe", "model=resnet20", "width=8").stdout
    assert "68,050" in line_of(out, "resnet20 ")
    assert "published" not in out


def test_nets_side_by_side_end_in_one_table_and_one_drawing(command: Command, tmp_path: Path) -> None:
    done = command("-m", "model=plain34,resnet34,vgg19", "task=describe")
    assert (done.returncode, done.stderr) == (0, "")
    rows = {
        cells[0]: cells[1:]
        for line in done.stdout.splitlines()
        if line.startswith("| ") and (cells := [cell.strip() for cell in line.strip("|").split("|")])
    }
    assert [*rows][2:] == ["imagenet-plain34", "imagenet-resnet34", "vgg19"]
    assert rows["imagenet-plain34"] == [
        *("34", "21,623,848", "-", "3,644,493,824", "3.6 billion", "224x224", "1,000"),
    ]
    assert rows["vgg19"][:5] == ["19", "143,667,240", "-", "19,632,062,464", "19.6 billion"]
    assert done.stdout.count("drawn: ") == 1
    assert {file.name for file in (tmp_path / "outputs/default").iterdir()} == DRAWN


def test_a_folder_of_images_counts_with_its_sizes_and_classes(command: Command, tmp_path: Path) -> None:
    for part, width in (("train", 9), ("test", 15)):
        for label in ("ant", "bee", "cat"):
            (tmp_path / "insects" / part / label).mkdir(parents=True)
            Image.new("RGB", (width, 8)).save(tmp_path / "insects" / part / label / "0.png")
    done = command("task=describe", "model=resnet18", "data=image_folder", "data.root=insects", "data.image_size=16")
    assert done.returncode == 0
    assert line_of(done.stdout, "fc ")[:4] == ["fc", "Linear", "3", "1,539"]
    assert "for one image of 16x16 and 3 classes" in done.stdout
    facts = (
        "insects: 3 training and 3 test images of 3 classes, 9 to 15 (median 9) pixels wide and 8 high; a net sees 16"
    )
    assert facts in done.stdout


def test_a_run_is_described_with_its_own_net_and_images(command: Command, tmp_path: Path) -> None:
    tiny = ("data=synthetic", "data.train_limit=20", "data.test_limit=10", "data.image_size=8", "width=4", "threads=1")
    assert command(*tiny, "model=mlp", "depth=4", "train.steps=1", "train.batch_size=4").returncode == 0
    done = command("task=describe", "from=outputs/default/mlp4/seed0")
    assert "for one image of 8x8 and 10 classes" in done.stdout
    assert line_of(done.stdout, "mlp4 ")[3] == f"{4 * 192 + 8 + 2 * (16 + 8) + 50}"


def test_nets_of_one_name_are_each_in_the_table_and_seeds_are_not(command: Command) -> None:
    done = command("-m", "task=describe", "model=plain20", "width=4,8", "seed=0,1")
    assert done.returncode == 0, done.stderr
    rows = [line.split("|")[3].strip() for line in done.stdout.splitlines() if line.startswith("| plain20")]
    assert rows == ["17,326", "68,050"]


@pytest.mark.parametrize("arguments", [("model=plain20",), ("-m", "model=plain20,resnet20")])
def test_where_nothing_can_be_written_it_still_describes(
    command: Command, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    (tmp_path / "outputs").write_text("a file in the way")
    done = command(*arguments, "task=describe")
    assert done.returncode == 0, done.stderr
    assert "269,722" in done.stdout
    assert "could not be drawn" in done.stdout
