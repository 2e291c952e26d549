-- What people ask for: who, what, when, and what came of it. A record that is kept like the history, and from which agents
-- are still told what to do after a crash.
--
-- A command to an agent (start, stop, restart, delete) has a deadline; everything else is done when it is recorded.
CREATE TABLE status_commands (
    -- Made by the writer, in the order of time (version 7).
    id              uuid        PRIMARY KEY,
    kind            text        NOT NULL,
    -- No foreign keys: the record outlives what it is about.
    server_id       uuid,
    toolbox_id      uuid,
    account_id      uuid,
    requested_by    text        NOT NULL,
    requested_at    timestamptz NOT NULL,
    deadline        timestamptz,
    -- A second request of the same person with the same key is the first one's echo.
    idempotency_key text,
    -- What was asked under that key: the same key for something else is a mistake.
    fingerprint     text,
    -- What was answered, to be repeated: status, body and where to look next.
    answer_status   smallint,
    answer          json,
    answer_location text,
    traceparent     text,
    -- When it was handed to the pollers.
    dispatched_at   timestamptz,
    -- When the agent said that it did as it was told.
    executed_at     timestamptz,
    finished_at     timestamptz,
    outcome         text,
    message         text,
    -- When it stopped having a say in what people see of the server.
    closed_at       timestamptz,
    CONSTRAINT status_commands_kind CHECK (kind IN ('start', 'stop', 'restart', 'delete', 'refresh', 'monitor',
        'unmonitor', 'override', 'clear_override', 'register', 'change', 'unregister')),
    CONSTRAINT status_commands_deadline CHECK (
        (deadline IS NOT NULL) = (kind IN ('start', 'stop', 'restart', 'delete'))
        AND (deadline IS NULL OR server_id IS NOT NULL AND toolbox_id IS NOT NULL)),
    CONSTRAINT status_commands_outcome CHECK (
        CASE WHEN outcome IS NULL THEN finished_at IS NULL AND closed_at IS NULL
            ELSE outcome IN ('succeeded', 'failed', 'expired', 'withdrawn') AND finished_at IS NOT NULL END),
    CONSTRAINT status_commands_idempotency CHECK ((idempotency_key IS NULL) = (fingerprint IS NULL))
);

-- One command at a time on one server; and the few that are under way, for whoever looks after them.
CREATE UNIQUE INDEX status_commands_under_way ON status_commands (server_id)
    WHERE finished_at IS NULL AND deadline IS NOT NULL;
-- Those that have a say in what people see.
CREATE INDEX status_commands_open ON status_commands (server_id, requested_at)
    WHERE closed_at IS NULL AND deadline IS NOT NULL;
CREATE UNIQUE INDEX status_commands_idempotent ON status_commands (requested_by, idempotency_key)
    WHERE idempotency_key IS NOT NULL;
CREATE INDEX status_commands_account ON status_commands (account_id, id);
CREATE INDEX status_commands_server ON status_commands (server_id, id);

SELECT status_sync_guard('status_commands');

-- An operator's word on a server, in place of what is observed, for a while.
ALTER TABLE account_tool_instances
    ADD COLUMN IF NOT EXISTS override_state   text,
    ADD COLUMN IF NOT EXISTS override_health  text,
    ADD COLUMN IF NOT EXISTS override_message text,
    ADD COLUMN IF NOT EXISTS override_until   timestamptz;

DO $$
DECLARE
    strange text;
BEGIN
    SELECT string_agg(format('%s.%s is %s, not %s', n.table_name, n.column_name, a.atttypid::regtype, n.type), '; ')
    INTO strange
    FROM (VALUES
        ('account_tool_instances', 'override_state',   'text'),
        ('account_tool_instances', 'override_health',  'text'),
        ('account_tool_instances', 'override_message', 'text'),
        ('account_tool_instances', 'override_until',   'timestamptz')
    ) AS n (table_name, column_name, type)
    JOIN pg_attribute AS a
        ON a.attrelid = n.table_name::regclass AND a.attname = n.column_name AND NOT a.attisdropped
    WHERE a.atttypid <> n.type::regtype;

    IF strange IS NOT NULL THEN
        RAISE EXCEPTION 'a column that status sync needs exists with another type: %', strange
            USING HINT = 'rename the column that is there; nothing was changed';
    END IF;

    IF NOT EXISTS (
        SELECT FROM pg_constraint
        WHERE conrelid = 'account_tool_instances'::regclass AND conname = 'status_sync_override'
    ) THEN
        ALTER TABLE account_tool_instances ADD CONSTRAINT status_sync_override CHECK (
            num_nulls(override_state, override_health, override_message, override_until) IN (0, 4)
            AND override_state IN ('running', 'stopped', 'starting', 'stopping', 'error', 'unknown')
            AND override_health IN ('healthy', 'degraded', 'unhealthy', 'unknown'));
    END IF;
END
$$;

-- Which agent of whom is connected to which server, whichever generation of the owner's schema says it. Some name the
-- server by another column, and some tell whose an agent is only in the table of agents. Looked up at each call, so that
-- the owner stays free to change his tables.
CREATE FUNCTION status_sync_connections()
    RETURNS TABLE (id uuid, agent_id uuid, account_id uuid, server_id uuid, active boolean)
    LANGUAGE plpgsql STABLE
    SET search_path FROM CURRENT
AS $$
DECLARE
    account text := 'c.user_id';
    agents  text := '';
    server  text := 'c.account_tool_instance_id';
    named   name;
BEGIN
    FOR named IN
        SELECT a.attname FROM pg_attribute AS a
        WHERE a.attrelid = 'agent_mcp_connections'::regclass AND NOT a.attisdropped AND a.atttypid = 'uuid'::regtype
            AND a.attname IN ('mcp_server_instance_id', 'mcp_server_id', 'tool_instance_id')
    LOOP
        server := format('COALESCE(%s, c.%I)', server, named);
    END LOOP;
    IF (
        SELECT count(*) = 2 FROM pg_attribute AS a
        WHERE a.attrelid = to_regclass('agents') AND NOT a.attisdropped AND a.atttypid = 'uuid'::regtype
            AND a.attname IN ('id', 'user_id')
    ) THEN
        account := 'COALESCE(c.user_id, a.user_id)';
        agents := 'LEFT JOIN agents AS a ON a.id = c.agent_id';
    END IF;
    RETURN QUERY EXECUTE format(
        'SELECT c.id, c.agent_id, %s, %s, c.is_active FROM agent_mcp_connections AS c %s
         WHERE %s IS NOT NULL AND c.agent_id IS NOT NULL AND c.is_active IS NOT NULL',
        account, server, agents, server);
END
$$;
