-- Who is told of changes by webhook, and how. Entered by people over status-api; mirrored to the notifiers.
CREATE TABLE status_webhooks (
    id                    uuid        PRIMARY KEY,
    -- Whose it is: it is told of this account's servers and of nobody else's. No foreign key: accounts are the owner's.
    account_id            uuid        NOT NULL,
    url                   text        NOT NULL,
    enabled               boolean     NOT NULL DEFAULT true,
    -- What deliveries are signed with. The one before it signs as well, until its end, so that receivers can change over.
    secret                text        NOT NULL,
    previous_secret       text,
    previous_secret_until timestamptz,
    -- What it is told of; empty: everything.
    servers               uuid[]      NOT NULL DEFAULT '{}',
    toolboxes             uuid[]      NOT NULL DEFAULT '{}',
    kinds                 text[]      NOT NULL DEFAULT '{}',
    template              text        NOT NULL DEFAULT 'standard',
    -- What keeps it quiet; 0: nothing does.
    after_seconds           integer   NOT NULL DEFAULT 0,
    not_during_own_commands boolean   NOT NULL DEFAULT false,
    at_most_every_seconds   integer   NOT NULL DEFAULT 0,
    summary_from            integer   NOT NULL DEFAULT 0,
    summary_window          integer   NOT NULL DEFAULT 0,
    created_at            timestamptz NOT NULL,
    CONSTRAINT status_webhooks_secrets CHECK ((previous_secret IS NULL) = (previous_secret_until IS NULL)),
    CONSTRAINT status_webhooks_kinds CHECK (kinds <@ ARRAY['state', 'health', 'error', 'recovery', 'deleted']),
    CONSTRAINT status_webhooks_template CHECK (template IN ('standard', 'slack', 'json')),
    CONSTRAINT status_webhooks_numbers CHECK (
        after_seconds >= 0 AND at_most_every_seconds >= 0 AND summary_from >= 0 AND summary_window >= 0)
);

CREATE INDEX status_webhooks_account ON status_webhooks (account_id, id);

SELECT status_sync_guard('status_webhooks');
