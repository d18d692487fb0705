"""A report's blocks in their order: what stands in the main part, and what in the appendix."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from hw1.analysis.report.appendix import appendix
from hw1.analysis.report.commands import Commander
from hw1.analysis.report.content import Content
from hw1.analysis.report.document import Block, Document, Picture, Table
from hw1.analysis.report.introduction import introduction
from hw1.analysis.report.method import method
from hw1.analysis.report.pictures import rank
from hw1.analysis.report.results import results

CORE_FIGURES = 6
"""Figures that come before the tables of hyperparameters when room is short."""

LONG = 45
"""Rows of a table that gives way to every figure."""

_SHORT_TABLES = ("data", "scores", "tests", "searches", "pairs")


@dataclass(frozen=True)
class Draft:
    """A report whose tables and figures can go to the appendix.

    Attributes:
        content: what it says.
        title, author: author is empty if nobody is named.
        commander: for the commands.
        command: the one that writes the report.
        blocks: the main part with everything in it.
    """

    content: Content
    title: str
    author: str
    commander: Commander
    command: str
    blocks: Sequence[Block]

    def ranking(self) -> list[str]:
        """The keys of what can be moved, the most important first.

        Short tables, a few figures, tables of hyperparameters, the other figures; last are very
        long tables, and what is missing.
        """
        tables = {block.key: block for block in self.blocks if isinstance(block, Table)}
        late = [k for k, table in tables.items() if len(table.rows) > LONG or k == "missing"]
        short = [key for key in _SHORT_TABLES if key in tables and key not in late]
        others = [key for key in tables if key not in (*short, *late)]
        pictures = [block for block in self.blocks if isinstance(block, Picture)]
        pictures.sort(key=lambda picture: rank(picture.figure))
        figures = [picture.key for picture in pictures]
        return [*short, *figures[:CORE_FIGURES], *others, *figures[CORE_FIGURES:], *late]

    def document(self, kept: Collection[str]) -> Document:
        """The report with these tables and figures in its main part."""
        main, moved = [], []
        for block in self.blocks:
            if isinstance(block, Table | Picture) and block.key not in kept:
                moved.append(block)
            else:
                main.append(block)
        rest = appendix(self.content, self.commander, moved, kept, self.command)
        return Document(self.title, self.author, self.content.date, main, rest)


def draft(
    content: Content, *, author: str = "", title: str | None = None, options: Sequence[str] = ()
) -> Draft:
    """A report with everything in its main part.

    Args:
        content: what it says.
        author: whose report it is.
        title: its title; None for one that names the data.
        options: what every command in it is given besides; see `Commander`.
    """
    commander = Commander(options)
    blocks = [
        *introduction(content, commander),
        *method(content),
        *results(content, commander),
    ]
    data = list(dict.fromkeys(study.settings.dataset for study in content.studies))
    about = " and ".join(data) if len(data) < 3 else f"{len(data)} data sets"
    return Draft(
        content=content,
        title=title or f"Hyperparameter studies of networks for {about}",
        author=author,
        commander=commander,
        command=commander.report(content, author, title),
        blocks=blocks,
    )
