# SPDX-License-Identifier: BSD-2-Clause
"""Judges what was measured and writes it down: medians, ratios, verdicts, tables, JSON.

`Results` holds, of each family's columns, one dict of figures per round, or why there is none.
Nothing here measures anything.
"""

import json
import math
import statistics
from dataclasses import dataclass

# key: (name, divisor, decimals)
UNITS = {
    "iops": ("K/s", 1e3, 1),
    "mb_per_s": ("GB/s", 1e3, 2),
    "mib_per_s": ("MiB/s", 1, 1),
    "p50": ("p50 us", 1, 1),
    "p99": ("p99 us", 1, 0),
    "cpu_us_per_io": ("CPU us per I/O", 1, 3),
    "cpu_s_per_gb": ("CPU s per GB", 1, 3),
    "cpu_percent": ("% of a CPU", 1, 2),
    "after_percent": ("% of a CPU", 1, 2),
    "rss_mib": ("MiB resident", 1, 0),
    "private_mib": ("MiB resident, slab excluded", 1, 1),
    "kib_per_session": ("KiB for each further one", 1, 1),
    "logins_per_cpu_s": ("logins per CPU second", 1, 0),
    "sessions_least_by_most": ("sessions of the emptier by those of the fuller", 1, 2),
    "instructions": ("instructions", 1, 0),
}
# Of the second table: what is told of every column that has it.
DETAILS = (("iops", "K/s"), ("mb_per_s", "GB/s"), ("mib_per_s", "MiB/s"),
           ("p50", "p50 us"), ("p99", "p99 us"), ("cpu_us_per_io", "CPU us per I/O"),
           ("cpu_s_per_gb", "CPU s per GB"), ("client_cpu_percent", "client CPU %"),
           ("calls", "system calls per I/O"))
MOVED = ("iops", "mib_per_s", "calls")
PASS, SHORT, TOLD = "pass", "**FALLS SHORT**", ""


class Results:
    def __init__(self):
        self.figures = {}  # (family, column): [{key: number}, ...]
        self.failures = {}  # (family, column): why there is nothing, or not all

    def add(self, family, column, figures):
        self.figures.setdefault((family, column), []).append(figures)

    def fail(self, family, column, why):
        """The first reason stays: what follows follows from it."""
        self.failures.setdefault((family, column), " ".join(str(why).split()) or "no reason given")

    def failed(self, family, column):
        return (family, column) in self.failures

    def values(self, family, column, key):
        """One number per round; a Missing when the column has failed or has no such figure."""
        place = (family, column)
        if place in self.failures:
            raise Missing(f"{column}: {self.failures[place]}")
        values = [figures.get(key) for figures in self.figures.get(place, ())]
        if not values:
            raise Missing(f"{column}: not measured")
        for value in values:
            if not isinstance(value, (int, float)) or not math.isfinite(value) or value < 0:
                raise Missing(f"{column}: {key} is {value}")
        return values


class Missing(Exception):
    """A figure that a mark needs and that is not there; the text says why."""


@dataclass
class Verdict:
    """One mark, judged."""
    family: str
    mark: object  # marks.Mark
    key: str
    word: str  # PASS, SHORT or TOLD
    ours: float = None  # medians over the rounds
    beside: float = None
    value: float = None  # what is held against the bound: the ratio, or ours
    low: float = None  # of the rounds
    high: float = None
    why: str = ""

    @property
    def good(self):
        return self.word != SHORT


def pairs(ours, beside):
    """Neighbours: one was measured with each of the other, or with each few of the other."""
    longer, shorter = max(len(ours), len(beside)), min(len(ours), len(beside))
    if longer % shorter:
        raise Missing(f"{len(ours)} rounds of one, {len(beside)} of the other")
    return [(ours[i * len(ours) // longer], beside[i * len(beside) // longer])
            for i in range(longer)]


def ratios(ours, beside):
    if not all(beside):
        raise Missing("what it is compared with is 0")
    return [a / b for a, b in pairs(ours, beside)]


def holds(mark, value):
    return (mark.least is None or value >= mark.least) and \
        (mark.most is None or value <= mark.most)


def judged(mark):
    return mark.least is not None or mark.most is not None


def judge(family, mark, results):
    """A mark whose figures are not there falls short; what is only told never does."""
    key = mark.key or family.key
    verdict = Verdict(family.name, mark, key, TOLD)
    try:
        ours = results.values(family.name, mark.ours, key)
        verdict.ours = statistics.median(ours)
        rounds = ours
        if mark.beside:
            beside = results.values(family.name, mark.beside, key)
            verdict.beside = statistics.median(beside)
            rounds = ratios(ours, beside)
        verdict.value = statistics.median(rounds)
        verdict.low, verdict.high = min(rounds), max(rounds)
        good = holds(mark, verdict.value)
    except Missing as missing:
        verdict.why = str(missing)
        good = False
    if judged(mark):
        verdict.word = PASS if good else SHORT
    return verdict


# Tables

def figure(value, key):
    if value is None:
        return "-"
    _, divisor, decimals = UNITS[key]
    return f"{value / divisor:.{decimals}f}"


def bound(mark, key):
    """The bound of a ratio is a number, that of a figure is in the figure's unit."""
    words = []
    for word, limit in (("at least", mark.least), ("at most", mark.most)):
        if limit is not None:
            words.append(f"{word} {limit / (1 if mark.beside else UNITS[key][1]):g}")
    return ", ".join(words)


def table(head, rows):
    """Markdown; columns whose heading begins with > are numbers."""
    lines = ["| " + " | ".join(name.lstrip(">") for name in head) + " |",
             "|" + "".join("---:|" if name.startswith(">") else "---|" for name in head)]
    lines += ["| " + " | ".join(str(cell).replace("|", "/") for cell in row) + " |"
              for row in rows]
    return "\n".join(lines)


def mark_row(verdict):
    mark, key = verdict.mark, verdict.key
    if mark.beside and verdict.value is not None:
        value, spread = f"{verdict.value:.2f}", f"{verdict.low:.2f} - {verdict.high:.2f}"
    elif verdict.value is not None:
        value, spread = "", f"{figure(verdict.low, key)} - {figure(verdict.high, key)}"
    else:
        value = spread = "-"
    says = verdict.word
    if verdict.why:
        says = f"{says}: {verdict.why}".lstrip(": ")
    return (mark.number, verdict.family, UNITS[key][0],
            f"{mark.ours} {figure(verdict.ours, key)}",
            f"{mark.beside} {figure(verdict.beside, key)}" if mark.beside else "",
            value, spread, bound(mark, key), says)


def mark_table(verdicts):
    return table(("mark", "load", "figure", "ours", "beside", ">ratio", ">lowest - highest round",
                  "bound", "verdict"), [mark_row(verdict) for verdict in verdicts])


def details_row(rounds):
    """The medians of what was measured; 0 is not worth a figure."""
    for key, _ in DETAILS:
        values = [figures[key] for figures in rounds if figures.get(key) is not None]
        divisor = UNITS[key][1] if key in UNITS else 1
        median = statistics.median(values) / divisor if values else 0
        yield f"{median:.{2 if median < 1000 else 0}f}" if median else "-"


def details_table(results):
    """Everything that moved data."""
    rows = [(family, column, *details_row(rounds))
            for (family, column), rounds in results.figures.items()
            if any(figures.get(key) for figures in rounds for key in MOVED)]
    return table(("load", "column", *(f">{name}" for _, name in DETAILS)), rows)


def status(verdicts):
    """The exit status: 1 when a mark falls short, and when nothing was judged."""
    return 0 if any(judged(v.mark) for v in verdicts) and all(v.good for v in verdicts) else 1


def closing(verdicts):
    held = [verdict for verdict in verdicts if judged(verdict.mark)]
    short = [verdict for verdict in held if not verdict.good]
    return f"{len(held)} marks: {len(held) - len(short)} pass, {len(short)} fall short"


def as_json(setting, verdicts, results):
    """Everything, every round of it."""
    marks = [{"mark": v.mark.number, "load": v.family, "figure": v.key, "ours": v.mark.ours,
              "beside": v.mark.beside, "ours_median": v.ours, "beside_median": v.beside,
              "value": v.value, "low": v.low, "high": v.high, "least": v.mark.least,
              "most": v.mark.most, "verdict": v.word.strip("*").lower(), "why": v.why}
             for v in verdicts]
    rounds = [{"load": family, "column": column, "rounds": figures}
              for (family, column), figures in results.figures.items()]
    failures = [{"load": family, "column": column, "why": why}
                for (family, column), why in results.failures.items()]
    return json.dumps({**setting, "marks": marks, "figures": rounds, "failures": failures},
                      indent=1) + "\n"
