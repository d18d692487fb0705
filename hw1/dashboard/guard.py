"""What stands before the dashboard: who may call it, by which name, and what they may do."""

import base64
import hmac
import ipaddress
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
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
        raise InputError(f"{name!r} is no host name: allow one such as studies.example.org")
    return known


def _as_address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None
