"""docs/performance.md and its pictures, from the results in a folder. What stands outside the two
markers in the page is left as it is."""

import os

from comparing import chart, daemons, inprocess
from comparing.common import Trouble, median

BEGIN, END = "<!-- compare: begin -->", "<!-- compare: end -->"


def collect(results, half):
    """{nodes: {peer: [one dictionary a run]}}."""
    found = {}
    for name, result in results.load(half + "-").items():
        peer, nodes = name.split("-")[1:3]
        found.setdefault(int(nodes), {}).setdefault(peer, []).append(result)
    return dict(sorted(found.items()))


def values(runs, field, factor):
    return [run[field] * factor for run in runs
            if run.get(field) is not None and run[field] >= 0]


def bar(runs, field, factor):
    some = values(runs, field, factor)
    return (median(some), min(some), max(some)) if some else None


def ratio(ours, theirs):
    if ours is None or not theirs:
        return "–"
    return f"{chart.short(ours / theirs)} ×"


def table(found, ours, theirs, measures):
    """A row for each measure and size; a measure that neither program has is left out."""
    lines = [f"| measure | nodes | {ours} | {theirs} | ratio |", "|---|---|---|---|---|"]
    for field, unit, factor, what in measures:
        for nodes, peers in found.items():
            a = median(values(peers.get(ours, []), field, factor))
            b = median(values(peers.get(theirs, []), field, factor))
            if a is None and b is None:
                continue
            unit_text = f" {unit}" if unit else ""
            cells = [f"{chart.short(x)}{unit_text}" if x is not None else "not reached"
                     for x in (a, b)]
            lines.append(f"| {what} | {nodes} | {cells[0]} | {cells[1]} | {ratio(a, b)} |")
    return lines


def charts(found, half, ours, theirs, measures, folder):
    lines = []
    for field, unit, factor, what in measures:
        groups = [(f"{nodes} nodes", [bar(peers.get(peer, []), field, factor)
                                      for peer in (ours, theirs)])
                  for nodes, peers in found.items()]
        some = [b for _, bars in groups for b in bars if b]
        if not some or all(b[2] == 0 for b in some):
            continue
        name = f"{half}_{field}.svg"
        with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
            file.write(chart.bar_chart(what, unit, groups, [ours, theirs]))
        lines += ["", f"![{what}: {ours} beside {theirs}](performance/{name})"]
    return lines


def frames(rows):
    lines = ["", "### One frame", "",
             "Seal and open of one frame, beside OpenSSL's AES-GCM alone on a kept context, with "
             "the same additional data, in the same run. *Pooled*: the pair's contexts are keyed. "
             "*Re-keyed*: every frame takes over a context of the pool.", "",
             "| session | key | bytes | seal + open | OpenSSL | ratio | allocations |",
             "|---|---|---|---|---|---|---|"]
    for row in rows:
        ours = row["seal_ns"] + row["open_ns"]
        theirs = row["openssl_seal_ns"] + row["openssl_open_ns"]
        lines.append(f"| {row['session']} | {int(row['key_bits'])} bits | {int(row['size'])} | "
                     f"{ours:.0f} ns | {theirs:.0f} ns | {ours / theirs:.2f} × | "
                     f"{chart.short(row['allocations'])} |")
    return lines


def generated(results, folder, quick):
    machine = results.load("machine").get("machine")
    if machine is None:
        raise Trouble("there are no results yet; run without --render")
    lines = [BEGIN, "",
             f"Measured on {machine['date']}: {machine['cores']} cores of {machine['cpu']}, "
             f"{machine['memory_gib']} GiB, Linux {machine['kernel']}; load average at the start "
             f"{machine['load_at_start']}."]
    if quick:
        lines += ["", "**A quick run: too small to quote.**"]
    found = collect(results, "process")
    if found:
        runs = max(len(r) for peers in found.values() for r in peers.values())
        lines += ["", "## Beside memberlist: many nodes in one process", "",
                  "The same steps for both, in turn, each alone in a network namespace; "
                  + ("one run of each size. " if runs == 1 else
                     f"medians of {runs} runs, the whiskers are the lowest and the highest. ")
                  + "sotto's nodes "
                  "share one cache of certificates and verified statements "
                  "(`NodeOptions::shared_cache`) and one `io_context` with one thread; "
                  "memberlist's share Go's scheduler on both cores, collector and heap.", ""]
        lines += table(found, "sotto", "memberlist", inprocess.MEASURES)
        lines += charts(found, "process", "sotto", "memberlist", inprocess.MEASURES, folder)
    rows = results.load("frames").get("frames")
    if rows:
        lines += frames(rows)
    found = collect(results, "daemons")
    if found:
        lines += ["", "## Beside serf: daemons", "",
                  "`sottod` with the configuration that `sotto config init` writes, Debian's "
                  "`serf` with `-encrypt` and its LAN profile; half of the daemons in each of two "
                  "network namespaces, which a cable joins. One run.", ""]
        lines += table(found, "sottod", "serf", daemons.MEASURES)
        lines += charts(found, "daemons", "sottod", "serf", daemons.MEASURES, folder)
    return lines + ["", END]


def write(path, results, quick):
    folder = os.path.join(os.path.dirname(os.path.abspath(path)), "performance")
    os.makedirs(folder, exist_ok=True)
    middle = "\n".join(generated(results, folder, quick))
    before, after = "# Performance\n\n", "\n"
    if os.path.exists(path):
        with open(path, encoding="utf-8") as file:
            old = file.read()
        if BEGIN in old and END in old:
            before, after = old.split(BEGIN, 1)[0], old.split(END, 1)[1]
    with open(path, "w", encoding="utf-8") as file:
        file.write(before + middle + after)
