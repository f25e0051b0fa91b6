"""The public methods of a scheduler: what completion offers."""

from __future__ import annotations

from gsched import GeventScheduler

LIFECYCLE = {
    *("close", "configure", "embedded", "embedded_mongodb", "join", "pause", "resume", "run_forever", "shutdown"),
    *("start", "wakeup"),
}
STATUS = {"health", "running", "state", "status"}
COMPONENTS = {
    *("add_executor", "add_jobstore", "add_listener", "remove_executor", "remove_jobstore", "remove_listener"),
    *("admin", "clock", "executors", "name", "stores", "timezone"),
}
JOBS = {
    *("add_job", "add_jobs", "scheduled_job", "get_job", "get_jobs", "iter_jobs", "print_jobs"),
    *("modify_job", "reschedule_job", "remove_job", "remove_all_jobs"),
    *("pause_job", "pause_jobs", "resume_job", "resume_jobs", "respread"),
    *("export_jobs", "import_jobs"),
}
GROUPS = {"set_limit", "get_limits", "remove_limit", "pause_group", "resume_group"}
RUNS = {"cancel_run", "cancel_runs", "explain", "get_counters", "get_output", "get_running", "get_runs"} | {
    *("retry_runs", "run_job"),
}
ADMIN = {
    "get_groups",
    *("backup_store", "count_runs", "diagnose", "diagnose_stores", "drain_node", "follow", "get_nodes"),
    *("get_notifiers", "get_overdue", "get_overview", "get_statistics", "ping_store", "prepare_store", "purge_runs"),
    *("audit", "change_many", "count", "error_groups", "find", "instants", "load", "rates", "record_audit", "rows"),
    *("request_cancel", "runs", "tags"),
}


def public(thing: object) -> set[str]:
    return {name for name in dir(thing) if not name.startswith("_")}


def test_a_scheduler_offers_these_methods_and_no_others():
    assert public(GeventScheduler()) == LIFECYCLE | STATUS | COMPONENTS | JOBS | GROUPS | RUNS


def test_the_admin_of_a_scheduler_offers_these_methods_and_no_others():
    assert public(GeventScheduler().admin) == ADMIN
