"""Writing a report."""

from collections.abc import Sequence
from pathlib import Path

from hw1.analysis.analyze import default_folder
from hw1.analysis.report.compose import draft
from hw1.analysis.report.content import Folder, collect
from hw1.analysis.report.drawings import Drawings
from hw1.analysis.report.page import to_page
from hw1.analysis.report.pdf import Typesetter
from hw1.analysis.results import StudyResults
from hw1.errors import InputError
from hw1.places import home

SUFFIXES = (".pdf", ".html")


def default_output(studies: Sequence[StudyResults]) -> Path:
    """Where a report is written to unless a file is named."""
    stem = studies[0].file_stem if len(studies) == 1 else "report"
    return home() / "storage" / "reports" / f"{stem}.pdf"


def check_output(output: Path) -> None:
    """Raise an `InputError` if a report cannot have this name."""
    if output.suffix.lower() not in SUFFIXES:
        raise InputError(
            f"a report is a PDF and a page of HTML: end {output.name!r} in .pdf or .html"
        )


def write_report(
    studies: Sequence[StudyResults],
    output: Path | None = None,
    *,
    author: str = "",
    title: str | None = None,
    options: Sequence[str] = (),
    folder: Folder = default_folder,
) -> tuple[Path, Path]:
    """Write a report of stored studies: a PDF, and beside it the same as one page of HTML.

    Everything comes from storage and from the figures that `hw1.analysis.analyze` has stored;
    nothing is trained and no data are loaded. What is missing is named, with the command that
    would fill it. Introduction, method and results have `hw1.analysis.report.pdf.MOST_PAGES`
    pages at most; what does not fit is in the appendix. The same input gives the same files.

    Args:
        studies: one or more, each with a completed trial.
        output: the name of either file; the other one's differs in its suffix. None for
            `default_output`.
        author: who hands it in; nobody if it is empty.
        title: of the report; None for one that names the data.
        options: what each command in the report is given besides, such as
            ``("--storage", "sqlite:///studies.db")``.
        folder: where the figures of a study are.

    Returns:
        The paths of the PDF and of the page.

    Raises:
        InputError: no study, one twice, one without a completed trial, another suffix, or a
            folder that cannot be written to.
    """
    if studies and output is None:
        output = default_output(studies)
    if output is not None:
        check_output(output)
    written = draft(collect(studies, folder), author=author, title=title, options=options)
    assert output is not None, "without studies nothing is collected"
    drawings = Drawings()
    with Typesetter(drawings) as typesetter:
        document = typesetter.fit(written)
        files = {".pdf": typesetter.pdf(document), ".html": to_page(document, drawings).encode()}
    paths = {suffix: output.with_suffix(suffix) for suffix in files}
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        for suffix, content in files.items():
            paths[suffix].write_bytes(content)
    except OSError as error:
        raise InputError(
            f"the report can't be written to {output.parent} ({error.strerror}): choose another "
            "--output"
        ) from error
    return paths[".pdf"], paths[".html"]
