"""A report's Markdown as blocks that can be moved, numbered and referred to.

Beside CommonMark and pipe tables a report is written with

- ``::: table KEY RANK`` … ``:::``, a caption and a table. The lower the rank, the longer it stays
  in the main part; without one it stays where it is. ``small`` sets it in small type. A row whose
  only cell is ``*emphasized*`` is the heading of the rows below it;
- ``![caption](KEY)``, the figure of this key in a paragraph of its own;
- ``[](#KEY)``, which becomes "Table 2", and ``[^name]``, a citation: references are numbered in
  the order in which they are cited, and those that are not cited are left out;
- ``$…$``, an equation in the notation of typst (https://typst.app/docs/reference/math);
- ``::: commands`` … ``:::``, paragraphs to be typed;
- ``::: landscape`` ``:::``, after which pages are wider than high;
- ``---``, after which the appendix begins, and in it ``::: moved references``, where these go, and
  ``::: moved tables`` and ``::: moved figures``, for those for which the main part has no room.

A heading with nothing below it is left out. In code, too, ``&#42;`` is a star.
"""

import html
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal

from markdown_it import MarkdownIt
from markdown_it.token import Token
from mdit_py_plugins.container import container_plugin
from mdit_py_plugins.dollarmath import dollarmath_plugin
from mdit_py_plugins.footnote import footnote_plugin

LONGEST_CELL = 26
"""Characters in a column that is as wide as it needs; others share the width that is left."""
LONGEST_SHARE = 90
"""Characters from which on a column gets no larger share."""
CONTAINERS = ("table", "commands", "moved", "landscape")

Kind = Literal["heading", "table", "figure", "commands", "moved", "rule", "references", "text"]


def parser() -> MarkdownIt:
    """Reads a report's Markdown. HTML in it is text."""
    markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
    markdown.use(dollarmath_plugin).use(footnote_plugin)
    for name in CONTAINERS:
        markdown.use(container_plugin, name)
    return markdown


@dataclass(frozen=True)
class Block:
    """A heading, a paragraph, a table, a figure: what stands at the outermost level.

    Attributes:
        kind: what it is.
        tokens: of markdown-it, all of it.
        key: of a table or a figure; of a place for what is moved, what goes there.
        rank: of a table in the main part that can be moved to the appendix.
        small: whether a table is set in small type.
        level: of a heading, from 1.
        number: of a heading, such as ``"2.1"``.
        shares: for each column of a table its part of the width, 0 for one that is as wide as it
            needs.
    """

    kind: Kind
    tokens: list[Token]
    key: str = ""
    rank: float | None = None
    small: bool = False
    level: int = 0
    number: str = ""
    shares: tuple[float, ...] = ()

    @property
    def title(self) -> str:
        """The text of a heading."""
        return plain(self.tokens[1])

    @property
    def n_rows(self) -> int:
        """Of a table, with its head."""
        return sum(token.type == "tr_open" for token in self.tokens)


def plain(token: Token) -> str:
    """The text of an inline token."""
    return "".join(
        html.unescape(child.content) if child.type == "code_inline" else child.content
        for child in token.children or ()
        if child.type in ("text", "code_inline")
    )


def blocks_of(markdown: str) -> list[Block]:
    """The blocks of a report, in their order."""
    found, tokens, depth = [], list[Token](), 0
    for token in parser().parse(markdown):
        tokens.append(token)
        depth += token.nesting
        if depth == 0:
            found.append(_block(tokens))
            tokens = []
    return found


def _block(tokens: list[Token]) -> Block:
    first, words = tokens[0], html.unescape(tokens[0].info).split()
    match first.type:
        case "heading_open":
            return Block("heading", tokens, level=int(first.tag[1:]))
        case "hr":
            return Block("rule", tokens)
        case "footnote_block_open":
            return Block("references", tokens)
        case "container_commands_open":
            return Block("commands", tokens)
        case "container_moved_open":
            return Block("moved", tokens, words[1])
        case "container_table_open":
            rank = next((float(word) for word in words[2:] if word != "small"), None)
            tokens = _merged(tokens)
            shares = tuple(_shares(tokens))
            return Block("table", tokens, words[1], rank, "small" in words, shares=shares)
        case "paragraph_open":
            children = tokens[1].children or []
            if len(children) == 1 and children[0].type == "image":
                return Block("figure", tokens, str(children[0].attrs["src"]))
    return Block("text", tokens)


def _rows(tokens: Sequence[Token]) -> Iterator[list[Token]]:
    row: list[Token] = []
    for token in tokens:
        row = [token] if token.type == "tr_open" else [*row, token]
        if token.type == "tr_close":
            yield row


def _cells(row: Sequence[Token]) -> list[Token]:
    return [token for token in row if token.type == "inline"]


def _merged(tokens: list[Token]) -> list[Token]:
    """The tokens of a table with one wide cell in rows that are headings of others."""
    dropped: list[Token] = []
    for row in _rows(tokens):
        cells = _cells(row)
        if cells[0].content.startswith("*") and not any(cell.content for cell in cells[1:]):
            row[1].attrs = {"class": "group", "colspan": len(cells)}
            dropped += row[4:-1]
    return [token for token in tokens if not any(token is other for other in dropped)]


def _shares(tokens: list[Token]) -> list[float]:
    """Of each column; cells get a class that says how wide theirs may be."""
    rows = [row for row in _rows(tokens) if "colspan" not in row[1].attrs]
    longest = [
        max(len(plain(cell)) for cell in column) for column in zip(*map(_cells, rows), strict=True)
    ]
    right = ["right" in str(rows[0][1 + 3 * i].attrs.get("style")) for i in range(len(longest))]
    shares = [float(min(n, LONGEST_SHARE)) if n > LONGEST_CELL else 0.0 for n in longest]
    if not any(shares):  # a table is as wide as the page
        shares = [0.0 if right[i] else float(n + 1) for i, n in enumerate(longest)]
    for row in rows:
        for i, n in enumerate(longest):
            name = "right" if right[i] else "long" if n > LONGEST_CELL else "short"
            row[1 + 3 * i].attrs = {"class": name}
    return shares


@dataclass(frozen=True)
class Document:
    """A report, laid out: it has a number for each heading, table and figure.

    Attributes:
        title, author: author is empty if nobody is named.
        date: of the results.
        main: introduction, method, results, discussion.
        appendix: what follows.
        numbers: such as "Table 1", and "Table A1" in the appendix, by the keys.
    """

    title: str
    author: str
    date: datetime
    main: Sequence[Block]
    appendix: Sequence[Block]
    numbers: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        numbers: dict[str, str] = {}
        for prefix, blocks in (("", self.main), ("A", self.appendix)):
            for kind, word in (("table", "Table"), ("figure", "Figure")):
                keys = [block.key for block in blocks if block.kind == kind]
                numbers |= {key: f"{word} {prefix}{i}" for i, key in enumerate(keys, 1)}
        object.__setattr__(self, "numbers", numbers)

    @property
    def day(self) -> str:
        """The date in words."""
        return f"{self.date.day} {self.date:%B %Y}"


def arranged(
    blocks: Sequence[Block], movable: Collection[str], kept: Collection[str]
) -> tuple[list[Block], list[Block]]:
    """The main part and the appendix.

    Args:
        blocks: of the report.
        movable: the keys of tables and figures of the main part that can go to the appendix.
        kept: those of them that stay.
    """
    rule = next(i for i, block in enumerate(blocks) if block.kind == "rule")
    gone = [b for b in blocks[:rule] if b.key in movable and b.key not in kept]
    gone += [b for b in blocks if b.kind == "references"]
    appendix = []
    for block in blocks[rule + 1 :]:
        if block.kind == "moved":
            appendix += [b for b in gone if block.key.startswith(b.kind)]
        elif block not in gone:
            appendix.append(block)
    main = [block for block in blocks[:rule] if block not in gone]
    return _numbered(main, str), _numbered(appendix, lambda n: chr(64 + n))


def _numbered(blocks: Sequence[Block], name: Callable[[int], str]) -> list[Block]:
    """The blocks with the numbers of headings, without headings that have nothing below them."""
    full: list[Block] = []
    for block in reversed(blocks):
        after = full[-1] if full else None
        ends = after is None or (after.kind == "heading" and after.level <= block.level)
        if block.kind != "heading" or not ends:
            full.append(block)
    found: list[Block] = []
    section = part = 0
    for block in reversed(full):
        if block.kind == "heading":
            section, part = (section + 1, 0) if block.level == 1 else (section, part + 1)
            block = replace(block, number=name(section) + (f".{part}" if part else ""))
        found.append(block)
    return found
