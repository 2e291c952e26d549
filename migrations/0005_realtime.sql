-- Browsers of the owner application watch the instances through Supabase's publication, where there is one.
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_publication WHERE pubname = 'supabase_realtime' AND NOT puballtables)
        -- By table, by schema: however it is in there already.
        AND NOT EXISTS (
            SELECT FROM pg_publication_tables
            WHERE pubname = 'supabase_realtime'
              AND format('%I.%I', schemaname, tablename)::regclass = 'account_tool_instances'::regclass
        )
    THEN
        ALTER PUBLICATION supabase_realtime ADD TABLE account_tool_instances;
    END IF;
EXCEPTION WHEN insufficient_privilege THEN
    -- Nothing of this system reads the publication, so it is no reason not to start.
    RAISE WARNING 'publication supabase_realtime belongs to another role: add account_tool_instances to it by hand';
END
$$;
