#!/usr/bin/env python3
"""Draws what measure.py wrote as an SVG: time, memory and error by length.

Usage: plot.py REPORT.json OUTPUT.svg
"""

import io
import json
import sys

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt  # noqa: E402

# Text stays text, and the same figures give the same file.
matplotlib.rcParams.update(
    {"svg.fonttype": "none", "svg.hashsalt": "longhand", "font.size": 9}
)
MARKERS = "osv^D<>pP*Xhd"


def series(results, value):
    rows = {}
    for result in results:
        number = None if "error" in result else value(result)
        if number is not None:
            rows.setdefault(result["name"], []).append((result["length"], number))
    return rows


def short(length):
    return f"{length // 1024}k" if length % 1024 == 0 else str(length)


def draw(axes, results, names, title, value, log=True):
    colours = plt.get_cmap("tab20").colors
    rows = series(results, value)
    for index, name in enumerate(names):
        points = rows.get(name, [])
        axes.plot(
            [length for length, _ in points],
            [number for _, number in points],
            marker=MARKERS[index % len(MARKERS)],
            color=colours[index % len(colours)],
            markersize=4,
            linewidth=1,
            label=name,
        )
    axes.set_title(title)
    axes.set_xscale("log", base=2)
    if log:
        axes.set_yscale("log")
    lengths = sorted({result["length"] for result in results})
    axes.set_xticks(lengths, [short(length) for length in lengths])
    axes.set_xlabel("tokens")
    axes.grid(True, which="major", linewidth=0.3)


def distance(result):
    if result["name"] == "full" or result.get("mean_cosine") is None:
        return None
    return 1 - result["mean_cosine"]


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__.strip().splitlines()[-1])
    with open(sys.argv[1], encoding="utf-8") as report:
        results = json.load(report)
    names = list(dict.fromkeys(result["name"] for result in results))
    figure, axes = plt.subplots(1, 3, figsize=(13, 5.2), layout="constrained")
    draw(axes[0], results, names, "CPU seconds", lambda r: r["cpu_seconds"])
    draw(
        axes[1],
        results,
        names,
        "growth of memory, MiB",
        lambda r: max(r["growth_bytes"] / 2**20, 1),
    )
    draw(axes[2], results, names, "1 - cosine to full attention", distance, log=False)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=7, fontsize=8)
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None})
    with open(sys.argv[2], "w", encoding="utf-8") as output:
        # Matplotlib leaves blanks at the ends of lines.
        output.writelines(line.rstrip() + "\n" for line in text.getvalue().splitlines())


if __name__ == "__main__":
    main()
