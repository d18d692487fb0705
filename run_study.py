#!/usr/bin/env python3
"""The command line of hw1 without installing it: see ``python run_study.py --help``."""

from hw1.cli.main import app

if __name__ == "__main__":
    app()
