"""The programs that are compared, each a process that waits for commands."""

import json
import os
import subprocess
import sys
import tempfile
import time

# Thread pools spin for a moment after their work; the next one's turn begins
# when they sleep.
PAUSE_SECONDS = 0.1
# What would change how many threads a library starts.
THREAD_VARIABLES = ("OMP_", "KMP_", "GOMP_", "MKL_", "OPENBLAS_", "DNNL_",
                    "ONEDNN_", "ATEN_", "TORCH_", "OV_")


class WorkerError(Exception):
    """What a worker answered instead of a result, or that it ended."""


class Worker:
    """Started by the constructor, ended by close or the `with` it is in."""

    def __init__(self, name, command, cpus):
        self.name = name
        self._log = tempfile.TemporaryFile()
        environment = {key: value for key, value in os.environ.items()
                       if not key.startswith(THREAD_VARIABLES)}
        environment |= {"HF_HUB_OFFLINE": "1", "PYTHONDONTWRITEBYTECODE": "1"}
        self._process = subprocess.Popen(
            [str(word) for word in command], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=self._log, text=True,
            env=environment,
            preexec_fn=lambda: os.sched_setaffinity(0, cpus))

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind is not None:
            self._process.kill()
        self.close()

    def ask(self, command, **arguments):
        """The answer, a dictionary. WorkerError."""
        time.sleep(PAUSE_SECONDS)
        line = json.dumps({"command": command, **arguments}, default=str)
        try:
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()
            answer = self._process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if not answer:
            raise WorkerError(f"{self.name} ended: {self._last_words()}")
        answer = json.loads(answer)
        if "error" in answer:
            raise WorkerError(f"{self.name}: {answer['error']}")
        return answer

    def _last_words(self):
        self._process.wait()
        self._log.seek(0)
        log = self._log.read().decode(errors="replace").strip()
        sys.stderr.write(log[-4000:] + "\n")
        return log.splitlines()[-1] if log else "without a word"

    def close(self):
        try:
            self._process.stdin.close()
        except BrokenPipeError:
            pass
        self._process.wait()
        self._process.stdout.close()
        self._log.close()


def run_to_end(command, cpus):
    """Runs a program that only has to succeed. WorkerError."""
    done = subprocess.run(
        [str(word) for word in command], stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, check=False,
        preexec_fn=lambda: os.sched_setaffinity(0, cpus))
    if done.returncode != 0:
        sys.stderr.write(done.stdout[-4000:])
        words = " ".join(str(word) for word in command[:3])
        raise WorkerError(f"{words} failed with {done.returncode}")
