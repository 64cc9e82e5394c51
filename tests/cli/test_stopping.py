"""Real processes and real signals: what hangs in Python, what swallows exceptions, and what hangs in native code."""

import signal
import subprocess
import sys

import pytest

HANGS = {
    "python": "print('ready', flush=True)\nwhile True: time.sleep(0.05)",
    "swallows": """
while True:
    try:
        print("ready", flush=True)
        while True: time.sleep(0.05)
    except BaseException:
        pass
""",
    # Python runs no signal handler while the main thread is in there, and the call gives up Python's lock.
    "native": """
print("ready", flush=True)
mutex, lock = ctypes.create_string_buffer(64), ctypes.CDLL(None).pthread_mutex_lock
lock(mutex), lock(mutex)
""",
}
CODE = """
import ctypes, signal, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts what runs behind it without
from replaytree.cli import stopping
stopping.GRACE_SECONDS = 0.3
asked = []
with stopping.stopping_gently(lambda: print("asked", flush=True), when="after this training"):
    HANG
"""


def started(hang):
    code = CODE.replace("    HANG", "\n".join(f"    {line}" for line in HANGS[hang].splitlines()))
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.parametrize("hang", HANGS)
@pytest.mark.parametrize(("signal_", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_the_first_signal_asks_and_the_second_ends_the_process(hang, signal_, code):
    process = started(hang)
    process.send_signal(signal_)
    if hang == "native":
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.3)
    else:
        assert process.stdout.readline() == "asked\n"
    process.send_signal(signal_)
    _, errors = process.communicate(timeout=30)
    # A KeyboardInterrupt is told, and given its exit code, where all exceptions are.
    unwound = hang == "python" and signal_ == signal.SIGINT
    assert process.returncode == (-signal.SIGINT if unwound else code)
    assert ("Stopped at once; what was committed stays." in errors) != unwound
    assert "Stopping after this training; " in errors or hang == "native"


def test_handlers_are_restored():
    code = """
import signal
from replaytree.cli.stopping import SIGNALS, stopping_gently
before = [signal.getsignal(number) for number in SIGNALS]
with stopping_gently(print, when="now"):
    pass
print([signal.getsignal(number) for number in SIGNALS] == before, signal.set_wakeup_fd(-1))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "-1"]
