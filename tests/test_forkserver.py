"""A fork is what a fresh interpreter would be, and ends as one does."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.forkserver import ForkServer
from tests.helpers import ROOT, alive, wait_until


@pytest.fixture(scope="module")
def bare() -> Iterator[ForkServer]:
    """One that imports nothing."""
    server = ForkServer(modules=())
    yield server
    server.close()


STATE = """
import json, multiprocessing, os, resource, signal, sys, threading
streams = (sys.stdin, sys.stdout, sys.stderr)
print(json.dumps({
    "argv": sys.argv, "path": sys.path, "cwd": os.getcwd(), "environment": dict(os.environ),
    "signals": [str(signal.getsignal(signum)) for signum in sorted(signal.valid_signals())],
    "blocked": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
    "streams": [[s.encoding, s.errors, s.line_buffering, s.write_through, s.isatty(), s.fileno()] for s in streams],
    "same": [sys.stdout is sys.__stdout__, sys.stderr is sys.__stderr__],
    "files": sorted(os.listdir("/proc/self/fd"))[:3], "more files": len(os.listdir("/proc/self/fd")),
    "threads": threading.active_count(), "parent": str(multiprocessing.parent_process()),
    "main": [__name__, sys.modules["__main__"].__dict__ is globals(), "__file__" in globals()],
    "warnings": sys.warnoptions, "session": os.getsid(0), "group": os.getpgid(0),
    "limits": resource.getrlimit(resource.RLIMIT_FSIZE),
}))
"""


def test_a_fork_begins_as_a_fresh_interpreter_does(bare: ForkServer, tmp_path: Path) -> None:
    environment = os.environ | {"MINE": "ä b"}
    fresh = subprocess.run(
        [sys.executable, "-W", "error", "-c", STATE, "one", "two"],
        cwd=tmp_path, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True,
    )  # fmt: skip
    fork = bare.start("one", "two", cwd=tmp_path, code=STATE, env=environment)
    out, err = fork.communicate(timeout=60)
    assert (fork.returncode, err) == (0, "")
    assert json.loads(out) == json.loads(fresh.stdout)


@pytest.mark.parametrize(
    ("code", "status", "err"),
    [
        ("print('said')", 0, ""),
        ("import sys; print('said'); sys.exit(3)", 3, ""),
        ("import os; print('said', flush=True); os._exit(4)", 4, ""),
        ("print('said'); raise ValueError('no')", 1, "ValueError: no\n"),
        ("import warnings; print('said'); warnings.warn('old')", 1, "UserWarning: old\n"),
        ("import os; print('said', flush=True); os.abort()", -signal.SIGABRT, ""),
        ("import atexit; atexit.register(lambda: print('said'))", 0, ""),
        ("import threading; threading.Timer(0.1, lambda: print('said')).start()", 0, ""),
    ],
)
def test_a_fork_ends_as_a_fresh_interpreter_does(
    bare: ForkServer, tmp_path: Path, code: str, status: int, err: str
) -> None:
    process = bare.start(cwd=tmp_path, code=code)
    said = process.communicate(timeout=60)
    assert process.returncode == process.wait() == process.poll() == status
    assert said[0] == "said\n"
    assert said[1].endswith(err) if err else said[1] == ""


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGKILL, signal.SIGUSR2])
def test_signals_reach_it_and_tell_how_it_ended(bare: ForkServer, tmp_path: Path, signum: int) -> None:
    first, second = (bare.start(cwd=tmp_path, code="import time; time.sleep(600)") for _ in range(2))
    assert first.poll() is None
    first.send_signal(signum)
    assert first.wait(timeout=60) == -signum
    first.send_signal(signum)  # to nobody, as the process is gone
    assert second.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        second.wait(timeout=0.01)
    second.kill()
    assert second.communicate(timeout=60) == ("", "")
    assert second.returncode == -signal.SIGKILL


def test_what_was_said_before_a_timeout_is_not_lost(bare: ForkServer, tmp_path: Path) -> None:
    long = "x" * 200_000  # more than a pipe holds
    code = f"import signal, sys; sys.stderr.write('{long}'); print('now', flush=True); signal.pause()"
    process = bare.start(cwd=tmp_path, code=code)
    while "now" not in process.read[process.outputs[0]].decode():
        with pytest.raises(subprocess.TimeoutExpired):
            process.communicate(timeout=0.1)
    process.kill()
    assert process.communicate(timeout=60) == ("now\n", long)


def test_options_are_those_of_a_new_process(bare: ForkServer, tmp_path: Path) -> None:
    waits = "import time\nwhile True: time.sleep(0.01)"  # one long sleep would not wake for a signal just before it
    process = bare.start(cwd=tmp_path, code=waits, start_new_session=True)
    assert os.getsid(process.pid) == os.getpgid(process.pid) == process.pid
    os.killpg(process.pid, signal.SIGINT)
    assert process.communicate(timeout=60)[1].endswith("KeyboardInterrupt\n")
    assert process.returncode == -signal.SIGINT

    full = bare.start(cwd=tmp_path, code="open('file', 'wb', buffering=0).write(bytes(100))", largest_file=10)
    assert "ResourceWarning" in full.communicate(timeout=60)[1]
    assert (tmp_path / "file").stat().st_size == 10

    lenient = bare.start(cwd=tmp_path, code="open('file'); import warnings; warnings.warn('old')", strict=False)
    assert lenient.communicate(timeout=60)[1].endswith("UserWarning: old\n")
    assert lenient.returncode == 0


def test_what_cannot_begin_says_why(bare: ForkServer, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"No such file or directory: .*nowhere"):
        bare.start(cwd=tmp_path / "nowhere", code="pass")
    process = bare.start(cwd=tmp_path, code="print('still here')")
    assert process.communicate(timeout=60) == ("still here\n", "")


def test_it_ends_with_whoever_began_it_and_its_forks_go_on(tmp_path: Path) -> None:
    begin = (
        "import os, sys; from pathlib import Path; from tests.forkserver import ForkServer; server = ForkServer(())\n"
        "fork = server.start(cwd=Path(sys.argv[1]), code='import time; time.sleep(600)')\n"
        "print(server.process.pid, fork.pid, flush=True); os.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", begin, str(tmp_path)], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    server, fork = map(int, done.stdout.split())
    try:
        wait_until(lambda: not alive(server), "the end of the server")
        assert alive(fork)
    finally:
        os.kill(fork, signal.SIGKILL)
