"""Figures, each defined once in plotly: interactive as HTML, still as SVG.

`style` has the look that all share, `search` the figures of a study's trials, `svg` draws any
figure as SVG, and `gallery` writes them all with a page that shows them.
"""
