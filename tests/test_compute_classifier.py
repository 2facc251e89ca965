"""A trained net in Python: the same numbers as the run's own evaluation, whatever the pictures come as."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import resnet_exp
from resnet_exp.compute.export import export
from resnet_exp.compute.parts import prepare
from resnet_exp.config import Config
from resnet_exp.data.sets import load_dataset
from resnet_exp.runs.checkpoint import load_checkpoint
from tests.helpers import TINY, Settings, run


@pytest.fixture(scope="module")
def trained(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> tuple[Config, Path]:
    folder = tmp_path_factory.mktemp("classifier") / "run"
    config = settings("model=resnet", "depth=8", *TINY)
    run(config, folder)
    return config, folder


def of_the_run(config: Config, folder: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """Stored test pixels (N, S, S, 3), and the logits that the run computes of them."""
    parts = prepare(config, earlier=None)
    checkpoint = load_checkpoint(folder)
    assert checkpoint is not None
    parts.model.load_state_dict(checkpoint["state"]["model"])
    pixels = parts.dataset.test.images
    with torch.no_grad():
        return pixels, parts.model.eval()(parts.preprocess.whole(pixels))


def test_it_computes_what_the_run_computes(trained: tuple[Config, Path]) -> None:
    config, folder = trained
    pixels, expected = of_the_run(config, folder)
    for source in (folder, str(folder), export(config, folder), folder / "export" / "model.safetensors"):
        net = resnet_exp.load(source)
        assert not net.training
        with torch.no_grad():
            assert torch.equal(net(net.preprocess(pixels)), expected)
        assert net.classes == load_dataset(config.data).classes


def test_pictures_of_every_kind_are_the_same_picture(trained: tuple[Config, Path], tmp_path: Path) -> None:
    config, folder = trained
    pixels, _ = of_the_run(config, folder)
    net, array = resnet_exp.load(folder), pixels[0].numpy()
    picture = Image.fromarray(array)
    picture.save(tmp_path / "one.png")
    expected = net.preprocess(pixels[:1])
    for same in (tmp_path / "one.png", str(tmp_path / "one.png"), picture, array, pixels[0], array[None]):
        assert torch.equal(net.preprocess(same), expected)
    assert net.preprocess([picture, pixels[:2]]).shape == (3, 3, 8, 8)
    larger = picture.resize((16, 24), Image.Resampling.NEAREST)  # its centre square, resized
    assert net.preprocess(larger).shape == (1, 3, 8, 8)


@pytest.mark.parametrize("wrong", [np.zeros((8, 8, 3)), np.zeros((8, 8), np.uint8), torch.zeros(1, 3, 8, 8)])
def test_what_are_no_pixels_is_refused(trained: tuple[Config, Path], wrong: object) -> None:
    with pytest.raises(ValueError, match=r"pixels must be uint8 of shape \(H, W, 3\)"):
        resnet_exp.load(trained[1]).preprocess(wrong)


def test_an_older_run_without_normalisation_says_what_to_do(trained: tuple[Config, Path], tmp_path: Path) -> None:
    config, folder = trained
    old = tmp_path / "old"
    old.mkdir()
    for name in ("checkpoint.pt", "config.yaml"):
        (old / name).write_bytes((folder / name).read_bytes())
    summary = json.loads((folder / "summary.json").read_text())
    for key in ("mean", "std", "class_names"):
        del summary["dataset"][key]
    (old / "summary.json").write_text(json.dumps(summary))
    with pytest.raises(ValueError, match=f"recorded no normalisation\ntask=export from={old} finds it out"):
        resnet_exp.load(old)
    assert torch.equal(resnet_exp.load(export(config, old)).mean, resnet_exp.load(folder).mean)


def test_the_package_itself_does_not_bring_torch() -> None:
    asked = "import sys, resnet_exp; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", asked], check=False).returncode == 0
