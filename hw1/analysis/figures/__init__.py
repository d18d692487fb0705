"""Figures, each said once as marks that know no library, and drawn by two.

`marks` is what a figure is. `search`, `training` and `inside` make those of a study, of how a
configuration trains, and of what a network has learned. `plotly` draws them for notebooks and
pages, `matplotlib` for print; `gallery` keeps them in a folder with a page that shows them.
"""

import sys


def _show(figure: object) -> None:
    """Show a figure in a notebook; plotly is imported then."""
    from hw1.analysis.figures.plotly import show

    show(figure)  # type: ignore[arg-type]


# IPython is asked to, for what draws knows marks and not the other way round.
if shell := "IPython" in sys.modules and sys.modules["IPython"].get_ipython():
    shows = shell.display_formatter.ipython_display_formatter
    shows.for_type_by_name("hw1.analysis.figures.marks", "Figure", _show)
