"""A dashboard that answers, over a study with artifacts."""

import http.client
import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.artifacts import FileSystemArtifactStore, upload_artifact
from PIL import Image

from hw1.dashboard.server import DashboardServer, listen
from hw1.optuna_store.storage import Storage


@dataclass
class Shown:
    """What a test's dashboard shows: a study of one trial with a PNG and an HTML artifact."""

    storage: Storage
    folder: Path
    study_id: int = 0
    trial_id: int = 0
    png: str = ""
    html: str = ""

    @property
    def place(self) -> str:
        """Where the artifacts are served."""
        return f"artifacts/{self.study_id}/{self.trial_id}"

    def study_names(self) -> list[str]:
        """Read by plain Optuna."""
        return optuna.get_all_study_names(self.storage.url)


@pytest.fixture
def shown(tmp_path: Path, url: str) -> Shown:
    """The study is called kept."""
    folder = tmp_path / "artifacts"
    folder.mkdir()
    Image.new("RGB", (37, 23), "red").save(tmp_path / "red.png")
    (tmp_path / "page.html").write_text("<p>harmless</p><script>document.title = 'ran'</script>")
    storage, store = Storage(url), FileSystemArtifactStore(folder)
    study = optuna.create_study(storage=storage, study_name="kept")
    trial = study.ask()
    trial.suggest_float("learning_rate", 0.25, 0.25)
    png, html = (
        upload_artifact(artifact_store=store, file_path=str(tmp_path / name), study_or_trial=trial)
        for name in ("red.png", "page.html")
    )
    study.tell(trial, 0.5)
    return Shown(storage, folder, study._study_id, trial._trial_id, png, html)


@contextmanager
def serving(shown: Shown, **options: Any) -> Iterator[DashboardServer]:
    """A dashboard that answers while the test goes on."""
    with listen(shown.storage, shown.folder, port=0, **options) as server:
        thread = threading.Thread(target=server.run)
        thread.start()
        try:
            yield server
        finally:
            server.stop()
            thread.join()


def ask(
    server: DashboardServer, method: str, path: str, body: Any = None, **headers: str
) -> tuple[int, http.client.HTTPMessage, bytes]:
    """The status, headers and content that a real server answers with."""
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    if body is not None:
        given["Content-Type"] = "application/json"
        body = body if isinstance(body, bytes) else json.dumps(body)
    host = "::1" if "[" in server.url else "127.0.0.1"
    with closing(http.client.HTTPConnection(host, server.port, timeout=60)) as connection:
        connection.request(method, path, body, given)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()


def dump(url: str) -> list[str]:
    """All that a SQLite database holds."""
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
        return list(connection.iterdump())
