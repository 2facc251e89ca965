"""How the commands `resnet-exp`, `-report` and `-status` begin and end: stoppable from their first moment."""

import atexit
import io
import os
import signal
import sys
import warnings
from contextlib import suppress
from importlib import import_module

from resnet_exp.cli.signals import ASKING, catch_signals
from resnet_exp.cli.workers import end_workers
from resnet_exp.cores import wait_briefly


def run(module: str) -> None:
    """Imports a module, calls its `main` and ends the process. Exit codes of a stop: 130 SIGINT, 143
    SIGTERM, 129 SIGHUP."""
    catch_signals()
    wait_briefly()
    if not sys.warnoptions:
        warnings.simplefilter("ignore")  # of libraries, to their programmers; -W or PYTHONWARNINGS shows them
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without ± or → is no reason to fail
    code = 0
    try:
        import_module(module).main()  # here: importing takes long enough to be stopped in
    except SystemExit as leaving:
        if not isinstance(leaving.code, int | None):
            raise
        code = leaving.code or 0
    except KeyboardInterrupt as stopped:
        with suppress(OSError):  # the terminal may be gone
            print("stopped", file=sys.stderr)
        code = getattr(stopped, "exit_code", 128 + signal.SIGINT)
    leave(code)


def leave(code: int) -> None:
    """Ends the process without taking every module apart, for which Python needs a second once torch is imported."""
    for signum in ASKING:
        if signal.getsignal(signum) != signal.SIG_IGN:
            signal.signal(signum, signal.SIG_DFL)  # a second one does not wait for what follows
    end_workers(signal.SIGTERM)  # of a sweep that something unforeseen ended: they save their runs
    atexit._run_exitfuncs()  # which wait for them
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):  # a pipe that nobody reads, a full disk
            stream.flush()
    os._exit(code)


def main() -> None:
    run("resnet_exp.cli.main")


def report() -> None:
    run("resnet_exp.cli.report")


def status() -> None:
    run("resnet_exp.cli.status")
