"""Learning directions and rotations on n-spheres, and a fair comparison of ways to do it.

A re-implementation of Liao, Gavves, Snoek, "Spherical Regression: Learning Viewpoints, Surface Normals and 3D Rotations
on n-Spheres", CVPR 2019. These are its conventions; each has its tests.

Rotations
    Quaternions are XYZW in code, with w >= 0, as q and -q are one rotation; in files their columns are named
    `qw,qx,qy,qz`. R takes object coordinates to camera coordinates, column vectors: x_cam = R x_obj + t.

Camera
    x to the right, y up, z towards the viewer, as in OpenGL. The object lies at t = (0, 0, -distance). The image is
    square, its field of view 40 degrees.

Objects
    z up, the front towards -y: the headboard of a bed and the back of a chair lie at +y. Centred on the centre of the
    bounding box, and scaled so that the sphere about it that holds all vertices has radius 1. The distance makes this
    sphere fit the image, so that no rotation cuts the object. The meshes of ModelNet10 are taken as they are: its
    desks, monitors and sofas face along x, so that azimuth 0 sees them from the side.

Shading
    A headlight: grey = 0.3 + 0.6 |n . v|, v the unit ray to the camera; white background; 2 x 2 sub-samples averaged.
    Faces are flat and two-sided. The normal and the mask of a pixel are those of one fixed sub-sample, row 1 and column
    1 from the top left, counted from 0. Normals are never averaged. The camera and the light of the paper's dataset
    were never published: this is a re-render.

Viewpoint
    R = Rz(tilt) Rx(elevation - 90 degrees) Rz(-azimuth). Azimuth and tilt lie in [-pi, pi), the elevation in
    [-pi/2, pi/2]. Azimuth 0 and elevation 0 see the front, upright.

Normals
    In the camera's frame, of unit length, facing the viewer (n . v >= 0); the zero vector where there is no object.

Spheres
    Rotation lives on S3 with w >= 0 (8 sign classes), an angle of the viewpoint on S1 (4), a normal on S2 with z >= 0
    (4). Bit k of a sign class is set where the k-th component of unknown sign is negative.

Units
    Radians inside. Degrees only in columns of files, names of metrics and pictures, whose names then say so
    (`median_deg`). Accuracies are fractions from 0 to 1, of the errors below the degrees in their name.

Images
    uint8; (height, width) in files and (batch, 1, height, width) in networks. Never flipped: a mirror image has no
    rotation.

Names
    The key of a view is `bathtub_0107.v001`, counted from 001; names of meshes are unique in a dataset. The rotations
    of a mesh are drawn from (`render.seed`, a checksum of its name): no order, number of processes or subset changes
    them.

Randomness
    From explicit generators; the global ones are left as they were.
"""

import pkgutil
import sys
from typing import Any

from sphreg.program import interruptible

if sys.argv[:1] == ["-m"]:  # so it is while Python looks for what `python -m` is to run
    interruptible()

# Imported when they are first asked for, so that meshes, rendering and reports cost no torch.
_PUBLIC = {
    "HEADS": "sphreg.heads:HEADS",
    "Head": "sphreg.heads.base:Head",
    "Predictor": "sphreg.predict:Predictor",
    "Rotations": "sphreg.predict.rotations:Rotations",
    "Sphere": "sphreg.spheres:Sphere",
    "TASKS": "sphreg.tasks:TASKS",
    "Task": "sphreg.tasks.base:Task",
    "UserError": "sphreg.errors:UserError",
    "geodesic_angle": "sphreg.rotations:geodesic_angle",
    "load": "sphreg.predict:load",
    "s_exp": "sphreg.spheres:s_exp",
    "s_flat": "sphreg.spheres:s_flat",
}
__all__ = list(_PUBLIC)


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return pkgutil.resolve_name(_PUBLIC[name])


def __dir__() -> list[str]:
    return sorted([*globals(), *_PUBLIC])
