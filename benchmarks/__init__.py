"""What the code takes, as ratios that are measured in one run: `python -m benchmarks.NAME`."""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as in a stage, see stages/__init__.py; before torch is imported
