"""A report's Markdown as blocks that can be moved, numbered and referred to.

Beside CommonMark and pipe tables a report is written with

- ``::: table KEY RANK`` … ``:::``, a caption and a table. The lower the rank, the longer it stays
  in the main part; without one it stays where it is. ``small`` sets it in small type. A row whose
  only cell is ``*emphasized*`` is the heading of the rows below it;
- ``![caption](KEY "RANK")``, the figure of this key in a paragraph of its own;
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
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property

from markdown_it import MarkdownIt
from markdown_it.tree import SyntaxTreeNode
from mdit_py_plugins.container import container_plugin
from mdit_py_plugins.dollarmath import dollarmath_plugin
from mdit_py_plugins.footnote import footnote_plugin

from hw1.analysis.figures.marks import Figure

LONGEST_CELL = 26
"""Characters in a column that is as wide as it needs; others share the width that is left."""
LONGEST_SHARE = 90
"""Characters from which on a column gets no larger share."""
CONTAINERS = ("table", "commands", "moved", "landscape")


def parser(equation: Callable[[str, dict[str, bool]], str] | None = None) -> MarkdownIt:
    """Reads a report's Markdown. HTML in it is text.

    Args:
        equation: what the parser's renderer makes of an equation; see `dollarmath_plugin`.
    """
    markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
    markdown.use(dollarmath_plugin, renderer=equation).use(footnote_plugin)
    for name in CONTAINERS:
        markdown.use(container_plugin, name)
    return markdown


@dataclass(frozen=True)
class Block:
    """A heading, a paragraph, a table, a figure: what stands at the outermost level.

    Attributes:
        kind: ``"heading"``, ``"table"``, ``"figure"``, ``"references"``, ``"hr"`` for a rule, the
            name of another container, or ``"text"``.
        node: of markdown-it, all of it.
        key: of a table or a figure; of a place for what is moved, what goes there.
        rank: of a table or figure in the main part that can be moved to the appendix.
        small: whether a table is set in small type.
        number: of a heading, such as ``"2.1"``.
        shares: for each column of a table its part of the width, 0 for one that is as wide as it
            needs.
    """

    kind: str
    node: SyntaxTreeNode
    key: str = ""
    rank: float | None = None
    small: bool = False
    number: str = ""
    shares: tuple[float, ...] = ()

    @property
    def level(self) -> int:
        """Of a heading, from 1."""
        return int(self.node.tag.removeprefix("h"))

    @property
    def rows(self) -> list[SyntaxTreeNode]:
        """Of a table, its head first."""
        return [row for part in self.node.children[1].children for row in part.children]


def plain(node: SyntaxTreeNode) -> str:
    """The text within a node."""
    words = (one for one in node.walk() if one.type in ("text", "code_inline"))
    return "".join(one.content for one in words)


def blocks_of(markdown: str) -> list[Block]:
    """The blocks of a report, in their order."""
    root = SyntaxTreeNode(parser().parse(markdown))
    for node in root.walk():
        if node.type == "code_inline" and node.token is not None:
            node.token.content = html.unescape(node.content)
    return [_block(node) for node in root.children]


def _block(node: SyntaxTreeNode) -> Block:
    match node.type:
        case "footnote_block":
            return Block("references", node)
        case "container_table" | "container_moved":
            kind, key, *more = html.unescape(node.info).split()
            rank = next((float(word) for word in more if word != "small"), None)
            block = Block(kind, node, key, rank, small="small" in more)
            return replace(block, shares=_shares(block)) if kind == "table" else block
        case "paragraph" if [child.type for child in node.children[0].children] == ["image"]:
            attrs = node.children[0].children[0].attrs
            rank = float(attrs["title"]) if "title" in attrs else None
            return Block("figure", node, str(attrs["src"]), rank)
        case "container_commands" | "container_landscape" | "heading" | "hr":
            return Block(node.type.removeprefix("container_"), node)
    return Block("text", node)


def _is_group(row: SyntaxTreeNode) -> bool:
    """Whether a row of a table is the heading of those below it."""
    first, *others = (cell.children[0].content for cell in row.children)
    return first.startswith("*") and not any(others)


def _shares(table: Block) -> tuple[float, ...]:
    """Of each column; cells get a class that says how wide theirs may be, groups one wide cell."""
    rows = [row for row in table.rows if not _is_group(row)]
    columns = zip(*(row.children for row in rows), strict=True)
    longest = [max(len(plain(cell)) for cell in column) for column in columns]
    right = ["right" in str(cell.attrs.get("style")) for cell in rows[0].children]
    for row in table.rows:
        if _is_group(row):
            row.children[0].attrs.update({"class": "group", "colspan": len(right)})
            row.children = row.children[:1]
            continue
        for cell, n, is_right in zip(row.children, longest, right, strict=True):
            name = "right" if is_right else "long" if n > LONGEST_CELL else "short"
            cell.attrs["class"] = name
    shares = [float(min(n, LONGEST_SHARE)) if n > LONGEST_CELL else 0.0 for n in longest]
    if not any(shares):  # a table is as wide as the page
        shares = [0.0 if right[i] else float(n + 1) for i, n in enumerate(longest)]
    return tuple(shares)


@dataclass(frozen=True)
class Document:
    """A report: its main part, its appendix, and a number for each heading, table and figure.

    Attributes:
        title, author: author is empty if nobody is named.
        date: of the results.
        blocks: all of them.
        figures: by their keys.
        kept: the keys of the tables and figures with a rank that stay in the main part.
    """

    title: str
    author: str
    date: datetime
    blocks: Sequence[Block]
    figures: Mapping[str, Figure]
    kept: Collection[str] = ()

    @property
    def day(self) -> str:
        """The date in words."""
        return f"{self.date.day} {self.date:%B %Y}"

    @property
    def ranked(self) -> list[str]:
        """The keys of the tables and figures that can be moved, the most important first."""
        ranks = {b.key: b.rank for b in self.blocks[: self._end] if b.rank is not None}
        return sorted(ranks, key=lambda key: ranks[key])

    @cached_property
    def main(self) -> list[Block]:
        """Introduction, method, results, discussion."""
        return _numbered([b for b in self.blocks[: self._end] if not self._moves(b)], str)

    @cached_property
    def appendix(self) -> list[Block]:
        """What follows, with what the main part has no room for."""
        moved = [b for b in self.blocks[: self._end] if self._moves(b)]
        moved += [b for b in self.blocks if b.kind == "references"]
        found: list[Block] = []
        for block in self.blocks[self._end + 1 :]:
            if block.kind == "moved":
                found += [b for b in moved if block.key.startswith(b.kind)]
            elif block.kind != "references":
                found.append(block)
        return _numbered(found, lambda n: chr(64 + n))

    @cached_property
    def numbers(self) -> dict[str, str]:
        """Such as "Table 1", and "Table A1" in the appendix, by the keys."""
        numbers: dict[str, str] = {}
        for prefix, blocks in (("", self.main), ("A", self.appendix)):
            for kind in ("table", "figure"):
                keys = [block.key for block in blocks if block.kind == kind]
                numbers |= {k: f"{kind.title()} {prefix}{i}" for i, k in enumerate(keys, 1)}
        return numbers

    @cached_property
    def _end(self) -> int:
        """The place of the rule after which the appendix begins."""
        rules = (i for i, block in enumerate(self.blocks) if block.kind == "hr")
        return next(rules, len(self.blocks))

    def _moves(self, block: Block) -> bool:
        return block.rank is not None and block.key not in self.kept


def _numbered(blocks: Sequence[Block], name: Callable[[int], str]) -> list[Block]:
    """The blocks with the numbers of headings, without headings that have nothing below them."""
    full: list[Block] = []
    for block in reversed(blocks):
        after = full[-1] if full else None
        if block.kind != "heading" or not (
            after is None or (after.kind == "heading" and after.level <= block.level)
        ):
            full.append(block)
    found: list[Block] = []
    section = part = 0
    for block in reversed(full):
        if block.kind == "heading":
            section, part = (section + 1, 0) if block.level == 1 else (section, part + 1)
            block = replace(block, number=name(section) + (f".{part}" if part else ""))
        found.append(block)
    return found
