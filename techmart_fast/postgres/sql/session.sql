-- Parameters of a session, and what its role may do.

-- name: prepare
-- Session parameters, whatever the server's and the role's defaults are. $1 application name, $2
-- deadline. Plans are made for the actual sizes each time (a batch is one big statement, planning
-- costs nothing beside it); compiling them would cost more than it saves. The indexes in question
-- are in memory: looking up a batch's keys there beats reading the table, except while it is small;
-- with this page cost the planner draws that line where measurements do. The writers are parallel
-- already, so that their queries need not be. Times are exchanged in
-- UTC. The server ends by itself what a stopped client left open, and notices early (where its
-- system can tell) that the client of a long statement is gone, and after a minute and a half that
-- the machine of a silent one is. Result: when this backend started, which with its process id
-- names it for good.
SELECT set_config('application_name', $1, false),
       set_config('statement_timeout', $2, false),
       set_config('idle_in_transaction_session_timeout', $2, false),
       CASE WHEN version() LIKE '%linux%'
            THEN set_config('client_connection_check_interval', '5s', false) END,
       set_config('jit', 'off', false),
       set_config('plan_cache_mode', 'force_custom_plan', false),
       set_config('random_page_cost', '0.5', false),
       set_config('max_parallel_workers_per_gather', '0', false),
       set_config('work_mem', '64MB', false),
       set_config('search_path', 'public', false),
       set_config('TimeZone', 'UTC', false),
       set_config('DateStyle', 'ISO, YMD', false),
       set_config('tcp_keepalives_idle', '60', false),
       set_config('tcp_keepalives_interval', '10', false),
       set_config('tcp_keepalives_count', '3', false),
       (SELECT backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()) AS started

-- name: end_lost
-- Ends the server's side of a connection that this one replaces: it may not know that its client is
-- gone, and keep locks. $1 its process id, $2 when it started.
SELECT pg_terminate_backend(pid) AS ended
FROM pg_stat_activity
WHERE pid = $1 AND backend_start = $2 AND usename = session_user

-- name: may_skip_triggers
-- Turns the foreign keys' triggers off for the transaction that this runs in. Fails where the role
-- may not: it must be a superuser, or be granted SET on this parameter (PostgreSQL 15 and later).
SET LOCAL session_replication_role = replica

-- name: snapshot
-- A transaction that sees one state of the database. It may wait for the warehouse in between, and
-- reads tables as a whole, so that it is the one place where parallel workers help.
BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY;
SET LOCAL idle_in_transaction_session_timeout = '2h';
SET LOCAL max_parallel_workers_per_gather = 2
