-- Parameters of a session, and what its role may do.

-- name: prepare
-- Session parameters, whatever the server's and the role's defaults are. $1 application name, $2
-- deadline. Plans are made for the actual sizes each time (a batch is one big statement, planning
-- costs nothing beside it); compiling them would cost more than it saves. The indexes in question
-- are in memory: looking up a batch's keys there beats reading the table, except while it is small;
-- with this page cost the planner draws that line where measurements do. The writers are parallel
-- already, so that their queries need not be. Times are exchanged in
-- UTC. The server ends by itself what a stopped client left open, and notices early (where its
-- system can tell) that the client of a long statement is gone.
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
       set_config('DateStyle', 'ISO, YMD', false)

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
