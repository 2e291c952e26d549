-- The tables of the application that owns the data, as far as this system reads or writes them.
--
-- In its own database they exist, with more columns, triggers, policies and constraints than stand here: everything
-- that is there stays as it is, and only a missing column is added. In an empty database they are created.
--
-- Rules for every migration: it only adds, it can meet any older state of the owner's schema, and whatever it creates
-- is called status_sync_… or status_changes…, so that it cannot be taken for the owner's.

-- Supabase serves every table of this schema to its browser roles `anon` and `authenticated` unless row security says
-- otherwise. What we create holds tokens and other people's events, so it is closed to them; the owner may add policies.
-- Elsewhere these roles do not exist and nothing happens.
CREATE FUNCTION status_sync_guard(target regclass) RETURNS void
    LANGUAGE plpgsql
    SET search_path FROM CURRENT
AS $$
DECLARE
    browser name;
BEGIN
    FOR browser IN SELECT rolname FROM pg_roles WHERE rolname IN ('anon', 'authenticated') LOOP
        EXECUTE format('REVOKE ALL ON TABLE %s FROM %I', target, browser);
        EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', target);
    END LOOP;
END
$$;

DO $$
BEGIN
    -- Asked for by the search path and not by IF NOT EXISTS, which would look into one schema only and put a second,
    -- empty table before the owner's.
    IF to_regclass('account_tool_environments') IS NULL THEN
        CREATE TABLE account_tool_environments (
            id                       uuid        PRIMARY KEY DEFAULT gen_random_uuid(),
            user_id                  uuid        NOT NULL,
            name                     text,
            public_ip_address        text,
            -- A heartbeat's token names the toolbox, so two must not share one.
            dtma_bearer_token        text        UNIQUE,
            status                   text        NOT NULL DEFAULT 'awaiting_heartbeat',
            last_heartbeat_at        timestamptz,
            dtma_last_known_version  text,
            dtma_health_details_json jsonb,
            created_at               timestamptz NOT NULL DEFAULT now(),
            updated_at               timestamptz NOT NULL DEFAULT now()
        );
        PERFORM status_sync_guard('account_tool_environments');
    END IF;

    IF to_regclass('account_tool_instances') IS NULL THEN
        CREATE TABLE account_tool_instances (
            id                          uuid        PRIMARY KEY DEFAULT gen_random_uuid(),
            account_tool_environment_id uuid        NOT NULL REFERENCES account_tool_environments (id) ON DELETE CASCADE,
            instance_name_on_toolbox    text,
            status_on_toolbox           text        NOT NULL DEFAULT 'pending_install',
            last_heartbeat_from_dtma    timestamptz,
            instance_error_message      text,
            created_at                  timestamptz NOT NULL DEFAULT now(),
            updated_at                  timestamptz NOT NULL DEFAULT now(),
            UNIQUE (account_tool_environment_id, instance_name_on_toolbox)
        );
        PERFORM status_sync_guard('account_tool_instances');
    END IF;

    -- Which agent of which user is connected to which server: what decides who may see it beside its owner.
    IF to_regclass('agent_mcp_connections') IS NULL THEN
        CREATE TABLE agent_mcp_connections (
            id                       uuid        PRIMARY KEY DEFAULT gen_random_uuid(),
            agent_id                 uuid        NOT NULL,
            user_id                  uuid,
            account_tool_instance_id uuid        REFERENCES account_tool_instances (id) ON DELETE CASCADE,
            is_active                boolean     NOT NULL DEFAULT true,
            created_at               timestamptz NOT NULL DEFAULT now()
        );
        CREATE INDEX status_sync_connections_user_idx ON agent_mcp_connections (user_id) WHERE is_active;
        CREATE INDEX status_sync_connections_instance_idx ON agent_mcp_connections (account_tool_instance_id);
        PERFORM status_sync_guard('agent_mcp_connections');
    END IF;

    -- The bookkeeping of these migrations is as open to browsers as any other table.
    IF to_regclass('status_sync_migrations') IS NOT NULL THEN
        PERFORM status_sync_guard('status_sync_migrations');
    END IF;
END
$$;

-- Columns that some generation of the owner's schema lacks.
ALTER TABLE account_tool_environments
    ADD COLUMN IF NOT EXISTS name                     text,
    ADD COLUMN IF NOT EXISTS public_ip_address        text,
    ADD COLUMN IF NOT EXISTS dtma_bearer_token        text,
    ADD COLUMN IF NOT EXISTS last_heartbeat_at        timestamptz,
    ADD COLUMN IF NOT EXISTS dtma_last_known_version  text,
    ADD COLUMN IF NOT EXISTS dtma_health_details_json jsonb,
    ADD COLUMN IF NOT EXISTS updated_at               timestamptz NOT NULL DEFAULT now();

ALTER TABLE account_tool_instances
    ADD COLUMN IF NOT EXISTS instance_name_on_toolbox text,
    ADD COLUMN IF NOT EXISTS last_heartbeat_from_dtma timestamptz,
    ADD COLUMN IF NOT EXISTS instance_error_message   text,
    ADD COLUMN IF NOT EXISTS updated_at               timestamptz NOT NULL DEFAULT now();

ALTER TABLE agent_mcp_connections
    ADD COLUMN IF NOT EXISTS user_id                  uuid,
    ADD COLUMN IF NOT EXISTS account_tool_instance_id uuid REFERENCES account_tool_instances (id) ON DELETE CASCADE,
    ADD COLUMN IF NOT EXISTS is_active                boolean NOT NULL DEFAULT true;

-- Every batch asks for all instances of its toolboxes; a partial index would not answer that.
DO $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM pg_index AS i
        JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
        WHERE i.indrelid = 'account_tool_instances'::regclass
          AND a.attname = 'account_tool_environment_id'
          AND i.indpred IS NULL
          AND i.indisvalid
    ) THEN
        CREATE INDEX status_sync_instances_toolbox_idx ON account_tool_instances (account_tool_environment_id);
    END IF;
END
$$;
