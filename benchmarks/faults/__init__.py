"""What becomes of broken runs and broken files: `python -m benchmarks.faults`."""

import os

# Forked processes compute alone, and on one thread to the same bytes; before torch and numpy are imported.
for _name in "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS":
    os.environ[_name] = "1"
os.environ["CUDA_VISIBLE_DEVICES"] = ""
