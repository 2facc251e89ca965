"""Weights in: of runs, of exports, of others' files; as the start of training."""

import dataclasses
import json
from pathlib import Path

import pytest
import torch

from resnet_exp.compute.export import export
from resnet_exp.compute.weights import RECORD, TENSORS, Record, differing, load_into, read
from resnet_exp.config import Config
from resnet_exp.files import write_sealed
from resnet_exp.nets.init import initialise
from resnet_exp.runs.checkpoint import load_checkpoint
from tests.helpers import TINY, Settings, make_net, run, run_until, same


@pytest.fixture
def trained(settings: Settings, tmp_path: Path) -> tuple[Config, Path]:
    """A run of a few steps, and its settings."""
    config = settings("model=resnet", "depth=8", *TINY)
    run(config, tmp_path / "run")
    return config, tmp_path / "run"


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    checkpoint = load_checkpoint(folder)
    assert checkpoint is not None
    return checkpoint["state"]["model"]


def test_a_run_and_its_export_hold_the_same_tensors_and_the_same_record(trained: tuple[Config, Path]) -> None:
    config, folder = trained
    out = export(config, folder)
    from_run, from_export = read(folder), read(out)
    assert from_run.tensors.keys() == from_export.tensors.keys() == weights_of(folder).keys()
    for name, tensor in weights_of(folder).items():
        assert torch.equal(from_export.tensors[name], tensor), name
    assert from_run.digest == from_export.digest == read(out / TENSORS).digest == read(folder / "checkpoint.pt").digest
    assert from_run.record == from_export.record
    record = json.loads((out / RECORD).read_text())
    assert (record["name"], record["image_size"], record["crop"]) == ("resnet8", 8, "padded")
    assert record["classes"][0] == "disk"
    assert record["training"]["status"] == "completed"
    assert record["training"]["test_error"] == json.loads((folder / "summary.json").read_text())["test_error"]
    changed = dict(from_run.tensors) | {"fc.bias": from_run.tensors["fc.bias"] + 1}
    assert dataclasses.replace(from_run, tensors=changed).digest != from_run.digest


def test_weights_of_another_net_are_refused_and_what_differs_is_named(trained: tuple[Config, Path]) -> None:
    _, folder = trained
    other = make_net(depth=8, width=4, shortcut="B")
    with pytest.raises(ValueError, match=r"run: weights of resnet8, not of resnet8-B$"):
        load_into(other, read(folder))
    wider = make_net(depth=8, width=8, shortcut="B")
    assert "resnet8-B, not of resnet8-B (stem {" in differing(other.spec, wider.spec)
    assert "; stages [" in differing(other.spec, wider.spec)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema": 3}', '{"schema": 3, "net": {"stem": 1}}'])
def test_a_damaged_record_is_refused_by_name(trained: tuple[Config, Path], text: str) -> None:
    config, folder = trained
    out = export(config, folder)
    (out / RECORD).write_text(text)
    with pytest.raises(ValueError, match=r"config\.json: not the record of an export"):
        read(out)


def test_the_record_of_a_newer_version_is_refused(trained: tuple[Config, Path]) -> None:
    _, folder = trained
    record = read(folder).record
    assert record is not None
    newer = json.dumps(json.loads(record.to_json()) | {"schema": 99, "of_then": 1})
    with pytest.raises(ValueError, match="newer version"):
        Record.from_json(newer, path=folder)


def test_the_config_of_another_program_is_no_record(trained: tuple[Config, Path]) -> None:
    """Hugging Face's weights have a `config.json` beside them, too."""
    config, folder = trained
    out = export(config, folder)
    (out / RECORD).write_text('{"architectures": ["ResNetForImageClassification"], "depths": [3, 4, 6, 3]}')
    found = read(out)
    assert found.record is None
    assert found.tensors.keys() == weights_of(folder).keys()


def test_the_checkpoint_that_is_named_is_read(settings: Settings, tmp_path: Path) -> None:
    config = settings("model=resnet", "depth=8", *TINY, "train.save_every=2")
    run_until(config, tmp_path / "run", stop_at=4)
    newest, spare = (read(tmp_path / "run" / name) for name in ("checkpoint.pt", "checkpoint.prev.pt"))
    assert newest.digest == read(tmp_path / "run").digest != spare.digest
    assert newest.record == spare.record is not None
    torch.save({"state_dict": dict(newest.tensors)}, tmp_path / "checkpoint.pt")  # another repository's
    assert read(tmp_path / "checkpoint.pt").digest == newest.digest
    (tmp_path / "run" / "config.yaml").unlink()
    (tmp_path / "run" / "snapshots").mkdir()
    write_sealed(tmp_path / "run/snapshots/step2.pt", {"state": 1})
    with pytest.raises(ValueError, match=r"of which net\? .*run holds no config\.yaml"):
        read(tmp_path / "run/snapshots/step2.pt")


def test_where_there_are_no_weights_is_said(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no weights \(neither a checkpoint nor model.safetensors\)"):
        read(tmp_path)
    with pytest.raises(ValueError, match=r"missing\.pt"):
        read(tmp_path / "missing.pt")


def test_a_training_begins_from_weights_and_records_where_they_are_from(
    trained: tuple[Config, Path], settings: Settings, tmp_path: Path
) -> None:
    _, folder = trained
    begun = settings("model=resnet", "depth=8", *TINY, f"init_from={folder}", "optim.lr=0.0", "optim.weight_decay=0.0")
    summary = run(begun, tmp_path / "begun")
    before, after = weights_of(folder), weights_of(tmp_path / "begun")
    assert all(torch.equal(after[name], before[name]) for name in before if "running" not in name and "num" not in name)
    assert summary["choices"]["initial_weights"] == f"{folder} ({read(folder).digest})"
    drawn = run(settings("model=resnet", "depth=8", *TINY), tmp_path / "drawn")
    assert drawn["choices"]["initial_weights"] == "drawn from the seed"


def test_a_resumed_training_does_not_begin_from_the_weights_again(
    trained: tuple[Config, Path], settings: Settings, tmp_path: Path
) -> None:
    _, folder = trained
    config = settings("model=resnet", "depth=8", *TINY, f"init_from={folder}")
    whole = run(config, tmp_path / "whole")
    run_until(config, tmp_path / "parts", stop_at=3)
    folder.rename(tmp_path / "gone")
    resumed = run(config, tmp_path / "parts")
    assert same(tmp_path / "parts", tmp_path / "whole")
    assert resumed["choices"] == whole["choices"]


def test_a_head_for_other_classes_begins_as_drawn(trained: tuple[Config, Path]) -> None:
    _, folder = trained
    net = make_net(depth=8, width=4, num_classes=7)
    initialise(net, seed=0)
    head = net.fc.weight.detach().clone()
    with pytest.raises(ValueError, match=r"fc\.weight"):
        load_into(net, read(folder))
    load_into(net, read(folder), new_head=True)
    assert torch.equal(net.fc.weight, head)
    assert torch.equal(net.conv1.weight, weights_of(folder)["conv1.weight"])
