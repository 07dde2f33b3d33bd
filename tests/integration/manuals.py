#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""The manuals say what the programs do: each page formats without a complaint, has every option that
--help has and no other, refers to pages that exist; and each configuration in a page or a document is
one that riserd accepts."""

import functools
import glob
import os
import re
import shutil
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

# pylint: disable=wrong-import-position
from tap import Report, check

SRC, BUILD, TMP = os.environ["SRC"], os.environ["BUILD"], os.environ["TMPDIR"]
DOCS = os.path.join(SRC, "docs")
# Programs, what prints their options, and their pages. Those that are not built are not looked at.
PROGRAMS = {"riserd": "riserd.8", "riser-bench": "riser-bench.1", "riser": "riser.1",
            "tgtadm": "tgtadm.8", "tgt-admin": "tgtadm.8"}
PAGES = ["riserd.8", "riser.1", "riser.conf.5", "riser-bench.1", "riser-metrics.7", "riser-rpc.7",
         "riser-iser.7", "tgtadm.8"]
COMMAND = re.compile(r"^  ([a-z]+(?: [a-z]+)?) [ \[A-Z]", re.M)
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*[a-z]\b")
ENVIRONMENT = {**os.environ, "MANWIDTH": "200", "MAN_KEEP_FORMATTING": "", "LC_ALL": "C.UTF-8",
               "TERM": "dumb", "GROFF_NO_SGR": "1"}


def run(*command, **how):
    return subprocess.run(command, env=ENVIRONMENT, text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=60, check=False, **how)


@functools.cache
def page(name):
    """A page as a reader sees it."""
    result = run("man", "--warnings=w", "-E", "UTF-8", "-l", os.path.join(DOCS, name))
    check(result.returncode == 0, f"man: {result.returncode}: {result.stderr}")
    text = re.sub(".\x08", "", result.stdout)
    # Lines are broken behind hyphens, and some of these are not what one types.
    text = re.sub("\u2010\n\\s*", "-", text)
    return text.translate({0x2010: "-", 0x2011: "-", 0x2212: "-"}), result.stderr


def formats(name):
    text, complaints = page(name)
    check(not complaints, complaints[:2000])
    for section in ("NAME", "SEE ALSO"):
        check(re.search(rf"^{section}$", text, re.M), f"no section {section}")
    first = re.search(r"^NAME\n\s+(\S+) \S+ \S", text, re.M)
    check(first and first.group(1).rstrip(",") == name.rsplit(".", 1)[0], "NAME is not its own")


def refers_to_pages_that_exist(name):
    ours = {os.path.basename(p) for p in glob.glob(os.path.join(DOCS, "*.[1-8]"))}
    for word, section in re.findall(r"\b(riser[a-z.-]*)\((\d)\)", page(name)[0]):
        check(f"{word}.{section}" in ours, f"there is no {word}({section})")


@functools.cache
def help_of(program):
    """What --help prints; of a program with commands, of each of them."""
    def ask(*words):
        result = run(os.path.join(BUILD, program), *words, "--help")
        check(result.returncode == 0, f"{words} --help: {result.returncode}: {result.stderr}")
        return result.stdout

    text = ask()
    commands = COMMAND.findall(text) if program == "riser" else []
    check(commands or program != "riser", "no commands in riser --help")
    return text + "".join(ask(*command.split()) for command in commands)


def options_agree(program, name):
    shown, told = set(OPTION.findall(help_of(program))), page(name)[0]
    told = re.split(r"^SEE ALSO$", told, maxsplit=1, flags=re.M)[0]
    told = re.sub(r"\biscsiadm\b.*", "", told)
    for option in sorted(shown):
        check(re.search(rf"(?<![\w-]){option}\b", told), f"{name} does not have {option}")
    ours = set(OPTION.findall(told)) - {"--help", "--version"}
    check(ours <= shown | others(program), f"--help does not have {sorted(ours - shown)}")


def others(program):
    """Options of our other programs, which a page may speak of."""
    found = set()
    for other in PROGRAMS:
        if other != program and os.path.exists(os.path.join(BUILD, other)):
            found |= set(OPTION.findall(help_of(other)))
    return found


def private(path, flags):
    return os.open(path, flags, 0o600)


def accepted(text):
    path = os.path.join(TMP, "riser.conf")
    os.makedirs(os.path.join(TMP, "secrets"), exist_ok=True)
    for name in re.findall(r"/etc/riser/secrets/(\w+)", text):
        with open(os.path.join(TMP, "secrets", name), "w", encoding="ascii", opener=private) as file:
            file.write(f"the-secret-of-{name}\n")
    with open(path, "w", encoding="utf-8") as file:
        file.write(text.replace("/etc/riser/secrets/", os.path.join(TMP, "secrets", "")))
    result = run(os.environ["RISERD"], "-t", "-c", path)
    return result.returncode == 0, result.stderr


def configurations():
    """(where, text) of each configuration that somebody may copy."""
    for path in sorted(glob.glob(os.path.join(SRC, "*.md")) + glob.glob(os.path.join(DOCS, "*.md"))):
        with open(path, encoding="utf-8") as file:
            for block in re.findall(r"^```conf\n(.*?)^```", file.read(), re.M | re.S):
                yield os.path.basename(path), block
    text = page("riser.conf.5")[0]
    synopsis = re.search(r"^SYNOPSIS\n(.*?)^\S", text, re.M | re.S).group(1)
    yield "riser.conf.5", "\n".join(line.strip() for line in synopsis.splitlines())
    with open(os.path.join(SRC, "packaging", "riser.conf"), encoding="utf-8") as file:
        example = file.read()
    yield "packaging/riser.conf", example
    yield "packaging/riser.conf, uncommented", re.sub(
        r"^# ?", "", example[example.index("# portal"):], flags=re.M)


def every_configuration_is_accepted():
    count = 0
    for where, text in configurations():
        good, said = accepted(text)
        check(good, f"{where}: {said}\n{text}")
        count += 1
    check(count >= 5, f"only {count} configurations were found")
    check(not accepted("portal nonsense { }\n")[0], "riserd -t accepts anything")


def the_first_example_is_short():
    """The same export takes LIO 7 commands, SCST 16 lines, ctld 12, SPDK 8."""
    text = next(text for where, text in configurations() if where == "getting-started.md")
    lines = [line for line in text.splitlines() if line.strip()]
    check(len(lines) <= 6, f"{len(lines)} lines:\n" + "\n".join(lines))


def stories():
    for name in PAGES:
        yield f"{name} is there", check, (os.path.exists(os.path.join(DOCS, name)), "it is not")
    for path in sorted(glob.glob(os.path.join(DOCS, "*.[1-8]"))):
        name = os.path.basename(path)
        yield f"{name} formats without a warning", formats, (name,)
        yield f"{name} refers to pages that exist", refers_to_pages_that_exist, (name,)
    for program, name in PROGRAMS.items():
        if os.path.exists(os.path.join(BUILD, program)):
            yield f"{name} has the options of {program} --help", options_agree, (program, name)
    yield "riserd accepts each configuration in the documents", every_configuration_is_accepted, ()
    yield "the first example takes at most six lines", the_first_example_is_short, ()


def main():
    if not shutil.which("man"):
        print("man is not installed (ci/deps test)")
        sys.exit(77)
    report = Report()
    for name, story, arguments in stories():
        try:
            story(*arguments)
            report.result(name)
        except Exception as error:  # pylint: disable=broad-except
            report.result(name, f"{type(error).__name__}: {error}")
    print(f"1..{report.number}")
    sys.exit(1 if report.failed else 0)


main()
