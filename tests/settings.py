"""The settings that tests start from: those of tests/params.yaml, as the user's may be any that are allowed."""

from pathlib import Path

from sphreg.config import load

FILE = Path(__file__).with_name("params.yaml")
PARAMS = load(FILE)
