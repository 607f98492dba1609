-- When users last began a session, and what they are told at the next one.

ALTER TABLE racf_users ADD COLUMN last_access TEXT;

CREATE TABLE racf_messages (
    userid TEXT NOT NULL CONSTRAINT message_user REFERENCES racf_users (userid) ON DELETE CASCADE,
    at     TEXT NOT NULL,
    text   TEXT NOT NULL
);

CREATE INDEX racf_messages_by_user ON racf_messages (userid);
CREATE INDEX racf_audit_by_time ON racf_audit (at);
