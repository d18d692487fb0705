import multiprocessing
import os
import sqlite3
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from hw1.errors import InputError
from hw1.storage import Storage, shown


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("nonsense", "is given by no URL"),
        ("sqlite://", "a study needs a file"),
        ("sqlite:///:memory:", "a study needs a file"),
        ("sqlite:///file:x.db?mode=memory&uri=true", "a study needs a file"),
        ("foo://x", "driver for storage foo://x is not installed"),
        ("sqlite:////proc/nowhere/studies.db", "cannot open storage"),
    ],
)
def test_a_storage_that_cannot_be_is_an_input_error(url: str, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        Storage(url)


def test_a_password_is_not_repeated() -> None:
    for url in ("foo://me:secret@host/db", "foo//me:secret@host/db"):
        with pytest.raises(InputError) as error:
            Storage(url)
        assert "secret" not in str(error.value)
    assert shown("foo://me:secret@host/db") == "foo://me:***@host/db"


def test_the_database_of_another_program_is_left_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "app.db"
    with sqlite3.connect(file) as connection:
        connection.execute("CREATE TABLE customers (name TEXT)")
    connection.close()
    before = file.read_bytes()
    with pytest.raises(InputError, match="the database of another program"):
        Storage(f"sqlite:///{file}")
    assert file.read_bytes() == before


def test_a_file_is_the_same_by_every_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "link").symlink_to(tmp_path)
    urls = ["sqlite:///s.db", "sqlite:///~/s.db", "sqlite:///link/s.db", "sqlite:///s.db?timeout=9"]
    storages = [Storage(url) for url in urls]
    assert {storage.lock.lock_file for storage in storages} == {str(tmp_path / "s.db.lock")}
    for storage in storages:
        with storage.engine.connect() as connection:
            assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
    assert sorted(path.name for path in tmp_path.glob("*.db")) == ["s.db"]


def test_a_file_that_is_no_database_is_left_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "thesis.docx"
    file.write_bytes(b"chapter one" * 300)
    with pytest.raises(InputError, match="not a database"):
        Storage(f"sqlite:///{file}")
    assert file.read_bytes() == b"chapter one" * 300


def test_a_missing_file_is_made_only_when_asked_for(tmp_path: Path) -> None:
    file = tmp_path / "new" / "studies.db"
    with pytest.raises(InputError, match="run a study"):
        Storage(f"sqlite:///{file}", create=False)
    assert not file.parent.exists()
    Storage(f"sqlite:///{file}")
    assert file.exists()
    Storage(f"sqlite:///{file}", create=False)


def open_unprivileged(url: str) -> str:
    os.setuid(65534)
    try:
        Storage(url)
    except InputError as error:
        return str(error)
    return "opened"


@pytest.mark.skipif(os.name != "posix" or os.getuid() != 0, reason="needs root to become nobody")
@pytest.mark.parametrize("what", ["folder", "file"])
def test_what_cannot_be_written_is_an_input_error(what: str, tmp_path: Path) -> None:
    folder = tmp_path / "studies"
    url = f"sqlite:///{folder}/studies.db"
    if what == "file":
        Storage(url)
        folder.chmod(0o755)
    else:
        folder.mkdir(mode=0o755)
    for parent in tmp_path.parents:
        if parent.stat().st_mode & 0o001 == 0:
            parent.chmod(parent.stat().st_mode | 0o001)
    tmp_path.chmod(0o755)
    with multiprocessing.get_context("fork").Pool(1) as pool:
        assert "cannot open storage" in pool.apply(open_unprivileged, (url,))


def test_sqlite_logs_ahead_and_optuna_reads_it(url: str) -> None:
    study = optuna.create_study(storage=Storage(url), study_name="s")
    trial = study.ask()
    trial.report(1.0, 1)
    study.tell(trial, 2.0)
    path = url.removeprefix("sqlite:///")
    assert sqlite3.connect(path).execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert optuna.load_study(study_name="s", storage=url).best_value == 2.0


def drain(url: str, start: object) -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.load_study(study_name="s", storage=Storage(url))
    start.wait()  # type: ignore[attr-defined]
    while any(t.state == TrialState.WAITING for t in study.get_trials(deepcopy=False)):
        trial = study.ask()
        if "queued" not in trial.user_attrs:
            study.tell(trial, state=TrialState.FAIL)  # the queue ran dry between look and ask
            continue
        trial.suggest_int("job", 0, 100)
        trial.set_user_attr(f"by {os.getpid()}", True)
        study.tell(trial, 0.0)


def test_processes_share_a_queue_without_errors_or_repeats(url: str) -> None:
    study = optuna.create_study(storage=Storage(url), study_name="s")
    for job in range(40):
        study.enqueue_trial({"job": job}, user_attrs={"queued": True})
    context = multiprocessing.get_context("spawn")
    start = context.Event()
    workers = [context.Process(target=drain, args=(url, start)) for _ in range(4)]
    for worker in workers:
        worker.start()
    start.set()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0] * 4
    done = [t for t in study.get_trials() if t.state == TrialState.COMPLETE]
    assert sorted(t.params["job"] for t in done) == list(range(40))
    assert all(len(t.user_attrs) == 2 for t in done)
