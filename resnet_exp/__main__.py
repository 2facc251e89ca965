"""The commands `resnet-exp` (or `python -m resnet_exp`) and `resnet-exp-report`: stoppable from their first moment."""

import signal
import sys
from importlib import import_module

from resnet_exp.signals import catch_signals


def run(module: str) -> None:
    """Imports a module and calls its `main`. Exit codes of a stop: 130 SIGINT, 143 SIGTERM."""
    catch_signals()
    try:
        import_module(module).main()  # here: importing takes long enough to be stopped in
    except KeyboardInterrupt as stopped:
        for signum in (signal.SIGINT, signal.SIGTERM):
            signal.signal(signum, signal.SIG_DFL)  # whoever asks again does not wait for Python to close
        print("stopped", file=sys.stderr)
        sys.exit(getattr(stopped, "exit_code", 128 + signal.SIGINT))


def main() -> None:
    run("resnet_exp.main")


def report() -> None:
    run("resnet_exp.report")


if __name__ == "__main__":
    main()
