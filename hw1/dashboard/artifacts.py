"""The files that belong to studies, which their database names."""

import contextlib
import io
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import BinaryIO

from optuna.artifacts import FileSystemArtifactStore
from optuna.artifacts.exceptions import ArtifactNotFound

from hw1.optuna_store.dashboard import file_ids
from hw1.optuna_store.storage import Storage, artifact_folder

ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
"""A UUID, which is what Optuna, its dashboard and hw1 name an artifact by."""


class ArtifactStore(FileSystemArtifactStore):
    """A folder of artifacts, which is made when the first one comes.

    A database may come from anybody, and name any file. Optuna's store refuses what is outside
    the folder; here nothing but a UUID is an artifact at all, so that a folder that is called
    ``artifacts`` for another reason, and links in it, are left alone too.

    Args:
        folder: where they are.
        made: gives the content of an artifact that is in no file, or None.
    """

    def __init__(
        self, folder: Path, made: Callable[[str], bytes | None] = lambda artifact_id: None
    ) -> None:
        super().__init__(folder)
        self._folder, self._made = folder, made

    def open_reader(self, artifact_id: str) -> BinaryIO:
        """Raises `ArtifactNotFound` for what is no regular file of that name."""
        content = self._made(artifact_id)
        if content is not None:
            return io.BytesIO(content)
        if not self._has(artifact_id):
            raise ArtifactNotFound("not found")
        return super().open_reader(artifact_id)

    def write(self, artifact_id: str, content_body: BinaryIO) -> None:
        """Keep a new artifact."""
        if not ID.fullmatch(artifact_id):
            raise ValueError(f"the artifact {artifact_id!r} is named by no UUID")
        self._folder.mkdir(parents=True, exist_ok=True)
        super().write(artifact_id, content_body)

    def remove(self, artifact_id: str) -> None:
        """Remove an artifact; one that is gone or never was one is no error.

        Otherwise a study could not be deleted without all its files.
        """
        if self._has(artifact_id):
            with contextlib.suppress(ArtifactNotFound):
                super().remove(artifact_id)

    def _has(self, artifact_id: object) -> bool:
        if not isinstance(artifact_id, str) or not ID.fullmatch(artifact_id):
            return False
        path = self._folder / artifact_id
        return path.is_file() and not path.is_symlink()


def artifact_ids(storage: Storage, name: str) -> list[str]:
    """The files of a study, hw1's or not, and of its trials."""
    study_id = storage.get_study_id_from_name(name)
    trials = storage.get_all_trials(study_id, deepcopy=False)
    owners = [storage.get_study_system_attrs(study_id), *(trial.system_attrs for trial in trials)]
    return [file_id for attributes in owners for file_id in file_ids(attributes)]


def remove_artifacts(artifacts: Iterable[str], url: str) -> None:
    """Remove files of a study that has been deleted, as `ArtifactStore` does."""
    store = ArtifactStore(artifact_folder(url))
    for artifact_id in artifacts:
        store.remove(artifact_id)
