# SPDX-License-Identifier: BSD-2-Clause
"""CHAP as riserd is told to demand it: secrets of a fitting length, accounts of discovery and
of each user, a restart, and what it costs to guess: rows C6 to C9."""

import time

from initiator import Chap, LoginRefused
from iscsi import AUTH_FAILED
from refusal import answer, challenged
from suite import case
from tap import check, equal
from target import Target, refuse_to_start, secret_file

GROUP = "CHAP-accounts"
NEEDS = "own"
MD5, SHA256 = 5, 7
USER, SECRET = "alice", "alice-secret-0123456789"
TARGET_USER, TARGET_SECRET = "riser", "riser-secret-9876543210"
ATTEMPTS, LOG_LINES = 200, 20


def own_account(*options, **how):
    return Target("--chap", f"{USER}:{secret_file(SECRET)}", *options, **how)


def own_way(*algorithms):
    return Chap(USER, SECRET, algorithms or (SHA256,))


@case("C6 a recorded exchange played again after a restart", rfc="9.2.1")
def replay_after_restart(_):
    challenges, recorded = [], None
    for _ in range(3):
        with own_account(innocent=None) as own:
            chap = own_way()
            conn = challenged(own, chap)
            challenges.append(chap.challenge)
            if recorded is None:
                recorded = chap.answer()
                conn.login_step(recorded, csg=0, nsg=1)
            else:
                answer(own, conn, recorded)
    equal(len(set(challenges)), 3, "first challenges of three starts that differ")


def refused_start(option, *arguments):
    status, lines = refuse_to_start("-p", "127.0.0.1:0", *arguments, "ram:1M")
    equal((status, len(lines)), (2, 1), f"exit status and number of lines {lines}")
    check(option in lines[0], f"the line does not name {option}: {lines[0]}")
    check(SECRET not in lines[0], f"the line tells the secret: {lines[0]}")


@case("C7 a secret that is {} is refused at the start", [
    ("empty", ""), ("11 bytes long", "short-secre")], rfc="9.2.1")
def short_secret(_, secret):
    path, good = secret_file(secret), secret_file(SECRET)
    refused_start("--chap", "--chap", f"{USER}:{path}")
    refused_start("--chap-mutual", "--chap", f"{USER}:{good}", "--chap-mutual",
                  f"{TARGET_USER}:{path}")


@case("C7 the same secret in both directions is refused at the start", rfc="9.2.1")
def same_secret(_):
    refused_start("--chap", "--chap", f"{USER}:{secret_file(SECRET)}",
                  "--chap-mutual", f"{TARGET_USER}:{secret_file(SECRET)}")


@case("C7 a secret of 12 bytes is long enough", rfc="9.2.1")
def shortest_secret(_):
    with Target("--chap", f"{USER}:{secret_file('123456789012')}", innocent=None) as own:
        own.login(chap=Chap(USER, "123456789012", (SHA256,))).ready().good()


@case("C9 200 wrong secrets at once: answered, few log lines, others served meanwhile",
      rfc="9.2.1", deadline=60)
def flood(_):
    with own_account(innocent={"chap": own_way}) as own:
        before = len(own.stderr_lines())
        conns = []
        for attempt in range(ATTEMPTS):
            chap = Chap(USER, f"not-the-secret-{attempt}", (MD5,))
            if len(conns) >= 50:
                conn = conns.pop(0)
                conn.expect_login_refused(AUTH_FAILED)
                conn.close()
            conn = challenged(own, chap)
            conn.send(conn.login_pdu(chap.answer(), csg=0, nsg=1))
            conns.append(conn)
            if attempt % 50 == 0:
                own.check_innocent("during the flood")
        for conn in conns:
            conn.expect_login_refused(AUTH_FAILED)
        lines = own.stderr_lines()[before:]
        check(len(lines) <= LOG_LINES, f"{len(lines)} log lines for {ATTEMPTS} failures")
        check(lines, f"{ATTEMPTS} failed logins and not a word in the log")
        check(not any(SECRET in line for line in own.stderr_lines()), "the secret is in the log")
        begin = time.monotonic()
        own.login(chap=own_way()).ready().good()
        check(time.monotonic() - begin < 1.5, "a proper login had to wait")


@case("C9 after ten wrong secrets of an address the next answer is two seconds late", rfc="9.2.1")
def late_answers(_):
    with own_account(innocent=None) as own:
        times = []
        for _ in range(11):
            chap = Chap(USER, "not-the-secret-at-all", (MD5,))
            conn = challenged(own, chap)
            begin = time.monotonic()
            answer(own, conn, chap.answer())
            times.append(time.monotonic() - begin)
            conn.close()
        check(max(times[:10]) < 1.5, f"one of the first ten took {max(times[:10]):.1f} s")
        check(times[10] >= 1.9, f"the eleventh took {times[10]:.1f} s")


@case("C4, C8 an unknown user costs the target the same time as a wrong secret", rfc="9.2.1")
def dummy_work(_):
    """Medians over many logins, in turns so that both meet the same machine: no more than a
    factor of two apart, either way."""
    with own_account("--login-failures", "0", innocent=None) as own:
        times = {USER: [], "nobody-here": []}
        for attempt in range(200):
            user = (USER, "nobody-here")[attempt % 2]
            chap = Chap(user, "not-the-secret-at-all", (MD5,))
            conn = challenged(own, chap)
            begin = time.monotonic()
            answer(own, conn, chap.answer())
            times[user].append(time.monotonic() - begin)
            conn.close()
        medians = [sorted(user)[len(user) // 2] for user in times.values()]
        check(max(medians) < 2 * min(medians), f"medians {medians}")


@case("Discovery Authentication: {}", [
    ("the account of discovery lets into discovery, not into the target", "find", False, True),
    ("the account of the target lets into the target, not into discovery", USER, True, False)],
    rfc="9.2.1")
def discovery_accounts(_, user, normal, discovery):
    secrets = {USER: SECRET, "find": "find-secret-0123456789"}
    with own_account("--discovery-chap", f"find:{secret_file(secrets['find'])}",
                     innocent=None) as own:
        for session, allowed in (("Normal", normal), ("Discovery", discovery)):
            conn = own.connect()
            try:
                conn.login(session=session, chap=Chap(user, secrets[user], (MD5,)))
                check(allowed, f"{user} was let into a {session} session")
            except LoginRefused as refusal:
                check(not allowed, f"{user} was not let into a {session} session")
                equal(refusal.status, AUTH_FAILED, "login status")


@case("Discovery Authentication: without it nobody finds anything", rfc="9.2.1")
def discovery_demands(_):
    with Target("--discovery-chap", f"find:{secret_file('find-secret-0123456789')}") as own:
        conn = own.connect()
        conn.send(conn.login_pdu(conn.identity("Discovery")))
        conn.expect_login_refused(AUTH_FAILED)
        conn = own.connect()
        conn.send(conn.login_pdu(conn.identity("Discovery") + [("AuthMethod", "None")], csg=0,
                                 nsg=1))
        conn.expect_login_refused(AUTH_FAILED)


@case("Discovery Authentication: mutual", rfc="9.2.1")
def discovery_mutual(_):
    options = ("--discovery-chap", f"find:{secret_file('find-secret-0123456789')}",
               "--discovery-chap-mutual", f"{TARGET_USER}:{secret_file(TARGET_SECRET)}")
    with Target(*options) as own:
        chap = Chap("find", "find-secret-0123456789", (MD5,), TARGET_USER, TARGET_SECRET)
        conn = own.connect().login(session="Discovery", chap=chap)
        check(conn.text([("SendTargets", "All")])[0], "no targets")


@case("Mutual: a secret of each user's own", rfc="9.2.1")
def mutual_per_user(_):
    accounts = [(f"user{n}", f"user{n}-secret-0123", f"disk{n}", f"disk{n}-secret-0123")
                for n in range(3)]
    options = []
    for user, secret, name, proof in accounts:
        options += ["--chap", f"{user}:{secret_file(secret)}",
                    "--chap-mutual", f"{name}:{secret_file(proof)}"]
    with Target(*options, innocent=None) as own:
        for user, secret, name, proof in accounts:
            own.login(chap=Chap(user, secret, (SHA256,), name, proof)).ready().good()
