# SPDX-License-Identifier: BSD-2-Clause
"""Chromium without a screen, driven by Debian's chromedriver: the few commands of WebDriver that a test
of a page needs."""

import base64
import json
import os
import re
import select
import shutil
import subprocess
import time
import urllib.request

from tap import Failure, check

START, ANSWER = 60, 60


def missing():
    """What is not installed, or None."""
    for program in ("chromium", "chromedriver"):
        if not shutil.which(program):
            return program
    return None


class Browser:
    def __init__(self, width=1200, height=1400):
        self.size = f"{width},{height}"
        self.driver = self.url = self.session = None

    def __enter__(self):
        self.driver = subprocess.Popen(["chromedriver", "--port=0"], stdin=subprocess.DEVNULL,
                                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        try:
            self.url = f"http://127.0.0.1:{self._port()}/session"
            home = os.path.join(os.environ["TMPDIR"], "chromium")
            arguments = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                         "--no-first-run", "--disable-extensions", f"--user-data-dir={home}",
                         f"--window-size={self.size}"]
            wanted = {"capabilities": {"alwaysMatch": {"goog:chromeOptions": {"args": arguments},
                                                       "goog:loggingPrefs": {"browser": "ALL"}}}}
            self.session = self._ask("POST", "", wanted)["sessionId"]
        except Exception:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, kind, value, trace):
        if self.session:
            try:
                self._ask("DELETE", "")
            except OSError:
                pass
        self.driver.terminate()
        self.driver.wait()
        self.driver.stdout.close()

    def _port(self):
        end, text = time.monotonic() + START, ""
        while time.monotonic() < end:
            if select.select([self.driver.stdout], [], [], 0.5)[0]:
                piece = os.read(self.driver.stdout.fileno(), 4096).decode(errors="replace")
                check(piece, f"chromedriver has ended: {text[-300:]}")
                text += piece
            found = re.search(r"on port (\d+)", text.split("successfully")[-1])
            if "successfully" in text and found:
                return int(found.group(1))
        raise Failure(f"chromedriver says no port: {text[-300:]}")

    def _ask(self, method, path, body=None):
        url = self.url + (f"/{self.session}" if self.session else "") + path
        data = json.dumps(body or {}).encode() if method == "POST" else None
        request = urllib.request.Request(url, data, {"Content-Type": "application/json"},
                                         method=method)
        try:
            with urllib.request.urlopen(request, timeout=ANSWER) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise Failure(f"WebDriver {method} {path}: {error.read()[:500]!r}") from error

    def open(self, url):
        self._ask("POST", "/url", {"url": url})

    def run(self, script):
        """The value of a JavaScript function's body."""
        return self._ask("POST", "/execute/sync", {"script": script, "args": []})

    def wait(self, script, what, seconds=30):
        end = time.monotonic() + seconds
        while True:
            value = self.run(script)
            if value:
                return value
            check(time.monotonic() < end, f"{what}: not within {seconds} s; console: {self.console()}")
            time.sleep(0.1)

    def console(self):
        """What the page has to complain of."""
        return [line["message"] for line in self._ask("POST", "/se/log", {"type": "browser"})]

    def screenshot(self, path):
        with open(path, "wb") as file:
            file.write(base64.b64decode(self._ask("GET", "/screenshot")))
