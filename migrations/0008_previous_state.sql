-- What a server's state was before a change, beside what it became: so that how many servers were in which state at any
-- time is found by walking back from the present over the changes since, whatever each of them was about.
--
-- NULL where nothing was announced before, of deletions, and of rows that a replica wrote which does not know this column
-- yet. What those say is found in their event and their predecessor.
ALTER TABLE status_changes ADD COLUMN previous_state text;

-- In the order of time, with all that is counted, so that the rows themselves are not read.
CREATE INDEX status_changes_moves ON status_changes (at)
    INCLUDE (account_id, subject_id, state, previous_state) WHERE previous_state IS NOT NULL;
-- The few others.
CREATE INDEX status_changes_beginnings ON status_changes (at)
    WHERE previous_state IS NULL AND kind <> 'toolbox';
