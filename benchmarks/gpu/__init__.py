"""All that is to be known about a GPU: `python -m benchmarks.gpu`. The phases are modules of their own, see PHASES."""
