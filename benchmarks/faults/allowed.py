"""What may differ without a word, and why."""

from fnmatch import fnmatch

ARCHIVE = "Its checksum, which source.json tells, is another; `meshes.modelnet10.sha256` refuses it where it is set."
ALLOWED = {
    "meshes, archive:archive.zip:doubled": ARCHIVE,
    "meshes, archive:archive.zip:flip*": ARCHIVE,
    "meshes, own:*:missing": "What is not there is no mesh of the user's.",
    "meshes, own:*:flip*": "Other numbers in a mesh of the user's are another mesh; mesh files hold no checksum.",
    "meshes, own:*:zeros": "The same.",
    "meshes, own:*:swapped*": "Another mesh of the user's is a mesh.",
    "meshes, own:*.obj:doubled": "An OBJ file may name vertices and faces again.",
    "card:source.json:value_*+sums": "What the source was is said there alone; only its checksum tells.",
    "pack:engine.json:value_*+sums": "What drew is said there alone; only its checksum tells.",
    "*:log.csv:cell_large+sums": "Another number in a log is a number; only its checksum tells.",
    "*:log.csv:names_swapped+sums": "The same.",
    "*:log.csv:half_of_rows+sums": "A log of fewer epochs is that of a shorter training; only its checksum tells.",
    "*:log.csv:row_less+sums": "The same, of the last row.",
    "predict *:*.???:flip*": "Other pixels are another image; of most formats no checksum is kept or looked at.",
    "predict *:*.???:zeros": "The same.",
    "predict *:*.???:swapped*": "Another image is an image.",
    "views test*:test.csv:half_of_rows*": "A view without a row is shown with its key alone.",
    "views test*:test.csv:row_less*": "The same.",
    "views original:*": "The original dataset came without checksums.",
}


def allowed(case: str) -> str | None:
    """Why a case may lead to other bytes; None: it must not."""
    return next((why for pattern, why in ALLOWED.items() if fnmatch(case, pattern)), None)
