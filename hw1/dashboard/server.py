"""Optuna's dashboard over a storage: loopback and read-only unless told otherwise.

The dashboard itself (https://github.com/optuna/optuna-dashboard) asks nobody who they are, answers
to every host name, deletes what it is told to, and serves artifacts as pages of its own. `Guard`
stands before it.
"""

import contextlib
import errno
import ipaddress
import logging
import os
import re
import socket
import sys
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optuna_dashboard import wsgi  # type: ignore[import-untyped]
from waitress import create_server, wasyncore  # type: ignore[import-untyped]

from hw1.dashboard.artifacts import ArtifactStore
from hw1.dashboard.guard import Guard, allowed_name
from hw1.dashboard.publish import Publisher
from hw1.dashboard.view import View
from hw1.errors import InputError, printable
from hw1.interruption import Interruption
from hw1.optuna_store.storage import Storage

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

HOST = "127.0.0.1"
PORT = 8080
STUDY_PAGE = re.compile(r"/api/studies/(\d{1,18})/?")
"""What the page of a study asks for."""
THREADS = 8
MOST_BYTES = {True: 2**27, False: 2**20}
"""Of a request that may write, as the dashboard has it; and of one that is refused anyway."""
IDLE_SECONDS = 60
"""A connection that says nothing for so long is closed."""
GRACE_SECONDS = 0.3
"""How long requests that are being answered may take when the server is stopped."""
POLL_SECONDS = 0.1
"""How often the server looks whether it is to stop."""
LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})


def listen(
    storage: Storage,
    artifacts: Path,
    *,
    host: str = HOST,
    port: int = PORT,
    write: bool = False,
    password: str | None = None,
    allowed_hosts: Iterable[str] = (),
) -> "DashboardServer":
    """A server of the dashboard that listens, and answers once it is run.

    ::

        with listen(storage, Path("artifacts")) as server:
            print(server.url)
            server.run()  # until Ctrl-C

    There is no TLS: the password, and all that is shown, travels in clear. Whoever guesses waits
    longer after each wrong password, up to a minute, but only at one address. On a network that
    others use, leave the dashboard on loopback and reach it through an ssh tunnel
    (``ssh -L 8080:127.0.0.1:8080 machine``) or a reverse proxy with TLS, whose name goes into
    ``allowed_hosts``.

    Args:
        storage: whose studies are shown, as a `View`; those that are made or go on meanwhile too.
        artifacts: the folder of the artifacts; it need not be there.
        host: a name or an IPv4 or IPv6 address of this machine; ``0.0.0.0`` and ``::`` are all.
        port: 0 for a free one.
        write: whether the page may change and delete things.
        password: asked of everyone, with any user name; anything but loopback needs one.
        allowed_hosts: names besides its own that the dashboard answers to.

    Raises:
        InputError: the host is unknown or needs a password, the port is taken or forbidden, the
            password is empty, an allowed name is none, or the folder is a file.
    """
    if not 0 <= port <= 65535:
        raise InputError(f"there is no port {port}: choose one up to 65535, or 0 for a free one")
    if artifacts.exists() and not artifacts.is_dir():
        raise InputError(f"{artifacts} is a file: give the folder of the artifacts")
    family, address = _resolve(host, port)
    ip = ipaddress.ip_address(address[0])
    if password == "":
        raise InputError("the password is empty: set HW1_PASSWORD to a long one, or unset it")
    if password is None and not ip.is_loopback:
        raise InputError(
            f"whoever reaches {host} could see all studies: set the environment variable "
            "HW1_PASSWORD, or stay on 127.0.0.1 and reach it through an ssh tunnel"
        )
    name = socket.gethostname() if ip.is_unspecified else host.strip("[]")
    names = {*allowed_hosts, name, address[0]}
    if ip.is_loopback or ip.is_unspecified:
        names |= LOCAL_NAMES
    publisher = Publisher(storage)
    store = ArtifactStore(artifacts, publisher.picture)
    app = wsgi(View(storage, publisher), artifact_store=store)
    app.catchall = False  # what is not there is answered by the guard

    def published(environ: "WSGIEnvironment", start: "StartResponse") -> Iterable[bytes]:
        page = STUDY_PAGE.fullmatch(environ["PATH_INFO"])
        if page is not None:
            publisher.look(int(page[1]))
        answer: Iterable[bytes] = app(environ, start)
        return answer

    guard = Guard(
        published,
        names=frozenset(map(allowed_name, names)),
        any_address=ip.is_unspecified,
        write=write,
        password=password,
    )
    both = family == socket.AF_INET6 and socket.has_dualstack_ipv6()
    try:
        listening = socket.create_server(address, family=family, dualstack_ipv6=both)
    except OSError as error:
        raise InputError(_why_not(error, family, address, host)) from error
    return DashboardServer(guard, listening, name, MOST_BYTES[write])


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches ``host``; elsewhere a password is needed.

    Raises:
        InputError: the host is unknown.
    """
    _, address = _resolve(host, 0)
    return ipaddress.ip_address(address[0]).is_loopback


class OneLine(logging.Handler):
    """Says on stderr what went wrong, without the stack that the dashboard logs with it.

    Requests may come from anybody, and ask for what is not there.
    """

    def emit(self, record: logging.LogRecord) -> None:
        """Write the first line of a message."""
        said, *_ = record.getMessage().splitlines() or [""]
        sys.stderr.write(f"the dashboard: {printable(said, keep='')}\n")


class DashboardServer:
    """Waitress with an application; see `listen`.

    As a context it hears Ctrl-C and SIGTERM (in the main thread), and frees port and threads at
    its end, within a second whatever connections are open.

    Args:
        app: what answers.
        listening: the socket.
        name: this machine's, in the ``url``.
        most_bytes: of a request; a longer one is refused before it is read.

    Attributes:
        url: where the dashboard is.
        port: where it listens.
    """

    def __init__(
        self, app: "WSGIApplication", listening: socket.socket, name: str, most_bytes: int
    ) -> None:
        self.app = app
        self.port = listening.getsockname()[1]
        self.url = f"http://{f'[{name}]' if ':' in name else name}:{self.port}/"
        self._interruption = Interruption()
        self._stopped = threading.Event()
        self._connections: dict[int, Any] = {}
        # Waitress warns when requests wait, and of threads that do not end at once.
        logging.getLogger("waitress").setLevel(logging.ERROR)
        dashboard = logging.getLogger("optuna_dashboard")
        dashboard.handlers, dashboard.propagate = [OneLine()], False
        self._server = create_server(
            app,
            map=self._connections,
            sockets=[listening],
            threads=THREADS,
            channel_timeout=IDLE_SECONDS,
            max_request_body_size=most_bytes,
            log_socket_errors=False,  # of browsers that went away
            ident=None,
        )

    def run(self) -> None:
        """Answer until Ctrl-C or SIGTERM, or until another thread calls `stop`."""
        with contextlib.suppress(KeyboardInterrupt):
            while not self._stopped.is_set():
                self._interruption.check()
                wasyncore.loop(POLL_SECONDS, map=self._connections, count=1)

    def stop(self) -> None:
        """End `run` soon."""
        self._stopped.set()

    def __enter__(self) -> "DashboardServer":
        self._interruption.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._server.task_dispatcher.shutdown(timeout=GRACE_SECONDS)
        logging.getLogger("waitress").setLevel(logging.CRITICAL)  # what still runs has nobody
        self._server.close()
        for channel in list(self._server.active_channels.values()):
            channel.handle_close()  # and the files that it was sending
        wasyncore.close_all(self._connections)
        self._interruption.__exit__(*error)


def _resolve(host: str, port: int) -> tuple[socket.AddressFamily, tuple[Any, ...]]:
    try:
        if not host:
            raise OSError("no name")  # to some systems it means all addresses
        found = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise InputError(
            f"unknown host {host!r}: give a name or an address of this machine, such as 127.0.0.1"
        ) from error
    return found[0][0], found[0][4]


def _why_not(
    error: OSError, family: socket.AddressFamily, address: tuple[Any, ...], host: str
) -> str:
    """Why the server could not be bound, in a sentence."""
    port = address[1]
    if error.errno == errno.EADDRINUSE:
        return f"port {port} is taken: choose another, such as --port {_free(family, address)}"
    reason = os.strerror(error.errno or 0)
    return f"cannot listen on {host}, port {port} ({reason}): choose another --host or --port"


def _free(family: socket.AddressFamily, address: tuple[Any, ...]) -> int:
    """The next port that is free, or 0, which finds one."""
    for port in range(address[1] + 1, min(address[1] + 100, 65536)):
        with socket.socket(family) as probe, contextlib.suppress(OSError):
            probe.bind((address[0], port, *address[2:]))
            return port
    return 0
