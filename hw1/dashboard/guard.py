"""What stands before the dashboard: who may call it, by which name, and what they may do."""

import base64
import hmac
import ipaddress
import json
import math
import re
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from optuna.artifacts.exceptions import ArtifactNotFound

from hw1.errors import InputError

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

READING = ("GET", "HEAD", "OPTIONS")
"""The methods that change nothing; the page shows everything with them alone."""
HEADERS = [
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    # Not "no-referrer", with which browsers hide where a form comes from.
    ("Referrer-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
]

FREE_GUESSES = 3
"""How many wrong passwords cost a client nothing."""
LONGEST_WAIT_SECONDS = 60.0
FORGOTTEN_SECONDS = 3600.0
"""How long after its last wrong password a client is a new one."""
MOST_CLIENTS = 10_000
"""Of which wrong passwords are remembered."""


class Guesses:
    """The wrong passwords of each client, and how long it must wait before its next one.

    After `FREE_GUESSES` each doubles the wait, from a second to `LONGEST_WAIT_SECONDS`. Until then
    the right password is refused like any other, in no time: nobody else waits. Clients behind one
    address, such as a proxy's, are one client.

    Args:
        clock: seconds that never go back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._wrong: dict[str, tuple[int, float]] = {}  # how many, and when the last

    def judge(self, client: str, right: bool) -> float:
        """Count a guess, unless it came too early.

        Args:
            client: its address.
            right: whether the password is.

        Returns:
            The seconds after which it may be tried again; 0 for one that was in time, right or
            wrong.
        """
        key, now = _network(client), self._clock()
        with self._lock:  # guesses at the same moment come one after another
            count, last = self._wrong.get(key, (0, -math.inf))
            if now - last > FORGOTTEN_SECONDS:
                count = 0
            wait = min(2.0 ** min(count - FREE_GUESSES, 30), LONGEST_WAIT_SECONDS)
            left = last + wait - now
            if count >= FREE_GUESSES and left > 0:
                return left
            self._wrong.pop(key, None)
            if not right:
                self._wrong[key] = (count + 1, now)
            if len(self._wrong) > MOST_CLIENTS:
                del self._wrong[next(iter(self._wrong))]  # whose last is the longest ago
        return 0.0


@dataclass(frozen=True)
class Guard:
    """A WSGI application that lets through to another what is safe.

    It refuses with a status and a JSON object whose ``reason`` says why and what to do:

    - 403 if the Host header names none of ``names``. A page elsewhere may point its own name at
      this machine and read all it answers (https://en.wikipedia.org/wiki/DNS_rebinding).
    - 401 without the password, by HTTP Basic (https://www.rfc-editor.org/rfc/rfc7617).
    - 429 for a password that comes too soon after wrong ones; see `Guesses`.
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
        guesses: the wrong ones that were given.
    """

    app: "WSGIApplication"
    names: frozenset[str]
    any_address: bool = False
    write: bool = False
    password: str | None = None
    guesses: Guesses = field(default_factory=Guesses, compare=False)

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
        except (ArtifactNotFound, AttributeError, KeyError, TypeError, ValueError):
            # What the database says of an artifact may be anything.
            if not path.startswith("/artifacts/"):
                raise
            return _answer(environ, start, HTTPStatus.NOT_FOUND, "there is no such artifact")

    def _refusal(self, environ: "WSGIEnvironment") -> tuple[HTTPStatus, str] | None:
        host = environ.get("HTTP_HOST", "")
        if not self._answers_to(host_name(host)):
            return HTTPStatus.FORBIDDEN, (
                "the dashboard does not answer to this host name: open the address that it "
                "printed, or start it with --allow-host NAME"
            )
        if self.password is not None:
            right = _has_password(environ, self.password)
            if "HTTP_AUTHORIZATION" in environ:  # browsers ask without it first
                wait = self.guesses.judge(environ.get("REMOTE_ADDR", ""), right)
                if wait > 0:
                    return HTTPStatus.TOO_MANY_REQUESTS, (
                        "too many wrong passwords have come from this address: try again in "
                        f"{math.ceil(wait)} seconds"
                    )
            if not right:
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


def _safety_headers(path: str) -> list[tuple[str, str]]:
    policy = "frame-ancestors 'none'"
    headers = list(HEADERS)
    # Not by what an artifact's path is: the dashboard drops bytes from it, so it has many.
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
    except ValueError:
        return False
    right = password.encode("utf-8", "surrogateescape")  # an environment may hold other bytes
    return hmac.compare_digest(given, right) and scheme.lower() == "basic"


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


def host_name(host: str) -> str | None:
    """The name in a Host header, an address in its usual spelling; None if it is malformed."""
    match = re.fullmatch(r"(\[[0-9a-fA-F:.]+\]|[^\s:/?#@,\[\]]+)(:[0-9]{1,5})?", host)
    if match is None:
        return None
    name = match[1].strip("[]").lower()
    address = _as_address(name)
    return name if address is None else str(address)


def allowed_name(name: str) -> str:
    known = str(address) if (address := _as_address(name)) else host_name(name)
    if not known:
        raise InputError(f"{name!r} is not a host name: give one such as studies.example.org")
    return known


def _network(client: str) -> str:
    """An address, and of IPv6 the network of 2^64 that whoever has one of them has."""
    address = _as_address(client)
    if isinstance(address, ipaddress.IPv6Address):
        return str(address.ipv4_mapped or ipaddress.ip_network((address, 64), strict=False))
    return client


def _as_address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None
