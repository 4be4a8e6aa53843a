"""What the code takes, as ratios that are measured in one run: `python -m benchmarks.NAME`."""
