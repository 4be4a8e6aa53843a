"""A `python` for `python -m MODULE`, forked from a process that imported the libraries, which takes most of its time.

The project's own modules are imported anew in each process, those of the folder where it is started. What counts when
Python starts, as LD_LIBRARY_PATH or the number of torch's threads, is as it was for the server.
"""

import atexit
import json
import os
import random
import runpy
import socket
import subprocess
import sys
import traceback
from importlib import import_module
from pathlib import Path
from socketserver import BaseRequestHandler, ForkingMixIn, UnixStreamServer

LIBRARIES = "torchvision", "accelerate", "pandas", "scipy.stats", "matplotlib.figure", "trimesh", "dvc.repo", "dvc.cli"

CLIENT = """\
#!{python} -IS
import json, os, socket, sys
assert sys.argv[1] == "-m"
server = socket.socket(socket.AF_UNIX)
server.connect({address!r})
socket.send_fds(server, [b"0"], [0, 1, 2])
server.sendall(json.dumps([sys.argv[2:], os.getcwd(), dict(os.environ)]).encode())
server.shutdown(socket.SHUT_WR)
sys.exit(int(server.recv(3) or 70))
"""


class Handler(BaseRequestHandler):
    """Of one process; in a process of its own."""

    def handle(self) -> None:
        _, files, _, _ = socket.recv_fds(self.request, 1, 3)
        with self.request.makefile("rb") as request:
            arguments, folder, environment = json.load(request)
        for number, file in enumerate(files):
            os.dup2(file, number)
        os.chdir(folder)
        os.environ.clear()
        os.environ |= environment
        sys.dont_write_bytecode = bool(environment.get("PYTHONDONTWRITEBYTECODE"))
        sys.path[0] = folder
        sys.argv[1:] = arguments[1:]
        random.seed()
        self.request.sendall(str(status(arguments[0])).encode())


def status(module: str) -> int:
    """Run it as Python runs the main module."""
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        return 1
    finally:
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
    return 0


class Server(ForkingMixIn, UnixStreamServer):
    def service_actions(self) -> None:
        """Often called."""
        super().service_actions()
        if os.getppid() == 1:  # the tests were killed
            sys.exit()


def main(address: str) -> None:
    for library in LIBRARIES:
        import_module(library)
    with Server(address, Handler) as server:
        print("ready", flush=True)
        server.serve_forever()


def write_python(folder: Path) -> subprocess.Popen[str]:
    """Write such a `python` to a folder; it works until the returned process ends."""
    address = str(folder / "socket")
    command = [sys.executable, __file__, address]
    server = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None and server.stdout.readline() == "ready\n"
    client = folder / "python"
    client.write_text(CLIENT.format(python=sys.executable, address=address))
    client.chmod(0o755)
    return server


if __name__ == "__main__":
    main(sys.argv[1])
