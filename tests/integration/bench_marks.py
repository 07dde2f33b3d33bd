#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""`make bench` cannot pass what falls short: each mark passes at its bound and fails beyond it,
without its figures, or with figures that are none; and the script says so by its status."""

import dataclasses
import json
import os
import subprocess
import sys
import types

sys.dont_write_bytecode = True
SRC = os.environ["SRC"]
BENCH = os.path.join(SRC, "tools", "riser-bench")
sys.path[:0] = [os.path.join(SRC, "tests", "lib"), BENCH]

# pylint: disable=wrong-import-position
import in_guest
import measure
import report
import servers
from marks import FAMILIES, Column, Family, Mark
from tap import Failure, Report, check, equal

JUDGED = [(family, mark) for family in FAMILIES for mark in family.marks if report.judged(mark)]
TESTS = []


def test(function):
    TESTS.append((function.__name__.replace("_", " "), function))
    return function


def filled(family, mark, value, rounds=5, beside=1000.0):
    """Results in which `value` is what is held against the bound."""
    results = report.Results()
    key = mark.key or family.key
    for _ in range(rounds):
        if mark.beside:
            results.add(family.name, mark.beside, {key: beside})
            value_of_ours = value * beside
        else:
            value_of_ours = value
        results.add(family.name, mark.ours, {key: value_of_ours})
    return results


def word(family, mark, results):
    return report.judge(family, mark, results).word


@test
def every_mark_passes_at_its_bound_and_falls_short_beyond_it():
    check(len(JUDGED) > 40, f"only {len(JUDGED)} marks")
    for family, mark in JUDGED:
        name = f"{family.name}: {mark}"
        limit = mark.least if mark.least is not None else mark.most
        beyond = 0.999 if mark.least is not None else 1.001
        equal(word(family, mark, filled(family, mark, limit)), report.PASS, name)
        equal(word(family, mark, filled(family, mark, limit * beyond)), report.SHORT, name)


@test
def every_mark_falls_short_without_its_figures():
    for family, mark in JUDGED:
        name = f"{family.name}: {mark}"
        good = mark.least if mark.least is not None else mark.most
        equal(word(family, mark, report.Results()), report.SHORT, name)
        for column in (mark.ours, mark.beside):
            if column:
                results = filled(family, mark, good)
                results.fail(family.name, column, "it broke")
                verdict = report.judge(family, mark, results)
                equal(verdict.word, report.SHORT, name)
                check("it broke" in verdict.why, f"{name}: {verdict.why}")


@test
def figures_that_are_none_fall_short():
    for family, mark in JUDGED:
        for bad in (float("nan"), float("inf"), -1.0, None, "5"):
            results = filled(family, mark, 1.0)
            results.figures[family.name, mark.ours][2] = {mark.key or family.key: bad}
            equal(word(family, mark, results), report.SHORT, f"{family.name}: {mark} with {bad}")
        if mark.beside:
            equal(word(family, mark, filled(family, mark, 1.0, beside=0.0)), report.SHORT,
                  f"{family.name}: {mark} beside 0")


@test
def the_marks_name_what_there_is():
    numbers = {mark.number for _, mark in JUDGED}
    check({str(n) for n in range(1, 10)} | {"iser", "rest"} <= numbers, f"marks {numbers}")
    equal(len({family.name for family in FAMILIES}), len(FAMILIES), "names of families")
    for family in FAMILIES:
        names = {column.name for column in family.columns}
        equal(len(names), len(family.columns), f"columns of {family.name}")
        for column in family.columns:
            check(column.kind in measure.KINDS or column.kind == "guest", f"{column}")
            check(not column.disk or column.disk in servers.DISKS, f"{column}")
        for mark in family.marks:
            check(mark.ours in names and (not mark.beside or mark.beside in names), f"{mark}")
            check(mark.ours != mark.beside, f"{mark} is compared with itself")
            check((mark.key or family.key) in report.UNITS, f"{mark}: no unit")
            equal(bool(mark.number), report.judged(mark), f"number and bound of {mark}")
    for server, _ in servers.DISKS.values():
        check(server in servers.STARTERS, f"no starter for {server}")


PLAIN = Family("load", "", "iops", (Column("a", "load"), Column("b", "load")), (
    Mark("1", "a", "b", least=1.0), Mark("", "a", "b")))


def two_columns(ours, beside):
    results = report.Results()
    for name, values in (("a", ours), ("b", beside)):
        for value in values:
            results.add("load", name, {"iops": value})
    return results


@test
def a_ratio_is_the_median_of_the_ratios_of_the_rounds():
    # Each round is good but one; the medians of the columns would say 0.5.
    verdict = report.judge(PLAIN, PLAIN.marks[0], two_columns([10, 20, 5, 40, 50],
                                                             [5, 10, 50, 40, 25]))
    equal((verdict.value, verdict.low, verdict.high), (2.0, 0.1, 2.0), "ratio")
    equal(verdict.word, report.PASS, "verdict")
    verdict = report.judge(PLAIN, PLAIN.marks[0], two_columns([1, 1, 1, 9, 9], [2] * 5))
    equal((verdict.value, verdict.word), (0.5, report.SHORT), "three of five fall short")


@test
def neighbours_are_compared_where_one_has_several():
    equal(report.pairs([1, 2, 3, 4], [10, 20]), [(1, 10), (2, 10), (3, 20), (4, 20)], "pairs")
    equal(report.pairs([10, 20], [1, 2, 3, 4]), [(10, 1), (10, 2), (20, 3), (20, 4)], "pairs")
    verdict = report.judge(PLAIN, PLAIN.marks[0], two_columns([1, 2, 3], [1, 1]))
    equal(verdict.word, report.SHORT, "a round is missing")


@test
def what_is_only_told_never_fails_and_is_never_all():
    told = report.judge(PLAIN, PLAIN.marks[1], report.Results())
    equal((told.word, told.good), (report.TOLD, True), "nothing measured, nothing judged")
    equal(report.status([told]), 1, "status when nothing was judged")
    good = report.judge(PLAIN, PLAIN.marks[0], two_columns([1], [1]))
    short = report.judge(PLAIN, PLAIN.marks[0], two_columns([0.9], [1]))
    equal(report.status([good, told]), 0, "status of a pass")
    equal(report.status([good, short, told]), 1, "status of one that falls short")
    equal(report.closing([good, short, told]), "2 marks: 1 pass, 1 fall short", "closing line")


@test
def a_failure_is_in_its_row_and_hides_no_other():
    results = two_columns([2], [1])
    results.fail("other", "a", "no | such\nthing")
    other = dataclasses.replace(PLAIN, name="other")
    verdicts = [report.judge(PLAIN, PLAIN.marks[0], results),
                report.judge(other, other.marks[0], results)]
    lines = report.mark_table(verdicts).splitlines()
    equal(len(lines), 4, "lines of the table")
    equal({line.count("|") for line in lines}, {10}, "cells of each line")
    check("| pass |" in lines[2] and "no / such thing" in lines[3] and report.SHORT in lines[3],
          f"{lines[2:]}")
    told = json.loads(report.as_json({"rounds": 1}, verdicts, results))
    equal([mark["verdict"] for mark in told["marks"]], ["pass", "falls short"], "JSON")
    equal(told["failures"], [{"load": "other", "column": "a", "why": "no | such thing"}], "JSON")


@test
def lines_of_the_guest():
    results = report.Results()
    in_guest.parse(["iSER x|riser|iops|12.5\n", "TCP x|LIO|iops|3\n"], results, {"iSER x"})
    equal(results.figures, {("iSER x", "riser"): [{"iops": 12.5}]}, "figures")
    for line in ("iSER x|riser|12.5", "iSER x|riser|iops|", ""):
        try:
            in_guest.parse([line], results, {"iSER x"})
        except servers.Trouble:
            continue
        raise Failure(f"{line!r} was taken")


@test
def a_guest_that_fails_half_way_loses_no_figure_and_is_told_of():
    setting = types.SimpleNamespace(build=os.environ["TMPDIR"], say=lambda text: None)
    families = [family for family in FAMILIES if family.name == "TCP randread 4k QD1"]
    results = report.Results()

    def half_way(_setting, logs):
        os.makedirs(logs, exist_ok=True)
        with open(os.path.join(logs, "measurements"), "w", encoding="ascii") as file:
            file.write("TCP randread 4k QD1|riser|iops|7\n")
        return "not ok 5 - LIO serves a RAM disk"

    kept, in_guest.run = in_guest.run, half_way
    try:
        equal(in_guest.measure(setting, families, results), "not ok 5 - LIO serves a RAM disk",
              "what went wrong")
    finally:
        in_guest.run = kept
    equal(results.values("TCP randread 4k QD1", "riser", "iops"), [7.0], "figures")
    check("LIO serves" in results.failures.get(("TCP randread 4k QD1", "LIO"), ""),
          f"{results.failures}")


@test
def keys_of_nested_results():
    figures = measure.flattened({
        "iops": 5, "rw": "read", "latency_us": {"p99": 7.5}, "after": {"cpu_percent": 0.25},
        "target": {"cpu_us_per_io": 2, "threads": [], "rss_anon": 1 << 20, "rss_file": 2 << 20,
                   "rss_shmem": 4 << 20},
        "jobs": [{"iops": 1, "mb_per_s": 2, "latency_us": {"p99": 3}},
                 {"iops": 4, "mb_per_s": 5, "latency_us": {"p99": 6}}]})
    for key, value in (("iops", 5), ("p99", 7.5), ("after_percent", 0.25), ("cpu_us_per_io", 2),
                       ("private_mib", 3), ("rss_mib", 7), ("job2_p99", 6), ("job1_iops", 1)):
        equal(figures.get(key), value, key)
    check("rw" not in figures and "threads" not in figures, f"{figures}")


@test
def clients_at_once_are_all_asked_and_each_may_fail():
    equal(measure.outputs_of([["echo", "1"], ["echo", "2"]], 5), ["1\n", "2\n"], "outputs")
    for command, why in ((["sh", "-c", "echo no disk >&2; exit 1"], "no disk"),
                         (["false"], "the client failed")):
        try:
            measure.outputs_of([["echo", "1"], command], 5)
            raise Failure(f"{command} passed")
        except servers.Trouble as trouble:
            equal(str(trouble), why, f"{command}")


@test
def what_clients_at_once_have_spent_adds_up():
    def told(commands, _seconds):
        equal([command[-2:] for command in commands], [["--cpu", "3"], ["--cpu", "5"]] * 2, "CPUs")
        return [json.dumps({"iops": iops, "target": {"cpu_percent": 50}}) for iops in (1, 2, 3, 4)]

    subject = measure.Measure(types.SimpleNamespace(cpus=[3, 5]), None)
    subject.command = lambda *_: (["riser-bench", "--connections", "4"], None)
    kept, measure.outputs_of = measure.outputs_of, told
    try:
        figures = subject.spread(None, None)
    finally:
        measure.outputs_of = kept
    equal((figures["iops"], figures["cpu_us_per_io"]), (10, 50000.0), "figures")


@test
def the_budget_is_read_from_the_page_that_tells_it():
    page = "text\n| 4 KiB read | 1234 | note |\n| 4 KiB write | 99 |\n"
    found = dict(measure.BUDGET.findall(page))
    equal(found, {"read": "1234", "write": "99"}, "budget")
    with open(os.path.join(SRC, "docs", "performance.md"), encoding="utf-8") as file:
        equal(set(dict(measure.BUDGET.findall(file.read()))), {"read", "write"}, "the page's rows")


# The script itself, on the programs that were built

def bench(*arguments, seconds="0.2"):
    environment = {**os.environ, "BENCH_DIR": os.environ["TMPDIR"], "BENCH_ROUNDS": "2",
                   "BENCH_SECONDS": seconds}
    path = os.path.join(os.environ["TMPDIR"], "bench.json")
    done = subprocess.run([os.path.join(BENCH, "run"), "--json", path, *arguments,
                           os.environ["BUILD"]], env=environment, capture_output=True, text=True,
                          check=False)
    told = None
    if os.path.exists(path):
        with open(path, encoding="utf-8") as file:
            told = json.load(file)
        os.remove(path)
    return done, told


@test
def a_run_judges_what_was_asked_for():
    done, told = bench("--only", "QD128: ram read / bare read")
    check(told, done.stderr)
    equal([(mark["mark"], mark["ours"]) for mark in told["marks"]], [("1", "ram read")], "marks")
    equal(told["failures"], [], "failures")
    for column in told["figures"]:
        equal(len(column["rounds"]), 2, f"rounds of {column['column']}")
        check(all(figures["iops"] > 0 for figures in column["rounds"]), f"{column}")
    equal(done.returncode, 0 if told["marks"][0]["verdict"] == "pass" else 1, "status")
    check("| 1 | random 4k QD128 |" in done.stdout, done.stdout)


@test
def a_server_that_does_not_start_is_told_of_and_fails():
    os.environ["RISERD"], kept = "/bin/false", os.environ["RISERD"]
    try:
        done, told = bench("--only", "QD128: ram read / bare read")
    finally:
        os.environ["RISERD"] = kept
    equal(done.returncode, 1, "status")
    check(report.SHORT in done.stdout and "/bin/false" in done.stdout, done.stdout)
    equal([column["column"] for column in told["figures"]], ["bare read"], "the rest was measured")


@test
def a_pattern_that_matches_nothing_is_refused():
    done, told = bench("--only", "no such mark")
    equal((done.returncode, told), (2, None), "status")
    check("no mark matches" in done.stderr, done.stderr)


def main():
    said = Report()
    for name, function in TESTS:
        try:
            function()
            said.result(name)
        except Exception as error:  # pylint: disable=broad-except
            said.result(name, f"{type(error).__name__}: {error}"[:2000])
    print(f"1..{said.number}")
    return 1 if said.failed else 0


if __name__ == "__main__":
    sys.exit(main())
