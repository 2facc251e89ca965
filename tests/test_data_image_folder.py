"""A folder of images: decoded once, again after a change, and nothing of it trusted."""

import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from resnet_exp.data import image_folder, memory
from resnet_exp.data.image_folder import FolderFacts, describe_folder
from resnet_exp.data.sets import Dataset, load_dataset
from resnet_exp.files import write_sealed
from tests.helpers import Bomb, data_config, finish, start


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Six classes of odd sizes and formats, for `image_folder`."""
    rng = np.random.default_rng(0)
    for part, count in (("train", 5), ("test", 2)):
        for label in ("ant", "bee", "cat"):
            folder = tmp_path / "insects" / part / label
            folder.mkdir(parents=True)
            for index in range(count):
                pixels = rng.integers(0, 256, (12 + index, 10, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f"{index}.png")
    Image.new("L", (9, 9), 77).save(tmp_path / "insects" / "train" / "ant" / "grey.png")
    return tmp_path / "insects"


def load_tree(tree: Path, **arguments: object) -> Dataset:
    return load_dataset(data_config("image_folder", root=str(tree), **({"image_size": 8} | arguments)))


def count_decoding(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    counts: list[int] = []
    decode = image_folder.decode

    def counted(samples: list[tuple[str, int]], **arguments: object) -> image_folder.Arrays:
        counts.append(len(samples))
        return decode(samples, **arguments)

    monkeypatch.setattr(image_folder, "decode", counted)
    return counts


def test_an_image_folder_is_decoded_once_and_again_after_a_change(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = count_decoding(monkeypatch)
    first = load_tree(tree)
    second = load_tree(tree)
    assert counts == [16, 6]
    assert first.fingerprint == second.fingerprint
    assert first.classes == ["ant", "bee", "cat"]
    assert first.train.images.shape == (16, 8, 8, 3)
    assert first.train.labels.tolist() == [0] * 6 + [1] * 5 + [2] * 5
    load_tree(tree, image_size=4)
    assert len(counts) == 4, "another size is another cache"
    Image.new("RGB", (10, 10), "red").save(tree / "train" / "bee" / "0.png")
    changed = load_tree(tree)
    assert len(counts) == 6
    assert changed.fingerprint != first.fingerprint


def test_a_damaged_cache_is_decoded_again(tree: Path, caplog: pytest.LogCaptureFixture) -> None:
    first = load_tree(tree)
    cache = image_folder.cache_file(tree, image_size=8)
    content = bytearray(cache.read_bytes())
    content[-100] ^= 4
    cache.write_bytes(content)
    assert load_tree(tree).fingerprint == first.fingerprint
    assert "damaged" in caplog.text


@pytest.mark.parametrize("content", [{"tree": Bomb()}, {"tree": "another"}, {}, Bomb(), [1]])
def test_a_foreign_cache_is_decoded_again_and_executes_nothing(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: object
) -> None:
    monkeypatch.chdir(tmp_path)
    first = load_tree(tree)
    cache = image_folder.cache_file(tree, image_size=8)
    write_sealed(cache, content)
    assert load_tree(tree).fingerprint == first.fingerprint
    cache.write_bytes(pickle.dumps(content))
    assert load_tree(tree).fingerprint == first.fingerprint
    assert not (tmp_path / "exploded").exists()


LOAD = """
import sys
from pathlib import Path
from resnet_exp.data import image_folder
decode = image_folder.decode
image_folder.decode = lambda *a, **k: print("decoding") or decode(*a, **k)
image_folder.load_image_folder(Path(sys.argv[1]), image_size=8, check=lambda train, test: None)
"""


def test_of_two_jobs_one_decodes_and_removes_the_scraps_of_a_third(tree: Path) -> None:
    scrap = image_folder.cache_file(tree, image_size=8)
    scrap.parent.mkdir(parents=True, exist_ok=True)
    scrap = scrap.with_name(f".{scrap.name}.123.tmp")
    scrap.touch()
    jobs = [start(tree, str(tree), code=LOAD) for _ in range(2)]
    ended = [finish(job) for job in jobs]
    assert [(code, err) for code, _, err in ended] == [(0, ""), (0, "")]
    assert sorted(out for _, out, _ in ended) == ["", "decoding\ndecoding\n"]
    assert not scrap.exists()


def test_an_unwritable_cache_only_costs_time(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert len(load_tree(tree).train) == 16
    assert "cannot keep the decoded images" in caplog.text


def test_unreadable_images_and_differing_classes_are_named(tree: Path) -> None:
    broken = tree / "train" / "cat" / "1.png"
    broken.write_bytes(broken.read_bytes()[:40])
    with pytest.raises(ValueError, match=r"cat/1\.png: not a readable image"):
        load_tree(tree)
    broken.unlink()
    (tree / "test" / "dog").mkdir()
    Image.new("RGB", (8, 8)).save(tree / "test" / "dog" / "0.png")
    with pytest.raises(ValueError, match="same classes; differing: dog"):
        load_tree(tree)
    for file in (tree / "test" / "dog").iterdir():
        file.unlink()
    with pytest.raises(ValueError, match="dog"):
        load_tree(tree)


def test_a_folder_that_does_not_fit_is_refused_before_an_image_is_read(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = count_decoding(monkeypatch)
    monkeypatch.setattr(memory, "free_memory", lambda: 1000)
    with pytest.raises(ValueError, match="insects: 22 images, stored at 9x9 pixels, need"):
        load_tree(tree, crop="resized")
    assert counts == []


def test_without_memory_to_keep_the_decoded_images_they_are_decoded_again(
    tree: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    needed = 22 * 8 * 8 * 3
    counts = count_decoding(monkeypatch)
    monkeypatch.setattr(image_folder, "free_memory", lambda: needed - 1)
    load_tree(tree)
    assert "cannot keep the decoded images (that takes 4.22e-06 GB more memory; 4.22e-06 GB are free)" in caplog.text
    monkeypatch.setattr(image_folder, "free_memory", lambda: needed)
    load_tree(tree)
    load_tree(tree)
    assert len(counts) == 4


def test_padded_and_resized_crops_have_a_cache_each(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = count_decoding(monkeypatch)
    padded, resized = load_tree(tree), load_tree(tree, crop="resized")
    assert (padded.train.images.shape[1:], resized.train.images.shape[1:]) == ((8, 8, 3), (9, 9, 3))
    assert padded.fingerprint != resized.fingerprint
    assert load_tree(tree).fingerprint == padded.fingerprint
    assert len(counts) == 4


def test_a_folder_is_described_by_its_headers(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image.Image, "load", lambda image: pytest.fail("decoded"))
    names = ["ant", "bee", "cat"]
    assert describe_folder(tree) == FolderFacts(16, 6, names, widths=(9, 10, 10), heights=(9, 13, 16), headers=22)
    monkeypatch.setattr(image_folder, "MOST_HEADERS", 10)
    some = describe_folder(tree)
    assert (some.train, some.test, some.headers) == (16, 6, 8), "every third"
    with (tree / "train" / "ant" / "0.png").open("wb"):
        pass
    with pytest.raises(ValueError, match=r"ant/0\.png: not a readable image"):
        describe_folder(tree)
