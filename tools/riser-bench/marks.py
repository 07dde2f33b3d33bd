# SPDX-License-Identifier: BSD-2-Clause
"""What `make bench` measures and what it has to reach, as rows of data.

A family is a load and the columns that take turns under it, so that what is compared was measured
within seconds. A mark holds one column's figure against another's, or against a bound.
`measure.py` has the kinds, `servers.py` the disks, `report.py` judges.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Column:
    name: str
    kind: str  # a key of measure.KINDS
    disk: str = ""  # a key of servers.DISKS
    options: str = ""  # behind those of the family


@dataclass(frozen=True)
class Mark:
    number: str  # of the mark; "" for what is told and not judged
    ours: str  # a column
    beside: str = ""  # another one; "": the figure itself is held against the bound
    key: str = ""  # which figure; "": the family's
    least: float = None  # at least this
    most: float = None  # at most this


@dataclass(frozen=True)
class Family:
    name: str
    options: str
    key: str  # a key of report.UNITS
    columns: tuple
    marks: tuple
    once: bool = False  # counts that are the same in every round


def load(name, disk, options=""):
    return Column(name, "load", disk, options)


READ, WRITE = "--rw randread", "--rw randwrite"
BOTH_DIGESTS = "--digests header,data"
CPU, PER_GB = "cpu_us_per_io", "cpu_s_per_gb"

RANDOM = (
    Family("random 4k QD128", "--bs 4k --qd 128", "iops", (
        load("bare read", "bare", READ),
        load("ram read", "ram", READ),
        load("null read", "null", READ),
        load("ram write", "ram", WRITE),
        load("digests write", "ram", f"{WRITE} {BOTH_DIGESTS}"),
        load("digests read", "ram", f"{READ} {BOTH_DIGESTS}"),
        load("bare digests read", "bare", f"{READ} {BOTH_DIGESTS}"),
        load("bare write", "bare", WRITE),
        load("tgt read", "tgt", READ),
    ), (
        Mark("1", "ram read", "bare read", least=0.65),
        Mark("1", "null read", "bare read", least=0.80),
        Mark("1", "ram write", "ram read", least=0.9),
        Mark("5", "digests read", "ram read", least=0.88),
        Mark("5", "digests write", "ram write", least=0.88),
        Mark("", "digests read", "bare digests read"),
        Mark("", "ram write", "bare write"),
        Mark("", "ram read", "tgt read"),
    )),
    Family("random 4k QD32", "--bs 4k --qd 32", "iops", (
        load("bare read", "bare", READ),
        load("ram write", "ram", WRITE),
        load("ram read", "ram", READ),
        load("cached read", "cached", READ),
        load("tgt read", "tgt", READ),
        load("tgt write", "tgt", WRITE),
    ), (
        Mark("1", "ram write", "ram read", least=0.9),
        Mark("4", "cached read", "ram read", least=0.7),
        Mark("4", "cached read", "tgt read", least=8),
        Mark("", "ram read", "bare read"),
        Mark("", "ram write", "tgt write"),
    )),
    Family("random 4k QD32 x 8", "--bs 4k --qd 32 --connections 8", "iops", (
        load("bare read", "bare", READ),
        load("null read", "null", READ),
        load("ram read", "ram", READ),
        load("ram write", "ram", WRITE),
        load("tgt read", "tgt", READ),
    ), (
        Mark("1", "ram read", "bare read", least=0.65),
        Mark("1", "null read", "bare read", least=0.80),
        Mark("1", "ram write", "ram read", least=0.9),
        Mark("", "ram read", "tgt read"),
    )),
    Family("random 8k QD32", "--bs 8k --qd 32", "iops", (
        load("ram read", "ram", READ),
        load("ram 30 % write", "ram", "--rw randrw --mix 70"),
        load("tgt 30 % write", "tgt", "--rw randrw --mix 70"),
    ), (
        Mark("1", "ram 30 % write", "ram read", least=0.9),
        Mark("", "ram 30 % write", "tgt 30 % write"),
    )),
)

ONE_AT_A_TIME = (
    Family("random 4k QD1", "--bs 4k --qd 1 --rw randread", "p50", (
        load("bare asleep", "bare asleep"),
        load("busy-poll", "busy"),
        load("default", "ram"),
        load("bare spinning", "bare"),
        load("tgt", "tgt"),
    ), (
        Mark("2", "busy-poll", "bare asleep", most=0.45),
        Mark("2", "default", "busy-poll", most=1.10),
        Mark("", "default", "bare spinning"),
        Mark("", "default", "tgt"),
    )),
    # The sessions stay open; the first second after the load does not count.
    Family("idle after load", "--bs 4k --qd 32 --rw randread --after 3", "after_percent", (
        load("default", "ram"),
        load("busy-poll", "busy"),
    ), (
        Mark("2", "default", most=0.5),
        Mark("", "busy-poll"),
    )),
)


def sequential(rw, size, qd, more=(), more_marks=()):
    return Family(f"sequential {rw} {size} QD{qd}", f"--rw {rw} --bs {size} --qd {qd}", "mb_per_s",
                  (load("bare", "bare"), load("ram", "ram"), *more), (
                      Mark("3", "ram", "bare", least=0.95),
                      Mark("3", "ram", "bare", key=PER_GB, most=1.10), *more_marks))


def sequential_of_all(rw):
    return sequential(rw, "128k", 16, (
        # What a write leaves dirty must not go to the disk under the next measurement.
        Column("cached", "load_and_sync", "cached"),
        load("digests", "ram", BOTH_DIGESTS),
        load("bare digests", "bare", BOTH_DIGESTS),
        Column("tgt", "load_and_sync", "tgt"),
    ), (
        Mark("4", "cached", "ram", least=0.9),
        Mark("5", "digests", "ram", least=0.8),
        Mark("", "digests", "bare digests"),
        Mark("", "ram", "tgt"),
        Mark("", "cached", "tgt"),
    ))


SEQUENTIAL = (
    sequential_of_all("read"),
    sequential_of_all("write"),
    sequential("read", "1m", 4),
    sequential("write", "1m", 4),
)


def direct(size, qd, rw, key):
    """Past the page cache: one file, under fio, riserd and tgt in turn."""
    return Family(f"direct {rw} {size} QD{qd}", f"--bs {size} --qd {qd} --rw {rw}", key, (
        Column("tgt", "load", "tgt direct"),
        Column("direct", "load", "direct"),
        Column("fio io_uring", "fio", "direct"),
        Column("tgt aio", "load", "tgt aio"),
    ), (
        Mark("4", "direct", "fio io_uring", least=0.95),
        Mark("4", "direct", "tgt", least=1.0),
        Mark("4", "direct", "tgt aio", least=1.0),
    ))


DIRECT = (
    direct("4k", 32, "randread", "iops"),
    direct("4k", 32, "randwrite", "iops"),
    direct("128k", 16, "read", "mb_per_s"),
    direct("128k", 16, "write", "mb_per_s"),
)

MANY = (
    Family("random read 4k, many connections", "--bs 4k --rw randread", "iops", (
        load("8 x QD32", "ram", "--qd 32 --connections 8"),
        load("1000 x QD4", "ram", "--qd 4 --connections 1000"),
    ), (
        Mark("6", "1000 x QD4", "8 x QD32", least=0.7),
    )),
    # Long enough for a ping to each of them (--nop-interval, 15 s).
    Family("10000 idle sessions", "--idle 10000 --warmup 1 --seconds 15", "rss_mib", (
        load("riser", "many"),
    ), (
        Mark("6", "riser", most=600),
        Mark("6", "riser", key="cpu_percent", most=1.0),
    ), once=True),
    Family("logins without CHAP", "--logins 32", "logins_per_cpu_s", (
        load("riser", "logins"),
        load("tgt", "tgt"),
    ), (
        Mark("6", "riser", least=3000),
        Mark("", "riser", "tgt"),
    )),
    Family("one idle session, then 200 more", "--warmup 1 --seconds 10", "cpu_percent", (
        Column("riser", "footprint", "few"),
    ), (
        Mark("rest", "riser", most=0.5),
        Mark("rest", "riser", key="private_mib", most=64),
        Mark("rest", "riser", key="kib_per_session", most=64),
    ), once=True),
)

# Here CPU time counts, not IOPS: on two CPUs the client shares one with a reactor.
REACTORS = (
    # A client on each CPU for half of the sessions: a client on one CPU alone would make that
    # reactor's caches cold, and not the other's.
    Family("two reactors, 4 sessions", "--bs 4k --qd 32 --rw randread --connections 4", CPU, (
        Column("one", "spread", "ram"),
        Column("two", "spread", "two reactors"),
    ), (
        Mark("7", "two", "one", most=1.15),
    )),
    Family("two reactors, 8 sessions", "--bs 4k --qd 32 --rw randread", CPU, (
        load("one", "ram", "--connections 8"),
        Column("two", "reactors", "two reactors", "--connections 8"),
        load("two, 4 LUNs", "two reactors", "--connections 2 --job '{two reactors}' "
             "--job '{two reactors 1}' --job '{two reactors 2}' --job '{two reactors 3}'"),
    ), (
        Mark("7", "two", "one", most=1.15),
        Mark("7", "two", "two, 4 LUNs", most=1.15),
        Mark("7", "two", key="sessions_least_by_most", least=1.0),
    )),
)

FAIRNESS = (
    # Two clients, the small one with real-time priority: what it waits for is the target.
    Family("4k QD1 beside 1m QD256", "--rw randread --bs 4k --qd 1", "p99", (
        Column("riser", "beside", "ram", "--rw read --bs 1m --qd 256"),
        Column("riser, writes", "beside", "ram", "--rw write --bs 1m --qd 256"),
        Column("tgt", "beside", "tgt", "--rw read --bs 1m --qd 256"),
    ), (
        Mark("8", "riser", most=5000),
        Mark("8", "riser, writes", most=5000),
        Mark("", "riser", "tgt"),
    )),
)

COUNTED = (
    Family("instructions of 4k", "", "instructions", (
        Column("read", "instructions", options="read"),
        Column("read budget", "budget", options="read"),
        Column("write", "instructions", options="write"),
        Column("write budget", "budget", options="write"),
    ), (
        Mark("9", "read", "read budget", most=1.05),
        Mark("9", "write", "write budget", most=1.05),
    ), once=True),
)


def over_rdma(name, key, raw=""):
    """Measured by tools/riser-bench/guest; `raw` is what the device moves without a target."""
    marks = [Mark("iser", "busy", "LIO", least=1.0)]
    if raw:
        marks.append(Mark("iser", "busy", raw, least=0.85))
    marks.append(Mark("", "riser", "LIO"))
    return Family(f"iSER {name}", name, key, tuple(
        Column(column, "guest") for column in ("riser", "busy", "LIO", raw) if column),
        tuple(marks))


def over_tcp(name, key):
    """The kernel's initiator before riserd and before the kernel's target."""
    return Family(f"TCP {name}", name, key, (
        Column("riser", "guest"), Column("LIO", "guest")), (Mark("", "riser", "LIO"),))


GUEST = (
    over_rdma("randread 4k QD1", "iops"),
    over_rdma("randread 4k QD16", "iops"),
    over_rdma("randwrite 4k QD1", "iops"),
    over_rdma("randwrite 4k QD16", "iops"),
    over_rdma("read 128k QD8", "mib_per_s", "ib_write_bw"),
    over_rdma("write 128k QD8", "mib_per_s", "ib_read_bw"),
    over_tcp("randread 4k QD1", "iops"),
    over_tcp("randread 4k QD16", "iops"),
    over_tcp("randwrite 4k QD16", "iops"),
    over_tcp("read 128k QD8", "mib_per_s"),
    over_tcp("write 128k QD8", "mib_per_s"),
)

FAMILIES = (*RANDOM, *ONE_AT_A_TIME, *SEQUENTIAL, *DIRECT, *MANY, *REACTORS, *FAIRNESS, *COUNTED,
            *GUEST)
