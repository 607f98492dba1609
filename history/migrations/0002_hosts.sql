-- Several hosts may keep their histories in one database. What was counted before has no host's name, and is every host's.
ALTER TABLE zert_sessions ADD COLUMN host TEXT NOT NULL DEFAULT '';

CREATE TABLE zert_host_losses (
    host TEXT NOT NULL,
    begun BIGINT NOT NULL,
    lost BIGINT NOT NULL,
    PRIMARY KEY (host, begun)
);

INSERT INTO zert_host_losses (host, begun, lost) SELECT '', begun, lost FROM zert_losses;

DROP TABLE zert_losses;
