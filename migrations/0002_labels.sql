-- The two label columns belong to the owner, who made them enums of a name of his own, or plain text. An enum must
-- know the labels that are written here; text takes any.
--
-- A migration by itself, because a label cannot be used in the transaction that adds it.
DO $$
DECLARE
    missing record;
BEGIN
    FOR missing IN
        SELECT DISTINCT a.atttypid::regtype AS enum, wanted.label
        FROM (VALUES
            ('account_tool_environments', 'status', ARRAY['active', 'unresponsive']),
            ('account_tool_instances', 'status_on_toolbox', ARRAY[
                'pending_install', 'starting_on_toolbox', 'running', 'stopping_on_toolbox', 'stopped',
                'error_starting', 'error_stopping', 'pending_delete'])
        ) AS need (table_name, column_name, labels)
        CROSS JOIN LATERAL unnest(need.labels) AS wanted (label)
        JOIN pg_attribute AS a
            ON a.attrelid = need.table_name::regclass AND a.attname = need.column_name AND NOT a.attisdropped
        JOIN pg_type AS t ON t.oid = a.atttypid AND t.typtype = 'e'
        WHERE NOT EXISTS (SELECT FROM pg_enum AS e WHERE e.enumtypid = t.oid AND e.enumlabel = wanted.label)
    LOOP
        EXECUTE format('ALTER TYPE %s ADD VALUE IF NOT EXISTS %L', missing.enum, missing.label);
    END LOOP;
END
$$;

-- Lets one query write a label column of either kind: the text becomes whatever type `alike` has. Polymorphic, and not
-- declared with the owner's type, so that nothing of ours depends on that type and he stays free to replace it.
CREATE FUNCTION status_sync_label(label text, alike anyelement) RETURNS anyelement
    LANGUAGE plpgsql STABLE PARALLEL SAFE
AS $$
BEGIN
    RETURN label;
END
$$;
