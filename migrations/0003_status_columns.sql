-- What this system keeps in the owner's rows: per toolbox whether its agent answers, per server the facts last
-- observed, the view last announced, and the intent.
--
-- The counter of announced changes is `status_version` in both tables: the owner's instances have a `version` of their
-- own, the version of the tool.

ALTER TABLE account_tool_environments
    ADD COLUMN IF NOT EXISTS dtma_base_url     text,
    ADD COLUMN IF NOT EXISTS agent_status      text   NOT NULL DEFAULT 'unseen',
    ADD COLUMN IF NOT EXISTS agent_problem     jsonb,
    ADD COLUMN IF NOT EXISTS as_of             timestamptz,
    ADD COLUMN IF NOT EXISTS as_of_seq         bigint,
    ADD COLUMN IF NOT EXISTS whole_as_of       timestamptz,
    ADD COLUMN IF NOT EXISTS whole_as_of_seq   bigint,
    ADD COLUMN IF NOT EXISTS expected_by       timestamptz,
    ADD COLUMN IF NOT EXISTS status_version    bigint NOT NULL DEFAULT 0,
    ADD COLUMN IF NOT EXISTS status_changed_at timestamptz;

ALTER TABLE account_tool_instances
    ADD COLUMN IF NOT EXISTS desired_state     text,
    ADD COLUMN IF NOT EXISTS monitored         boolean NOT NULL DEFAULT true,
    ADD COLUMN IF NOT EXISTS as_of             timestamptz,
    ADD COLUMN IF NOT EXISTS as_of_seq         bigint,
    ADD COLUMN IF NOT EXISTS observed_status   text,
    ADD COLUMN IF NOT EXISTS observed_since    timestamptz,
    ADD COLUMN IF NOT EXISTS observed_detail   jsonb,
    ADD COLUMN IF NOT EXISTS container_id      text,
    ADD COLUMN IF NOT EXISTS last_started_at   timestamptz,
    ADD COLUMN IF NOT EXISTS mcp_state         text    NOT NULL DEFAULT 'unknown',
    ADD COLUMN IF NOT EXISTS health            text    NOT NULL DEFAULT 'unknown',
    ADD COLUMN IF NOT EXISTS last_error        jsonb,
    ADD COLUMN IF NOT EXISTS status_version    bigint  NOT NULL DEFAULT 0,
    ADD COLUMN IF NOT EXISTS status_changed_at timestamptz;

-- IF NOT EXISTS passes over a column of the same name and another meaning. Better no start than a wrong one.
DO $$
DECLARE
    strange text;
BEGIN
    SELECT string_agg(format('%s.%s is %s, not %s', n.table_name, n.column_name, a.atttypid::regtype, n.type), '; ')
    INTO strange
    FROM (VALUES
        ('account_tool_environments', 'id',                          'uuid'),
        ('account_tool_environments', 'user_id',                     'uuid'),
        ('account_tool_environments', 'dtma_base_url',               'text'),
        ('account_tool_environments', 'agent_status',                'text'),
        ('account_tool_environments', 'agent_problem',               'jsonb'),
        ('account_tool_environments', 'as_of',                       'timestamptz'),
        ('account_tool_environments', 'as_of_seq',                   'bigint'),
        ('account_tool_environments', 'whole_as_of',                 'timestamptz'),
        ('account_tool_environments', 'whole_as_of_seq',             'bigint'),
        ('account_tool_environments', 'expected_by',                 'timestamptz'),
        ('account_tool_environments', 'status_version',              'bigint'),
        ('account_tool_environments', 'status_changed_at',           'timestamptz'),
        ('account_tool_instances',    'id',                          'uuid'),
        ('account_tool_instances',    'account_tool_environment_id', 'uuid'),
        ('account_tool_instances',    'desired_state',               'text'),
        ('account_tool_instances',    'monitored',                   'boolean'),
        ('account_tool_instances',    'as_of',                       'timestamptz'),
        ('account_tool_instances',    'as_of_seq',                   'bigint'),
        ('account_tool_instances',    'observed_status',             'text'),
        ('account_tool_instances',    'observed_since',              'timestamptz'),
        ('account_tool_instances',    'observed_detail',             'jsonb'),
        ('account_tool_instances',    'container_id',                'text'),
        ('account_tool_instances',    'last_started_at',             'timestamptz'),
        ('account_tool_instances',    'mcp_state',                   'text'),
        ('account_tool_instances',    'health',                      'text'),
        ('account_tool_instances',    'last_error',                  'jsonb'),
        ('account_tool_instances',    'status_version',              'bigint'),
        ('account_tool_instances',    'status_changed_at',           'timestamptz'),
        ('agent_mcp_connections',     'user_id',                     'uuid'),
        ('agent_mcp_connections',     'account_tool_instance_id',    'uuid'),
        ('agent_mcp_connections',     'is_active',                   'boolean')
    ) AS n (table_name, column_name, type)
    JOIN pg_attribute AS a
        ON a.attrelid = n.table_name::regclass AND a.attname = n.column_name AND NOT a.attisdropped
    WHERE a.atttypid <> n.type::regtype;

    IF strange IS NOT NULL THEN
        RAISE EXCEPTION 'a column that status sync needs exists with another type: %', strange
            USING HINT = 'rename the column that is there; nothing was changed';
    END IF;
END
$$;

-- The labels of our own columns. (The two label columns of the owner take what he puts there.)
DO $$
DECLARE
    rule record;
BEGIN
    FOR rule IN
        SELECT * FROM (VALUES
            ('account_tool_environments', 'status_sync_agent_status',
                $c$agent_status IN ('unseen', 'active', 'unresponsive')$c$),
            ('account_tool_environments', 'status_sync_toolbox_version',
                $c$status_version >= 0$c$),
            ('account_tool_environments', 'status_sync_toolbox_as_of',
                $c$(as_of IS NULL) = (as_of_seq IS NULL) AND (whole_as_of IS NULL) = (whole_as_of_seq IS NULL)$c$),
            ('account_tool_instances', 'status_sync_desired_state',
                $c$desired_state IN ('running', 'stopped')$c$),
            ('account_tool_instances', 'status_sync_mcp_state',
                $c$mcp_state IN ('running', 'stopped', 'starting', 'stopping', 'error', 'unknown')$c$),
            ('account_tool_instances', 'status_sync_health',
                $c$health IN ('healthy', 'degraded', 'unhealthy', 'unknown')$c$),
            ('account_tool_instances', 'status_sync_observed_status',
                $c$observed_status IN ('running', 'exited', 'starting', 'stopping', 'error', 'unknown')$c$),
            ('account_tool_instances', 'status_sync_observed',
                $c$(observed_status IS NULL) = (observed_since IS NULL)$c$),
            ('account_tool_instances', 'status_sync_version',
                $c$status_version >= 0$c$),
            ('account_tool_instances', 'status_sync_as_of',
                $c$(as_of IS NULL) = (as_of_seq IS NULL)$c$)
        ) AS r (table_name, name, expression)
        WHERE NOT EXISTS (
            SELECT FROM pg_constraint AS k WHERE k.conrelid = r.table_name::regclass AND k.conname = r.name
        )
    LOOP
        EXECUTE format('ALTER TABLE %s ADD CONSTRAINT %I CHECK (%s)',
            rule.table_name::regclass, rule.name, rule.expression);
    END LOOP;
END
$$;

-- Every report rewrites its rows. Pages kept half empty let the new version stay beside the old one, so that no index
-- has to be touched; for the same reason none of the columns above has an index.
ALTER TABLE account_tool_instances SET (fillfactor = 50);
