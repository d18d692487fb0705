"""Writing a report."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from hw1.analysis.analyze import default_folder
from hw1.analysis.figures.marks import Figure
from hw1.analysis.figures.matplotlib import svg
from hw1.analysis.report.commands import Commander
from hw1.analysis.report.document import Document, blocks_of
from hw1.analysis.report.facts import Facts
from hw1.analysis.report.figures import Shown, main_figures
from hw1.analysis.report.fit import fit, fonts_for, pdf
from hw1.analysis.report.gather import Folder, gather
from hw1.analysis.report.render import clean, render
from hw1.analysis.report.to_html import to_html
from hw1.analysis.results import StudyResults
from hw1.errors import InputError, require_suffix
from hw1.places import REPORT_FILE, home


@dataclass(frozen=True)
class Report:
    """The files of a report, and what they lack.

    Attributes:
        pdf, page: the files.
        missing: what is not in storage, each with the command that would fill it.
    """

    pdf: Path
    page: Path
    missing: list[tuple[str, str]]


def write_report(
    studies: Sequence[StudyResults],
    output: Path | None = None,
    *,
    author: str = "",
    title: str | None = None,
    options: Sequence[str] = (),
    folder: Folder = default_folder,
) -> Report:
    """Write a report of stored studies: a PDF, and beside it the same as one page of HTML.

    Everything comes from storage and from the figures that `hw1.analysis.analyze` has stored;
    nothing is trained and no data are loaded. Introduction, method, results and discussion have
    `hw1.analysis.report.fit.MOST_PAGES` pages at most; what does not fit is in the appendix. The
    same input gives the same files.

    Args:
        studies: one or more, each with a completed trial.
        output: the name of either file; the other one's differs in its suffix. None for one in
            ``storage/reports``.
        author: who hands it in; nobody if it is empty.
        title: of the report; None for one that names the data.
        options: what each command in the report is given besides, such as
            ``("--storage", "sqlite:///studies.db")``.
        folder: where the figures of a study are.

    Returns:
        The files, and what they lack because it is not stored.

    Raises:
        InputError: no study, one twice, one without a completed trial, another suffix, or a
            folder that cannot be written to.
    """
    stem = studies[0].file_stem if len(studies) == 1 else "report"
    output = output or home() / "storage" / "reports" / f"{stem}.pdf"
    require_suffix(output, *REPORT_FILE)
    facts = replace(gather(studies, folder), author=author, title=title or "", options=options)
    pdf, page = files_of(facts)
    paths = output.with_suffix(".pdf"), output.with_suffix(".html")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        for path, content in zip(paths, (pdf, page), strict=True):
            path.write_bytes(content)
    except OSError as error:
        raise InputError(
            f"the report can't be written to {output.parent} ({error.strerror}): choose another "
            "--output"
        ) from error
    return Report(*paths, list(Commander(facts).missing()))


def files_of(facts: Facts) -> tuple[bytes, bytes]:
    """The PDF and the page; see `write_report`."""
    markdown, figures = written(facts)
    title, author = clean(facts.heading), clean(facts.author)
    document = Document(title, author, facts.date, blocks_of(markdown), figures)
    draw = cache(svg)
    with fonts_for("".join([title, author, markdown])) as fonts:
        document = fit(document, fonts)
        return pdf(document, draw, fonts), to_html(document, draw).encode()


def written(facts: Facts) -> tuple[str, dict[str, Figure]]:
    """The report as Markdown, and all its figures by their keys."""
    by_study = [
        [
            Shown(f"figure-{i}-{j}", replace(figure, title=clean(figure.title)), [study.name])
            for j, figure in enumerate(study.figures)
        ]
        for i, study in enumerate(facts.studies)
    ]
    in_main, every = [], [one for those in by_study for one in those]
    for i, problem in enumerate(facts.problems):
        joint = None
        if problem.distribution is not None:
            names = [study.name for study in problem.studies]
            joint = Shown(f"figure-problem-{i}", problem.distribution, names)
            every.append(joint)
        in_main.append(main_figures(by_study[facts.studies.index(problem.lead)], joint))
    keys = {one.key for those in in_main for one in those}
    commander = Commander(facts)
    markdown = render(
        {
            "facts": facts,
            "main_figures": in_main,
            "further_figures": [[s for s in those if s.key not in keys] for those in by_study],
            "trials_command": commander.trials,
            "commands": list(commander.everything()),
        }
    )
    return markdown, {one.key: one.figure for one in every}
