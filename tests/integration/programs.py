"""Runs the programs longhand-server and longhand for the integration tests.

Which programs, model and document: environment variables that ctest sets, see
CMakeLists.txt. A Server listens on free loopback ports and is stopped by the
`with` that holds it.
"""

import json
import os
import pathlib
import re
import signal
import subprocess
import tempfile
import time
import urllib.request

SERVER_PROGRAM = os.environ["INTEGRATION_SERVER"]
CLIENT_PROGRAM = os.environ["INTEGRATION_CLIENT"]
MODEL_DIR = pathlib.Path(os.environ["INTEGRATION_MODEL_DIR"])
TESTDATA_DIR = pathlib.Path(os.environ["INTEGRATION_TESTDATA_DIR"])

# For things that take a moment; far above what they need.
PATIENCE_SECONDS = 300


def clean_environment():
    """The environment without what the programs would read from it."""
    return {name: value for name, value in os.environ.items()
            if not name.startswith("LONGHAND_")}


def wait_until(condition, what):
    """Returns the first true value of `condition()`."""
    give_up = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < give_up:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError(f"waited {PATIENCE_SECONDS} s in vain for {what}")


class Server:
    """One longhand-server. Flags given here win over the ones set here."""

    def __init__(self, model, *flags):
        self._folder = tempfile.TemporaryDirectory(prefix="longhand-test-")
        folder = pathlib.Path(self._folder.name)
        self._port_file = folder / "port"
        self._log_file = folder / "log"
        command = [SERVER_PROGRAM, "--model", str(model),
                   "--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0",
                   "--port-file", str(self._port_file), "--log-format", "json",
                   "--log-level", "debug", *flags]
        with open(self._log_file, "wb") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env=clean_environment())

    def __enter__(self):
        return self

    def __exit__(self, kind, value, traceback):
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        if kind is not None:
            print(f"--- end of the server's log\n{self.log()[-4000:]}---")
        self._folder.cleanup()

    @property
    def pid(self):
        return self._process.pid

    def log(self):
        return self._log_file.read_text(errors="replace")

    def wait_until_ready(self):
        """Returns the server itself; fails if it exits instead."""
        def ready():
            if self._process.poll() is not None:
                raise AssertionError(
                    f"the server exited with {self._process.returncode}:\n"
                    + self.log())
            return self._port_file.exists()
        wait_until(ready, "the server's port")
        return self

    @property
    def opened_port(self):
        """Whether the server has said that its port is open."""
        return self._port_file.exists() or '"listening"' in self.log()

    @property
    def address(self):
        return f"127.0.0.1:{int(self._port_file.read_text())}"

    def kill(self):
        """Ends it as a power cut would."""
        self._process.kill()
        self._process.wait()

    def send_signal(self, number):
        self._process.send_signal(number)

    def stop(self):
        """Sends SIGTERM; returns the exit code."""
        self._process.send_signal(signal.SIGTERM)
        return self.wait()

    def wait(self):
        """Returns the exit code; negative: the signal that ended it."""
        return self._process.wait(PATIENCE_SECONDS)

    def scrape(self):
        """The text of /metrics."""
        for line in self.log().splitlines():
            event = json.loads(line)
            if event["event"] == "listening":
                url = f"http://127.0.0.1:{event['metrics_port']}/metrics"
                with urllib.request.urlopen(url, timeout=60) as response:
                    return response.read().decode()
        raise AssertionError("the server does not listen")

    def metrics(self):
        """{series with labels: value}."""
        return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2])
                for line in self.scrape().splitlines()
                if line and not line.startswith("#")}

    def open_documents(self):
        return self.metrics()["longhand_open_documents"]

    def memory_bytes(self, field):
        """A field of /proc/PID/status, such as VmHWM: the largest VmRSS."""
        status = pathlib.Path(f"/proc/{self.pid}/status").read_text()
        return 1024 * int(re.search(rf"^{field}:\s+(\d+) kB$", status,
                                    re.M).group(1))


def client_command(server, *arguments):
    return [CLIENT_PROGRAM, *map(str, arguments), "--server", server.address]


def run_client(server, *arguments, stdin=None):
    """Runs `longhand`; returns its standard output. It must exit with 0."""
    result = subprocess.run(
        client_command(server, *arguments), input=stdin, capture_output=True,
        env=clean_environment(), check=False)
    if result.returncode != 0:
        raise AssertionError(f"longhand {arguments[0]} exited with "
                             f"{result.returncode}: {result.stderr.decode()}")
    return result.stdout
