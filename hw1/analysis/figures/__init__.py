"""Figures, each said once as marks that know no library, and drawn by two.

`marks` is what a figure is. `search`, `training` and `inside` make those of a study, of how a
configuration trains, and of what a network has learned. `plotly` draws them for notebooks and
pages, `matplotlib` for print; `gallery` keeps them in a folder with a page that shows them.
"""
