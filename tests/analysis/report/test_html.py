import json
import re
from dataclasses import replace
from datetime import datetime
from typing import Any

from analysis.report.reading import Page, outline, squeezed, text_of
from pypdf import PdfReader

from hw1.analysis.figures.layout import grid
from hw1.analysis.figures.marks import Axis, Figure, Line, Panel
from hw1.analysis.figures.style import BLUE
from hw1.analysis.report.document import Document, blocks_of
from hw1.analysis.report.to_html import to_html

Written = Any  # see conftest


def test_the_page_needs_nothing_else_and_runs_plotly_alone(written: Written) -> None:
    page = Page(written.report.page.read_text())
    assert len(set(page.ids)) == len(page.ids)
    inside = {f"#{name}" for name in page.ids}
    plots = 0
    for link in page.links:
        assert (
            link in inside
            or link.startswith("data:image/svg+xml;base64,")
            or (link in page.ids and (plots := plots + 1))
        )
    assert not {"link", "iframe", "object", "embed", "base", "form"} & set(page.tags)
    assert "@import" not in page.source and "url(" not in page.source.partition("</style>")[0]
    code = [text for kind, text in page.scripts if kind == ""]
    assert len(code) == 2  # plotly, and a few lines that call it
    assert sum("plotly.js v" in text for text in code) == 1
    assert len(code[1]) < 1000
    blocks = [json.loads(text) for kind, text in page.scripts if kind == "application/json"]
    assert len(blocks) == plots == page.tags.count("figure") > 20
    assert all(block["data"] for block in blocks)


def test_the_page_has_the_blocks_of_the_pdf(written: Written) -> None:
    labels = r"(?:Table|Figure)A?[0-9]+\.(?=[A-Z])"
    page = re.findall(labels, Page(written.report.page.read_text()).text)
    assert len(page) > 30
    assert set(re.findall(labels, text_of(written.report.pdf))) == set(page)
    reader = PdfReader(written.report.pdf)
    headings = [squeezed(title) for title, _ in outline(reader.outline, reader)]
    for heading in headings:
        assert heading in Page(written.report.page.read_text()).text


def test_plots_side_by_side_keep_their_width_on_a_narrow_screen() -> None:
    """Of panels one above the other some may be hidden."""
    x, y = Axis("", (0.0, 1.0)), Axis("", (0.0, 1.0))
    hidden = replace(x, visible=False)
    line = Line([0, 1], [0, 1], BLUE)
    layouts = [
        [Panel((line,), axis, y, place) for axis, place in zip(axes, places, strict=True)]
        for axes, places in (
            ([hidden] * 3 + [x] * 3, grid(2, 3)),
            ([x] * 3 + [hidden] * 3, grid(2, 3)),
            ([x], grid(1, 1)),
        )
    ]
    figures = {f"f{i}": Figure("name", "Title", "c", panels) for i, panels in enumerate(layouts)}
    blocks = blocks_of("\n\n".join(f"![c]({key})" for key in figures))
    page = to_html(Document("t", "", datetime(2026, 3, 1), blocks, figures), lambda *drawn: "")
    widths = re.findall(r"min-width: ([0-9]+)px\"", page)
    assert widths == ["690", "690", "300"]
