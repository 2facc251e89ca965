"""Residual branches beside their shortcuts, against a slow, obvious computation and what must hold by theory."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from resnet_exp.diagnostics.branches import QUESTION, branches
from resnet_exp.diagnostics.case import Case, open_case
from resnet_exp.diagnostics.question import DoesNotFit
from resnet_exp.runs.diagnostics import Row
from tests.helpers import TINY, Settings, run

KINDS = [
    *(("model=resnet", "depth=8"), ("model=preact", "depth=8"), ("model=bottleneck", "depth=11")),
    *(("model=preact_bottleneck", "depth=11"), ("model=resmlp", "depth=6"), ("model=resnet", "depth=8", "norm=none")),
]


def case_of(settings: Settings, path: Path, *more: str, trained: bool = False) -> Case:
    config = settings(*TINY, *more)
    if trained:
        run(config, path)
    return open_case(config, path)


def answers(case: Case) -> list[Row]:
    return [row for piece in QUESTION.measure(case, []) for row in piece]


def numbers(rows: list[Row], key: str, *, mode: str = "batch", step: int = 0) -> list[float]:
    return [float(row[key]) for row in rows if (row["batch_norm"], row["step"]) == (mode, step)]


# Against a slow computation: a block at a time, out of place, in float64.


def normalised(x: Tensor, state: dict[str, Tensor], name: str, mode: str) -> Tensor:
    mean, var = x.mean((0, 2, 3)), x.var((0, 2, 3), unbiased=False)
    if mode == "stored":
        mean, var = state[f"{name}.running_mean"], state[f"{name}.running_var"]
    x = (x - mean[:, None, None]) / (var[:, None, None] + 1e-5).sqrt()
    return x * state[f"{name}.weight"][:, None, None] + state[f"{name}.bias"][:, None, None]


def padded(x: Tensor, *, stride: int) -> Tensor:
    x = x[:, :, ::stride, ::stride]
    return torch.cat([x, torch.zeros_like(x)], 1) if stride == 2 else x


def slow(state: dict[str, Tensor], images: Tensor, labels: Tensor, *, mode: str, order: str) -> list[list[Tensor]]:
    """Branch, shortcut and gradient at the sum of the three blocks of a net of 8 layers."""

    def conv(x: Tensor, name: str, stride: int = 1) -> Tensor:
        return F.conv2d(x, state[f"{name}.weight"], stride=stride, padding=1)

    def bn(x: Tensor, name: str) -> Tensor:
        return normalised(x, state, name, mode)

    x, found = conv(images, "conv1"), []
    if order == "post":
        x = bn(x, "bn1").relu()
    for stage, stride in ((1, 1), (2, 2), (3, 2)):
        name = f"layer{stage}.0"
        if order == "post":
            branch = bn(
                conv(bn(conv(x, f"{name}.conv1", stride), f"{name}.bn1").relu(), f"{name}.conv2"), f"{name}.bn2"
            )
        else:
            x = bn(x, f"{name}.bn1").relu()
            branch = conv(bn(conv(x, f"{name}.conv1", stride), f"{name}.bn2").relu(), f"{name}.conv2")
        shortcut = padded(x, stride=stride)
        total = branch + shortcut
        total.requires_grad_() if total.is_leaf else total.retain_grad()
        found.append([branch, shortcut, total])
        x = total.relu() if order == "post" else total
    if order == "pre":
        x = bn(x, "bn").relu()
    logits = x.mean((2, 3)) @ state["fc.weight"].T + state["fc.bias"]
    F.cross_entropy(logits, labels).backward()
    return [[branch.detach(), shortcut.detach(), total.grad] for branch, shortcut, total in found]


def rms(parts: list[Tensor]) -> float:
    values = [value for part in parts for value in part.flatten().tolist()]
    return (sum(value * value for value in values) / len(values)) ** 0.5


@pytest.mark.parametrize("mode", ["batch", "stored"])
@pytest.mark.parametrize(("model", "order"), [("resnet", "post"), ("preact", "pre")])
def test_a_trained_net_agrees_with_a_slow_computation(
    settings: Settings, tmp_path: Path, model: str, order: str, mode: str
) -> None:
    words = (f"model={model}", "depth=8", "optim.lr=0.05", "optim.warmup_steps=0", "data.train_limit=130")
    case = case_of(settings, tmp_path, *words, trained=True)
    rows = [row for row in answers(case) if (row["step"], row["batch_norm"]) == (6, mode)]
    state = {name: tensor.double() for name, tensor in case.load(6).state_dict().items()}
    chosen = case.some("train", most=500)
    images = case.shown(chosen.images).double()
    assert QUESTION.choices(case)["batch"] == 100  # so these are two batches of 65
    halves = [
        slow(state, images[half].requires_grad_(), chosen.labels[half], mode=mode, order=order)
        for half in (slice(65), slice(65, 130))
    ]
    for block, row in enumerate(rows):
        branch, shortcut = ([half[block][which] for half in halves] for which in (0, 1))
        assert row["branch"] == pytest.approx(rms(branch), rel=1e-4)
        assert row["shortcut"] == pytest.approx(rms(shortcut), rel=1e-4)
        assert row["ratio"] == pytest.approx(rms(branch) / rms(shortcut), rel=1e-4)
        cosines = []
        for half in halves:
            for one, uphill in zip(half[block][0], half[block][2], strict=True):
                f, g = one.flatten().numpy(), -uphill.flatten().numpy()
                cosines.append(sum(f * g) / (sum(f * f) * sum(g * g)) ** 0.5)
        assert row["cosine"] == pytest.approx(np.mean(cosines), abs=1e-5)
    assert max(abs(float(row["cosine"])) for row in rows) > 1e-3
    assert [row["stage"] for row in rows] == [1, 2, 3]


@pytest.mark.parametrize("net", KINDS)
def test_the_last_layer_is_described(settings: Settings, tmp_path: Path, net: tuple[str, ...]) -> None:
    case = case_of(settings, tmp_path, *net, "optim.lr=0.05", "optim.warmup_steps=0", trained=True)
    mode = "batch" if case.model.batch_norms else "stored"
    rows = [row for row in answers(case) if (row["step"], row["batch_norm"]) == (6, mode)]
    state = case.load(6).state_dict()
    layers = len(case.model.blocks[0].layers)
    kind = "linear" if "resmlp" in net[0] else "conv"
    assert len(rows) == len(case.model.blocks)
    for number, row in enumerate(rows, 1):
        name = f"layer{number}.0" if kind == "conv" else f"layer1.{number - 1}"
        assert row["weights"] == pytest.approx(float(state[f"{name}.{kind}{layers}.weight"].norm()), rel=1e-5)
        ends_in_bn = "preact" not in net[0] and mode == "batch"
        assert np.isfinite([row["gamma"], row["beta"]]).all() == ends_in_bn
        if ends_in_bn:  # then its size follows from them alone
            gamma, beta = (state[f"{name}.bn{layers}.{key}"] for key in ("weight", "bias"))
            assert row["gamma"] == pytest.approx(float(gamma.square().mean().sqrt()), rel=1e-5)
            assert row["beta"] == pytest.approx(float(beta.square().mean().sqrt()), rel=1e-5)
            assert row["branch"] ** 2 == pytest.approx(row["gamma"] ** 2 + row["beta"] ** 2, rel=5e-3)
        assert np.isfinite([row["ratio"], row["cosine"]]).all()


# Theory.


@pytest.mark.parametrize(("depth", "at_the_end"), [(20, 0.72), (56, 0.39)])
def test_before_the_first_step_a_branch_is_as_large_as_those_behind_it_let_it(
    settings: Settings, tmp_path: Path, depth: int, at_the_end: float
) -> None:
    case = case_of(settings, tmp_path, "model=resnet", f"depth={depth}", "width=16", "data.image_size=16")
    ratios = numbers(answers(case), "ratio")
    blocks = (depth - 2) // 6
    expected = [2**0.5, 0.92, 0.72, 0.61]  # the first by theory: F has 1, the ReLU of a normal number sqrt(1/2)
    np.testing.assert_allclose(ratios[: min(4, blocks)], expected[: min(4, blocks)], rtol=0.08)
    assert ratios[blocks - 1] == pytest.approx(at_the_end, rel=0.12)


@pytest.mark.parametrize("net", KINDS)
def test_a_branch_that_starts_at_zero_is_exactly_zero(settings: Settings, tmp_path: Path, net: tuple[str, ...]) -> None:
    rows = answers(case_of(settings, tmp_path, *net, "zero_init=true"))
    for row in rows:
        assert (row["branch"], row["ratio"]) == (0, 0)
        assert np.isnan(float(row["cosine"]))
        assert float(row["shortcut"]) > 0


def scaled(case: Case, change: Callable[[object], None]) -> tuple[list[float], list[float]]:
    """The sizes of the branches before and after their blocks are changed."""
    with torch.no_grad():
        case.load(0)
        before = [sums.row()["branch"] for sums in branches(case, mode="batch")]
        for block in case.model.blocks:
            change(block)
        return before, [sums.row()["branch"] for sums in branches(case, mode="batch")]


def grow_layers(block: torch.nn.Module) -> None:
    for layer in block.layers:
        layer.weight.mul_(3)


def shrink_gamma(block: torch.nn.Module) -> None:
    block.ending.weight.mul_(0.5)


def test_with_bn_the_size_of_the_weights_does_not_matter_and_gamma_does(settings: Settings, tmp_path: Path) -> None:
    case = case_of(settings, tmp_path, "model=resnet", "depth=14")
    before, after = scaled(case, grow_layers)
    np.testing.assert_allclose(after, before, rtol=2e-3)
    before, after = scaled(case, shrink_gamma)
    np.testing.assert_allclose(after, np.multiply(before, 0.5), rtol=2e-3)


def test_in_a_v2_block_the_last_layer_decides(settings: Settings, tmp_path: Path) -> None:
    before, after = scaled(case_of(settings, tmp_path, "model=preact", "depth=14"), grow_layers)
    assert after[0] == pytest.approx(3 * before[0], rel=1e-3)
    np.testing.assert_allclose(after, np.multiply(before, 3), rtol=0.05)  # the signal there is another mixture now


# As every question.


def test_a_plain_net_has_no_branch(settings: Settings, tmp_path: Path) -> None:
    for net in (("model=plain", "depth=8"), ("model=mlp", "depth=6")):
        with pytest.raises(DoesNotFit, match=r"what=branches: (plain8|mlp6) has no shortcut") as caught:
            QUESTION.choices(case_of(settings, tmp_path, *net))
        assert len(str(caught.value).splitlines()) == 2


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


def test_what_is_known_is_left_out(settings: Settings, tmp_path: Path) -> None:
    case = case_of(settings, tmp_path, "model=resnet", "depth=8", "train.snapshots=[3]", trained=True)
    pieces = list(QUESTION.measure(case, []))
    assert [(piece[0]["step"], piece[0]["batch_norm"]) for piece in pieces] == [
        (step, mode) for step in (0, 3, 6) for mode in ("batch", "stored")
    ]
    assert len(pieces) == QUESTION.pieces(case)
    assert list(QUESTION.measure(case, pieces[0] + pieces[2])) == [pieces[1], *pieces[3:]]


def test_what_figures_compare_is_recorded(settings: Settings, tmp_path: Path) -> None:
    words = ("model=resnet", "depth=8", "optim.weight_decay=0.001", "optim.weight_decay_on=weights")
    choices = QUESTION.choices(case_of(settings, tmp_path, *words))
    assert (choices["weight_decay"], choices["weight_decay_on"]) == (0.001, "weights")
