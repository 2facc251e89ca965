"""The gradient at each layer, against slower computations, against what the run itself computed, and against theory."""

import math
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from resnet_exp.diagnostics.case import Case, open_case
from resnet_exp.diagnostics.gradients import QUESTION
from resnet_exp.diagnostics.layers import layers_of
from resnet_exp.diagnostics.question import ask
from resnet_exp.runs.diagnostics import Row
from resnet_exp.runs.snapshots import read_snapshot, snapshot_file
from resnet_exp.why.growth import growth, prediction
from resnet_exp.why.measured import grouped
from tests.helpers import TINY, Settings, rows, run

NETS = {
    "plain": ("model=plain", "depth=8"),
    "v1": ("model=resnet", "depth=14", "shortcut=B"),
    "v2": ("model=preact", "depth=14"),
    "v1 without BN": ("model=resnet", "depth=14", "norm=none"),
    "v2 without BN": ("model=preact", "depth=14", "norm=none"),
    "bottleneck": ("model=bottleneck", "depth=11"),
    "fully connected": ("model=resmlp", "depth=6"),
    "branches of zero": ("model=resnet", "depth=8", "zero_init=true"),
    "without a stem": ("model=vgg19", "data.image_size=32", "data.train_limit=20"),
}


def case_of(settings: Settings, path: Path, *more: str, trained: bool = False) -> Case:
    config = settings(*TINY, *more)
    if trained:
        run(config, path)
    return open_case(config, path)


def answers(case: Case, *, step: int = 0) -> list[Row]:
    return [row for piece in QUESTION.measure(case, []) for row in piece if row["step"] == step]


def column(found: list[Row], key: str) -> list[float]:
    return [float(row[key]) for row in found]


@pytest.mark.parametrize("net", NETS.values(), ids=NETS.keys())
def test_a_slow_computation_agrees(settings: Settings, tmp_path: Path, net: tuple[str, ...]) -> None:
    """In float64, by the gradient in a zero that is added to what a layer puts out; nothing is written into."""
    case = case_of(settings, tmp_path, *net, "data.augment=false")
    found = answers(case)
    model = case.load(0).double().train()
    batch = case.parts.dataset.train.take(case.parts.stream(case.config).batches(0).indices)
    images = case.shown(batch.images).double()
    added: dict[str, Tensor] = {}
    responses: dict[str, Tensor] = {}

    def add(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor, *, name: str) -> Tensor:
        added[name] = torch.zeros_like(output, requires_grad=True)
        return output + added[name]

    def keep(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor, *, name: str) -> None:
        responses[name] = output.detach().clone()

    layers = layers_of(model)
    for layer in layers:
        layer.module.register_forward_hook(partial(add, name=layer.name))
        (layer.norm or layer.module).register_forward_hook(partial(keep, name=layer.name))
    logits = model(images)
    loss = -sum(torch.log_softmax(logits[i], 0)[label] for i, label in enumerate(batch.labels)) / len(batch.labels)
    loss.backward()
    assert [row["name"] for row in found] == [layer.name for layer in layers]
    for row, layer in zip(found, layers, strict=True):
        gradient, response = added[layer.name].grad, responses[layer.name]
        expected = {
            "loss": loss.item(),
            "output": math.sqrt(gradient.square().sum()),
            "weight_gradient": math.sqrt(layer.module.weight.grad.square().sum()),
            "weight": math.sqrt(layer.module.weight.detach().square().sum()),
            "response": math.sqrt(response.square().mean()),
        }
        assert {key: row[key] for key in expected} == pytest.approx(expected, rel=2e-4), layer.name


def test_it_is_the_batch_and_the_gradient_of_the_next_update(settings: Settings, tmp_path: Path) -> None:
    """With neither momentum nor decay an update is the gradient times the learning rate; images are augmented."""
    plain_sgd = ("optim.momentum=0", "optim.weight_decay=0", "optim.lr=0.05", "optim.warmup_steps=0", "amp=off")
    kept = ("train.steps=2", "train.eval_every=1", "train.snapshots=[0,1]", "optim.milestones=[]")
    case = case_of(settings, tmp_path, "model=resnet", "depth=8", *plain_sgd, *kept, trained=True)
    assert case.config.data.augment
    for step, written in zip((0, 1), rows(tmp_path), strict=True):
        found = answers(case, step=step)
        assert found[0]["loss"] == pytest.approx(written["train_loss"], rel=1e-5)
        after = read_snapshot(snapshot_file(tmp_path, 1)) if step == 0 else case.last
        before = read_snapshot(snapshot_file(tmp_path, step))
        for row in found:
            name = f"{row['name']}.weight"
            update = (before[name].double() - after[name].double()).norm().item()
            assert row["weight_gradient"] == pytest.approx(update / 0.05, rel=1e-3)
            assert row["weight"] == pytest.approx(before[name].norm().item())


def test_without_bn_plain_v1_and_v2_are_one_net(settings: Settings, tmp_path: Path) -> None:
    """ReLU in front of a layer or behind it: there is nothing else between two layers."""
    both = [
        answers(case_of(settings, tmp_path, "model=plain", "depth=14", "norm=none", f"block={block}"))
        for block in ("v1", "v2")
    ]
    for key in ("output", "weight_gradient", "response", "loss"):
        np.testing.assert_allclose(column(both[0], key), column(both[1], key), rtol=1e-5)


@pytest.mark.parametrize(
    ("net", "expected", "tolerance"),
    [
        (("model=mlp", "norm=batch"), 1.2112, 0.012),
        (("model=mlp", "norm=none"), 1.0, 0.012),
        (("model=resmlp", "block=v2", "norm=none"), 2**0.25, 0.02),
    ],
    ids=["plain with BN", "plain without", "residual without"],
)
def test_wide_fully_connected_nets_do_as_theory_says(
    settings: Settings, tmp_path: Path, net: tuple[str, ...], expected: float, tolerance: float
) -> None:
    wide = ("depth=22", "width=256", "data.train_limit=512", "train.batch_size=512")
    case = case_of(settings, tmp_path, *net, *wide)
    found = ask(QUESTION, case, check=lambda: None, fresh=False)
    assert growth(found, step=0) == pytest.approx(expected, rel=tolerance)
    predicted = prediction(grouped([found])[0])
    assert predicted is not None
    assert predicted.factor == pytest.approx(expected, rel=1e-4)


def test_with_bn_gradients_of_plain_nets_explode_and_activations_do_not(settings: Settings, tmp_path: Path) -> None:
    found = answers(case_of(settings, tmp_path, "model=plain", "depth=56", "width=8"))
    assert column(found, "output")[0] > 100 * column(found, "output")[-1]
    np.testing.assert_allclose(column(found, "response"), 1, atol=2e-3)
    residual = answers(case_of(settings, tmp_path, "model=resnet", "depth=56", "width=8"))
    assert column(residual, "output")[0] < 100 * column(residual, "output")[-1]


def test_blocks_that_begin_at_zero_hand_no_gradient_to_their_layers(settings: Settings, tmp_path: Path) -> None:
    found = answers(case_of(settings, tmp_path, *NETS["branches of zero"]))
    assert column(found, "output")[0] > 0
    assert set(column(found, "output")[1:]) == {0}


def test_a_thousand_layers_are_not_too_many(settings: Settings, tmp_path: Path) -> None:
    found = answers(case_of(settings, tmp_path, "model=resnet1202", "train.batch_size=2"))
    assert len(found) == 1201
    assert np.isfinite(column(found, "output")).all()


def test_measuring_leaves_the_net_as_it_was(settings: Settings, tmp_path: Path) -> None:
    case = case_of(settings, tmp_path, "model=resnet", "depth=8", trained=True)
    before = {name: tensor.clone() for name, tensor in case.load(6).state_dict().items()}
    for _ in QUESTION.measure(case, []):
        pass
    assert not case.model.training
    for name, tensor in case.model.state_dict().items():
        assert torch.equal(tensor, before[name]), name
    assert not any(module._forward_hooks for module in case.model.modules())
    assert all(parameter.grad is None for parameter in case.model.parameters())


def test_every_step_that_was_kept_is_measured_but_what_is_known(settings: Settings, tmp_path: Path) -> None:
    case = case_of(settings, tmp_path, "model=resnet", "depth=8", "train.snapshots=[2]", trained=True)
    pieces = list(QUESTION.measure(case, []))
    assert [piece[0]["step"] for piece in pieces] == [0, 2, 6]
    assert len(pieces) == QUESTION.pieces(case)
    assert list(QUESTION.measure(case, pieces[0] + pieces[2])) == pieces[1:2]


def test_numbers_without_bounds_are_written_down(settings: Settings, tmp_path: Path) -> None:
    """A net that diverged."""
    case = case_of(settings, tmp_path, "model=plain", "depth=8", "norm=none")
    state = case.model.state_dict()
    broken = Case(case.config, tmp_path, case.parts, {**state, "fc.bias": torch.full((10,), math.nan)}, 0)
    ask(QUESTION, broken, check=lambda: None, fresh=False)
    known = ask(QUESTION, broken, check=lambda: None, fresh=False)
    assert known.complete
    assert all(math.isnan(float(row["output"])) for row in known.rows)


def test_it_is_recorded_that_a_run_began_from_other_weights(settings: Settings, tmp_path: Path) -> None:
    small = ("model=plain", "depth=8")
    drawn = case_of(settings, tmp_path / "drawn", *small, trained=True)
    assert "initial_weights" not in QUESTION.choices(drawn)  # as in the records of older versions
    begun = case_of(settings, tmp_path / "begun", *small, f"init_from={tmp_path / 'drawn'}", trained=True)
    assert QUESTION.choices(begun)["initial_weights"] == str(tmp_path / "drawn")
