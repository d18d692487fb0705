import copy
import gc
import math
import multiprocessing
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import optuna
import pytest
from conftest import at_once, sql
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState, create_trial

from hw1.errors import InputError
from hw1.optuna_store.storage import Change, Storage
from hw1.optuna_store.tables import CHUNK


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("nonsense", "is not a valid URL"),
        ("sqlite://", "a study needs a file"),
        ("sqlite:///:memory:", "a study needs a file"),
        ("sqlite:///file:x.db?mode=memory&uri=true", "a study needs a file"),
        ("foo://x", "driver for storage foo://x is not installed"),
        ("sqlite:////proc/nowhere/studies.db", "cannot open storage"),
        ("sqlite:////proc/x.db", "cannot open storage"),
        ("sqlite:////dev/zero", "it is no file"),
        (f"sqlite:////tmp/{'x' * 300}.db", "File name too long"),
        ("sqlite:////tmp/x.db?timeout=abc", "has no options"),
    ],
)
def test_a_storage_that_cannot_be_is_an_input_error(url: str, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        Storage(url)


def test_tables_of_the_same_optuna_are_not_compared_again(url: str) -> None:
    """And what Optuna's constructor sets is there then, too."""
    made = Storage(url)
    made.scoped_session()
    attached = Storage(url)
    attached.scoped_session()
    assert vars(made).keys() == vars(attached).keys() | {"_version_manager"}
    sql(url, "UPDATE version_info SET library_version = '4.0'")
    assert "_version_manager" in vars(Storage(url, create=False))
    sql(url, "UPDATE alembic_version SET version_num = 'v9.0.0.a'")
    with pytest.raises(InputError, match="no longer compatible"):
        Storage(url)


def test_what_is_read_of_a_study_is_as_optuna_reads_it(url: str) -> None:
    ours = Storage(url)
    study = optuna.create_study(storage=ours, study_name="s", directions=["minimize", "maximize"])
    study.set_user_attr("one", {"two": [3, None]})
    theirs = RDBStorage(url)
    number = theirs.get_study_id_from_name("s")
    theirs.set_study_system_attr(number, "four", "ä")
    assert ours.get_study_id_from_name("s") == number
    for storage in (ours, theirs):
        assert storage.get_study_directions(number) == study.directions
        assert storage.get_study_user_attrs(number) == {"one": {"two": [3, None]}}
        assert storage.get_study_system_attrs(number)["four"] == "ä"
        for read in (
            storage.get_study_directions,
            storage.get_study_user_attrs,
            storage.get_study_system_attrs,
        ):
            with pytest.raises(KeyError):
                read(number + 1)
        with pytest.raises(KeyError):
            storage.get_study_id_from_name("t")


def test_the_file_of_another_program_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "thesis.docx").write_bytes(b"chapter one" * 300)
    sql(f"{tmp_path}/app.db", "CREATE TABLE customers (name TEXT)")
    for name, reason in (("thesis.docx", "not a database"), ("app.db", "of another program")):
        before = (tmp_path / name).read_bytes()
        with pytest.raises(InputError, match=reason):
            Storage(f"sqlite:///{tmp_path}/{name}")
        assert (tmp_path / name).read_bytes() == before


def test_a_file_is_the_same_by_every_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "link").symlink_to(tmp_path)
    urls = ["sqlite:///s.db", "sqlite:///~/s.db", "sqlite:///link/s.db"]
    storages = [Storage(url) for url in urls]
    assert {storage.lock.path for storage in storages} == {tmp_path / "s.db.lock"}
    for storage in storages:
        with storage.engine.connect() as connection:
            assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
    assert sorted(path.name for path in tmp_path.glob("*.db")) == ["s.db"]


def test_a_missing_file_is_made_only_when_asked_for(tmp_path: Path) -> None:
    file = tmp_path / "new" / "studies.db"
    with pytest.raises(InputError, match="run a study"):
        Storage(f"sqlite:///{file}", create=False)
    assert not file.parent.exists()
    Storage(f"sqlite:///{file}")
    assert file.exists()
    Storage(f"sqlite:///{file}", create=False)


needs_root = pytest.mark.skipif(
    os.name != "posix" or os.getuid() != 0, reason="needs root to become nobody"
)


def open_unprivileged(url: str, create: bool = True) -> str:
    os.setuid(65534)
    try:
        storage = Storage(url, create=create)
        names = storage.study_names()
        with storage.lock:
            optuna.create_study(storage=storage, study_name="new")
    except InputError as error:
        return str(error)
    return f"opened, with {names}"


def in_another_process(folder: Path, mode: int, create: bool = True) -> str:
    """What another user is told who opens the storage in a folder of this mode."""
    folder.chmod(mode)
    for parent in folder.parents:
        parent.chmod(parent.stat().st_mode | 0o011)
    with multiprocessing.get_context("fork").Pool(1) as pool:
        return str(pool.apply(open_unprivileged, (f"sqlite:///{folder}/studies.db", create)))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "studies").mkdir()
    return tmp_path / "studies"


@needs_root
@pytest.mark.parametrize("what", ["folder", "file"])
def test_what_cannot_be_written_is_an_input_error(what: str, folder: Path) -> None:
    if what == "file":
        Storage(f"sqlite:///{folder}/studies.db")
    assert "cannot" in in_another_process(folder, 0o755)


@needs_root
def test_what_can_only_be_read_is_read(folder: Path) -> None:
    url = f"sqlite:///{folder}/studies.db"
    optuna.create_study(storage=Storage(url), study_name="s")
    gc.collect()
    before = sorted(path.name for path in folder.iterdir())
    # It reads the name, and is told that it cannot write.
    assert "readonly database" in in_another_process(folder, 0o755, False)
    assert sorted(path.name for path in folder.iterdir()) == before
    reader = Storage(url)  # and while others have it open
    reader.study_names()
    assert "readonly database" in in_another_process(folder, 0o755, False)


@needs_root
def test_another_user_of_a_shared_folder_works_there(folder: Path) -> None:
    file = folder / "studies.db"
    file.touch()
    file.chmod(0o666)  # as a generous umask makes it; SQLite's other files follow it
    optuna.create_study(storage=Storage(f"sqlite:///{file}"), study_name="s")
    assert in_another_process(folder, 0o777) == "opened, with ['s']"


@pytest.mark.parametrize("what", ["deleted", "replaced by another file"])
def test_a_database_that_is_gone_is_not_written_to(what: str, url: str, tmp_path: Path) -> None:
    storage = Storage(url)
    study = optuna.create_study(storage=storage, study_name="s")
    file = Path(url.removeprefix("sqlite:///"))
    if what == "deleted":
        file.unlink()
    else:
        Storage(f"sqlite:///{tmp_path}/other.db")
        (tmp_path / "other.db").replace(file)
    for write in (study.ask, storage.study_names, lambda: study.set_user_attr("a", 1)):
        with pytest.raises(InputError, match=f"was {what} while it was in use"):
            write()


def test_damaged_pages_are_an_input_error(url: str) -> None:
    study = optuna.create_study(storage=Storage(url), study_name="s")
    for _ in range(50):
        study.add_trial(create_trial(value=1.0, user_attrs={"a": "b" * 500}))
    sql(url, "PRAGMA wal_checkpoint(TRUNCATE)")
    file = Path(url.removeprefix("sqlite:///"))
    content = bytearray(file.read_bytes())
    for start in range(8192, len(content), 4096):
        content[start : start + 100] = b"\xff" * 100
    file.write_bytes(content)
    with pytest.raises(InputError, match="malformed"):
        optuna.load_study(study_name="s", storage=Storage(url)).get_trials()


FILL = """
import resource, sys
import optuna
from hw1.errors import InputError
from hw1.optuna_store.storage import Storage
study = optuna.create_study(storage=Storage(sys.argv[1]), study_name="s")
resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))
try:
    for i in range(1000):
        study.set_user_attr(f"attribute {i}", "x" * 2000)
except InputError as error:
    print(error)
"""


def test_a_disk_without_space_is_an_input_error(url: str) -> None:
    result = subprocess.run([sys.executable, "-c", FILL, url], capture_output=True, text=True)
    assert "check the disk's free space" in result.stdout, result.stderr
    study = optuna.load_study(study_name="s", storage=Storage(url))
    assert study.user_attrs["attribute 0"] == "x" * 2000


def test_a_database_that_another_program_has_locked_is_an_input_error(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hw1.locks.SPEAK_SECONDS", 0.0)
    monkeypatch.setattr("hw1.optuna_store.sqlite.SPEAK_SECONDS", 0.0)
    monkeypatch.setattr("hw1.locks.WAIT_SECONDS", 0.1)
    storage = Storage(url)
    code = f"""
import sqlite3
connection = sqlite3.connect({url.removeprefix("sqlite:///")!r}, isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
input()
"""
    other = subprocess.Popen([sys.executable, "-c", code], stdin=-1, stdout=-1, text=True)
    assert other.stdout is not None
    other.stdout.readline()
    with pytest.raises(InputError, match=f"locked for .* by process {other.pid}"):
        storage.study_names()
    other.communicate("\n")
    assert storage.study_names() == []


def drain(url: str, barrier: object) -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.load_study(study_name="s", storage=Storage(url))
    barrier.wait()  # type: ignore[attr-defined]
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
    at_once(drain, url)
    done = [t for t in study.get_trials() if t.state == TrialState.COMPLETE]
    assert sorted(t.params["job"] for t in done) == list(range(40))
    assert all(len(t.user_attrs) == 2 for t in done)


TABLES = ("values", "params", "intermediate_values", "user_attributes", "system_attributes")


def make_trial(number: int, state: TrialState = TrialState.RUNNING, **kwargs: Any) -> FrozenTrial:
    """A trial that is not stored yet."""
    trial = create_trial(state=state, **kwargs)
    trial.number = number
    return trial


def rich_trial(number: int) -> FrozenTrial:
    """A trial that has some of everything, in orders that are not the alphabet's."""
    return make_trial(
        number,
        TrialState.COMPLETE,
        values=[(-math.inf, 0.1, math.inf)[number % 3], float(number)],
        params={"z": 0.5, "a": "b", "n": 8, "m": True},
        distributions={
            "z": FloatDistribution(1e-3, 1, log=True),
            "a": CategoricalDistribution(["a", "b"]),
            "n": IntDistribution(0, 100 + 2 * number, step=2),
            "m": CategoricalDistribution([True, 1, None, "1"]),
        },
        user_attrs={f"k{i}": [number, {"i": i}] for i in (3, 1, 2)},
        system_attrs={"fixed_params": {"z": 0.5}},
        intermediate_values={9: 0.1, 2: math.inf, 5: -math.inf},
    )


@pytest.fixture
def storage(url: str) -> Storage:
    """A storage with a study of two objectives, whose id is 2."""
    storage = Storage(url)
    for name in ("other", "s"):
        study = optuna.create_study(
            study_name=name, storage=storage, directions=["minimize", "maximize"]
        )
        study.add_trial(rich_trial(0))
    return storage


def change(trial: FrozenTrial, **contents: Any) -> Change:
    """What is new of a stored trial."""
    new = copy.copy(trial)
    for name in ("params", "distributions", "user_attrs", "system_attrs", "intermediate_values"):
        setattr(new, name, {})
    for name, content in contents.items():
        setattr(new, name, content)
    return Change(trial.state, new)


@pytest.mark.parametrize("n_trials", [1, CHUNK + 1])
def test_trials_are_inserted_as_optuna_adds_them(n_trials: int, storage: Storage) -> None:
    trials = [rich_trial(number) for number in range(1, n_trials + 1)]
    ids = storage.insert_trials(2, trials)
    assert ids is not None
    stored = optuna.load_study(study_name="s", storage=storage.url).trials[1:]
    for trial, trial_id in zip(trials, ids, strict=True):
        trial._trial_id = trial_id
    assert stored == trials
    assert [list(t.params) for t in stored] == [list(t.params) for t in trials]
    other = optuna.load_study(study_name="other", storage=storage.url)
    other.add_trials(trials[:3])
    assert dump(storage, ids[0], ids[:3][-1]) == dump(storage, ids[-1] + 1, 10**6)


def dump(storage: Storage, first: int, last: int) -> dict[str, list[tuple[str, ...]]]:
    """What the tables hold of the trials with these ids, but for ids."""
    found = {}
    for table in TABLES:
        query = f"SELECT * FROM trial_{table} WHERE trial_id BETWEEN ? AND ?"
        rows = sql(storage.url, query, first, last)
        found[table] = sorted(tuple(map(repr, row[2:])) for row in rows)
    return found


def test_trials_that_do_not_continue_the_stored_ones_are_not_inserted(storage: Storage) -> None:
    for number in (0, 2):
        assert storage.insert_trials(2, [rich_trial(number)]) is None
    assert len(optuna.load_study(study_name="s", storage=storage.url).trials) == 1
    with pytest.raises(KeyError):
        storage.insert_trials(3, [rich_trial(0)])


def test_trials_are_read_as_optuna_reads_them(storage: Storage) -> None:
    study = optuna.load_study(study_name="s", storage=storage)
    for number in range(1, 6):
        study.add_trial(rich_trial(number))
    study.enqueue_trial({"z": 0.5})
    running = study.ask()
    running.set_user_attr("a", 1)
    study.ask()
    for arguments in [
        (None, set(), -1),
        (None, {3, 4}, 6),
        (None, set(range(50_000)), 6),
        ((TrialState.COMPLETE,), set(), -1),
        ([TrialState.RUNNING, TrialState.WAITING], {8}, 5),
        (None, set(), 100),
    ]:
        assert storage._get_trials(2, *arguments) == RDBStorage._get_trials(storage, 2, *arguments)
    assert [trial.number for trial in storage.trials_since(2, 6, {3})] == [1, 5, 6, 7]
    with pytest.raises(KeyError):
        storage.trials_since(3, -1, set())


def test_changes_are_written_as_optuna_writes_them(storage: Storage) -> None:
    study = optuna.load_study(study_name="s", storage=storage.url)
    attributes = {"a": "old", "b": "kept"}
    trials = [make_trial(n, user_attrs=attributes if n == 1 else {}) for n in range(1, CHUNK + 2)]
    storage.insert_trials(2, trials)
    first, *_, last = study.get_trials()[1:]
    others = [change(t, intermediate_values={0: 1.0}) for t in study.trials[2:-1]]
    ended = rich_trial(0)
    end = change(
        last,
        state=TrialState.COMPLETE,
        datetime_complete=ended.datetime_complete,
        **{name: getattr(ended, name) for name in ("values", "params", "distributions")},
    )
    news = change(
        first,
        user_attrs={"a": {"new": [1]}, "c": 1} | {f"k{i}": i for i in range(CHUNK)},
        system_attrs={"rung": 0.5},
        intermediate_values={1: math.nan, 0: math.inf},
    )
    assert storage.update_trials(2, [end, news, *others]) == []
    first, second, *_, last = study.trials[1:]
    assert first.user_attrs == news.new.user_attrs | {"b": "kept"}
    assert first.system_attrs == {"rung": 0.5}
    assert str(first.intermediate_values) == "{0: inf, 1: nan}"
    assert first.state == second.state == TrialState.RUNNING
    assert second.intermediate_values == {0: 1.0}
    assert last == end.new
    assert storage.update_trials(2, []) == []


def test_changes_of_trials_that_are_no_longer_as_they_were_are_refused(storage: Storage) -> None:
    study = optuna.load_study(study_name="s", storage=storage.url)
    running, ended = study.ask(), study.ask()
    for _ in range(3):
        study.enqueue_trial({})
    changes = [
        change(trial, state=TrialState.RUNNING, user_attrs={"a": 1}) for trial in study.trials[1:]
    ]
    study.tell(ended, state=TrialState.FAIL)
    taken, canceled = study.ask(), study.ask()
    study.tell(canceled, [0.0, 0.0])
    unknown = copy.copy(study.trials[1])
    unknown._trial_id = 1000
    refused = storage.update_trials(2, [*changes, change(unknown)])
    assert refused == [ended._trial_id, taken._trial_id, canceled._trial_id, 1000]
    trials = study.trials[1:]
    states = ["RUNNING", "FAIL", "RUNNING", "COMPLETE", "RUNNING"]
    assert [trial.state.name for trial in trials] == states
    assert [trial.number for trial in trials if trial.user_attrs] == [running.number, 5]


@pytest.mark.parametrize(
    ("other", "error", "reason"),
    [
        ({"z": FloatDistribution(1e-3, 1)}, ValueError, "log configuration"),
        ({"a": CategoricalDistribution(["b", "a"])}, ValueError, "dynamic value space"),
        ({"n": FloatDistribution(0, 10)}, ValueError, "different distribution kind"),
        ({}, TypeError, "not JSON serializable"),
    ],
)
def test_what_cannot_be_written_leaves_nothing_behind(
    other: dict[str, Any], error: type[Exception], reason: str, storage: Storage
) -> None:
    study = optuna.load_study(study_name="s", storage=storage.url)
    study.ask()
    before = study.trials
    good, bad = rich_trial(2), rich_trial(3)
    bad.distributions.update(other)
    if not other:
        bad.user_attrs["o"] = object()
    for _ in range(2):
        with pytest.raises(error, match=reason):
            storage.insert_trials(2, [good, bad])
        bad._trial_id = before[1]._trial_id
        with pytest.raises(error, match=reason):
            storage.update_trials(2, [Change(TrialState.RUNNING, bad)])
    assert optuna.load_study(study_name="s", storage=storage.url).trials == before


def test_distributions_are_compared_within_a_study_and_a_batch(storage: Storage) -> None:
    study_id = storage.get_study_id_from_name("other")
    optuna.delete_study(study_name="other", storage=storage)
    optuna.delete_study(study_name="s", storage=storage)
    optuna.create_study(study_name="new", storage=storage)
    assert storage.get_study_id_from_name("new") == study_id
    linear, logarithmic = FloatDistribution(0, 1), FloatDistribution(0.1, 1, log=True)
    one, other = (
        make_trial(number, params={"z": 0.5}, distributions={"z": distribution})
        for number, distribution in enumerate([linear, logarithmic])
    )
    with pytest.raises(ValueError, match="log configuration"):
        storage.insert_trials(study_id, [one, other])
    assert storage.insert_trials(study_id, [one]) is not None
    with pytest.raises(ValueError, match="log configuration"):
        storage.insert_trials(study_id, [other])
    optuna.delete_study(study_name="new", storage=storage)
    optuna.create_study(study_name="new", storage=storage)
    other.number = 0
    assert storage.insert_trials(study_id, [other]) is not None
