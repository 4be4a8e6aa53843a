"""What the code takes, as ratios that are measured in one run: `python -m benchmarks.NAME`."""

import os

import sphreg  # noqa: F401  which sees that Ctrl-C is one line

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as in a stage, see stages/__init__.py; before torch is imported
