"""Predicted rotations."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64
from scipy.spatial.transform import Rotation

from sphreg.viewpoints import viewpoint_angles


@dataclass(frozen=True, eq=False)
class Rotations:
    """Rotations from object to camera coordinates, x_cam = R x_obj + t, of some images, in their order.

    They are NumPy's, as files, scipy and pictures want them; `torch.from_numpy(rotations.quaternions)` is what roma
    works on.

    Attributes:
        quaternions: XYZW, of unit length, w >= 0.
    """

    quaternions: Float64[np.ndarray, "n 4"]

    def __len__(self) -> int:
        return len(self.quaternions)

    def __getitem__(self, index: Any) -> "Rotations":
        """Those of an index, a slice, a mask or a list of indices, as NumPy understands it."""
        return Rotations(self.quaternions[index].reshape(-1, 4))

    def as_scipy(self) -> Rotation:
        """The same in scipy."""
        return Rotation.from_quat(self.quaternions)

    @property
    def viewpoints(self) -> Float64[np.ndarray, "n 3"]:
        """Azimuth, elevation and tilt in radians, in their ranges; see `sphreg.viewpoints`."""
        return viewpoint_angles(self.quaternions)

    @property
    def viewpoints_deg(self) -> Float64[np.ndarray, "n 3"]:
        """Azimuth, elevation and tilt in degrees."""
        return np.degrees(self.viewpoints)

    def columns(self) -> dict[str, Float64[np.ndarray, "n"]]:
        """The columns of files: qw, qx, qy, qz, azimuth_deg, elevation_deg, tilt_deg."""
        names = ("qw", "qx", "qy", "qz", "azimuth_deg", "elevation_deg", "tilt_deg")
        values = np.concatenate([self.quaternions[:, [3, 0, 1, 2]], self.viewpoints_deg], axis=1)
        return dict(zip(names, values.T, strict=True))
