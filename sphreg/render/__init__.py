"""Images of meshes: grey, with a normal per pixel, in any rotation."""
