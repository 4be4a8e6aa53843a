"""The numeric tests as a CPU of another kind computes them: `python -m tests.kernels [--kind avx2] [pytest's options]`.

CPUs add in different orders, with and without fused products. So last bits differ, and with them whatever hangs on one:
a sign, a tie, the bytes of weights. Variables tell the libraries to use the code that they have for another CPU. Most
ignore a word that they do not know, so that the run starts only once each has shown what it uses.
"""

import argparse
import json
import os
import platform
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
# Tests that round nothing, or what others round, too; and code that torch compiled for this CPU, and keeps.
FILES = [
    "api",
    "bad_input",
    "browser",
    "compare",
    "config",
    "download",
    "execution",
    "formats",
    "gpu_benchmark",
    "kernels",
    "modelnet10",
    "original",
    "page",
    "pipeline",
    "presets",
    "readme",
    "resume",
    "sources",
    "stages",
    "viewer",
]
TESTS = {
    "bad_training": ["test_a_compiled_network_learns_the_same"],
    "comparison_figures": [
        "test_drawings_are_well_formed_repeatable_and_ask_for_nothing",
        "test_every_figure_can_be_read",
        "test_names_of_rows_can_be_told_apart_in_every_figure",
    ],
    "networks": ["TestWeights"],
    "predict": ["TestBadImages", "TestBadModels", "TestBadCategories"],
    "processes": ["test_killed", "test_a_damaged_checkpoint"],
    "rendering": [
        "test_a_killed_pack_is_done_again",
        "test_a_killed_render_goes_on_where_it_stopped",
        "test_a_full_disk_is_one_sentence_and_leaves_nothing_to_trust",
        "test_what_is_something_else_is_not_replaced",
    ],
    "statistics": [
        "test_equal_heads_are_told_apart_as_often_as_they_may_be",
        "test_intervals_cover_the_truth",
        "test_intervals_of_three_seeds_cover_the_truth",
        "test_many_equal_heads_are_seldom_told_apart_over_seeds",
        "test_views_that_are_drawn_alone_cover_too_little",
    ],
    "teaser": ["test_it_can_be_read"],
}

# By kind what each library is told, and what it may answer: see `found`.
TOLD = {"old": {"ATEN_CPU_CAPABILITY": "default", "NUMBA_CPU_NAME": "generic", "OMP_NUM_THREADS": "1"}}
ANSWERS: dict[str, dict[str, list[Any]]] = {"old": {"torch": ["DEFAULT"], "threads": ["1"]}}
if platform.machine() == "x86_64":  # the names are Intel's, for AMD's CPUs, too
    TOLD["old"] |= {"ONEDNN_MAX_CPU_ISA": "SSE41", "MKL_CBWR": "COMPATIBLE", "OPENBLAS_CORETYPE": "Nehalem"}
    TOLD["old"] |= {"LP_NATIVE_VECTOR_WIDTH": "128"}  # of Mesa
    ANSWERS["old"] |= {"oneDNN": ["Intel SSE4.1"], "MKL": ["COMPATIBLE"], "OpenBLAS": ["Nehalem"]}
    ANSWERS["old"] |= {"numba": [128], "Mesa": [128, None]}  # None: a GPU draws, or nothing does
    TOLD["avx2"] = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "OPENBLAS_CORETYPE": "Haswell"}
    TOLD["avx2"] |= {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": "+avx2,+fma,-avx512f"}
    ANSWERS["avx2"] = {"torch": ["AVX2"], "oneDNN": ["Intel AVX2"], "OpenBLAS": ["Haswell"], "numba": [256]}


def main() -> None:
    """Check what the libraries make of their variables, and become pytest."""
    parser = argparse.ArgumentParser(prog="python -m tests.kernels", description=__doc__, allow_abbrev=False)
    parser.add_argument("--kind", choices=TOLD, default="old")
    parser.add_argument("--found", action="store_true", help=argparse.SUPPRESS)  # the process that is asked
    arguments, options = parser.parse_known_args()
    if arguments.found:
        print(json.dumps(found()))
        return
    beyond = beyond_avx2 if arguments.kind == "avx2" else list
    told = TOLD[arguments.kind] | {"NPY_DISABLE_CPU_FEATURES": " ".join(beyond(numpy_features()))}
    environment = os.environ | told
    answers = ask(environment)
    print(f"Kernels of the kind {arguments.kind}: {answers}", flush=True)
    wanted = ANSWERS[arguments.kind]
    if wrong := {name: answers[name] for name, allowed in wanted.items() if answers[name] not in allowed}:
        sys.exit(f"Not as they were told: {wrong}, allowed: {wanted}.")
    if beyond(answers["numpy"]):
        sys.exit(f"NumPy still uses {answers['numpy']}.")
    left_out = [f"--ignore=tests/test_{name}.py" for name in FILES]
    left_out += [f"--deselect=tests/test_{name}.py::{test}" for name, tests in TESTS.items() for test in tests]
    os.chdir(ROOT)
    os.execve(sys.executable, [sys.executable, "-m", "pytest", *left_out, *options], environment)


def numpy_features() -> list[str]:
    """Those that NumPy uses in this process beyond the least; it warns where others are forbidden to it."""
    import numpy as np

    features: list[str] = np.show_config("dicts")["SIMD Extensions"].get("found", [])
    return features


def beyond_avx2(features: list[str]) -> list[str]:
    """Of NumPy's names, which it changes now and then."""
    return [name for name in features if name.startswith(("AVX512", "X86_V4"))]


def ask(environment: dict[str, str]) -> dict[str, Any]:
    """What libraries use in a process with these variables: `found` there, and what oneDNN and MKL say."""
    environment = environment | {"ONEDNN_VERBOSE": "1", "MKL_VERBOSE": "1"}
    command = [sys.executable, "-m", "tests.kernels", "--found"]
    said = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout
    verbose = {"oneDNN": r"info,cpu,isa:(.+)", "MKL": r"CNR:(\w+)"}
    matches = {name: re.search(pattern, said) for name, pattern in verbose.items()}
    return {name: match and match[1] for name, match in matches.items()} | json.loads(said.splitlines()[-1])


def found() -> dict[str, Any]:
    """What the libraries of this process use."""
    import numba
    import numpy as np
    import scipy.linalg
    import torch
    from threadpoolctl import threadpool_info

    from sphreg.errors import UserError
    from sphreg.render.engine import choose_engine

    torch.nn.Conv2d(8, 8, 3)(torch.ones(2, 8, 16, 16))  # oneDNN speaks of itself
    torch.ones(64, 64) @ torch.ones(64, 64)  # and so does MKL
    scipy.linalg.inv(np.eye(3))  # loads its own OpenBLAS

    @numba.njit(fastmath=True)
    def total(values: np.ndarray) -> float:
        result = 0.0
        for value in values:
            result += value
        return result

    total(np.ones(9))
    (code,) = total.inspect_asm().values()
    widest = max((512 * ("%zmm" in code), 256 * ("%ymm" in code), 128 * ("%xmm" in code)))
    pools = [pool for pool in threadpool_info() if pool["internal_api"] == "openblas"]
    threads = {torch.get_num_threads(), *(pool["num_threads"] for pool in pools)}
    try:
        renderer = choose_engine("pyrender")["gl_renderer"]
    except UserError:  # there is no OpenGL
        renderer = ""
    llvmpipe = re.search(r"llvmpipe.* (\d+) bits", renderer)
    return {
        "torch": torch.backends.cpu.get_cpu_capability(),
        "OpenBLAS": " ".join({pool["architecture"] for pool in pools}),
        "numpy": numpy_features(),
        "numba": widest,
        "Mesa": llvmpipe and int(llvmpipe[1]),
        "threads": " ".join(map(str, threads)),
    }


if __name__ == "__main__":
    main()
