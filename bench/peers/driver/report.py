"""What the measurements come to: ratios, shares, agreement, tables. Pure
functions."""

import math
import statistics


def cosine(a, b):
    """0 for vectors of no length, and for what is not finite."""
    if not all(map(math.isfinite, (*a, *b))):
        return 0.0
    dot = math.fsum(x * y for x, y in zip(a, b))
    norms = math.sqrt(math.fsum(x * x for x in a) *
                      math.fsum(y * y for y in b))
    return dot / norms if norms > 0 else 0.0


def least_cosine(ours, theirs):
    """Of the vectors that two programs made of the same documents."""
    if len(ours) != len(theirs) or not ours:
        raise ValueError(f"{len(ours)} vectors against {len(theirs)}")
    return min(cosine(a, b) for a, b in zip(ours, theirs))


def agrees(row):
    """Whether a row's vectors are close enough, where that is asked for."""
    if row.get("min_cosine") is None:
        return True
    return row.get("cosine") is not None and row["cosine"] >= row["min_cosine"]


def failed(row):
    return "error" in row or not agrees(row)


def peak_share(rows, flops_per_row, seconds, gflops):
    """The matmul rate of a forward pass, of the rate with nothing else."""
    return rows * flops_per_row / seconds / (gflops * 1e9)


def peak_rows(lengths, groups=6):
    """[[rows, chunks], ...] that stand for chunks of these lengths: the median
    of each of so many groups of like ones."""
    ordered = sorted(lengths)
    size = math.ceil(len(ordered) / groups)
    parts = [ordered[i:i + size] for i in range(0, len(ordered), size)]
    merged = {}
    for part in parts:
        rows = part[len(part) // 2]
        merged[rows] = merged.get(rows, 0) + len(part)
    return [[rows, chunks] for rows, chunks in merged.items()]


def _number(value):
    return f"{value:.2f}" if value < 10 else f"{value:.1f}"


def format_spread(values, percent=False):
    if not values:
        return ""
    if percent:
        low, middle, high = (f"{100 * value:.0f}" for value in
                             (min(values), statistics.median(values),
                              max(values)))
        return f"{middle} % ({low} to {high})"
    return (f"{_number(statistics.median(values))} ({_number(min(values))} to "
            f"{_number(max(values))})")


def format_cosine(row):
    if row.get("cosine") is None:
        return ""
    text = f"{row['cosine']:.5f}"
    if row.get("min_cosine") is not None:
        text += f" (at least {row['min_cosine']:g}"
        text += ")" if agrees(row) else ": NO)"
    if row.get("fp32_cosine") is not None:
        text += f"; its own to fp32 {row['fp32_cosine']:.3f}"
    return text


COLUMNS = ("work", "ours", "against", "times as fast", "cosine",
           "share of matmul peak", "note")


def cells(row):
    note = "; ".join(text for text in (
        row.get("error") and f"ERROR: {row['error']}", row.get("setting"),
        row.get("note")) if text)
    return (row["work"], row["ours"], row["against"],
            format_spread(row.get("ratios", [])), format_cosine(row),
            format_spread(row.get("peak_shares", []), percent=True), note)


def markdown_table(rows):
    lines = [COLUMNS, ["---"] * len(COLUMNS), *map(cells, rows)]
    return "".join(
        "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ")
                          for cell in line) + " |\n" for line in lines)


def plain_table(rows):
    """For a terminal: what a row says on one line, its note on the next."""
    lines = []
    for row in rows:
        work, ours, against, ratio, agreement, share, note = cells(row)
        line = f"{work:24} {ours:12} {against:28} {ratio:>22}"
        line += f"  cosine {agreement}" if agreement else ""
        line += f"  peak {share}" if share else ""
        lines.append(line.rstrip())
        if note:
            lines.append(f"{'':24} {note}")
    return "\n".join(lines) + "\n"
