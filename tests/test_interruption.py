import fcntl
import os
import pty
import signal
import subprocess
import sys
import termios
import threading
from contextlib import nullcontext

import pytest

from hw1.interruption import PATIENCE_SECONDS, Interruption, deaf, exit_status


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_waits_for_the_next_check_and_a_second_does_not(number: int) -> None:
    with Interruption() as interruption:
        interruption.check()
        os.kill(os.getpid(), number)
        assert interruption.requested == number
        with pytest.raises(KeyboardInterrupt) as heard:
            interruption.check()
        assert exit_status(heard.value) == 128 + number
        os.kill(os.getpid(), number)  # so soon it is the same one, passed on
        interruption._first -= 2 * PATIENCE_SECONDS
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)


def test_the_handlers_of_before_come_back() -> None:
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    with Interruption(signal.SIGTERM):
        assert signal.getsignal(signal.SIGTERM) != before[0]
        assert signal.getsignal(signal.SIGINT) == before[1]
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


def test_outside_the_main_thread_nothing_changes() -> None:
    handlers = []

    def enter() -> None:
        with Interruption() as interruption:
            interruption.check()
            handlers.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert handlers == [signal.getsignal(signal.SIGINT)]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_a_process_started_by_the_deaf_is_deaf(number: int) -> None:
    code = f"import signal; print(signal.getsignal({int(number)}) == signal.SIG_IGN)"
    heard = []
    before = signal.signal(number, signal.SIG_DFL)  # the tests may run in the background
    try:
        for ignoring in (deaf(), nullcontext()):
            with ignoring:
                command = [sys.executable, "-c", code]
                heard.append(subprocess.run(command, capture_output=True, text=True))
    finally:
        signal.signal(number, before)
    assert [result.stdout.strip() for result in heard] == ["True", "False"]


def test_what_nohup_started_does_not_hear_that_the_terminal_is_gone() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Interruption() as interruption:
            os.kill(os.getpid(), signal.SIGHUP)
            interruption.check()
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_terminal_that_is_gone_is_not_written_to() -> None:
    code = """
from hw1.interruption import Interruption
with Interruption() as interruption:
    print("ready", flush=True)
    try:
        while True:
            interruption.check()
    except KeyboardInterrupt as error:
        print("good bye", flush=True)
        raise SystemExit(error.args[0])
"""
    ours, theirs = pty.openpty()
    child = subprocess.Popen(
        [sys.executable, "-c", code], stdin=theirs, stdout=theirs, stderr=theirs,
        start_new_session=True, preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )  # fmt: skip
    os.close(theirs)
    assert b"ready" in os.read(ours, 100)
    os.close(ours)  # the terminal's window is closed
    assert child.wait(60) == signal.SIGHUP
