"""What the faults did, as figures and as the page docs/faults.md. Pure: events in, text out."""

SENTENCES = {
    "innocents": (
        "Healthy nodes that healthy nodes called dead",
        "Times that a node with a working network said of another such node that it is dead. "
        "The right number is 0."),
    "victim": (
        "What the others said of the faulty node",
        "Times that it was called dead, and times that it came back, while the fault lasted, "
        "summed over the five others. Of a node that cannot be reached at all, 5 and 0 are right: "
        "once each. A node that some can still reach flaps where there is more."),
    "by_victim": (
        "What the faulty node said of the others",
        "Times that it called one of the five dead, which is its own view and nobody else's. A "
        "node of sotto's that hears nobody says ISOLATED first, and tells nobody what it concludes "
        "then."),
    "dropped": (
        "Until all others had dropped a node that nobody can reach",
        "Seconds from the fault to the last of the others; in the split, until both halves see "
        "only themselves."),
    "alone": (
        "Until the faulty node knew that it is alone",
        "Seconds from the fault. serf has no such notion: it is when the last of the others is "
        "failed in its own table (or never, within the fault). sotto says ISOLATED in its status, "
        "health and events; in brackets, when the last of the others was dead in its table."),
    "healed": (
        "Until all saw all again",
        "Seconds from the end of the fault; 0.0 where nothing had to heal."),
    "refuted": (
        "Refutations",
        "Times that a node answered to an accusation while the fault lasted, at all nodes "
        "together: how often somebody was doubted who could answer."),
}


def figures(fault, names, events, began, ended, healed_s):
    """One run: events from the fault's first moment on, and when it was complete and ended.

    `fault` has .victim (an index or None) and .sides (lists of indices or None).
    """
    victim = None if fault.victim is None else names[fault.victim]
    sides = None if fault.sides is None else [{names[i] for i in side} for side in fault.sides]
    during = [event for event in events if event.at < ended]
    out = {"innocents": 0, "victim_dead": 0, "victim_back": 0, "by_victim": 0, "refuted": 0}

    def parted(a, b):
        return sides is not None and not any(a in side and b in side for side in sides)

    for event in during:
        pair = (event.observer, event.member)
        if event.kind == "refuted":
            out["refuted"] += 1
        elif event.kind == "dead" and event.observer == victim:
            out["by_victim"] += 1
        elif event.kind == "dead" and event.member == victim:
            out["victim_dead"] += 1
        elif event.kind == "dead" and not parted(*pair):
            out["innocents"] += 1
        elif event.kind == "alive" and event.member == victim and event.observer != victim:
            out["victim_back"] += 1

    others = [name for name in names if name != victim]
    if sides is not None:
        wanted = [(a, b) for a in names for b in names if parted(a, b)]
    else:
        wanted = [(other, victim) for other in others] if victim else []
    out["dropped"] = _when_all_dead(during, wanted, began)
    out["emptied"] = (_when_all_dead(during, [(victim, other) for other in others], began)
                      if victim else None)
    isolated = [event.at for event in during
                if event.kind == "isolated" and event.observer == victim]
    out["isolated"] = round(min(isolated) - began, 1) if isolated else None
    out["healed"] = None if healed_s is None else round(healed_s, 1)
    return out


def _when_all_dead(events, wanted, began):
    """Seconds until each (observer, member) of `wanted` had been said at least once, or None."""
    first = {}
    for event in events:
        if event.kind == "dead":
            first.setdefault((event.observer, event.member), event.at)
    if not wanted or any(pair not in first for pair in wanted):
        return None
    return round(max(first[pair] for pair in wanted) - began, 1)


def _cell(measure, kind, run):
    def seconds(value):
        return "never" if value is None else f"{value:.1f}"
    if measure == "victim":
        return f"{run['victim_dead']} / {run['victim_back']}"
    if measure == "alone":
        if kind == "serf":
            return seconds(run["emptied"])
        return f"{seconds(run['isolated'])} ({seconds(run['emptied'])})"
    if measure in ("dropped", "healed"):
        return seconds(run[measure])
    return str(run[measure])


def page(faults, results, about):
    """results: {"key of the fault/serf" or "…/sotto": [figures of each run]}; about: lines."""
    lines = ["# Faults of a network: sotto beside serf", "",
             "Six nodes, each in a network namespace on one machine, on one switch; encrypted, "
             "both with the lan profile as", "shipped. The same nftables rules break the network "
             "for both, in turn. This page is written by `tools/bench/faults`;",
             "`tests/e2e/faults_test.cc` holds sotto to it.", ""]
    lines += [f"- {line}" for line in about] + ["", "| fault | what is done |", "|---|---|"]
    lines += [f"| {fault.title} | {fault.what}, {fault.seconds} s |" for fault in faults]
    for measure, (title, sentence) in SENTENCES.items():
        lines += ["", f"## {title}", "", sentence, "", "| fault | serf | sotto |", "|---|---|---|"]
        for fault in faults:
            if measure not in fault.measures:
                continue
            cells = [" · ".join(_cell(measure, kind, run)
                                for run in results.get(f"{fault.key}/{kind}", [])) or "not run"
                     for kind in ("serf", "sotto")]
            lines.append(f"| {fault.title} | {cells[0]} | {cells[1]} |")
    return "\n".join(lines) + "\n"
