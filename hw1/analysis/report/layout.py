"""A report as the template takes it: which figures stand side by side, and how large."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

from hw1.analysis.figures.marks import Figure
from hw1.analysis.figures.style import WIDTH
from hw1.analysis.report.document import (
    Block,
    Commands,
    Document,
    Heading,
    Paragraph,
    Picture,
    Table,
    caption,
)
from hw1.analysis.report.drawings import is_narrow, size
from hw1.analysis.report.wording import clean, shortened

HALF_SIZE = 430, 290
"""Pixels of a figure that has another one beside it: its text is nearly as large as in wide
ones."""
ALONE_HEIGHT = 330
"""Pixels of one that could have but has not."""
TALLEST = {"main": 0.42, "appendix": 0.72}
"""The height of a figure, as a share of the text's width, beyond which it is made narrower."""
NARROWEST = 0.66
"""What it keeps of the text's width; narrower, its text could not be read."""
BESIDE = 0.72
"""A figure of at most this share of the width has its caption beside it."""
COLUMNS_IN_HALF, ROWS_TO_HALVE = 2, 10
"""A table of so few columns and so many rows becomes two, side by side."""
LONGEST_WHOLE = 18
"""Rows of a table that stays on one page; the text flows around it."""
LONGEST_ROW = 2000
"""Characters in a row of a table that is not divided between pages."""
RUNNING_TITLE = 90
"""Characters of the title above the pages."""

Part = Literal["main", "appendix"]
Drawer = Callable[[Figure, int, int], str]
"""Draws a figure with a width and a height in pixels as SVG."""


def layout(document: Document, draw: Drawer, *, measure: bool) -> dict[str, Any]:
    """The document as JSON can hold it.

    Args:
        document: the report.
        draw: draws its figures.
        measure: whether the main part is to be measured; the appendix is then left out.
    """
    title, author = clean(document.title), clean(document.author)
    return {
        "title": title,
        "author": author,
        "running": shortened(title, RUNNING_TITLE),
        "running_author": shortened(author),
        "date": document.day,
        "measure": measure,
        "main": list(_blocks(document, "main", draw)),
        "appendix": [] if measure else list(_blocks(document, "appendix", draw)),
    }


def _blocks(document: Document, part: Part, draw: Drawer) -> Iterator[dict[str, Any]]:
    section = 0
    for row in _rows(document.main if part == "main" else document.appendix):
        block = row[0]
        match block:
            case Heading():
                section += block.level == 1
                yield {"block": "heading", "title": clean(block.title), "level": block.level}
            case Paragraph():
                items = [list(document.spans(item)) for item in block.items]
                text = list(document.spans(block.text))
                yield {"block": "paragraph", "text": text, "items": items}
            case Commands():
                yield {"block": "commands", "lines": [clean(line) for line in block.lines]}
            case Table():
                # Not above the first words of the report.
                yield _table(document, block, may_float=part == "main" and section > 1)
            case Picture():
                pictures = [p for p in row if isinstance(p, Picture)]
                drawn = [_picture(document, part, p, len(pictures), draw) for p in pictures]
                yield {"block": "row", "pictures": drawn}


def _rows(blocks: Sequence[Block]) -> Iterator[list[Block]]:
    """Each block by itself; a narrow figure with the next one if that is narrow, too."""
    row: list[Block] = []
    for block in blocks:
        if len(row) == 1 and _is_narrow(row[0]) and _is_narrow(block):
            yield [*row, block]
            row = []
        else:
            yield from [row] if row else []
            row = [block]
    yield from [row] if row else []


def _is_narrow(block: Block) -> bool:
    return isinstance(block, Picture) and is_narrow(block.figure)


def _picture(
    document: Document, part: Part, picture: Picture, n_in_row: int, draw: Drawer
) -> dict[str, Any]:
    figure = picture.figure
    width, height = size(figure)
    if is_narrow(figure):
        width, height = HALF_SIZE if n_in_row > 1 else (WIDTH, ALONE_HEIGHT)
    share = min(1.0, max(NARROWEST, TALLEST[part] * width / height))
    return {
        "key": picture.key,
        "number": document.numbers[picture.key],
        "caption": list(document.spans(caption(picture))),
        "alt": clean(figure.title),
        "svg": draw(figure, width, height),
        "width": share if n_in_row == 1 else 1.0,
        "beside": n_in_row == 1 and share <= BESIDE,
    }


def _table(document: Document, table: Table, *, may_float: bool) -> dict[str, Any]:
    rows = [[list(document.spans(cell)) for cell in row] for row in table.rows]
    halves = _halves(table, rows)
    long = table.small or (len(halves) == 1 and len(rows) > LONGEST_WHOLE)
    return {
        "block": "table",
        "key": table.key,
        "number": document.numbers[table.key],
        "caption": list(document.spans(table.caption)),
        "columns": [
            {"title": clean(column.title), "right": column.right, "share": share}
            for column, share in zip(table.columns, table.shares, strict=True)
        ],
        "halves": halves,
        "breakable": long,
        "floats": may_float and not long,
        "small": table.small,
        "whole_rows": max((sum(map(_length, row)) for row in rows), default=0) < LONGEST_ROW,
    }


def _length(cell: Sequence[tuple[str, str, str]]) -> int:
    return sum(len(words) for _, words, _ in cell)


def _halves(table: Table, rows: list[Any]) -> list[list[Any]]:
    """The rows; of a long table of few columns its two halves, to stand side by side.

    A group of rows that is divided has its heading in both.
    """
    if len(table.columns) > COLUMNS_IN_HALF or len(rows) < ROWS_TO_HALVE or table.small:
        return [rows]
    middle = (len(rows) + 1) // 2
    first, second = rows[:middle], rows[middle:]
    heading = next((row for row in reversed(first) if len(row) == 1), None)
    if heading is not None and len(second[0]) > 1:
        second = [heading, *second]
    return [first[:-1] if len(first[-1]) == 1 else first, second]
