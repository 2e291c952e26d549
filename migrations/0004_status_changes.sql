-- Every announced change: the history that people ask for, and the outbox from which events are published.
--
-- A row is written in the transaction that changes the server's or toolbox's row, published after it, then marked.
-- What a crash leaves unmarked is published by whoever comes next. Partitioned by week, so that the end of retention
-- is the drop of a table and not a delete of millions of rows.
CREATE TABLE status_changes (
    -- Made by the writer before the insert; the message id of the published event.
    id           uuid        NOT NULL,
    -- When the change was decided.
    at           timestamptz NOT NULL,
    kind         text        NOT NULL,
    -- The server or the toolbox that changed.
    subject_id   uuid        NOT NULL,
    toolbox_id   uuid        NOT NULL,
    account_id   uuid        NOT NULL,
    version      bigint      NOT NULL,
    -- The view that was announced; of a toolbox its agent_status.
    state        text,
    health       text,
    error_code   text,
    container_id text,
    cause        text,
    as_of        timestamptz,
    nats_subject text        NOT NULL,
    -- json and not jsonb: what is published is this text, byte for byte.
    event        json        NOT NULL,
    traceparent  text,
    published_at timestamptz,
    PRIMARY KEY (id, at),
    CONSTRAINT status_changes_kind CHECK (kind IN ('server', 'deleted', 'toolbox')),
    CONSTRAINT status_changes_version CHECK (version > 0),
    CONSTRAINT status_changes_labels CHECK (
        CASE kind
            WHEN 'server' THEN state IS NOT NULL AND health IS NOT NULL
                AND state IN ('running', 'stopped', 'starting', 'stopping', 'error', 'unknown')
                AND health IN ('healthy', 'degraded', 'unhealthy', 'unknown')
            WHEN 'toolbox' THEN state IS NOT NULL AND health IS NULL
                AND state IN ('unseen', 'active', 'unresponsive')
            ELSE state IS NULL AND health IS NULL
        END)
) PARTITION BY RANGE (at);

-- Holds only what is on its way, so it stays small whatever the history's size.
CREATE INDEX status_changes_unpublished ON status_changes (subject_id, version) WHERE published_at IS NULL;

-- Takes what no week has been made for: an insert never fails for want of a partition.
CREATE TABLE status_changes_default PARTITION OF status_changes DEFAULT;

-- One row a version. PostgreSQL wants the partition key in every unique index of the parent, and a version may not
-- repeat at another time either, so each partition has an index of its own. Across partitions nothing but the lock on
-- the subject's row keeps versions apart: whoever writes a version holds that lock and counts on from the row. The
-- index is what shows up a writer that did not. It also serves the history of one server or toolbox.
--
-- A server and its tombstone count as one subject; a toolbox of the same id would be another.
CREATE UNIQUE INDEX status_changes_default_version ON status_changes_default (subject_id, version, (kind = 'toolbox'));

SELECT status_sync_guard('status_changes');
SELECT status_sync_guard('status_changes_default');

-- Makes the partition for the week that begins on `monday`, 00:00 UTC; false where it exists.
--
-- Attached and not created in place, which would stop all writers. Rows of that week that the default partition took
-- move over. Gives up after two seconds of waiting for the default partition's lock, because writers would queue
-- behind it: the default partition serves as well, and the next call tries again.
CREATE FUNCTION status_sync_ensure_week(monday date) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path FROM CURRENT
    SET lock_timeout = '2s'
AS $$
DECLARE
    partition text := 'status_changes_' || to_char(monday, 'YYYYMMDD');
    lower timestamptz := monday::timestamp AT TIME ZONE 'UTC';
    upper timestamptz := (monday + 7)::timestamp AT TIME ZONE 'UTC';
BEGIN
    IF extract(isodow FROM monday) <> 1 THEN
        RAISE EXCEPTION '% is not a Monday', monday;
    END IF;
    IF to_regclass(partition) IS NOT NULL THEN
        RETURN false;
    END IF;
    -- One at a time; then look again. (Only the lock of a table makes a session see another's new tables.)
    LOCK TABLE ONLY status_changes IN SHARE UPDATE EXCLUSIVE MODE;
    IF to_regclass(partition) IS NOT NULL THEN
        RETURN false;
    END IF;
    LOCK TABLE ONLY status_changes_default IN ACCESS EXCLUSIVE MODE;
    EXECUTE format('CREATE TABLE %I (LIKE status_changes INCLUDING ALL)', partition);
    EXECUTE format('CREATE UNIQUE INDEX %I ON %I (subject_id, version, (kind = ''toolbox''))',
        partition || '_version', partition);
    EXECUTE format(
        'WITH moved AS (DELETE FROM status_changes_default WHERE at >= $1 AND at < $2 RETURNING *)
         INSERT INTO %I SELECT * FROM moved', partition)
        USING lower, upper;
    EXECUTE format('ALTER TABLE status_changes ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
        partition, lower, upper);
    PERFORM status_sync_guard(partition::regclass);
    RETURN true;
END
$$;

-- Drops the weeks that ended by `before` and were published whole; one row for each week that ended by then.
--
-- A week that still holds an unpublished row stays, whole, until that row is published.
CREATE FUNCTION status_sync_drop_weeks(before timestamptz) RETURNS TABLE (partition text, dropped boolean)
    LANGUAGE plpgsql
    SET search_path FROM CURRENT
    SET lock_timeout = '2s'
AS $$
DECLARE
    child record;
    unpublished boolean;
BEGIN
    -- One at a time, without stopping the writers.
    LOCK TABLE ONLY status_changes IN SHARE UPDATE EXCLUSIVE MODE;
    FOR child IN
        SELECT c.oid::regclass AS name, c.relname::text AS plain
        FROM pg_inherits AS h
        JOIN pg_class AS c ON c.oid = h.inhrelid
        WHERE h.inhparent = 'status_changes'::regclass
          AND c.relname ~ '^status_changes_[0-9]{8}$'
          AND (to_date(right(c.relname, 8), 'YYYYMMDD') + 7)::timestamp AT TIME ZONE 'UTC' <= before
        ORDER BY c.relname
    LOOP
        EXECUTE format('SELECT EXISTS (SELECT FROM %s WHERE published_at IS NULL)', child.name) INTO unpublished;
        IF NOT unpublished THEN
            -- Parent before child, as every writer locks them; then look again, now that nobody writes.
            LOCK TABLE ONLY status_changes IN ACCESS EXCLUSIVE MODE;
            EXECUTE format('SELECT EXISTS (SELECT FROM %s WHERE published_at IS NULL)', child.name) INTO unpublished;
            IF NOT unpublished THEN
                EXECUTE format('DROP TABLE %s', child.name);
            END IF;
        END IF;
        partition := child.plain;
        dropped := NOT unpublished;
        RETURN NEXT;
    END LOOP;
END
$$;
