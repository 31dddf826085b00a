"""All of Procrastinate's inner workings on which the engine rests, each with its fingerprint.

`tests/engine/test_seams.py` tells what a new version of Procrastinate has changed, and how to
accept that after a look at those of our modules that are named here.
"""

from __future__ import annotations

from typing import NamedTuple


class Seam(NamedTuple):
    """A name of Procrastinate's that we override, call, stand in for or depend on."""

    #: The start of a hash of its definition, without regard to spacing.
    fingerprint: str
    #: Our modules, and what it is to them.
    ours: str


#: By name: `module:Class.attribute` below `procrastinate`; `query:` in its queries.sql; `sql:` in
#: its schema.sql.
SEAMS = {
    # The worker's loop
    "worker:Worker.__init__": Seam("0ea05259", "worker: extends it"),
    "worker:Worker.run": Seam("1c1f21ec", "worker: replaces it"),
    "worker:Worker.stop": Seam("f040ae20", "worker: is woken by it"),
    "worker:Worker._run_loop": Seam("b684c1ac", "worker: stands in for it"),
    "worker:Worker._fetch_and_process_jobs": Seam("4de336a3", "fetcher: stands in for it"),
    "worker:Worker._start_side_tasks": Seam("f5969745", "worker: starts the same"),
    "worker:Worker._periodic_deferrer": Seam("cb9c3d54", "worker: runs it beside its jobs"),
    "worker:Worker._monitor_side_tasks": Seam("be5f5221", "beside: stands in for it"),
    "worker:Worker._shutdown": Seam("351cf288", "draining: stands in for it"),
    "worker:Worker._abort_running_jobs": Seam("9517e2b4", "worker: abort_all stands in"),
    "worker:Worker._handle_notification": Seam("cfe64572", "worker: is woken by it"),
    "worker:Worker._poll_jobs_to_abort": Seam("eb57bde6", "worker: replaces it"),
    "worker:Worker._handle_abort_jobs_requested": Seam("15fa0d1b", "worker: extends it"),
    "worker:Worker._abort_job": Seam(
        "a00f3ed9", "worker, execution: call it, and are cancelled by it"
    ),
    "worker:Worker._update_heartbeat": Seam("807ef6f2", "worker: stands in for it"),
    "worker:Worker._log_extra": Seam("9828a678", "fetched: redacts what it logs"),
    "worker:Worker._running_jobs": Seam("90bd05c2", "worker: keeps it"),
    "worker:Worker.worker_id": Seam("d7c5d610", "worker: sets it"),
    "worker:Worker.run_task": Seam("96cd71bc", "worker: sets it"),
    "worker:Worker._loop": Seam("9c94b57d", "worker: sets it, for stop()"),
    "worker:Worker._stop_event": Seam("a519e1f4", "worker: waits for it"),
    "worker:Worker._new_job_event": Seam("d6b6ba6d", "worker: sets and clears it"),
    "worker:Worker._job_ids_to_abort": Seam("601541ed", "worker: keeps it"),
    # How a job is run
    "worker:Worker._process_job": Seam("a527609c", "execution: replaces it"),
    "worker:Worker._persist_job_status": Seam("1b3e17bb", "execution, finisher: replace it"),
    "worker:Worker._log_job_outcome": Seam("1af0da2e", "attempt, outcome: replace it"),
    "worker:Worker._resolve_task_middlewares": Seam("713f1dd0", "worker: calls it"),
    "middleware:compose": Seam("5a659884", "execution, immediate: call it"),
    "tasks:Task.__call__": Seam("b5b4e340", "execution, immediate: call it"),
    "job_context:JobContext": Seam("bd5edb65", "worker, immediate: make one"),
    "retry:BaseRetryStrategy": Seam("1d50b5f2", "retry: extends it"),
    "tasks:Task.get_retry_exception": Seam("a3a8bd2b", "execution: calls it"),
    "retry:RetryDecision.__init__": Seam("7134e146", "attempt, retry: read and make it"),
    "utils:wait_any": Seam("284072b2", "worker, fetcher, draining: call it"),
    "utils:cancel_and_capture_errors": Seam("a6960363", "beside: calls it"),
    "signals:on_stop": Seam("cf89421b", "stopping: stands in for it"),
    "exceptions:ProcrastinateException": Seam("80f0d7e7", "execution: extends it"),
    # Jobs
    "jobs:Job": Seam("72227966", "fetched: extends it"),
    "jobs:JobDeferrer": Seam("a09bf56b", "manager: defers for it"),
    "manager:JobManager.__init__": Seam("af56ad58", "app: makes it anew"),
    "manager:JobManager.batch_defer_jobs": Seam("336fb148", "manager: replaces it"),
    "manager:JobManager.batch_defer_jobs_async": Seam("23f521c1", "manager: replaces it"),
    "manager:JobManager._defer_jobs_query_kwargs": Seam("e1575c75", "manager: calls it"),
    "manager:JobManager._raise_already_enqueued": Seam("aaa733b9", "manager: calls it"),
    "manager:JobManager.fetch_job": Seam("bb656089", "manager: fetch_jobs stands in"),
    "manager:JobManager.finish_job": Seam("13461f7a", "finisher: is called instead"),
    "manager:JobManager.retry_job": Seam("e6543b95", "manager: has it call what it replaces"),
    "manager:JobManager.retry_job_by_id": Seam("dfcd7e77", "manager: replaces it"),
    "manager:JobManager.retry_job_by_id_async": Seam("a6229d59", "manager: replaces it"),
    "manager:JobManager.list_jobs_to_abort_async": Seam("b8ab175e", "manager: replaces it"),
    "manager:JobManager.listen_for_jobs": Seam(
        "8c9ddc96", "worker, waking: listen by it, and write what it reads"
    ),
    "manager:JobManager.register_worker": Seam("02f60242", "presence: does more"),
    "manager:JobManager.unregister_worker": Seam("5f868071", "presence: does more"),
    "manager:JobManager.prune_stalled_workers": Seam(
        "f3c573eb", "liveness: keeps those that live from it"
    ),
    "manager:get_channel_for_queues": Seam("b009b996", "waking: notifies these"),
    # Connections
    "contrib.django.django_connector:DjangoConnector": Seam("f5c13d1a", "connectors: extends it"),
    "contrib.django.utils:connector_params": Seam("9f2ff00d", "connectors: calls it"),
    "psycopg_connector:PsycopgConnector.__init__": Seam("e3e4a7c1", "connectors: extends it"),
    "psycopg_connector:PsycopgConnector.get_sync_connector": Seam(
        "56c9b6ae", "connectors: replaces it"
    ),
    "psycopg_connector:PsycopgConnector.execute_query_async": Seam(
        "67e18ae7", "connectors: extends it"
    ),
    "psycopg_connector:PsycopgConnector.execute_query_one_async": Seam(
        "ed7700b2", "connectors: extends it"
    ),
    "psycopg_connector:PsycopgConnector.execute_query_all_async": Seam(
        "e2d1bf97", "connectors: extends it"
    ),
    "psycopg_connector:PsycopgConnector._create_pool": Seam("416cb9cd", "connectors: replaces it"),
    "psycopg_connector:PsycopgConnector._pool_factory": Seam("36694710", "connectors: calls it"),
    "psycopg_connector:PsycopgConnector._get_cursor": Seam(
        "ef0dc224", "connectors: has no transaction in it"
    ),
    "psycopg_connector:PsycopgConnector._get_standalone_connection": Seam(
        "2829f043", "connectors: listens and tries on it"
    ),
    "psycopg_connector:PsycopgConnector.listen_notify": Seam("22413acc", "connectors: replaces it"),
    "psycopg_connector:PsycopgConnector._loop_notify": Seam("8457d95e", "connectors: replaces it"),
    "psycopg_connector:PsycopgConnector._make_dynamic_query": Seam(
        "c5286b39", "connectors: calls it"
    ),
    "sync_psycopg_connector:wrap_exceptions": Seam(
        "e950941a", "contact, manager: look at the causes"
    ),
    # The app
    "app:App.__init__": Seam("838ee9b1", "app: extends it"),
    "app:App.job_manager": Seam("04600afc", "app: sets it anew"),
    "app:App._worker": Seam("a642c0e6", "app: replaces it"),
    "app:App.replace_connector": Seam("46394ce7", "app: changes its job manager in it"),
    "app:App.run_worker_async": Seam("0c827852", "app: makes its worker in it"),
    "contrib.django.db_cleanup:DjangoApp": Seam("8564a34a", "app: extends it"),
    "contrib.django.db_cleanup:with_db_cleanup": Seam("1e2bb571", "app: takes out what it put in"),
    "contrib.django.db_cleanup:close_db_connections": Seam("a5e1ab8f", "connections: replaces it"),
    "contrib.django.db_cleanup:close_db_connections_async": Seam(
        "80ccfc90", "connections: replaces it"
    ),
    "contrib.django.db_cleanup:_cleanup_before": Seam("a53f5e91", "connections: does less"),
    "contrib.django.db_cleanup:_cleanup_after": Seam("ad22b744", "connections: does less"),
    "contrib.django.apps:ProcrastinateConfig": Seam("026415a0", "apps: extends it"),
    "contrib.django.apps:create_app": Seam("999e92b7", "apps: replaces it"),
    "contrib.django.apps:get_import_paths": Seam("b095d0bc", "apps: calls it"),
    "contrib.django.procrastinate_app:ProxyApp": Seam("ca372ee9", "apps: sets its current_app"),
    "contrib.django.management.commands.procrastinate:Command": Seam(
        "9af0628d", "app: is run by it"
    ),
    # What is in the database
    "query:defer_jobs": Seam("c6e63dc7", "queries: replace it"),
    "query:fetch_job": Seam("f835132a", "queries: replace it"),
    "query:finish_job": Seam("46012253", "queries: replace it"),
    "query:retry_job": Seam("8e4ad4ef", "queries: replace it"),
    "query:list_jobs_to_abort": Seam("25a959ba", "queries: replace it"),
    "query:select_stalled_jobs_by_heartbeat": Seam("032b0d30", "rescue_jobs: finds the same jobs"),
    "sql:procrastinate_jobs": Seam(
        "a8063b7e", "fetch_jobs, finish_jobs, retry_job, rescue_jobs, liveness: read and write it"
    ),
    "sql:procrastinate_workers": Seam(
        "3822c1fe", "liveness, rescue_jobs, retry_job: read and write it"
    ),
    "sql:procrastinate_register_worker_v1": Seam("847d6352", "liveness: does more"),
    "sql:procrastinate_unregister_worker_v1": Seam("15d9267b", "liveness: does more"),
    "sql:procrastinate_update_heartbeat_v1": Seam("b8db8e95", "liveness: does more"),
    "sql:procrastinate_prune_stalled_workers_v1": Seam(
        "332a3c2d", "liveness: keeps those that live from it"
    ),
    "sql:procrastinate_events": Seam("be15aa21", "fetch_jobs, finish_jobs: read it"),
    "sql:procrastinate_job_status": Seam(
        "79ff789a", "fetch_jobs, finish_jobs, retry_job, rescue_jobs: know all of it"
    ),
    "sql:procrastinate_job_to_defer_v1": Seam("88dee82c", "waking: passes it on"),
    "sql:procrastinate_jobs_lock_idx_v1": Seam("89fc7cbd", "fetch_jobs: counts on it"),
    "sql:procrastinate_jobs_queueing_lock_idx_v1": Seam(
        "53b237aa", "finish_jobs, retry_job, rescue_jobs, manager: count on it"
    ),
    "sql:procrastinate_defer_jobs_v1": Seam("a146d24b", "waking: calls it"),
    "sql:procrastinate_fetch_job_v2": Seam("cc5c9db4", "fetch_jobs: keeps its rules"),
    "sql:procrastinate_finish_job_v1": Seam("3255c5ef", "finish_jobs: keeps its rules"),
    "sql:procrastinate_retry_job_v2": Seam("7ceb2e5f", "finish_jobs, retry_job: stand in"),
    "sql:procrastinate_jobs_notify_queue_job_inserted_v1": Seam(
        "2c4afa1c", "waking: replaces this trigger"
    ),
    "sql:procrastinate_notify_queue_job_inserted_v1": Seam("c24a55b9", "waking: says the same"),
    "sql:procrastinate_trigger_status_events_update_v1": Seam(
        "57a7c54a", "finish_jobs: read its events"
    ),
    "sql:procrastinate_trigger_function_status_events_update_v1": Seam(
        "94475d3b", "finish_jobs, retry_job: know its events"
    ),
}
