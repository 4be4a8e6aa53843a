"""The meshes that are rendered, as the folder of meshes lists them."""

from dataclasses import dataclass
from pathlib import Path

from sphreg.checksums import NAME, read_checksums
from sphreg.errors import UserError
from sphreg.tables import TEXT, Column, read_table


@dataclass(frozen=True)
class Entry:
    """A mesh that is rendered, as the index of the meshes lists it.

    Attributes:
        path: of the mesh, relative to the folder of the index.
        faces: their number.
    """

    mesh: str
    category: str
    split: str
    path: str
    faces: int

    def __str__(self) -> str:
        """As messages name it."""
        return f"mesh {self.mesh}"

    def shard(self, folder: Path) -> Path:
        """Where the views of this mesh are, in a folder of shards."""
        return folder / self.category / self.split / f"{self.mesh}.safetensors"


def read_index(meshes: Path) -> list[Entry]:
    """The meshes to be rendered: those of index.csv that were not skipped, in its order.

    Raises:
        UserError: there is no index, no mesh in it, one twice, one less than there are, or something else in it.
    """
    index = meshes / "index.csv"
    names = {"mesh": TEXT, "category": TEXT, "split": TEXT}
    columns = names | {"path": Column(str, optional=True), "faces": Column(int, low=1, optional=True)}
    table = read_table(index, columns | {"problem": Column(str, optional=True)})
    used = table["path"] != ""
    if not used.any():
        raise UserError(f"{index}: it lists no mesh that can be rendered.")
    reasons = {
        "it needs either a path or a problem": used == (table["problem"] != ""),
        "its split is neither train nor test": ~table["split"].isin(("train", "test")),
        "its number of faces is missing": used & table["faces"].isna(),
        "a mesh of this name is there twice": used & table["mesh"].where(used).duplicated(),
    }
    for reason, wrong in reasons.items():
        if wrong.any():
            line, mesh = table.index[wrong][0] + 2, table["mesh"][wrong].iloc[0]
            raise UserError(f"{index}, line {line}: {mesh}: {reason}.")
    stored = read_checksums(meshes) if (meshes / NAME).exists() else {}
    if unlisted := sorted({name for name in stored if name.endswith(".off")} - set(table["path"])):
        raise UserError(f"{index}: {unlisted[0]} is missing in it ({meshes / NAME} has it); make it again.")
    return [Entry(*row) for row in table.loc[used, list(columns)].astype({"faces": int}).itertuples(index=False)]
