"""Writes docs/benchmarks.md from benchmarks/results: `python scripts/figures.py`; `--check` tells whether it is fresh."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from docs import table

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
PAGE = ROOT / "docs" / "benchmarks.md"
README = ROOT / "README.md"
START, END = "<!-- figures: written by scripts/figures.py -->", "<!-- end of figures -->"
NOTICE = "<!-- Written by scripts/figures.py from benchmarks/results. Measure again with `make bench`. -->\n\n"
INTRODUCTION = """\
# Figures

Every figure stands with the command that measures it again. All traffic is on loopback. Clients that are compared run in
turn, in one run, on the same machine: the ratios travel, the absolute figures do not. The machine had {cores} cores,
shared with other work, and Python {python}.

"""


def load(name: str) -> dict[str, Any]:
    """Read one result; empty when it was never measured."""
    path = RESULTS / f"{name}.json"
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return found


def percent(share: float | None) -> str:
    """Write a share."""
    return "" if share is None else f"{100 * share:.1f} %"


READINGS = {
    "S1": "bucket of a minute, full at the start",
    "S2": "bucket of a second",
    "S3": "bucket of a second, refused requests count",
}


def quota(found: dict[str, Any]) -> str:
    """Describe quota use, one table per reading."""
    parts = [
        "## Quota use\n\n"
        "A server enforces 3,000 requests and 400,000 tokens a minute exactly, 300 ms an answer. Work is bound by tokens "
        "(mixed) or by requests (short). *Used* is the share of the binding limit until the last admission, *delivered* the "
        f"share of records with an answer. {found.get('seconds', 0):.0f} s a case.\n\n"
        "    python benchmarks/quota.py\n\n"
    ]
    for reading, meaning in READINGS.items():
        cases = [case for case in found["cases"] if case["reading"] == reading]
        rows = [
            (
                case["client"] + (f", {case['note']}" if case["note"] else ""),
                case["processes"],
                case["kind"],
                percent(case["delivered"]),
                percent(case["used"]),
                f"{case['refused']:,}",
                percent(case["refused_share"]),
            )
            for case in cases
        ]
        parts.append(f"### {reading}: {meaning}\n\n")
        parts.append(table(["client", "processes", "work", "delivered", "used", "refused", "of all sent"], rows) + "\n")
    return "".join(parts)


def overhead(found: dict[str, Any]) -> str:
    """Describe CPU per record."""
    rows = [
        ("penstock, a whole flow run", found["penstock_cpu_ms"], found["penstock_records_per_second"]),
        ("openai SDK, the bare call", found["openai_sdk_cpu_ms"], found["openai_sdk_records_per_second"]),
    ]
    return (
        "## CPU per record\n\n"
        f"200 ms an answer, {found['in_flight']} in flight, same texts and questions. Penstock's figure holds everything: "
        "CSV, fingerprint, answer store, ledger, governor, validation, results on disk.\n\n"
        "    python benchmarks/overhead.py\n\n"
        + table(["client", "CPU ms per record", "records/s"], rows)
        + f"\nRatio, median of pairs: **{found['ratio']:.2f}**. Cost per record does not grow with the number of records.\n\n"
    )


def streaming(found: dict[str, Any]) -> str:
    """Describe the delay of streamed answers."""
    names = ("first_piece_ms", "piece_ms_median", "piece_ms_99", "cpu_ms_per_piece")
    rows = [
        ("penstock, the whole path of a paid call", *(found["penstock"][name] for name in names)),
        ("openai SDK, the bare call", *(found["openai_sdk"][name] for name in names)),
    ]
    return (
        "## Streaming\n\n"
        "Milliseconds, 200 pieces an answer, one every 2 ms. *First* is from the call to the first piece, with the answer "
        "looked for, a permit, and the money put aside on disk; *delay* from the server's socket to the reader.\n\n"
        "    python benchmarks/streaming.py\n\n"
        + table(["client", "first", "delay, median", "delay, 99 of 100", "CPU per piece"], rows)
        + "\n"
    )


def single(found: dict[str, Any]) -> str:
    """Describe what one operation adds to the vendor's time."""
    rows = [
        ("penstock, the whole path of a paid call", found["milliseconds"]["penstock"], found["added_ms"]["penstock"]),
        ("openai SDK, the bare call", found["milliseconds"]["openai_sdk"], found["added_ms"]["openai_sdk"]),
        ("the bare request", found["milliseconds"]["bare"], 0),
    ]
    return (
        "## One operation\n\n"
        f"Milliseconds, one call after the other, the vendor answering after {found['latency_ms']:.0f}. Penstock's calls are "
        "reserved, settled and kept on disk.\n\n"
        "    python benchmarks/single.py\n\n" + table(["client", "a call", "added"], rows) + "\n"
    )


def embeddings(found: dict[str, Any]) -> str:
    """Describe the planner of embeddings by itself and with everything behind it."""
    planner, whole = found["planner"], found["whole"]

    def row(name: str, one: dict[str, Any]) -> tuple[object, ...]:
        return name, f"{one['texts']:,}", f"{one['texts_per_cpu_second']:,}", f"{one['peak_mib']} MiB"

    ours, theirs = (max(one["peak_mib"] for one in planner["rounds"][name]) for name in ("penstock", "openai_sdk"))
    rows = [
        (
            "penstock, planner and decoding",
            f"{found['texts']:,}",
            f"{planner['penstock_texts_per_cpu_second']:,}",
            f"{ours} MiB",
        ),
        (
            "openai SDK with numpy, the same bodies",
            f"{planner['rounds']['openai_sdk'][0]['texts']:,}",
            f"{planner['openai_sdk_texts_per_cpu_second']:,}",
            f"{theirs} MiB",
        ),
        row("penstock over HTTP, each vector held in SQLite with full sync", whole["first"]),
        row("penstock, the same texts again: all held", whole["all_held"]),
        row("openai SDK over HTTP, nothing held", whole["openai_sdk"]),
    ]
    return (
        "## Embeddings\n\n"
        f"Short texts to vectors of 1,536 float32 numbers. The first two rows answer each call with a prebuilt body: no "
        f"server and no disk count (ratio {planner['ratio']:.1f}). A held vector takes "
        f"{whole['store_bytes_per_text']:,} bytes in the store.\n\n"
        "    python benchmarks/embeddings.py\n\n"
        + table(["client", "texts", "texts per second of CPU", "peak memory"], rows)
        + "\n"
    )


def segments(found: dict[str, Any]) -> str:
    """Describe the search for segments beside scikit-learn."""

    def row(name: str, rounds: list[dict[str, Any]]) -> tuple[object, ...]:
        one = sorted(rounds, key=lambda each: each["seconds"])[len(rounds) // 2]
        return name, f"{one['seconds']:.1f} s", f"{one['cpu_seconds']:.1f} s", f"{one['extra_mib']:,.0f} MiB"

    rows = [
        row("penstock", found["penstock"]),
        row("scikit-learn, KMeans", found["scikit_learn"]),
        row("scikit-learn, MiniBatchKMeans", [found["scikit_learn_minibatch"]]),
    ]
    return (
        "## Segments\n\n"
        f"{found['what']}; extra memory is the peak beyond the vectors. Inertia lies "
        f"{found['inertia_over_scikit_learn']:+.1%} from scikit-learn's, {found['inertia_over_best_of_restarts']:+.1%} from "
        f"the best of its restarts. After a quarter more customers {percent(found['kept_after_a_quarter_more'])} stay where "
        "they were.\n\n"
        "    python benchmarks/segments.py\n\n" + table(["way", "time", "CPU", "extra memory"], rows) + "\n"
    )


def replay(found: dict[str, Any]) -> str:
    """Describe replay and kill."""
    again, killed = found["replay"], found["kill"]
    path = found["path"]
    return (
        "## Replay and kill\n\n    python benchmarks/replay.py\n\n"
        + table(
            ["what", "records", "records/s", "CPU µs per record"],
            [
                (
                    "the paid-call path answers from the store",
                    f"{path['records']:,}",
                    f"{path['records_per_second']:,}",
                    path["cpu_us_per_record"],
                ),
                (
                    "a whole flow whose answers are all held",
                    f"{again['records']:,}",
                    f"{again['records_per_second']:,}",
                    again["cpu_us_per_record"],
                ),
                (
                    "a whole flow in which nothing changed",
                    f"{again['records']:,}",
                    f"{again['unchanged_per_second']:,}",
                    again["unchanged_cpu_us_per_record"],
                ),
            ],
        )
        + f"\nA run over {killed['records']:,} texts was killed with SIGKILL when {killed['billed_at_kill']:,} calls were "
        f"billed, {killed['in_flight']} in flight, and ended by the same command. Bought twice: "
        f"**{killed['bought_twice']}** (the calls in flight are the bound).\n\n"
    )


def memory(found: dict[str, Any]) -> str:
    """Describe memory and speed by size."""
    rows = [
        (
            f"{one['records']:,}",
            one["first"]["peak_mib"],
            one["first"]["cpu_ms_per_record"],
            one["first"]["seconds"],
            one["unchanged"]["peak_mib"],
            one["unchanged"]["cpu_ms_per_record"],
            one["unchanged"]["seconds"],
            one["store_bytes_per_record"],
        )
        for one in found["sizes"]
    ]
    return (
        "## Memory and a million records\n\n"
        "CSV in, each text judged, three records summarised per contact, CSV out; the server answers at once. Then the same "
        "command again, with nothing changed.\n\n    python benchmarks/memory.py\n\n"
        + table(
            [
                "records",
                "peak MiB",
                "CPU ms/record",
                "seconds",
                "again: peak MiB",
                "CPU ms/record",
                "seconds",
                "store B/record",
            ],
            rows,
        )
        + "\n"
    )


def estimate(found: dict[str, Any]) -> str:
    """Describe plans against costs."""
    rows = [
        (
            run["model"],
            "vendor's ranks" if run["counting"] == "ranks" else "characters",
            f"{run['calls']:,}",
            f"${run['planned_usd']:.4f}",
            f"${run['cost_usd']:.4f}",
            f"{run['error_percent']:+.1f} %",
        )
        for run in found["runs"]
    ]
    return (
        "## What `plan` says, and what the run cost\n\n"
        f"First run on texts never seen ({found['texts']}); after it, usage corrects the estimate. Tokens are counted with "
        "the extra `tokens`, or estimated from characters without it.\n\n    python benchmarks/estimate.py --texts FILE\n\n"
        + table(["model", "counted by", "calls", "planned", "cost", "error"], rows)
        + "\n"
    )


def evaluation(found: dict[str, Any]) -> str:
    """Describe agreement with people."""
    rows = []
    for one in found["files"]:
        for name, label in (("offline", "offline scorer"), ("sandbox_path", "whole path, sandbox's lexicon")):
            report = one[name]
            flips = report.get("flips")
            rows.append(
                (
                    one["texts"].removesuffix("_GroundTruth.txt"),
                    label,
                    f"{report['judged']:,} of {report['examples']:,}",
                    f"{report['accuracy']:.3f}",
                    f"{report['macro_f1']:.3f}",
                    f"{report['pearson']:.3f}",
                    f"{flips['flipped']} of {flips['tried']}" if flips else "",
                )
            )
    return (
        "## Agreement with human ratings\n\n"
        "Texts rated by about 20 people each (Hutto & Gilbert 2014, MIT licence; they come with the source distribution of "
        "vaderSentiment 3.3.2). Neither row says how well a model judges: run "
        "`penstock evaluate sentiment FILE --by model` with a key. *Flipped*: negative texts that an injected order turned positive.\n\n"
        "    python benchmarks/evaluation.py FILE…\n\n"
        + table(["texts", "judged by", "judged", "accuracy", "macro F1", "Pearson r", "flipped"], rows)
        + "\n"
    )


def conversions(found: dict[str, Any]) -> str:
    """Describe the CPU of an event, from a file to batches of bytes."""
    rows = []
    for one in found["sizes"]:
        us = one["cpu_us_per_event"]
        rows.append(
            (
                f"{one['events']:,}",
                us["floor"],
                us["penstock"],
                f"{one['penstock_times_floor']:.2f}",
                us.get("plain", ""),
                us.get("kit", ""),
                one["penstock_peak_mb"],
            )
        )
    return (
        "## Conversion events: from a file to batches of bytes\n\n"
        "JSON lines of 800 bytes, each of another customer, mapped, normalised, hashed, checked and encoded. CPU µs per event. "
        "The *floor* decodes, makes the same five SHA-256 and encodes, and checks nothing. The *plain loop* is pydantic, hashlib "
        "and json; the *mapping kit* is Segment's, under Node. Neither of them refuses a wrong phone number.\n\n"
        "    python benchmarks/conversions.py --kit FOLDER\n\n"
        + table(
            ["events", "floor", "penstock", "times the floor", "plain loop", "mapping kit", "penstock peak MiB"], rows
        )
        + "\nCost per event and memory do not grow with the number of events.\n\n"
    )


WAYS = {
    "floor nothing": "floor: the same framework, nothing done",
    "floor insert": "floor: the body put into SQLite unread, one commit",
    "penstock": "penstock, delivery included",
    "penstock, vendor down": "penstock while the vendor is down",
}


def conversions_http(found: dict[str, Any]) -> str:
    """Describe events that are acknowledged over HTTP."""
    rows = [
        (
            size["events_per_request"],
            WAYS[name],
            one["cpu_us_per_event"],
            f"{one['times_insert']:.2f}",
            f"{one['events_per_second']:,}",
            one.get("fsyncs_per_1000_events", ""),
        )
        for size in found["sizes"]
        for name, one in size["ways"].items()
    ]
    return (
        "## Conversion events over HTTP\n\n"
        "Events of 1 KB over 64 connections from another process, each acknowledged when it is on disk. CPU µs of the serving "
        "process per event. *Times insert* compares with the floor that commits each body by itself, unread: with arrays it never "
        "sees the single events. Group commit needs far fewer fsyncs (counted in a short run, with those of the start).\n\n    python benchmarks/conversions_http.py\n\n"
        + table(
            ["events a request", "server", "CPU µs per event", "times insert", "events/s", "fsyncs per 1,000 events"],
            rows,
        )
        + "\n"
    )


def conversions_pipeline(found: dict[str, Any]) -> str:
    """Describe acceptance and drain by size."""
    rows = [
        (
            f"{run['events']:,}",
            run["what"],
            f"{run['per_second']:,}",
            run["cpu_us_per_event"],
            run["requests"] or "",
            run["peak_mib"],
        )
        for run in found["runs"]
    ]
    return (
        "## Conversion events: to disk and to the vendor\n\n"
        "In the process itself: accepted from mapped records to receipts on disk, and drained to the sandbox over loopback, also "
        "with one event in 1,000 that it refuses.\n\n    python benchmarks/conversions_pipeline.py\n\n"
        + table(["events", "what", "events/s", "CPU µs per event", "requests", "peak MiB"], rows)
        + "\n"
    )


def lifetime(found: dict[str, Any]) -> str:
    """Describe the fit of customer value beside lifetimes, and the way from orders to predictions."""
    fit, orders = found["fit"], found["orders"]
    rows = [
        ("penstock", f"{fit['seconds']:.2f} s"),
        ("lifetimes", f"{fit['lifetimes_seconds']:.2f} s"),
    ]
    return (
        "## Predictions\n\n"
        f"BG/NBD over {fit['customers']:,} customers. Both find the same optimum, parameters to "
        f"{fit['largest_relative_difference']:.0e}; {fit['times_faster']:.0f} times as fast, {fit['times_less_cpu']:.0f} times less CPU.\n\n"
        "    python benchmarks/lifetime.py\n\n"
        + table(["fit", "time"], rows)
        + f"\nFrom {orders['orders']:,} orders to predictions of {orders['customers']:,} customers, checks of the log and "
        f"holdout included: {orders['cpu']:.2f} s of CPU, {orders['times_the_floor_cpu']:.1f} times that of one aggregation "
        "of the same file in DuckDB.\n\n"
    )


BREVO_RUNS = ("all new", "nothing new, own writes met once more", "1 % changed", "nothing new")


def brevo(found: dict[str, Any]) -> str:
    """Describe a sync with Brevo: calls, time of the account, CPU, memory, and the SDK beside it."""
    limited, least = found["limited"], found["limited"]["contacts"] // 1000 + found["limited"]["contacts"] // 50_000
    first = limited["runs"][0]["calls"]
    runs = [
        (
            name,
            f"{run['calls']:,}",
            percent(run["calls"] / first),
            f"{run['written']:,}",
            f"{run['account_seconds'] / 60:.0f}",
            f"{run['cpu_seconds']:.0f}",
            run["peak_mib"],
        )
        for name, run in zip(BREVO_RUNS, limited["runs"], strict=True)
    ]
    sizes = [
        (f"{one['contacts']:,}", one["runs"][0]["cpu_us_per_contact"], one["runs"][0]["peak_mib"])
        for one in found["free"]
    ]
    sizes.append(
        (f"{limited['contacts']:,}, with limits", limited["runs"][0]["cpu_us_per_contact"], first_peak(limited))
    )
    rows = [
        (
            one["way"],
            f"{one['calls']:,}",
            one["cpu_us_per_contact"],
            one["peak_mib"],
            f"{at_limits(one, limited):.1f}",
        )
        for one in found["beside"]
    ]
    return (
        "## A million Brevo contacts\n\n"
        "A flow reads all contacts, judges one attribute here and writes another one back, against the emulated account with "
        "the limits of a general plan (ten calls a second; minutes are those of the account's clock, which jumps over waits, and over more than that on a busy machine). "
        f"The least possible is {least:,} calls: {limited['contacts'] // 1000:,} pages and {limited['contacts'] // 50_000} "
        f"imports. The first run needs {first / least:.1f} times that: who is there is looked up before an import, "
        "which would create the others, and who left meanwhile is looked for all the while.\n\n"
        "    python benchmarks/brevo_sync.py\n\n"
        + table(["run", "calls", "of the first", "written", "minutes", "CPU s", "peak MiB"], runs)
        + "\nBy size, first run, all included (store, ledger, read-back):\n\n"
        + table(["contacts", "CPU µs/contact", "peak MiB"], sizes)
        + f"\nBeside the official SDK in the obvious way, {found['beside'][0]['contacts']:,} contacts without limits. It keeps no "
        "ledger, reads nothing back, and asks nobody whether a contact is gone or objects. *Hours*, measured for penstock, are what a million would "
        "take at ten calls a second, and at 100 an hour for imports and their polls.\n\n"
        + table(["way", "calls", "CPU µs/contact", "peak MiB", "hours for a million"], rows)
        + "\n"
    )


def first_peak(found: dict[str, Any]) -> float:
    """Return the largest memory of the first run."""
    return float(found["runs"][0]["peak_mib"])


def at_limits(one: dict[str, Any], limited: dict[str, Any]) -> float:
    """Return the hours of a large run at the limits: as measured, or from the calls of a small one."""
    if one["way"] == "penstock":
        return float(limited["runs"][0]["account_seconds"]) / 3600
    slow = sum(count for name, count in one["by_operation"].items() if name.startswith(("account", "processes")))
    scale = limited["contacts"] / one["contacts"]
    return ((one["calls"] - slow) * scale / 10 / 3600) + slow * scale / 100


SECTIONS = {
    "quota": quota,
    "overhead": overhead,
    "single": single,
    "streaming": streaming,
    "embeddings": embeddings,
    "segments": segments,
    "lifetime": lifetime,
    "brevo": brevo,
    "replay": replay,
    "memory": memory,
    "estimate": estimate,
    "evaluation": evaluation,
    "conversions": conversions,
    "conversions_http": conversions_http,
    "conversions_pipeline": conversions_pipeline,
}


def write() -> str:
    """Return the page."""
    results = {name: load(name) for name in SECTIONS}
    machine = next((result["machine"] for result in results.values() if result), {"cores": "?", "python": "?"})
    body = "".join(make(results[name]) for name, make in SECTIONS.items() if results[name])
    return NOTICE + INTRODUCTION.format(**machine) + body.rstrip() + "\n"


def summary() -> str:
    """Return the table of the README."""
    quota_cases = load("quota")["cases"]
    ours = [case for case in quota_cases if case["client"] == "penstock"]
    strict = {case["client"]: case for case in quota_cases if (case["reading"], case["kind"]) == ("S2", "mixed")}
    peers = ", ".join(
        f"{name} {100 * strict[client]['delivered']:.0f} %"
        for name, client in (
            ("openai SDK with 10 retries", "openai-sdk"),
            ("LiteLLM Router", "litellm-router"),
            ("LangChain's limiter", "langchain-limiter"),
            ("curator", "curator"),
        )
    )
    work, again, sizes = load("overhead"), load("replay"), load("memory")["sizes"]
    large = sizes[-1]
    runs, fit = load("estimate")["runs"], load("lifetime")["fit"]
    used = [100 * case["used"] for case in ours]
    rows = [
        (
            f"quota used, {len(ours)} cases on an exact server: three readings of the limit, estimates 15 % off, 1 to 4 processes",
            f"{min(used):.1f}–{max(used):.1f} %, {sum(case['refused'] for case in ours)} refused, none lost",
            "quota.py",
        ),
        ("records delivered by others there (buckets of a second)", peers, "quota.py"),
        (
            f"CPU per record, everything included, {work['in_flight']} in flight at 200 ms",
            f"{work['penstock_cpu_ms']:.2f} ms; bare openai SDK {work['openai_sdk_cpu_ms']:.2f} ms; ratio {work['ratio']:.2f}",
            "overhead.py",
        ),
        (
            "held answers found, checked and read; a flow in which nothing changed",
            f"{again['path']['records_per_second']:,}/s; {again['replay']['unchanged_per_second']:,}/s",
            "replay.py",
        ),
        (
            f"killed at the half with {again['kill']['in_flight']} in flight: calls bought twice",
            again["kill"]["bought_twice"],
            "replay.py",
        ),
        (
            f"{large['records']:,} records: time, peak memory (at {sizes[0]['records']:,} records)",
            f"{large['first']['seconds']:.0f} s, {large['first']['peak_mib']:.0f} MiB ({sizes[0]['first']['peak_mib']:.0f} MiB)",
            "memory.py",
        ),
        (
            f"BG/NBD over {fit['customers']:,} customers, the optimum of lifetimes to {fit['largest_relative_difference']:.0e}",
            f"{fit['seconds']:.2f} s; lifetimes {fit['lifetimes_seconds']:.1f} s; {fit['times_faster']:.0f} times as fast",
            "lifetime.py",
        ),
        (
            "plan against cost on texts never seen, two models, with and without exact token counts",
            f"{min(run['error_percent'] for run in runs):+.1f} to {max(run['error_percent'] for run in runs):+.1f} %",
            "estimate.py",
        ),
    ]
    return table(["what", "measured", "`python benchmarks/…`"], rows)


def with_summary(text: str) -> str:
    """Put the table between its marks in the README."""
    before, _, rest = text.partition(START)
    _, _, after = rest.partition(END)
    return f"{before}{START}\n{summary()}{END}{after}"


def main() -> None:
    """Write the page and the README's table, or tell whether they are stale."""
    files = {PAGE: write(), README: with_summary(README.read_text(encoding="utf-8"))}
    for path, text in files.items():
        if "--check" not in sys.argv:
            path.write_text(text, encoding="utf-8")
        elif not path.is_file() or path.read_text(encoding="utf-8") != text:
            sys.exit(f"{path.name} is stale: run `make docs`")


if __name__ == "__main__":
    main()
