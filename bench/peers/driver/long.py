"""Long documents: against dense attention, against the package `bsbr`, and
against this encoder's own speed at other lengths."""

from driver import exchange, report
from driver.bench import progress
from driver.documents import sequences_of
from driver.processes import WorkerError

WARM_UP_TOKENS = 4096


def describe(tokens):
    return f"1 x {tokens:,} tokens"


def encode(worker, bench, tokens, options, **more):
    return worker.ask("encode", documents=bench.documents([tokens]),
                      options=options, **more)


def mechanism(answer):
    return f"fp32, {answer['mechanism']}"


def measure_dense(bench, plan):
    """PyTorch over the whole document: another computation, so the vectors are
    not compared."""
    rows = []
    with bench.ours() as ours, bench.peer("torch") as peer:
        version = peer.ask("info")["version"]
        sequences = sequences_of(ours.ask("info"))
        name = mechanism(encode(ours, bench, WARM_UP_TOKENS, plan["options"]))
        for tokens, rounds in bench.lengths(plan):
            documents = bench.documents([tokens])
            peer.ask("prepare", documents=documents, trials=0, **sequences)
            row = {"work": describe(tokens), "ours": name,
                   "against": f"{version}, dense", "ratios": [],
                   "our_seconds": [], "their_seconds": [],
                   "note": "another computation; the peer's positions begin "
                           "anew every 512"}
            for number in range(rounds):
                answer = encode(ours, bench, tokens, plan["options"])
                row["our_seconds"].append(answer["wall_seconds"])
                answer = peer.ask("encode", documents=documents)
                row["their_seconds"].append(answer["wall_seconds"])
                row["ratios"].append(row["their_seconds"][-1] /
                                     row["our_seconds"][-1])
                progress(f"  {describe(tokens)}, round {number + 1} of "
                         f"{rounds}")
            rows.append(row)
    return rows


def measure_bsbr(bench, plan):
    """The same checkpoint in the package and here."""
    package, model = bench.bsbr_checkpoint(plan["model"])
    rows = []
    with bench.ours(model=model) as ours:
        for tokens, rounds in bench.lengths(plan):
            # The package keeps what it allocated, so each length gets a
            # process.
            with bench.peer("bsbr", model=package) as peer:
                rows.append(compare_bsbr(bench, plan, ours, peer, tokens,
                                         rounds))
    first = rows[0]["our_seconds"]
    for row, (tokens, _) in zip(rows[1:], bench.lengths(plan)[1:]):
        growth = (min(row["our_seconds"]) / min(first) *
                  bench.lengths(plan)[0][0] / tokens)
        row["note"] = "; ".join([*filter(None, [row.get("note")]),
                                 f"our time per token is {growth:.2f} times "
                                 f"that of {rows[0]['work']}"])
    return rows


def compare_bsbr(bench, plan, ours, peer, tokens, rounds):
    row = {"work": describe(tokens),
           "ours": "", "against": peer.ask("info")["version"], "ratios": [],
           "our_seconds": [], "their_seconds": []}
    documents = bench.documents([tokens])
    files = bench.vectors_file("ours"), bench.vectors_file("theirs")
    peer.ask("prepare", documents=documents, trials=0, prefix_ids=[],
             suffix_ids=[], pad_token_id=0)
    row["ours"] = mechanism(
        encode(ours, bench, WARM_UP_TOKENS, plan["options"]))
    for number in range(rounds):
        answer = encode(ours, bench, tokens, plan["options"], of="chunks",
                        vectors=files[0])
        row["our_seconds"].append(answer["wall_seconds"])
        try:
            theirs = peer.ask("encode", documents=documents, vectors=files[1])
        except WorkerError as error:
            if tokens in beyond_package(plan):
                return row | {"note": f"the package fails: {error}"}
            raise
        row["their_seconds"].append(theirs["wall_seconds"])
        row["ratios"].append(row["their_seconds"][-1] /
                             row["our_seconds"][-1])
        vectors = [exchange.parse_vectors(file.read_bytes(), answer["size"])
                   for file in files]
        row["min_cosine"] = plan["min_cosine"]
        row["cosine"] = min(row.get("cosine", 1.0),
                            report.least_cosine(*vectors))
        progress(f"  {describe(tokens)}, round {number + 1} of {rounds}")
    return row


def beyond_package(plan):
    return {length["tokens"] for length in plan["lengths"]
            if length.get("beyond_package")}


def measure_flat(bench, plan):
    """Tokens per second at each length, against the first length's and against
    independent chunks of the same length."""
    lengths = bench.lengths(plan)
    base = lengths[0][0]
    rows = {}
    for tokens, _ in lengths:
        for other in (f"itself, {base:,} tokens", "independent chunks"):
            if tokens != base or other == "independent chunks":
                rows[tokens, other] = {"work": describe(tokens), "ratios": [],
                                       "ours": "", "against": other}
    with bench.ours() as ours:
        def speed(tokens, options):
            # Short documents several times, or the clock's noise shows.
            repeats = plan["repeats"] if tokens == base else 1
            return tokens / encode(ours, bench, tokens, options,
                                   repeats=repeats)["wall_seconds"]

        name = mechanism(encode(ours, bench, base, plan["options"]))
        for row in rows.values():
            row["ours"] = name
        speed(base, plan["independent"])
        for number in range(max(rounds for _, rounds in lengths)):
            first = speed(base, plan["options"])
            for tokens, rounds in lengths:
                if number >= rounds:
                    continue
                own = (first if tokens == base else
                       speed(tokens, plan["options"]))
                if tokens != base:
                    rows[tokens, f"itself, {base:,} tokens"]["ratios"].append(
                        own / first)
                rows[tokens, "independent chunks"]["ratios"].append(
                    own / speed(tokens, plan["independent"]))
                progress(f"  {describe(tokens)}, round {number + 1} of "
                         f"{rounds}")
        bench.memory.append({"ours": "fp32",
                             "after": describe(lengths[-1][0]),
                             **ours.ask("memory")})
    return list(rows.values())
