"""Documents that fit a chunk each, encoded alike by every program."""

import contextlib

from driver import exchange, report
from driver.bench import document_lengths, progress
from driver.processes import WorkerError

PEAK_SECONDS = 0.6


class Peer:
    """A peer's worker and what it has given so far."""

    def __init__(self, bench, plan, work, ours):
        self.plan = plan
        self.vectors = None
        self.worker = None
        self.row = {"work": work, "ours": ours, "ratios": [],
                    "our_seconds": [], "their_seconds": [],
                    "our_cpu_seconds": [], "their_cpu_seconds": [],
                    "peak_shares": [],
                    "against": f"{plan['backend']} {plan['precision']}",
                    "min_cosine": plan["min_cosine"]}
        self._file = bench.vectors_file("theirs")

    def start(self, bench, stack, sequences, documents, trials):
        with self.noting_errors():
            worker = stack.enter_context(
                bench.peer(self.plan["backend"], self.plan["precision"]))
            self.row["against"] = worker.ask("info")["version"]
            answer = worker.ask("prepare", documents=documents, trials=trials,
                                **sequences)
            self.row |= {"setting": answer["setting"],
                         "trials": answer["trials"]}
            self.worker = worker

    @contextlib.contextmanager
    def noting_errors(self):
        try:
            yield
        except WorkerError as error:
            progress(f"  {error}")
            self.row["error"] = str(error)
            self.worker = None

    def encode(self, documents, repeats, ours, share):
        """One round. `ours`: our answer with its vectors."""
        if self.worker is None:
            return
        with self.noting_errors():
            answer = self.worker.ask("encode", documents=documents,
                                     repeats=repeats, vectors=self._file)
            self.vectors = exchange.parse_vectors(self._file.read_bytes(),
                                                  ours["size"])
            row = self.row
            for kind in ("wall_seconds", "cpu_seconds"):
                name = kind.removeprefix("wall_")
                row[f"our_{name}"].append(ours[kind])
                row[f"their_{name}"].append(answer[kind])
            row["ratios"].append(answer["wall_seconds"] / ours["wall_seconds"])
            row["peak_shares"].append(share)
            row["cosine"] = min(row.get("cosine", 1.0), report.least_cosine(
                ours["vectors"], self.vectors))


def sequences_of(info):
    return {name: info[name]
            for name in ("prefix_ids", "suffix_ids", "pad_token_id")}


def describe(plan):
    least, most = plan["rows"]
    rows = f"{least}" if least == most else f"{least} to {most}"
    return f"{plan['documents']} x {rows} tokens"


def encode_ours(worker, bench, documents, plan, repeats):
    path = bench.vectors_file("ours")
    answer = worker.ask("encode", documents=documents, options=plan["options"],
                        repeats=repeats, vectors=path)
    if answer["chunks"] != plan["documents"]:
        raise WorkerError(f"{plan['documents']} documents made "
                          f"{answer['chunks']} chunks; raise chunk_tokens")
    return answer | {"vectors": exchange.parse_vectors(path.read_bytes(),
                                                       answer["size"])}


def compare(bench, plan, precision):
    """The rows of one precision."""
    lengths = document_lengths(plan)
    documents = bench.documents(lengths)
    work = describe(plan)
    with contextlib.ExitStack() as stack:
        ours = stack.enter_context(bench.ours(precision))
        info = ours.ask("info")
        if info["precision"] != precision:
            return [{"work": work, "ours": precision, "against": "",
                     "note": f"not measured: this CPU has no {precision}"}]
        encode_ours(ours, bench, documents, plan, 1)
        bench.memory.append({"ours": precision, "after": work,
                             **ours.ask("memory")})
        peers = [Peer(bench, entry, work, precision)
                 for entry in plan["peers"][precision]]
        for peer in peers:
            progress(f"  preparing {peer.row['against']}")
            peer.start(bench, stack, sequences_of(info), documents,
                       plan["trials"])
        added = len(info["prefix_ids"]) + len(info["suffix_ids"])
        rows = report.peak_rows([length + added for length in lengths])
        for number in range(bench.rounds):
            answer = encode_ours(ours, bench, documents, plan,
                                 plan["repeats"])
            peak = ours.ask("peak", rows=rows, seconds=PEAK_SECONDS)
            share = report.peak_share(answer["rows"], info["flops_per_row"],
                                      answer["wall_seconds"], peak["gflops"])
            for peer in peers:
                peer.encode(documents, plan["repeats"], answer, share)
            progress(f"  round {number + 1} of {bench.rounds}")
        add_fp32_cosines(peers)
        return [peer.row for peer in peers]


def add_fp32_cosines(peers):
    """How far a peer in 8 bits is from one in fp32."""
    exact = [peer.vectors for peer in peers
             if peer.plan["precision"] == "fp32" and peer.vectors]
    for peer in peers:
        if peer.plan["precision"] == "int8" and peer.vectors and exact:
            peer.row["fp32_cosine"] = report.least_cosine(peer.vectors,
                                                          exact[0])


def measure(bench, plan):
    rows = []
    for precision in bench.precisions:
        progress(f" {precision}")
        rows += compare(bench, plan, precision)
    return rows
