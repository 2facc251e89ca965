import errno
import os
import pickle
import stat
import tracemalloc
from pathlib import Path

import pytest
import torch

from resnet_exp.files import DamagedFileError, read_sealed, replace_text, write_sealed
from tests.helpers import Bomb, finish, start

CONTENT = {"weights": torch.arange(12.0).view(3, 4), "step": 7, "names": ["a", "b"], "nested": {"x": 1.5}}


def test_what_is_written_is_read(tmp_path: Path) -> None:
    write_sealed(tmp_path / "file", CONTENT)
    content = read_sealed(tmp_path / "file")
    assert torch.equal(content.pop("weights"), CONTENT["weights"])
    assert content == {key: value for key, value in CONTENT.items() if key != "weights"}
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


def test_reading_takes_no_second_copy_of_what_it_reads(tmp_path: Path) -> None:
    """Of Python's memory; the tensors have their own."""
    write_sealed(tmp_path / "file", {"images": torch.zeros(20_000_000, dtype=torch.uint8)})
    tracemalloc.start()
    try:
        read_sealed(tmp_path / "file")
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("position", [0, 5, 14, 30, 60, 200, -200, -1])
def test_one_flipped_bit_is_refused(tmp_path: Path, position: int) -> None:
    write_sealed(tmp_path / "file", CONTENT)
    data = bytearray((tmp_path / "file").read_bytes())
    data[position] ^= 8
    (tmp_path / "file").write_bytes(data)
    with pytest.raises(DamagedFileError, match="file: damaged"):
        read_sealed(tmp_path / "file")


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.999])
def test_a_truncated_file_is_refused(tmp_path: Path, share: float) -> None:
    write_sealed(tmp_path / "file", CONTENT)
    data = (tmp_path / "file").read_bytes()
    (tmp_path / "file").write_bytes(data[: int(share * len(data))])
    with pytest.raises(DamagedFileError):
        read_sealed(tmp_path / "file")


def test_a_malicious_file_executes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plain").write_bytes(pickle.dumps(Bomb()))
    write_sealed(tmp_path / "sealed", {"bomb": Bomb()})
    for name in ("plain", "sealed"):
        with pytest.raises(DamagedFileError):
            read_sealed(tmp_path / name)
    assert not (tmp_path / "exploded").exists()


FULL_DISK = """
import resource, sys, torch
from pathlib import Path
from resnet_exp.files import write_sealed
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, resource.RLIM_INFINITY))
import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
try:
    write_sealed(Path(sys.argv[1]), {"large": torch.zeros(100_000)})
except OSError as error:
    print(error.strerror)
"""


def test_a_full_disk_leaves_the_old_file_and_no_scraps(tmp_path: Path) -> None:
    write_sealed(tmp_path / "file", CONTENT)
    before = (tmp_path / "file").read_bytes()
    code, out, err = finish(start(tmp_path, str(tmp_path / "file"), code=FULL_DISK))
    assert (code, out, err) == (0, "File too large\n", "")
    assert (tmp_path / "file").read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("code", [errno.EINVAL, errno.ENOTSUP, errno.EIO])
def test_a_folder_that_cannot_be_synced_is_no_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """As on some network file systems; a disk that fails is one."""
    sync = os.fsync

    def of_network(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(code, os.strerror(code))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", of_network)
    if code == errno.EIO:
        with pytest.raises(OSError, match="Input/output error"):
            replace_text(tmp_path / "file", "text")
    else:
        replace_text(tmp_path / "file", "text")
        assert (tmp_path / "file").read_text() == "text"
