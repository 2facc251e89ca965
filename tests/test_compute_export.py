"""`task=export`: what it writes, and what onnxruntime makes of it."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

import resnet_exp
from resnet_exp.compute import export as exporting
from resnet_exp.compute.export import export
from resnet_exp.config import Config
from tests.helpers import TINY, Command, Settings, assert_one_message, run


@pytest.fixture(scope="module")
def trained(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> tuple[Config, Path]:
    folder = tmp_path_factory.mktemp("export") / "run"
    config = settings("model=preact", "depth=8", *TINY, "task=train")
    run(config, folder)
    return config, folder


def test_the_command_exports_the_run_that_it_names(command: Command, tmp_path: Path) -> None:
    assert command(*TINY, "model=plain", "depth=8").returncode == 0
    run_folder = tmp_path / "outputs/default/plain8/seed0"
    before = {file.name: file.read_bytes() for file in run_folder.iterdir() if file.is_file()}
    for arguments in (("from=outputs/default/plain8/seed0",), (*TINY, "model=plain", "depth=8")):
        done = command("task=export", *arguments)
        assert (done.returncode, done.stderr) == (0, "")
        assert {file.name for file in (run_folder / "export").iterdir()} == {"config.json", "model.safetensors"}
        with safe_open(run_folder / "export/model.safetensors", "pt") as tensors:
            assert "layer1.0.conv1.weight" in tensors.keys()  # noqa: SIM118 (it is no dict)
        for file in (run_folder / "export").iterdir():
            file.unlink()
    assert before == {file.name: file.read_bytes() for file in run_folder.iterdir() if file.is_file()}


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (("task=export", "from=nowhere"), ("from=nowhere: no run folder",)),
        (("task=export", "model=plain20", *TINY), ("no checkpoint to export", "task=train makes one")),
        (("from=nowhere",), ("from=nowhere: goes with describe, evaluate, diagnose, export", "init_from=")),
        (("weights=file",), ("weights=file: goes with task=evaluate", "init_from=")),
        (("onnx=true",), ("onnx=true: goes with task=export",)),
        (("task=evaluate", "from=a", "weights=b"), ("give the run or the file, not both",)),
        (("task=evaluate", "data=synthetic", "weights=missing.pt"), ("weights=missing.pt: no such file or folder",)),
        (("init_from=missing.pt", *TINY), ("init_from=missing.pt: no such file or folder",)),
    ],
    ids=str,
)
def test_what_cannot_be_done_is_said_and_nothing_written(
    command: Command, tmp_path: Path, arguments: tuple[str, ...], parts: tuple[str, ...]
) -> None:
    done = command(*arguments)
    assert done.returncode == 1
    assert_one_message(done.returncode, done.stderr, *parts)
    assert not list(tmp_path.iterdir())


def test_onnxruntime_computes_the_same(trained: tuple[Config, Path], caplog: pytest.LogCaptureFixture) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    config, folder = trained
    with caplog.at_level("INFO"):
        out = export(config.updated({"task": "export", "onnx": True}), folder)
    assert "onnxruntime's logits agree with torch's" in caplog.text
    session = onnxruntime.InferenceSession(str(out / "model.onnx"), providers=["CPUExecutionProvider"])
    net, images = resnet_exp.load(folder), torch.randn(5, 3, 8, 8)  # another number of images than it was traced with
    (logits,) = session.run(["logits"], {"images": images.numpy()})
    with torch.no_grad():
        assert torch.allclose(torch.from_numpy(logits), net(images), atol=1e-4)


def test_without_the_packages_for_onnx_it_says_which(
    trained: tuple[Config, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    config, folder = trained
    monkeypatch.setattr(exporting, "find_spec", lambda name: None)
    with pytest.raises(
        ValueError, match="onnx and onnxscript not installed\npip install onnx onnxscript onnxruntime brings it"
    ):
        export(config.updated({"task": "export", "onnx": True}), folder)


def test_the_lines_for_python_in_the_documents_work(trained: tuple[Config, Path], tmp_path: Path) -> None:
    _, folder = trained
    page = (Path(__file__).parents[1] / "docs/models.md").read_text()
    lines = page.partition("```python\n")[2].partition("```")[0]
    (tmp_path / "outputs/default/resnet20").mkdir(parents=True)
    (tmp_path / "outputs/default/resnet20/seed0").symlink_to(folder)
    from PIL import Image

    Image.new("RGB", (20, 10), "red").save(tmp_path / "cat.png")
    done = subprocess.run([sys.executable, "-c", lines], cwd=tmp_path, check=True, capture_output=True, text=True)
    assert done.stdout.strip() in resnet_exp.load(folder).classes
