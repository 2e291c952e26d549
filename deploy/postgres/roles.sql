-- A role for each service, with the rights it needs and no more: status-api writes intents and never a status, and
-- status-mapper never an intent. (dtma-poller and notifier have no database.)
--
-- Run as the owner of the tables, after the migrations and again after each new one; it can be repeated. In a plain
-- PostgreSQL the owner needs CREATEROLE. The roles can log in once they have passwords:
--
--     psql "$OWNER_URL" --set ON_ERROR_STOP=1 --single-transaction -f roles.sql
--     psql "$OWNER_URL" -c '\password status_sync_mapper'        -- and _api, _operator
--
-- Rights that are missing show as "permission denied" in the services' logs, and in nothing else. Triggers of the owner's run
-- as whoever writes: what such a trigger writes elsewhere has to be granted by him, or the function be SECURITY DEFINER.

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['status_sync_mapper', 'status_sync_api', 'status_sync_operator'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) THEN
            EXECUTE format('CREATE ROLE %I LOGIN', name);
        END IF;
        EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I', current_schema(), name);
    END LOOP;
END
$$;

-- Row security hides rows from whoever is not the owner, and a registry with rows missing would read as "everything was
-- deleted". The services refuse to work where it applies to them; where there is any, as on Supabase, it must not.
DO $$
DECLARE
    name text;
BEGIN
    IF EXISTS (
        SELECT FROM pg_class
        WHERE relrowsecurity AND oid IN ('account_tool_environments'::regclass, 'account_tool_instances'::regclass,
            'agent_mcp_connections'::regclass, 'status_changes'::regclass)
    ) THEN
        FOR name IN
            SELECT rolname FROM pg_roles
            WHERE rolname IN ('status_sync_mapper', 'status_sync_api', 'status_sync_operator') AND NOT rolbypassrls
        LOOP
            EXECUTE format('ALTER ROLE %I BYPASSRLS', name);
        END LOOP;
    END IF;
END
$$;

-- From nothing, so that what an earlier version of this file granted goes too.
REVOKE ALL ON account_tool_environments, account_tool_instances, agent_mcp_connections, status_changes,
    status_changes_default, status_commands, status_webhooks, status_sync_migrations
    FROM status_sync_mapper, status_sync_api, status_sync_operator;

GRANT SELECT ON account_tool_environments, account_tool_instances, agent_mcp_connections, status_changes,
    status_changes_default, status_commands, status_sync_migrations
    TO status_sync_mapper, status_sync_api, status_sync_operator;

-- Whose an agent is stands in the owner's own table, where he has one.
DO $$
BEGIN
    IF (
        SELECT count(*) = 2 FROM pg_attribute
        WHERE attrelid = to_regclass('agents') AND attname IN ('id', 'user_id') AND NOT attisdropped
    ) THEN
        GRANT SELECT (id, user_id) ON agents TO status_sync_mapper, status_sync_api, status_sync_operator;
    END IF;
END
$$;

-- status-mapper: what was observed, what people see, and the history.
GRANT SELECT ON status_webhooks TO status_sync_mapper;
GRANT UPDATE (as_of, as_of_seq, whole_as_of, whole_as_of_seq, last_heartbeat_at, expected_by, agent_status, agent_problem,
        dtma_last_known_version, status, status_version, status_changed_at, updated_at)
    ON account_tool_environments TO status_sync_mapper;
GRANT UPDATE (status_on_toolbox, as_of, as_of_seq, last_heartbeat_from_dtma, observed_status, observed_since,
        observed_detail, container_id, last_started_at, mcp_state, health, last_error, instance_error_message,
        status_version, status_changed_at, updated_at), DELETE
    ON account_tool_instances TO status_sync_mapper;
-- Those of a server whose deletion has had its effect.
GRANT DELETE ON agent_mcp_connections TO status_sync_mapper;
GRANT INSERT, UPDATE (published_at) ON status_changes TO status_sync_mapper;
GRANT DELETE ON status_changes_default TO status_sync_mapper;
GRANT UPDATE (executed_at, finished_at, outcome, message, closed_at), DELETE ON status_commands TO status_sync_mapper;

-- status-api: intents, the record of commands, and entries of the registry.
GRANT INSERT (id, user_id, name, dtma_base_url, dtma_bearer_token, public_ip_address),
        UPDATE (name, dtma_base_url, dtma_bearer_token, public_ip_address), DELETE
    ON account_tool_environments TO status_sync_api;
GRANT INSERT (id, account_tool_environment_id, instance_name_on_toolbox, monitored),
        UPDATE (instance_name_on_toolbox, monitored, desired_state, override_state, override_health, override_message,
            override_until), DELETE
    ON account_tool_instances TO status_sync_api;
GRANT INSERT (id, agent_id, user_id, account_tool_instance_id, is_active), UPDATE (is_active), DELETE
    ON agent_mcp_connections TO status_sync_api;
GRANT INSERT (id, kind, server_id, toolbox_id, account_id, requested_by, requested_at, deadline, idempotency_key,
            fingerprint, traceparent, finished_at, outcome, message, closed_at),
        UPDATE (dispatched_at, finished_at, closed_at, outcome, message, idempotency_key, fingerprint, answer_status,
            answer, answer_location)
    ON status_commands TO status_sync_api;
GRANT SELECT, INSERT, UPDATE, DELETE ON status_webhooks TO status_sync_api;

-- Making and dropping the weeks of the history takes the owner's rights, and status-mapper gets them for just that. Nobody
-- else may call these two: Supabase, for one, lets browsers call what is not taken from them.
DO $$
DECLARE
    weeks text;
    other record;
BEGIN
    FOREACH weeks IN ARRAY ARRAY['status_sync_ensure_week(date)', 'status_sync_drop_weeks(timestamptz)'] LOOP
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', weeks);
        FOR other IN
            SELECT DISTINCT grantee::regrole AS role
            FROM pg_proc CROSS JOIN LATERAL aclexplode(proacl)
            WHERE pg_proc.oid = weeks::regprocedure AND grantee NOT IN (0, proowner)
        LOOP
            EXECUTE format('REVOKE ALL ON FUNCTION %s FROM %s', weeks, other.role);
        END LOOP;
        EXECUTE format('ALTER FUNCTION %s SECURITY DEFINER', weeks);
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO status_sync_mapper', weeks);
    END LOOP;
END
$$;
GRANT EXECUTE ON FUNCTION status_sync_label(text, anyelement) TO status_sync_mapper;
GRANT EXECUTE ON FUNCTION status_sync_connections() TO status_sync_mapper, status_sync_api, status_sync_operator;
