"""A report as a sequence of blocks, the same for the PDF and the page."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Literal

from hw1.analysis.figures.marks import Figure
from hw1.analysis.report.wording import (
    Code,
    Faint,
    Ref,
    Span,
    Strong,
    Text,
    clean,
    line,
)

LONGEST_CELL = 26
"""Characters in a column that is as wide as it needs."""

Kind = Literal["text", "code", "strong", "faint", "ref"]


@dataclass(frozen=True)
class Heading:
    """The title of a section (level 1) or of a part of one (2)."""

    title: str
    level: int = 1


@dataclass(frozen=True)
class Paragraph:
    """Sentences; with ``items``, a list of points follows."""

    text: Text
    items: Sequence[Text] = ()


@dataclass(frozen=True)
class Commands:
    """Lines to be typed."""

    lines: Sequence[str]


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        title: its head.
        right: whether it holds numbers, which end at its right edge.
        share: of the width that is left by columns without one, which are as wide as they need.
    """

    title: str
    right: bool = False
    share: float = 0.0


@dataclass(frozen=True)
class Table:
    """A table with its caption.

    Attributes:
        key: what a `Ref` calls it.
        caption: above it.
        columns: from the left.
        rows: one text a column; a single text is a heading of the rows below it.
        small: whether it is set in small type, for tables of many rows.
    """

    key: str
    caption: Text
    columns: Sequence[Column]
    rows: Sequence[Sequence[Text]]
    small: bool = False

    @cached_property
    def shares(self) -> list[float]:
        """Of the width that each column gets; 0 for one that is as wide as it needs.

        One with long words gets a share, too, although it names none.
        """
        whole = [row for row in self.rows if len(row) == len(self.columns)]
        return [
            column.share
            or float(max(len(column.title), *(_length(row[i]) for row in whole), 0) > LONGEST_CELL)
            for i, column in enumerate(self.columns)
        ]


def _length(text: Text) -> int:
    return sum(len(span if isinstance(span, str) else getattr(span, "text", "")) for span in text)


@dataclass(frozen=True)
class Picture:
    """A figure with its caption.

    Attributes:
        key: what a `Ref` calls it.
        figure: of plotly.
        study: the name of the study that it shows, or the names of several.
    """

    key: str
    figure: Figure
    study: Text


_MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)

Block = Heading | Paragraph | Commands | Table | Picture


@dataclass(frozen=True)
class Document:
    """A report, laid out.

    Attributes:
        title, author: author is empty if nobody is named.
        date: of the results.
        main: introduction, method and results.
        appendix: what follows.
    """

    title: str
    author: str
    date: datetime
    main: Sequence[Block]
    appendix: Sequence[Block]
    numbers: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "numbers", dict(self._numbered()))

    @property
    def day(self) -> str:
        """The date in words."""
        return f"{self.date.day} {_MONTHS[self.date.month - 1]} {self.date.year}"

    def _numbered(self) -> Iterator[tuple[str, str]]:
        """Tables and figures in their order: "Table 1", and "Table A1" in the appendix."""
        for prefix, blocks in (("", self.main), ("A", self.appendix)):
            for kind, word in ((Table, "Table"), (Picture, "Figure")):
                those = [block for block in blocks if isinstance(block, kind)]
                yield from ((b.key, f"{word} {prefix}{i}") for i, b in enumerate(those, 1))

    def spans(self, text: Text) -> Iterator[tuple[Kind, str, str]]:
        """The kind and the words of each span, and what it refers to."""
        for span in text:
            yield self._span(span)

    def _span(self, span: Span) -> tuple[Kind, str, str]:
        match span:
            case Ref(key):
                return "ref", self.numbers[key], key
            case Code(words):
                return "code", clean(words), ""
            case Strong(words):
                return "strong", clean(words), ""
            case Faint(words):
                return "faint", clean(words), ""
            case _:
                return "text", clean(span), ""


def caption(picture: Picture) -> Text:
    """What stands below a figure."""
    figure = picture.figure
    return line(Strong(f"{figure.title}. "), picture.study, f". {figure.caption}")
