# SPDX-License-Identifier: BSD-2-Clause
"""The kinds of measurements: each takes a column of a family and returns {key: number}.

What goes wrong is a `Trouble`. The keys are those of `report.UNITS` and what else riser-bench
tells.
"""

import contextlib
import json
import os
import re
import shlex
import signal
import subprocess
import time

from servers import DISKS, MIB, SRC, Trouble

FOOTPRINT_SESSIONS = 200
# What docs/performance.md says an I/O may cost: | 4 KiB read | 1234 |
BUDGET = re.compile(r"^\| *4 KiB (read|write) *\| *([0-9]+) *\|", re.MULTILINE)
SESSION = re.compile(r"session \d+: .* on reactor (\d+):")


def flattened(result):
    """riser-bench's JSON without its nesting: one number per key."""
    figures = {key: value for key, value in result.items()
               if isinstance(value, (int, float)) and not isinstance(value, bool)}
    figures.update(result.get("latency_us", {}))
    target = result.get("target", {})
    figures.update((key, value) for key, value in target.items()
                   if isinstance(value, (int, float)))
    if "rss_anon" in target:
        private = target["rss_anon"] + target["rss_file"]
        figures["private_mib"] = private / MIB
        figures["rss_mib"] = (private + target["rss_shmem"]) / MIB
    if "cpu_percent" in result.get("after", {}):
        figures["after_percent"] = result["after"]["cpu_percent"]
    if "cpu_percent" in result.get("client", {}):
        figures["client_cpu_percent"] = result["client"]["cpu_percent"]
    for number, job in enumerate(result.get("jobs", ()), 1):
        figures.update((f"job{number}_{key}", value)
                       for key, value in job.get("latency_us", {}).items())
        figures[f"job{number}_iops"] = job["iops"]
        figures[f"job{number}_mb_per_s"] = job["mb_per_s"]
    return figures


def output_of(command, seconds, **popen):
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds,
                              check=False, **popen)
    except subprocess.TimeoutExpired:
        raise Trouble(f"{os.path.basename(command[0])}: no end after {seconds:g} s") from None
    if done.returncode or not done.stdout.strip():
        words = done.stderr.strip().splitlines() or done.stdout.strip().splitlines()
        raise Trouble(words[0] if words else
                      f"{os.path.basename(command[0])}: exit status {done.returncode}")
    return done.stdout


def outputs_of(commands, seconds):
    """Of all of them, run at the same time."""
    clients = []
    try:
        for command in commands:
            # pylint: disable-next=consider-using-with
            clients.append(subprocess.Popen(command, stdout=subprocess.PIPE,
                                            stderr=subprocess.PIPE, text=True))
        outputs = [client.communicate(timeout=seconds) for client in clients]
    except subprocess.TimeoutExpired:
        raise Trouble(f"{os.path.basename(commands[0][0])}: no end after {seconds:g} s") from None
    finally:
        for client in clients:
            client.kill()
            client.wait()
    for client, (_, err) in zip(clients, outputs):
        if client.returncode:
            raise Trouble(err.strip().splitlines()[0] if err.strip() else "the client failed")
    return [out for out, _ in outputs]


def at_once():
    """In a new process: nobody else who wants this CPU keeps it waiting, if we are allowed."""
    with contextlib.suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))


class Measure:
    def __init__(self, setting, servers):
        self.setting = setting
        self.servers = servers

    def figures(self, family, column):
        return KINDS[column.kind](self, family, column)

    # riser-bench

    def command(self, family, column):
        """The line for riser-bench, and the process that it loads."""
        return self.command_for(f"{family.options} {column.options}", column)

    def command_for(self, text, column):
        url, server = self.servers.need(column.disk)
        urls = {disk: self.servers.need(disk)[0] for disk in DISKS if f"{{{disk}}}" in text}
        words = [word.format_map(urls) for word in shlex.split(text)]
        # The last one of an option counts.
        return [self.setting.client, url, "--cpu", str(self.setting.client_cpu_for(server)),
                "--target-pid", str(server.pid), "--json", "--warmup",
                f"{self.setting.warmup:g}", "--seconds", f"{self.setting.seconds:g}",
                *words], server

    def load(self, family, column):
        command, server = self.command(family, column)
        try:
            result = json.loads(output_of(command, 120))
        except Trouble:
            server.check_alive()
            raise
        if result["rw"] not in ("idle", "login") and not result["iops"]:
            raise Trouble("no command ended while it was measured")
        return flattened(result)

    def load_and_sync(self, family, column):
        """What a write has left dirty goes to the disk now, and not under the next column."""
        try:
            return self.load(family, column)
        finally:
            self.servers.sync_files()

    def reactors(self, family, column):
        """A load; and how its sessions are spread, as the daemon's statistics tell half-way."""
        command, server = self.command(family, column)
        offset = server.log_from(0)[1]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              text=True) as client:
            try:
                time.sleep(self.setting.warmup + self.setting.seconds / 2)
                server.process.send_signal(signal.SIGUSR1)
                out, err = client.communicate(timeout=60)
            finally:
                client.kill()
        if client.returncode:
            raise Trouble(err.strip().splitlines()[0] if err.strip() else "the client failed")
        told = SESSION.findall(server.log_from(offset)[0])
        if not told:
            raise Trouble("the statistics tell of no session")
        counts = [told.count(str(reactor)) for reactor in range(2)]
        return {**flattened(json.loads(out)),
                "sessions_least_by_most": min(counts) / max(counts)}

    def spread(self, family, column):
        """A load whose connections have a client each, the clients a CPU in turn; of the figures
        those that add up."""
        command, _ = self.command(family, column)
        count = int(command[command.index("--connections") + 1])
        clients = [[*command, "--connections", "1", "--cpu",
                    str(self.setting.cpus[number % len(self.setting.cpus)])]
                   for number in range(count)]
        told = [flattened(json.loads(out)) for out in outputs_of(clients, 120)]
        iops = sum(figures["iops"] for figures in told)
        if not iops:
            raise Trouble("no command ended while it was measured")
        percent = sum(figures["cpu_percent"] for figures in told) / count
        return {"iops": iops, "cpu_percent": percent, "cpu_us_per_io": percent * 1e4 / iops}

    def beside(self, family, column):
        """The family's load while another client keeps up the column's, whose GB/s are told."""
        big, server = self.command_for(column.options, column)
        small = self.command_for(family.options, column)[0]
        times = {"--warmup": "0", "--seconds": f"{self.setting.warmup + self.setting.seconds + 1:g}"}
        for option, value in times.items():
            big[big.index(option) + 1] = value
        with subprocess.Popen(big, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              text=True) as client:
            try:
                time.sleep(0.5)
                figures = flattened(json.loads(output_of(small, 60, preexec_fn=at_once)))
                out, err = client.communicate(timeout=60)
            finally:
                client.kill()
        if client.returncode:
            raise Trouble(err.strip().splitlines()[0] if err.strip() else "the client failed")
        server.check_alive()
        loaded = flattened(json.loads(out))
        if not figures["iops"] or not loaded["iops"]:
            raise Trouble("no command ended while it was measured")
        return {**figures, "mb_per_s": loaded["mb_per_s"]}

    def footprint(self, family, column):
        """One session, then more: what each further one takes."""
        url, server = self.servers.need(column.disk)
        base = [self.setting.client, url, "--target-pid", str(server.pid), "--json",
                *shlex.split(family.options), "--idle"]
        one = flattened(json.loads(output_of([*base, "1"], 60)))
        more = flattened(json.loads(output_of([*base, str(1 + FOOTPRINT_SESSIONS)], 60)))
        one["kib_per_session"] = (more["rss_anon"] - one["rss_anon"]) / 1024 / FOOTPRINT_SESSIONS
        return one

    # Other programs

    def fio(self, family, column):
        """On the file itself, without a target, on the target's CPU."""
        self.servers.need(column.disk)
        path = self.servers.file(column.disk)
        words = dict(zip(*[iter(shlex.split(family.options))] * 2))
        command = ["fio", "--name=bench", f"--filename={path}", "--ioengine=io_uring",
                   "--direct=1", f"--rw={words['--rw']}", f"--bs={words['--bs']}",
                   f"--iodepth={words['--qd']}", "--norandommap", "--time_based",
                   f"--runtime={self.setting.seconds * 1000:.0f}ms",
                   f"--ramp_time={self.setting.warmup * 1000:.0f}ms",
                   f"--cpus_allowed={self.setting.target_cpu}", "--output-format=json"]
        job = json.loads(output_of(command, 120))["jobs"][0]
        way = job["write" if "write" in words["--rw"] else "read"]
        return {"iops": way["iops"], "mb_per_s": way["bw_bytes"] / 1e6,
                "p50": way["clat_ns"]["percentile"]["50.000000"] / 1e3,
                "p99": way["clat_ns"]["percentile"]["99.000000"] / 1e3}

    def instructions(self, _family, column):
        script = os.path.join(SRC, "tools", "riser-bench", "instructions")
        command = [script, "--build", self.setting.build, "--rw", f"rand{column.options}", "--json"]
        result = json.loads(output_of(command, 300, env={
            **os.environ, "RISERD": self.setting.riserd, "RISER_BENCH": self.setting.client}))
        return {"instructions": result["instructions"]}

    def budget(self, _family, column):
        path = os.path.join(SRC, "docs", "performance.md")
        with open(path, encoding="utf-8") as file:
            found = dict(BUDGET.findall(file.read()))
        if column.options not in found:
            raise Trouble(f"docs/performance.md has no line | 4 KiB {column.options} | N |")
        return {"instructions": int(found[column.options])}


KINDS = {
    "load": Measure.load,
    "load_and_sync": Measure.load_and_sync,
    "reactors": Measure.reactors,
    "spread": Measure.spread,
    "beside": Measure.beside,
    "footprint": Measure.footprint,
    "fio": Measure.fio,
    "instructions": Measure.instructions,
    "budget": Measure.budget,
}
