"""The command line, many times in one process: a start of its own for each call takes seconds.

`Program` starts this file as a process, sends it one call after another and watches it as a user
does: who waits too long presses Ctrl-C, and who then still waits has found a hang. What the process
prints past Python's streams is caught, too.
"""

import contextlib
import json
import os
import re
import resource
import selectors
import signal
import subprocess
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
PATIENCE = 60.0
"""Seconds after which a call gets Ctrl-C."""
IMPATIENCE = 8.0
"""The same where a call may ask for more work than it is worth."""
HANG_SECONDS = 120.0
"""How long it may take to end from then on."""
MEMORY = 4 * 2**30
"""What a call may take beside what is imported; far less than a machine has."""
STATUSES = {0, 1, 2, 3, 130}
NOISE = re.compile(r"Traceback|^\S*Warning:|\w+Warning: |Exception ignored|core dumped", re.M)


@dataclass(frozen=True)
class Outcome:
    """How a call ended.

    Attributes:
        status: the exit status; negative for the signal that ended the process.
        stdout, stderr: what was printed.
        raw: what was printed past Python's streams.
        exception: the traceback of an exception that came out of the command, or "".
        interrupted: whether it was sent Ctrl-C.
    """

    status: int
    stdout: str = ""
    stderr: str = ""
    raw: str = ""
    exception: str = ""
    interrupted: bool = False

    def problem(self) -> str | None:
        """What is wrong with that, if anything is: see docs/reliability.md."""
        if self.exception:
            return self.exception
        if self.status not in STATUSES:
            return f"exit status {self.status}\n{self.raw[-2000:]}"
        if self.interrupted:  # Python may say where it was struck
            return None
        from hw1.errors import CONTROLS  # not above: the process first sets its path

        for text in (self.stdout, self.stderr, self.raw):
            noise, control = NOISE.search(text), CONTROLS.search(re.sub("[\n\t]", "", text))
            if noise or control:
                return f"{(noise or control).group()!r} in {text[-2000:]!r}"
        # Words that are no options of the command are typer's to refuse.
        if self.status == 2 and not self.stderr.startswith(("Usage: ", "Error: ")):
            lines = self.stderr.splitlines()
            if not lines or not lines[-1].startswith("error: ") or len(lines) > 1:
                return f"not one sentence: {self.stderr[-2000:]!r}"
        return None

    def check(self, status: int) -> "Outcome":
        """The same, of which nothing is wrong and which has that exit status."""
        problem = self.problem()
        assert problem is None, problem
        assert self.status == status, self
        return self


class Program:
    """A process that takes calls of the command line.

    Args:
        folder: where it may write what has no place of its own.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: subprocess.Popen[str] | None = None

    def call(self, *arguments: str, folder: Path, patience: float = PATIENCE) -> Outcome:
        """Run one command line in ``folder``, on its studies.db unless the line names another."""
        process = self._process or self._start()
        request = {"arguments": arguments, "folder": str(folder)}
        process.stdin.write(json.dumps(request) + "\n")
        process.stdin.flush()
        interrupted = False
        if not _readable(process.stdout, patience):
            process.send_signal(signal.SIGINT)
            interrupted = True
            if not _readable(process.stdout, HANG_SECONDS):
                process.send_signal(signal.SIGABRT)  # faulthandler shows where it stands
        answer = process.stdout.readline()
        if answer:
            return Outcome(**json.loads(answer), interrupted=interrupted)
        process.stdin.close()
        process.stdout.close()
        self._process = None
        return Outcome(process.wait(), raw=(self._folder / "raw").read_text(errors="replace"))

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.stdin.close()
            self._process.wait()
            self._process.stdout.close()

    def _start(self) -> "subprocess.Popen[str]":
        unreachable = dict.fromkeys(("http_proxy", "https_proxy"), "http://127.0.0.1:1")
        environment = os.environ | unreachable | {"HOME": str(self._folder), "COLUMNS": "100"}
        environment["CUDA_VISIBLE_DEVICES"] = ""  # its driver takes more than the memory allowed
        for name in ("HW1_DATA", "HW1_PASSWORD"):
            environment.pop(name, None)
        self._process = subprocess.Popen(
            [sys.executable, __file__, str(self._folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
            start_new_session=True,  # Ctrl-C in the terminal of the tests is not for it
        )
        return self._process


def _readable(stream: Any, seconds: float) -> bool:
    with selectors.DefaultSelector() as selector:
        selector.register(stream, selectors.EVENT_READ)
        return bool(selector.select(seconds))


def serve(folder: Path) -> None:
    """Take calls from stdin, a line of JSON each, and answer each with a line on stdout."""
    requests, answers = (os.fdopen(os.dup(number), "rw"[number]) for number in (0, 1))
    raw = os.open(folder / "raw", os.O_CREAT | os.O_TRUNC | os.O_RDWR | os.O_APPEND)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for number, replacement in enumerate((nothing, raw, raw)):
        os.dup2(replacement, number)
    sys.path[:0] = [str(ROOT)]
    os.environ["OMP_NUM_THREADS"] = "1"
    import faulthandler

    faulthandler.enable()
    # Before memory is counted: the libraries that commands import take gigabytes of addresses.
    import hw1.analysis.evaluation
    import hw1.analysis.figures.gallery  # noqa: F401
    from hw1.cli.main import app

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    pages = Path("/proc/self/statm")
    if pages.exists():  # on Linux
        in_use = int(pages.read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
        resource.setrlimit(resource.RLIMIT_AS, (in_use + MEMORY, resource.RLIM_INFINITY))
    for line in requests:
        os.ftruncate(raw, 0)
        answers.write(json.dumps(_answer(app, json.loads(line), raw)) + "\n")
        answers.flush()


def _answer(app: Any, request: dict[str, Any], raw: int) -> dict[str, Any]:
    from typer.testing import CliRunner

    os.chdir(request["folder"])
    sys.argv = ["run_study.py", *request["arguments"]]
    result = None
    with contextlib.suppress(KeyboardInterrupt):
        signal.signal(signal.SIGINT, signal.default_int_handler)
        result = CliRunner().invoke(
            app, request["arguments"], env={"OPTUNA_STORAGE": "sqlite:///studies.db"}
        )
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    printed = os.pread(raw, 10**6, 0).decode(errors="replace")
    if result is None:
        return {"status": 130, "raw": printed}
    unexpected = result.exc_info and not isinstance(result.exception, SystemExit | None)
    return {
        "status": result.exit_code,
        "stdout": result.stdout,
        "stderr": result.stderr,
        "raw": printed,
        "exception": "".join(traceback.format_exception(result.exception)) if unexpected else "",
    }


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
