# SPDX-License-Identifier: BSD-2-Clause
"""An innocent session whose latency is measured while others attack the target,
and the attackers. Each is a process of its own, so that none waits for another's
interpreter.

The rule of `unhurt()`: a window is a quarter of a second, in which the bystander does a
paced series of verified reads and writes; its p99 is the window's figure. One round is
some windows before the attack, some in it, some after it. The median of those in it may
be LIMIT times the median of the others. Whatever else the machine does can only add to a
figure, so the best of ROUNDS rounds counts; a target that lets the bystander wait fails
them all. A quiet figure below FLOOR counts as FLOOR: there the machine's own wake-up
latency is measured. Attackers have a low priority and keep off the target's CPU where there are
several, so that the target's work for them counts and their own does not."""

import multiprocessing
import os
import resource
import statistics
import time

from initiator import pattern
from tap import Failure, check

LIMIT, FLOOR, ROUNDS = 2.0, 0.0002, 4
WINDOW, WINDOWS = 0.25, 3
PACE = 0.0005
BLOCKS = 8
FORK = multiprocessing.get_context("fork")


class Window:
    """What the bystander saw; seconds."""

    def __init__(self, samples):
        samples.sort()
        self.count = len(samples)
        self.p50 = samples[len(samples) // 2]
        self.p99 = samples[min(len(samples) - 1, len(samples) * 99 // 100)]
        self.worst = samples[-1]


def _serve(pipe, login, lba, lun):
    """The bystander's process: I/O without end, windows on demand."""
    conn = login()
    stamp, samples, until = 0, [], None
    data = pattern(BLOCKS, stamp)
    conn.write(lba, data, lun).good()
    pipe.send("ready")
    while True:
        begin = time.monotonic()
        if stamp % 2:
            got = conn.read(lba, BLOCKS, lun)
            check(got == data, "the bystander's data has changed")
        else:
            data = pattern(BLOCKS, stamp)
            conn.write(lba, data, lun).good()
        now = time.monotonic()
        stamp += 1
        if until is not None:
            samples.append(now - begin)
            if now >= until:
                pipe.send(Window(samples))
                samples, until = [], None
        if pipe.poll():
            asked = pipe.recv()
            if asked is None:
                conn.logout()
                return
            samples, until = [], time.monotonic() + asked
        time.sleep(PACE)


def _bystander(pipe, *arguments):
    keep_off_cpu()
    first_in_line()
    try:
        _serve(pipe, *arguments)
    except (Failure, OSError) as error:
        pipe.send(error)
    except (EOFError, KeyboardInterrupt):
        pass


class Bystander:
    """Takes WINDOWs of one session's latency until the end of `with`."""

    def __init__(self, login, lba=0, lun=0):
        self.pipe, theirs = FORK.Pipe()
        self.process = FORK.Process(target=_bystander, args=(theirs, login, lba, lun), daemon=True)
        self.process.start()
        theirs.close()
        self._answer(15)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        try:
            if error[0] is None:
                self.window(0)
            self.pipe.send(None)
        except (BrokenPipeError, ConnectionResetError):
            pass
        finally:
            self.process.join(5)
            if self.process.is_alive():
                self.process.kill()
                self.process.join()
            self.pipe.close()

    def _answer(self, deadline):
        check(self.pipe.poll(deadline), "the bystander's I/O hangs")
        try:
            answer = self.pipe.recv()
        except EOFError:
            raise Failure("the bystander is gone") from None
        if isinstance(answer, Exception):
            raise Failure(f"the bystander is hurt: {answer}")
        return answer

    def window(self, seconds=WINDOW):
        self.pipe.send(seconds)
        return self._answer(seconds + 10)


def first_in_line(pid=0):
    """Where we may, the target and the bystander get the CPU whenever they want it: what
    is measured is whom the target serves first, not what else this machine does."""
    try:
        for task in os.listdir(f"/proc/{pid or os.getpid()}/task"):
            os.sched_setscheduler(int(task), os.SCHED_RR, os.sched_param(1))
    except PermissionError:
        pass


def keep_off_cpu():
    """[a process of ours] The first CPU is the target's, when there are several."""
    cpus = os.sched_getaffinity(0)
    if len(cpus) > 1:
        os.sched_setaffinity(0, cpus - {min(cpus)})


class Attack:
    """`work(control, *arguments)` in a process of its own, until it returns or `with`
    ends. It calls control.step() once per blow, and stops when that is false."""

    def __init__(self, work, *arguments):
        self.count = FORK.Value("Q", 0)
        self.ended = FORK.Event()
        self.errors, theirs = FORK.Pipe(duplex=False)
        self.process = FORK.Process(target=self._run, args=(theirs, work, arguments), daemon=True)
        self.process.start()
        theirs.close()

    def _run(self, errors, work, arguments):
        os.nice(10)
        keep_off_cpu()
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        try:
            work(self, *arguments)
        except KeyboardInterrupt:
            pass
        except Exception as error:  # pylint: disable=broad-except
            errors.send(f"{type(error).__name__}: {error}")

    def step(self, count=1):
        """[attacker] More blows; false: it is over."""
        self.count.value += count
        return not self.ended.is_set()

    def failure(self):
        try:
            return self.errors.recv() if self.errors.poll() else None
        except EOFError:
            return None

    def join(self):
        self.process.join(10)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()


class Attacks:
    """Several attackers at once: a list of (work, argument...)."""

    def __init__(self, *works):
        self.attacks = [Attack(*work) for work in works]

    def __enter__(self):
        return self

    def __exit__(self, *error):
        for attack in self.attacks:
            attack.ended.set()
        for attack in self.attacks:
            attack.join()
        failures = [attack.failure() for attack in self.attacks]
        for attack in self.attacks:
            attack.errors.close()
        if error[0] is None and any(failures):
            raise Failure(f"an attacker: {next(filter(None, failures))}")

    def blows(self):
        return sum(attack.count.value for attack in self.attacks)

    def running(self):
        return any(attack.process.is_alive() for attack in self.attacks)

    def wait_begun(self, deadline=10):
        """Until each attacker has done something."""
        end = time.monotonic() + deadline
        while not all(attack.count.value for attack in self.attacks):
            self.check_under_way()
            check(time.monotonic() < end, "the attack does not begin")
            time.sleep(0.01)

    def wait_blows(self, count, deadline):
        end = time.monotonic() + deadline
        while self.blows() < count:
            self.check_under_way()
            check(time.monotonic() < end, f"{self.blows()} blows in {deadline} s, not {count}")
            time.sleep(0.01)

    def check_under_way(self):
        for attack in self.attacks:
            failure = attack.failure()
            check(not failure, f"an attacker: {failure}")
            check(attack.process.is_alive(), "an attacker has stopped before its time")


def _median(windows):
    return statistics.median(window.p99 for window in windows)


class Comparison:
    """Quiet and attacked windows; `tell()` is a line for the log of the test."""

    def __init__(self, quiet, attacked, blows):
        self.blows = blows
        self.quiet, self.attacked = _median(quiet), _median(attacked)
        self.ratio = self.attacked / max(self.quiet, FLOOR)
        self.worst = max(window.worst for window in attacked)
        self.count = sum(window.count for window in attacked)

    def tell(self):
        return (f"p99 {self.attacked * 1e6:.0f} us in the attack, {self.quiet * 1e6:.0f} us "
                f"without, ratio {self.ratio:.2f}; worst {self.worst * 1e3:.1f} ms of "
                f"{self.count} I/Os; {self.blows} blows")


def beside(bystander, attacks, standing=0):
    """One round. `attacks` makes the attack; a `with` of it is the attack. When
    `standing` blows were given, it is looked at once more."""
    quiet = [bystander.window() for _ in range(WINDOWS)]
    with attacks() as attack:
        attack.wait_begun()
        attacked = [bystander.window() for _ in range(2 * WINDOWS)]
        if standing:
            attack.wait_blows(standing, 30)
            attacked += [bystander.window() for _ in range(WINDOWS)]
        attack.check_under_way()
        blows = attack.blows()
    bystander.window()  # what is left of it
    quiet += [bystander.window() for _ in range(WINDOWS)]
    return Comparison(quiet, attacked, blows)


def unhurt(bystander, attacks, standing=0):
    """The best of some rounds must keep to the limit; returns it."""
    best = None
    for _ in range(ROUNDS):
        got = beside(bystander, attacks, standing)
        if best is None or got.ratio < best.ratio:
            best = got
        if best.ratio <= LIMIT:
            break
    print(f"# {best.tell()}")
    check(best.ratio <= LIMIT, best.tell())
    return best


def sources(address, number):
    """A source address for attacker `number`: 127.0.0.x, when the target is there."""
    return f"127.0.0.{2 + number % 200}" if address[0].startswith("127.") else None
