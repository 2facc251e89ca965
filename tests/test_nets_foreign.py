"""Weights from elsewhere: files, layouts, option A's order of channels, and what is refused."""

import pickle
import re
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision import models

from resnet_exp.config import NetConfig
from resnet_exp.nets.foreign import IMAGENET, Fitted, fit_weights, read_weights, zeros_behind
from resnet_exp.nets.init import initialise
from resnet_exp.nets.network import Network
from resnet_exp.nets.spec import NetSpec
from resnet_exp.nets.table import MODELS, net_spec
from tests.helpers import LINES, REAL, Bomb, make_net

State = dict[str, Tensor]
MISLEADING = "chenyaofo-torchvision-resnet164.pt"  # what a file is called says nothing


def spec_of(model: str, **changes: object) -> NetSpec:
    return net_spec(NetConfig(**({"width": 4} | MODELS[model] | changes)), image_size=32)  # type: ignore[arg-type]


def random_net(spec: NetSpec, *, num_classes: int = 10) -> Network:
    """He weights, and BN whose every tensor is random: no channel is like another."""
    net = Network(spec, num_classes=num_classes)
    initialise(net, seed=0)
    generator = torch.Generator().manual_seed(1)
    for norm in net.batch_norms:
        for tensor in (norm.weight.data, norm.bias.data, norm.running_mean, norm.running_var):
            tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
        norm.num_batches_tracked.fill_(7)
    return net.double().eval()


def fit(found: State, spec: NetSpec, *, num_classes: int = 10, ours: bool = False) -> Fitted:
    return fit_weights(found, spec, num_classes=num_classes, source=MISLEADING, ours=ours)


def assert_equal(one: State, other: State) -> None:
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        assert torch.equal(tensor, other[name]), name


def assert_refused(refused: Callable[[], object], *parts: str) -> None:
    with pytest.raises(ValueError, match=re.escape(parts[0])) as caught:
        refused()
    message = str(caught.value)
    assert len(message.splitlines()) <= LINES
    for part in parts:
        assert part in message


# Our tensors under the names of others.


def akamaster(state: State, *, prefix: str = "module.") -> State:
    """No counters; names as in loss-landscape."""
    named = {f"{prefix}{name}": tensor for name, tensor in loss_landscape(state).items()}
    return {name: tensor for name, tensor in named.items() if "num_batches" not in name}


def loss_landscape(state: State) -> State:
    named = {name.replace("downsample", "shortcut"): tensor for name, tensor in state.items()}
    return {f"linear{name[2:]}" if name.startswith("fc.") else name: tensor for name, tensor in named.items()}


# Option A.


def akamasters_logits(found: State, images: Tensor, *, prefix: str = "module.") -> Tensor:
    """His net over his tensors, half of option A's zero channels before and half behind. Eval mode."""
    tensors = {name.removeprefix(prefix): tensor for name, tensor in found.items()}

    def bn(x: Tensor, name: str) -> Tensor:
        mean, var, weight, bias = (
            tensors[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")
        )
        return F.batch_norm(x, mean, var, weight, bias)

    x = torch.relu(bn(F.conv2d(images, tensors["conv1.weight"], padding=1), "bn1"))
    blocks = sorted({tuple(map(int, re.findall(r"\d+", name)[:2])) for name in tensors if name.startswith("layer")})
    for stage, index in blocks:
        name, stride = f"layer{stage}.{index}", 2 if stage > 1 and index == 0 else 1
        y = torch.relu(bn(F.conv2d(x, tensors[f"{name}.conv1.weight"], stride=stride, padding=1), f"{name}.bn1"))
        y = bn(F.conv2d(y, tensors[f"{name}.conv2.weight"], padding=1), f"{name}.bn2")
        planes = y.shape[1]
        shortcut = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, planes // 4, planes // 4)) if stride == 2 else x
        x = torch.relu(y + shortcut)
    return x.mean((2, 3)) @ tensors["linear.weight"].T + tensors["linear.bias"]


def logits(state: State, spec: NetSpec, images: Tensor, *, num_classes: int = 10) -> Tensor:
    net = Network(spec, num_classes=num_classes).double().eval()
    net.load_state_dict(state)
    return net(images)


IMAGES = torch.randn(4, 3, 16, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("prefix", ["module.", ""])
@pytest.mark.parametrize("width", [2, 16])
@pytest.mark.parametrize("depth", [20, 32])
def test_akamasters_nets_compute_here_what_they_compute_there(depth: int, width: int, prefix: str) -> None:
    spec = spec_of("resnet", depth=depth, width=width)
    found = akamaster(random_net(spec).state_dict(), prefix=prefix)
    theirs = akamasters_logits(found, IMAGES, prefix=prefix)
    fitted = fit(found, spec)
    assert fitted.layout == "akamaster"
    assert torch.allclose(logits(fitted.state, spec, IMAGES), theirs, rtol=0, atol=1e-5)
    unmoved = fit(found, spec, num_classes=10, ours=True).state
    assert not torch.allclose(logits(unmoved, spec, IMAGES), theirs, rtol=0.01, atol=0.01)


def test_moving_the_zeros_behind_is_this_order_and_leaves_what_it_was_given() -> None:
    """Width 4, by hand: stage 2 is handed channels 2 to 5 of 8, stage 3 those of stage 2 as 4 to 11 of 16."""
    spec = spec_of("resnet", depth=8)
    state = random_net(spec).state_dict()
    before = {name: tensor.clone() for name, tensor in state.items()}
    moved = zeros_behind(state, spec)
    assert_equal(before, state)
    second = [2, 3, 4, 5, 0, 1, 6, 7]
    third = [6, 7, 8, 9, 4, 5, 10, 11, 0, 1, 2, 3, 12, 13, 14, 15]
    assert torch.equal(moved["layer2.0.bn2.running_var"], state["layer2.0.bn2.running_var"][second])
    assert torch.equal(moved["layer2.0.conv2.weight"], state["layer2.0.conv2.weight"][second])
    assert torch.equal(moved["layer3.0.conv1.weight"], state["layer3.0.conv1.weight"][:, second])
    assert torch.equal(moved["layer3.0.conv2.weight"], state["layer3.0.conv2.weight"][third])
    assert torch.equal(moved["fc.weight"], state["fc.weight"][:, third])
    for name in ("conv1.weight", "layer1.0.conv2.weight", "layer2.0.conv1.weight", "layer3.0.bn1.bias", "fc.bias"):
        assert torch.equal(moved[name], state[name]), name


def test_a_plain_net_needs_no_move() -> None:
    spec = spec_of("plain20")
    state = random_net(spec).state_dict()
    fitted = fit(loss_landscape(state), spec)
    assert fitted.layout == "loss-landscape"
    assert_equal(fitted.state, state)


# Layouts.

LOSS_LANDSCAPE = ((0.4914, 0.4824, 0.4467), (0.2471, 0.2435, 0.2616))  # [125.3, 123.0, 113.9] / 255 and so on
CHENYAOFO = {
    10: ((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)),
    100: ((0.5070, 0.4865, 0.4409), (0.2673, 0.2564, 0.2761)),
}


@pytest.mark.parametrize(
    ("there", "model", "changes", "num_classes", "layout", "normalisation"),
    [
        (akamaster, "resnet20", {"shortcut": "B"}, 10, "akamaster", IMAGENET),
        (akamaster, "resnet20", {"shortcut": "B"}, 100, "akamaster", IMAGENET),
        (loss_landscape, "resnet56", {"shortcut": "B"}, 10, "loss-landscape", LOSS_LANDSCAPE),
        (loss_landscape, "plain20", {}, 10, "loss-landscape", LOSS_LANDSCAPE),
        (loss_landscape, "plain20", {}, 100, "loss-landscape", None),
        (loss_landscape, "bottleneck", {"depth": 29, "bottleneck_stride": "3x3"}, 10, "loss-landscape", LOSS_LANDSCAPE),
        (dict, "resnet20", {"shortcut": "B"}, 10, "chenyaofo", CHENYAOFO[10]),
        (dict, "resnet32", {"shortcut": "B"}, 100, "chenyaofo", CHENYAOFO[100]),
        (dict, "resnet18", {"shortcut": "B", "width": 4}, 1000, "torchvision", IMAGENET),
        (dict, "resnet50", {"bottleneck_stride": "3x3", "width": 4}, 5, "torchvision", IMAGENET),
        (dict, "resnet20", {}, 10, "ours", None),
        (dict, "plain20", {}, 10, "ours", None),
        (dict, "resnet20", {"shortcut": "C"}, 10, "ours", None),
        (dict, "preact20", {"shortcut": "B"}, 10, "ours", None),
        (dict, "bottleneck", {"depth": 29}, 10, "ours", None),
        (dict, "resnet18", {"width": 4}, 10, "ours", None),
        (dict, "resnet18", {"shortcut": "C", "width": 4}, 10, "ours", None),
        (dict, "resnet20", {"norm": "none"}, 10, "ours", None),
        (dict, "vgg19", {"width": 1}, 10, "ours", None),
        (dict, "resmlp", {}, 10, "ours", None),
    ],
)
def test_each_layout_is_known_by_its_names(
    there: Callable[[State], State],
    model: str,
    changes: dict[str, object],
    num_classes: int,
    layout: str,
    normalisation: tuple[tuple[float, ...], tuple[float, ...]] | None,
) -> None:
    spec = spec_of(model, **changes)
    state = random_net(spec, num_classes=num_classes).state_dict()
    fitted = fit(there(state), spec, num_classes=num_classes)
    assert fitted.layout == layout
    if there is akamaster:
        state |= {name: torch.tensor(0) for name in state if "num_batches" in name}
    assert_equal(fitted.state, state)
    Network(spec, num_classes=num_classes).load_state_dict(fitted.state)
    if normalisation is None:
        assert (fitted.mean, fitted.std) == (None, None)
    else:
        assert fitted.mean == pytest.approx(normalisation[0], abs=5e-5)
        assert fitted.std == pytest.approx(normalisation[1], abs=5e-5)


def test_weights_said_to_be_ours_are_taken_as_they_are() -> None:
    """Else a net of ours with projections would be taken for one of others, and seen by their normalisation."""
    for spec in (spec_of("resnet20", shortcut="B"), spec_of("resnet50", width=4)):
        state = random_net(spec).state_dict()
        fitted = fit(state, spec, ours=True)
        assert (fitted.layout, fitted.mean, fitted.std) == ("ours", None, None)
        assert_equal(fitted.state, state)


@pytest.mark.parametrize("model", ["resnet18", "resnet50"])
def test_torchvisions_nets_compute_the_same_here(model: str) -> None:
    torch.manual_seed(0)
    peer = getattr(models, model)(num_classes=7).double().eval()
    spec = spec_of(model, width=64, shortcut="B", bottleneck_stride="3x3")
    found = {name: tensor for name, tensor in peer.state_dict().items() if "num_batches" not in name}
    fitted = fit(found, spec, num_classes=7)
    assert (fitted.layout, (fitted.mean, fitted.std)) == ("torchvision", IMAGENET)
    images = torch.randn(1, 3, 64, 64, dtype=torch.float64)
    assert torch.allclose(logits(fitted.state, spec, images, num_classes=7), peer(images), atol=1e-9)


def test_names_of_no_layout_are_refused() -> None:
    vgg = {"features.0.weight": torch.ones(4, 3, 3, 3), "classifier.0.weight": torch.ones(10, 4)}
    assert_refused(lambda: fit(vgg, spec_of("resnet20")), MISLEADING, "akamaster", "features.0.weight")


# Another net.


@pytest.mark.parametrize(
    ("there", "here", "parts"),
    [
        (
            {"depth": 56},
            {"depth": 20},
            (
                "layer1.3.conv1.weight: 4x4x3x3 there, none here; layer1.3.bn1.weight: 4 there, none here; and 70 more",
                "there: 56 layers, width 4, 10 classes, basic blocks, no projections; here: 20 layers, width 4",
            ),
        ),
        ({"depth": 20}, {"depth": 56}, ("layer1.3.conv1.weight: none there, 4x4x3x3 here", "there: 20 layers")),
        ({"width": 8}, {}, ("conv1.weight: 8x3x3x3 there, 4x3x3x3 here", "width 8", "width 4")),
        (
            {"shortcut": "B"},
            {},
            ("layer2.0.downsample.0.weight: 8x4x1x1 there, none here", "2 projections; here", "no projections"),
        ),
        ({}, {"shortcut": "B"}, ("layer2.0.downsample.0.weight: none there, 8x4x1x1 here", "2 projections")),
        ({"depth": 29, "bottleneck": True}, {}, ("layer1.0.conv1.weight", "29 layers", "bottlenecks", "basic blocks")),
        ({"block": "v2"}, {}, ("bn1.weight: none there, 4 here", "basic blocks of v2, no projections; here")),
        ({"norm": "none"}, {}, ("bn1.weight: none there, 4 here",)),
    ],
)
def test_another_net_is_refused_and_described(
    there: dict[str, object], here: dict[str, object], parts: tuple[str, ...]
) -> None:
    found = random_net(spec_of("resnet20", **there)).state_dict()
    assert_refused(lambda: fit(found, spec_of("resnet20", **here)), f"{MISLEADING}: holds another net", *parts)


def test_other_classes_and_types_are_refused() -> None:
    spec = spec_of("resnet20")
    state = random_net(spec).state_dict()
    assert_refused(
        lambda: fit(akamaster(state), spec, num_classes=100),
        "fc.weight: 10x16 there, 100x16 here\n",
        "10 classes, basic blocks, no projections; here: 20 layers, width 4, 100 classes",
    )
    state["conv1.weight"] = state["conv1.weight"].to(torch.int8)
    assert_refused(lambda: fit(state, spec), "conv1.weight: int8 4x3x3x3 there, 4x3x3x3 here")


@pytest.mark.parametrize(
    ("there", "model"), [(dict, "resnet50"), (loss_landscape, "resnet50"), (loss_landscape, "resnet164")]
)
def test_a_stride_in_another_convolution_is_refused(there: Callable[[State], State], model: str) -> None:
    spec = spec_of(model, width=4, bottleneck_stride="1x1")
    found = there(random_net(spec).state_dict())
    assert_refused(lambda: fit(found, spec), MISLEADING, "stride in the 3x3", "bottleneck_stride=3x3")


def test_nets_of_the_same_shapes_with_another_function_are_refused() -> None:
    plain = spec_of("plain20")
    assert_refused(lambda: fit(akamaster(random_net(plain).state_dict()), plain), "akamaster", "shortcut=A")
    bottleneck = spec_of("resnet50", shortcut="none", bottleneck_stride="3x3", width=4)
    assert_refused(lambda: fit(loss_landscape(random_net(bottleneck).state_dict()), bottleneck), "without a ReLU")


# Files.

CONTENT = {"conv1.weight": torch.arange(12.0).view(3, 4), "bn1.bias": torch.ones(2)}


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize(
    "content",
    [
        CONTENT,
        {"state_dict": CONTENT, "best_prec1": 91.7},
        {"state_dict": CONTENT, "acc": 93.0, "epoch": 300},
        {"model": CONTENT, "optimizer": {"state": {0: torch.ones(1)}}},
        {"net": CONTENT},
        CONTENT | {"epoch": 3},
    ],
)
def test_files_of_torch_are_read(tmp_path: Path, content: dict[str, object], zipped: bool) -> None:
    torch.save(content, tmp_path / "w.th", _use_new_zipfile_serialization=zipped)
    assert_equal(read_weights(tmp_path / "w.th"), CONTENT)


@pytest.mark.parametrize("name", ["w.safetensors", "w.pt"])
def test_files_of_safetensors_are_read(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(safetensors.torch.save(CONTENT, metadata={"format": "pt"}))
    assert_equal(read_weights(tmp_path / name), CONTENT)


def test_an_unusual_pickle_is_read_without_a_word_of_torch(tmp_path: Path) -> None:
    torch.save(CONTENT, tmp_path / "w.pt", pickle_protocol=3)
    assert_equal(read_weights(tmp_path / "w.pt"), CONTENT)


def test_parameters_become_tensors(tmp_path: Path) -> None:
    """Else moving their channels would be recorded for a backward pass."""
    torch.save(dict(nn.Linear(3, 2).named_parameters()), tmp_path / "w.pt")
    assert not any(tensor.requires_grad for tensor in read_weights(tmp_path / "w.pt").values())


def written(kind: str, file: Path) -> None:
    if kind == "safetensors":
        file.write_bytes(safetensors.torch.save(CONTENT))
    else:
        torch.save(CONTENT, file, _use_new_zipfile_serialization=kind == "zip")


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.7, 0.999])
@pytest.mark.parametrize("kind", ["zip", "pickle", "safetensors"])
def test_a_truncated_file_is_refused(tmp_path: Path, kind: str, share: float) -> None:
    file = tmp_path / "weights.pt"
    written(kind, file)
    data = file.read_bytes()
    file.write_bytes(data[: int(share * len(data))])
    assert_refused(lambda: read_weights(file), f"{file}: damaged")


def test_what_is_no_file_of_weights_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "weights.pt"
    assert_refused(lambda: read_weights(file), f"{file}: No such file")
    assert_refused(lambda: read_weights(tmp_path), f"{tmp_path}: Is a directory")
    for data in (
        b"not weights, but a long line of text",
        b"01234567{",
        b"\x80\x02",
        pickle.dumps([CONTENT], protocol=2),
    ):
        file.write_bytes(data)
        assert_refused(lambda: read_weights(file), f"{file}: damaged")
    for content, held in (({"lr": 0.1, "weights": CONTENT}, "it holds lr, weights"), ([1.0], "no named tensors\n")):
        torch.save(content, file)
        assert_refused(lambda: read_weights(file), f"{file}: holds no named tensors", held)


def test_nothing_in_a_file_is_executed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plain.pt").write_bytes(pickle.dumps(Bomb()))
    (tmp_path / "old.th").write_bytes(pickle.dumps({"state_dict": CONTENT | {"bomb": Bomb()}}, protocol=2))
    torch.save({"state_dict": CONTENT, "bomb": Bomb()}, tmp_path / "zip.pt")
    torch.save({"state_dict": CONTENT, "bomb": Bomb()}, tmp_path / "pickle.th", _use_new_zipfile_serialization=False)
    (tmp_path / "w.safetensors").write_bytes(pickle.dumps(Bomb()))
    torch.save(nn.Linear(2, 2), tmp_path / "module.pt")
    files = [*tmp_path.iterdir()]
    assert len(files) == 6
    for file in files:
        assert_refused(
            lambda file=file: read_weights(file), f"{file}: damaged, or holds something other", "not executed"
        )
    assert not (tmp_path / "exploded").exists()


# The published ones.


@pytest.mark.skipif(not (REAL / "published").exists(), reason="no published weights here")
@pytest.mark.parametrize(
    ("name", "depth", "wrong"),
    [("resnet20-12fca82f.th", 20, 85), pytest.param("resnet56-4bfd9763.th", 56, 74, marks=pytest.mark.slow)],
)
def test_published_weights_err_on_as_many_real_images_as_where_they_come_from(
    name: str, depth: int, wrong: int
) -> None:
    with tarfile.open(REAL / "cifar10-lossless-6102.tar.xz") as tar:
        member = tar.extractfile("test_batch.bin")
        assert member is not None
        records = np.frombuffer(member.read(), np.uint8).reshape(-1, 3073)
    labels, pixels = torch.tensor(records[:, 0]), torch.tensor(records[:, 1:].reshape(-1, 3, 32, 32))
    net = make_net(depth=depth).eval()
    fitted = fit_weights(read_weights(REAL / "published" / name), net.spec, num_classes=10, source=name)
    net.load_state_dict(fitted.state)
    assert (fitted.layout, (fitted.mean, fitted.std)) == ("akamaster", IMAGENET)
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in IMAGENET)
    with torch.no_grad():
        guesses = torch.cat([net((part / 255 - mean) / std).argmax(1) for part in pixels.split(128)])
    assert len(labels) == 1017
    assert int((guesses != labels).sum()) == wrong
