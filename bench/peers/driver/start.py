"""How long the server needs from its exec to an open port."""

import os
import pathlib
import signal
import socket
import subprocess
import tempfile
import time

from driver.processes import WorkerError

PATIENCE_SECONDS = 120


def read_weights(model):
    """Seconds to read the weights' file, which is in the page cache."""
    start = time.perf_counter()
    with open(model / "model.safetensors", "rb", buffering=0) as file:
        buffer = bytearray(1 << 20)
        while file.readinto(buffer):
            pass
    return time.perf_counter() - start


def start_server(program, model, cpus):
    """Seconds until a connection is accepted; the server is ended again."""
    with tempfile.TemporaryDirectory() as folder:
        port_file = pathlib.Path(folder) / "port"
        with open(pathlib.Path(folder) / "log", "w+b") as log:
            start = time.perf_counter()
            process = subprocess.Popen(
                [program, "--model", model, "--listen", "127.0.0.1:0",
                 "--metrics-listen", "127.0.0.1:0", "--port-file", port_file],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                preexec_fn=lambda: os.sched_setaffinity(0, cpus))
            try:
                wait_for_port(process, port_file, log)
                return time.perf_counter() - start
            finally:
                process.send_signal(signal.SIGTERM)
                process.wait()


def wait_for_port(process, port_file, log):
    give_up = time.monotonic() + PATIENCE_SECONDS
    while not port_file.exists() or not port_file.read_text().strip():
        if process.poll() is not None or time.monotonic() > give_up:
            log.seek(0)
            raise WorkerError("longhand-server does not start: "
                              + log.read().decode(errors="replace")[-500:])
        time.sleep(0.002)
    port = int(port_file.read_text())
    socket.create_connection(("127.0.0.1", port), timeout=10).close()


def measure(bench, _):
    if bench.server is None:
        return [{"work": "start", "ours": "fp32", "against": "",
                 "note": "not measured: no --server"}]
    starts, reads = [], []
    read_weights(bench.model)
    start_server(bench.server, bench.model, bench.cpus)
    for _ in range(bench.rounds):
        starts.append(start_server(bench.server, bench.model, bench.cpus))
        reads.append(read_weights(bench.model))
    return [{"work": "start, weights cached", "ours": "fp32",
             "against": "reading the weights once",
             "our_seconds": starts, "their_seconds": reads,
             "ratios": [read / start for start, read in zip(starts, reads)],
             "note": f"{min(starts):.2f} to {max(starts):.2f} s until the "
                     "port is open"}]
