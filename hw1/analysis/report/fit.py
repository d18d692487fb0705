"""A report as PDF, typeset by typst; what does not fit goes to the appendix."""

import json
import shutil
from bisect import bisect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import timezone
from pathlib import Path
from tempfile import TemporaryDirectory

import matplotlib
import typst
from matplotlib.ft2font import FT2Font

from hw1.analysis.figures.marks import Figure
from hw1.analysis.report.document import Document
from hw1.analysis.report.to_typst import Draw, to_typst

MOST_PAGES = 6
"""Of introduction, method, results and discussion."""
_FONTS = ("DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique", "DejaVuSans-BoldOblique")


@contextmanager
def fonts_for(text: str) -> Iterator[typst.Fonts]:
    """The fonts that typst and matplotlib bring along.

    DejaVu Sans, in which the text of figures is laid out, is matplotlib's. Only letters of the text
    that none of these fonts has are taken from the system's.
    """
    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    letters = set(FT2Font(str(folder / f"{_FONTS[0]}.ttf")).get_charmap())
    known = letters.issuperset(map(ord, text))
    with TemporaryDirectory() as copies:
        for name in _FONTS:
            shutil.copy(folder / f"{name}.ttf", copies)
        yield typst.Fonts(include_system_fonts=not known, font_paths=[copies])


def fit(document: Document, fonts: typst.Fonts) -> Document:
    """The report with as much in its main part as `MOST_PAGES` pages hold.

    In the order of their importance, tables and figures stay where they still fit.
    """
    ranked = document.ranked

    def fits(keys: Sequence[str]) -> bool:
        return n_pages(replace(document, kept=keys), fonts) <= MOST_PAGES

    # Most often all that comes before something that does not fit fits together.
    n = bisect(range(1, len(ranked) + 1), 0, key=lambda n: 0 if fits(ranked[:n]) else 1)
    kept = ranked[:n]
    for key in ranked[n + 1 :]:
        if fits([*kept, key]):
            kept.append(key)
    return replace(document, kept=kept)


def n_pages(document: Document, fonts: typst.Fonts) -> int:
    """The number of pages of its main part."""
    source = to_typst(document, frame, whole=False).encode()
    compiler = typst.Compiler(source, font_paths=fonts, sys_inputs={"measure": "yes"})
    return int(json.loads(compiler.query("<pages>", field="value", one=True)))


def frame(figure: Figure, width: int, height: int) -> str:
    """An empty drawing of this size, which is all that pages are counted by."""
    return f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}"></svg>'


def pdf(document: Document, draw: Draw, fonts: typst.Fonts) -> bytes:
    """The report as a PDF file; the same report gives the same bytes."""
    ended = document.date.replace(tzinfo=timezone.utc, microsecond=0)
    compiler = typst.Compiler(to_typst(document, draw).encode(), font_paths=fonts)
    try:
        found = compiler.compile(format="pdf", timestamp=ended)
    except typst.TypstError:
        # typst 0.15 loses its way in the tags for screen readers if what floats is intricate.
        found = compiler.compile(format="pdf", timestamp=ended, pdf_tags=False)
    assert isinstance(found, bytes)
    return found
