"""A report as PDF, typeset by typst; what does not fit goes to the appendix."""

import json
import shutil
from bisect import bisect
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timezone
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory

import matplotlib
import typst
from matplotlib.ft2font import FT2Font

from hw1.analysis.report.document import Block, Document, arranged
from hw1.analysis.report.figures import Drawings, Shown
from hw1.analysis.report.to_typst import to_typst

MOST_PAGES = 6
"""Of introduction, method, results and discussion."""
_FONTS = ("DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique", "DejaVuSans-BoldOblique")


def ranking(blocks: Sequence[Block], shown: Sequence[Shown]) -> list[str]:
    """The keys of the tables and figures that can be moved, the most important first.

    Those of the main part with a rank, which a table has in the template, and a figure by what it
    shows.
    """
    ranks = {block.key: block.rank for block in blocks if block.rank is not None}
    figures = {one.key: one.rank for one in shown if one.rank is not None}
    rule = next(i for i, block in enumerate(blocks) if block.kind == "rule")
    ranks |= {b.key: figures[b.key] for b in blocks[:rule] if b.key in figures}
    return sorted(ranks, key=lambda key: ranks[key])


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
        self._temporary = TemporaryDirectory()
        self._folder = Path(self._temporary.name)
        fonts = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
        for name in _FONTS:
            shutil.copy(fonts / f"{name}.ttf", self._folder)
        self._letters = set(FT2Font(str(fonts / f"{_FONTS[0]}.ttf")).get_charmap())
        look = files("hw1.analysis.report") / "look.typ"
        (self._folder / "look.typ").write_bytes(look.read_bytes())
        return self

    def __exit__(self, *exception: object) -> None:
        self._temporary.cleanup()

    def fit(self, document: Document, blocks: Sequence[Block], ranked: Sequence[str]) -> Document:
        """The report with as much in its main part as `MOST_PAGES` pages hold.

        In the order of their importance, tables and figures stay where they still fit.

        Args:
            document: title, author and date.
            blocks: of the report.
            ranked: the keys of what can be moved, the most important first.
        """

        def with_kept(keys: Sequence[str]) -> Document:
            main, appendix = arranged(blocks, ranked, keys)
            return replace(document, main=main, appendix=appendix)

        def fits(keys: Sequence[str]) -> bool:
            return self.n_pages(with_kept(keys)) <= MOST_PAGES

        # Most often all that comes before something that does not fit fits together.
        n = bisect(range(1, len(ranked) + 1), 0, key=lambda n: 0 if fits(ranked[:n]) else 1)
        kept = list(ranked[:n])
        for key in ranked[n + 1 :]:
            if fits([*kept, key]):
                kept.append(key)
        return with_kept(kept)

    def n_pages(self, document: Document) -> int:
        """The number of pages of its main part."""
        compiler = self._compiler(document, _frame, measure="yes")
        return int(json.loads(compiler.query("<pages>", field="value", one=True)))

    def pdf(self, document: Document) -> bytes:
        """The report as a PDF file; the same report gives the same bytes."""
        ended = document.date.replace(tzinfo=timezone.utc, microsecond=0)
        compiler = self._compiler(document, self._drawings.svg)
        try:
            pdf = compiler.compile(format="pdf", timestamp=ended)
        except typst.TypstError:
            # typst 0.15 loses its way in the tags for screen readers if what floats is intricate.
            pdf = compiler.compile(format="pdf", timestamp=ended, pdf_tags=False)
        assert isinstance(pdf, bytes)
        return pdf

    def _compiler(
        self, document: Document, svg: Callable[[str, int, int], str], **inputs: str
    ) -> typst.Compiler:
        def draw(key: str, width: int, height: int) -> str:
            file = self._folder / f"{key}-{width}x{height}{'-frame' if inputs else ''}.svg"
            if not file.exists():
                file.write_text(svg(key, width, height), encoding="utf-8")
            return file.name

        text = '#import "look.typ": *\n' + to_typst(
            document, self._drawings.figures, draw, whole=not inputs
        )
        source = self._folder / "report.typ"
        source.write_text(text, encoding="utf-8")
        known = self._letters.issuperset(map(ord, text))
        fonts = typst.Fonts(include_system_fonts=not known, font_paths=[str(self._folder)])
        return typst.Compiler(source, root=self._folder, font_paths=fonts, sys_inputs=inputs)


def _frame(key: str, width: int, height: int) -> str:
    """An empty drawing of this size, which is all that pages are counted by."""
    return f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}"></svg>'
