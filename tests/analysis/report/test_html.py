import json
import re
from typing import Any

from analysis.report.reading import Page, outline, squeezed, text_of
from pypdf import PdfReader

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
