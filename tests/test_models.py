import copy
import io

import pytest
import torch
import torch.nn.functional as F
from resnet_exp.nets.models import CifarNet, Conv1x1, PaddedIdentity, Projection, describe, initialise, make_shortcut
from torch import Tensor, nn

PARAMS = {20: 269_722, 32: 464_154, 44: 658_586, 56: 853_018, 110: 1_727_962, 1202: 19_421_274}
MACS = {20: 40.6, 56: 125.5, 110: 252.9}  # millions


def on_meta(**arguments: object) -> CifarNet:
    with torch.device("meta"):
        return CifarNet(**arguments)


def random_net(**arguments: object) -> CifarNet:
    """A small net whose every tensor, BN statistics too, is random: nothing cancels by being zero or one."""
    net = CifarNet(**({"depth": 20, "width": 4} | arguments))
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


@pytest.mark.parametrize(("depth", "millions"), MACS.items())
def test_description_counts_parameters_and_multiply_adds(depth: int, millions: float) -> None:
    costs = describe(on_meta(depth=depth), image_size=32)
    assert sum(cost.params for cost in costs) == PARAMS[depth]
    assert sum(cost.macs for cost in costs) / 1e6 == pytest.approx(millions, abs=0.05)
    assert sum(cost.kind in ("Conv2d", "Linear") for cost in costs) == depth


@pytest.mark.parametrize("bottleneck", [False, True])
@pytest.mark.parametrize("block", ["v1", "v2"])
@pytest.mark.parametrize("shortcut", ["none", "A", "B", "C"])
@pytest.mark.parametrize("size", [32, 15])
def test_every_kind_of_net_halves_the_map_twice(block: str, shortcut: str, bottleneck: bool, size: int) -> None:
    net = on_meta(depth=20, block=block, shortcut=shortcut, bottleneck=bottleneck, width=8, num_classes=7)
    shapes = {cost.path: cost.shape for cost in describe(net, image_size=size)}
    wide = 4 if bottleneck else 1
    half, quarter = (size + 1) // 2, (size + 3) // 4
    last = f"convs.{2 if bottleneck else 1}"
    blocks = 2 if bottleneck else 3
    assert shapes["stem.0"] == (8, size, size)
    assert shapes[f"stage1.{blocks - 1}.{last}"] == (8 * wide, size, size)
    assert shapes[f"stage2.{blocks - 1}.{last}"] == (16 * wide, half, half)
    assert shapes[f"stage3.{blocks - 1}.{last}"] == (32 * wide, quarter, quarter)
    assert shapes["head"] == (7,)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"depth": 21}, "depth=21"),
        ({"depth": 2}, "depth=2"),
        ({"depth": 56, "bottleneck": True, "block": "v3"}, "block=v3"),
        ({"depth": 20, "shortcut": "D"}, "shortcut=D"),
    ],
)
def test_impossible_nets_are_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        on_meta(**arguments)


@pytest.mark.parametrize("block", ["v1", "v2"])
def test_twins_start_from_the_same_tensors(block: str) -> None:
    plain, residual = (CifarNet(depth=20, shortcut=shortcut, block=block) for shortcut in ("none", "A"))
    initialise(plain, seed=3)
    initialise(residual, seed=3)
    assert plain.state_dict().keys() == residual.state_dict().keys()
    for name, tensor in plain.state_dict().items():
        assert torch.equal(tensor, residual.state_dict()[name]), name


def test_projections_leave_every_other_initial_tensor_alone() -> None:
    identity, projected = (CifarNet(depth=20, shortcut=shortcut) for shortcut in "AC")
    initialise(identity, seed=3)
    initialise(projected, seed=3)
    for name, tensor in identity.state_dict().items():
        assert torch.equal(tensor, projected.state_dict()[name]), name


def test_initialisation_is_he_normal_and_depends_on_the_seed_alone() -> None:
    first, again, other = (CifarNet(depth=20, width=64) for _ in range(3))
    initialise(first, seed=0)
    torch.manual_seed(99)
    initialise(again, seed=0)
    initialise(other, seed=1)
    convs = [m for m in first.modules() if isinstance(m, nn.Conv2d)][1:]
    for conv in convs:
        assert conv.weight.std().item() == pytest.approx((2 / (9 * conv.out_channels)) ** 0.5, rel=0.02)
        assert abs(conv.weight.mean().item()) < 0.01
    assert first.head.bias.count_nonzero() == 0
    assert first.head.weight.abs().max().item() <= 256**-0.5
    assert torch.equal(first.head.weight, again.head.weight)
    assert torch.equal(convs[0].weight, next(m for m in again.stage1.modules() if isinstance(m, nn.Conv2d)).weight)
    assert not torch.equal(first.head.weight, other.head.weight)


class Formula:
    """The papers' formulas over a net's tensors, written without the net's modules. Eval mode."""

    def __init__(self, net: CifarNet, option: str) -> None:
        self.tensors = net.state_dict()
        self.option = option
        self.blocks = [len(stage) for stage in (net.stage1, net.stage2, net.stage3)]

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
        x = torch.relu(self.bn(self.conv(images, "stem.0", 1), "stem.1"))
        for stage, count in enumerate(self.blocks, start=1):
            for index in range(count):
                name, stride = f"stage{stage}.{index}", 2 if stage > 1 and index == 0 else 1
                y = torch.relu(self.bn(self.conv(x, f"{name}.convs.0", stride), f"{name}.norms.0"))
                y = self.bn(self.conv(y, f"{name}.convs.1", 1), f"{name}.norms.1")
                if f"{name}.convs.2.weight" in self.tensors:
                    y = self.bn(self.conv(torch.relu(y), f"{name}.convs.2", 1), f"{name}.norms.2")
                x = torch.relu(y + self.shortcut(x, f"{name}.shortcut", y, stride, norm=True))
        return self.logits(x)

    def v2(self, images: Tensor) -> Tensor:
        x = self.conv(images, "stem.0", 1)
        for stage, count in enumerate(self.blocks, start=1):
            for index in range(count):
                name, stride = f"stage{stage}.{index}", 2 if stage > 1 and index == 0 else 1
                a = torch.relu(self.bn(x, f"{name}.norms.0"))
                y = self.conv(a, f"{name}.convs.0", stride)
                y = self.conv(torch.relu(self.bn(y, f"{name}.norms.1")), f"{name}.convs.1", 1)
                if f"{name}.convs.2.weight" in self.tensors:
                    y = self.conv(torch.relu(self.bn(y, f"{name}.norms.2")), f"{name}.convs.2", 1)
                changes = y.shape != x.shape or f"{name}.shortcut.0.weight" in self.tensors
                start = stage == 1 and index == 0
                x = y + self.shortcut(a if start or changes else x, f"{name}.shortcut", y, stride, norm=False)
        return self.logits(torch.relu(self.bn(x, "last.0")))

    def logits(self, x: Tensor) -> Tensor:
        return x.mean(3).mean(2) @ self.tensors["head.weight"].T + self.tensors["head.bias"]


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


def test_option_a_takes_every_second_pixel_and_appends_zeros() -> None:
    x = torch.arange(2 * 5 * 5, dtype=torch.float32).view(1, 2, 5, 5)
    y = PaddedIdentity(2, 4, stride=2)(x)
    assert y.shape == (1, 4, 3, 3)
    assert torch.equal(y[0, 0], torch.tensor([[0.0, 2, 4], [10, 12, 14], [20, 22, 24]]))
    assert y[:, 2:].count_nonzero() == 0


@pytest.mark.parametrize("bottleneck", [False, True])
@pytest.mark.parametrize("block", ["v1", "v2"])
@pytest.mark.parametrize("shortcut", ["none", "A", "B", "C"])
def test_gradients_between_blocks_stay_channels_last(block: str, shortcut: str, bottleneck: bool) -> None:
    """Else the operations around one that does not read two layouts at once, which is slow."""
    net = CifarNet(depth=20, block=block, shortcut=shortcut, bottleneck=bottleneck, width=4)
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
    theirs.norms = [nn.BatchNorm2d(1)]  # else they would be counted twice
    for mode in (True, True, False):
        images = torch.randn(4, 3, 8, 8)
        assert torch.equal(net.train(mode)(images), theirs.train(mode)(images))
    assert net.state_dict().keys() == theirs.state_dict().keys()
    for name, tensor in net.state_dict().items():
        assert torch.equal(tensor, theirs.state_dict()[name])
        assert "num_batches" not in name or tensor == 2


@pytest.mark.parametrize("channels", [1, 3, 4, 8, 12, 16])
def test_a_strided_1x1_convolution_computes_the_same_as_torchs(channels: int) -> None:
    """In double precision torch computes it with another library, which may be trusted at any width."""
    torch.manual_seed(0)
    conv = Conv1x1(channels, 8, stride=2).to(memory_format=torch.channels_last)
    for _ in range(5):  # where memory is written out of bounds, not every time shows it
        x = torch.randn(32, channels, 32, 32).contiguous(memory_format=torch.channels_last).requires_grad_()
        y = conv(x)
        weights = torch.randn_like(y)
        found = torch.autograd.grad((y * weights).sum(), [x, conv.weight])
        x_64, weight_64 = x.detach().double().requires_grad_(), conv.weight.detach().double().requires_grad_()
        y_64 = F.conv2d(x_64, weight_64, stride=2)
        expected = torch.autograd.grad((y_64 * weights.double()).sum(), [x_64, weight_64])
        for one, other in zip([y, *found], [y_64, *expected], strict=True):
            assert torch.allclose(one.double(), other, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize(
    ("option", "same", "other"),
    [
        ("none", type(None), type(None)),
        ("A", nn.Identity, PaddedIdentity),
        ("B", nn.Identity, Projection),
        ("C", Projection, Projection),
    ],
)
def test_shortcut_options(option: str, same: type, other: type) -> None:
    assert type(make_shortcut(option, 8, 8, stride=1, norm=True)) is same
    assert type(make_shortcut(option, 8, 16, stride=2, norm=True)) is other


def test_1202_layers_train_save_copy_and_print() -> None:
    net = CifarNet(depth=1202, width=2)
    initialise(net, seed=0)
    before = net.head.weight.detach().clone()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    F.cross_entropy(net(torch.randn(2, 3, 8, 8)), torch.tensor([0, 1])).backward()
    optimizer.step()
    assert not torch.equal(net.head.weight, before)
    buffer = io.BytesIO()
    torch.save(net.state_dict(), buffer)
    buffer.seek(0)
    restored = copy.deepcopy(net)
    restored.load_state_dict(torch.load(buffer, weights_only=True))
    assert len(str(restored).splitlines()) > 1202
