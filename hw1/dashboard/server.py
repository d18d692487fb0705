"""Optuna's dashboard over a storage: loopback and read-only unless told otherwise.

The dashboard itself (https://github.com/optuna/optuna-dashboard) asks nobody who they are, answers
to every host name, deletes what it is told to, and serves artifacts as pages of its own. `Guard`
stands before it.
"""

import base64
import binascii
import contextlib
import errno
import hmac
import ipaddress
import json
import logging
import re
import socket
import socketserver
import sys
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from optuna.artifacts import FileSystemArtifactStore
from optuna.artifacts.exceptions import ArtifactNotFound
from optuna_dashboard import wsgi  # type: ignore[import-untyped]

from hw1.errors import InputError
from hw1.interruption import Interruption
from hw1.storage import Storage

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

HOST = "127.0.0.1"
PORT = 8080
IDLE_SECONDS = 60
"""A connection that says nothing for so long is closed."""
GRACE_SECONDS = 0.5
"""How long requests that are being answered may take when the server is stopped."""
POLL_SECONDS = 0.1
"""How often the server looks whether it is to stop."""
READING = ("GET", "HEAD", "OPTIONS")
"""The methods that change nothing; the page shows everything with them alone."""
LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
HEADERS = [
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    # Not "no-referrer", with which browsers hide where a form comes from.
    ("Referrer-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
]


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

    There is no TLS: the password, and all that is shown, travels in clear, and guesses are not
    counted. On a network that others use, leave the dashboard on loopback and reach it through an
    ssh tunnel (``ssh -L 8080:127.0.0.1:8080 machine``) or a reverse proxy with TLS, whose name
    goes into ``allowed_hosts``.

    Args:
        storage: whose studies are shown; those that are made or go on meanwhile too.
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
    # It warns of every importance that it cannot calculate yet.
    logging.getLogger("optuna_dashboard").setLevel(logging.ERROR)
    app = wsgi(storage, artifact_store=_Artifacts(artifacts))
    app.catchall = False  # what is not there is answered by the guard
    guard = Guard(
        app,
        names=frozenset(map(_allowed_name, names)),
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


@dataclass(frozen=True)
class Guard:
    """A WSGI application that lets through to another what is safe.

    It refuses with a status and a JSON object whose ``reason`` says why and what to do:

    - 403 if the Host header names none of ``names``. A page elsewhere may point its own name at
      this machine and read all it answers (https://en.wikipedia.org/wiki/DNS_rebinding).
    - 401 without the password, by HTTP Basic (https://www.rfc-editor.org/rfc/rfc7617).
    - 403 if the request may change something and ``write`` is off, or the browser says that
      another site's page sends it (https://www.w3.org/TR/fetch-metadata/).

    What comes back may not be framed, nor run scripts but for the dashboard itself, so that an
    HTML artifact is harmless.

    Attributes:
        app: what is guarded, the dashboard.
        names: host names in lower case, and addresses without brackets.
        any_address: whether every IP address is a name too: an address can't be pointed elsewhere.
        write: whether anything may be changed.
        password: what to ask for.
    """

    app: "WSGIApplication"
    names: frozenset[str]
    any_address: bool = False
    write: bool = False
    password: str | None = None

    def __call__(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")

        def start(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            # Artifacts come with the leave for all sites to read them.
            kept = [(k, v) for k, v in headers if k.lower() != "access-control-allow-origin"]
            return start_response(status, [*kept, *_safety_headers(path)], *rest)

        refusal = self._refusal(environ)
        if refusal is not None:
            return _answer(environ, start, *refusal)
        environ.setdefault("HTTP_ACCEPT_ENCODING", "")  # without it the dashboard fails
        try:
            return self.app(environ, start)
        except (KeyError, ArtifactNotFound):
            if not path.startswith("/artifacts/"):
                raise
            return _answer(environ, start, HTTPStatus.NOT_FOUND, "there is no such artifact")

    def _refusal(self, environ: "WSGIEnvironment") -> tuple[HTTPStatus, str] | None:
        host = environ.get("HTTP_HOST", "")
        if not self._answers_to(_name(host)):
            return HTTPStatus.FORBIDDEN, (
                "the dashboard does not answer to this host name: open the address that it "
                "printed, or start it with --allow-host NAME"
            )
        if self.password is not None and not _has_password(environ, self.password):
            return HTTPStatus.UNAUTHORIZED, (
                "the dashboard asks for a password: give the one it was started with, and any "
                "user name"
            )
        if environ["REQUEST_METHOD"] in READING:
            return None
        if not self.write:
            return HTTPStatus.FORBIDDEN, (
                "the dashboard is read-only: start it with --write to change or delete anything"
            )
        if _is_foreign(environ, host):
            return HTTPStatus.FORBIDDEN, (
                "this comes from another site: changes are made in the dashboard's own page alone"
            )
        return None

    def _answers_to(self, name: str | None) -> bool:
        return name is not None and (
            name in self.names or (self.any_address and _as_address(name) is not None)
        )


class DashboardServer(socketserver.ThreadingMixIn, WSGIServer):
    """A WSGI server with a thread for every connection; see `listen`.

    As a context it hears Ctrl-C and SIGTERM (in the main thread), and frees port and threads at
    its end, within a second whatever connections are open.

    Attributes:
        url: where the dashboard is.
    """

    allow_reuse_port = False  # two dashboards would share a port in silence
    request_queue_size = 128

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
        """Close a connection once the other side has, or has sent enough.

        To close it with something unread, such as a refused upload, would reset it, and the
        answer be lost.
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
            thread.join(max(0.0, deadline - time.monotonic()))

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print errors, but for browsers that went away."""
        if not isinstance(sys.exc_info()[1], ConnectionError | TimeoutError):
            super().handle_error(request, client_address)


class _Handler(WSGIRequestHandler):
    timeout = IDLE_SECONDS

    def log_message(self, format: str, *args: Any) -> None:
        """Every request would be a line."""


class _Artifacts(FileSystemArtifactStore):
    """A folder that is made when the first artifact comes, and whose files may be gone."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._folder = folder

    def write(self, artifact_id: str, content_body: BinaryIO) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        super().write(artifact_id, content_body)

    def remove(self, artifact_id: str) -> None:
        # Otherwise a study could not be deleted without all its files.
        with contextlib.suppress(ArtifactNotFound):
            super().remove(artifact_id)


def _safety_headers(path: str) -> list[tuple[str, str]]:
    policy = "frame-ancestors 'none'"
    headers = list(HEADERS)
    # By what the dashboard's page is, for a path can be spelt in many ways: all else is sandboxed.
    if not path.startswith("/dashboard"):
        policy = f"sandbox; {policy}"
    if path.startswith("/artifacts/"):
        headers.append(("Content-Disposition", "attachment"))
    if not path.startswith("/static/"):
        headers.append(("Cache-Control", "no-store"))
    return [*headers, ("Content-Security-Policy", policy)]


def _answer(
    environ: "WSGIEnvironment", start: "StartResponse", status: HTTPStatus, reason: str
) -> list[bytes]:
    body = json.dumps({"reason": reason}).encode()
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
    if status == HTTPStatus.UNAUTHORIZED:
        headers.append(("WWW-Authenticate", 'Basic realm="hw1 dashboard", charset="UTF-8"'))
    start(f"{status.value} {status.phrase}", headers)
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]


def _has_password(environ: "WSGIEnvironment", password: str) -> bool:
    scheme, _, token = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
    try:
        given = base64.b64decode(token.strip(), validate=True).partition(b":")[2]
    except (binascii.Error, ValueError):
        return False
    # Both are evaluated, and in a time that says nothing of what is right in a wrong one.
    return hmac.compare_digest(given, password.encode()) and scheme.lower() == "basic"


def _is_foreign(environ: "WSGIEnvironment", host: str) -> bool:
    """Whether a browser says that the request was made by a page of another origin.

    Sec-Fetch-Site is what browsers know and pages cannot set; they send it to loopback and over
    TLS. Elsewhere they send Origin. Programs other than browsers send neither.
    """
    site = environ.get("HTTP_SEC_FETCH_SITE")
    if site is not None:
        return bool(site != "same-origin")
    origin = environ.get("HTTP_ORIGIN")
    return origin is not None and origin.lower() not in (
        f"http://{host.lower()}",
        f"https://{host.lower()}",  # a proxy with TLS
    )


def _name(host: str) -> str | None:
    """The name in a Host header, an address in its usual spelling; None if it is malformed."""
    match = re.fullmatch(r"(\[[0-9a-fA-F:.]+\]|[^\s:/?#@,\[\]]+)(:[0-9]{1,5})?", host)
    if match is None:
        return None
    name = match[1].strip("[]").lower()
    address = _as_address(name)
    return name if address is None else str(address)


def _allowed_name(name: str) -> str:
    known = str(address) if (address := _as_address(name)) else _name(name)
    if not known:
        raise InputError(f"{name!r} is no host name: allow one such as studies.example.org")
    return known


def _as_address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None


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
