import os
import signal
import subprocess
import sys
import threading

import pytest

from hw1.interruption import PATIENCE_SECONDS, Interruption, deaf_to


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_waits_for_the_next_check_and_a_second_does_not(number: int) -> None:
    with Interruption() as interruption:
        interruption.check()
        os.kill(os.getpid(), number)
        assert interruption.requested
        with pytest.raises(KeyboardInterrupt):
            interruption.check()
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


def test_a_process_started_by_the_deaf_is_deaf() -> None:
    code = "import signal; print(signal.getsignal(signal.SIGINT) == signal.SIG_IGN)"
    heard = []
    with deaf_to(signal.SIGINT):
        heard.append(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True))
    heard.append(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True))
    assert [result.stdout.strip() for result in heard] == ["True", "False"]
