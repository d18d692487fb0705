"""Optuna's dashboard over a storage: loopback and read-only unless told otherwise.

The dashboard itself (https://github.com/optuna/optuna-dashboard) asks nobody who they are, answers
to every host name, deletes what it is told to, and serves artifacts as pages of its own. `Guard`
stands before it.
"""

import contextlib
import errno
import ipaddress
import socket
import socketserver
import sys
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from optuna_dashboard import wsgi  # type: ignore[import-untyped]

from hw1.dashboard.artifacts import ArtifactStore
from hw1.dashboard.guard import Guard, allowed_name
from hw1.dashboard.view import View
from hw1.errors import InputError
from hw1.interruption import Interruption
from hw1.optuna_store.storage import Storage

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

HOST = "127.0.0.1"
PORT = 8080
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
    loopback = _is_loopback(address)
    if password == "":
        raise InputError("the password is empty: set HW1_PASSWORD to a long one, or unset it")
    if password is None and not loopback:
        raise InputError(
            f"whoever reaches {host} could see all studies: set the environment variable "
            "HW1_PASSWORD, or stay on 127.0.0.1 and reach it through an ssh tunnel"
        )
    everywhere = ipaddress.ip_address(address[0]).is_unspecified
    name = socket.gethostname() if everywhere else host.strip("[]")
    names = {*allowed_hosts, name, address[0]} | (LOCAL_NAMES if loopback or everywhere else set())
    app = wsgi(View(storage), artifact_store=ArtifactStore(artifacts))
    app.catchall = False  # what is not there is answered by the guard
    guard = Guard(
        app,
        names=frozenset(map(allowed_name, names)),
        any_address=everywhere,
        write=write,
        password=password,
    )
    try:
        return DashboardServer(family, address, guard, name)
    except OSError as error:
        raise InputError(_why_not(error, family, address, host)) from error


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches ``host``; elsewhere a password is needed.

    Raises:
        InputError: the host is unknown.
    """
    return _is_loopback(_resolve(host, 0)[1])


class DashboardServer(socketserver.ThreadingMixIn, WSGIServer):
    """A WSGI server with a thread for every connection; see `listen`.

    As a context it hears Ctrl-C and SIGTERM (in the main thread), and frees port and threads at
    its end, within a second whatever connections are open.

    Attributes:
        url: where the dashboard is.
    """

    # Some Pythons turn it on, and two dashboards would share a port in silence.
    allow_reuse_port = False
    request_queue_size = 128  # a page asks for much at once

    def __init__(
        self,
        family: socket.AddressFamily,
        address: tuple[Any, ...],
        app: "WSGIApplication",
        name: str,
    ) -> None:
        self.address_family = family
        self._interruption = Interruption()
        self._connections: dict[threading.Thread, socket.socket] = {}
        super().__init__(address, _Handler)
        self.set_app(app)
        self.url = f"http://{f'[{name}]' if ':' in name else name}:{self.server_port}/"

    def run(self) -> None:
        """Answer until Ctrl-C or SIGTERM, or until another thread calls ``shutdown``."""
        with contextlib.suppress(KeyboardInterrupt):
            self.serve_forever(POLL_SECONDS)

    def __enter__(self) -> "DashboardServer":
        self._interruption.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self.server_close()
        self._interruption.__exit__(*error)

    def service_actions(self) -> None:
        """Stop if a signal has come."""
        self._interruption.check()

    def server_bind(self) -> None:
        """Bind without looking up the machine's full name, which can take seconds."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]
        self.setup_environ()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread of its own."""
        thread = threading.Thread(
            target=self.process_request_thread, args=(request, client_address), daemon=True
        )
        self._connections[thread] = request
        thread.start()

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """What the thread does."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            del self._connections[threading.current_thread()]

    def shutdown_request(self, request: Any) -> None:
        """Read what is left, such as a refused upload, and close the connection.

        One that is closed with something unread is reset, and the answer lost.
        """
        with contextlib.suppress(OSError):
            request.shutdown(socket.SHUT_WR)
            request.settimeout(1)
            for _ in range(2048):  # up to 128 MiB, the dashboard's own limit
                if not request.recv(65536):
                    break
        self.close_request(request)

    def server_close(self) -> None:
        """Free the port, let no request begin and those that are being answered end."""
        super().server_close()
        open_ones = list(self._connections.items())
        for _, connection in open_ones:
            with contextlib.suppress(OSError):  # it has just been closed
                connection.shutdown(socket.SHUT_RD)
        deadline = time.monotonic() + GRACE_SECONDS
        for thread, _ in open_ones:
            if thread.is_alive():  # there may be one that could not be started
                thread.join(max(0.0, deadline - time.monotonic()))

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print errors, but for browsers that went away."""
        if not isinstance(sys.exc_info()[1], ConnectionError | TimeoutError):
            super().handle_error(request, client_address)


class _Handler(WSGIRequestHandler):
    timeout = IDLE_SECONDS

    def log_message(self, format: str, *args: Any) -> None:
        """Every request would be a line."""


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


def _is_loopback(address: tuple[Any, ...]) -> bool:
    return ipaddress.ip_address(address[0]).is_loopback


def _why_not(
    error: OSError, family: socket.AddressFamily, address: tuple[Any, ...], host: str
) -> str:
    """Why the server could not be bound, in a sentence."""
    port = address[1]
    if error.errno == errno.EADDRINUSE:
        return f"port {port} is taken: choose another, such as --port {_free(family, address)}"
    return (
        f"cannot listen on {host}, port {port} ({error.strerror}): choose another --host or --port"
    )


def _free(family: socket.AddressFamily, address: tuple[Any, ...]) -> int:
    """The next port that is free, or 0, which finds one."""
    for port in range(address[1] + 1, min(address[1] + 100, 65536)):
        with socket.socket(family) as probe, contextlib.suppress(OSError):
            probe.bind((address[0], port, *address[2:]))
            return port
    return 0
