"""The dashboard's guard and its server: what gets through, to whom, and how it ends."""

import base64
import http.client
import json
import os
import re
import signal
import socket
import struct
import subprocess
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from ipaddress import IPv6Address
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit
from wsgiref.util import setup_testing_defaults

import optuna
import pytest
from conftest import ROOT, command
from dashboard.conftest import Shown, ask, dump, serving
from hypothesis import given
from hypothesis import strategies as st

from hw1.dashboard.guard import Guard, Guesses
from hw1.dashboard.server import PORT, is_loopback, listen
from hw1.errors import InputError
from hw1.optuna_store.storage import Storage

LOCAL = ("localhost", "127.0.0.1", "[::1]")


def inner(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
    """What gets through is answered with 200."""
    start("200 OK", [])
    return [b""]


GUARD = Guard(inner, names=frozenset({"localhost", "127.0.0.1", "::1"}))


def answered(guard: Guard, method: str = "GET", **environ: str) -> tuple[str, str]:
    """The status and reason with which a guard answers."""
    environ = {"REQUEST_METHOD": method, "HTTP_HOST": "localhost", **environ}
    setup_testing_defaults(environ)
    statuses: list[str] = []
    body = b"".join(guard(environ, lambda status, *rest: statuses.append(status)))
    return statuses[0][:3], json.loads(body)["reason"] if body else ""


@given(st.sampled_from(LOCAL), st.none() | st.integers(0, 65535), st.randoms())
def test_its_own_names_get_through_with_and_without_a_port(
    name: str, port: int | None, random: Any
) -> None:
    host = "".join(random.choice((c.lower(), c.upper())) for c in name)
    host += "" if port is None else f":{port}"
    assert answered(GUARD, HTTP_HOST=host)[0] == "200"


# All that a header can hold, and what looks like a name that is allowed.
PRINTABLE = st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_categories=["Cc"]))
FOREIGN = st.one_of(
    PRINTABLE,
    st.builds("{}{}{}".format, PRINTABLE, st.sampled_from(LOCAL), PRINTABLE),
    st.builds("{}.{}".format, st.sampled_from(LOCAL), st.sampled_from(["evil.example", "com:80"])),
    st.builds("{}@{}".format, st.sampled_from(LOCAL), st.sampled_from(["evil.example", "[::1"])),
    st.ip_addresses().map(str),
)


@given(FOREIGN)
def test_all_other_names_are_refused(host: str) -> None:
    own = any(
        host.lower() == name or re.fullmatch(re.escape(name) + ":[0-9]{1,5}", host.lower())
        for name in LOCAL
    )
    assert answered(GUARD, HTTP_HOST=host)[0] == ("200" if own else "403")


@given(st.just(IPv6Address("::1")) | st.ip_addresses(v=6))
def test_an_address_is_known_however_it_is_spelt(address: IPv6Address) -> None:
    expected = "200" if address == IPv6Address("::1") else "403"
    assert answered(GUARD, HTTP_HOST=f"[{address.exploded.upper()}]:80")[0] == expected


@given(st.ip_addresses(), st.from_regex(r"[a-z]{1,9}\.[a-z]{2,9}", fullmatch=True))
def test_where_any_address_is_a_name_no_other_name_is(address: Any, name: str) -> None:
    everywhere = Guard(GUARD.app, frozenset(), any_address=True)
    host = f"[{address}]" if address.version == 6 else str(address)
    assert answered(everywhere, HTTP_HOST=host)[0] == "200"
    assert answered(everywhere, HTTP_HOST=name)[0] == "403"


@given(st.sampled_from(["GET", "HEAD", "OPTIONS"]) | st.from_regex(r"[A-Za-z-]+", fullmatch=True))
def test_read_only_lets_through_what_only_reads(method: str) -> None:
    status, reason = answered(GUARD, method)
    reads = method in ("GET", "HEAD", "OPTIONS")
    assert (status, "--write" in reason) == (("200", False) if reads else ("403", True))


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, "200"),  # no browser
        ({"HTTP_SEC_FETCH_SITE": "same-origin"}, "200"),
        ({"HTTP_SEC_FETCH_SITE": "same-origin", "HTTP_ORIGIN": "https://proxy.example"}, "200"),
        ({"HTTP_ORIGIN": "http://localhost:8080"}, "200"),
        ({"HTTP_ORIGIN": "https://localhost:8080"}, "200"),
        ({"HTTP_SEC_FETCH_SITE": "same-site"}, "403"),  # another port of this machine
        ({"HTTP_SEC_FETCH_SITE": "cross-site"}, "403"),
        ({"HTTP_SEC_FETCH_SITE": "cross-site", "HTTP_ORIGIN": "http://localhost:8080"}, "403"),
        ({"HTTP_SEC_FETCH_SITE": "none"}, "403"),
        ({"HTTP_ORIGIN": "http://localhost:8888"}, "403"),
        ({"HTTP_ORIGIN": "http://localhost:8080.evil.example"}, "403"),
        ({"HTTP_ORIGIN": "http://evil.example"}, "403"),
        ({"HTTP_ORIGIN": "null"}, "403"),
        ({"HTTP_ORIGIN": ""}, "403"),
    ],
)
def test_pages_of_other_sites_change_nothing(headers: dict[str, str], status: str) -> None:
    writing = Guard(GUARD.app, GUARD.names, write=True)
    for method in ("POST", "PUT", "DELETE"):
        assert answered(writing, method, HTTP_HOST="localhost:8080", **headers)[0] == status
    assert answered(writing, "GET", HTTP_HOST="localhost:8080", **headers)[0] == "200"


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


TEXT = st.text(st.characters(codec="utf-8"))


@given(TEXT, TEXT, st.text(st.characters(codec="utf-8", exclude_characters=":")))
def test_only_the_password_opens_whatever_the_user(right: str, other: str, user: str) -> None:
    locked = Guard(GUARD.app, GUARD.names, password=right)
    assert answered(locked, HTTP_AUTHORIZATION=basic(user, right))[0] == "200"
    expected = "200" if other == right else "401"
    assert answered(locked, HTTP_AUTHORIZATION=basic(user, other))[0] == expected


@given(PRINTABLE | PRINTABLE.map("Basic {}".format))
def test_what_is_no_password_does_not_open(header: str) -> None:
    locked = Guard(GUARD.app, GUARD.names, password="open sesame")
    assert answered(locked, HTTP_AUTHORIZATION=header)[0] == "401"
    assert answered(locked)[0] == "401"
    assert answered(locked, HTTP_AUTHORIZATION=basic("", "open sesame")[3:])[0] == "401"


def locked(clock: Callable[[], float] = lambda: 0.0) -> Guard:
    return Guard(GUARD.app, GUARD.names, password="right", guesses=Guesses(clock))


def guess(guard: Guard, password: str, client: str = "192.0.2.1") -> str:
    return answered(guard, HTTP_AUTHORIZATION=basic("me", password), REMOTE_ADDR=client)[0]


def test_wrong_passwords_cost_more_and_more_time() -> None:
    now, last = 0.0, 0.0
    guard = locked(lambda: now)
    waits = []
    while len(waits) < 12:
        status = guess(guard, "wrong")
        if status == "401":
            waits.append(now - last)
            last = now
        else:
            assert status == "429"
            assert guess(guard, "right") == "429"  # which says nothing of the password
            now += 0.25
    assert waits == [0, 0, 0, 1, 2, 4, 8, 16, 32, 60, 60, 60]
    status, reason = answered(
        guard, HTTP_AUTHORIZATION=basic("me", "right"), REMOTE_ADDR="192.0.2.1"
    )
    assert (status, "try again in 60 seconds" in reason) == ("429", True)
    # No one else waits, nor who gives no password, as browsers do at first.
    assert guess(guard, "right", "192.0.2.2") == "200"
    assert answered(guard, REMOTE_ADDR="192.0.2.1")[0] == "401"
    now += 60
    assert guess(guard, "right") == "200"
    assert [guess(guard, "wrong") for _ in range(4)] == ["401", "401", "401", "429"]
    now += 3601
    assert [guess(guard, "wrong") for _ in range(4)] == ["401", "401", "401", "429"]


def test_a_network_of_ipv6_is_one_client() -> None:
    guard = locked()
    addresses = [f"2001:db8::{i}" for i in range(1, 5)]
    assert [guess(guard, "wrong", a) for a in addresses] == ["401", "401", "401", "429"]
    assert guess(guard, "right", "2001:db8:0:1::1") == "200"
    mapped = [f"::ffff:192.0.2.{i}" for i in (1, 1, 1, 1, 2)]
    assert [guess(guard, "wrong", a) for a in mapped] == ["401", "401", "401", "429", "401"]


def test_guesses_at_the_same_moment_are_counted() -> None:
    guard = locked()
    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(lambda _: guess(guard, "wrong"), range(64)))
    assert statuses.count("401") == 3
    assert statuses.count("429") == 61


def test_clients_are_remembered_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hw1.dashboard.guard.MOST_CLIENTS", 50)
    guesses = Guesses(lambda: 0.0)
    for i in range(500):
        assert guesses.judge(f"10.0.{i // 256}.{i % 256}", False) == 0
    assert len(guesses._wrong) == 50


def test_a_server_refuses_guesses_and_answers_others(shown: Shown) -> None:
    with serving(shown, password="right") as server:
        wrong = {"Authorization": basic("me", "wrong")}
        statuses = [ask(server, "GET", "/api/studies", **wrong)[0] for _ in range(6)]
        assert statuses[:3] == [401] * 3
        assert 429 in statuses[3:]
        assert ask(server, "GET", "/api/studies")[0] == 401


def test_all_pages_can_be_read_and_reading_changes_nothing(shown: Shown) -> None:
    study, before = shown.study_id, dump(shown.storage.url)
    plots = ("contour", "slice", "parallel_coordinate", "rank", "edf", "timeline")
    paths = [
        "/dashboard",
        f"/dashboard/studies/{study}/trials?numbers=0",
        "/static/bundle.js",
        "/favicon.ico",
        "/api/meta",
        "/api/studies",
        f"/api/studies/{study}?after=0",
        f"/api/studies/{study}/param_importances",
        f"/csv/{study}",
        f"/artifacts/{study}/{shown.trial_id}/{shown.png}",
        *(f"/api/studies/{study}/plot/{plot}" for plot in plots),
    ]
    with serving(shown) as server:
        for path in paths:
            status, headers, body = ask(server, "GET", path)
            assert status == 200, path
            assert body, path
            assert headers["X-Content-Type-Options"] == "nosniff"
            assert headers["X-Frame-Options"] == "DENY"
            assert "frame-ancestors 'none'" in ",".join(headers.get_all("Content-Security-Policy"))
            assert (headers["Cache-Control"] == "no-store") == (not path.startswith("/static"))
            status, _, body = ask(server, "HEAD", path)
            assert (status, body) == (200, b""), path
        assert urlsplit(ask(server, "GET", "/")[1]["Location"]).path == "/dashboard"
        # Some programs send nothing but what they must.
        with socket.create_connection(("127.0.0.1", server.port)) as plain:
            plain.sendall(b"GET /static/bundle.js HTTP/1.0\r\nHost: localhost\r\n\r\n")
            with plain.makefile("rb") as answer:
                assert answer.readline().split()[1] == b"200"
    assert dump(shown.storage.url) == before


def test_read_only_refuses_what_write_allows(shown: Shown) -> None:
    path = f"/api/studies/{shown.study_id}"
    new = {"study_name": "new", "directions": ["minimize"]}
    with serving(shown) as server:
        for method, where, body in (
            ("DELETE", path, None),
            ("POST", "/api/studies", new),
            ("POST", "/api/artifacts/1/1", b"x" * 1_000_000),
        ):
            status, headers, content = ask(server, method, where, body)
            assert status == 403
            assert headers["Content-Type"] == "application/json"
            assert "--write" in json.loads(content)["reason"]
    assert shown.study_names() == ["kept"]
    with serving(shown, write=True) as server:
        assert ask(server, "POST", "/api/studies", new)[0] == 201
        assert ask(server, "DELETE", path, Sec_Fetch_Site="cross-site")[0] == 403
        assert shown.study_names() == ["kept", "new"]
        assert ask(server, "DELETE", path)[0] == 204
    assert shown.study_names() == ["new"]
    assert list(shown.folder.iterdir()) == []


def test_what_is_too_long_is_not_even_read(shown: Shown) -> None:
    with serving(shown) as server, socket.create_connection(("127.0.0.1", server.port)) as client:
        head = (
            "POST /api/artifacts/1/1 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9000000\r\n\r\n"
        )
        client.sendall(head.encode())
        with client.makefile("rb") as answer:
            assert answer.readline().split()[1] == b"413"


def test_artifacts_are_served_and_can_do_no_harm(shown: Shown, tmp_path: Path) -> None:
    place = shown.place
    with serving(shown) as server:
        status, headers, body = ask(server, "GET", f"/{place}/{shown.png}")
        assert (status, headers["Content-Type"]) == (200, "image/png")
        assert body == (tmp_path / "red.png").read_bytes()
        # A path can be spelt in ways that the dashboard takes for the same.
        for path in (f"/{place}/{shown.html}", f"/%ff{place}/{shown.html}"):
            status, headers, body = ask(server, "GET", path)
            assert status == 200
            assert headers["Content-Type"] == "text/html"
            assert headers["Content-Security-Policy"].split(";")[0] == "sandbox"
            assert headers["Access-Control-Allow-Origin"] is None
        status, headers, _ = ask(server, "GET", f"/{place}/{shown.html}")
        assert headers["Content-Disposition"] == "attachment"


def test_artifacts_that_are_gone_are_not_found(shown: Shown, capfd: Any) -> None:
    place = f"/{shown.place}"
    for file in shown.folder.iterdir():
        file.unlink()
    shown.folder.rmdir()
    with serving(shown, write=True) as server:
        for path in (f"{place}/{shown.png}", f"{place}/0000", "/artifacts/99/1/0000"):
            assert ask(server, "GET", path)[0] == 404
        # And the study of lost files can still be deleted.
        assert ask(server, "DELETE", f"/api/studies/{shown.study_id}")[0] == 204
    assert shown.study_names() == []
    assert not shown.folder.exists()
    assert capfd.readouterr().err == ""


def test_of_a_request_that_fails_one_line_is_printed(shown: Shown, capfd: Any) -> None:
    optuna.load_study(study_name="kept", storage=shown.storage).ask()
    with serving(shown, write=True) as server:
        for path in ("/api/studies/99?after=0", "/api/studies/99/plot/contour"):
            assert ask(server, "GET", path)[0] >= 400
        values = {"state": "COMPLETE", "values": ["\x1b[31m"]}
        assert ask(server, "POST", "/api/trials/2/tell", values)[0] >= 400
    lines = capfd.readouterr().err.splitlines()
    assert 1 <= len(lines) <= 3
    assert all(line.startswith("the dashboard: ") and line.isprintable() for line in lines)


def test_nothing_is_printed_of_a_browser_that_goes_away(shown: Shown, capfd: Any) -> None:
    with serving(shown) as server:
        with socket.create_connection(("127.0.0.1", server.port)) as gone:
            gone.sendall(b"GET /api/stu")
            gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        assert ask(server, "GET", "/api/meta")[0] == 200  # so the other has been accepted
    assert capfd.readouterr().err == ""


def test_the_folder_is_made_for_the_first_artifact(url: str, tmp_path: Path) -> None:
    storage, folder = Storage(url), tmp_path / "a" / "b"
    trial = optuna.create_study(storage=storage).ask()
    path = f"/api/artifacts/{trial.study._study_id}/{trial._trial_id}"
    upload = {"file": "data:text/plain;base64,aGVsbG8=", "filename": "hello.txt"}
    with serving(Shown(storage, folder), write=True) as server:
        status, _, content = ask(server, "POST", path, upload)
    assert status == 201
    assert (folder / json.loads(content)["artifact_id"]).read_text() == "hello"


def test_what_is_made_meanwhile_is_shown_to_many_at_once(shown: Shown) -> None:
    with serving(shown) as server:
        before = json.loads(ask(server, "GET", "/api/studies")[2])
        assert [study["study_name"] for study in before["study_summaries"]] == ["kept"]
        study = optuna.create_study(storage=Storage(shown.storage.url), study_name="running")
        study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=3)
        path = f"/api/studies/{study._study_id}"
        with ThreadPoolExecutor(16) as pool:
            answers = list(pool.map(lambda _: ask(server, "GET", path), range(48)))
    assert {status for status, _, _ in answers} == {200}
    details = [json.loads(content) for _, _, content in answers]
    values = [trial.values for trial in study.trials]
    assert all([trial["values"] for trial in detail["trials"]] == values for detail in details)


def test_everywhere_it_asks_for_the_password(shown: Shown) -> None:
    with pytest.raises(InputError, match="HW1_PASSWORD"):
        listen(shown.storage, shown.folder, host="0.0.0.0", port=0)
    with serving(shown, host="0.0.0.0", password="geheim", allowed_hosts=["my.example"]) as server:
        right = {"Authorization": basic("anyone", "geheim")}
        assert urlsplit(server.url).hostname == socket.gethostname().lower()
        status, headers, content = ask(server, "GET", "/api/studies")
        assert status == 401
        assert headers["WWW-Authenticate"].startswith("Basic ")
        assert b"kept" not in content
        own = ["192.0.2.7:9", "[2001:db8::1]", "My.example:443", urlsplit(server.url).netloc]
        for host in own:
            assert ask(server, "GET", "/api/studies", Host=host, **right)[0] == 200, host
        assert ask(server, "GET", "/api/studies", Host="evil.example", **right)[0] == 403
        assert ask(server, "DELETE", f"/api/studies/{shown.study_id}", **right)[0] == 403


def test_an_ipv6_host(shown: Shown) -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6")
    with serving(shown, host="[::1]") as server:
        assert server.url == f"http://[::1]:{server.port}/"
        assert ask(server, "GET", "/api/studies", Host=urlsplit(server.url).netloc)[0] == 200


def test_which_hosts_are_loopback() -> None:
    hosts = ["localhost", "127.0.0.1", "::1", "0.0.0.0", "::", "192.0.2.1"]
    assert [is_loopback(host) for host in hosts] == [True] * 3 + [False] * 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"host": "no-such-host.invalid"}, "unknown host 'no-such-host.invalid'"),
        ({"host": ""}, "unknown host"),
        ({"host": "a" * 300}, "unknown host"),
        ({"host": "192.0.2.1", "password": "x"}, "cannot listen on 192.0.2.1"),
        ({"password": ""}, "password is empty"),
        ({"port": 65536}, "no port 65536"),
        ({"port": -1}, "no port -1"),
        ({"allowed_hosts": ["http://my.example/"]}, "'http://my.example/' is not a host name"),
    ],
)
def test_what_cannot_be_served_is_said(shown: Shown, options: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        listen(shown.storage, shown.folder, **{"port": 0, **options})


def test_a_file_is_no_folder_of_artifacts(shown: Shown, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is a file"):
        listen(shown.storage, tmp_path / "red.png")


def test_a_port_that_is_taken_names_another(shown: Shown) -> None:
    with listen(shown.storage, shown.folder, port=0) as taken:
        with pytest.raises(InputError, match=f"port {taken.port} is taken") as raised:
            listen(shown.storage, shown.folder, port=taken.port)
        other = int(str(raised.value).split("--port ")[1])
        with listen(shown.storage, shown.folder, port=other) as free:
            assert free.port == other or other == 0
    assert PORT == 8080


def test_nothing_is_left_of_it_even_with_a_connection_open(shown: Shown) -> None:
    before = set(threading.enumerate())
    with serving(shown) as server:
        port = server.port
        idle = socket.create_connection(("127.0.0.1", port))
        half = socket.create_connection(("127.0.0.1", port))
        half.sendall(b"POST /api/studies HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{")
        assert ask(server, "GET", "/api/meta")[0] == 200  # so they have been accepted
        assert len(set(threading.enumerate()) - before) >= 2
    for thread in set(threading.enumerate()) - before:
        thread.join(10)  # it has no more than to return
    assert set(threading.enumerate()) - before == set()
    idle.close()
    half.close()
    with listen(shown.storage, shown.folder, port=port) as again:
        assert again.port == port


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_command_serves_what_it_is_told_to_until_a_signal_ends_it(
    shown: Shown, number: int
) -> None:
    told = {"OPTUNA_STORAGE": shown.storage.url, "HW1_PASSWORD": "right", "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command("dashboard", "--port", "0", "--allow-host", "my.example"),
        cwd=ROOT,
        env=os.environ | told,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().split()[-1]
            assert "read-only" in process.stdout.readline()
            port = urlsplit(url).port
            server: Any = SimpleNamespace(url=url, port=port)
            known = {"Host": "my.example", "Authorization": basic("me", "right")}
            status, _, text = ask(server, "GET", "/api/studies", Host="my.example")
            assert (status, b"kept" in text) == (401, False)
            status, _, text = ask(server, "DELETE", f"/api/studies/{shown.study_id}", **known)
            assert (status, b"--write" in text) == (403, True)
            with (
                socket.create_connection(("127.0.0.1", port)),
                closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as connection,
            ):
                connection.request("GET", "/api/studies", headers=known)
                assert b"kept" in connection.getresponse().read()  # it stays open
                os.kill(process.pid, number)
                out, err = process.communicate(timeout=60)
        finally:
            process.kill()
    assert (process.returncode, err) == (0, "")
    assert out.endswith("Stopped.\n")
    socket.create_server(("127.0.0.1", port)).close()  # raises if the port is not free
