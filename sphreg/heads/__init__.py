"""The heads by name. Their files are imported when a head is built, so that a list of names costs no torch."""

import pkgutil
from typing import TYPE_CHECKING, Any

from sphreg.errors import UserError

if TYPE_CHECKING:
    from pydantic import BaseModel

    from sphreg.heads.base import Head
    from sphreg.spheres import Sphere

HEADS = {
    "direct": "sphreg.heads.direct:Direct",
    "flat": "sphreg.heads.flat:Flat",
    "sexp": "sphreg.heads.sexp:SExp",
}


def settings_of(name: str) -> "type[BaseModel]":
    """What the settings of a head are."""
    settings: type[BaseModel] = pkgutil.resolve_name(HEADS[name]).Settings
    return settings


def build(name: str, sphere: "Sphere", settings: dict[str, Any]) -> "Head":
    """The head `name` on `sphere`.

    Raises:
        UserError: there is no such head.
        pydantic.ValidationError: these are not its settings.
    """
    if name not in HEADS:
        raise UserError(f"head is {name!r}, allowed: {', '.join(HEADS)}.")
    head: Head = pkgutil.resolve_name(HEADS[name])(sphere, settings_of(name).model_validate(settings))
    return head
