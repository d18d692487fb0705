"""What a reader finds in a report's files."""

import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from pypdf import PdfReader
from pypdf.generic import Destination

from hw1.analysis.report.write import Report


def squeezed(text: str) -> str:
    """Without spaces: lines are broken anywhere."""
    return re.sub(r"\s", "", text)


def text_of(path: Path) -> str:
    return squeezed("".join(page.extract_text() for page in PdfReader(path).pages))


def texts_of(report: Report) -> tuple[str, str]:
    """The text of the PDF and that of the page."""
    return text_of(report.pdf), Page(report.page.read_text()).text


class Page(HTMLParser):
    """What a browser would find in a page."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.source = source
        self.ids: list[str] = []
        self.links: list[str] = []
        self.tags: list[str] = []
        self.texts: list[str] = []
        self.scripts: list[tuple[str, str]] = []
        self.plots: list[dict[str, Any]] = []
        self._open: list[tuple[str, str, str | None]] = []
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.tags.append(tag)
        self.ids += [given["id"] or ""] if "id" in given else []
        self.links += [given[key] or "" for key in ("href", "src", "data-plot") if key in given]
        if tag not in ("meta", "img", "br", "link", "input"):
            self._open.append((tag, given.get("type") or "", given.get("data-plot")))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop()[0] == tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1][0] == "script":
            _, kind, plot = self._open[-1]
            self.scripts.append((kind, data))
            self.plots += [{"plot": plot, **json.loads(data)}] if plot else []
        elif self._open and self._open[-1][0] != "style":
            self.texts.append(data)

    @property
    def text(self) -> str:
        return squeezed("".join(self.texts))


def outline(items: list[Any], reader: PdfReader) -> Iterator[tuple[str, int]]:
    for item in items:
        if isinstance(item, Destination):
            yield str(item.title), reader.get_destination_page_number(item) or 0
        else:
            yield from outline(item, reader)
