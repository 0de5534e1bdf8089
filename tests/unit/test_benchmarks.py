"""The pure parts of the benchmarks: what is counted, and how it becomes a ratio and a table."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import pytest

from tests.benchmarks import client, measure, profiling, publishing, report
from tests.benchmarks.profiling import Anatomy, Function
from tests.benchmarks.report import Sample, Spread
from tests.benchmarks.rounds import Plan, measure_all
from tests.benchmarks.servers import SERVERS, Target
from tests.benchmarks.workloads import BROWSER_HEADERS, VARIES, WORKLOADS

if TYPE_CHECKING:
    from tests.benchmarks.environments import Environment
    from tests.benchmarks.servers import Launch
    from tests.benchmarks.workloads import Workload

TOTALS = {
    "requests": 1000,
    "bytes": 150_000,
    "microseconds": 500_000,
    "connect": 0,
    "read": 0,
    "write": 0,
    "timeout": 0,
    "status": 0,
    "p50": 900,
    "p99": 2500,
}
PLAINTEXT = WORKLOADS["plaintext"]


def wrk_output(**changes: int) -> str:
    return f"Running 1s test\n  1 threads\n{client.MARK}{json.dumps(TOTALS | changes)}\n"


def sample(server: str, number: int, value: float | None, problem: str = "") -> Sample:
    return Sample(server=server, workload="plaintext", round=number, value=value, problem=problem)


def test_totals_are_read_from_the_line_of_our_script() -> None:
    totals = client.parse_totals(wrk_output())
    assert (totals.requests, totals.rate, totals.p99) == (1000, 2000.0, 2500)
    assert totals.problem(least=13) == ""


def test_output_without_totals_is_a_problem_that_shows_it() -> None:
    with pytest.raises(client.ClientProblem, match="unable to connect"):
        client.parse_totals("unable to connect to 127.0.0.1:1 Connection refused\n")


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"status": 3}, "3 answers above 399"),
        ({"read": 1, "timeout": 2}, "1 read errors, 2 timeouts"),
        ({"connect": 4}, "4 connect errors"),
        ({"write": 5}, "5 write errors"),
        ({"requests": 0, "bytes": 0}, "no request was answered"),
        ({"bytes": 12_999}, "12999 bytes read, too few for 1000 answers"),
    ],
)
def test_errors_that_wrk_counts_invalidate_its_figures(
    changes: dict[str, int], problem: str
) -> None:
    assert client.parse_totals(wrk_output(**changes)).problem(least=13) == problem


SAME = [one for one in WORKLOADS.values() if not one.websocket and VARIES not in one.target]


@pytest.mark.parametrize("workload", SAME, ids=lambda workload: workload.name)
def test_wrk_and_our_client_send_the_same_request(workload: Workload) -> None:
    lua, raw = client.script(workload, 80), client.request_bytes(workload, 80)
    assert b"\r\nHost: localhost\r\n" in client.request_bytes(workload, "/run/server.sock")
    for name, value in workload.headers.items():
        assert f'wrk.headers["{name}"] = "{value}"' in lua
        assert f"\r\n{name}: {value}\r\n".encode() in raw
    assert raw.startswith(f"{workload.method} / HTTP/1.1\r\nHost: 127.0.0.1:80\r\n".encode())
    assert raw.endswith(b"\r\n\r\n" + workload.body)
    assert (f"Content-Length: {len(workload.body)}".encode() in raw) is bool(workload.body)
    assert ("wrk.body" in lua) is bool(workload.body)


def test_what_varies_is_made_anew_in_each_request() -> None:
    workload = WORKLOADS["varied"]
    raw = client.request_bytes(workload, 80).decode()
    (template,) = re.findall(r'"(GET .*)", math.random', client.script(workload, 80))
    whole = template.replace("\\r\\n", "\r\n")
    made = re.sub("%08x", raw[len("GET /items/") :][:8], whole)
    assert made.replace("%%", "%") == raw
    assert whole.count("%08x") == client.script(workload, 80).count("random(0, 4294967295)")
    assert client.request_bytes(workload, 80) != client.request_bytes(workload, 80)


def test_lua_strings_are_escaped() -> None:
    assert client.lua_string('a"b\\c\r\nd') == '"a\\"b\\\\c\\r\\nd"'


def test_browser_headers_have_a_browsers_size() -> None:
    size = len(client.request_bytes(WORKLOADS["headers"], 8000))
    assert len(BROWSER_HEADERS) + 1 == 12  # with Host
    assert 550 <= size <= 700


def test_process_names_with_brackets_do_not_shift_the_fields() -> None:
    text = "42 (gunicorn: (a) b) S 1 7 9 0 -1 4194560 1 2 3 4 250 50 0 0 20 0 1 0 100 1000 10\n"
    process = measure.parse_stat(text)
    assert (process.pid, process.session) == (42, 9)
    assert process.user == pytest.approx(250 * measure.TICK)
    assert process.system == pytest.approx(50 * measure.TICK)


def test_memory_figures_are_bytes() -> None:
    text = "5581-7ffd ---p [rollup]\nRss:    2000 kB\nPss:     123 kB\nPss_Anon: 7 kB\n"
    assert measure.parse_kib(text, "Pss") == 123 * 1024
    with pytest.raises(ValueError, match="VmHWM"):
        measure.parse_kib(text, "VmHWM")


def test_busy_time_is_that_of_all_cpus_without_idle_and_waiting() -> None:
    text = "cpu  100 10 50 9000 800 3 7 0 0 0\ncpu0 1 2 3 4 5 6 7 0 0 0\n"
    assert measure.busy(text) == pytest.approx(170 * measure.TICK)


def test_ratios_pair_the_rounds_and_leave_out_what_does_not_count() -> None:
    samples = [
        sample("ours", 0, 10.0),
        sample("uvicorn", 0, 20.0),
        sample("uvicorn", 1, 30.0),
        sample("ours", 1, 10.0),
        sample("ours", 2, 10.0, problem="1 read errors"),
        sample("uvicorn", 2, 90.0),
        sample("ours", 3, 10.0),
        sample("uvicorn", 3, 90.0, problem="9 timeouts"),
        sample("ours", 4, None, problem="ended"),
    ]
    assert report.ratios(samples, "uvicorn", "ours") == [2.0, 3.0]
    assert report.ratios(samples, "ours", "uvicorn") == [0.5, 1 / 3]
    assert report.ratios(samples, "granian", "ours") == []


def test_the_ratio_of_minima_needs_no_common_round() -> None:
    samples = [
        sample("ours", 0, 10.0),
        sample("ours", 1, 8.0),
        sample("ours", 2, 1.0, problem="1 read errors"),
        sample("uvicorn", 3, 20.0),
        sample("uvicorn", 4, 90.0),
    ]
    assert report.least_ratio(samples, "uvicorn", "ours") == 2.5
    assert report.least_ratio(samples, "granian", "ours") is None


def test_rows_have_the_spread_of_the_valid_rounds_and_each_problem_once() -> None:
    samples = [
        sample("ours", 0, 12.0),
        sample("ours", 1, 10.0),
        sample("ours", 2, 11.0),
        sample("ours", 3, 1.0, problem="2 timeouts"),
        sample("ours", 4, 1.0, problem="2 timeouts"),
    ]
    (row,) = report.rows(samples, "ours")
    assert row.value == Spread(11.0, 10.0, 12.0)
    assert row.ratio == Spread(1.0, 1.0, 1.0)
    assert (row.valid, row.rounds, row.problems) == (3, 5, ("2 timeouts",))


def test_the_table_names_servers_without_a_figure_and_why() -> None:
    samples = [
        Sample(server="ours", workload="plaintext", round=0, value=10, user=6, system=4, rate=9e4),
        sample("granian", 0, None, problem="does not listen after 20 s: nothing in its log"),
    ]
    lines = report.table(PLAINTEXT, samples, "ours").splitlines()
    assert lines[0].startswith("plaintext: ")
    assert lines[1].split() == [
        *(
            "server",
            "median",
            "min",
            "max",
            "user",
            "sys",
            "req/s",
            "ratio",
            "spread",
            "of",
            "minima",
        )
    ]
    figures = ["10.0", "10.0", "10.0", "6.0", "4.0", "90000", "1.00", "1.00-1.00", "1.00"]
    assert lines[2].split() == ["ours", *figures]
    assert lines[3].split()[:3] == ["granian", "no", "figure"]
    assert lines[4] == (
        "  granian: 1 of 1 rounds do not count: does not listen after 20 s: nothing in its log"
    )


def test_the_verdict_is_one_line_per_pair() -> None:
    samples = [sample("ours", 0, 10.0), sample("uvicorn", 0, 20.0)]
    line = report.verdict(samples, "plaintext", "ours", "uvicorn")
    assert line.split()[:6] == ["plaintext", "uvicorn/ours", "2.00", "(2.00", "to", "2.00)"]
    assert line.endswith("of minima 2.00")
    assert report.verdict(samples, "stream", "ours", "uvicorn") == ""


def test_the_document_is_json_and_keeps_every_sample() -> None:
    samples = [sample("ours", 0, 10.0), sample("uvicorn", 0, None, problem="ended (1)")]
    text = json.dumps(report.document(samples, [PLAINTEXT], "ours", {"python": "3"}))
    document = json.loads(text)
    assert [s["problem"] for s in document["samples"]] == ["", "ended (1)"]
    servers = document["results"]["plaintext"]["servers"]
    assert [row["value"] and row["value"]["median"] for row in servers] == [10.0, None]


def test_what_cannot_run_is_reported_in_every_round_and_the_order_alternates() -> None:
    launches: list[tuple[Launch, Environment | str]] = [
        (SERVERS["uvicorn"], "no pip"),
        (SERVERS["granian"], "no pip"),
    ]
    seen: list[Sample] = []
    plan = Plan(rounds=2, seconds=1, idle=1, server_cpu=None, client_cpu=None, budget=60)
    samples = measure_all(plan, launches, [PLAINTEXT], seen.append)
    assert seen == samples
    assert [s.server for s in samples] == ["uvicorn", "granian", "granian", "uvicorn"]
    assert {s.problem for s in samples} == {"no pip"}


def test_no_round_begins_that_would_end_too_late() -> None:
    launches: list[tuple[Launch, Environment | str]] = [(SERVERS["uvicorn"], "no pip")]
    plan = Plan(
        rounds=9, seconds=1, idle=1, server_cpu=None, client_cpu=None, budget=60, enough=0.0
    )
    workloads = [PLAINTEXT, WORKLOADS["unix"]]
    samples = measure_all(plan, launches, workloads, lambda _: None)
    assert [(s.workload, s.round) for s in samples] == [("plaintext", 0), ("unix", 0)]


@pytest.mark.parametrize("launch", SERVERS.values(), ids=SERVERS)
def test_commands_say_where_to_listen_what_to_serve_and_where_to_log(launch: Launch) -> None:
    quiet = launch.command(Target(1234, "apps:plaintext", None))
    assert quiet[-1] == "apps:plaintext"
    assert any("1234" in word for word in quiet)
    logging = launch.command(Target(1234, "apps:plaintext", "/tmp/access.log"))
    assert (logging != quiet) is ("access log" in launch.features)
    encrypted = launch.command(Target(1234, "apps:plaintext", None, certificate="c", key="k"))
    assert ({"c", "k"} <= set(encrypted)) is ("TLS" in launch.features)
    local = launch.command(Target(1234, "apps:plaintext", None, uds="/tmp/server.sock"))
    assert any("/tmp/server.sock" in word for word in local)
    assert not any("1234" in word for word in local)
    if "workers" in launch.features:
        assert launch.command(Target(1234, "apps:plaintext", None, workers=2)) != quiet


@pytest.fixture
def measured() -> list[Sample]:
    return [
        sample("ours", 0, 10.0),
        sample("uvicorn", 0, 20.0),
        sample("ours", 1, 12.0),
        sample("uvicorn", 1, 18.0),
        sample("granian", 0, None, "no pip & no <wheel>"),
    ]


def test_the_report_has_ratios_versions_and_what_went_wrong(measured: list[Sample]) -> None:
    about = {
        "checkout": "abc",
        "python": "3.13.0",
        "machine": "two CPUs",
        "command": "python -m tests.benchmarks",
        "versions": {"uvicorn": {"uvicorn": "0.54.0"}, "granian": "no pip", "node": {}},
    }

    text = publishing.markdown(measured, [PLAINTEXT], "ours", about)

    assert "| uvicorn | 19.0 | 18.0-20.0 | 1.75 | 1.50-2.00 |" in text
    assert "- uvicorn: uvicorn 0.54.0" in text
    assert "- granian: no pip & no <wheel>" in text


def test_the_report_shows_tails_where_they_were_taken(measured: list[Sample]) -> None:
    shown = ["p50 ms", "p99 ms", "max ms", "stall ms", "gc ms"]
    many = [
        Sample(
            server="ours", workload="many", round=number, value=1.0, p99=1.0, longest=9.0 + number
        )
        for number in range(2)
    ]
    about = {"checkout": "", "python": "", "machine": "", "command": "", "versions": {}}

    text = publishing.markdown([*measured, *many], [PLAINTEXT, WORKLOADS["many"]], "ours", about)

    heads = [line for line in text.splitlines() if line.startswith("| server")]
    assert [[name for name in shown if name in line] for line in heads] == [
        [],
        ["p99 ms", "max ms"],
    ]
    assert text.rstrip().endswith("| 1.00 | 10.00 |")  # the longest of all rounds


def test_time_is_parted_by_whose_code_runs() -> None:
    lines = [
        "    60.45%  [kernel.kallsyms]",
        "    30.00%  libpython3.13.so.1.0  ",
        "     3.75%  loop.cpython-313-x86_64-linux-gnu.so",
        "     2.50%  parser.cpython-313-x86_64-linux-gnu.so",
        "     1.50%  libc.so.6",
        "     0.50%  ld-linux-x86-64.so.2",
        "     0.25%  python3.13",
        "     0.05%  something.so",
    ]
    assert profiling.parts(lines) == pytest.approx(
        {
            "the kernel": 0.6045,
            "Python's interpreter": 0.3025,
            "uvloop": 0.0375,
            "httptools": 0.025,
            "libc": 0.02,
            "other": 0.0005,
        }
    )
    assert profiling.parts(["The perf.data file has no samples!"]) == {}


def test_functions_that_only_some_requests_call_are_no_part_of_one() -> None:
    stats: dict[tuple[str, int, str], tuple[Any, ...]] = {
        ("/srv/cycle.py", 414, "respond"): (100, 100, 3.0, 4.0, {}),
        ("~", 0, "<method 'get' of 'dict' objects>"): (250, 250, 1.0, 1.0, {}),
        ("/lib/threading.py", 953, "start"): (1, 2, 60.0, 60.0, {}),
    }
    assert profiling.functions(stats, 100) == [
        Function("cycle.py respond", 1.0, 0.75),
        Function("method 'get' of 'dict' objects", 2.5, 0.25),
    ]


def test_the_report_says_where_the_time_of_a_request_goes(measured: list[Sample]) -> None:
    about = {"checkout": "", "python": "", "machine": "", "command": "", "versions": {}}
    anatomy = Anatomy({"the kernel": 0.6, "uvloop": 0.4}, [Function("cycle.py respond", 1.0, 0.75)])

    text = publishing.markdown(measured, [PLAINTEXT], "ours", about, anatomy)

    assert "| the kernel | 60.0% | 6.60 |" in text  # of 11 µs
    assert "| cycle.py respond | 1.0 | 75.0% |" in text
    assert "perf was not installed" in publishing.markdown(
        measured, [PLAINTEXT], "ours", about, Anatomy({}, [])
    )


def test_the_picture_is_xml_with_a_bar_for_each_figure(measured: list[Sample]) -> None:
    picture = ElementTree.fromstring(publishing.picture(measured, [PLAINTEXT], "ours"))

    name = "{http://www.w3.org/2000/svg}"
    widths = [float(bar.attrib["width"]) for bar in picture.iter(f"{name}rect")][1:]
    assert widths[0] < widths[1]
    assert "19.0 (1.75)" in [text.text for text in picture.iter(f"{name}text")]


def test_what_a_server_lacks_is_named() -> None:
    assert SERVERS["node"].lacks(WORKLOADS["tls"]) == "TLS"
    assert SERVERS["floor"].lacks(WORKLOADS["heap"]) == "objects of an application"
    assert {SERVERS["ours"].lacks(workload) for workload in WORKLOADS.values()} == {""}
