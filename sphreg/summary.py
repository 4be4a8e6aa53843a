"""The metrics that are tracked: `dvc metrics diff` compares them, and the table of all heads shows them."""

from collections.abc import Mapping

from sphreg.metrics import Metrics, Scores

TRACKED = {
    "rotation": ("median_deg", "acc_30", "acc_15", "acc_7_5"),
    "viewpoint": ("median_deg", "acc_30", "acc_15", "acc_7_5"),
    "normals": ("mean_deg", "median_deg", "acc_11_25", "acc_30"),
}
OVERALL = {"rotation": "macro", "viewpoint": "macro", "normals": "all"}  # beside the categories in metrics.json
FIFTH = {"rotation": "macro_fifth", "viewpoint": "macro_fifth"}  # over a seeded random fifth of the test views


def tracked(task: str, scores: Scores, rows: Mapping[str, str] = OVERALL) -> Metrics:
    """The tracked metrics of a task, over all its categories or pixels; with `rows` FIFTH over a fifth of its views."""
    return {metric: scores[rows[task]][metric] for metric in TRACKED[task]}


def rounded(metrics: Metrics) -> Metrics:
    """The same with four decimals, as files show them."""
    return {name: round(value, 4) for name, value in metrics.items()}
