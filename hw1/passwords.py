"""Passwords in what was given, which are printed, stored and reported nowhere."""

import json
import re
import shlex
from collections.abc import Collection, Iterator
from urllib.parse import quote, quote_plus, unquote, unquote_plus

from hw1.errors import printable

HIDDEN = "***"
LEAST = 4
"""Shorter secrets are not looked for in texts: their letters stand in any word."""
# Up to the last "@", not to the first one as SQLAlchemy has it, for a password may hold one.
LOGIN = re.compile(r"([^/]*//(?!/)[^:/]*:)(.*)@", re.DOTALL)
SECRET = re.compile(r"(?:pass|pwd|secret|token|key)[^=;]*=([^;]*)", re.IGNORECASE | re.DOTALL)
"""In ``name=value`` of a URL's query; the value may hold further ones, as of ODBC."""


def hide(text: str) -> str:
    """A URL, or an argument that holds one, with ``***`` in place of each secret in it.

    Secrets are the password before the host, and what the query gives under a name with pass, pwd,
    secret, token or key in it.
    """
    return "".join(HIDDEN if secret else part for part, secret in _parts(text))


def secrets(*texts: str) -> set[str]:
    """The secrets in URLs, in every form in which a message may repeat them."""
    found = set()
    for text in texts:
        for part, secret in _parts(text):
            if secret:
                # With an "@" in it drivers take what follows for the host.
                pieces = {part, *part.split("@")}
                pieces |= {plain for p in pieces for plain in (unquote(p), unquote_plus(p))}
                pieces |= {value for p in pieces for value in SECRET.findall(p)}
                found |= {form for p in pieces for form in _forms(p)}
    return {secret for secret in found if len(secret) >= LEAST}


def without(text: str, secrets: Collection[str]) -> str:
    """A text with ``***`` in place of the secrets."""
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    return text


def _parts(text: str) -> Iterator[tuple[str, bool]]:
    """A text in parts, and of each whether it is a secret."""
    if "//" not in text:
        yield text, False
        return
    login = LOGIN.match(text)
    if login is not None:
        yield login[1], False
        yield login[2], True
    rest = text if login is None else text[login.end(2) :]
    place, *queries = rest.split("?", 1)
    yield place, False
    for query in queries:
        for i, item in enumerate(query.split("&")):
            name, equals, value = item.partition("=")
            yield f"{'&' if i else '?'}{name}{equals}", False
            yield value, bool(value and SECRET.search(unquote_plus(item)))


def _forms(secret: str) -> Iterator[str]:
    """A secret as it is, quoted for a URL, for Python, JSON, a terminal and a shell."""
    yield secret
    for safe in ("", " +", "/"):
        yield quote(secret, safe, errors="surrogatepass")
    yield quote_plus(secret, errors="surrogatepass")
    yield repr(secret)[1:-1]
    yield ascii(secret)[1:-1]
    yield printable(secret, keep="")
    yield json.dumps(secret)[1:-1]
    yield json.dumps(secret, ensure_ascii=False)[1:-1]
    yield shlex.quote(secret).strip("'")
    yield secret.replace("'", "\\'")
    yield secret.replace("'", "''")
