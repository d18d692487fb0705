from datetime import datetime

import pytest

from hw1.analysis.figures.layout import grid
from hw1.analysis.figures.marks import Axis, Figure, Line, Panel
from hw1.analysis.figures.style import BLUE
from hw1.analysis.report.document import Block, Document, blocks_of, plain
from hw1.analysis.report.to_html import to_html
from hw1.analysis.report.to_typst import HALF_SIZE, NARROWEST, to_typst

SOURCE = """
# One

See [](#b), [](#f) and `a &#42; b` [^second].

::: table a 2
What *it* is [^first].

| name | number |
|:--|--:|
| *group* |
| x | 1 |
:::

::: table b 1
Another.

| name | what |
|:--|:--|
| y | {long} |
:::

![**Title.** words](f "3")

## Empty

---

# Tables

::: moved tables
:::

# Figures

## Empty, too

# References

::: moved references
:::

[^first]: F. (2001).
[^second]: S. (2002).
[^third]: T. (2003).
"""


def document(blocks: list[Block], *kept: str, **figures: Figure) -> Document:
    return Document("title", "author", datetime(2026, 3, 1), blocks, figures, kept)


@pytest.fixture
def blocks() -> list[Block]:
    return blocks_of(SOURCE.replace("{long}", "w" * 40))


def test_blocks_have_kinds_keys_and_ranks(blocks: list[Block]) -> None:
    found = [(block.kind, block.key, block.rank) for block in blocks if block.key]
    assert found == [
        ("table", "a", 2),
        ("table", "b", 1),
        ("figure", "f", 3),
        ("moved", "tables", None),
        ("moved", "references", None),
    ]


def test_what_is_not_kept_moves_and_headings_of_nothing_go(blocks: list[Block]) -> None:
    found = document(blocks, "b", "f")
    assert found.ranked == ["b", "a", "f"]
    headings = [b for b in (*found.main, *found.appendix) if b.kind == "heading"]
    titles = [b.number + plain(b.node) for b in headings]
    assert titles == ["1One", "ATables", "BReferences"]
    assert [block.key for block in found.appendix if block.kind == "table"] == ["a"]
    assert found.numbers == {"b": "Table 1", "f": "Figure 1", "a": "Table A1"}
    appendix = document(blocks, "a", "b").appendix
    assert [b.kind for b in appendix] == ["heading", "references"]  # the figure has no place there


def test_references_are_numbered_as_they_are_cited(blocks: list[Block]) -> None:
    source = to_typst(document(blocks, *"abf", f=figure(1)), lambda *drawn: "")
    assert '#cite-number(1);#".";' in source  # the second is cited before the first
    assert source.index('#"S. (2002).";') < source.index('#"F. (2001).";')
    assert "2003" not in source
    assert '#refer("b", "Table 2")' in source
    assert '#raw("a * b");' in source


def test_a_row_of_one_emphasized_cell_is_a_heading(blocks: list[Block]) -> None:
    table = next(block for block in blocks if block.key == "a")
    cells = [cell.attrs for row in table.rows[1:] for cell in row.children]
    assert [attrs["class"] for attrs in cells] == ["group", "short", "right"]
    assert [attrs.get("colspan") for attrs in cells] == [2, None, None]
    other = next(block for block in blocks if block.key == "b")
    assert other.shares == (0, 40)  # a column with long words gets a share


def figure(n_panels: int, **size: int) -> Figure:
    line = Line([0, 1], [0, 1], BLUE)
    axes = Axis("", (0.0, 1.0)), Axis("", (0.0, 1.0))
    panels = [Panel((line,), *axes, place) for place in grid(1, n_panels)]
    return Figure("name", 'A "title"', "Caption.", panels, **size)


def drawn(figures: dict[str, Figure]) -> list[str]:
    """The rows of figures, each drawn as its size."""
    source = "\n\n".join(f"![c]({key})" for key in figures)
    text = to_typst(document(blocks_of(source), **figures), lambda _, *size: str(size))
    return [line for line in text.splitlines() if line.startswith("#row")]


def test_narrow_figures_stand_in_pairs() -> None:
    rows = drawn({name: figure(2 if name == "c" else 1) for name in "abcde"})
    assert [row.count("pictured(") for row in rows] == [2, 1, 2]
    assert [row.count("{}, {}".format(*HALF_SIZE)) for row in rows] == [2, 0, 2]
    assert '"A \\"title\\""' in rows[0]


def test_high_figures_are_narrower_and_have_their_caption_beside_them() -> None:
    low, high = drawn({"low": figure(2, height=300), "high": figure(2, height=1500)})
    assert "share: 1.0000, beside: false" in low
    assert f"share: {NARROWEST:.4f}, beside: true" in high


def test_long_tables_of_two_columns_become_two() -> None:
    rows = "".join(f"| *g{i}* |\n" * (i % 4 == 0) + f"| {i} | v |\n" for i in range(13))
    (block,) = blocks_of(f"::: table t\nCaption.\n\n| a | b |\n|:--|:--|\n{rows}\n:::\n")
    text = to_typst(document([block]), lambda *drawn: "")
    assert [text.count(f'[#"{i}";]') for i in range(13)] == [1] * 13
    # The second half begins with the heading of the group that is divided.
    assert [text.count(f'[#emph[#"g{i}";];]') for i in (0, 4, 8, 12)] == [1, 2, 1, 1]


def test_equations_of_one_source_are_typst_and_mathml() -> None:
    found = document(blocks_of("One $x^2$ and\n\n$$\nsum_(i=1)^n x_i\n$$\n\nTwo."))
    page = to_html(found, lambda *drawn: "").rpartition("<main>")[2]
    assert "<math><msup>" in page and page.count('<math display="block"><munderover>') == 1
    source = to_typst(found, lambda *drawn: "")
    assert "$x^2$" in source and "$ sum_(i=1)^n x_i $" in source
