"""What becomes of broken runs and broken files: `python -m benchmarks.faults`."""
