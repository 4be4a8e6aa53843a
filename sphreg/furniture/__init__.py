"""Generated furniture in the ten categories of ModelNet10.

Each category is a recipe: a generator function that draws proportions and styles and yields closed solids. Lengths
are metres, z points up, the floor is z = 0 and the front faces -y: chair backs, headboards, tanks and the backs of
monitors lie at +y.
"""

import zlib
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import trimesh

from sphreg import config
from sphreg.errors import UserError
from sphreg.furniture.bathroom import bathtub, toilet
from sphreg.furniture.beds import bed
from sphreg.furniture.cabinets import dresser, night_stand
from sphreg.furniture.chairs import chair
from sphreg.furniture.monitors import monitor
from sphreg.furniture.sofas import sofa
from sphreg.furniture.solids import Solid, assembled
from sphreg.furniture.tables import desk, table

RECIPES: dict[str, Callable[[np.random.Generator], Iterator[Solid]]] = {
    recipe.__name__: recipe
    for recipe in (bathtub, bed, chair, desk, dresser, monitor, night_stand, sofa, table, toilet)
}
CATEGORIES: tuple[str, ...] = tuple(sorted(RECIPES))


def furniture(category: str, rng: np.random.Generator) -> trimesh.Trimesh:
    """A random piece of furniture: 100 to 5,000 faces, in parts that are closed and wound outwards.

    Raises UserError for a category that is not in CATEGORIES.
    """
    if category not in RECIPES:
        raise UserError(f"no furniture of category {category!r}; allowed are {', '.join(CATEGORIES)}")
    return assembled(RECIPES[category](rng))


def dataset(categories: Sequence[str], settings: config.Furniture) -> Iterator[tuple[str, str, str, trimesh.Trimesh]]:
    """(category, split, name, mesh) for each category: its training meshes, then its test meshes, numbered through.

    A mesh depends on (settings.seed, its name) alone: other numbers or categories leave it as it is.
    """
    for category in categories:
        for number in range(1, settings.train + settings.test + 1):
            split, name = "train" if number <= settings.train else "test", f"{category}_{number:04d}"
            rng = np.random.default_rng([settings.seed, zlib.crc32(name.encode())])
            yield category, split, name, furniture(category, rng)
