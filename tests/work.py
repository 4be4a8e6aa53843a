"""What the tests let other processes do; a module of its own, as each of these processes imports it."""

import os
import signal
import time


def square(number):
    return number**2, os.getpid()


def die_once(number, marker):
    """The process dies at 5, the first time."""
    if number == 5:
        try:
            marker.touch(exist_ok=False)
        except FileExistsError:
            return "survived"
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.05)
    return number


def die_always(number):
    if number == 3:
        os._exit(1)
    return number


def hears_ctrl_c(_):
    return signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])


def fail(number):
    raise ValueError(number)


def read(name):
    with open(name) as file:
        return file.read()


def die_at_a_mesh(job, mesh, split, content):
    """In the place of `render_mesh`."""
    if mesh == "chair_0003":
        os._exit(1)
    return b"shard"
