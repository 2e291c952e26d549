-- The same owner with plain text for labels and addresses, clocks without a zone, and an early schema that lacks
-- columns.
CREATE TABLE account_tool_environments (
    id uuid PRIMARY KEY,
    user_id uuid,
    name varchar(80) NOT NULL,
    public_ip_address varchar(64),
    status varchar(40),
    last_heartbeat_at timestamp,
    created_at timestamp DEFAULT now()
);
CREATE TABLE account_tool_instances (
    id uuid PRIMARY KEY,
    account_tool_environment_id uuid NOT NULL REFERENCES account_tool_environments (id),
    instance_name_on_toolbox varchar(120) NOT NULL,
    status_on_toolbox varchar(30),
    updated_at timestamp
);
CREATE INDEX ON account_tool_instances (account_tool_environment_id);
INSERT INTO account_tool_environments VALUES
    ('00000000-0000-0000-0000-000000000001', '00000000-0000-0000-0000-0000acc00001', 'box 1', '192.0.2.1', 'active',
        '2025-06-01 12:00', '2025-01-01');
INSERT INTO account_tool_instances VALUES
    ('00000000-0000-0000-0000-00000000000a', '00000000-0000-0000-0000-000000000001', 'mcp-10', NULL, '2025-01-01');
