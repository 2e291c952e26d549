-- A database as its owner has it: enums of his own, more columns and labels than we know, constraints, a trigger,
-- row security, a publication, an index, and rows.
CREATE TYPE account_tool_environment_status_enum AS ENUM (
    'inactive', 'creating', 'active', 'unresponsive', 'scaling', 'pending_provision', 'provisioning',
    'error_provisioning', 'pending_deprovision', 'deprovisioned', 'awaiting_heartbeat');

-- Without most of the labels that status sync writes, and in a schema and under a name nobody could guess.
CREATE SCHEMA "Odd Types";
CREATE TYPE "Odd Types"."installation status" AS ENUM (
    'pending_install', 'installing', 'active', 'error_install', 'stopped', 'starting', 'stopping', 'running', 'error',
    'pending_delete', 'deleting');

CREATE TABLE account_tool_environments (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id uuid NOT NULL,
    do_droplet_id bigint UNIQUE,
    public_ip_address inet,
    status account_tool_environment_status_enum NOT NULL DEFAULT 'inactive',
    region_slug text NOT NULL,
    last_heartbeat_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    name text,
    dtma_bearer_token text UNIQUE,
    dtma_last_known_version text,
    dtma_health_details_json jsonb
);

CREATE TABLE account_tool_instances (
    id uuid NOT NULL DEFAULT gen_random_uuid() CONSTRAINT account_tool_environment_active_tools_pkey PRIMARY KEY,
    account_tool_environment_id uuid NOT NULL REFERENCES account_tool_environments (id) ON DELETE CASCADE,
    tool_catalog_id uuid NOT NULL,
    status_on_toolbox "Odd Types"."installation status" NOT NULL DEFAULT 'pending_install',
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    instance_name_on_toolbox text,
    port_mapping_json jsonb,
    last_heartbeat_from_dtma timestamptz,
    -- The version of the tool: a name that status sync must leave alone.
    version text,
    instance_error_message text,
    mcp_server_type text CHECK (mcp_server_type IN ('standard_tool', 'mcp_server'))
);
-- Partial: no help to someone who asks for all instances of a toolbox.
CREATE INDEX idx_mcp_server_discovery ON account_tool_instances (account_tool_environment_id, status_on_toolbox)
    WHERE mcp_server_type = 'mcp_server';

-- Of another generation than ours: it names the server by another column.
CREATE TABLE agent_mcp_connections (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    agent_id uuid NOT NULL,
    mcp_server_instance_id uuid NOT NULL REFERENCES account_tool_instances (id),
    is_active boolean NOT NULL DEFAULT true,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE FUNCTION touch_updated_at() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.updated_at = '2001-02-03';
    RETURN NEW;
END
$$;
CREATE TRIGGER touch BEFORE UPDATE ON account_tool_instances FOR EACH ROW EXECUTE FUNCTION touch_updated_at();

ALTER TABLE account_tool_environments ENABLE ROW LEVEL SECURITY;
ALTER TABLE account_tool_instances ENABLE ROW LEVEL SECURITY;
CREATE POLICY "Users can view their own" ON account_tool_environments FOR SELECT
    USING (user_id::text = current_setting('request.jwt.claim.sub', true));

CREATE PUBLICATION supabase_realtime FOR TABLE account_tool_environments;

INSERT INTO account_tool_environments (id, user_id, public_ip_address, status, region_slug, last_heartbeat_at, name,
    dtma_bearer_token, dtma_last_known_version) VALUES
    ('00000000-0000-0000-0000-000000000001', '00000000-0000-0000-0000-0000acc00001', '192.0.2.1', 'awaiting_heartbeat',
        'fra1', NULL, 'box 1', 'token-1', NULL),
    ('00000000-0000-0000-0000-000000000002', '00000000-0000-0000-0000-0000acc00002', '2001:db8::2', 'pending_deprovision',
        'fra1', '2025-06-01 12:00+02', NULL, 'token-2', '0.9.0');
INSERT INTO account_tool_instances (id, account_tool_environment_id, tool_catalog_id, status_on_toolbox,
    instance_name_on_toolbox, version, instance_error_message, mcp_server_type, last_heartbeat_from_dtma) VALUES
    ('00000000-0000-0000-0000-00000000000a', '00000000-0000-0000-0000-000000000001', gen_random_uuid(), 'running',
        'mcp-10', '1.0.3', 'an old complaint', 'mcp_server', '2025-06-01 12:00+02'),
    ('00000000-0000-0000-0000-00000000000b', '00000000-0000-0000-0000-000000000001', gen_random_uuid(), 'deleting',
        'mcp-11', NULL, NULL, NULL, NULL);
INSERT INTO agent_mcp_connections (agent_id, mcp_server_instance_id) VALUES
    (gen_random_uuid(), '00000000-0000-0000-0000-00000000000a');
