"""CIFAR downloaded, checked and read; and what is made of any data set: its splits, statistics and fingerprint."""

import gc
import hashlib
import http.server
import io
import pickle
import tarfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import IncompleteRead
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision import datasets

from resnet_exp.data import sets, synthetic
from resnet_exp.data.classes import count_classes
from resnet_exp.data.sets import (
    Dataset,
    Split,
    balanced_order,
    fingerprint,
    load_dataset,
    pixel_statistics,
)
from tests.helpers import REAL, Bomb, data_config

# torchvision leaves the socket of a failed download to the collector, and on Python 3.12 unpacks in an old way.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore:Python 3.14 will, by default, filter extracted:DeprecationWarning"),
]

PER_BATCH = 20  # images in each file of the small archive


def official_batch(seed: int) -> bytes:
    """One file of CIFAR-10's Python archive, in its official format."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (PER_BATCH, 3072), dtype=np.uint8)
    return pickle.dumps({"data": pixels, "labels": [i % 10 for i in range(PER_BATCH)]}, protocol=2)


class Archive:
    """A small `cifar-10-python.tar.gz` behind a web server, and torchvision told of its checksums."""

    requests: list[object]

    def __init__(self, served: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        names = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]
        self.files = {name: official_batch(seed) for seed, name in enumerate(names)}
        self.files["batches.meta"] = pickle.dumps({"label_names": [f"class {i}" for i in range(10)]}, protocol=2)
        self.file = served / "cifar-10-python.tar.gz"
        with tarfile.open(self.file, "w:gz") as tar:
            for name, content in self.files.items():
                entry = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))
        md5 = {name: hashlib.md5(content).hexdigest() for name, content in self.files.items()}
        official = datasets.CIFAR10
        monkeypatch.setattr(official, "tgz_md5", hashlib.md5(self.file.read_bytes()).hexdigest())
        monkeypatch.setattr(official, "train_list", [[name, md5[name]] for name in names[:5]])
        monkeypatch.setattr(official, "test_list", [["test_batch", md5["test_batch"]]])
        monkeypatch.setattr(official, "meta", {**official.meta, "md5": md5["batches.meta"]})


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Archive]:
    served = tmp_path / "served"
    served.mkdir()
    requests: list[object] = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments: object, **keywords: object) -> None:
            super().__init__(*arguments, directory=str(served), **keywords)

        def log_message(self, *arguments: object) -> None:
            requests.append(arguments)

    class Server(http.server.ThreadingHTTPServer):
        def handle_error(self, *arguments: object) -> None:
            """A client that hangs up is part of the trial."""

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=[0.01])
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}/cifar-10-python.tar.gz"
        monkeypatch.setattr(datasets.CIFAR10, "url", url)
        archive = Archive(served, monkeypatch)
        archive.requests = requests
        yield archive
        server.shutdown()
        thread.join()
    gc.collect()


def load(root: Path, *, download: bool = True, **arguments: object) -> Dataset:
    return load_dataset(data_config("cifar10", root=str(root), download=download, **arguments))


def test_cifar_is_downloaded_checked_and_read_in_order(archive: Archive, tmp_path: Path) -> None:
    root = tmp_path / "data"
    loaded = load(root)
    again = load(root, download=False)
    assert len(loaded.train) == 5 * PER_BATCH
    assert len(loaded.test) == PER_BATCH
    assert loaded.classes == [f"class {i}" for i in range(10)]
    pixels = pickle.loads(archive.files["data_batch_2"])["data"][3].reshape(3, 32, 32)
    assert np.array_equal(loaded.train.images[PER_BATCH + 3].permute(2, 0, 1).numpy(), pixels)
    assert loaded.train.labels.tolist()[:12] == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]
    assert loaded.fingerprint == again.fingerprint


def test_of_several_jobs_one_downloads(archive: Archive, tmp_path: Path) -> None:
    alone = load(tmp_path / "alone").fingerprint
    needed = len(archive.requests)
    with ThreadPoolExecutor(4) as pool:
        jobs = [pool.submit(load, tmp_path / "shared") for _ in range(4)]
    assert [job.result().fingerprint for job in jobs] == [alone] * 4
    assert len(archive.requests) == 2 * needed > 0


def test_cifar_can_be_shrunk(archive: Archive, tmp_path: Path) -> None:
    whole, small = load(tmp_path / "data"), load(tmp_path / "data", image_size=16)
    assert small.train.images.shape[1:] == (16, 16, 3)
    averages = whole.train.images.view(-1, 16, 2, 16, 2, 3).float().mean((2, 4))
    assert (small.train.images.float() - averages).abs().max() <= 1


def test_missing_cifar_says_where_what_and_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="missing or damaged") as caught:
        load(tmp_path / "nowhere", download=False)
    message = str(caught.value)
    assert str(tmp_path / "nowhere" / "cifar-10-batches-py") in message
    assert (
        "from https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz, MD5 c58f30108f718f92721af3b95e74349a" in message
    )
    assert "data=synthetic needs no download" in message
    assert message.count("\n") < 3


def test_a_failed_download_says_so(archive: Archive, tmp_path: Path) -> None:
    archive.file.unlink()
    with pytest.raises(ValueError, match="download failed") as caught:
        load(tmp_path / "data")
    assert f"from {datasets.CIFAR10.url}, MD5" in str(caught.value)
    assert "data=synthetic needs no download" in str(caught.value)


def test_no_network_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.CIFAR10, "url", "http://127.0.0.1:9/cifar-10-python.tar.gz")
    with pytest.raises(ValueError, match="Connection refused"):
        load(tmp_path / "data")


@pytest.mark.parametrize("error", [IncompleteRead(b""), OSError(5, "Input/output error")])
def test_a_download_that_breaks_off_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def break_off(self: object) -> None:
        raise error

    monkeypatch.setattr(datasets.CIFAR10, "download", break_off)
    with pytest.raises(ValueError, match="cifar10: download failed"):
        load(tmp_path / "data")


def test_a_file_that_may_not_be_read_is_no_failed_download(
    archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(tmp_path / "data")

    def refuse(self: object) -> None:
        raise PermissionError(13, "Permission denied", "data_batch_1")

    monkeypatch.setattr(datasets.CIFAR10, "_check_integrity", refuse)
    with pytest.raises(ValueError, match=r"cifar10: .*Permission denied: 'data_batch_1'"):
        load(tmp_path / "data")


def test_a_truncated_archive_is_refused_and_fetched_again(archive: Archive, tmp_path: Path) -> None:
    whole = archive.file.read_bytes()
    archive.file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="failed"):
        load(tmp_path / "data")
    assert not (tmp_path / "data" / "cifar-10-batches-py").exists()
    archive.file.write_bytes(whole)
    assert len(load(tmp_path / "data").train) == 5 * PER_BATCH


def test_a_damaged_file_is_refused(archive: Archive, tmp_path: Path) -> None:
    load(tmp_path / "data")
    file = tmp_path / "data" / "cifar-10-batches-py" / "data_batch_3"
    content = bytearray(file.read_bytes())
    content[100] ^= 1
    file.write_bytes(content)
    with pytest.raises(ValueError, match="missing or damaged"):
        load(tmp_path / "data", download=False)


def test_a_malicious_batch_is_not_executed(archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load(tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data" / "cifar-10-batches-py" / "test_batch").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(ValueError, match="missing or damaged"):
        load(tmp_path / "data", download=False)
    assert not (tmp_path / "exploded").exists()


def test_limits_are_balanced_nested_and_apart_from_validation() -> None:
    def synthetic_set(**arguments: int) -> Dataset:
        return load_dataset(data_config("synthetic", image_size=8, **arguments))

    small, large = synthetic_set(train_limit=50, val_size=100), synthetic_set(train_limit=200, val_size=100)
    assert small.val is not None
    assert large.val is not None
    assert torch.bincount(small.train.labels).tolist() == [5] * 10
    assert torch.equal(small.train.images, large.train.images[:50])
    assert torch.equal(small.val.images, large.val.images)
    used = {image.numpy().tobytes() for image in large.train.images}
    assert not used & {image.numpy().tobytes() for image in large.val.images}
    rest = synthetic_set(val_size=100, test_limit=30)
    assert len(rest.train) == synthetic.TRAIN_SIZE - 100
    assert torch.bincount(rest.test.labels).tolist() == [3] * 10
    with pytest.raises(ValueError, match=r"data\.train_limit=10000: that takes 10001"):
        synthetic_set(train_limit=10_000, val_size=1)


def test_balanced_order_keeps_every_image_of_uneven_classes() -> None:
    labels = torch.tensor([0] * 50 + [1] * 5 + [2] * 20)
    order = balanced_order(labels)
    assert torch.equal(order.sort().values, torch.arange(75))
    assert torch.bincount(labels[order[:15]]).tolist() == [5, 5, 5]


def uneven(monkeypatch: pytest.MonkeyPatch, counts: list[int]) -> None:
    """In place of the synthetic images so many of each class, one pixel each, by which they can be told apart."""
    labels = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    images = torch.arange(3 * len(labels)).to(torch.uint8).view(-1, 1, 1, 3)
    names = [f"class {index}" for index in range(len(counts))]
    whole = ((images, labels), (images, labels), names)
    monkeypatch.setattr(sets, "load_arrays", lambda config, device: whole)


def test_no_class_is_held_out_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    uneven(monkeypatch, [1000] * 9 + [5])
    kept = load_dataset(data_config("synthetic", val_size=49))
    assert kept.val is not None
    assert torch.bincount(kept.val.labels).tolist() == [5] * 9 + [4]
    assert torch.bincount(kept.train.labels).tolist() == [995] * 9 + [1]
    for val_size in (50, 500):
        with pytest.raises(ValueError, match=f"val_size={val_size}: that holds out every training image") as refused:
            load_dataset(data_config("synthetic", val_size=val_size, train_limit=100))
        assert str(refused.value).endswith("of class 9 (5); each class must keep one")
    uneven(monkeypatch, [5, 9, 5])
    with pytest.raises(ValueError, match=r"of class 0 \(5\) and of 1 more;"):
        load_dataset(data_config("synthetic", val_size=18))


def test_a_limit_may_leave_classes_out(monkeypatch: pytest.MonkeyPatch) -> None:
    uneven(monkeypatch, [10, 10, 0, 10])  # of one there is none to keep
    assert load_dataset(data_config("synthetic", val_size=6, train_limit=2)).train.labels.tolist() == [0, 1]


def test_statistics_are_those_of_the_training_pixels(shapes: Dataset) -> None:
    mean, std = pixel_statistics(shapes.train.images)
    values = shapes.train.images.double() / 255
    assert torch.allclose(mean.double(), values.mean((0, 1, 2)), atol=1e-6)
    assert torch.allclose(std.double(), values.std((0, 1, 2), correction=0), atol=1e-6)
    assert torch.equal(shapes.mean, mean)


def test_a_fingerprint_sees_one_pixel_and_one_label(shapes: Dataset) -> None:
    assert fingerprint([shapes.train, shapes.test]) == shapes.fingerprint
    pixels, labels = shapes.train.images.clone(), shapes.train.labels.clone()
    pixels[3, 2, 1, 0] += 1
    labels[5] = (labels[5] + 1) % 10
    assert fingerprint([Split(pixels, shapes.train.labels), shapes.test]) != shapes.fingerprint
    assert fingerprint([Split(shapes.train.images, labels), shapes.test]) != shapes.fingerprint


def test_classes_are_counted_without_reading_an_image(tmp_path: Path) -> None:
    for part in ("train", "test"):
        for label in ("ant", "bee", "cat"):
            (tmp_path / part / label).mkdir(parents=True)
        (tmp_path / part / "notes.txt").touch()
    assert count_classes(data_config("image_folder", root=str(tmp_path))) == 3
    assert [count_classes(data_config(name)) for name in ("cifar10", "cifar100", "synthetic")] == [10, 100, 10]


@pytest.mark.skipif(not (REAL / "cifar10-lossless-6102.tar.xz").exists(), reason="no real images here")
def test_real_images_through_the_real_loader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first images of every official batch, true pixels: written as Python batches, read as CIFAR-10."""
    with tarfile.open(REAL / "cifar10-lossless-6102.tar.xz") as tar:
        tar.extractall(tmp_path, filter="data")
    records = {}
    folder = tmp_path / "data" / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    for file in sorted(tmp_path.rglob("*.bin")):
        raw = np.frombuffer(file.read_bytes(), np.uint8).reshape(-1, 3073)
        records[file.stem] = raw
        content = pickle.dumps({"data": raw[:, 1:], "labels": raw[:, 0].tolist()}, protocol=2)
        (folder / file.stem).write_bytes(content)
    meta = pickle.dumps({"label_names": ["airplane", "automobile"]}, protocol=2)
    (folder / "batches.meta").write_bytes(meta)
    md5 = {file.name: hashlib.md5(file.read_bytes()).hexdigest() for file in folder.iterdir()}
    official = datasets.CIFAR10
    monkeypatch.setattr(official, "train_list", [[f"data_batch_{i}", md5[f"data_batch_{i}"]] for i in range(1, 6)])
    monkeypatch.setattr(official, "test_list", [["test_batch", md5["test_batch"]]])
    monkeypatch.setattr(official, "meta", {**official.meta, "md5": md5["batches.meta"]})

    loaded = load(tmp_path / "data", download=False)
    assert len(loaded.train) == 5 * 1017
    assert len(loaded.test) == 1017
    record = records["data_batch_4"][10]
    index = 3 * 1017 + 10
    assert loaded.train.labels[index] == record[0]
    assert np.array_equal(loaded.train.images[index].permute(2, 0, 1).numpy().ravel(), record[1:])
    assert torch.allclose(loaded.mean, torch.tensor([0.4914, 0.4822, 0.4465]), atol=0.005)
    assert torch.allclose(loaded.std, torch.tensor([0.2470, 0.2435, 0.2616]), atol=0.005)


@pytest.mark.parametrize(
    ("images", "most", "sizes"),
    [(251, 250, [126, 125]), (10, 4, [4, 3, 3]), (1000, 250, [250] * 4), (5, 9, [5]), (9, 1, [1] * 9)],
)
def test_batches_are_equal_but_for_one_image(images: int, most: int, sizes: list[int]) -> None:
    split = Split(torch.arange(images)[:, None, None, None].expand(-1, 2, 2, 3), torch.arange(images))
    batches = split.batches(most=most)
    assert [len(batch) for batch in batches] == sizes
    assert torch.equal(torch.cat([batch.images for batch in batches]), split.images)
    assert torch.equal(torch.cat([batch.labels for batch in batches]), split.labels)
