#!/usr/bin/env python3
"""Usage: deploy/observability/grafana/dashboards.py [--check]

Writes the Grafana dashboards beside it: JSON is for machines, and a panel is a line here. With --check it writes nothing and
fails when a file is not what it would write. That every metric and label exists is a test (crates/statusctl/tests/operating).
"""

import json
import pathlib
import sys

HERE = pathlib.Path(__file__).parent
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
RATE = "$__rate_interval"


def target(expr, legend="", **more):
    return {"datasource": SOURCE, "expr": expr, "legendFormat": legend or "__auto", "range": True, **more}


def panel(kind, title, targets, unit="short", says="", steps=None, **more):
    """A panel; `steps` are the values from which it is yellow and red."""
    thresholds = [{"color": "green", "value": None}]
    if steps:
        thresholds += [{"color": colour, "value": value} for colour, value in zip(("yellow", "red"), steps)]
    if isinstance(targets, str):
        targets = [(targets, "")]
    letters = "ABCDEFGHIJ"
    return {
        "type": kind,
        "title": title,
        "description": says,
        "datasource": SOURCE,
        "targets": [dict(target(*it), refId=letters[at]) for at, it in enumerate(targets)],
        "fieldConfig": {
            "defaults": {"unit": unit, "min": 0, "thresholds": {"mode": "absolute", "steps": thresholds}},
            "overrides": [],
        },
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}} if kind == "timeseries" else {},
        **more,
    }


def lines(title, targets, unit="short", says="", **more):
    return panel("timeseries", title, targets, unit, says, **more)


def stat(title, expr, unit="short", says="", steps=None):
    return panel("stat", title, expr, unit, says, steps)


def rate(metric, by="", where="", legend=""):
    """How often something happens a second."""
    group = f" by ({by})" if by else ""
    return (f"sum{group} (rate({metric}{where}[{RATE}]))", legend or (f"{{{{{by}}}}}" if by and "," not in by else ""))


def quantiles(metric, where=""):
    """The median and the slowest hundredth of a histogram."""
    quantile = lambda q: f"histogram_quantile({q}, sum by (le) (rate({metric}_bucket{where}[{RATE}])))"
    return [(quantile(0.5), "p50"), (quantile(0.99), "p99")]


def row(title):
    return {"type": "row", "title": title, "collapsed": False, "panels": []}


FOUR = [
    row("The four that matter"),
    stat("Knowledge age, oldest", 'status:knowledge_age_seconds:max{quantile="1"}', "s",
         "How long ago the last observed of all watched servers was observed.", (300, 900)),
    stat("Change latency, p99", "status:change_published_seconds:p99 + status:event_delivered_seconds:p99", "s",
         "From a report's arrival to the published event, and from there to whoever watches.", (1, 5)),
    stat("Sync lag", "max(status_mapper_outbox_oldest_age_seconds)", "s",
         "Age of the oldest committed change that is not published.", (5, 30)),
    stat("Found by poll, last hour", "status:found_by_poll:ratio_rate1h", "percentunit",
         "Changes that a heartbeat should have brought first.", (0.01, 0.05)),
    lines("Knowledge age", [('status:knowledge_age_seconds:max', "{{quantile}}")], "s",
          "How old what people see is. Servers that are stopped are observed every five minutes."),
    lines("Change latency", [("status:change_published_seconds:p99", "received → published, p99"),
                             ("status:event_delivered_seconds:p99", "published → delivered, p99"),
                             (quantiles("notifier_change_latency_seconds")[1][0], "observed → delivered, p99")], "s"),
    lines("Sync lag", [("status:consumer_pending:max", "{{stream}} {{consumer}}"),
                       ("max by (stream, consumer) (bus_consumer_ack_pending)", "{{stream}} {{consumer}}, under way")], "short",
          "Messages that a shared consumer has not delivered yet, and those that are not settled yet."),
    lines("Found by poll", [rate("status_mapper_changes_found_by_poll_total", legend="changes"),
                            rate("dtma_poller_polls_dead_man_total", legend="polls by the dead-man's switch")], "ops"),
]

OVERVIEW = FOUR + [
    row("What people see"),
    lines("Servers by state", [("sum by (state) (status_mapper_servers)", "{{state}}")]),
    lines("Running servers by health", [('sum by (health) (status_mapper_servers{state="running"})', "{{health}}")]),
    lines("Servers by freshness", [("status:knowledge_servers:max", "{{freshness}}")], "short",
          "overdue: we should have observed them. agent_failing: their agent does not answer as it should."),
    lines("Changes", [rate("status_mapper_changes_total", "cause")], "ops"),
    row("How we are"),
    lines("Replicas that answer", [('sum by (job) (up{job=~"dtma-poller|status-mapper|notifier|status-api"})', "{{job}}")]),
    lines("Checks that fail", [("sum by (job, check) (1 - service_ready)", "{{job}} {{check}}")]),
    stat("Observer blind", "max(status_mapper_blind)", "bool_yes_no", "", (1, 1)),
    lines("Dead letters", [("sum by (stream) (increase(bus_dead_letters_total[15m]))", "{{stream}}")]),
    row("Objectives"),
    lines("Freshness: error ratio", [("slo:knowledge_freshness:error_ratio_avg1h", "1 h"),
                                     ("slo:knowledge_freshness:error_ratio_avg3d", "3 d")], "percentunit"),
    lines("Latency: error ratio", [("slo:change_latency:error_ratio_rate1h", "{{stage}}, 1 h"),
                                   ("slo:change_latency:error_ratio_rate3d", "{{stage}}, 3 d")], "percentunit"),
    lines("Availability: error ratio", [("slo:availability:error_ratio_rate1h", "{{surface}}, 1 h"),
                                        ("slo:availability:error_ratio_rate3d", "{{surface}}, 3 d")], "percentunit"),
]


def process(job, consumes=True, hears=False):
    """What every service has; those that share a consumer take messages, and some hear requests over NATS."""
    where = f'{{job="{job}"}}'
    panels = [
        row("Process"),
        lines("CPU", [(f"rate(process_cpu_seconds_total{where}[{RATE}])", "{{instance}}")], "percentunit"),
        lines("Memory", [(f"process_resident_memory_bytes{where}", "{{instance}}")], "bytes"),
        lines("Open files", [(f"process_open_fds{where}", "{{instance}}")]),
        stat("Up for", f"time() - min(process_start_time_seconds{where})", "s"),
        row("NATS and HTTP"),
        lines("Published", [rate("bus_published_total", "stream, outcome", where, "{{stream}} {{outcome}}")], "ops"),
        consumes and lines("Consumed", [rate("bus_consumed_total", "stream, verdict", where, "{{stream}} {{verdict}}")], "ops"),
        hears and lines("Requests heard", [
            rate("bus_requests_total", "operation, outcome", where, "{{operation}} {{outcome}}")], "ops"),
        lines("Reconnections and unreadable entries", [
            rate("bus_reconnects_total", "", where, "reconnections"),
            rate("bus_undecodable_total", "stream", where, "unreadable in {{stream}}")], "ops"),
        lines("HTTP connections", [(f"sum by (instance) (http_server_connections{where})", "{{instance}}")]),
        lines("HTTP connections dropped", [rate("http_server_connections_dropped_total", "reason", where)], "ops"),
    ]
    return [it for it in panels if it]


POLLER = [
    row("Polls"),
    lines("Polls", [rate("dtma_poller_polls_total", "outcome")], "ops"),
    lines("How long agents take", quantiles("dtma_poller_poll_duration_seconds"), "s"),
    lines("Under way", [("sum(dtma_poller_polls_in_flight)", "polls"), ("sum(dtma_poller_heartbeats_in_flight)", "heartbeats"),
                        ("sum(dtma_poller_commands_in_flight)", "commands")]),
    lines("Not made", [rate("dtma_poller_polls_coalesced_total", legend="coalesced"),
                       rate("dtma_poller_due_ignored_total", "reason"),
                       rate("dtma_poller_due_undecodable_total", legend="unreadable plan")], "ops"),
    lines("Schedules", [rate("dtma_poller_schedules_total", "action, outcome", legend="{{action}} {{outcome}}")], "ops"),
    lines("Dead-man's switch", [rate("dtma_poller_polls_dead_man_total", legend="polls")], "ops",
          "Polls made because a heartbeat did not come."),
    row("Heartbeats"),
    lines("Heartbeats", [rate("dtma_poller_heartbeats_total", "code, reason", legend="{{code}} {{reason}}")], "ops"),
    lines("Reports too large", [rate("dtma_poller_reports_refused_total", "source")], "ops"),
    row("Commands"),
    lines("Commands", [rate("dtma_poller_commands_total", "action, outcome", legend="{{action}} {{outcome}}")], "ops"),
    lines("How long agents take", quantiles("dtma_poller_command_duration_seconds"), "s"),
    row("Registry"),
    lines("Known", [("max(dtma_poller_registry_toolboxes)", "toolboxes"), ("max(dtma_poller_registry_instances)", "instances"),
                    ("max(dtma_poller_registry_ambiguous_tokens)", "ambiguous tokens")]),
    lines("Values that cannot be used", [rate("dtma_poller_registry_flaws_total", "field")], "ops"),
] + process("dtma-poller")

MAPPER = [
    row("Reports and changes"),
    lines("Reports", [rate("status_mapper_reports_total", "outcome")], "ops"),
    lines("Changes", [rate("status_mapper_changes_total", "kind, cause", legend="{{kind}} {{cause}}")], "ops"),
    lines("Received → published", quantiles("status_mapper_change_latency_seconds"), "s"),
    lines("Batches", quantiles("status_mapper_batch_duration_seconds"), "s"),
    lines("Reports in a batch", quantiles("status_mapper_batch_size"), "short"),
    lines("Items ignored", [rate("status_mapper_items_ignored_total", "reason")], "ops"),
    row("Outbox and stream"),
    lines("Oldest unpublished", [("max(status_mapper_outbox_oldest_age_seconds)", "age")], "s"),
    lines("Published late or again", [rate("status_mapper_relay_late_total", legend="by the relay"),
                                      rate("status_mapper_rebuild_published_total", "kind")], "ops"),
    row("On duty"),
    lines("Brought about by time", [rate("status_mapper_sweep_changes_total", legend="changes")], "ops"),
    lines("Registry", [("max(status_mapper_registry_toolboxes)", "toolboxes"),
                       ("max(status_mapper_registry_instances)", "instances"),
                       ("max(status_mapper_registry_unusable)", "unusable")]),
    lines("Mirrored", [rate("status_mapper_mirror_writes_total", "operation")], "ops"),
    lines("Commands", [rate("status_mapper_outcomes_total", "outcome", legend="outcome {{outcome}}"),
                       rate("status_mapper_settled_total", legend="settled")], "ops"),
] + process("status-mapper", hears=True)

NOTIFIER = [
    row("Streams"),
    lines("Open streams", [("sum by (transport) (notifier_connections)", "{{transport}}")]),
    lines("Messages", [rate("notifier_messages_sent_total", "type")], "ops"),
    lines("Published → delivered", quantiles("notifier_deliver_latency_seconds"), "s"),
    lines("Observed → delivered", quantiles("notifier_change_latency_seconds"), "s"),
    lines("Most that waits for one stream", [("max by (instance) (notifier_pending)", "{{instance}}")]),
    lines("Overtaken", [rate("notifier_coalesced_total", legend="events")], "ops"),
    lines("Ended", [rate("notifier_closed_total", "reason")], "ops"),
    lines("Refused", [rate("notifier_refused_total", "reason"), rate("notifier_errors_total", "code")], "ops"),
    lines("Events taken in", [rate("live_events_total", "outcome", '{job="notifier"}'),
                              rate("live_pictures_total", "", '{job="notifier"}', "whole pictures")], "ops"),
    row("Webhooks"),
    lines("Attempts", [rate("notifier_webhooks_deliveries_total", "outcome")], "ops"),
    lines("How long attempts take", quantiles("notifier_webhooks_duration_seconds"), "s"),
    lines("Put off and given up", [rate("notifier_webhooks_retries_total", "reason"),
                                   rate("notifier_webhooks_dead_total", legend="given up"),
                                   rate("notifier_webhooks_refused_addresses_total", legend="address refused")], "ops"),
    lines("Not told", [rate("notifier_webhooks_ignored_total", "reason")], "ops"),
    lines("Left alone", [("sum(notifier_webhooks_circuits_open)", "webhooks")]),
] + process("notifier")

API = [
    row("Requests"),
    lines("Requests", [rate("http_server_request_duration_seconds_count", "http_response_status_code")], "ops"),
    lines("How long they take", quantiles("http_server_request_duration_seconds"), "s"),
    lines("Slowest routes, p99", [(
        "topk(8, histogram_quantile(0.99, sum by (le, http_request_method, http_route) "
        f"(rate(http_server_request_duration_seconds_bucket[{RATE}]))))", "{{http_request_method}} {{http_route}}")], "s"),
    lines("Turned down", [rate("status_api_denied_total", "reason")], "ops"),
    lines("Tokens", [rate("access_denied_total", "reason", '{job="status-api"}'),
                     rate("access_jwks_fetches_total", "outcome", '{job="status-api"}', "keys fetched: {{outcome}}")], "ops"),
    row("Commands"),
    lines("Commands", [rate("status_api_commands_total", "kind, outcome", legend="{{kind}} {{outcome}}")], "ops"),
    lines("Handed on late, joined", [rate("status_api_relayed_total", legend="handed on by another"),
                                     rate("status_api_refresh_joined_total", legend="refreshes joined")], "ops"),
    row("What it answers from"),
    lines("Stale answers", [rate("status_api_stale_answers_total", legend="answers")], "ops"),
    stat("Database away", "max(status_api_db_away)", "bool_yes_no", "", (1, 1)),
    lines("Events taken in", [rate("live_events_total", "outcome", '{job="status-api"}')], "ops"),
] + process("status-api", consumes=False, hears=True)


def laid_out(panels):
    """Rows over the whole width; below each its panels, four numbers or two graphs beside each other."""
    x = y = height = 0
    placed = []
    for number, it in enumerate(panels, 1):
        wide, high = {"row": (24, 1), "stat": (6, 5)}.get(it["type"], (12, 8))
        if x + wide > 24:
            x, y = 0, y + height
            height = 0
        placed.append(dict(it, id=number, gridPos={"x": x, "y": y, "w": wide, "h": high}))
        height = max(height, high)
        x += wide
    return placed


def dashboard(uid, title, panels):
    return {
        "uid": uid,
        "title": title,
        "tags": ["mcp-status-sync"],
        "timezone": "browser",
        "schemaVersion": 39,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "links": [{"type": "dashboards", "title": "mcp-status-sync", "tags": ["mcp-status-sync"], "asDropdown": True}],
        "templating": {"list": [{"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus"}]},
        "panels": laid_out(panels),
    }


DASHBOARDS = {
    "overview": dashboard("mcp-status-overview", "MCP status: overview", OVERVIEW),
    "dtma-poller": dashboard("mcp-status-poller", "MCP status: dtma-poller", POLLER),
    "status-mapper": dashboard("mcp-status-mapper", "MCP status: status-mapper", MAPPER),
    "notifier": dashboard("mcp-status-notifier", "MCP status: notifier", NOTIFIER),
    "status-api": dashboard("mcp-status-api", "MCP status: status-api", API),
}


def main(arguments):
    if arguments not in ([], ["--check"]):
        sys.exit(__doc__)
    stale = []
    for name, content in DASHBOARDS.items():
        path = HERE / f"{name}.json"
        text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
        if not arguments:
            path.write_text(text)
        elif not path.exists() or path.read_text() != text:
            stale.append(path.name)
    if stale:
        sys.exit(f"dashboards differ from {pathlib.Path(__file__).name}: {', '.join(stale)}; run it and commit what it writes")


if __name__ == "__main__":
    main(sys.argv[1:])
