-- Security sessions: connections that are the same in everything of significance. What is in JSON is in `details`; the columns
-- beside it are for people who ask with SQL.
CREATE TABLE zert_sessions (
    id TEXT NOT NULL PRIMARY KEY,
    role TEXT NOT NULL CHECK (role IN ('client', 'server')),
    server TEXT NOT NULL,
    client TEXT NOT NULL,
    port BIGINT NOT NULL CHECK (port BETWEEN 0 AND 65535),
    jobname TEXT NOT NULL,
    userid TEXT NOT NULL,
    protocol TEXT NOT NULL,
    version TEXT NOT NULL,
    suite TEXT NOT NULL,
    key_group TEXT NOT NULL,
    not_after BIGINT,
    details TEXT NOT NULL
);

-- What was counted of them, by quarters of an hour (seconds since the epoch).
CREATE TABLE zert_summaries (
    session TEXT NOT NULL REFERENCES zert_sessions (id) ON DELETE CASCADE,
    begun BIGINT NOT NULL,
    connections BIGINT NOT NULL,
    failed BIGINT NOT NULL,
    reset BIGINT NOT NULL,
    logged BIGINT NOT NULL,
    bytes_in BIGINT NOT NULL,
    bytes_out BIGINT NOT NULL,
    PRIMARY KEY (session, begun)
);

CREATE INDEX zert_summaries_begun ON zert_summaries (begun);

-- How much was not seen: what the observer counted as lost.
CREATE TABLE zert_losses (
    begun BIGINT NOT NULL PRIMARY KEY,
    lost BIGINT NOT NULL
);
