"""What `pack` writes beside tables and images, for datasets that nothing rendered: of benchmarks and tests."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from sphreg.checksums import write_checksums
from sphreg.info import NOTE, SPLITS, Info, write_info
from sphreg.split import count_views
from sphreg.views import Views

NONE = pd.DataFrame(columns=["key", "category", "mesh"])


def info_of(categories: Iterable[str], size: int, **changes: Any) -> Info:
    """Of a dataset without views, unless the changes say something else."""
    names = sorted(categories)
    facts = {
        "note": NOTE,
        "source": "furniture",
        "categories": names,
        "counts": {split: {name: {"meshes": 0, "views": 0, "normals": 0} for name in names} for split in SPLITS},
        "render": {
            "seed": 0,
            "size": size,
            "fov_deg": 40.0,
            "train_views": 1,
            "test_views": 1,
            "train_normals": 1,
            "test_normals": 1,
            "jpeg_quality": 95,
        },
        "camera": {"distance": 2.9238},
        "shading": {"ambient": 0.3, "headlight": 0.6, "background": 1.0},
        "engine": {"engine": "none"},
        "software": {"sphreg": "0"},
    }
    return Info.model_validate(facts | changes)


def describe(folder: Path, size: int, **changes: Any) -> None:
    """Write `info.json` and `SHA256SUMS` for the tables and LMDB files in a folder; there may be one split alone."""
    tables, normals = {}, {}
    for split in SPLITS:
        table, maps = folder / f"{split}.csv", folder / f"{split}.normals.lmdb"
        names = {"key": str, "category": str, "mesh": str}
        tables[split] = pd.read_csv(table, dtype=names, keep_default_na=False) if table.exists() else None
        normals[split] = Views(maps).keys if maps.exists() else []
    categories = sorted({name for table in tables.values() if table is not None for name in table["category"]})
    counts = {
        split: count_views(NONE if table is None else table, normals[split], categories)
        for split, table in tables.items()
    }
    write_info(folder, info_of(categories, size, counts=counts, **changes))
    write_checksums(folder)
