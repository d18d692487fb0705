"""A report as PDF, typeset by typst; what does not fit goes to the appendix."""

import json
import shutil
from bisect import bisect
from datetime import timezone
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory

import matplotlib
import typst
from matplotlib.ft2font import FT2Font

from hw1.analysis.figures.marks import Figure
from hw1.analysis.report.compose import Draft
from hw1.analysis.report.document import Document
from hw1.analysis.report.drawings import Drawings
from hw1.analysis.report.layout import layout

MOST_PAGES = 6
"""Of introduction, method and results."""

_FONTS = ("DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique", "DejaVuSans-BoldOblique")


class Typesetter:
    """Typesets reports with the fonts that typst and matplotlib bring along.

    DejaVu Sans, in which the text of figures is laid out, is matplotlib's. Only letters that none
    of these fonts has are taken from the system's. Use it as a context manager.

    Args:
        drawings: draws the figures.
    """

    def __init__(self, drawings: Drawings) -> None:
        self._drawings = drawings

    def __enter__(self) -> "Typesetter":
        self._folder = TemporaryDirectory()
        fonts = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
        for name in _FONTS:
            shutil.copy(fonts / f"{name}.ttf", self._folder.name)
        self._letters = set(FT2Font(str(fonts / f"{_FONTS[0]}.ttf")).get_charmap())
        return self

    def __exit__(self, *exception: object) -> None:
        self._folder.cleanup()

    def fit(self, draft: Draft) -> Document:
        """The report with as much in its main part as `MOST_PAGES` pages hold.

        In the order of their importance, tables and figures stay where they still fit.
        """
        ranking = draft.ranking()

        def fits(keys: list[str]) -> bool:
            return self.n_pages(draft.document(keys)) <= MOST_PAGES

        # Most often all that comes before something that does not fit fits together.
        n = bisect(range(1, len(ranking) + 1), 0, key=lambda n: 0 if fits(ranking[:n]) else 1)
        kept = ranking[:n]
        for key in ranking[n + 1 :]:
            if fits([*kept, key]):
                kept.append(key)
        return draft.document(kept)

    def n_pages(self, document: Document) -> int:
        """The number of pages of its main part."""
        compiler = self._compiler(document, measure=True)
        return int(json.loads(compiler.query("<pages>", field="value", one=True)))

    def pdf(self, document: Document) -> bytes:
        """The report as a PDF file; the same report gives the same bytes."""
        ended = document.date.replace(tzinfo=timezone.utc, microsecond=0)
        compiler = self._compiler(document, measure=False)
        try:
            pdf = compiler.compile(format="pdf", timestamp=ended)
        except typst.TypstError:
            # typst 0.15 loses its way in the tags for screen readers if what floats is intricate.
            pdf = compiler.compile(format="pdf", timestamp=ended, pdf_tags=False)
        assert isinstance(pdf, bytes)
        return pdf

    def _compiler(self, document: Document, *, measure: bool) -> typst.Compiler:
        draw = _frame if measure else self._drawings.svg
        text = json.dumps(layout(document, draw, measure=measure), ensure_ascii=False)
        return typst.Compiler(
            (files("hw1.analysis.report") / "template.typ").read_bytes(),
            font_paths=typst.Fonts(
                include_system_fonts=not self._letters.issuperset(map(ord, text)),
                font_paths=[self._folder.name],
            ),
            sys_inputs={"document": text},
        )


def _frame(figure: Figure, width: int, height: int) -> str:
    """An empty drawing of this size, which is all that pages are counted by."""
    return f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}"></svg>'
