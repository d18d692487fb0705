"""The command line as a whole."""

# In the order in which --help shows their commands.
from hw1.cli import run, query, analyze, export, serve  # noqa: F401, I001
from hw1.cli.app import app as app
