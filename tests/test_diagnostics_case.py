"""A run that is questioned: its weights at every step that was kept, and the same images for all."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from resnet_exp.config import Config
from resnet_exp.diagnostics.case import open_case
from resnet_exp.nets.init import initialise
from resnet_exp.nets.network import Network
from resnet_exp.runs.checkpoint import load_checkpoint
from resnet_exp.runs.snapshots import read_snapshot, snapshot_file
from tests.helpers import TINY, Settings, run, run_until


@pytest.fixture(scope="module")
def trained(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> tuple[Config, Path]:
    config = settings(*TINY, "model=plain20", "train.snapshots=[2]")
    path = tmp_path_factory.mktemp("runs") / "plain20" / "seed0"
    run(config, path)
    return config, path


def bytes_of(state: dict[str, torch.Tensor]) -> list[bytes]:
    return [state[key].numpy().tobytes() for key in sorted(state)]


def test_it_loads_the_first_a_kept_and_the_newest_weights_in_any_order(trained: tuple[Config, Path]) -> None:
    config, path = trained
    case = open_case(config, path)
    assert case.steps == [0, 2, 6]
    drawn = Network(case.model.spec)
    initialise(drawn, seed=0)
    checkpoint = load_checkpoint(path)
    assert checkpoint is not None
    expected = {0: drawn.state_dict(), 2: read_snapshot(snapshot_file(path, 2)), 6: checkpoint["state"]["model"]}
    for step in (6, 0, 2, 0, 6):
        model = case.load(step)
        assert bytes_of(model.state_dict()) == bytes_of(expected[step]), step
        assert not model.training


def test_it_computes_in_float32_whatever_the_run_did(trained: tuple[Config, Path], settings: Settings) -> None:
    config, path = trained
    assert open_case(config, path).parts.precision.name == "off"
    assert not torch.is_autocast_enabled("cpu")


def test_a_run_that_has_not_begun_has_its_first_weights(settings: Settings, tmp_path: Path) -> None:
    case = open_case(settings(*TINY, "model=resnet20", "seed=3"), tmp_path / "none")
    assert (case.steps, case.step) == ([0], 0)
    drawn = Network(case.model.spec)
    initialise(drawn, seed=3)
    assert bytes_of(case.load(0).state_dict()) == bytes_of(drawn.state_dict())
    assert not (tmp_path / "none").exists()


def test_weights_that_were_not_drawn_are_known_from_a_snapshot_alone(
    trained: tuple[Config, Path], settings: Settings, tmp_path: Path
) -> None:
    for snapshots, steps in (("[]", [6]), ("[0]", [0, 6])):
        path = tmp_path / snapshots
        config = settings(*TINY, "model=plain20", f"init_from={trained[1]}", f"train.snapshots={snapshots}")
        run(config, path)
        assert open_case(config, path).steps == steps


def test_a_snapshot_beyond_the_newest_checkpoint_is_left_out(settings: Settings, tmp_path: Path) -> None:
    config = settings(*TINY, "model=plain20", "train.snapshots=[2,5]")
    run_until(config, tmp_path / "begun", stop_at=3)
    run(config, tmp_path / "whole")
    shutil.copy(snapshot_file(tmp_path / "whole", 5), snapshot_file(tmp_path / "begun", 5))
    case = open_case(config, tmp_path / "begun")
    assert (case.steps, case.step) == ([0, 2, 3], 3)
    for file in (tmp_path / "begun").glob("checkpoint*"):  # killed before the first save
        file.unlink()
    case = open_case(config, tmp_path / "begun")
    assert (case.steps, case.step) == ([0], 0)


def test_every_run_is_asked_about_the_same_images(trained: tuple[Config, Path], settings: Settings) -> None:
    config, path = trained
    case = open_case(config, path)
    chosen = [case.some("train", most=30) for _ in range(2)]
    assert torch.equal(chosen[0].images, chosen[1].images)
    assert len(chosen[0]) == 30
    other = case.some("train", most=30, seed=1)
    assert not torch.equal(chosen[0].images, other.images)
    assert len(case.some("test", most=10**6)) == 50
    everything = {image.numpy().tobytes() for image in case.parts.dataset.train.images}
    assert {image.numpy().tobytes() for image in chosen[0].images} <= everything
    assert case.shown(chosen[0].images).shape == (30, 3, 8, 8)


def test_images_that_are_sorted_by_class_come_mixed(trained: tuple[Config, Path]) -> None:
    config, path = trained
    case = open_case(config, path)
    train = case.parts.dataset.train
    by_class = replace(case.parts.dataset, train=train.take(train.labels.argsort()))
    case = replace(case, parts=replace(case.parts, dataset=by_class))
    labels = case.some("train", most=40).labels
    assert all(len(part.unique()) >= 5 for part in labels.split(20))


def test_it_refuses_another_run_or_other_images(trained: tuple[Config, Path], settings: Settings) -> None:
    _, path = trained
    with pytest.raises(ValueError, match="holds a run with other settings: depth"):
        open_case(settings(*TINY, "model=plain", "depth=32"), path)


@pytest.mark.parametrize("begins", ["init_from=export", "grow_from=['depth=8']"])
def test_a_run_that_begins_from_other_weights_must_have_begun(settings: Settings, tmp_path: Path, begins: str) -> None:
    with pytest.raises(ValueError, match="begins from other weights and has none yet\ntask=train makes them"):
        open_case(settings(*TINY, "model=plain20", begins), tmp_path)


def test_the_digest_is_of_the_newest_weights(trained: tuple[Config, Path], settings: Settings, tmp_path: Path) -> None:
    config, path = trained
    case = open_case(config, path)
    before = case.digest
    case.load(0)
    assert case.digest == before
    assert open_case(config, tmp_path).digest != before
