"""A report as a document of typst: a walk over the tree of its Markdown.

Every text becomes a string, so that no character of it is markup; `look.typ` says how all looks.
"""

from collections.abc import Callable, Iterator, Sequence
from importlib.resources import files
from itertools import groupby

from markdown_it.tree import SyntaxTreeNode

from hw1.analysis.figures.marks import Figure
from hw1.analysis.figures.style import WIDTH
from hw1.analysis.report.document import Block, Document
from hw1.analysis.report.figures import is_narrow

HALF_SIZE = 430, 290
"""Pixels of a figure that has another one beside it: its text is nearly as large as in wide
ones."""
ALONE_HEIGHT = 330
"""Pixels of one that could have but has not."""
TALLEST = 0.42
"""The height of a figure, as a share of the text's width, beyond which it is made narrower."""
NARROWEST = 0.66
"""What it keeps of the text's width; narrower, its text could not be read."""
BESIDE = 0.72
"""A figure of at most this share of the width has its caption beside it."""
COLUMNS_IN_HALF, ROWS_TO_HALVE = 2, 10
"""A table of so few columns and so many rows becomes two, side by side."""
LONGEST_WHOLE = 18
"""Rows of a table that stays on one page; the text flows around it."""

_FORMS = {
    "inline": "…",
    "softbreak": " ",
    "hardbreak": " ",
    "strong": "#strong[…];",
    "em": "#emph[…];",
    "paragraph": "#paragraph[…]\n",
    "container_commands": "#commands[…]",
    "container_landscape": "#set page(flipped: true)",
    "footnote_block": "#references(…)",
    "footnote": "[…], ",
    "footnote_anchor": "",
}
"""What becomes of a node of markdown-it, with what is in it for the dots."""

Draw = Callable[[Figure, int, int], str]
"""Draws a figure with a width and a height in pixels, as SVG."""


def to_typst(document: Document, draw: Draw, *, whole: bool = True) -> str:
    """The report's source, `look.typ` and calls of its functions; its appendix if ``whole``."""
    look = (files("hw1.analysis.report") / "look.typ").read_text(encoding="utf-8")
    walk = _Walk(document, draw)
    main = "\n\n".join(walk.blocks(document.main))
    appendix = "\n\n".join(walk.blocks(document.appendix if whole else [], in_appendix=True))
    about = ", ".join(map(quoted, (document.title, document.author, document.day)))
    return f"{look}\n#show: report.with({about})\n\n{main}\n\n#appendix[\n{appendix}\n]\n"


def quoted(text: str) -> str:
    """A string of typst's."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ") + '"'


class _Walk:
    def __init__(self, document: Document, draw: Draw) -> None:
        self._numbers, self._figures, self._draw = document.numbers, document.figures, draw

    def blocks(self, blocks: Sequence[Block], *, in_appendix: bool = False) -> Iterator[str]:
        section = 0
        for row in self._rows(blocks):
            block = row[0]
            match block.kind:
                case "figure":
                    drawn = [self._figure(b, alone=len(row) == 1) for b in row]
                    yield f"#row({_bool(not in_appendix)}, {', '.join(drawn)})"
                case "table":
                    # Not above the first words of the report.
                    yield self._table(block, floats=section > 1 and not in_appendix)
                case _:
                    section += block.kind == "heading" and block.level == 1
                    yield self._node(block.node)

    def _rows(self, blocks: Sequence[Block]) -> Iterator[list[Block]]:
        """Each block by itself, but narrow figures that follow each other in pairs."""
        for narrow, those in groupby(blocks, self._is_narrow):
            some, n = list(those), 2 if narrow else 1
            yield from (some[i : i + n] for i in range(0, len(some), n))

    def _is_narrow(self, block: Block) -> bool:
        return block.kind == "figure" and is_narrow(self._figures[block.key])

    def _figure(self, block: Block, *, alone: bool) -> str:
        figure = self._figures[block.key]
        width, height = figure.size
        if is_narrow(figure):
            width, height = (WIDTH, ALONE_HEIGHT) if alone else HALF_SIZE
        share = min(1.0, max(NARROWEST, TALLEST * width / height)) if alone else 1.0
        caption = self._inside(block.node.children[0].children[0])
        drawn = quoted(self._draw(figure, width, height))
        return (
            f"pictured({self._named(block)}, [{caption}], {drawn}, {quoted(figure.title)}, "
            f"share: {share:.4f}, beside: {_bool(share <= BESIDE)})"
        )

    def _table(self, block: Block, *, floats: bool) -> str:
        head, *rows = block.rows
        halves = _halves(rows, len(block.shares)) if not block.small else [rows]
        long = block.small or (len(halves) == 1 and len(rows) > LONGEST_WHOLE)
        titles = [
            f"(share: {share:.0f}, right: {_bool(cell.attrs['class'] == 'right')}, "
            f"title: [{self._inside(cell)}])"
            for share, cell in zip(block.shares, head.children, strict=True)
        ]
        inner = ", ".join(f"({' '.join(map(self._row, half))})" for half in halves)
        return (
            f"#tabulated({self._named(block)}, [{self._inside(block.node.children[0])}], "
            f"({', '.join(titles)},), "
            f"({inner},), small: {_bool(block.small)}, breakable: {_bool(long)}, "
            f"floats: {_bool(floats and not long)})"
        )

    def _row(self, row: SyntaxTreeNode) -> str:
        """The cells of a row as an array; a single one is the heading of a group."""
        return f"({' '.join(f'[{self._inside(cell)}],' for cell in row.children)}),"

    def _named(self, block: Block) -> str:
        return f"{quoted(block.key)}, {quoted(self._numbers[block.key])}"

    def _inside(self, node: SyntaxTreeNode) -> str:
        return "".join(map(self._node, node.children))

    def _node(self, node: SyntaxTreeNode) -> str:
        inner = self._inside(node)
        if node.type in _FORMS:
            return _FORMS[node.type].replace("…", inner)
        match node.type:
            case "text":
                return f"#{quoted(node.content)};"
            case "code_inline":
                return f"#raw({quoted(node.content)});"
            case "math_inline":
                return f"${node.content}$"
            case "math_block":
                return f"$ {node.content.strip()} $"
            case "link":
                target = str(node.attrs["href"]).removeprefix("#")
                return f"#refer({quoted(target)}, {quoted(self._numbers[target])});"
            case "footnote_ref":
                return f"#cite-number({node.meta['id'] + 1});"
            case "heading":
                return f"#heading(level: {node.tag[1:]})[{inner}]"
        raise AssertionError(f"a report has no {node.type}")


def _bool(value: bool) -> str:
    return "true" if value else "false"


def _halves(rows: list[SyntaxTreeNode], n_columns: int) -> list[list[SyntaxTreeNode]]:
    """The rows; of a long table of few columns its two halves, to stand side by side.

    A group of rows that is divided has its heading in both.
    """
    if n_columns > COLUMNS_IN_HALF or len(rows) < ROWS_TO_HALVE:
        return [rows]
    middle = (len(rows) + 1) // 2
    first, second = rows[:middle], rows[middle:]
    heading = next((row for row in reversed(first) if _is_heading(row)), None)
    if heading is not None and not _is_heading(second[0]):
        second = [heading, *second]
    return [first[:-1] if _is_heading(first[-1]) else first, second]


def _is_heading(row: SyntaxTreeNode) -> bool:
    return "colspan" in row.children[0].attrs
