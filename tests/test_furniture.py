"""The generated furniture: sound solids, no two alike, reproducible, and in the frame that the conventions promise."""

import zlib

import numpy as np
import pytest
import trimesh
from jaxtyping import Float, Float64
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from sphreg import config
from sphreg.errors import UserError
from sphreg.furniture import CATEGORIES, dataset, furniture
from sphreg.furniture.choices import pick
from sphreg.furniture.solids import (
    Solid,
    bar,
    box,
    cushion,
    ellipse,
    extruded,
    loft,
    pair,
    rectangle,
    revolved,
    ribbon,
    rounded,
    split,
    stack,
    tube,
    upright,
)

SEEDS = 40


@pytest.fixture(scope="module")
def meshes() -> dict[str, list[trimesh.Trimesh]]:
    """Many instances of every category."""
    return {c: [furniture(c, np.random.default_rng(seed)) for seed in range(SEEDS)] for c in CATEGORIES}


def volume(vertices: Float[np.ndarray, "v 3"], faces: np.ndarray) -> float:
    """The volume inside a closed surface, by the divergence theorem for the field (0, 0, z)."""
    a, b, c = (vertices[faces[:, i]] for i in range(3))
    base = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (c[:, 0] - a[:, 0]) * (b[:, 1] - a[:, 1])
    return float((base * (a[:, 2] + b[:, 2] + c[:, 2])).sum() / 6)


def is_closed(faces: np.ndarray) -> bool:
    """Whether each directed edge occurs once, and its reverse too."""
    edges = [(int(face[i]), int(face[i - 2])) for face in faces for i in range(3)]
    return len(set(edges)) == len(edges) and set(edges) == {(b, a) for a, b in edges}


def parts(mesh: trimesh.Trimesh) -> list[np.ndarray]:
    """The faces of each connected part."""
    pairs = mesh.faces[:, [0, 1, 1, 2]].reshape(-1, 2).T
    graph = coo_array((np.ones(pairs.shape[1]), pairs), shape=(len(mesh.vertices),) * 2)
    count, label = connected_components(graph, directed=False)
    return [mesh.faces[label[mesh.faces[:, 0]] == part] for part in range(count)]


def surface(mesh: trimesh.Trimesh, n: int, seed: int) -> Float64[np.ndarray, "n 3"]:
    """Points that are uniform on the surface."""
    rng = np.random.default_rng(seed)
    a, b, c = (mesh.vertices[mesh.faces[:, i]] for i in range(3))
    area = np.linalg.norm(np.cross(b - a, c - a), axis=1)
    chosen = rng.choice(len(area), n, p=area / area.sum())
    u, v, w = rng.dirichlet([1.0, 1.0, 1.0], n).T[:, :, None]
    return u * a[chosen] + v * b[chosen] + w * c[chosen]


def normalised(mesh: trimesh.Trimesh, n: int = 2000, seed: int = 0) -> Float64[np.ndarray, "n 3"]:
    """Points on the surface in the mesh's bounding box scaled to [-1, 1] in x, y and z."""
    low, high = mesh.vertices.min(0), mesh.vertices.max(0)
    return (surface(mesh, n, seed) - (low + high) / 2) / ((high - low) / 2)


def sights(
    mesh: trimesh.Trimesh, x: Float[np.ndarray, " columns"], z: Float[np.ndarray, " rows"]
) -> tuple[Float64[np.ndarray, " rays"], Float64[np.ndarray, " rays"]]:
    """What is seen from the front and from behind along lines parallel to y, NaN where nothing is: the y that they hit.

    The lines form a grid, row by row, in shares of the bounding box from -1 to 1.
    """
    low, high = mesh.vertices.min(0), mesh.vertices.max(0)
    grid = np.stack([axis.ravel() for axis in np.meshgrid(x, z)], 1)
    points = (low + high)[[0, 2]] / 2 + grid * (high - low)[[0, 2]] / 2 + 1e-7  # off the edges between faces
    corners = np.asarray(mesh.vertices)[mesh.faces]
    flat = corners[:, :, [0, 2]]
    area = np.linalg.det(np.stack([flat[:, 1] - flat[:, 0], flat[:, 2] - flat[:, 0]], 1))
    corners, flat, area = (values[np.abs(area) > 1e-12] for values in (corners, flat, area))
    u, v = np.moveaxis(flat[:, None] - points[None, :, None], 3, 0)  # from the rays to the corners: faces, rays, 3
    share = (np.roll(u, -1, 2) * np.roll(v, -2, 2) - np.roll(u, -2, 2) * np.roll(v, -1, 2)) / area[:, None, None]
    y = np.where((share >= 0).all(2), (share * corners[:, None, :, 1]).sum(2), np.nan)
    hit = np.isfinite(y).any(0)
    front, back = np.where(np.isnan(y), np.inf, y).min(0), np.where(np.isnan(y), -np.inf, y).max(0)
    return np.where(hit, front, np.nan), np.where(hit, back, np.nan)


# Every mesh


def test_the_categories_are_those_of_modelnet10() -> None:
    assert CATEGORIES == (
        "bathtub", "bed", "chair", "desk", "dresser", "monitor", "night_stand", "sofa", "table", "toilet",
    )  # fmt: skip


def test_an_unknown_category_is_named_with_those_allowed() -> None:
    with pytest.raises(UserError, match=r"'lamp'.*bathtub, bed, chair"):
        furniture("lamp", np.random.default_rng(0))


@pytest.mark.parametrize("category", CATEGORIES)
def test_meshes_are_sound(category: str, meshes: dict[str, list[trimesh.Trimesh]]) -> None:
    for mesh in meshes[category]:
        assert 100 <= len(mesh.faces) <= 5000
        assert np.isfinite(mesh.vertices).all()
        assert np.ptp(mesh.vertices, axis=0).min() > 0.1
        assert set(np.unique(mesh.faces)) == set(range(len(mesh.vertices)))
        assert abs(mesh.vertices[:, 2].min()) < 1e-3, "stands on the floor"


@pytest.mark.parametrize("category", CATEGORIES)
def test_parts_are_closed_outward_and_not_degenerate(category: str, meshes: dict[str, list[trimesh.Trimesh]]) -> None:
    for mesh in meshes[category][:15]:
        a, b, c = (mesh.vertices[mesh.faces[:, i]] for i in range(3))
        assert np.linalg.norm(np.cross(b - a, c - a), axis=1).min() > 1e-8  # square metres
        for part in parts(mesh):
            assert is_closed(part)
            assert volume(mesh.vertices, part) > 1e-8  # cubic metres
            assert np.ptp(mesh.vertices[part.ravel()], axis=0).min() > 1e-3


def test_no_two_are_equal(meshes: dict[str, list[trimesh.Trimesh]]) -> None:
    assert len({mesh.vertices.tobytes() for group in meshes.values() for mesh in group}) == SEEDS * len(CATEGORIES)


@pytest.mark.parametrize("category", CATEGORIES)
def test_categories_have_variety(category: str, meshes: dict[str, list[trimesh.Trimesh]]) -> None:
    width, depth, height = np.array([np.ptp(mesh.vertices, axis=0) for mesh in meshes[category]]).T
    for ratio in (width / height, depth / height, width / depth):
        assert np.std(ratio) > 0.08 * np.mean(ratio)
    assert len({len(parts(mesh)) for mesh in meshes[category]}) >= 3


# Reproducible


@pytest.mark.parametrize("category", CATEGORIES)
def test_the_same_seed_gives_the_same_bytes(category: str, meshes: dict[str, list[trimesh.Trimesh]]) -> None:
    for seed in range(3):
        again, mesh = furniture(category, np.random.default_rng(seed)), meshes[category][seed]
        assert again.vertices.tobytes() == mesh.vertices.tobytes() and again.faces.tobytes() == mesh.faces.tobytes()


def contents(categories: list[str], seed: int, train: int, test: int) -> dict[str, bytes]:
    """The vertices of every mesh of a dataset, by name."""
    settings = config.Furniture(seed=seed, train=train, test=test)
    return {name: mesh.vertices.tobytes() for _, _, name, mesh in dataset(categories, settings)}


def test_dataset_numbers_train_before_test() -> None:
    rows = [row[:3] for row in dataset(["sofa", "chair"], config.Furniture(seed=0, train=2, test=1))]
    assert rows == [
        ("sofa", "train", "sofa_0001"),
        ("sofa", "train", "sofa_0002"),
        ("sofa", "test", "sofa_0003"),
        ("chair", "train", "chair_0001"),
        ("chair", "train", "chair_0002"),
        ("chair", "test", "chair_0003"),
    ]


def test_a_mesh_of_the_dataset_depends_on_seed_and_name_alone() -> None:
    large = contents(["chair", "monitor", "toilet"], seed=5, train=6, test=3)
    small = contents(["toilet", "chair"], seed=5, train=2, test=2)
    assert small == {name: large[name] for name in small}
    generator = np.random.default_rng([5, zlib.crc32(b"monitor_0004")])
    assert large["monitor_0004"] == furniture("monitor", generator).vertices.tobytes()
    other = contents(["toilet", "chair"], seed=6, train=2, test=2)
    assert not set(other.values()) & set(small.values())


def test_train_and_test_share_no_mesh() -> None:
    everything = contents(["chair"], seed=0, train=40, test=20)
    assert len(set(everything.values())) == 60


# In the frame: z up, front towards -y


@pytest.mark.parametrize(
    ("category", "over", "behind"), [("chair", 0.5, 0.2), ("sofa", 0.5, 0.2), ("toilet", 0.4, 0.2)]
)
def test_backs_and_tanks_lie_behind(
    category: str, over: float, behind: float, meshes: dict[str, list[trimesh.Trimesh]]
) -> None:
    for mesh in meshes[category]:
        _, y, z = normalised(mesh).T
        assert y[z > over].mean() > behind


def test_headboards_lie_behind(meshes: dict[str, list[trimesh.Trimesh]]) -> None:
    behind = []
    for mesh in meshes["bed"]:
        _, y, z = normalised(mesh).T
        behind.append(y[z > 0.5].mean())
    assert np.mean(np.array(behind) > 0.3) > 0.8  # some have a canopy
    assert min(behind) > -0.1


def test_taps_lie_at_the_far_end(meshes: dict[str, list[trimesh.Trimesh]]) -> None:
    for mesh in meshes["bathtub"]:
        long = np.ptp(mesh.vertices[:, 1])
        corners = [mesh.vertices[np.unique(part)] for part in parts(mesh)]
        taps = [part for part in corners if np.ptp(part[:, 1]) < long / 2 and part[:, 2].max() > 0.35]
        assert len(taps) >= 3 and min(part[:, 1].mean() for part in taps) > long / 4


@pytest.mark.parametrize("category", ["dresser", "night_stand"])
def test_drawers_and_open_shelves_lie_in_front(category: str, meshes: dict[str, list[trimesh.Trimesh]]) -> None:
    for mesh in meshes[category]:
        front, back = sights(mesh, np.linspace(-0.9, 0.9, 14), np.linspace(-0.9, 0.9, 15))
        assert np.nanstd(front) > np.nanstd(back)


def test_handles_of_desks_lie_in_front(meshes: dict[str, list[trimesh.Trimesh]]) -> None:
    for mesh in meshes["desk"]:
        corners = [mesh.vertices[np.unique(part)] for part in parts(mesh)]
        top = max(corners, key=lambda part: np.prod(np.ptp(part[:, :2], axis=0)))
        handles = [part for part in corners if np.ptp(part, axis=0).max() < 0.2 and part[:, 2].min() > 0.02]
        assert len(handles) >= 2
        assert max(part[:, 1].max() for part in handles) < top[:, 1].mean()


def test_monitors_are_flat_in_front_and_bulge_behind(meshes: dict[str, list[trimesh.Trimesh]]) -> None:
    x, z = np.linspace(-0.7, 0.7, 15), np.linspace(0.3, 0.8, 10)
    column, row = (axis.ravel() for axis in np.meshgrid(x, z))
    surface = np.column_stack([np.ones(column.size), column, column**2, row])  # it may tilt and be curved
    for mesh in meshes["monitor"]:
        front, back = (np.linalg.lstsq(surface, side, rcond=None)[1].item() for side in sights(mesh, x, z))
        assert front < 0.5 * back


def test_monitors_are_wider_than_their_feet(meshes: dict[str, list[trimesh.Trimesh]]) -> None:
    for mesh in meshes["monitor"]:
        foot, screen = (
            np.isfinite(sights(mesh, np.linspace(-1, 1, 50), np.array([z]))[0]).sum() for z in (-0.995, 0.5)
        )
        assert 0 < foot < 0.9 * screen


@pytest.mark.parametrize("category", ["chair", "monitor", "sofa", "toilet"])
def test_no_rotational_twins(category: str, meshes: dict[str, list[trimesh.Trimesh]]) -> None:
    """Turned onto itself by any other rotation of a cube, a mesh is farther away than another sample of itself."""
    turns = Rotation.create_group("O").as_matrix()
    turns = turns[np.abs(turns - np.eye(3)).max((1, 2)) > 0.5]
    for mesh in meshes[category][:10]:
        middle = (mesh.vertices.min(0) + mesh.vertices.max(0)) / 2
        tree = cKDTree(surface(mesh, 1500, 0) - middle)
        points = surface(mesh, 1500, 1) - middle
        apart = min(tree.query(points @ turn.T)[0].mean() for turn in turns)
        assert apart > 1.25 * tree.query(points)[0].mean()


def test_desks_have_their_drawers_on_either_side(meshes: dict[str, list[trimesh.Trimesh]]) -> None:
    x = [normalised(mesh)[:, 0].mean() for mesh in meshes["desk"]]
    assert min(x) < -0.1 and max(x) > 0.1


# Solids and choices


@pytest.mark.parametrize(
    ("solid", "expected"),
    [
        (box((0.0, 2.0), (-1.0, 1.0), (3.0, 4.0), cuts=3), 4.0),
        (bar((0.0, 0.0, 0.0), (0.0, 0.0, 3.0), 0.5), 3.0),
        (bar((0.0, 0.0, 3.0), (1.0, 0.0, 0.0), 0.5), 3.0),
        (bar((0.0, 0.0, 0.0), (2.0, 0.0, 0.0), 1.0, 0.5), 2.0 / 3 * (4.0 + 2.0 + 1.0)),
        (tube([(0.0, 0.0, 0.0), (1.0, 0.0, 0.0), (2.0, 0.0, 0.0)], 0.5, sides=4), 2.0),
        (revolved([(1.0, 2.0), (1.0, 0.0)], sides=12), 2 * 6 * np.sin(2 * np.pi / 12)),
        (extruded(np.array([(0.0, 0.0), (1.0, 0.0), (0.0, 1.0)]), (0.0, 3.0)), 1.5),
        (stack([(rectangle(4.0, 2.0), h) for h in (0.0, 1.0)]), 8.0),
        (
            stack([(rectangle(4.0 - i, 2.0 - i), h) for i, h in ((0, 0.0), (0, 1.0), (1, 1.0), (1, 0.0))], closed=True),
            5.0,
        ),
        (stack([(ellipse(2.0, 2.0, points=4), 1.0), (ellipse(4.0, 4.0, points=4), 0.0)]), (2.0 + 4.0 + 8.0) / 3),
        (extruded(ribbon(np.array([(0.0, 0.0), (1.0, 0.0), (1.0, 1.0)]), 0.1), (0.0, 1.0)), None),
        (cushion((0.0, 1.0), (0.0, 1.0), (0.0, 1.0), edge=0.1, steps=4), None),
        (upright((0.0, 1.0), (0.0, 1.0), (0.0, 1.0), edge=9.0, corner=9.0), None),
    ],
)
def test_solids_are_closed_and_have_their_volume(solid: Solid, expected: float | None) -> None:
    for turned in (solid, solid.mirrored(), solid.tipped(), solid.rolled(), solid.leaned(0.3, 1.0), solid.mirrored(1)):
        assert is_closed(turned.faces)
        if expected is None:
            assert 0 < volume(turned.vertices, turned.faces) < 1
        else:
            assert volume(turned.vertices, turned.faces) == pytest.approx(expected)


def test_a_cushion_fills_its_intervals() -> None:
    for build in (cushion, upright):
        vertices = build((0.0, 1.0), (2.0, 4.0), (-1.0, 0.5), edge=0.1, corner=0.2, steps=2).vertices
        assert vertices.min(0) == pytest.approx([0.0, 2.0, -1.0]) and vertices.max(0) == pytest.approx([1.0, 4.0, 0.5])


def test_transformations_do_what_they_say() -> None:
    point = Solid(np.array([[1.0, 2.0, 3.0]]), np.zeros((0, 3), dtype=np.int64))
    assert point.moved(1.0, -1.0, 2.0).vertices.tolist() == [[2.0, 1.0, 5.0]]
    assert point.tipped().vertices.tolist() == [[1.0, -3.0, 2.0]]
    assert point.rolled().vertices.tolist() == [[3.0, 2.0, -1.0]]
    assert point.leaned(0.5, above=1.0).vertices.tolist() == [[1.0, 3.0, 3.0]]
    assert point.bowed(half=2.0, y=-0.4, z=0.8).vertices.tolist() == [[1.0, 1.9, 3.2]]
    assert [p.vertices.tolist() for p in pair(point)] == [[[1.0, 2.0, 3.0]], [[-1.0, 2.0, 3.0]]]


def test_rounded_keeps_the_ends_and_cuts_the_corner() -> None:
    path = np.array(rounded([(0.0, 0.0, 0.0), (1.0, 0.0, 0.0), (1.0, 0.0, 1.0)], 0.2))
    assert path[0].tolist() == [0.0, 0.0, 0.0] and path[-1].tolist() == [1.0, 0.0, 1.0]
    assert np.linalg.norm(path - [1.0, 0.0, 0.0], axis=1).min() == pytest.approx(0.1 / np.sqrt(2))


def test_split_leaves_gaps() -> None:
    assert np.allclose(
        split((0.0, 1.0), 3, gap=0.1), [(0.0, 0.8 / 3), (0.8 / 3 + 0.1, 1.6 / 3 + 0.1), (1 - 0.8 / 3, 1.0)]
    )


def test_a_loft_faces_outward_whichever_way_its_rings_run() -> None:
    ring = np.column_stack([rectangle(2.0, 2.0), np.zeros(4)])
    for rings in (np.stack([ring, ring + 1.0]), np.stack([ring, ring - 1.0]), np.stack([ring[::-1], ring[::-1] + 1.0])):
        solid = loft(rings)
        assert volume(solid.vertices, solid.faces) == pytest.approx(4.0)


def test_pick_follows_the_weights() -> None:
    rng = np.random.default_rng(0)
    drawn = [pick(rng, {"a": 3.0, "b": 0.0, "c": 1.0}) for _ in range(4000)]
    assert "b" not in drawn and abs(drawn.count("a") / 4000 - 0.75) < 4 * np.sqrt(0.75 * 0.25 / 4000)
    assert {pick(rng, [1, 2, 3]) for _ in range(100)} == {1, 2, 3}
