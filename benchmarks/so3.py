"""How many views ModelNet10-SO3 has."""

TRAIN_VIEWS = 3991 * 100  # meshes times views of each
VIEWS = TRAIN_VIEWS + 908 * 20
