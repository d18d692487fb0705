from datetime import datetime
from typing import Any

from hw1.analysis.report.drawings import Drawings
from hw1.analysis.report.layout import HALF_SIZE, NARROWEST, layout
from hw1.analysis.report.wording import Code, Ref, Text

from hw1.analysis.figures.marks import Axis, Figure, Line, Panel
from hw1.analysis.figures.style import BLUE
from hw1.analysis.report.document import Block, Column, Document, Heading, Picture, Table

LONG_TITLE = "mean squared error (fold mean, lower is better)"


def picture(key: str, title: str = "error", **size: Any) -> Picture:
    panel = Panel((Line([0, 1], [0, 1], BLUE),), Axis("x", (0.0, 1.0)), Axis(title, (0.0, 1.0)))
    shown = Figure("name", "Title", "Caption.", (panel,), **size)
    return Picture(key, shown, (Code("a study"),))


def table(key: str, n_rows: int, n_columns: int, *, groups: bool = False) -> Table:
    rows: list[list[Text]] = []
    for i in range(n_rows):
        if groups and i % 4 == 0:
            rows.append([(f"group {i}",)])
        rows.append([(f"{i}.{j}",) for j in range(n_columns)])
    return Table(key, ("What it is.",), [Column("c")] * n_columns, rows)


def document(main: list[Block], appendix: list[Block] | None = None) -> Document:
    return Document("title", "author", datetime(2026, 3, 1), main, appendix or [])


def laid_out(main: list[Block]) -> list[dict]:  # type: ignore[type-arg]
    def draw(figure: Figure, width: int, height: int) -> str:
        return f"{width} {height}"

    blocks: list[dict] = layout(document(main), draw, measure=True)["main"]  # type: ignore[type-arg]
    return blocks


def test_narrow_figures_stand_in_pairs() -> None:
    wide = picture("w", width=780, height=300)
    rows = laid_out([*map(picture, "abc"), wide, picture("d"), Heading("h"), picture("e")])
    keys = [[p["key"] for p in row["pictures"]] for row in rows if row["block"] == "row"]
    assert keys == [["a", "b"], ["c"], ["w"], ["d"], ["e"]]
    assert [p["svg"] for p in rows[0]["pictures"]] == [f"{HALF_SIZE[0]} {HALF_SIZE[1]}"] * 2
    assert rows[2]["pictures"][0]["svg"] == "780 300"


def test_high_figures_are_narrower_and_have_their_caption_beside_them() -> None:
    low, high = laid_out(
        [picture("a", width=780, height=300), picture("b", width=780, height=1500)]
    )
    assert (low["pictures"][0]["width"], low["pictures"][0]["beside"]) == (1.0, False)
    assert (high["pictures"][0]["width"], high["pictures"][0]["beside"]) == (NARROWEST, True)


def test_long_tables_of_two_columns_become_two() -> None:
    whole, halved, grouped, wide = laid_out(
        [table("a", 5, 2), table("b", 13, 2), table("c", 13, 2, groups=True), table("d", 13, 3)]
    )
    assert len(whole["halves"]) == len(wide["halves"]) == 1
    assert [len(half) for half in halved["halves"]] == [7, 6]
    first, second = ([row[0][0][1] for row in half] for half in grouped["halves"])
    assert first[0] == "group 0"
    assert second[0] == "group 4"  # again, for 6 and 7 belong to it
    cells = [name for name in (*first, *second) if not name.startswith("group")]
    assert cells == [f"{i}.0" for i in range(13)]


def test_tables_and_figures_are_numbered_in_each_part() -> None:
    found = document(
        [table("t1", 1, 1), picture("f1"), table("t2", 1, 1)], [picture("f2"), table("t3", 1, 1)]
    )
    assert found.numbers == {
        "t1": "Table 1",
        "t2": "Table 2",
        "f1": "Figure 1",
        "t3": "Table A1",
        "f2": "Figure A1",
    }
    spans = list(found.spans(("see ", Ref("f2"), Code("a\nb"))))
    assert spans == [("text", "see ", ""), ("ref", "Figure A1", "f2"), ("code", "a b", "")]


def test_a_column_with_long_words_gets_a_share() -> None:
    one = Table("t", (), [Column("a"), Column("b"), Column("c", share=2)], [[("x" * 40,)] * 3])
    two = Table("t", (), [Column("a"), Column("b" * 40)], [[("x",), ("y",)], [("z" * 99,)]])
    assert one.shares == [1, 1, 2]
    assert two.shares == [0, 1]


def test_a_long_title_of_an_axis_loses_its_remark_in_a_small_drawing() -> None:
    drawings = Drawings()
    figure = picture("a", LONG_TITLE).figure
    assert LONG_TITLE in drawings.svg(figure, 780, 440)
    small = drawings.svg(figure, *HALF_SIZE)
    assert LONG_TITLE not in small and "mean squared error" in small
