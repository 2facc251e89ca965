"""The real command without the seconds that importing takes: a process that has imported everything forks one for each.

A fork is what `python -m resnet_exp` is once its imports are done: a process of its own, with its own folder, words,
environment, output and signals. Where a fresh interpreter is the point, a test starts one by `subprocess`. Forks of one
server share what Python draws once, the seed of its hashes; a test compares their bytes with a fresh interpreter's.

The server (this file, run as a script) has one thread and computes nothing. A request comes over its socket, with two
pipes for the output and one on which the new process says that it begins; the server says on the same pipe how it
ended. Its socket closes when whoever started it ends, and then it ends too.
"""

import gc
import io
import json
import os
import resource
import runpy
import selectors
import signal
import socket
import subprocess
import sys
import time
import warnings
from collections.abc import Mapping
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import IO, Any

from resnet_exp import cores

MAIN = "resnet_exp"
REPORT = "resnet_exp.cli.report"  # its command goes through `cli.start`, like the other
AT_ONCE = 2**16  # bytes to read
# What the commands import at once, and later on where they need it.
MODULES = (
    *("resnet_exp.cli.start", "resnet_exp.cli.main", "resnet_exp.cli.sweep", "resnet_exp.cli.describe"),
    *("resnet_exp.cli.report", "resnet_exp.training.run", "torch._dynamo", "torch.utils.tensorboard"),
    *("tensorboard.plugins.hparams.api_pb2", "tensorboard.plugins.hparams.metadata", "torch.utils.serialization"),
    *("hydra._internal.hydra", "hydra._internal.callbacks", "hydra._internal.logging_config"),
    *("matplotlib.backends.backend_agg", "matplotlib.backends.backend_pdf", "matplotlib.backends.backend_svg"),
    "fontTools.subset",
)


class ForkedProcess:
    """Like the `subprocess.Popen` of a command, with its output as text."""

    def __init__(self, pid: int, *, status: IO[bytes], stdout: IO[bytes], stderr: IO[bytes]) -> None:
        self.pid = pid
        self.returncode: int | None = None  # negative: the signal that ended it
        self.status, self.outputs = status, (stdout, stderr)
        self.read: dict[IO[bytes], bytes] = {stdout: b"", stderr: b""}

    def poll(self) -> int | None:
        return self.wait_for(0)

    def wait(self, timeout: float | None = None) -> int:
        code = self.wait_for(timeout)
        if code is None:
            raise subprocess.TimeoutExpired(MAIN, timeout or 0)
        return code

    def wait_for(self, timeout: float | None) -> int | None:
        """The exit status; None if it has not come after so many seconds."""
        if self.returncode is None and can_be_read(self.status, timeout=timeout):
            said = os.read(self.status.fileno(), AT_ONCE)
            if not said:
                raise RuntimeError("the fork server has ended")
            self.returncode = int(said)
            self.status.close()
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Waits until nobody can write any more, and for the process; what was read before a timeout is kept."""
        end = None if timeout is None else time.monotonic() + timeout
        with selectors.DefaultSelector() as selector:
            for file in self.outputs:
                if not file.closed:
                    selector.register(file, selectors.EVENT_READ)
            while selector.get_map():
                left = None if end is None else max(0, end - time.monotonic())
                ready = selector.select(left)
                if not ready:
                    raise subprocess.TimeoutExpired(MAIN, timeout or 0)
                for key, _ in ready:
                    file: Any = key.fileobj
                    chunk = os.read(file.fileno(), AT_ONCE)
                    self.read[file] += chunk
                    if not chunk:
                        selector.unregister(file)
                        file.close()
        self.wait(None if end is None else max(0, end - time.monotonic()))
        stdout, stderr = (self.read[file].decode() for file in self.outputs)
        return stdout, stderr

    def send_signal(self, signum: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, signum)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def close(self) -> None:
        """Ends it, if it has not ended, and lets go of its pipes."""
        self.kill()
        self.wait()
        for file in self.outputs:
            file.close()


def can_be_read(file: IO[bytes], *, timeout: float | None) -> bool:
    with selectors.DefaultSelector() as selector:
        selector.register(file, selectors.EVENT_READ)
        return bool(selector.select(timeout))


class ForkServer:
    """The server's process, begun at once; it imports while this process goes on.

    Args:
        modules: what it imports, so that no fork has to.
    """

    def __init__(self, modules: tuple[str, ...] = MODULES) -> None:
        self.socket, theirs = socket.socketpair()
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-W", "error", __file__, str(theirs.fileno()), *modules],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},  # else numpy brings threads, and forks are of one
            )
        self.started: list[ForkedProcess] = []

    def start(
        self,
        *arguments: str,
        cwd: Path,
        module: str = MAIN,
        code: str = "",
        env: Mapping[str, str] | None = None,
        start_new_session: bool = False,
        largest_file: int | None = None,
        strict: bool = True,
    ) -> ForkedProcess:
        """Begins `python -m MODULE ARGUMENTS`, or `python -c CODE ARGUMENTS`.

        Args:
            module: of the command or of the report.
            env: the whole environment; by default that of this process.
            start_new_session: whether it leads a session and a process group of its own.
            largest_file: bytes that a file may have, as on a disk that is full beyond.
            strict: whether warnings are errors.
        """
        request = {
            **{"arguments": arguments, "cwd": str(cwd), "module": module, "code": code},
            **{"env": dict(os.environ if env is None else env), "start_new_session": start_new_session},
            **{"largest_file": largest_file, "strict": strict},
        }
        reading, writing = zip(*(os.pipe() for _ in range(3)), strict=True)
        files = [os.fdopen(end, "rb", buffering=0) for end in reading]
        socket.send_fds(self.socket, [json.dumps(request).encode() + b"\n"], writing)
        for end in writing:
            os.close(end)
        stdout, stderr, status = files
        pid = status.readline()
        if not pid.endswith(b"\n"):
            reason = stderr.read().decode()
            for file in files:
                file.close()
            raise RuntimeError(reason or "the fork server has ended")
        self.started.append(ForkedProcess(int(pid), status=status, stdout=stdout, stderr=stderr))
        return self.started[-1]

    def end_started(self) -> None:
        """Leaves none of the processes behind that a failed test may have left."""
        for process in self.started:
            process.close()
        self.started.clear()

    def close(self) -> None:
        self.end_started()
        self.socket.close()
        self.process.wait()


servers: list[ForkServer] = []


def server() -> ForkServer:
    """The one of this process, begun when it is first asked for."""
    if not servers:
        servers.append(ForkServer())
    return servers[0]


# What follows runs in the server.


def serve(connection: socket.socket) -> tuple[dict[str, Any], list[int]] | None:
    """Forks a process for every request. Returns in each of them, with the request and its pipes; None at the end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal: whoever started it ends, and then the server
    signal.signal(signal.SIGCHLD, lambda signum, frame: None)
    woken, waker = socket.socketpair()
    running: dict[int, int] = {}  # the pipe for the status of each process
    with connection, woken, waker, selectors.DefaultSelector() as selector:
        woken.setblocking(False)
        waker.setblocking(False)
        signal.set_wakeup_fd(waker.fileno())
        selector.register(connection, selectors.EVENT_READ)
        selector.register(woken, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj is woken:
                    woken.recv(AT_ONCE)
                    report_ends(running)
                    continue
                said, pipes, _, _ = socket.recv_fds(connection, AT_ONCE, 3)
                while said and not said.endswith(b"\n"):
                    said += connection.recv(AT_ONCE)
                if not said:
                    return None
                pid = os.fork()
                if pid == 0:
                    signal.set_wakeup_fd(-1)
                    for pipe in running.values():
                        os.close(pipe)
                    return json.loads(said), pipes
                *outputs, running[pid] = pipes
                for pipe in outputs:
                    os.close(pipe)


def report_ends(running: dict[int, int]) -> None:
    """Says of every process that has ended how it did."""
    while running:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            break
        pipe = running.pop(pid)
        with suppress(BrokenPipeError):  # nobody waits for it
            os.write(pipe, str(os.waitstatus_to_exitcode(status)).encode())
        os.close(pipe)


def become_new(request: dict[str, Any], pipes: list[int]) -> None:
    """Makes a fork what a new interpreter would be, and says that it is."""
    for signum, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGCHLD, signal.SIG_DFL)):
        signal.signal(signum, handler)
    *outputs, status = pipes
    for number, (name, pipe) in enumerate(zip(("stdout", "stderr"), outputs, strict=True), start=1):
        os.dup2(pipe, number)
        os.close(pipe)
        setattr(sys, name, stream_like(getattr(sys, name), number))
        setattr(sys, f"__{name}__", getattr(sys, name))
    if request["start_new_session"]:
        os.setsid()
    cores.NEIGHBOURS = cores.Neighbours()
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    if request["largest_file"] is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (request["largest_file"], resource.RLIM_INFINITY))
    if not request["strict"]:
        sys.warnoptions.clear()
        warnings.resetwarnings()
        for category in (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning):
            warnings.simplefilter("ignore", category)
    sys.path[0] = "" if request["code"] else request["cwd"]
    os.write(status, f"{os.getpid()}\n".encode())
    os.close(status)


def stream_like(model: Any, number: int) -> io.TextIOWrapper:
    """A stream on another kind of file, as Python would have made it."""
    raw = io.FileIO(number, "wb", closefd=False)
    return io.TextIOWrapper(
        raw if model.write_through else io.BufferedWriter(raw),  # type: ignore[arg-type]
        encoding=model.encoding,
        errors=model.errors,
        line_buffering=model.line_buffering,
        write_through=model.write_through,
    )


def run_command(module: str, arguments: list[str]) -> None:
    """As `python -m` does: with a `__main__` that workers find by its name."""
    sys.argv = [module, *arguments]
    if module == REPORT:
        import_module("resnet_exp.cli.start").report()
    else:
        runpy.run_module(module, run_name="__main__", alter_sys=True)


def run_code(code: str, arguments: list[str]) -> None:
    """As `python -c` does."""
    sys.argv = ["-c", *arguments]
    main = sys.modules["__main__"] = ModuleType("__main__")
    exec(compile(code, "<string>", "exec"), vars(main))


if __name__ == "__main__":
    descriptor, *modules = sys.argv[1:]
    for module in modules:
        try:
            import_module(module)
        except ModuleNotFoundError:
            if module.startswith(MAIN):
                raise  # but what a library keeps to itself comes and goes
    if sys.platform == "linux":
        assert len(list(Path("/proc/self/task").iterdir())) == 1, "a fork has only one of its threads"
    gc.collect()
    gc.freeze()  # a collection in a fork would copy every page
    forked = serve(socket.socket(fileno=int(descriptor)))
    if forked is not None:
        request, pipes = forked
        become_new(request, pipes)
        if request["code"]:
            run_code(request["code"], request["arguments"])
        else:
            run_command(request["module"], request["arguments"])
