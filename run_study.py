#!/usr/bin/env python3
"""The command line of hw1 without installing it: see ``python run_study.py --help``."""

import sys

try:
    from hw1.cli.main import app
except ModuleNotFoundError as error:
    if (error.name or "hw1").startswith("hw1"):
        raise
    sys.stderr.write(
        f"error: {error.name} is not installed for {sys.executable}: run `make study` once, which "
        "sets up .venv, then `source .venv/bin/activate`; or `pip install .`\n"
    )
    sys.exit(2)

if __name__ == "__main__":
    app()
