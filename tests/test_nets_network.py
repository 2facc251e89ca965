"""What a net computes, against the papers' formulas, torch's BN and torchvision's nets."""

import copy
import io

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision import models

from resnet_exp.config import NetConfig
from resnet_exp.nets.cost import costs_of
from resnet_exp.nets.init import initialise
from resnet_exp.nets.network import Network
from resnet_exp.nets.spec import BlockSpec, NetSpec, Stage, Stem
from resnet_exp.nets.table import MODELS, net_spec
from tests.helpers import make_net

PARAMS = {20: 269_722, 32: 464_154, 44: 658_586, 56: 853_018, 110: 1_727_962, 1202: 19_421_274}
BASIC = BlockSpec((3, 3))


def on_meta(**arguments: object) -> Network:
    with torch.device("meta"):
        return make_net(**arguments)


def random_net(**arguments: object) -> Network:
    """A small net whose every tensor, BN statistics too, is random: nothing cancels by being zero or one."""
    net = make_net(**({"depth": 20, "width": 4} | arguments))
    generator = torch.Generator().manual_seed(1)
    for tensor in net.state_dict().values():
        if tensor.is_floating_point():
            tensor.copy_(torch.rand(tensor.shape, generator=generator) * 0.5 + 0.25)
    return net


def num_params(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


@pytest.mark.parametrize(("depth", "params"), PARAMS.items())
@pytest.mark.parametrize("shortcut", ["none", "A"])
@pytest.mark.parametrize("block", ["v1", "v2"])
def test_parameter_counts_are_the_papers(depth: int, params: int, shortcut: str, block: str) -> None:
    assert num_params(on_meta(depth=depth, shortcut=shortcut, block=block)) == params


@pytest.mark.parametrize(("depth", "millions"), [(164, 1.70), (1001, 10.33)])
def test_bottleneck_nets_have_the_size_of_the_authors_code(depth: int, millions: float) -> None:
    net = on_meta(depth=depth, bottleneck=True, shortcut="B", block="v2")
    assert num_params(net) / 1e6 == pytest.approx(millions, abs=0.005)


class Formula:
    """The papers' formulas over a net's tensors, written without the net's modules. Eval mode."""

    def __init__(self, net: Network, option: str) -> None:
        self.tensors = net.state_dict()
        self.option = option
        self.blocks = [len(stage) for stage in net.stages]

    def bn(self, x: Tensor, name: str) -> Tensor:
        mean, var, weight, bias = (
            self.tensors[f"{name}.{part}"].view(1, -1, 1, 1)
            for part in ("running_mean", "running_var", "weight", "bias")
        )
        return (x - mean) / torch.sqrt(var + 1e-5) * weight + bias

    def conv(self, x: Tensor, name: str, stride: int) -> Tensor:
        weight = self.tensors[f"{name}.weight"]
        return F.conv2d(x, weight, stride=stride, padding=weight.shape[-1] // 2)

    def shortcut(self, x: Tensor, name: str, like: Tensor, stride: int, norm: bool) -> Tensor | float:
        if self.option == "none":
            return 0.0
        if f"{name}.0.weight" in self.tensors:
            projected = self.conv(x, f"{name}.0", stride)
            return self.bn(projected, f"{name}.1") if norm else projected
        padded = torch.zeros_like(like)
        padded[:, : x.shape[1]] = x[:, :, ::stride, ::stride]
        return padded

    def v1(self, images: Tensor) -> Tensor:
        x = torch.relu(self.bn(self.conv(images, "conv1", 1), "bn1"))
        for stage, count in enumerate(self.blocks, start=1):
            for index in range(count):
                name, stride = f"layer{stage}.{index}", 2 if stage > 1 and index == 0 else 1
                y = torch.relu(self.bn(self.conv(x, f"{name}.conv1", stride), f"{name}.bn1"))
                y = self.bn(self.conv(y, f"{name}.conv2", 1), f"{name}.bn2")
                if f"{name}.conv3.weight" in self.tensors:
                    y = self.bn(self.conv(torch.relu(y), f"{name}.conv3", 1), f"{name}.bn3")
                x = torch.relu(y + self.shortcut(x, f"{name}.downsample", y, stride, norm=True))
        return self.logits(x)

    def v2(self, images: Tensor) -> Tensor:
        x = self.conv(images, "conv1", 1)
        for stage, count in enumerate(self.blocks, start=1):
            for index in range(count):
                name, stride = f"layer{stage}.{index}", 2 if stage > 1 and index == 0 else 1
                a = torch.relu(self.bn(x, f"{name}.bn1"))
                y = self.conv(a, f"{name}.conv1", stride)
                y = self.conv(torch.relu(self.bn(y, f"{name}.bn2")), f"{name}.conv2", 1)
                if f"{name}.conv3.weight" in self.tensors:
                    y = self.conv(torch.relu(self.bn(y, f"{name}.bn3")), f"{name}.conv3", 1)
                changes = y.shape != x.shape or f"{name}.downsample.0.weight" in self.tensors
                start = stage == 1 and index == 0
                x = y + self.shortcut(a if start or changes else x, f"{name}.downsample", y, stride, norm=False)
        return self.logits(torch.relu(self.bn(x, "bn")))

    def logits(self, x: Tensor) -> Tensor:
        return x.mean(3).mean(2) @ self.tensors["fc.weight"].T + self.tensors["fc.bias"]


@pytest.mark.parametrize("bottleneck", [False, True])
@pytest.mark.parametrize("option", ["none", "A", "B", "C"])
@pytest.mark.parametrize("block", ["v1", "v2"])
def test_forward_is_the_papers_formula(block: str, option: str, bottleneck: bool) -> None:
    net = random_net(block=block, shortcut=option, bottleneck=bottleneck).double().eval()
    images = torch.randn(3, 3, 12, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    expected = getattr(Formula(net, option), block)(images)
    assert torch.allclose(net(images), expected, rtol=1e-9)


def test_a_plain_net_is_the_same_net_in_v1_and_v2() -> None:
    v1, v2 = (random_net(shortcut="none", block=block).double() for block in ("v1", "v2"))
    for kind in (nn.Conv2d, nn.BatchNorm2d, nn.Linear):
        pairs = zip(*([m for m in net.modules() if isinstance(m, kind)] for net in (v1, v2)), strict=True)
        for first, second in pairs:
            second.load_state_dict(first.state_dict())
    images = torch.randn(4, 3, 8, 8, dtype=torch.float64)
    for mode in (True, False):
        assert torch.allclose(v1.train(mode)(images), v2.train(mode)(images))


@pytest.mark.parametrize("bottleneck", [False, True])
@pytest.mark.parametrize("block", ["v1", "v2"])
@pytest.mark.parametrize("shortcut", ["none", "A", "B", "C"])
def test_gradients_between_blocks_stay_channels_last(block: str, shortcut: str, bottleneck: bool) -> None:
    """Else the operations around one that does not read two layouts at once, which is slow."""
    net = make_net(depth=20, block=block, shortcut=shortcut, bottleneck=bottleneck, width=4)
    net = net.to(memory_format=torch.channels_last)
    last, gradients = torch.channels_last, list[bool]()

    def watch(_: nn.Module, args: tuple[Tensor]) -> None:
        args[0].register_hook(lambda gradient: gradients.append(gradient.is_contiguous(memory_format=last)))

    for unit in net.blocks:
        unit.register_forward_pre_hook(watch)
    net(torch.randn(2, 3, 16, 16).contiguous(memory_format=last)).sum().backward()
    assert gradients == [True] * len(net.blocks)


def test_bn_is_torchs_and_counts_its_batches_in_training() -> None:
    torch.manual_seed(0)
    net = random_net(depth=8, shortcut="B").train()
    theirs = copy.deepcopy(net)
    for module in theirs.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.__class__ = nn.BatchNorm2d
    theirs.batch_norms = [nn.BatchNorm2d(1)]  # else they would be counted twice
    for mode in (True, True, False):
        images = torch.randn(4, 3, 8, 8)
        assert torch.equal(net.train(mode)(images), theirs.train(mode)(images))
    assert net.state_dict().keys() == theirs.state_dict().keys()
    for name, tensor in net.state_dict().items():
        assert torch.equal(tensor, theirs.state_dict()[name])
        assert "num_batches" not in name or tensor == 2


def test_1202_layers_train_save_copy_and_print() -> None:
    net = make_net(depth=1202, width=2)
    initialise(net, seed=0)
    before = net.fc.weight.detach().clone()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    F.cross_entropy(net(torch.randn(2, 3, 8, 8)), torch.tensor([0, 1])).backward()
    optimizer.step()
    assert not torch.equal(net.fc.weight, before)
    buffer = io.BytesIO()
    torch.save(net.state_dict(), buffer)
    buffer.seek(0)
    restored = copy.deepcopy(net)
    restored.load_state_dict(torch.load(buffer, weights_only=True))
    assert len(str(restored).splitlines()) > 1202


def published(model: str, **changes: object) -> NetSpec:
    """The net of a name at 224x224."""
    return net_spec(NetConfig(**({"width": 16} | MODELS[model] | changes)), image_size=224)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("model", "changes", "depth", "params", "billions"),
    [
        ("plain18", {}, 18, 11_515_688, 1.795),
        ("resnet18", {}, 18, 11_515_688, 1.795),
        ("resnet18", {"shortcut": "B"}, 18, 11_689_512, 1.814),
        ("resnet18", {"shortcut": "C"}, 18, 12_043_816, 1.878),
        ("plain34", {}, 34, 21_623_848, 3.644),
        ("resnet34", {}, 34, 21_623_848, 3.644),
        ("resnet34", {"shortcut": "B"}, 34, 21_797_672, 3.664),
        ("resnet34", {"shortcut": "C"}, 34, 22_716_840, 3.831),
        ("resnet50", {}, 50, 25_557_032, 3.858),
        ("resnet50", {"bottleneck_stride": "3x3"}, 50, 25_557_032, 4.089),
        ("resnet101", {}, 101, 44_549_160, 7.570),
        ("resnet101", {"bottleneck_stride": "3x3"}, 101, 44_549_160, 7.801),
        ("resnet152", {}, 152, 60_192_808, 11.282),
        ("resnet152", {"bottleneck_stride": "3x3"}, 152, 60_192_808, 11.514),
        ("vgg19", {}, 19, 143_667_240, 19.632),
        ("vgg19", {"norm": "batch"}, 19, 143_678_248, 19.632),
    ],
)
def test_a_name_means_the_published_net(
    model: str, changes: dict[str, object], depth: int, params: int, billions: float
) -> None:
    """Parameters and multiply-adds at 224x224 with 1,000 classes, as torchvision's nets and [P1] table 1 have them."""
    spec = published(model, **changes)
    costs = costs_of(spec, num_classes=1000, image_size=224)
    assert spec.depth == depth
    assert sum(cost.params for cost in costs) == params
    assert sum(cost.macs for cost in costs) / 1e9 == pytest.approx(billions, abs=0.0005)


@pytest.mark.parametrize(
    ("model", "shortcut"), [("resnet18", "A"), ("resnet18", "B"), ("resnet34", "B"), ("resnet50", "B")]
)
def test_torchvisions_weights_fit_as_they_are_and_give_the_same_logits(model: str, shortcut: str) -> None:
    """Both places of the stride: torchvision's is in the 3x3; moved to the first 1x1 it is the paper's net."""
    torch.manual_seed(0)
    peer = getattr(models, model)(num_classes=7).double()
    if shortcut == "A":  # its nets with a shortcut without parameters
        for stage in (peer.layer2, peer.layer3, peer.layer4):
            stage[0].downsample = PadOfThePaper()
    images = torch.randn(2, 3, 64, 64, dtype=torch.float64)
    for place in ("3x3", "1x1"):
        net = Network(published(model, shortcut=shortcut, bottleneck_stride=place), num_classes=7).double()
        if place == "1x1" and model == "resnet50":
            for stage in (peer.layer2, peer.layer3, peer.layer4):
                stage[0].conv1.stride, stage[0].conv2.stride = (2, 2), (1, 1)
        assert net.load_state_dict(peer.state_dict()).missing_keys == []
        for mode in (True, False):
            assert torch.allclose(net.train(mode)(images), peer.train(mode)(images), atol=1e-9)


class PadOfThePaper(nn.Module):
    """Option A, written the obvious way."""

    def forward(self, x: Tensor) -> Tensor:
        picked = x[:, :, ::2, ::2]
        return torch.cat([picked, torch.zeros_like(picked)], dim=1)


@pytest.mark.parametrize("norm", ["none", "batch"])
def test_vgg_has_torchvisions_tensors_and_is_the_formula(norm: str) -> None:
    """Torchvision names its layers otherwise; their order is the same."""
    with torch.device("meta"):
        peer = models.vgg19_bn() if norm == "batch" else models.vgg19()
        shapes = [tensor.shape for tensor in Network(published("vgg19", norm=norm), num_classes=1000).parameters()]
    assert shapes == [tensor.shape for tensor in peer.parameters()]

    net = Network(published("vgg19", norm=norm, width=2), num_classes=5).double().eval()
    images = torch.randn(2, 3, 64, 64, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    x = images
    for stage in net.stages:
        for block in stage:
            x = F.conv2d(x, block.conv1.weight, block.conv1.bias, padding=1)
            if norm == "batch":
                x = x / (1 + 1e-5) ** 0.5  # untouched statistics: mean 0, variance 1
            x = torch.relu(x)
        x = F.max_pool2d(x, kernel_size=2)
    x = F.interpolate(x, size=(14, 14), mode="nearest").unfold(2, 2, 2).unfold(3, 2, 2).mean((4, 5))  # 2x2 -> 7x7
    for layer in (net.fc1, net.fc2):
        x = torch.relu(x.flatten(1) @ layer.weight.T + layer.bias)
    assert torch.allclose(net(images), x @ net.fc.weight.T + net.fc.bias, atol=1e-9)


@pytest.mark.parametrize(("plain", "residual"), [("plain34", "resnet34"), ("mlp", "resmlp"), ("plain56", "resnet56")])
def test_a_plain_net_has_its_residual_twins_tensors(plain: str, residual: str) -> None:
    twins = [
        Network(net_spec(NetConfig(**(MODELS[model] | {"width": 4})), image_size=8)) for model in (plain, residual)
    ]
    for twin in twins:
        initialise(twin, seed=5)
    first, second = (twin.state_dict() for twin in twins)
    assert [*first] == [*second]
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("shortcut", ["none", "A"])
def test_a_fully_connected_net_is_the_formula(shortcut: str) -> None:
    """y = relu(W2 relu(W1 x) + x) without BN; without the x where it is plain."""
    settings = MODELS["mlp" if shortcut == "none" else "resmlp"]
    of_six_layers = NetConfig(**(settings | {"depth": 6, "width": 5, "norm": "none"}))
    net = Network(net_spec(of_six_layers, image_size=8), num_classes=3)
    initialise(net, seed=0)
    images = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    x = torch.relu(images.flatten(1) @ net.linear1.weight.T)
    for block in net.layer1:
        y = torch.relu(x @ block.linear1.weight.T) @ block.linear2.weight.T
        x = torch.relu(y + x if shortcut == "A" else y)
    assert torch.allclose(net(images), x @ net.fc.weight.T, atol=1e-6)
    with_bn = Network(net_spec(NetConfig(**(settings | {"depth": 22})), image_size=8), num_classes=10)
    assert with_bn(torch.randn(8, 3, 8, 8)).shape == (8, 10)


@pytest.mark.parametrize("order", ["post", "pre"])
@pytest.mark.parametrize("shortcut", ["none", "A", "B"])
def test_a_net_without_bn_trains_and_leaves_what_others_read(order: str, shortcut: str) -> None:
    """ReLU works in place; without BN before it, its input may be a shortcut's, too."""
    stages = (Stage(2, 4), Stage(2, 8, stride=2))
    net = Network(NetSpec(Stem(4), stages, BASIC, order=order, norm="none", shortcut=shortcut)).double()
    initialise(net, seed=0)
    images = torch.randn(2, 3, 6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) / 4
    net.train()(images).sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())

    def layer(x: Tensor, conv: nn.Conv2d, stride: int = 1) -> Tensor:
        return F.conv2d(x, conv.weight, stride=stride, padding=conv.weight.shape[-1] // 2)

    x = layer(images, net.conv1)
    x = torch.relu(x) if order == "post" else x
    for number, block in enumerate(net.blocks):
        stride = 2 if number == 2 else 1
        raw = torch.relu(x) if order == "pre" else x
        y = layer(torch.relu(layer(raw, block.conv1, stride)), block.conv2)
        kept = raw if number in (0, 2) else x
        if shortcut == "B" and number == 2:
            y = y + F.conv2d(kept, block.downsample[0].weight, stride=2)
        elif shortcut != "none":
            y[:, : kept.shape[1]] += kept[:, :, ::stride, ::stride]
        x = torch.relu(y) if order == "post" else y
    x = torch.relu(x) if order == "pre" else x
    assert torch.allclose(net(images), x.mean((2, 3)) @ net.fc.weight.T, atol=1e-9)
