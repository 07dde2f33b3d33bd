#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""riser import opens nothing: whoever could not log in, or not write, by the configuration of tgt, LIO or
FreeBSD cannot do so by the riser.conf that is made of it. A row for each construct that says who may."""

import json
import os
import stat
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

# pylint: disable=wrong-import-position
import command
from command import contains, execute
from tap import check, equal

NAME = "iqn.2026-01.com.example:t"
HOST = "iqn.1993-08.org.debian:01:abc"
OTHER = "iqn.1993-08.org.debian:01:def"
NOBODY = "iqn.1995-01.invalid.nobody:none"
FOLDER = tempfile.TemporaryDirectory(prefix="import-")  # pylint: disable=consider-using-with


def write(name, text):
    path = os.path.join(FOLDER.name, name)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return path


def imported(kind, text):
    """What becomes of a text: the riser.conf, and the notes."""
    done = execute("import", "--json", "--from", kind, write(kind, text))
    check(done.returncode in (0, 10), f"{done.stdout}{done.stderr}\n{text}")
    result = json.loads(done.stdout)
    return result["config"], [note["text"] for note in result["notes"]]


def allows(kind, text, who, *more):
    """Who may log in to the only target, and what else has to be in the riser.conf."""
    config, notes = imported(kind, text)
    lines = [line.strip() for line in config.splitlines() if line.strip().startswith("allow")]
    equal(lines, [f"allow = {{ {who} }}"], f"{text}\n{notes}\n")
    if who == NOBODY:
        check(any("nobody may log in" in note for note in notes), f"not told: {notes}")
    contains(config, *more)
    return config


# --- tgt

def tgt(inside, who, *more):
    return allows("tgt", f"<target {NAME}>\n\tbacking-store /srv/a\n{inside}\n</target>\n", who, *more)


def tgt_rules():
    """tgt: names are names and addresses addresses, whatever they are called"""
    tgt("", "any")
    tgt("initiator-address ALL", "any")
    tgt(f"initiator-name {HOST}", HOST)
    tgt(f"initiator-name {HOST}\ninitiator-address 192.0.2.1", f"{HOST}, 192.0.2.1")
    tgt(f"initiator-address ALL\ninitiator-name {HOST}", HOST)
    tgt("initiator-name ALL", NOBODY)
    tgt("initiator-name 192.0.2.0/24", NOBODY)
    tgt("initiator-name *", NOBODY)
    tgt(f"initiator-address {HOST}", NOBODY)
    tgt("initiator-address host.example.com", NOBODY)
    tgt("initiator-address 192.0.2.0/255.255.255.0", NOBODY)
    tgt(f"initiator-name ALL\ninitiator-name {HOST}\ninitiator-address 192.0.2.1", f"{HOST}, 192.0.2.1")


def tgt_comments():
    """tgt: no rule is lost in a comment that does not have it, and none comes out of one"""
    rule = "initiator-address 192.0.2.1"
    tgt(f"/* the lab */ {rule}", "192.0.2.1")
    tgt(f"{rule} /* the lab */", "192.0.2.1")
    tgt(f"/* the\nlab */ {rule}", "192.0.2.1")
    tgt(f"# the lab \\\n{rule}", "192.0.2.1")
    tgt(f"MaxBurstLength 65536 # bytes \\\n{rule}", "192.0.2.1")
    tgt("initiator-address \\\n\n   192.0.2.1", "192.0.2.1")
    tgt(f"{rule}\n/*\ninitiator-address ALL\n*/", "192.0.2.1")
    tgt(f"{rule}\n# \\\ninitiator-address 192.0.2.2", "192.0.2.1, 192.0.2.2")


def tgt_include():
    """tgt: Include is include"""
    path = write("rules", "initiator-address 192.0.2.1\n")
    tgt(f"Include {path}", "192.0.2.1")
    tgt(f"<<Include {path}>>", "192.0.2.1")


def tgt_isns():
    """tgt: where an iSNS server says who may log in, nobody may"""
    target = f"<target {NAME}>\n\tbacking-store /srv/a\n</target>\n"
    allows("tgt", "iSNS On\niSNSAccessControl On\n" + target, NOBODY)
    allows("tgt", target + "iSNSAccessControl On\n", NOBODY)
    allows("tgt", "iSNS On\niSNSAccessControl Off\n" + target, "any")


def tgt_parts():
    """tgt: of two blocks of one target, the one that says who may log in counts"""
    first = f"<target {NAME}>\n\tbacking-store /srv/a\n</target>\n"
    for rule in ("initiator-address 192.0.2.1", f"initiator-name {HOST}", "initiator-name ALL",
                 "incominguser alice secretsecret12"):
        allows("tgt", first + f"<target {NAME}>\n\t{rule}\n</target>\n", NOBODY)
    allows("tgt", first + first, "any")


def tgt_readonly():
    """tgt: what it may have taken for read-only is"""
    for value in ("1", "2", "true", "yes", "On"):
        tgt(f"readonly {value}", "any", "readonly = on")
    tgt("readonly 1\nreadonly 0", "any", "readonly = on")
    for value in ("0", "no", "off"):
        check("readonly" not in tgt(f"readonly {value}", "any"), value)


# --- LIO

def acl(who=HOST, **more):
    return {"node_wwn": who, "mapped_luns": [{"index": 0, "tpg_lun": 0, "write_protect": False},
                                             {"index": 1, "tpg_lun": 1, "write_protect": False}], **more}


def chap(user, secret=None):
    return {"chap_userid": user, "chap_password": secret or f"secret-of-{user}-12"}


def lio(attributes, acls=(), **more):
    group = {"tag": 1, "attributes": attributes, "node_acls": list(acls),
             "portals": [{"ip_address": "192.0.2.1", "port": 3260}],
             "luns": [{"index": 0, "storage_object": "/backstores/block/a"},
                      {"index": 1, "storage_object": "/backstores/block/b"}], **more}
    objects = [{"plugin": "block", "name": name, "dev": f"/dev/{name}", "wwn": name} for name in "ab"]
    return json.dumps({"storage_objects": objects, "targets": [
        {"fabric": "iscsi", "wwn": NAME, "tpgs": [group]}]}, indent=1)


OPEN = {"authentication": 0, "generate_node_acls": 0}
ASKED = {"authentication": 1, "generate_node_acls": 0}
DEMO = {"authentication": 0, "generate_node_acls": 1, "demo_mode_write_protect": 0}


def lio_names():
    """LIO: an ACL is a name and nothing else"""
    allows("lio", lio(OPEN, [acl()]), HOST)
    allows("lio", lio(OPEN), NOBODY)
    for who in ("ALL", "192.0.2.0/24", "iqn.*", ""):
        allows("lio", lio(OPEN, [acl(who)]), NOBODY)
    allows("lio", lio(DEMO), "any")


def lio_portals():
    """LIO: a target without a portal is closed, for it would be at all of them"""
    for portals in ([], [{"port": 3260}], [{"ip_address": "192.0.2.1", "port": 0}]):
        allows("lio", lio(DEMO, portals=portals), NOBODY)


def lio_secrets():
    """LIO: who needs a secret there needs one here, and that of another one is not enough"""
    allows("lio", lio({"generate_node_acls": 1}), NOBODY)
    allows("lio", lio({**ASKED, "authentication": "odd", "generate_node_acls": 1}), NOBODY)
    allows("lio", lio(ASKED, [acl(**chap("alice"))]), HOST, "chap alice")
    config = allows("lio", lio(ASKED, [acl(**chap("alice")), acl(OTHER)]), HOST, "chap alice")
    check(OTHER not in config, config)
    allows("lio", lio(OPEN, [acl(attributes={"authentication": 1}, **chap("alice"))]), HOST, "chap alice")
    allows("lio", lio(OPEN, [acl(attributes={"authentication": 1})]), NOBODY)
    allows("lio", lio(ASKED, [acl(attributes={"authentication": -1}, **chap("alice"))]), HOST, "chap alice")
    allows("lio", lio(ASKED, [acl(attributes={"authentication": 0}), acl(OTHER, **chap("bob"))]), OTHER)
    # One user, two secrets: the first would be that of both.
    allows("lio", lio(ASKED, [acl(**chap("alice")), acl(OTHER, **chap("alice", "another-secret"))]), HOST)
    # That of the portal group is asked of those without an ACL only.
    allows("lio", lio(ASKED, [acl()], **chap("all")), NOBODY)
    allows("lio", lio({**DEMO, "authentication": 1}, **chap("all")), "any", "chap all")


def lio_views():
    """LIO: nobody sees more LUNs than before, or may write more"""
    one = [{"index": 0, "tpg_lun": 1, "write_protect": False}]
    config = allows("lio", lio(ASKED, [acl(OTHER, mapped_luns=one, **chap("both")), acl(**chap("both")),
                                       acl("iqn.2026-01.com.example:i", **chap("alice"))]),
                    f"{OTHER}, {HOST}, iqn.2026-01.com.example:i")
    check(config.index("user:alice") < config.index(f"initiator {OTHER}"), config)
    for odd in (True, 1, 1.0, "1", "yes"):
        mapped = [{"index": 0, "tpg_lun": 0, "write_protect": odd}, {"index": 1, "tpg_lun": 1}]
        allows("lio", lio(OPEN, [acl(mapped_luns=mapped)]), HOST, f"initiator {HOST} {{ luns = all readonly = {{ 0 }} }}")
    mapped = [{"index": 0, "tpg_lun": 0}]
    allows("lio", lio({**OPEN, "prod_mode_write_protect": 1}, [acl(mapped_luns=mapped)]), HOST, "readonly = { 0 }")
    for odd in ([{"index": 0}], [{"index": 0, "tpg_lun": 1 << 32}], [{"index": 0, "tpg_lun": -1}], []):
        allows("lio", lio(OPEN, [acl(mapped_luns=odd)]), HOST, f"initiator {HOST} {{ luns = none }}")
    # Of demo mode, those that are asked for a secret have that of the group.
    config = allows("lio", lio({**DEMO, "authentication": 1}, [acl(mapped_luns=one, **chap("alice"))]), "any",
                    "user:alice")
    check("initiator any" not in config, config)
    text = lio(DEMO).replace('"name": "a",', '"name": "a", "readonly": "yes",')
    allows("lio", text, "any", "lun 0 { path = /dev/a readonly = on")


def lio_leaks():
    """LIO: what is wrong with a text is told without what stands there"""
    for tail in ('"chap_password": "top\\x"', '"chap_password": "topsecret1234" oops', '"chap_password": topsecret1234'):
        done = execute("import", "--from", "lio", write("broken", '{ "targets": [ { ' + tail + " } ] }"))
        equal(done.returncode, 8, done.stderr)
        contains(done.stderr, "broken:1:")
        check("top" not in done.stderr and "oops" not in done.stderr, done.stderr)


# --- FreeBSD

def ctl(inside, groups=""):
    return f"{groups}\ntarget {NAME} {{\n{inside}\nlun 0 {{ path /srv/a }}\n}}\n"


def ctl_types():
    """FreeBSD: without an auth-type and a chap, or by one that is not known, nobody is let in"""
    allows("ctl", ctl("auth-group no-authentication"), "any")
    allows("ctl", ctl(""), NOBODY)
    allows("ctl", ctl("auth-group g", "auth-group g { }"), NOBODY)
    allows("ctl", ctl("auth-group g", f"auth-group g {{ initiator-name {HOST} }}"), NOBODY)
    allows("ctl", ctl(f"initiator-name {HOST}"), NOBODY)
    allows("ctl", ctl("auth-type None"), NOBODY)
    allows("ctl", ctl("auth-type none"), "any")
    allows("ctl", ctl(f"auth-type none initiator-name {HOST}"), HOST)
    allows("ctl", ctl("auth-type none initiator-name ALL"), NOBODY)
    allows("ctl", ctl("auth-type none initiator-name 192.0.2.0/24"), NOBODY)
    allows("ctl", ctl(f"auth-type none initiator-portal {HOST}"), NOBODY)
    allows("ctl", ctl("auth-group g", "auth-group g { auth-type none auth-type deny }"), NOBODY)
    allows("ctl", ctl("", "auth-group default { auth-type none initiator-portal 192.0.2.0/24 }"), "192.0.2.0/24")


def ctl_groups():
    """FreeBSD: the auth-group of a portal-group comes before that of the target, and several are none"""
    groups = f"""auth-group a {{ auth-type none initiator-name {HOST} }}
auth-group b {{ auth-type none initiator-name {OTHER} }}
portal-group p {{ listen 192.0.2.1 }}
portal-group q {{ listen 192.0.2.2 }}"""
    allows("ctl", ctl("auth-group no-authentication\nportal-group p a", groups), HOST)
    allows("ctl", ctl("auth-group a\nportal-group p b", groups), OTHER)
    allows("ctl", ctl("portal-group p a\nportal-group q a", groups), HOST)
    allows("ctl", ctl("portal-group p a\nportal-group q b", groups), NOBODY)
    allows("ctl", ctl("auth-group a\nportal-group p\nportal-group q b", groups), NOBODY)
    allows("ctl", ctl("auth-group a\nauth-type none", groups), NOBODY)


def ctl_portals():
    """FreeBSD: a target that is nowhere, or on another host, does not come to be at all portals"""
    everybody = "auth-group no-authentication\n"
    allows("ctl", ctl(everybody + "portal-group p", "portal-group p { listen 192.0.2.1 }"), "any")
    allows("ctl", ctl(everybody + "portal-group p", "portal-group p { tag 7 }"), NOBODY)
    config = allows("ctl", ctl(everybody + "portal-group p", "portal-group p { foreign listen 192.0.2.1 }"), NOBODY)
    check("192.0.2.1" not in config, config)
    config = allows("ctl", ctl(everybody, "portal-group default { listen 192.0.2.1 }"), "any")
    check("0.0.0.0" not in config, config)


def ctl_readonly():
    """FreeBSD: a LUN whose readonly is not off is read-only"""
    text = ctl("auth-type none").replace("/srv/a", "/srv/a option readonly {}")
    for value in ("on", "yes", "1"):
        allows("ctl", text.replace("{}", value), "any", "readonly = on")
    check("readonly" not in allows("ctl", text.replace("{}", "off"), "any"), "off")


def ctl_leaks():
    """FreeBSD: the rest of a secret that is not in quotes is not told"""
    done = execute("import", "--from", "ctl", write("broken", "auth-group g { chap alice topsecret1234 morepart }"))
    equal(done.returncode, 8, done.stderr)
    contains(done.stderr, "broken:1:", "too many words")
    check("morepart" not in done.stderr, done.stderr)


# --- files of secrets

def secrets():
    """a file of a secret that is there and the same is shut, if others may read it"""
    folder = os.path.join(FOLDER.name, "secrets")
    text = write("u", f"<target {NAME}>\n\tincominguser alice secretsecret12\n</target>\n")
    words = ("import", "--secrets", folder, "-o", os.path.join(FOLDER.name, "u.conf"), text)
    equal(execute(*words).returncode, 0, "made")
    path = os.path.join(folder, "alice")
    for mode, after in ((0o644, 0o640), (0o604, 0o600), (0o600, 0o600), (0o640, 0o640)):
        os.chmod(path, mode)
        done = execute(*words)
        equal((done.returncode, stat.S_IMODE(os.stat(path).st_mode)), (0, after), f"{mode:o}: {done.stderr}")
        equal("everybody could" in done.stderr, mode != after, done.stderr)
    os.chmod(path, 0o644)
    execute(*words, "--dry-run")
    equal(stat.S_IMODE(os.stat(path).st_mode), 0o644, "by a try")
    # Nothing hangs at what is no file.
    os.unlink(path)
    os.mkfifo(path)
    equal(execute(*words).returncode, 4, "a FIFO is there already")


def odd_bytes():
    """what is no UTF-8 is told in JSON, too"""
    path = os.path.join(FOLDER.name.encode(), b"odd\xff")
    with open(path, "wb") as file:
        file.write(b"<target " + NAME.encode() + b">\n\tnonsense\xff 1\n\tscsi_id \xff\n</target>\n")
    done = command.execute("import", "--json", "--from", "tgt", path)
    equal(done.returncode, 10, done.stderr)
    notes = [note["text"] for note in json.loads(done.stdout)["notes"]]
    check(any("nonsense?" in note for note in notes) and any("scsi_id ?" in note for note in notes), f"{notes}")
    done = command.execute("import", "--secrets", b"/nonexistent/\xff", path)
    equal(done.returncode, 2, done.stderr)


if __name__ == "__main__":
    command.main([tgt_rules, tgt_comments, tgt_include, tgt_isns, tgt_parts, tgt_readonly,
                  lio_names, lio_portals, lio_secrets, lio_views, lio_leaks,
                  ctl_types, ctl_groups, ctl_portals, ctl_readonly, ctl_leaks, secrets, odd_bytes])
