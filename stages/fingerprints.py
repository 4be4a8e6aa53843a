"""What each stage depends on beside its files, as `check` writes it for DVC: the code that it runs, its settings."""

from collections.abc import Iterator
from typing import Any

import yaml

from sphreg import code
from sphreg.config import Params

# By stage, the sections that it reads. `page` shows all of them.
SECTIONS: dict[str, list[str]] = {
    "meshes": ["meshes"],
    "render": ["render"],
    "pack": ["render"],
    "card": [],
    "report": [],
    "table": ["tasks", "heads"],
    "page": list(Params.model_fields),
}


def fingerprints(params: Params) -> Iterator[tuple[str, dict[str, Any]]]:
    """The name of each stage as DVC has it, its settings, and the checksum of each file of its code.

    Which other settings there are, and which other heads, tasks and backbones, is of no matter to a training or a test:
    of the settings of its task those count whose names stand in its code.
    """
    settings = params.model_dump()
    for stage, sections in SECTIONS.items():
        yield stage, _fingerprint(stage, {section: settings[section] for section in sections}, {})
    for task in params.tasks:
        for head in params.heads:
            training = settings["train"][task]
            entries: code.Entries = {"HEADS": [head], "TASKS": [task], "BACKBONES": [training["backbone"]]}
            read = code.names("stages.train", entries)
            own = {
                "seed": params.seed,
                "train": {task: {name: value for name, value in training.items() if name in read}},
                "head_settings": {head: {task: settings["head_settings"][head].get(task, {})}},
            }
            yield f"train@{task}-{head}", _fingerprint("train", own, entries)
            yield f"evaluate@{task}-{head}", _fingerprint("evaluate", {"evaluate": settings["evaluate"]}, entries)


def written(facts: dict[str, Any]) -> bytes:
    """As the file has them."""
    return yaml.safe_dump(facts, sort_keys=False).encode()


def _fingerprint(stage: str, settings: dict[str, Any], entries: code.Entries) -> dict[str, Any]:
    return {"settings": settings, "code": code.modules(f"stages.{stage}", entries)}
