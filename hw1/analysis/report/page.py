"""A report as one page of HTML that needs nothing else: the figures are interactive."""

import base64
import html
from collections.abc import Iterator
from dataclasses import replace

import plotly.offline

from hw1.analysis.figures.gallery import SCRIPT, interactive
from hw1.analysis.figures.style import (
    BLUE,
    FONT_FAMILIES,
    GRID,
    INK,
    MUTED,
)
from hw1.analysis.report.document import (
    Block,
    Commands,
    Document,
    Heading,
    Paragraph,
    Picture,
    Table,
    caption,
)
from hw1.analysis.report.drawings import Drawings, size
from hw1.analysis.report.wording import Text, clean

_POLICY = (
    "default-src 'none'; img-src data: blob:; style-src 'unsafe-inline'; "
    "script-src 'unsafe-inline' 'unsafe-eval'"
)
"""The browser fetches nothing, whatever the page says; plotly compiles parts of itself."""

_STYLE = f"""
:root {{ color-scheme: light; }}
* {{ box-sizing: border-box; }}
body {{ margin: 0; color: {INK}; background: white; font-size: 16px; line-height: 1.55;
  font-family: {", ".join(repr(name) for name in FONT_FAMILIES)}, sans-serif; }}
main {{ max-width: 980px; margin: 0 auto; padding: 40px 24px 80px; }}
h1, h2, h3 {{ color: {BLUE}; line-height: 1.25; overflow-wrap: anywhere; }}
h1 {{ font-size: 30px; margin: 0 0 8px; }}
h2 {{ font-size: 22px; margin: 56px 0 12px; padding-bottom: 6px;
  border-bottom: 1px solid {GRID}; }}
h3 {{ font-size: 17px; margin: 32px 0 8px; }}
p, li {{ max-width: 74ch; overflow-wrap: anywhere; }}
p {{ margin: 0 0 12px; }}
.byline {{ color: {MUTED}; margin-bottom: 32px; }}
nav {{ font-size: 14px; line-height: 1.9; padding: 12px 16px; background: #F4F6F8;
  border-radius: 4px; }}
nav ol {{ list-style: none; margin: 0; padding: 0; display: flex; flex-wrap: wrap;
  gap: 0 22px; }}
a {{ color: {BLUE}; text-decoration: none; }}
a:hover, a:focus {{ text-decoration: underline; }}
code {{ font-family: "DejaVu Sans Mono", Menlo, Consolas, monospace; font-size: 0.88em;
  overflow-wrap: anywhere; }}
pre {{ background: #F4F6F8; border-radius: 4px; padding: 12px 14px; margin: 12px 0;
  white-space: pre-wrap; overflow-wrap: anywhere; font-size: 13px; line-height: 1.5; }}
pre code {{ display: block; padding-left: 2em; text-indent: -2em; font-size: 1em; }}
pre code + code {{ margin-top: 6px; }}
ul {{ padding-left: 1.2em; }}
.faint {{ color: {MUTED}; }}
.table, figure {{ margin: 28px 0 32px; }}
.caption, figcaption {{ font-size: 14px; line-height: 1.45; margin: 0 0 8px; max-width: 92ch;
  overflow-wrap: anywhere; }}
figcaption {{ margin: 8px 0 0; }}
.label {{ color: {BLUE}; font-weight: bold; }}
.scroll {{ overflow-x: auto; }}
table {{ border-collapse: collapse; width: 100%; font-size: 14px; line-height: 1.35;
  border-top: 2px solid {INK}; border-bottom: 2px solid {INK};
  font-variant-numeric: tabular-nums; }}
.small table {{ font-size: 12.5px; }}
th, td {{ padding: 4px 14px 4px 0; text-align: left; vertical-align: top; }}
th {{ border-bottom: 1px solid {INK}; vertical-align: bottom; padding-bottom: 6px; }}
th:last-child, td:last-child {{ padding-right: 0; }}
.small td {{ border-top: 1px solid {GRID}; }}
.right {{ text-align: right; white-space: nowrap; }}
.short {{ white-space: nowrap; }}
.long {{ min-width: 10em; overflow-wrap: anywhere; }}
.small .long {{ min-width: 12em; }}
td.group {{ color: {MUTED}; font-style: italic; padding-top: 10px; }}
.still {{ display: none; max-width: 100%; height: auto; }}
@media (max-width: 600px) {{
  body {{ font-size: 15px; }}
  main {{ padding: 20px 14px 56px; }}
  h1 {{ font-size: 24px; }}
  h2 {{ font-size: 20px; margin-top: 40px; }}
}}
@media print {{
  @page {{ size: A4; margin: 18mm; }}
  body {{ font-size: 10pt; }}
  main {{ max-width: none; padding: 0; }}
  nav, .plot {{ display: none; }}
  .still {{ display: block; }}
  .scroll {{ overflow: visible; }}
  table {{ font-size: 8.5pt; }}
  .small table {{ font-size: 7.5pt; }}
  .right, .short {{ white-space: normal; }}
  .long {{ min-width: 0; }}
  figure, tr {{ break-inside: avoid; }}
  h2, h3, .caption {{ break-after: avoid; }}
}}
"""


def to_page(document: Document, drawings: Drawings) -> str:
    """The report as HTML; the same report gives the same text."""
    title, author = (html.escape(clean(words)) for words in (document.title, document.author))
    blocks = list(_numbered(document))
    links = [
        f'<li><a href="#section-{number}">{number} {html.escape(clean(block.title))}</a></li>'
        for number, block in blocks
        if isinstance(block, Heading) and block.level == 1
    ]
    body = "\n".join(_block(document, drawings, number, block) for number, block in blocks)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<title>{title}</title>
<style>{_STYLE}</style>
<script>{plotly.offline.get_plotlyjs()}</script>
</head>
<body>
<main>
<h1>{title}</h1>
<p class="byline">{f"{author} · " if author else ""}results of {document.day}</p>
<nav aria-label="Contents"><ol>{"".join(links)}</ol></nav>
{body}
</main>
<script>{SCRIPT}</script>
</body>
</html>
"""


def _numbered(document: Document) -> Iterator[tuple[str, Block]]:
    """All blocks; headings with their numbers as in the PDF, which are letters in the appendix."""
    for names, blocks in (("123456789", document.main), ("ABCDEFGHI", document.appendix)):
        section = part = 0
        for block in blocks:
            number = ""
            if isinstance(block, Heading):
                section, part = (section + 1, 0) if block.level == 1 else (section, part + 1)
                number = names[section - 1] + (f".{part}" if part else "")
            yield number, block


def _block(document: Document, drawings: Drawings, number: str, block: Block) -> str:
    match block:
        case Heading(title, level):
            tag, title = f"h{level + 1}", html.escape(clean(title))
            return f'<{tag} id="section-{number}">{number}&ensp;{title}</{tag}>'
        case Paragraph(text, items):
            points = "".join(f"<li>{_spans(document, item)}</li>" for item in items)
            words = f"<p>{_spans(document, text)}</p>" if text else ""
            return words + (f"<ul>{points}</ul>" if points else "")
        case Commands(lines):
            inner = "".join(f"<code>{html.escape(clean(line))}</code>" for line in lines)
            return f"<pre>{inner}</pre>"
        case Table():
            return _table(document, block)
        case Picture():
            return _picture(document, drawings, block)


def _spans(document: Document, text: Text) -> str:
    parts = []
    for kind, words, key in document.spans(text):
        words = html.escape(words)
        match kind:
            case "ref":
                parts.append(f'<a href="#{key}">{words.replace(" ", "&nbsp;")}</a>')
            case "code":
                parts.append(f"<code>{words}</code>")
            case "strong":
                parts.append(f"<strong>{words}</strong>")
            case "faint":
                parts.append(f'<span class="faint">{words}</span>')
            case _:
                parts.append(words)
    return "".join(parts)


def _table(document: Document, table: Table) -> str:
    names = [
        "long" if share else "right" if column.right else "short"
        for column, share in zip(table.columns, table.shares, strict=True)
    ]
    classes = [f' class="{name}"' for name in names]
    head = "".join(
        f'<th scope="col"{c}>{html.escape(clean(column.title))}</th>'
        for c, column in zip(classes, table.columns, strict=True)
    )
    rows = []
    for row in table.rows:
        if len(row) < len(table.columns):
            group = _spans(document, row[0])
            rows.append(f'<tr><td class="group" colspan="{len(table.columns)}">{group}</td></tr>')
        else:
            cells = (
                f"<td{c}>{_spans(document, cell)}</td>"
                for c, cell in zip(classes, row, strict=True)
            )
            rows.append(f"<tr>{''.join(cells)}</tr>")
    inner = "\n".join(rows)
    return f"""<div class="table{" small" if table.small else ""}" id="{table.key}">
<p class="caption">{_label(document, table.key)} {_spans(document, table.caption)}</p>
<div class="scroll" tabindex="0"><table>
<thead><tr>{head}</tr></thead>
<tbody>
{inner}
</tbody></table></div>
</div>"""


def _label(document: Document, key: str) -> str:
    return f'<span class="label">{document.numbers[key]}.</span>'


def _picture(document: Document, drawings: Drawings, picture: Picture) -> str:
    figure, key = picture.figure, picture.key
    still = base64.b64encode(drawings.svg(figure, *size(figure)).encode()).decode()
    title = html.escape(clean(figure.title))
    return f"""<figure id="{key}">
{interactive(replace(figure, title=clean(figure.title)), f"{key}-plot")}
<img class="still" alt="{title}" src="data:image/svg+xml;base64,{still}">
<figcaption>{_label(document, key)} {_spans(document, caption(picture))}</figcaption>
</figure>"""
