import io
import os
import signal
from collections.abc import Iterator

import pytest
from tqdm import tqdm

from resnet_exp.cli.signals import Stopped, StopRequest, bar_is_open, catch_signals, stop_at_once

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2)


class Ended(SystemExit):
    """In place of the end of this process."""


@pytest.fixture(autouse=True)
def not_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    def end(code: int) -> None:
        raise Ended(code)

    monkeypatch.setattr(os, "_exit", end)


@pytest.fixture(autouse=True)
def handlers_as_before() -> Iterator[None]:
    before = {signum: signal.getsignal(signum) for signum in SIGNALS}
    yield
    for signum, handler in before.items():
        signal.signal(signum, handler)


def send(signum: int) -> None:
    os.kill(os.getpid(), signum)


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_first_waits_for_the_loop_and_the_second_does_not(signum: int, code: int) -> None:
    catch_signals()
    with StopRequest() as stop:
        stop.check()
        stop.at_stake = True
        send(signum)
        assert stop.signum == signum
        with pytest.raises(Stopped):
            stop.check()
        with pytest.raises(Ended) as caught:
            send(signum)
    assert caught.value.code == code
    assert signal.getsignal(signum) == stop_at_once


def test_nothing_is_waited_for_before_and_after_the_loop() -> None:
    catch_signals()
    with pytest.raises(Ended):
        send(signal.SIGTERM)
    with StopRequest(), pytest.raises(Ended):
        send(signal.SIGTERM)
    with pytest.raises(Ended):
        send(signal.SIGINT)


def test_what_the_shell_ignores_stays_ignored() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    catch_signals()
    with StopRequest() as stop:
        stop.at_stake = True
        send(signal.SIGINT)
        stop.check()


def test_a_launcher_gets_its_warning_after_the_loop_and_keeps_its_sigterm() -> None:
    got: list[int] = []
    signal.signal(signal.SIGTERM, lambda signum, frame: got.append(signum))

    def put_back(signum: int, frame: object) -> None:
        got.append(signum)
        raise SystemExit(-1)

    signal.signal(signal.SIGUSR2, put_back)
    with StopRequest() as stop:
        stop.at_stake = True
        send(signal.SIGUSR2)
        assert stop.signum == signal.SIGUSR2
        assert got == []
        send(signal.SIGTERM)
        assert got == [signal.SIGTERM]
    with pytest.raises(SystemExit):
        stop.leave()
    assert got == [signal.SIGTERM, signal.SIGUSR2]
    with StopRequest(), pytest.raises(SystemExit):
        send(signal.SIGUSR2)  # nothing at stake


def test_without_a_launcher_its_warning_is_left_alone() -> None:
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    with StopRequest():
        assert signal.getsignal(signal.SIGUSR2) == signal.SIG_IGN


def test_a_stop_does_not_write_into_a_bar() -> None:
    assert not bar_is_open()
    with tqdm(file=io.StringIO(), disable=True):
        assert not bar_is_open()
    with tqdm(file=io.StringIO()):
        assert bar_is_open()
    assert not bar_is_open()
    with pytest.MonkeyPatch.context() as patch:  # one that is being made: it counts, and has nothing yet
        patch.setattr(tqdm, "_instances", [object.__new__(tqdm)])
        assert not bar_is_open()
