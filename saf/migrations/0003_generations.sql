-- How often each part changed or was refreshed: what daemons on one database follow each other by.
CREATE TABLE racf_generations (
    name  TEXT NOT NULL CONSTRAINT generation_exists PRIMARY KEY,
    value BIGINT NOT NULL
);
