# SPDX-License-Identifier: BSD-2-Clause
"""The login phase as every initiator meets it: stages, the T bit, numbers, TSIH, session
types, names, sessions side by side and sessions that replace another."""

from conn import Closed, serial_less
from demands import is_riser
from initiator import BLOCK, INITIATOR, Initiator, pattern
from iscsi import BAD_SESSION_TYPE, LOGIN_RESPONSE, NOT_ALLOWED, NOT_FOUND, encode_text
from suite import case
from refusal import refused
from tap import check, equal
from target import Target, blocks_of

GROUP = "login"
NEEDS = "open"
MOVED_TEMPORARILY, MOVED_PERMANENTLY = 0x0101, 0x0102
NAME_MAX = 223


# Standard login


@case("Standard Login: straight to full feature phase in one PDU", rfc="6.3.1")
def one_pdu(target):
    conn = target.connect()
    reply = conn.login_step(conn.identity() + conn.operational())
    conn.enter_full_feature(conn.operational(), reply)
    conn.clear_unit_attention()
    conn.ready().good()


@case("Standard Login: a security stage with AuthMethod=None", rfc="6.3.2")
def security_none(target):
    target.login(security=True).ready().good()


@case("Standard Login: from the security stage to full feature phase (CSG=0, NSG=3), with or "
      "without a stop", rfc="6.3.2")
def skip_operational(target):
    conn = target.connect()
    reply = conn.login_step(conn.identity() + [("AuthMethod", "None")], csg=0, nsg=3)
    check(reply.flags & 0x8f in (0x83, 0x81), f"stage bits {reply.flags:#x}")
    if reply.flags & 3 == 1:
        check(not is_riser(target), "a stop in the operational stage")
        reply = conn.login_step()
    conn.tsih = reply.tsih
    conn.ping(b"defaults apply")


@case("Standard Login: a security stage in which no AuthMethod is offered", rfc="6.3.2",
      needs="riser")
def security_without_method(target):
    conn = target.connect()
    reply = conn.login_step(conn.identity(), csg=0, nsg=1)
    equal(reply.flags & 0x8f, 0x81, "stage bits")
    conn.enter_full_feature(conn.operational(), conn.login_step(conn.operational()))
    conn.ping()


@case("Standard Login: one key per PDU gives what one PDU gives", rfc="6.2")
def one_key_per_pdu(target):
    whole = target.login().keys
    conn = target.connect()
    offer = conn.operational()
    pairs = conn.login_step(conn.identity(), transit=False).pairs
    for pair in offer[:-1]:
        pairs += conn.login_step([pair], transit=False).pairs
    reply = conn.login_step(offer[-1:])
    reply.pairs = pairs + reply.pairs
    conn.enter_full_feature(offer, reply)
    equal({key: conn.keys[key] for key in whole}, whole, "negotiated keys")
    conn.ping()


@case("Standard Login: the order of the keys does not matter", rfc="6.2")
def reverse_order(target):
    whole = target.login().keys
    conn = target.connect()
    offer = conn.operational()[::-1]
    conn.enter_full_feature(offer, conn.login_step(offer + conn.identity()[::-1]))
    equal({key: conn.keys[key] for key in whole}, whole, "negotiated keys")


@case("Standard Login: the first response names the portal group tag", rfc="13.9")
def portal_group_tag(target):
    conn = target.connect()
    reply = conn.login_step(conn.identity(), transit=False)
    tag = dict(reply.pairs).get("TargetPortalGroupTag")
    check(tag is not None, f"no TargetPortalGroupTag in the first answer: {reply.pairs}")
    check(0 <= int(tag, 0) <= 65535, f"TargetPortalGroupTag={tag}")


@case("Standard Login: the portal group tag is not told again in later responses", rfc="13.9")
def portal_group_tag_once(target):
    conn = target.connect()
    conn.login_step(conn.identity(), transit=False)
    reply = conn.login_step(conn.operational())
    check("TargetPortalGroupTag" not in dict(reply.pairs), "told twice")


@case("Standard Login: the portal group tag is the one that SendTargets tells", rfc="13.8",
      needs="discovery,framing")
def portal_group_tag_of_discovery(target):
    conn = target.connect()
    reply = conn.login_step(conn.identity())
    tag = dict(reply.pairs).get("TargetPortalGroupTag")
    told = [value.rpartition(",")[2] for value in target.targets.get(target.iqn, [])]
    check(tag in told, f"TargetPortalGroupTag={tag}, SendTargets told {told}")


@case("Standard Login: version 0 is what the target is active with", rfc="11.13.2")
def version_active(target):
    conn = target.connect()
    reply = conn.login_step(conn.identity())
    equal((reply.byte2, reply.byte3), (0, 0), "Version-max and Version-active")


@case("Standard Login: Version-min 0, Version-max 255 is fine", rfc="11.12.4")
def version_range(target):
    conn = target.connect()
    reply = conn.login_step(conn.identity(), version_max=255)
    equal((reply.byte2, reply.byte3), (0, 0), "Version-max and Version-active")


# TSIH


@case("TSIH Valid: the last response of a new session has one, those before have not",
      rfc="11.13.3")
def tsih_valid(target):
    conn = target.connect()
    equal(conn.login_step(conn.identity(), transit=False).tsih, 0, "TSIH before the end")
    check(conn.login_step(conn.operational()).tsih, "the last Login Response has no TSIH")


@case("TSIH Valid: sessions that live at once have different ones", rfc="11.12.6")
def tsih_unique(target):
    conns = [target.login() for _ in range(4)]
    equal(len({conn.tsih for conn in conns}), 4, "different TSIHs")


# T bit


@case("T Bit: not set by the initiator, the target does not set it", rfc="11.13.6")
def t_bit_clear(target):
    conn = target.connect()
    reply = conn.login_step(conn.identity() + conn.operational(), transit=False)
    equal(reply.flags & 0x8c, 4, "T bit and CSG")
    equal(reply.flags & 3, 0, "NSG without T")
    reply = conn.login_step()
    equal(reply.flags & 0x8f, 0x87, "stage bits of the end")


@case("T Bit Delay: many requests without it, then the end", rfc="6.3")
def t_bit_delay(target):
    conn = target.connect()
    conn.login_step(conn.identity(), transit=False)
    for _ in range(6):
        equal(conn.login_step(transit=False).flags & 0x8c, 4, "T bit and CSG")
    conn.enter_full_feature([], conn.login_step())
    conn.ping()


@case("T Bit: in each of the two stages", rfc="6.3")
def t_bit_both_stages(target):
    conn = target.connect()
    reply = conn.login_step(conn.identity() + [("AuthMethod", "None")], csg=0, transit=False)
    equal(reply.flags & 0x8c, 0, "T bit and CSG in the security stage")
    equal(conn.login_step(csg=0, nsg=1).flags & 0x8f, 0x81, "stage bits")
    equal(conn.login_step(transit=False).flags & 0x8c, 4, "T bit and CSG after it")
    conn.enter_full_feature([], conn.login_step())


@case("T Bit: the response repeats CSG, and NSG with T", rfc="11.13.6")
def stages_repeated(target):
    conn = target.connect()
    reply = conn.login_step(conn.identity() + [("AuthMethod", "None")], csg=0, nsg=1)
    equal(reply.flags & 0x8f, 0x81, "stage bits")


# Numbers


@case("StatSN: each Login Response has the next one, the full feature phase goes on from there",
      rfc="11.13.4")
def statsn(target):
    conn = target.connect()
    first = conn.login_step(conn.identity(), transit=False).statsn
    for step in range(1, 4):
        equal(conn.login_step(transit=False).statsn, (first + step) & 0xffffffff, "StatSN")
    conn.enter_full_feature([], conn.login_step())
    equal(conn.ping().statsn, (first + 5) & 0xffffffff, "StatSN of the first NOP-In")


@case("ExpStatSN: of the first Login Request of a new session, {}, means nothing", [
    ("zero", 0), ("one", 1), ("the largest", 0xffffffff)], rfc="11.12.9")
def expstatsn_first(target, value):
    conn = target.connect()
    conn.enter_full_feature([], conn.login_step(conn.identity(), expstatsn=value))
    conn.ping()


@case("CmdSN: ExpCmdSN of each Login Response is the CmdSN of the login, {}", [
    ("one", 1), ("zero", 0), ("0x7fffffff", 0x7fffffff), ("the largest", 0xffffffff)],
    rfc="11.12.8")
def cmdsn(target, value):
    conn = target.connect()
    conn.cmdsn = value
    for transit in (False, True):
        reply = conn.login_step(conn.identity() if not transit else b"", transit=transit)
        equal(reply.expcmdsn, value, "ExpCmdSN")
        check(not serial_less(reply.maxcmdsn, (value - 1) & 0xffffffff), "MaxCmdSN too small")
    conn.enter_full_feature([], reply)
    conn.clear_unit_attention()
    conn.ready().good()
    equal(conn.ping().expcmdsn, conn.cmdsn, "ExpCmdSN after commands")


@case("CmdSN: the first command has that of the login, over the end of 32 bits", rfc="4.2.2.1")
def cmdsn_wraps(target):
    conn = target.connect()
    conn.cmdsn = 0xfffffffe
    conn.login()
    conn.clear_unit_attention()
    for _ in range(4):
        conn.ready().good()
    equal(conn.ping().expcmdsn, conn.cmdsn, "ExpCmdSN")
    check(conn.cmdsn < 16, "the numbers did not wrap")


# Session types and names


@case("SessionType: none is a normal session", rfc="13.21")
def session_type_default(target):
    conn = target.connect()
    conn.enter_full_feature([], conn.login_step([("InitiatorName", INITIATOR),
                                                ("TargetName", target.iqn)]))
    conn.clear_unit_attention()
    conn.ready().good()


@case("SessionType: a discovery session needs no TargetName", rfc="13.21", needs="discovery")
def discovery(target):
    check(target.login(session="Discovery").tsih, "no TSIH")


@case("SessionType: TargetName in a discovery session is ignored", rfc="13.21", needs="riser")
def discovery_with_target(target):
    conn = target.connect()
    offer = conn.operational("Discovery")
    reply = conn.login_step(conn.identity("Discovery") + [("TargetName", "iqn.2026-11.test:nobody")]
                            + offer)
    conn.enter_full_feature(offer, reply)
    check(conn.text([("SendTargets", "All")])[0], "no targets")


@case("Names: an InitiatorName of 223 bytes is let in, a TargetName of 223 bytes is not found",
      rfc="4.2.7.1")
def longest_names(target):
    name = "iqn.2026-11.test:".ljust(NAME_MAX, "x")
    target.login(name=name).ready().good()
    refused(target, NOT_FOUND, [("InitiatorName", name), ("TargetName", name)])


@case("Names: InitiatorName {} is let in", [
    (name, name) for name in (
        "iqn.2026-11.test", "iqn.2026-11.test:a.b-c:d", "eui.02004567a425678d",
        "naa.52004567ba64678d", "naa.62004567ba64678d0123456789abcdef")],
    rfc="4.2.7.3")
def name_formats(target, name):
    target.login(name=name).ready().good()


@case("Names: upper case letters mean the lower case ones", rfc="4.2.7.2", needs="riser")
def upper_case(target):
    conn = target.connect(name=INITIATOR.upper())
    conn.target = conn.target.upper()
    conn.login()
    conn.clear_unit_attention()
    twin = target.login(isid=conn.isid)
    conn.expect_closed()
    twin.ready().good()


@case("Names: InitiatorAlias of 255 bytes is legal", rfc="6.1")
def longest_value(target):
    conn = target.connect()
    conn.login_step(conn.identity() + [("InitiatorAlias", "a" * 255)])


@case("Names: InitiatorAlias in UTF-8 is legal", rfc="13.7")
def alias_utf8(target):
    conn = target.connect()
    conn.enter_full_feature([], conn.login_step(
        conn.identity() + [("InitiatorAlias", "h\u00f4te d\u2019essai")]))
    conn.ping()


@case("ISID: of each type is let in: {}", [
    ("OUI", "003d0a112233"), ("EN", "400012340001"), ("random", "80aabbcc0002")], rfc="11.12.5")
def isid_types(target, isid):
    conn = target.login(isid=bytes.fromhex(isid))
    equal(conn.logout(), 0, "logout")


# Text over several PDUs


@case("C Bit: text cut in two at every byte", rfc="6.2", deadline=60)
def split_everywhere(target):
    conn = target.connect()
    text = encode_text(conn.identity() + conn.operational())
    for cut in range(1, len(text)):
        conn = target.connect()
        conn.isid = b"\x80" + cut.to_bytes(5, "big")
        reply = conn.login_step(text[:cut], transit=False, more=True)
        equal((reply.pairs, reply.flags & 0xc0), ([], 0), f"answer to the first part, cut {cut}")
        reply = conn.login_step(text[cut:])
        conn.enter_full_feature(conn.operational(), reply)
        equal(conn.logout(), 0, f"logout after the cut at {cut}")
        conn.close()


@case("C Bit: text in 19 parts", rfc="6.2")
def split_many(target):
    conn = target.connect()
    text = encode_text(conn.identity() + conn.operational())
    size = -(-len(text) // 19)
    parts = [text[i:i + size] for i in range(0, len(text), size)]
    for part in parts[:-1]:
        equal(conn.login_step(part, transit=False, more=True).pairs, [], "answer to a part")
    conn.enter_full_feature(conn.operational(), conn.login_step(parts[-1]))
    conn.ping()


@case("C Bit: a part without text is answered without text", rfc="11.12.2")
def empty_part(target):
    conn = target.connect()
    text = encode_text(conn.identity() + conn.operational())
    for part in (text[:20], b"", text[20:90]):
        reply = conn.login_step(part, transit=False, more=True)
        equal((reply.pairs, reply.flags & 0xc0), ([], 0), "answer to a part")
    conn.enter_full_feature(conn.operational(), conn.login_step(text[90:]))


@case("Login Request of exactly 8192 bytes of text", rfc="6.1")
def full_segment(target):
    conn = target.connect()
    pairs = conn.identity() + conn.operational()
    room = 8192 - len(encode_text(pairs))
    sizes = [200] * (room // 200 - 1) + [200 + room % 200]
    pairs += [(f"X-org.test.{i}", "v" * (size - len(f"X-org.test.{i}=") - 1))
              for i, size in enumerate(sizes)]
    text = encode_text(pairs)
    equal(len(text), 8192, "length of the text")
    reply = conn.login_step(text)
    strange = [value for key, value in reply.pairs if key.startswith("X-")]
    equal(strange, ["NotUnderstood"] * len(sizes), "answers to unknown keys")


# Redirect


def moved(target, *pairs, conn=None):
    """The refusal of a target that is elsewhere."""
    conn = conn or target.connect()
    conn.send(conn.login_pdu(conn.identity() + list(pairs)))
    reply = conn.expect(LOGIN_RESPONSE)
    conn.expect_closed()
    addresses = [item.partition(b"=")[2].decode() for item in reply.data.split(b"\0")
                 if item.startswith(b"TargetAddress=")]
    return reply.login_status, addresses


@case("Redirect: a login to a target that has moved names its new address", rfc="11.13.5",
      needs="redirect")
def redirect(target):
    conn = Initiator(*target.redirect)
    target.connections.append(conn)
    status, addresses = moved(target, conn=conn)
    check(status in (MOVED_TEMPORARILY, MOVED_PERMANENTLY), f"login status {status:#06x}")
    check(addresses, "no TargetAddress")
    check(all("," not in address for address in addresses), f"a group tag in {addresses} (13.8)")


REDIRECTS = [("temporarily", "127.0.0.9:3999", "127.0.0.9:3999", MOVED_TEMPORARILY),
             ("permanently", "127.0.0.9:3999,permanent", "127.0.0.9:3999", MOVED_PERMANENTLY),
             ("to an IPv6 address", "[::1]:3999", "[::1]:3999", MOVED_TEMPORARILY),
             ("to the usual port", "127.0.0.9", "127.0.0.9:3260", MOVED_TEMPORARILY)]


@case("Redirect: a target that has moved {}", REDIRECTS, rfc="11.13.5", needs="own")
def own_redirect(_, option, address, status):
    with Target("--redirect", option, innocent=None) as own:
        equal(moved(own), (status, [address]), "login status and TargetAddress")
        equal(moved(own, ("MaxBurstLength", 65536)), (status, [address]), "and with more keys")


@case("Redirect: a discovery session is served where it is", rfc="RFC 7143 C", needs="own")
def own_redirect_discovery(_):
    with Target("--redirect", "127.0.0.9:3999", innocent=None) as own:
        conn = own.login(session="Discovery")
        equal(conn.text([("SendTargets", "All")])[0][0], ("TargetName", own.iqn), "targets")


@case("Redirect: who may not log in is not told where the target is", rfc="11.13.5", needs="own")
def own_redirect_stranger(_):
    with Target("--redirect", "127.0.0.9:3999", "--allow", "iqn.2026-11.test:friend",
                innocent=None) as own:
        equal(moved(own), (NOT_ALLOWED, []), "login status and TargetAddress")


# Sessions


@case("Sessions: two of one initiator live side by side", rfc="4.4.3")
def two_sessions(target):
    first, second = target.login(), target.login()
    first.ready().good()
    second.ready().good()


@case("Sessions: the same ISID of another initiator is another session", rfc="4.4.3")
def same_isid_other_name(target):
    first = target.login()
    second = target.login(name="iqn.2026-11.test:second", isid=first.isid)
    second.ready().good()
    first.ready().good()


@case("L4 Session Reinstatement: the old session is gone, its tasks end unwritten", rfc="6.3.5")
def reinstatement(target):
    old = target.login(InitialR2T="Yes", ImmediateData="No")
    before = blocks_of(target, 100, 8)
    write, r2t = old.solicited_write(100, 8)
    new = target.login(isid=old.isid)
    try:
        old.answer_r2t(write, r2t, pattern(8, 0x01d))
    except Closed:
        pass
    old.expect_closed()
    new.ready().good()
    equal(blocks_of(target, 100, 8), before, "blocks of the replaced session's write")
    data = pattern(8, 0x4e3)
    new.write(100, data).good()
    equal(new.read(100, 8), data, "blocks")


@case("L4 Session Reinstatement: ten in a row leave one session", rfc="6.3.5")
def reinstatement_storm(target):
    first = target.login()
    conns = [first] + [target.login(isid=first.isid) for _ in range(10)]
    for conn in conns[:-1]:
        conn.expect_closed()
    conns[-1].ready().good()


@case("L4 Session Reinstatement: a login that fails replaces nothing", rfc="6.3.5")
def failed_reinstatement(target):
    first = target.login()
    refused(target, BAD_SESSION_TYPE, [("InitiatorName", INITIATOR), ("TargetName", target.iqn),
                                       ("SessionType", "Foo")], isid=first.isid)
    first.ready().good()


@case("Sessions: a reset connection costs the others nothing and its name may return", rfc="7.14")
def reset_and_return(target):
    conn = target.login()
    conn.send(conn.command_pdu(bytes(6)))
    conn.abort()
    again = target.login(isid=conn.isid)
    data = pattern(16, 0xab)
    again.write(64, data).good()
    equal(len(again.read(64, 16)), 16 * BLOCK, "bytes")


@case("Sessions: Logout ends the connection in order", rfc="11.14")
def logout(target):
    conn = target.login()
    equal(conn.logout(), 0, "response of the Logout")
    conn.expect_closed()


# Portal groups and access: riserd with other options


@case("Portal Group Tag: the one of the portal that was used", rfc="13.9", needs="own")
def own_portal_groups(_):
    with Target(portals=("127.0.0.1:0,tag=3", "127.0.0.1:0,tag=7"), innocent=None) as own:
        for url, tag in zip(own.urls[::len(own.disks)], ("3", "7")):
            own.address = (url.group(1), int(url.group(2)))
            conn = own.connect()
            reply = conn.login_step(conn.identity())
            equal(dict(reply.pairs).get("TargetPortalGroupTag"), tag, "TargetPortalGroupTag")


@case("Sessions: the same ISID through another portal group is another session", rfc="4.4.3",
      needs="own")
def own_isid_per_group(_):
    with Target(portals=("127.0.0.1:0,tag=3", "127.0.0.1:0,tag=7"), innocent=None) as own:
        conns = []
        for url in own.urls[::len(own.disks)]:
            own.address = (url.group(1), int(url.group(2)))
            conns.append(own.login(isid=b"\x80same!"))
        for conn in conns:
            conn.ready().good()


@case("L6 Names: an initiator that is not allowed", rfc="11.13.5", needs="own")
def not_allowed(_):
    friend = "iqn.2026-11.test:friend"
    with Target("--allow", friend, innocent=None) as own:
        for name in (INITIATOR, friend + "x", friend[:-1]):
            conn = own.connect()
            conn.send(conn.login_pdu([("InitiatorName", name), ("TargetName", own.iqn)]))
            conn.expect_login_refused(NOT_ALLOWED)
        own.login(name=friend).ready().good()
