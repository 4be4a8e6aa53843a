"""Files of each kind, changed at random, for each reader: a value or a sentence, within ten seconds and a gibibyte."""

import hashlib
import itertools
import json
import re
import shutil
import signal
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from resource import RLIMIT_AS
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from benchmarks.faults.children import FORK, Child, limit_memory
from benchmarks.faults.findings import GOOD, Finding, Outcome
from benchmarks.faults.readers import READERS, Reader
from sphreg.errors import UserError

SECONDS = 10
LIMIT_S = 60  # to make the sound files
KEPT = 20  # files of a reader that show a fault
MORE = 2**30  # bytes that a reader may take
WORDS = (
    "nan",
    "-1",
    "1e999",
    "0",
    "99999999999999999999",
    "\x00",
    "\ufeff",
    '"',
    ",",
    "\r",
    "-inf",
    "é",
    "{}",
    "[]",
    "null",
    "1.5",
)
NUMBERS = (0, 1, 127, 128, 255, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 2**63 - 1, 2**64 - 1)


def mutate(content: bytes, other: bytes, rng: np.random.Generator) -> bytes:
    """Change a file at one to eight places; as often as not where its first bytes are, which say what follows."""
    data = bytearray(content)
    for _ in range(int(rng.integers(1, 9))):
        size = len(data)
        place = int(rng.integers(min(size, 200) if rng.random() < 0.5 else size)) if size else 0
        match int(rng.integers(9)):
            case 0 if size:
                data[place] ^= 1 << int(rng.integers(8))
            case 1 if size:
                data[place] = int(rng.integers(256))
            case 2:
                del data[place : place + int(rng.integers(1, 9))]
            case 3:
                data[place:place] = data[place : place + int(rng.integers(1, 65))]
            case 4:
                width = int(rng.choice([1, 2, 4, 8]))
                number = int(NUMBERS[rng.integers(len(NUMBERS))]) % 256**width
                data[place : place + width] = number.to_bytes(width, "little" if rng.random() < 0.7 else "big")
            case 5:
                word = WORDS[rng.integers(len(WORDS))].encode()
                data[place : place + int(rng.integers(0, 9))] = word
            case 6:
                start = int(rng.integers(len(other)))
                data[place : place + int(rng.integers(0, 33))] = other[start : start + int(rng.integers(1, 65))]
            case 7:
                numbers = list(re.finditer(rb"-?\d+", bytes(data[:5000])))
                if numbers:
                    found = numbers[int(rng.integers(len(numbers)))]
                    data[found.start() : found.end()] = WORDS[rng.integers(len(WORDS))].encode()
            case 8 if rng.random() < 0.3:
                del data[place:]
    return bytes(data)


def run(name: str, seed: int, seconds: float, kept: Path, only: int | None = None) -> list[Finding]:
    """Read changed files until it is time; those at which a reader fails are kept in a folder.

    Args:
        name: of the reader.
        seed: of the changes.
        seconds: that it may take.
        kept: the folder.
        only: the number of a file that is to be repeated, and no other.
    """
    left = FORK.Value("d", seconds, lock=False)
    counts = FORK.Array("q", len(Outcome), lock=False)
    number = FORK.Value("q", -1 if only is None else only - 1, lock=False)
    faults: list[Finding] = []
    while only is None or number.value < only:
        start = number.value + 1
        with TemporaryDirectory() as folder:
            call = partial(_read_all, name, seed, left, kept, Path(folder), counts, number, only)
            ended = Child(call, Path(folder)).end(left.value + LIMIT_S)
            for line in ended.said.splitlines():
                if line.startswith("FAULT "):
                    where, outcome, said = json.loads(line.removeprefix("FAULT "))
                    faults.append(Finding("fuzz", name, f"{name}:{where}", Outcome(outcome), said))
            if ended.status == 0:
                break
            if number.value < start:
                raise RuntimeError(f"the files for {name} cannot be made, status {ended.status}:\n{ended.said}")
            outcome = Outcome.HANG if ended.status in (None, -signal.SIGALRM) else Outcome.CRASH
            last = (ended.said.splitlines() or [""])[-1]
            faults.append(Finding("fuzz", name, f"{name}:{number.value}", outcome, f"status {ended.status}: {last}"))
            _keep(Path(folder), name, number.value, kept)
    good = [
        Finding("fuzz", name, name, outcome, count=counts[place])
        for place, outcome in enumerate(Outcome)
        if outcome in GOOD and counts[place]
    ]
    return good + faults


def _keep(folder: Path, name: str, number: int, kept: Path) -> None:
    """Keep the file that was read last, unless there are many of its reader."""
    kept.mkdir(parents=True, exist_ok=True)
    if len(list(kept.glob(f"{name}-*"))) < KEPT:
        file = folder / READERS[name].file
        shutil.copy(file, kept / f"{name}-{number}-{file.name}")


def _content(files: list[bytes], seed: int, number: int) -> bytes:
    rng = np.random.default_rng([seed, number])
    sound, other = (files[int(rng.integers(len(files)))] for _ in range(2))
    return mutate(sound, other, rng)


def _read_all(
    name: str, seed: int, left: Any, kept: Path, folder: Path, counts: Any, number: Any, only: int | None
) -> None:
    reader = READERS[name]
    files = reader.corpus(folder)
    sound = set()
    for file in files:
        (folder / reader.file).write_bytes(file)
        outcome, said = _attempt(reader, folder / reader.file)
        if outcome is Outcome.ALLOWED:
            sound.add(said)
    if not sound:
        raise RuntimeError(f"a sound file is refused: {said}")
    limit_memory(RLIMIT_AS, MORE)
    for place in itertools.count(number.value + 1) if only is None else [only]:
        begun = time.monotonic()
        content = _content(files, seed, place)
        (folder / reader.file).unlink(missing_ok=True)
        (folder / reader.file).write_bytes(content)
        number.value = place
        signal.alarm(SECONDS)  # ends the process, whatever it does
        outcome, said = _attempt(reader, folder / reader.file)
        signal.alarm(0)
        if outcome is Outcome.ALLOWED and said in sound:
            outcome = Outcome.SAME
        counts[list(Outcome).index(outcome)] += 1
        if outcome not in GOOD:
            _keep(folder, name, place, kept)
            print("FAULT", json.dumps([place, outcome.value, said]), flush=True)
        left.value -= time.monotonic() - begun
        if left.value < 0:
            return


def _attempt(reader: Reader, path: Path) -> tuple[Outcome, str]:
    """Read a file; its checksum, or what is said of it."""
    try:
        return Outcome.ALLOWED, hashlib.sha256(repr(_plain(reader.read(path))).encode()).hexdigest()
    except BaseException as error:
        chain = list(_chain(error))
        said = f"{type(error).__name__}: {error}"[:300].replace(str(path.parent), "")
        if any(isinstance(each, MemoryError) or "allocate memory" in str(each) for each in chain):
            return Outcome.MEMORY, said
        if isinstance(error, UserError) and str(error).strip():
            return Outcome.SENTENCE, said
        return Outcome.TRACEBACK, said


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _plain(value: Any) -> Any:
    """Arrays as their bytes, also in tuples, lists and dictionaries."""
    if isinstance(value, np.ndarray):
        return value.shape, value.dtype.str, hashlib.sha256(value.tobytes()).digest()
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, list | tuple) else value
