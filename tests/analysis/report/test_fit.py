import copy
import dataclasses
import io
import re
from pathlib import Path
from typing import Any

import pytest
from analysis.report.reading import Page, outline, squeezed
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pypdf import PdfReader

from hw1.analysis.report.document import Document, blocks_of
from hw1.analysis.report.facts import Facts
from hw1.analysis.report.fit import MOST_PAGES, fit, fonts_for, frame, n_pages, pdf
from hw1.analysis.report.render import clean
from hw1.analysis.report.write import files_of, written

Made = Written = Any  # see conftest


def test_introduction_to_discussion_never_exceed_six_pages(made: Made, tmp_path: Path) -> None:
    """Of one to five studies of three problems, with long names, many parameters, few figures."""
    studies = []
    for i in range(5):
        name = f"a_study-with_a.very_long/name {'x' * 40} {'Wörter' * 3} {i}"
        results = made.study(name, fingerprint=str(i % 3), n_more=14 + i % 2, seed=i)
        if i != 1:
            made.evaluated(results, tests=i % 3, nested=i % 2 == 0)
        if i != 2:
            made.analysed(results)
        studies.append(made.open(name))
        facts = made.facts(*studies)
        markdown, figures = written(facts)
        document = Document("t", "Ada", facts.date, blocks_of(markdown), figures)
        with fonts_for(markdown) as fonts:
            document = fit(document, fonts)
            path = tmp_path / f"{i}.pdf"
            path.write_bytes(pdf(document, frame, fonts))
            assert_main_part_is_short(path, n_pages(document, fonts))
        assert set(document.ranked) <= set(document.numbers)  # nothing is lost


def assert_main_part_is_short(path: Path, measured: int) -> None:
    reader = PdfReader(path)
    headings = list(outline(reader.outline, reader))
    titles = [title for title, _ in headings]
    assert [t for t in titles if t[0] in "1234" and "." not in t.split()[0]] == [
        "1 Introduction",
        "2 Method",
        "3 Results",
        "4 Discussion",
    ]
    appendix = min(page for title, page in headings if title.startswith("A "))
    assert appendix + 1 >= measured  # counted from 0
    assert measured <= MOST_PAGES


def test_the_pdf_has_metadata_its_own_fonts_and_vector_figures(written: Written) -> None:
    reader = PdfReader(written.report.pdf)
    assert (reader.metadata.title, reader.metadata.author) == ("All of it", "Ada")
    assert str(reader.metadata.creation_date) == "2026-03-01 12:03:40+00:00"
    fonts: set[str] = set()
    for page in reader.pages:
        sides = sorted((page.mediabox.width, page.mediabox.height))
        assert sides == pytest.approx([595.28, 841.89], abs=0.1)  # A4
        resources = page["/Resources"]
        for font in resources.get("/Font", {}).values():
            descendant = font["/DescendantFonts"][0]
            fonts.add(descendant["/BaseFont"].rpartition("+")[2].partition("-")[0].strip("/"))
            embedded = {"/FontFile", "/FontFile2", "/FontFile3"} & set(
                descendant["/FontDescriptor"]
            )
            assert embedded
        for image in resources.get("/XObject", {}).values():
            # Colour bars alone are pixels.
            assert image["/Subtype"] != "/Image" or min(image["/Width"], image["/Height"]) < 80
    assert fonts == {"DejaVuSans", "DejaVuSansMono", "LibertinusSerif", "NewCMMath"}
    text = "\n".join(page.extract_text() for page in reader.pages)
    assert re.search(rf"page 1 of {len(reader.pages)}\n", text)
    assert "best so far" in text  # of a figure


@pytest.fixture
def plain(made: Made) -> Facts:
    """One study without figures."""
    (problem,) = made.facts(made.study()).problems
    study = dataclasses.replace(problem.studies[0], figures=[])
    return Facts([dataclasses.replace(problem, studies=[study])])


@settings(
    max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.text(max_size=60), st.text(max_size=60), st.text(max_size=30), st.text(max_size=30))
@example("#panic() $x$", "*a* _b_ `c` <d> @e \\f //", "#{", "</script><!-- ]]>")
@example('"); #eval("', "= h\n- i", "[[", "&amp;<b>")
@example("王小明 🎓", "\u202eright to left\x00", "\ud800", "'")
def test_no_character_breaks_a_report(
    plain: Facts, title: str, author: str, name: str, value: str
) -> None:
    (problem,) = plain.problems
    (study,) = problem.studies
    best = copy.deepcopy(study.best)
    best.params = best.params | {name or "x": value}
    changed = dataclasses.replace(study, name=name or "x", best=best, trials=[*study.trials, best])
    problems = [dataclasses.replace(problem, studies=[changed])]
    file, source = files_of(Facts(problems, author, title, [value]))
    page = Page(source.decode())
    assert squeezed(clean(value)) in page.text
    assert squeezed(clean(author)) in page.text
    if value.isascii():
        text = squeezed("".join(p.extract_text() for p in PdfReader(io.BytesIO(file)).pages))
        assert squeezed(clean(value)) in text
