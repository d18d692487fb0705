"""A password is printed nowhere, however it is written and whatever goes wrong."""

import dataclasses
import json
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from hw1.cli.main import app
from hw1.errors import InputError
from hw1.job import Job
from hw1.optuna_store.storage import Storage, shown
from hw1.passwords import hide, secrets, without

MARK = "Zq7x"
ODD = st.text(st.sampled_from("ab7'\"`@:%/?&=#\\ +;~é漢$(){}*\t"), max_size=6)
PASSWORDS = st.builds("{}{}{}".format, ODD, st.just(MARK), ODD)
KEYS = ["password", "sslpassword", "PWD", "api_TOKEN", "client-secret", "sslkey", "p%61ssword"]


def written(password: str, key: str) -> list[str]:
    """URLs that hold a password."""
    quoted = [password, quote(password, safe=""), quote_plus(password), quote(password, safe=" +")]
    logins = ["postgresql://me:{}@host/db", "mysql+pymysql://me@work:{}@host:33/db?charset=utf8"]
    logins += ["postgresql//me:{}@host/db", "postgresql://me:{}@host:port/db"]
    queries = [
        f"{place}{key}="
        for place in ("nosuch://h/d?", "sqlite:///s.db?", "postgresql://me@h/d?a=b&")
    ]
    urls = [login.format(form) for login in logins for form in quoted]
    values = [form for form in quoted[1:] if "&" not in form]
    urls += [f"{query}{form}&x=y" for query in queries for form in values]
    odbc = quote_plus("UID=me;PWD=" + password)
    return [*urls, *([] if ";" in password else [f"mssql+pyodbc:///?odbc_connect={odbc}"])]


@given(PASSWORDS, st.sampled_from(KEYS))
@settings(max_examples=40, deadline=None)
def test_no_secret_is_in_what_is_shown_nor_in_an_error(password: str, key: str) -> None:
    for url in written(password, key):
        assert MARK not in hide(url)
        assert MARK not in hide(f"--storage={url}")
        for text in (password, repr(url), json.dumps(url), shlex.join([url]), f"{url!a}"):
            assert MARK not in without(f"no: {text}!", secrets(url))
        with pytest.raises(InputError) as error:
            Storage(url)
        assert MARK not in str(error.value)
        # A notebook would show the other one too.
        assert error.value.__suppress_context__ or error.value.__context__ is None


ARGUMENTS = [
    ["list", "--storage", "URL"],
    ["list", "URL"],
    ["best", "tiny", "--storage=URL"],
    ["best", "URL"],
    ["run", "URL"],
    ["run", "regression_mlp", "--storage", "URL"],
    ["run", "regression_mlp", "--folds", "URL"],
    ["run", "regression_mlp", "--train-csv", "URL"],
    ["delete", "tiny", "--yes", "--storage", "URL"],
    ["dashboard", "--storage", "URL"],
    ["report", "tiny", "--storage", "URL", "--output", "report.pdf"],
    ["predict", "URL", "URL"],
    ["URL"],
]


@given(PASSWORDS, st.sampled_from(KEYS), st.sampled_from(ARGUMENTS), st.data())
@settings(max_examples=25, deadline=None)
def test_no_secret_is_in_what_a_command_prints(
    password: str, key: str, arguments: list[str], data: st.DataObject
) -> None:
    url = data.draw(st.sampled_from(written(password, key)))
    result = CliRunner().invoke(app, [a.replace("URL", url) for a in arguments])
    assert result.exit_code == 2, result.output
    assert MARK not in result.output


@given(st.text(st.characters()), st.text(st.characters()))
def test_any_text_can_be_looked_through(text: str, other: str) -> None:
    assert isinstance(hide(text), str)
    assert without(other, secrets(f"x://{text}", text)) == without(
        other, secrets(text, f"x://{text}")
    )


def test_a_job_is_shown_without_its_storage(make_job: Callable[..., Job]) -> None:
    job = dataclasses.replace(make_job(), storage_url=f"postgresql://me:{MARK}@host/db")
    assert MARK not in repr(job)


def test_what_is_no_secret_is_shown() -> None:
    for url in (
        "sqlite:///storage/studies.db",
        "sqlite:////home/a:b@c/x.db?timeout=9",
        "postgresql://me@host:5432/db?sslmode=require",
        "not a URL, what?key=1",
    ):
        assert hide(url) == url
        assert secrets(url) == set()
    assert shown("postgresql://me:secret@host/db") == "postgresql://me:***@host/db"
    assert shown("sqlite:///x.db?a=b&PassWord=c%20d&e=f") == "sqlite:///x.db?a=b&PassWord=***&e=f"
    assert without("the letters of abc stay", secrets("x://me:abc@host")) == (
        "the letters of abc stay"
    )


def test_a_port_that_is_a_piece_of_the_password_is_not_repeated() -> None:
    with pytest.raises(InputError, match="is not a valid URL"):
        shown("postgresql://me:geh@im:geheim@host/db")


def test_the_command_that_continues_holds_no_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite:///{tmp_path}/studies.db"
    arguments = ["run", "regression_mlp", "--timeout", "0.001s", "--trials", "1", "--storage", url]
    # As it stands in a command line of a database with a password, which is not at hand.
    given = [*arguments, "--data-dir", f"postgresql://me@host/db?password=it's%20{MARK}"]
    monkeypatch.setattr(sys, "argv", ["run_study.py", *given])
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 3, result.output
    assert "To continue: python run_study.py run" in result.output
    assert "password=***" in result.output
    assert MARK not in result.output
