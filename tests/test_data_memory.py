"""Images that do not fit into memory are refused before they are read, with both sizes and what to do."""

from pathlib import Path

import pytest
import torch

from resnet_exp import cores
from resnet_exp.data import memory
from resnet_exp.data.memory import check_room, free_memory
from resnet_exp.data.sets import load_dataset
from tests.helpers import LINES, data_config

CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A computer that says nothing of its memory."""
    monkeypatch.setattr(memory, "MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(cores, "CGROUPS", tmp_path / "cgroup")
    return tmp_path


def write_group(folder: Path, *names: str, limit: str, taken: int, cache: int) -> None:
    """What a control group says, under the names of its version."""
    folder.mkdir(parents=True, exist_ok=True)
    of_limit, of_taken, of_cache = names
    (folder / of_limit).write_text(f"{limit}\n")
    (folder / of_taken).write_text(f"{taken}\n")
    (folder / "memory.stat").write_text(f"anon 5\n{of_cache} {cache}\n")


def test_where_nobody_says_how_much_is_free_nothing_is_refused(machine: Path) -> None:
    assert free_memory() is None
    check_room(data_config("synthetic", image_size=224), train=10**12, test=0, device=CPU)


def test_free_is_what_the_machine_and_its_container_leave(machine: Path) -> None:
    (machine / "meminfo").write_text("MemTotal:       100 kB\nMemFree:  1 kB\nMemAvailable:   50 kB\n")
    assert free_memory() == 50 * 1024
    second, first = ("memory.max", "memory.current", "inactive_file"), machine / "cgroup" / "memory"
    write_group(machine / "cgroup", *second, limit="max", taken=20, cache=5)
    assert free_memory() == 50 * 1024
    write_group(machine / "cgroup", *second, limit="40000", taken=30_000, cache=5000)
    assert free_memory() == 15_000, "what a disk's cache holds makes room"
    names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
    write_group(first, *names, limit="9000", taken=8000, cache=500)
    assert free_memory() == 1500
    write_group(first, *names, limit="9000", taken=9900, cache=500)
    assert free_memory() == 0


def test_limits_of_groups_above_hold_too(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    top = machine / "cgroup"
    monkeypatch.setattr(memory, "control_groups", lambda controller: [top / "slice" / "job", top / "slice", top])
    names = ("memory.max", "memory.current", "inactive_file")
    write_group(top / "slice" / "job", *names, limit="9000", taken=0, cache=0)
    write_group(top / "slice", *names, limit="700", taken=0, cache=0)
    assert free_memory() == 700


def refusal(free: int, patch: pytest.MonkeyPatch, *, device: torch.device = CPU, **changes: object) -> str | None:
    """What is said of 1,000 training and 100 test images of 32x32 pixels, or what `changes` makes of them."""
    patch.setattr(memory, "free_memory", lambda: free)
    said = None
    try:
        check_room(data_config("synthetic", **changes), train=1000, test=100, device=device)
    except ValueError as error:
        said = str(error)
    assert len((said or "").splitlines()) <= LINES
    return said


STORED, BORDERED, LARGER = 3 * 32**2, 3 * 40**2, 3 * 37**2


@pytest.mark.parametrize(
    ("changes", "needed"),
    [
        ({}, 1100 * STORED + 1000 * BORDERED),
        ({"crop": "resized"}, 1100 * LARGER),
        ({"train_limit": 400}, (1100 + 400) * STORED),  # all are loaded, and some copied
        ({"train_limit": 900, "test_limit": 10}, 910 * STORED + 900 * BORDERED),
        ({"val_size": 50, "crop": "resized"}, 2100 * LARGER),
        ({"test_limit": 50, "crop": "resized"}, 1150 * LARGER),
    ],
    ids=str,
)
def test_images_must_fit_as_stored_and_with_their_borders(
    monkeypatch: pytest.MonkeyPatch, changes: dict[str, object], needed: int
) -> None:
    assert refusal(needed, monkeypatch, **changes) is None
    assert refusal(needed - 1, monkeypatch, **changes) is not None


def test_the_message_has_both_sizes_and_what_helps(monkeypatch: pytest.MonkeyPatch) -> None:
    message = refusal(40_000_000, monkeypatch, image_size=224, crop="resized", title="my set")
    assert message is not None
    first, second = message.splitlines()
    assert first == "my set: 1,100 images, stored at 256x256 pixels, need 0.216 GB of memory; 0.04 GB are free"
    assert second == "set a smaller data.image_size="
    message = refusal(1100 * STORED + 1, monkeypatch)
    assert message is not None
    assert message.endswith("set a smaller data.image_size= or data.train_limit="), "where not all need a border"


def test_on_a_gpu_its_own_memory_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The border is made there, of the images that are used."""
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (10_000_000, 80_000_000))
    assert refusal(1100 * STORED, monkeypatch, device=GPU) is None
    message = refusal(10**9, monkeypatch, device=GPU, image_size=64)
    assert message is not None
    assert message.splitlines() == [
        "synthetic: 1,100 images, stored at 64x64 pixels, need 0.0327 GB of GPU memory; 0.01 GB are free",
        "set a smaller data.image_size= or data.train_limit=, or device=cpu",
    ]
    assert refusal(10**9, monkeypatch, device=GPU, image_size=64, train_limit=100) is None
    message = refusal(1000, monkeypatch, device=GPU)
    assert message is not None
    assert "GB of memory; 1e-06 GB" in message


def test_images_are_not_painted_where_they_do_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "free_memory", lambda: 10**6)
    monkeypatch.setattr("resnet_exp.data.synthetic.paint_split", lambda *_, **__: pytest.fail("painted"))
    with pytest.raises(
        ValueError, match=r"12,000 images, stored at 32x32 pixels, need 0\.0849 GB of memory; 0\.001 GB"
    ):
        load_dataset(data_config("synthetic"))
