"""Requests that are small on the wire, at a server: refused with a reason, and nobody waits."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

from bench import amplifying
from harness.conformance.serving import wire
from harness.conformance.serving.check_baidu_std import frame
from harness.conformance.serving.check_http import JSON
from harness.conformance.serving.checks import JSON_BODY, PRICE, Subject

# The test server's max_body_size.
LIMIT_KIB = 64 << 10
ROW = b",".join([b"1"] * 13)
FEED = b'"name":"x","elem_type":1,"float_data":[%s],"shape":[%s]'
GZIP = {**JSON, "Content-Encoding": "gzip"}


def peak_kib(pid: int) -> int:
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1])


def test_a_kilobyte_costs_no_more_memory_than_max_body_size_and_a_short_line_of_log(
    subject: Subject,
) -> None:
    shape = b'{"tensor":[{%s}]}' % (FEED % (ROW, b",".join([b"2147483647"] * 100_000)))
    rows = FEED % (b",".join([ROW] * 1000), b"1000,13")
    names = b'{"tensor":[{%s}],"fetch_var_names":[%s]}' % (rows, b",".join([b'"price"'] * 20_000))
    name = b'{"tensor":[{%s}]}' % (FEED % (ROW, b"1,13")).replace(
        b'"x"', b'"%s"' % (b"x" * 4_000_000)
    )
    refusals = {
        shape: "feed x has 100000 dimensions, and no tensor of Paddle's has more than 9",
        names: "an answer of 20000 outputs, some of them repeated, with 20000000 elements would",
        name: "there is no feed xxx",
    }
    with subject.launch() as server:
        assert wire.http(server.port, JSON_BODY, headers=JSON).status == 200
        before, at = peak_kib(server.pid), len(server.log())
        for body, reason in refusals.items():
            answer = wire.http(server.port, gzip.compress(body), headers=GZIP)
            assert answer.status == 500
            assert f"[E-5100]InferService inference failed! {reason}" in answer.body.decode()
            assert len(answer.body) < 1200
        strings = amplifying.field(1, amplifying.field(amplifying.DATA, b"") * (8 << 20))
        answer = wire.baidu(server.port, frame(gzip.compress(strings), compression=2))
        assert (answer.code, "Fail to parse request message" in answer.text) == (1003, True)
        assert peak_kib(server.pid) - before < LIMIT_KIB
        assert max(len(line) for line in server.log()[at:].splitlines()) < 1200
        price = wire.http(server.port, JSON_BODY, headers=JSON).body
        assert b"[%.1f]" % PRICE in price
