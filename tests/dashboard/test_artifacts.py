"""Whatever a database calls an artifact, nothing but an artifact is read, written or removed."""

import io
import json
import os
import uuid
from collections.abc import Callable
from pathlib import Path

import optuna
import pytest
from conftest import call
from dashboard.conftest import Shown, ask, serving
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from optuna.artifacts.exceptions import ArtifactNotFound

from hw1.dashboard.artifacts import ArtifactStore
from hw1.optuna_store.storage import Storage, artifact_folder
from hw1.study import Study

NAME = str(uuid.uuid4())


def tree(folder: Path) -> dict[str, bytes | None]:
    """All files and links below a folder, with what they hold."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


def hostile_ids(tmp_path: Path) -> list[str]:
    """Names of files that are no artifacts; some lie in the folder of artifacts."""
    folder = tmp_path / "artifacts"
    folder.mkdir()
    (tmp_path / "thesis.tex").write_text("chapter one")
    (tmp_path / NAME).write_text("chapter two")
    (folder / "thesis.tex").write_text("chapter three")
    (folder / "link").symlink_to(tmp_path)
    (folder / NAME).symlink_to(tmp_path / "thesis.tex")
    os.mkfifo(folder / str(uuid.UUID(int=7)))
    return [
        str(tmp_path / "thesis.tex"),
        "../thesis.tex",
        f"../{NAME}",
        f"{NAME}/../../thesis.tex",
        "link/thesis.tex",
        f"link/{NAME}",
        NAME,
        "thesis.tex",
        "",
        ".",
        "..",
        "\0",
        f"{NAME}\n",
        str(uuid.UUID(int=7)),
        "x" * 5000,
    ]


def test_deleting_a_study_removes_no_file_but_artifacts(
    make_study: Callable[..., Study], url: str, tmp_path: Path
) -> None:
    study = make_study()
    ids = hostile_ids(tmp_path)
    artifact, others = str(uuid.uuid4()), str(uuid.uuid4())
    for name in (artifact, others):
        ArtifactStore(artifact_folder(url)).write(name, io.BytesIO(b"of this study, or another"))
    study_id = study.storage.get_study_id_from_name("tiny")
    trial = study.optuna_study.ask()
    for name in [*ids, artifact]:
        meta = json.dumps({"artifact_id": name, "filename": "f", "mimetype": "text/plain"})
        if len(name) < 500:
            study.storage.set_study_system_attr(study_id, f"artifacts:{name}", meta)
        study.storage.set_trial_system_attr(trial._trial_id, f"artifacts:{name[:500]}", meta)
    before = tree(tmp_path)
    assert call(url, "delete", "tiny", "--yes").exit_code == 0
    assert optuna.get_all_study_names(url) == []
    gone = before.keys() - tree(tmp_path).keys()
    assert {name for name in gone if not name.startswith("studies.db")} == {f"artifacts/{artifact}"}


def test_nothing_else_is_read_or_written(tmp_path: Path) -> None:
    ids = hostile_ids(tmp_path)
    store = ArtifactStore(tmp_path / "artifacts")
    before = tree(tmp_path)
    for name in ids:
        with pytest.raises(ArtifactNotFound):
            store.open_reader(name)
        if name not in (NAME, str(uuid.UUID(int=7))):
            with pytest.raises(ValueError, match="named by no UUID"):
                store.write(name, io.BytesIO(b"other"))
        store.remove(name)
    assert tree(tmp_path) == before


@given(name=st.uuids(), content=st.binary())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_an_artifact_is_kept_until_it_is_removed(
    name: uuid.UUID, content: bytes, tmp_path: Path
) -> None:
    store = ArtifactStore(tmp_path / "made" / "artifacts")
    store.write(str(name), io.BytesIO(content))
    with store.open_reader(str(name)) as file:
        assert file.read() == content
    store.remove(str(name))
    store.remove(str(name))
    with pytest.raises(ArtifactNotFound):
        store.open_reader(str(name))


@pytest.mark.parametrize("meta", ["[]", "7", "{}", "{"])
def test_an_artifact_of_which_nonsense_is_said_is_not_found(
    meta: str, url: str, tmp_path: Path
) -> None:
    storage = Storage(url)
    study = optuna.create_study(storage=storage)
    store = ArtifactStore(tmp_path / "artifacts")
    store.write(NAME, io.BytesIO(b"red"))
    storage.set_study_system_attr(study._study_id, f"artifacts:{NAME}", meta)
    with serving(Shown(storage, tmp_path / "artifacts")) as server:
        assert ask(server, "GET", f"/artifacts/{study._study_id}/{NAME}")[0] == 404
